// The ACL: which role a user, group or token has on which path.
import { useState } from 'preact/hooks';
import { ApiError, put, type Values } from '../core/api.ts';
import { t, type Key } from '../core/i18n.ts';
import { href, place } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Check, Select } from '../parts/field.tsx';
import { Icon } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Panel } from '../parts/small.tsx';
import { Suggest } from '../parts/suggest.tsx';
import type { Column } from '../parts/table.tsx';
import { changed, mayAcl, mayAclAnywhere, mayGrant, tokensOf, useAcl, useGroups, useRoles, useUsers, type AclEntry, type AclType } from './access-data.ts';
import { SearchedList } from './access-parts.tsx';
import { normalPath, PathField, pathText } from './access-path.tsx';

const TYPES: readonly (readonly [AclType, Key, 'user' | 'group' | 'key', string, keyof Lists])[] = [
  ['user', 'access.user', 'user', 'users', 'users'], ['group', 'access.group', 'group', 'groups', 'groups'], ['token', 'access.token', 'key', 'tokens', 'tokens'],
];
interface Lists { users: readonly string[]; groups: readonly string[]; tokens: readonly string[] }

const rowOf = (type: AclType) => TYPES.find(([id]) => id === type) ?? TYPES[0]!;
const idOf = (e: AclEntry): string => `${e.path} ${e.type} ${e.ugid} ${e.roleid}`;
export const whoHref = (type: AclType, id: string): string => href('access', rowOf(type)[3], id);

export function Who({ type, id }: { type: AclType; id: string }) {
  return <span class="row name-cell"><Icon name={rowOf(type)[2]} /><span class="hidden-text">{t(rowOf(type)[1])}</span><a class="ellipsis" title={id} href={whoHref(type, id)}>{id}</a></span>;
}

const valuesOf = (e: AclEntry): Values => ({ path: e.path, roles: e.roleid, [rowOf(e.type)[4]]: e.ugid });

function Path({ path }: { path: string }) {
  const text = pathText(path);
  return <><span class="mono" title={path}>{path}</span>{text && <span class="quiet"> {text}</span>}</>;
}

const columnsFor = (onRemove: (e: AclEntry) => void): Column<AclEntry>[] => [
  { id: 'path', title: 'access.path', width: '28%', cell: (e) => <Path path={e.path} />, sort: (e) => e.path },
  { id: 'who', title: 'access.who', cell: (e) => <Who type={e.type} id={e.ugid} />, sort: (e) => e.ugid },
  { id: 'role', title: 'access.role', width: '25%', cell: (e) => <a title={e.roleid} href={href('access', 'roles', e.roleid)}>{e.roleid}</a>, sort: (e) => e.roleid },
  { id: 'propagate', title: 'access.below', yields: 1, width: '7rem', cell: (e) => (e.propagate === 1 ? t('yes') : <span class="quiet">{t('no')}</span>), sort: (e) => e.propagate ?? 0 },
  { id: 'tools', title: 'access.actions', width: '4.25rem', isEnd: true, cell: (e) => mayAcl(e.path) && <Button tone="ghost" icon="trash" label={t('access.acl.removeOf', { who: e.ugid, path: e.path })} onClick={() => onRemove(e)} /> },
];

function useLists(): Lists {
  const users = useUsers().value ?? [], groups = useGroups().value ?? [];
  return { users: users.map((u) => u.userid), groups: groups.map((g) => g.groupid), tokens: tokensOf(users).map((k) => k.id) };
}

interface Fixed { path?: string; type?: AclType; id?: string }

export function AddEntry({ fixed, onClose }: { fixed: Fixed; onClose: () => void }) {
  const lists = useLists();
  const roles = useRoles().value ?? [];
  const [path, setPath] = useState(fixed.path ?? '/');
  const [type, setType] = useState<AclType>(fixed.type ?? 'user');
  const [who, setWho] = useState(fixed.id ?? '');
  const [role, setRole] = useState('');
  const [isBelow, setBelow] = useState(true);
  const param = rowOf(type)[4];
  const own = roles.filter((r) => mayGrant(r, normalPath(path)));
  const values: Values = { path: normalPath(path), roles: role, [param]: who, propagate: isBelow };
  const submit = async (): Promise<void> => {
    if (!role) // an empty list of roles would be taken, and do nothing
      throw new ApiError(400, t('access.acl.needsRole'), { fields: { roles: t('access.acl.needsRole') } });
    await put('/access/acl', values);
    changed();
  };
  return (
    <FormDialog title={t('access.acl.add')} submit={t('access.acl.grant')} onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        <PathField value={path} onInput={setPath} error={errors['path']} hasFocus={!fixed.path} />
        {fixed.id ? <p><Who type={type} id={fixed.id} /></p> : <div class="fields-who">
          <Select label={t('access.kind')} value={type} options={TYPES.map(([id, key]) => [id, t(key)] as const)} onChange={(v) => { setType(rowOf(v as AclType)[0]); setWho(''); }} />
          <Suggest label={t('access.who')} value={who} onInput={setWho} error={errors[param]} suggestions={lists[param].map((id) => [id, ''] as const)} isRequired />
        </div>}
        <Select label={t('access.role')} value={role} error={errors['roles']} help={own.length < roles.length ? t('access.acl.onlyOwn') : undefined} onChange={setRole}
          options={[['', t('picker.choose')], ...own.map((r) => [r.roleid, r.roleid] as const)]} />
        <Check label={t('access.acl.propagate')} value={isBelow} onChange={setBelow} />
        <EqualCall method="PUT" path="/access/acl" values={values} />
      </>}
    </FormDialog>
  );
}

function RemoveEntry({ entry, onClose }: { entry: AclEntry; onClose: () => void }) {
  const submit = async (): Promise<void> => {
    await put('/access/acl', { ...valuesOf(entry), delete: true });
    changed();
  };
  return (
    <FormDialog title={t('access.acl.remove')} submit={t('access.acl.take')} isDanger onSubmit={submit} onClose={onClose}>
      {() => <p>{t('access.acl.removeText', { who: entry.ugid, role: entry.roleid, path: entry.path })}</p>}
    </FormDialog>
  );
}

/** ?path= and ?who= narrow the list, beside the search. */
export function AclList() {
  const { value, error, reload } = useAcl();
  const [isAdding, setAdding] = useState(false);
  const [removed, setRemoved] = useState<AclEntry | null>(null);
  const { query } = place.value;
  const path = query.get('path'), who = query.get('who');
  const rows = value?.filter((e) => (!path || e.path === path) && (!who || e.ugid === who)) ?? null;
  return (
    <>
      <SearchedList name="acl" label={t('access.permissions')} columns={columnsFor(setRemoved)} list={rows} error={error} onRetry={reload} idOf={idOf}
        textOf={(e) => `${e.path} ${pathText(e.path)} ${e.ugid} ${e.roleid}`}
        tools={mayAclAnywhere() && <Button tone="main" icon="plus" onClick={() => setAdding(true)}>{t('access.acl.add')}</Button>}
        empty={{ icon: 'key', title: t('access.acl.none'), help: t('access.acl.help') }} />
      {isAdding && <AddEntry fixed={path ? { path } : {}} onClose={() => setAdding(false)} />}
      {removed && <RemoveEntry entry={removed} onClose={() => setRemoved(null)} />}
    </>
  );
}

interface PanelProps { type?: AclType; id?: string; path?: string; /** Entries of other paths that hold here as well. */ also?: (e: AclEntry) => boolean }

/** The entries of one user, group or token, or those on one path. */
export function AclPanel({ type, id, path, also }: PanelProps) {
  const acl = useAcl();
  const [isAdding, setAdding] = useState(false);
  const [removed, setRemoved] = useState<AclEntry | null>(null);
  const list = acl.value?.filter((e) => (path ? e.path === path || also?.(e) : e.type === type && e.ugid === id));
  const mayAdd = path ? mayAcl(path) : mayAclAnywhere();
  return (
    <Panel title={path ? t('access.acl.here') : t('access.acl.given')} tools={mayAdd && <Button icon="plus" onClick={() => setAdding(true)}>{t('access.acl.add')}</Button>}>
      {!list ? <Waiting error={acl.error} onRetry={acl.reload} /> : list.length === 0 ? <p class="quiet pad">{t('access.acl.none')}</p> : <ul class="rows">
        {list.map((e) => (
          <li key={idOf(e)}>
            {path ? <span class="grow"><Who type={e.type} id={e.ugid} /></span> : <span class="grow"><Path path={e.path} /></span>}
            <a href={href('access', 'roles', e.roleid)}>{e.roleid}</a>
            {path && e.path !== path && <a class="mono quiet" href={`${href('access', 'permissions')}?path=${encodeURIComponent(e.path)}`}>{t('access.acl.from', { path: e.path })}</a>}
            {e.propagate !== 1 && <span class="quiet">{t('access.acl.hereOnly')}</span>}
            {(!path || e.path === path) && mayAcl(e.path) && <Button tone="ghost" icon="trash" label={t('access.acl.removeOf', { who: e.ugid, path: e.path })} onClick={() => setRemoved(e)} />}
          </li>
        ))}
      </ul>}
      {isAdding && <AddEntry fixed={path ? { path } : { ...(type ? { type } : {}), ...(id ? { id } : {}) }} onClose={() => setAdding(false)} />}
      {removed && <RemoveEntry entry={removed} onClose={() => setRemoved(null)} />}
    </Panel>
  );
}
