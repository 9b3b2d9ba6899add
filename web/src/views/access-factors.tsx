// Second factors of a user: what there is, more, on and off, away. Each change is confirmed with one's own password.
import { useRef, useState } from 'preact/hooks';
import { del, post, put } from '../core/api.ts';
import { dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { Check, Field } from '../parts/field.tsx';
import { Icon } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { changed, confirmed, isSelf, type Factor } from './access-data.ts';
import { OwnPassword } from './access-parts.tsx';
import { SecretDialog } from './access-secret.tsx';
import { AddTotp } from './access-totp.tsx';

const factorsPath = (userid: string): string => `/access/tfa/${encodeURIComponent(userid)}`;
const factorPath = (userid: string, id: string): string => `${factorsPath(userid)}/${encodeURIComponent(id)}`;
export const factorName = (f: Factor): string => f.description || (f.type === 'totp' ? t('access.totp') : t('access.recovery'));

/** Ten codes: shown, and then known to nobody but their owner. */
function AddRecovery({ userid, onClose }: { userid: string; onClose: () => void }) {
  const [password, setPassword] = useState('');
  const [codes, setCodes] = useState<readonly string[] | null>(null);
  const hasCodes = useRef(false); // the form closes when it is done; the codes then stay
  const submit = async (): Promise<void> => {
    const made = await confirmed('password', () => post<{ recovery: string[] }>(factorsPath(userid), { type: 'recovery', password }));
    hasCodes.current = true;
    setCodes(made.recovery);
    changed();
  };
  if (codes) {
    const text = codes.join('\n');
    return <SecretDialog title={t('access.recovery')} help={t('access.recovery.once')} parts={[{ label: t('access.recovery.codes'), text }]}
      file={{ name: `holm-recovery-${userid}.txt`, text: `Holm ${location.host}\n${userid}\n\n${text}\n` }} onClose={onClose} />;
  }
  return (
    <FormDialog title={t('access.recovery.add')} submit={t('access.recovery.make')} onSubmit={submit} onClose={() => { if (!hasCodes.current) onClose(); }}>
      {(errors) => <>
        <p>{t('access.recovery.text')}</p>
        <OwnPassword value={password} onInput={setPassword} error={errors['password']} hasFocus />
      </>}
    </FormDialog>
  );
}

interface OneProps { userid: string; factor: Factor; onClose: () => void }

function EditFactor({ userid, factor, onClose }: OneProps) {
  const [description, setDescription] = useState(factor.description);
  const [isOn, setOn] = useState(factor.enable !== 0);
  const [password, setPassword] = useState('');
  const submit = async (): Promise<void> => {
    await confirmed('password', () => put(factorPath(userid, factor.id), { description, enable: isOn, password }));
    changed();
  };
  return (
    <FormDialog title={t('access.factor.edit', { name: factorName(factor) })} submit={t('save')} onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        <Field label={t('access.factor.description')} value={description} onInput={setDescription} error={errors['description']} hasFocus />
        <Check label={t('access.factor.taken')} value={isOn} onChange={setOn} />
        <OwnPassword value={password} onInput={setPassword} error={errors['password']} />
      </>}
    </FormDialog>
  );
}

function DeleteFactor({ userid, factor, onClose, isLast }: OneProps & { isLast: boolean }) {
  const [password, setPassword] = useState('');
  const submit = async (): Promise<void> => {
    await confirmed('password', () => del(factorPath(userid, factor.id), { password }));
    changed();
  };
  return (
    <FormDialog title={t('access.factor.delete', { name: factorName(factor) })} submit={t('access.delete')} isDanger onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        <p>{isLast ? t('access.factor.deleteLast') : t('access.factor.deleteText')}</p>
        <OwnPassword value={password} onInput={setPassword} error={errors['password']} hasFocus />
      </>}
    </FormDialog>
  );
}

type Ask = { kind: 'totp' | 'recovery' } | { kind: 'edit' | 'delete'; factor: Factor } | null;

export function FactorPanel(p: { userid: string; factors: readonly Factor[] | null; error: unknown; onRetry: () => void; mayChange: boolean }) {
  const [ask, setAsk] = useState<Ask>(null);
  const close = (): void => setAsk(null);
  const list = p.factors ?? [];
  const tools = p.mayChange && p.factors && <span class="row wrap">
    <Button icon="plus" onClick={() => setAsk({ kind: 'totp' })}>{t('access.totp')}</Button>
    {!list.some((f) => f.type === 'recovery') && <Button icon="plus" onClick={() => setAsk({ kind: 'recovery' })}>{t('access.recovery')}</Button>}
  </span>;
  return (
    <Panel title={t('access.factors')} tools={tools}>
      {!p.factors ? <Waiting error={p.error} onRetry={p.onRetry} />
        : list.length === 0 ? <p class="quiet pad">{isSelf(p.userid) ? t('access.factors.noneOwn') : t('access.factors.none')}</p>
          : <ul class="rows">{list.map((f) => (
            <li key={f.id}>
              <Icon name={f.type === 'totp' ? 'shield' : 'key'} /><span class="grow ellipsis">{factorName(f)}</span>
              {f.enable === 0 && <State state="stopped" word={t('access.disabled')} />}
              <span class="quiet num yields-1">{dateTime(f.created)}</span>
              {p.mayChange && <><Button tone="ghost" icon="edit" label={t('access.factor.edit', { name: factorName(f) })} onClick={() => setAsk({ kind: 'edit', factor: f })} />
                <Button tone="ghost" icon="trash" label={t('access.factor.delete', { name: factorName(f) })} onClick={() => setAsk({ kind: 'delete', factor: f })} /></>}
            </li>
          ))}</ul>}
      {ask?.kind === 'totp' && <AddTotp userid={p.userid} onClose={close} />}
      {ask?.kind === 'recovery' && <AddRecovery userid={p.userid} onClose={close} />}
      {ask?.kind === 'edit' && <EditFactor userid={p.userid} factor={ask.factor} onClose={close} />}
      {ask?.kind === 'delete' && <DeleteFactor userid={p.userid} factor={ask.factor} isLast={list.filter((f) => f.enable !== 0).length === 1} onClose={close} />}
    </Panel>
  );
}
