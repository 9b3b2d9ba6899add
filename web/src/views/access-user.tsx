// One user: who it is, groups, tokens, second factors, and what he may do where.
import { useState } from 'preact/hooks';
import { put } from '../core/api.ts';
import { dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { href } from '../core/router.ts';
import { act } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Facts, Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { EffectivePermissions } from './access-effective.tsx';
import { changed, fullName, groupValues, isSelf, listOf, mayAllUsers, mayDeleteUser, mayModify, mayTokens, mayUseGroup, maySeePermissionsOf, maySetPassword, realmOf, useFactorsOf, useGroups, userPath, useUsers, type UserRow } from './access-data.ts';
import { Expiry, Gone, Tags, Thing, Validity } from './access-parts.tsx';
import { FactorPanel } from './access-factors.tsx';
import { TokenPanel } from './access-tokens.tsx';
import { DeleteUser, EditUser, SetPassword } from './access-user-dialogs.tsx';
import { isLocked } from './access-users.tsx';

function Locked({ user }: { user: UserRow }) {
  const until = user['tfa-locked-until'];
  const unlock = async (): Promise<void> => {
    await act(t('access.unlockOf', { name: user.userid }), () => put(`${userPath(user.userid)}/unlock-tfa`));
    changed();
  };
  return (
    <div class="notice row wrap" role="status">
      <State state="warning" isBare /><span class="grow">{until ? t('access.lockedUntil', { time: dateTime(until) }) : t('access.totpLocked')}</span>
      {mayModify(user) && <Button onClick={() => void unlock()}>{t('access.unlock')}</Button>}
    </div>
  );
}

function Factors({ user }: { user: UserRow }) {
  const { value, error, reload } = useFactorsOf(user.userid);
  return <FactorPanel userid={user.userid} factors={value} error={error} onRetry={reload} mayChange={isSelf(user.userid) || mayModify(user)} />;
}

type Ask = 'edit' | 'password' | 'delete' | null;

export function UserPage({ id }: { id: string }) {
  const { value, error, reload } = useUsers();
  const groups = useGroups().value ?? [];
  const [ask, setAsk] = useState<Ask>(null);
  if (!value)
    return <Waiting error={error} onRetry={reload} />;
  const user = value.find((u) => u.userid === id);
  if (!user)
    return <Gone back="/access/users" backText={t('access.users')} icon="user" />;
  const toggle = async (): Promise<void> => {
    const isOn = user.enable !== 0;
    await act(isOn ? t('access.disableOf', { name: id }) : t('access.enableOf', { name: id }), () =>
      put(userPath(id), { enable: !isOn, ...(mayAllUsers() ? {} : groupValues(user, new Set(listOf(user.groups)), false, mayUseGroup)) }));
    changed();
  };
  const close = (): void => setAsk(null);
  return (
    <Thing back="/access/users" backText={t('access.users')} title={id} state={<Validity enable={user.enable} expire={user.expire} />} tools={<>
      {mayModify(user) && <Button icon="edit" onClick={() => setAsk('edit')}>{t('access.edit')}</Button>}
      {isSelf(id) ? <a class="button plain" href="/account">{t('nav.account')}</a> : maySetPassword(user) && <Button icon="key" onClick={() => setAsk('password')}>{t('access.password.set')}</Button>}
      {mayModify(user) && !isSelf(id) && id !== 'root@pam' && <Button onClick={() => void toggle()}>{user.enable === 0 ? t('access.enable') : t('access.disable')}</Button>}
      {mayDeleteUser(user) && !isSelf(id) && <Button icon="trash" onClick={() => setAsk('delete')}>{t('access.delete')}</Button>}
    </>}>
      {isLocked(user) && <Locked user={user} />}
      <Panel title={t('guest.about')}>
        <Facts facts={[
          [t('access.name'), fullName(user) || '–'], [t('access.email'), user.email || '–'], [t('signin.realm'), realmOf(id)],
          [t('access.expires'), <Expiry expire={user.expire} />], [t('access.groups'), <Tags names={listOf(user.groups)} path={(g) => href('access', 'groups', g)} />],
          [t('access.comment'), user.comment || '–'],
        ]} />
      </Panel>
      <div class="board">
        <Factors user={user} />
        <TokenPanel user={user} mayChange={mayTokens(user)} />
      </div>
      {maySeePermissionsOf(id) && <EffectivePermissions who={id} />}
      {ask === 'edit' && <EditUser user={user} groups={groups} onClose={close} />}
      {ask === 'password' && <SetPassword user={user} onClose={close} />}
      {ask === 'delete' && <DeleteUser user={user} onClose={close} />}
    </Thing>
  );
}
