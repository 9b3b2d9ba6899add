// The questions and views of single snapshots.
import { useState } from 'preact/hooks';
import { del, get, post, put, type Values } from '../core/api.ts';
import { dateTime } from '../core/format.ts';
import { guestPath } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { configDifferences, type Snapshot } from '../core/snapshot-tree.ts';
import type { Guest } from '../core/store.ts';
import { run } from '../core/tasks.ts';
import { Dialog, FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Check, Field, TextArea } from '../parts/field.tsx';
import { Facts } from '../parts/small.tsx';
import { PlanDetails } from '../parts/plan.tsx';
import { useLoad } from '../parts/use.ts';

interface DialogProps { guest: Guest; onDone: () => void; onClose: () => void }
type Config = Readonly<Record<string, unknown>>;

const pathOf = (guest: Guest, s: Snapshot): string => `${guestPath(guest)}/snapshot/${encodeURIComponent(s.name)}`;

/** Only QEMU can write a guest's memory away. */
function useHasMemory(guest: Guest): boolean {
  const path = guestPath(guest);
  const { value } = useLoad(`${path} config`, '', () => get<Config>(`${path}/config`));
  return guest.status === 'running' && value !== null && value['engine'] !== 'vmm';
}

export function TakeDialog({ guest, onDone, onClose }: DialogProps) {
  const [name, setName] = useState('');
  const [description, setDescription] = useState('');
  const [hasMemory, setMemory] = useState(false);
  const canMemory = useHasMemory(guest);
  const path = `${guestPath(guest)}/snapshot`;
  const values: Values = { snapname: name, description: description || undefined, vmstate: (canMemory && hasMemory) || undefined };
  const take = async (): Promise<void> => {
    await run(() => post(path, values));
    onDone();
  };
  return (
    <FormDialog title={t('snapshot.take')} submit={t('snapshot.take')} onSubmit={take} onClose={onClose}>
      {(fields) => <>
        <Field label={t('snapshot.name')} value={name} onInput={setName} error={fields['snapname']} isRequired hasFocus help={t('snapshot.nameHelp')} />
        <TextArea label={t('key.description')} value={description} onInput={setDescription} error={fields['description']} />
        {canMemory && <Check label={t('snapshot.memory')} help={t('snapshot.memoryHelp')} value={hasMemory} onChange={setMemory} />}
        {name && <PlanDetails request={{ method: 'POST', path, values }} />}
        <EqualCall method="POST" path={path} values={values} />
      </>}
    </FormDialog>
  );
}

export function RollbackDialog({ guest, snapshot: s, onDone, onClose }: DialogProps & { snapshot: Snapshot }) {
  const path = `${pathOf(guest, s)}/rollback`;
  const [isStarting, setStarting] = useState(guest.status !== 'stopped');
  const values: Values = { start: (isStarting && !s.vmstate) || undefined };
  const back = async (): Promise<void> => {
    await run(() => post(path, values));
    onDone();
  };
  return (
    <FormDialog title={t('snapshot.rollbackTo', { name: s.name })} submit={t('snapshot.rollback')} isDanger onSubmit={back} onClose={onClose}>
      {() => <>
        <p>{t('snapshot.rollbackText')}</p>
        {guest.status !== 'stopped' && <p class="warn-text">{t('snap.stopsFirst')}</p>}
        <p class="quiet">{t('snap.takenAt', { when: dateTime(s.snaptime ?? 0) })} {!!s.vmstate && t('snap.goesOn')}</p>
        {!s.vmstate && <Check label={t('snap.start')} value={isStarting} onChange={setStarting} />}
        <PlanDetails request={{ method: 'POST', path, values }} />
        <EqualCall method="POST" path={path} values={values} command={`holm vm snapshot rollback ${guest.vmid} ${s.name} -y`} />
      </>}
    </FormDialog>
  );
}

export function DeleteDialog({ guest, snapshot: s, children: n, onDone, onClose }: DialogProps & { snapshot: Snapshot; children: number }) {
  const path = pathOf(guest, s);
  const remove = async (): Promise<void> => {
    await run(() => del(path));
    onDone();
  };
  return (
    <FormDialog title={t('snapshot.deleteOf', { name: s.name })} submit={t('snapshot.delete')} isDanger onSubmit={remove} onClose={onClose}>
      {() => <>
        <p>{t('snapshot.deleteText')}</p>
        {n > 0 && <p>{t('snap.childrenStay', { n })}</p>}
        <PlanDetails request={{ method: 'DELETE', path, values: {} }} />
        <EqualCall method="DELETE" path={path} values={{}} command={`holm vm snapshot delete ${guest.vmid} ${s.name} -y`} />
      </>}
    </FormDialog>
  );
}

export function EditDialog({ guest, snapshot: s, onDone, onClose }: DialogProps & { snapshot: Snapshot }) {
  const [description, setDescription] = useState(s.description?.trimEnd() ?? '');
  const save = async (): Promise<void> => {
    await put(`${pathOf(guest, s)}/config`, { description });
    onDone();
  };
  return (
    <FormDialog title={t('snap.editOf', { name: s.name })} submit={t('save')} onSubmit={save} onClose={onClose}>
      {(fields) => <TextArea label={t('key.description')} value={description} onInput={setDescription} error={fields['description']} />}
    </FormDialog>
  );
}

/** What a rollback would change in the settings. */
export function CompareDialog({ guest, snapshot: s, onClose }: { guest: Guest; snapshot: Snapshot; onClose: () => void }) {
  const { value, error, reload } = useLoad(pathOf(guest, s), '', () =>
    Promise.all([get<Config>(`${pathOf(guest, s)}/config`), get<Config>(`${guestPath(guest)}/config`)]));
  const list = value ? configDifferences(value[0], value[1]) : [];
  return (
    <Dialog title={s.name} isWide onClose={onClose}>
      <div class="stack">
        <Facts facts={[[t('snap.taken'), dateTime(s.snaptime ?? 0)], [t('snapshot.memory'), t(s.vmstate ? 'yes' : 'no')], [t('snap.parent'), s.parent ?? '–']]} />
        {s.description?.trim() && <p class="notes">{s.description}</p>}
        {error !== null && <ErrorBox error={error} onRetry={reload} />}
        {value && !list.length && <p class="quiet">{t('snap.same')}</p>}
        {list.length > 0 && <div class="scroll-x" tabIndex={0} role="region" aria-label={t('snap.differences')}>
          <table class="compare">
            <thead><tr><th scope="col">{t('snap.key')}</th><th scope="col">{t('snap.then')}</th><th scope="col">{t('snapshot.now')}</th></tr></thead>
            <tbody>{list.map((d) => <tr key={d.key}><th scope="row"><code>{d.key}</code></th><td class="then"><code>{d.then || '–'}</code></td><td><code>{d.now || '–'}</code></td></tr>)}</tbody>
          </table>
        </div>}
      </div>
    </Dialog>
  );
}
