// A new authenticator: a secret made in this browser, shown as a QR code and as text, and proved with a code.
import { useState } from 'preact/hooks';
import { post } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { copyText } from '../parts/equal.tsx';
import { Field } from '../parts/field.tsx';
import { changed, confirmed } from './access-data.ts';
import { newSecret, otpauthUri, spaced } from './access-otp.ts';
import { OwnPassword } from './access-parts.tsx';
import { lazy } from './routes.tsx';

const Qr = lazy('access', () => import('./access-qr.tsx'));

export function AddTotp({ userid, onClose }: { userid: string; onClose: () => void }) {
  const [secret] = useState(newSecret);
  const [description, setDescription] = useState('');
  const [code, setCode] = useState('');
  const [password, setPassword] = useState('');
  const uri = otpauthUri(`Holm ${location.hostname}`, userid, secret);
  const submit = async (): Promise<void> => {
    const values = { type: 'totp', description: description || t('access.totp'), totp: uri, value: code.replaceAll(' ', ''), password };
    await confirmed('password', () => post(`/access/tfa/${encodeURIComponent(userid)}`, values));
    changed();
  };
  return (
    <FormDialog title={t('access.totp.add')} submit={t('access.totp.verify')} onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        <p>{t('access.totp.scan')}</p>
        <div class="qr-around"><Qr text={uri} label={t('access.totp.qr')} /></div>
        <div class="code-box">
          <div class="row"><h3 class="grow">{t('access.totp.secret')}</h3><Button tone="ghost" icon="copy" label={t('copy')} onClick={() => void copyText(secret)} /></div>
          <pre class="code secret" tabIndex={0} aria-label={t('access.totp.secret')}>{spaced(secret)}</pre>
        </div>
        <Field label={t('access.factor.description')} help={t('access.totp.nameHelp')} value={description} onInput={setDescription} error={errors['description']} />
        <Field label={t('access.totp.code')} name="code" value={code} onInput={setCode} error={errors['value'] ?? errors['totp']} autocomplete="one-time-code" inputmode="numeric" isRequired />
        <OwnPassword value={password} onInput={setPassword} error={errors['password']} />
      </>}
    </FormDialog>
  );
}
