// Dialogs about a pool: make, comment, members, delete.
import { useState } from 'preact/hooks';
import { del, post, put } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { store } from '../core/store.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Field } from '../parts/field.tsx';
import { CheckList, type Choice } from './access-checklist.tsx';
import { changed, mayAcl, mayPool, type Pool } from './access-data.ts';
import { leaveTo } from './access-parts.tsx';

const AT_ONCE = 50; // members in one call

/** pool null: a new one. */
export function PoolDialog({ pool, onClose }: { pool: Pool | null; onClose: () => void }) {
  const [id, setId] = useState(pool?.poolid ?? '');
  const [comment, setComment] = useState(pool?.comment ?? '');
  const values = { poolid: id, comment: comment || (pool ? '' : undefined) };
  const submit = async (): Promise<void> => {
    await (pool ? put('/pools', values) : post('/pools', values));
    changed();
  };
  return (
    <FormDialog title={pool ? t('access.pool.edit', { name: id }) : t('access.pool.create')} submit={pool ? t('save') : t('access.create')} onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        {!pool && <Field label={t('access.name')} help={t('access.pool.nameHelp')} value={id} onInput={setId} error={errors['poolid']} isRequired hasFocus />}
        <Field label={t('access.comment')} value={comment} onInput={setComment} error={errors['comment']} hasFocus={!!pool} />
        <EqualCall method={pool ? 'PUT' : 'POST'} path="/pools" values={values} />
      </>}
    </FormDialog>
  );
}

/** A guest is in one pool: one that is in another is offered only to who may take it from there. */
function guestChoices(pool: string): Choice[] {
  return store.tables.guest.all().map((g) => g.value)
    .filter((g) => g.pool !== pool && mayAcl(`/vms/${g.vmid}`) && (!g.pool || mayPool(g.pool)))
    .sort((a, b) => a.vmid - b.vmid)
    .map((g) => ({ id: String(g.vmid), text: `${g.vmid} ${g.name}`, detail: g.pool ? t('access.pool.leaves', { name: g.pool }) : undefined }));
}

export function AddMembers({ pool, onClose }: { pool: Pool; onClose: () => void }) {
  const inside = new Set((pool.members ?? []).flatMap((m) => m.storage ?? []));
  const guests = guestChoices(pool.poolid);
  const storages = [...new Set(store.tables.storage.all().map((s) => s.value.storage))].filter((s) => !inside.has(s) && mayAcl(`/storage/${s}`)).map((s) => ({ id: s, text: s }));
  const [vms, setVms] = useState<ReadonlySet<string>>(new Set());
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const isMove = guests.some((g) => vms.has(g.id) && g.detail);
  const submit = async (): Promise<void> => {
    const list = [...vms];
    for (let i = 0; i < list.length; i += AT_ONCE)
      await put('/pools', { poolid: pool.poolid, vms: list.slice(i, i + AT_ONCE).join(','), 'allow-move': isMove || undefined });
    if (chosen.size)
      await put('/pools', { poolid: pool.poolid, storage: [...chosen].join(',') });
    changed();
  };
  return (
    <FormDialog title={t('access.pool.addTo', { name: pool.poolid })} submit={t('access.pool.add')} onSubmit={submit} onClose={onClose}>
      {() => <>
        <CheckList label={t('nav.guests')} choices={guests} chosen={vms} onChange={setVms} none={t('access.pool.noGuests')} />
        <CheckList label={t('nav.storage')} choices={storages} chosen={chosen} onChange={setChosen} none={t('access.pool.noStorages')} />
      </>}
    </FormDialog>
  );
}

export interface Leaving { id: string; name: string; values: Readonly<Record<string, string>> }

export function RemoveMember({ pool, member, onClose }: { pool: string; member: Leaving; onClose: () => void }) {
  const submit = async (): Promise<void> => {
    await put('/pools', { poolid: pool, delete: true, ...member.values });
    changed();
  };
  return (
    <FormDialog title={t('access.pool.removeOf', { name: member.name, pool })} submit={t('access.pool.remove')} isDanger onSubmit={submit} onClose={onClose}>
      {() => <p>{t('access.pool.removeText')}</p>}
    </FormDialog>
  );
}

export function DeletePool({ pool, onClose }: { pool: Pool; onClose: () => void }) {
  const submit = async (): Promise<void> => {
    await del('/pools', { poolid: pool.poolid });
    changed();
    leaveTo('/access/pools');
  };
  return (
    <FormDialog title={t('access.pool.delete', { name: pool.poolid })} submit={t('access.delete')} isDanger typeName={pool.poolid} onSubmit={submit} onClose={onClose}>
      {() => <p>{pool.members?.length ? t('access.pool.notEmpty', { n: pool.members.length }) : t('access.pool.deleteText')}</p>}
    </FormDialog>
  );
}
