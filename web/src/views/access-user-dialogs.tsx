// Dialogs about a user: make, change, set the password, delete.
import { useState } from 'preact/hooks';
import { ApiError, del, post, put, type Values } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import type { Realm } from '../core/session.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Check, Field, Select, TextArea } from '../parts/field.tsx';
import { CheckList } from './access-checklist.tsx';
import { changed, confirmed, groupValues, listOf, mayAllUsers, mayCreateIn, mayUseGroup, mustConfirm, userPath, type Group, type UserRow } from './access-data.ts';
import { DateField, fromLocal, leaveTo, NewPassword, OwnPassword, toLocal } from './access-parts.tsx';

interface Person { firstname: string; lastname: string; email: string; comment: string; expire: string; groups: ReadonlySet<string> }

const personOf = (u: UserRow | null): Person =>
  ({ firstname: u?.firstname ?? '', lastname: u?.lastname ?? '', email: u?.email ?? '', comment: u?.comment ?? '', expire: toLocal(u?.expire ?? 0), groups: new Set(listOf(u?.groups)) });

type Errors = Readonly<Record<string, string>>;

function PersonFields(p: { person: Person; onChange: (person: Person) => void; groups: readonly Group[]; errors: Errors; isOwner: boolean }) {
  const { person, errors } = p;
  const set = (part: Partial<Person>): void => p.onChange({ ...person, ...part });
  const choices = p.groups.map((g) => ({ id: g.groupid, text: g.groupid, detail: g.comment, isFixed: !mayUseGroup(g.groupid) }));
  return (
    <>
      <div class="fields-2">
        <Field label={t('access.firstname')} value={person.firstname} error={errors['firstname']} onInput={(firstname) => set({ firstname })} />
        <Field label={t('access.lastname')} value={person.lastname} error={errors['lastname']} onInput={(lastname) => set({ lastname })} />
      </div>
      <Field label={t('access.email')} value={person.email} error={errors['email']} onInput={(email) => set({ email })} />
      {(choices.length > 0 || p.isOwner) && <CheckList label={t('access.groups')} choices={choices} chosen={person.groups} onChange={(groups) => set({ groups })} none={t('access.groups.none')} />}
      <DateField label={t('access.expires')} value={person.expire} error={errors['expire']} help={t('access.expiresHelp')} onInput={(expire) => set({ expire })} />
      <TextArea label={t('access.comment')} value={person.comment} error={errors['comment']} onInput={(comment) => set({ comment })} />
    </>
  );
}

const valuesOf = (p: Person): Values => ({ firstname: p.firstname, lastname: p.lastname, email: p.email, comment: p.comment, expire: fromLocal(p.expire) });
const filled = (values: Values): Values => Object.fromEntries(Object.entries(values).filter(([, v]) => v !== '' && v !== 0));

function checkTwice(password: string, again: string): void {
  if (password !== again)
    throw new ApiError(400, t('access.differs'));
}

export function CreateUser(p: { realms: readonly Realm[]; groups: readonly Group[]; onClose: () => void }) {
  const realms = p.realms.filter((r) => mayCreateIn(r.realm, p.groups));
  const [name, setName] = useState('');
  const [realm, setRealm] = useState(realms.find((r) => r.realm === 'pve')?.realm ?? realms[0]?.realm ?? '');
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const [person, setPerson] = useState(personOf(null));
  const hasPassword = realms.find((r) => r.realm === realm)?.type === 'pve';
  const values: Values = { userid: `${name}@${realm}`, ...filled({ ...valuesOf(person), groups: [...person.groups].join(',') }) };
  const submit = async (): Promise<void> => {
    checkTwice(password, again);
    await post('/access/users', { ...values, ...(hasPassword && password ? { password } : {}) });
    changed();
  };
  return (
    <FormDialog title={t('access.user.create')} submit={t('access.create')} onSubmit={submit} onClose={p.onClose}>
      {(errors) => <>
        <div class="fields-2">
          <Field label={t('signin.name')} name="new-user" value={name} onInput={setName} error={errors['userid']} isRequired hasFocus />
          <Select label={t('signin.realm')} value={realm} onChange={setRealm} options={realms.map((r) => [r.realm, r.realm] as const)} />
        </div>
        {hasPassword
          ? <NewPassword value={password} again={again} onInput={setPassword} onAgain={setAgain} error={errors['password']} isRequired={false} />
          : <p class="quiet">{t('access.hostPassword')}</p>}
        <PersonFields person={person} onChange={setPerson} groups={p.groups} errors={errors} isOwner={false} />
        <EqualCall method="POST" path="/access/users" values={values} />
      </>}
    </FormDialog>
  );
}

export function EditUser(p: { user: UserRow; groups: readonly Group[]; onClose: () => void }) {
  const [person, setPerson] = useState(personOf(p.user));
  const [isEnabled, setEnabled] = useState(p.user.enable !== 0);
  const values: Values = { ...valuesOf(person), enable: isEnabled, ...groupValues(p.user, person.groups, mayAllUsers(), mayUseGroup) };
  const submit = async (): Promise<void> => {
    await put(userPath(p.user.userid), values);
    changed();
  };
  return (
    <FormDialog title={t('access.user.edit', { name: p.user.userid })} submit={t('save')} onSubmit={submit} onClose={p.onClose}>
      {(errors) => <>
        <Check label={t('access.mayLogin')} value={isEnabled} onChange={setEnabled} />
        <PersonFields person={person} onChange={setPerson} groups={p.groups} errors={errors} isOwner />
        <EqualCall method="PUT" path={userPath(p.user.userid)} values={values} />
      </>}
    </FormDialog>
  );
}

/** Somebody else's; one's own is on the account's page. */
export function SetPassword({ user, onClose }: { user: UserRow; onClose: () => void }) {
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const [own, setOwn] = useState('');
  const submit = async (): Promise<void> => {
    checkTwice(password, again);
    await confirmed('confirmation-password', () => put('/access/password', { userid: user.userid, password, ...(mustConfirm() ? { 'confirmation-password': own } : {}) }));
    changed();
  };
  return (
    <FormDialog title={t('access.password.of', { name: user.userid })} submit={t('access.password.set')} onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        <p>{t('access.password.text')}</p>
        <NewPassword value={password} again={again} onInput={setPassword} onAgain={setAgain} error={errors['password']} isRequired />
        {mustConfirm() && <OwnPassword value={own} onInput={setOwn} error={errors['confirmation-password']} />}
      </>}
    </FormDialog>
  );
}

export function DeleteUser({ user, onClose }: { user: UserRow; onClose: () => void }) {
  const submit = async (): Promise<void> => {
    await del(userPath(user.userid));
    changed();
    leaveTo('/access/users');
  };
  return (
    <FormDialog title={t('access.user.delete', { name: user.userid })} submit={t('access.delete')} isDanger typeName={user.userid} onSubmit={submit} onClose={onClose}>
      {() => <p>{t('access.user.deleteText')}</p>}
    </FormDialog>
  );
}
