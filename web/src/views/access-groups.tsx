// Groups and who is in them. Membership is a matter of the user: it needs the right to change him.
import { useState } from 'preact/hooks';
import { del, post, put } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { go, href } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Field } from '../parts/field.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Panel } from '../parts/small.tsx';
import type { Column } from '../parts/table.tsx';
import { AclPanel } from './access-acl.tsx';
import { CheckList } from './access-checklist.tsx';
import { changed, fullName, groupValues, listOf, mayAllUsers, mayGroups, mayModify, mayUseGroup, useGroups, userPath, useUsers, type Group, type UserRow } from './access-data.ts';
import { Gone, leaveTo, SearchedList, Tags, Thing } from './access-parts.tsx';
import { userHref } from './access-users.tsx';

const groupHref = (id: string): string => href('access', 'groups', id);
const groupPath = (id: string): string => `/access/groups/${encodeURIComponent(id)}`;

const COLUMNS: readonly Column<Group>[] = [
  { id: 'group', title: 'access.group', cell: (g) => <span class="name-cell"><a href={groupHref(g.groupid)}>{g.groupid}</a></span>, sort: (g) => g.groupid },
  { id: 'n', title: 'access.members', width: '7rem', isEnd: true, cell: (g) => listOf(g.users).length, sort: (g) => listOf(g.users).length },
  { id: 'members', title: 'access.users', yields: 1, width: '22rem', cell: (g) => <Tags names={listOf(g.users)} path={userHref} /> },
  { id: 'comment', title: 'access.comment', yields: 1, width: '16rem', cell: (g) => g.comment ?? '', sort: (g) => g.comment },
];

/** group null: a new one. */
function GroupDialog({ group, onClose }: { group: Group | null; onClose: () => void }) {
  const [id, setId] = useState(group?.groupid ?? '');
  const [comment, setComment] = useState(group?.comment ?? '');
  const values = group ? { comment } : { groupid: id, comment: comment || undefined };
  const path = group ? groupPath(id) : '/access/groups';
  const submit = async (): Promise<void> => {
    await (group ? put(path, values) : post(path, values));
    changed();
  };
  return (
    <FormDialog title={group ? t('access.group.edit', { name: id }) : t('access.group.create')} submit={group ? t('save') : t('access.create')} onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        {!group && <Field label={t('access.name')} value={id} onInput={setId} error={errors['groupid']} isRequired hasFocus />}
        <Field label={t('access.comment')} value={comment} onInput={setComment} error={errors['comment']} hasFocus={!!group} />
        <EqualCall method={group ? 'PUT' : 'POST'} path={path} values={values} />
      </>}
    </FormDialog>
  );
}

/** One call for each user whose membership changes: the API keeps groups with the user. */
function MembersDialog({ group, users, onClose }: { group: Group; users: readonly UserRow[]; onClose: () => void }) {
  const before = new Set(listOf(group.users));
  const [chosen, setChosen] = useState<ReadonlySet<string>>(before);
  const choices = users.map((u) => ({ id: u.userid, text: u.userid, detail: fullName(u), isFixed: !mayModify(u) && !mayUseGroup(group.groupid) }));
  const submit = async (): Promise<void> => {
    try {
      for (const u of users) {
        if (chosen.has(u.userid) === before.has(u.userid))
          continue;
        const next = new Set(listOf(u.groups));
        if (chosen.has(u.userid))
          next.add(group.groupid);
        else
          next.delete(group.groupid);
        await put(userPath(u.userid), groupValues(u, next, mayAllUsers(), mayUseGroup));
      }
    } finally {
      changed(); // also of a part
    }
  };
  return (
    <FormDialog title={t('access.membersOf', { name: group.groupid })} submit={t('save')} onSubmit={submit} onClose={onClose}>
      {() => <CheckList label={t('access.users')} choices={choices} chosen={chosen} onChange={setChosen} none={t('access.users.none')} />}
    </FormDialog>
  );
}

function DeleteGroup({ group, onClose }: { group: Group; onClose: () => void }) {
  const submit = async (): Promise<void> => {
    await del(groupPath(group.groupid));
    changed();
    leaveTo('/access/groups');
  };
  return (
    <FormDialog title={t('access.group.delete', { name: group.groupid })} submit={t('access.delete')} isDanger typeName={group.groupid} onSubmit={submit} onClose={onClose}>
      {() => <p>{t('access.group.deleteText')}</p>}
    </FormDialog>
  );
}

export function GroupList() {
  const { value, error, reload } = useGroups();
  const [isCreating, setCreating] = useState(false);
  return (
    <>
      <SearchedList name="groups" label={t('access.groups')} columns={COLUMNS} list={value} error={error} onRetry={reload} idOf={(g) => g.groupid}
        textOf={(g) => `${g.groupid} ${g.comment ?? ''} ${g.users ?? ''}`} onOpen={(g) => go(groupHref(g.groupid))}
        tools={mayGroups() && <Button tone="main" icon="plus" onClick={() => setCreating(true)}>{t('access.group.create')}</Button>}
        empty={{ icon: 'group', title: t('access.groups.none'), help: t('access.groups.help') }} />
      {isCreating && <GroupDialog group={null} onClose={() => setCreating(false)} />}
    </>
  );
}

export function GroupPage({ id }: { id: string }) {
  const { value, error, reload } = useGroups();
  const users = useUsers().value ?? [];
  const [ask, setAsk] = useState<'edit' | 'members' | 'delete' | null>(null);
  if (!value)
    return <Waiting error={error} onRetry={reload} />;
  const group = value.find((g) => g.groupid === id);
  if (!group)
    return <Gone back="/access/groups" backText={t('access.groups')} icon="group" />;
  const members = listOf(group.users);
  const close = (): void => setAsk(null);
  return (
    <Thing back="/access/groups" backText={t('access.groups')} title={id} state={group.comment && <span class="quiet">{group.comment}</span>} tools={<>
      {mayGroups() && <Button icon="edit" onClick={() => setAsk('edit')}>{t('access.edit')}</Button>}
      {mayGroups() && <Button icon="trash" onClick={() => setAsk('delete')}>{t('access.delete')}</Button>}
    </>}>
      <Panel title={t('access.members')} tools={mayUseGroup(id) && users.length > 0 && <Button icon="edit" onClick={() => setAsk('members')}>{t('access.membersEdit')}</Button>}>
        {members.length === 0 ? <p class="quiet pad">{t('access.membersNone')}</p>
          : <ul class="rows">{members.map((m) => <li key={m}><a href={userHref(m)}>{m}</a><span class="quiet ellipsis">{fullName(users.find((u) => u.userid === m) ?? { userid: m })}</span></li>)}</ul>}
      </Panel>
      <AclPanel type="group" id={id} />
      {ask === 'edit' && <GroupDialog group={group} onClose={close} />}
      {ask === 'members' && <MembersDialog group={group} users={users} onClose={close} />}
      {ask === 'delete' && <DeleteGroup group={group} onClose={close} />}
    </Thing>
  );
}
