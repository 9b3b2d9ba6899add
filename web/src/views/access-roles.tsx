// Roles: sets of privileges. Those that are built in can be looked at and copied.
import { useState } from 'preact/hooks';
import { del, post, put } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { go, href } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Field } from '../parts/field.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Panel, Tag } from '../parts/small.tsx';
import type { Column } from '../parts/table.tsx';
import { changed, listOf, mayRoles, useAcl, useRoles, type Role } from './access-data.ts';
import { Gone, leaveTo, SearchedList, Thing } from './access-parts.tsx';
import { PrivilegeBoxes } from './access-privileges.tsx';

const roleHref = (id: string): string => href('access', 'roles', id);
const rolePath = (id: string): string => `/access/roles/${encodeURIComponent(id)}`;
const isBuiltIn = (r: Role): boolean => r.special === 1;

const COLUMNS: readonly Column<Role>[] = [
  { id: 'role', title: 'access.role', width: '12.5rem', cell: (r) => <span class="name-cell"><a href={roleHref(r.roleid)}>{r.roleid}</a></span>, sort: (r) => r.roleid },
  { id: 'kind', title: 'access.kind', width: '6rem', yields: 1, cell: (r) => (isBuiltIn(r) ? <span class="quiet">{t('access.builtIn')}</span> : t('access.own')), sort: (r) => r.special ?? 0 },
  { id: 'n', title: 'access.privilegesTitle', width: '7rem', isEnd: true, cell: (r) => listOf(r.privs).length, sort: (r) => listOf(r.privs).length },
  { id: 'privs', title: 'access.what', yields: 1, cell: (r) => <span class="mono quiet">{listOf(r.privs).join(', ')}</span> },
];

/** The built-in Administrator has every privilege there is. */
const everyPrivilege = (roles: readonly Role[]): string[] => [...new Set(roles.flatMap((r) => listOf(r.privs)))].sort();

interface DialogProps { roles: readonly Role[]; from: Role | null; isNew: boolean; onClose: () => void }

/** from: what a new one begins with, or the one that is changed. */
function RoleDialog({ roles, from, isNew, onClose }: DialogProps) {
  const [id, setId] = useState(isNew ? '' : from?.roleid ?? '');
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(listOf(from?.privs)));
  const privs = [...chosen].sort().join(',');
  const path = isNew ? '/access/roles' : rolePath(id);
  const values = isNew ? { roleid: id, privs } : { privs };
  const submit = async (): Promise<void> => {
    await (isNew ? post(path, values) : put(path, values));
    changed();
    if (isNew)
      go(roleHref(id));
  };
  const title = !isNew ? t('access.role.edit', { name: id }) : from ? t('access.role.copyOf', { name: from.roleid }) : t('access.role.create');
  return (
    <FormDialog title={title} submit={isNew ? t('access.create') : t('save')} isWide onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        {isNew && <Field label={t('access.name')} value={id} onInput={setId} error={errors['roleid']} isRequired hasFocus />}
        {errors['privs'] && <p class="field-error">{errors['privs']}</p>}
        <div class="privileges-box" tabIndex={0}><PrivilegeBoxes all={everyPrivilege(roles)} chosen={chosen} onChange={setChosen} /></div>
        <EqualCall method={isNew ? 'POST' : 'PUT'} path={path} values={values} />
      </>}
    </FormDialog>
  );
}

function DeleteRole({ role, uses, onClose }: { role: Role; uses: number; onClose: () => void }) {
  const submit = async (): Promise<void> => {
    await del(rolePath(role.roleid));
    changed();
    leaveTo('/access/roles');
  };
  return (
    <FormDialog title={t('access.role.delete', { name: role.roleid })} submit={t('access.delete')} isDanger typeName={role.roleid} onSubmit={submit} onClose={onClose}>
      {() => <p>{t('access.role.deleteText', { n: uses })}</p>}
    </FormDialog>
  );
}

export function RoleList() {
  const { value, error, reload } = useRoles();
  const [isCreating, setCreating] = useState(false);
  return (
    <>
      <SearchedList name="roles" label={t('access.roles')} columns={COLUMNS} list={value} error={error} onRetry={reload} idOf={(r) => r.roleid}
        textOf={(r) => `${r.roleid} ${r.privs ?? ''}`} onOpen={(r) => go(roleHref(r.roleid))}
        tools={mayRoles() && <Button tone="main" icon="plus" onClick={() => setCreating(true)}>{t('access.role.create')}</Button>}
        empty={{ icon: 'shield', title: t('access.roles'), help: t('access.emptyHelp') }} />
      {isCreating && value && <RoleDialog roles={value} from={null} isNew onClose={() => setCreating(false)} />}
    </>
  );
}

export function RolePage({ id }: { id: string }) {
  const { value, error, reload } = useRoles();
  const acl = useAcl();
  const [ask, setAsk] = useState<'edit' | 'copy' | 'delete' | null>(null);
  if (!value || !acl.value)
    return <Waiting error={error ?? acl.error} onRetry={error ? reload : acl.reload} />;
  const role = value.find((r) => r.roleid === id);
  if (!role)
    return <Gone back="/access/roles" backText={t('access.roles')} icon="shield" />;
  const uses = acl.value.filter((e) => e.roleid === id);
  const close = (): void => setAsk(null);
  return (
    <Thing back="/access/roles" backText={t('access.roles')} title={id} state={isBuiltIn(role) && <Tag name={t('access.builtIn')} />} tools={mayRoles() && <>
      <Button icon="copy" onClick={() => setAsk('copy')}>{t('access.copy')}</Button>
      {!isBuiltIn(role) && <Button icon="edit" onClick={() => setAsk('edit')}>{t('access.edit')}</Button>}
      {!isBuiltIn(role) && <Button icon="trash" onClick={() => setAsk('delete')}>{t('access.delete')}</Button>}
    </>}>
      <Panel title={t('access.privileges', { n: listOf(role.privs).length })}>
        <div class="pad"><PrivilegeBoxes all={everyPrivilege(value)} chosen={new Set(listOf(role.privs))} /></div>
      </Panel>
      <p class="quiet">{uses.length ? <a href={`/access/permissions?q=${encodeURIComponent(id)}`}>{t('access.role.uses', { n: uses.length })}</a> : t('access.role.uses', { n: 0 })}</p>
      {(ask === 'edit' || ask === 'copy') && <RoleDialog roles={value} from={role} isNew={ask === 'copy'} onClose={close} />}
      {ask === 'delete' && <DeleteRole role={role} uses={uses.length} onClose={close} />}
    </Thing>
  );
}
