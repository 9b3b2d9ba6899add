// Realms: where users come from. Two are built in; further ones keep their own passwords.
import { useState } from 'preact/hooks';
import { del, post, put } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import type { Realm } from '../core/session.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Check, Field } from '../parts/field.tsx';
import { Tag } from '../parts/small.tsx';
import type { Column } from '../parts/table.tsx';
import { isLoaded } from '../parts/use.ts';
import { changed, mayRealms, realmOf, useRealms, useUsers } from './access-data.ts';
import { SearchedList } from './access-parts.tsx';

type Ask = { kind: 'create' } | { kind: 'edit' | 'delete'; realm: Realm } | null;
const isBuiltIn = (realm: string): boolean => realm === 'pam' || realm === 'pve';
const realmPath = (realm: string): string => `/access/domains/${encodeURIComponent(realm)}`;

/** realm null: a new one. */
function RealmDialog({ realm, onClose }: { realm: Realm | null; onClose: () => void }) {
  const [id, setId] = useState(realm?.realm ?? '');
  const [comment, setComment] = useState(realm?.comment ?? '');
  const [isDefault, setDefault] = useState(realm?.default === 1);
  const path = realm ? realmPath(id) : '/access/domains';
  const values = realm ? { comment, default: isDefault } : { realm: id, type: 'pve', comment: comment || undefined, default: isDefault || undefined };
  const submit = async (): Promise<void> => {
    await (realm ? put(path, values) : post(path, values));
    changed();
  };
  return (
    <FormDialog title={realm ? t('access.realm.edit', { name: id }) : t('access.realm.create')} submit={realm ? t('save') : t('access.create')} onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        {!realm && <p class="quiet">{t('access.realm.text')}</p>}
        {!realm && <Field label={t('access.name')} value={id} onInput={setId} error={errors['realm']} isRequired hasFocus />}
        <Field label={t('access.comment')} help={t('access.realm.commentHelp')} value={comment} onInput={setComment} error={errors['comment']} hasFocus={!!realm} />
        <Check label={t('access.realm.default')} help={t('access.realm.defaultHelp')} value={isDefault} onChange={setDefault} />
        <EqualCall method={realm ? 'PUT' : 'POST'} path={path} values={values} />
      </>}
    </FormDialog>
  );
}

function DeleteRealm({ realm, onClose }: { realm: string; onClose: () => void }) {
  const submit = async (): Promise<void> => {
    await del(realmPath(realm));
    changed();
  };
  return (
    <FormDialog title={t('access.realm.delete', { name: realm })} submit={t('access.delete')} isDanger typeName={realm} onSubmit={submit} onClose={onClose}>
      {() => <p>{t('access.realm.deleteText')}</p>}
    </FormDialog>
  );
}

interface Row extends Realm { users: number }

function Tools({ row, onAsk }: { row: Row; onAsk: (ask: Ask) => void }) {
  if (!mayRealms())
    return null;
  return (
    <span class="row cell-tools">
      <Button tone="ghost" icon="edit" label={t('access.realm.edit', { name: row.realm })} onClick={() => onAsk({ kind: 'edit', realm: row })} />
      {!isBuiltIn(row.realm) && <Button tone="ghost" icon="trash" label={t('access.realm.delete', { name: row.realm })} onClick={() => onAsk({ kind: 'delete', realm: row })} />}
    </span>
  );
}

export function RealmList() {
  const { value, error, reload } = useRealms();
  const users = useUsers();
  const [ask, setAsk] = useState<Ask>(null);
  const rows = value && isLoaded(users) ? value.map((r): Row => ({ ...r, users: users.value?.filter((u) => realmOf(u.userid) === r.realm).length ?? 0 })) : null;
  const columns: Column<Row>[] = [
    { id: 'realm', title: 'signin.realm', cell: (r) => <span class="row"><strong>{r.realm}</strong>{r.default === 1 && <Tag name={t('access.realm.isDefault')} />}</span>, sort: (r) => r.realm },
    { id: 'kind', title: 'access.realm.passwords', yields: 1, width: '11rem', cell: (r) => (r.type === 'pam' ? t('access.realm.pam') : t('access.realm.pve')), sort: (r) => r.type },
    { id: 'users', title: 'access.users', width: '7rem', isEnd: true, yields: 1, cell: (r) => (r.users ? <a href={`/access/users?q=${encodeURIComponent(`@${r.realm}`)}`}>{r.users}</a> : 0), sort: (r) => r.users },
    { id: 'comment', title: 'access.comment', yields: 1, width: '22rem', cell: (r) => r.comment ?? '', sort: (r) => r.comment },
    { id: 'tools', title: 'access.actions', width: '7rem', isEnd: true, cell: (r) => <Tools row={r} onAsk={setAsk} /> },
  ];
  return (
    <>
      <SearchedList name="realms" label={t('access.realms')} columns={columns} list={rows} error={error} onRetry={reload} idOf={(r) => r.realm} textOf={(r) => `${r.realm} ${r.comment ?? ''}`}
        tools={mayRealms() && <Button tone="main" icon="plus" onClick={() => setAsk({ kind: 'create' })}>{t('access.realm.create')}</Button>}
        empty={{ icon: 'out', title: t('access.realms'), help: t('access.emptyHelp') }} />
      {ask && ask.kind !== 'delete' && <RealmDialog realm={ask.kind === 'edit' ? ask.realm : null} onClose={() => setAsk(null)} />}
      {ask?.kind === 'delete' && <DeleteRealm realm={ask.realm.realm} onClose={() => setAsk(null)} />}
    </>
  );
}
