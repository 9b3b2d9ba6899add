// Dialogs about an API token: make, change, a new secret, delete.
import { useRef, useState } from 'preact/hooks';
import { del, post, put, type Values } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Check, Field, Select } from '../parts/field.tsx';
import { changed, tokenPath, type Token } from './access-data.ts';
import { DateField, fromLocal, toLocal } from './access-parts.tsx';
import { SecretDialog } from './access-secret.tsx';

interface Made { 'full-tokenid'?: string; value?: string }

export function TokenSecret({ made, onClose }: { made: Made; onClose: () => void }) {
  const id = made['full-tokenid'] ?? '', secret = made.value ?? '';
  return <SecretDialog title={t('access.token.secret')} help={t('access.token.once')} onClose={onClose}
    parts={[{ label: t('access.token.id'), text: id }, { label: t('access.token.secretText'), text: secret }, { label: t('access.token.header'), text: `Authorization: PVEAPIToken=${id}=${secret}` }]} />;
}

function TokenFields(p: { comment: string; expire: string; isSeparated: boolean; errors: Readonly<Record<string, string>>; onComment: (v: string) => void; onExpire: (v: string) => void; onSeparated: (v: boolean) => void }) {
  return (
    <>
      <Check label={t('access.token.privsep')} help={t('access.token.privsepHelp')} value={p.isSeparated} onChange={p.onSeparated} />
      <DateField label={t('access.expires')} help={t('access.expiresHelp')} value={p.expire} error={p.errors['expire']} onInput={p.onExpire} />
      <Field label={t('access.comment')} value={p.comment} error={p.errors['comment']} onInput={p.onComment} />
    </>
  );
}

/** users: whose it may be. */
export function CreateToken({ users, onClose }: { users: readonly string[]; onClose: () => void }) {
  const [userid, setUserid] = useState(users[0] ?? '');
  const [id, setId] = useState('');
  const [comment, setComment] = useState('');
  const [expire, setExpire] = useState('');
  const [isSeparated, setSeparated] = useState(true);
  const [made, setMade] = useState<Made | null>(null);
  const hasSecret = useRef(false); // the form closes when it is done; the secret then stays
  const values: Values = { privsep: isSeparated, expire: fromLocal(expire) || undefined, comment: comment || undefined };
  const submit = async (): Promise<void> => {
    const reply = await post<Made>(tokenPath(userid, id), values);
    hasSecret.current = true;
    setMade(reply);
    changed();
  };
  if (made)
    return <TokenSecret made={made} onClose={onClose} />;
  return (
    <FormDialog title={t('access.token.create')} submit={t('access.create')} onSubmit={submit} onClose={() => { if (!hasSecret.current) onClose(); }}>
      {(errors) => <>
        {users.length > 1 ? <Select label={t('access.user')} value={userid} options={users.map((u) => [u, u] as const)} onChange={setUserid} /> : <p class="quiet">{userid}</p>}
        <Field label={t('access.name')} help={t('access.token.nameHelp')} value={id} onInput={setId} error={errors['tokenid']} isRequired hasFocus />
        <TokenFields comment={comment} expire={expire} isSeparated={isSeparated} errors={errors} onComment={setComment} onExpire={setExpire} onSeparated={setSeparated} />
        <EqualCall method="POST" path={tokenPath(userid, id || 'NAME')} values={values} />
      </>}
    </FormDialog>
  );
}

export function EditToken({ token, onClose }: { token: Token; onClose: () => void }) {
  const [comment, setComment] = useState(token.comment ?? '');
  const [expire, setExpire] = useState(toLocal(token.expire ?? 0));
  const [isSeparated, setSeparated] = useState(token.privsep !== 0);
  const values: Values = { privsep: isSeparated, expire: fromLocal(expire), comment };
  const submit = async (): Promise<void> => {
    await put(tokenPath(token.userid, token.tokenid), values);
    changed();
  };
  return (
    <FormDialog title={t('access.token.edit', { name: token.id })} submit={t('save')} onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        <TokenFields comment={comment} expire={expire} isSeparated={isSeparated} errors={errors} onComment={setComment} onExpire={setExpire} onSeparated={setSeparated} />
        <EqualCall method="PUT" path={tokenPath(token.userid, token.tokenid)} values={values} />
      </>}
    </FormDialog>
  );
}

export function RegenerateToken({ token, onMade, onClose }: { token: Token; onMade: (made: Made) => void; onClose: () => void }) {
  const submit = async (): Promise<void> => onMade(await put<Made>(tokenPath(token.userid, token.tokenid), { regenerate: true }));
  return (
    <FormDialog title={t('access.token.regenerateOf', { name: token.id })} submit={t('access.token.regenerate')} isDanger onSubmit={submit} onClose={onClose}>
      {() => <p>{t('access.token.regenerateText')}</p>}
    </FormDialog>
  );
}

export function DeleteToken({ token, onDone, onClose }: { token: Token; onDone: () => void; onClose: () => void }) {
  const submit = async (): Promise<void> => {
    await del(tokenPath(token.userid, token.tokenid));
    changed();
    onDone();
  };
  return (
    <FormDialog title={t('access.token.delete', { name: token.id })} submit={t('access.delete')} isDanger typeName={token.tokenid} onSubmit={submit} onClose={onClose}>
      {() => <p>{t('access.token.deleteText')}</p>}
    </FormDialog>
  );
}

export type { Made };
