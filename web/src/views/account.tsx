// One's own things: session, password, second factors, tokens, and what one may do.
import { useState } from 'preact/hooks';
import { ApiError } from '../core/api.ts';
import { ago, dateTime, duration } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { href, type PathParams } from '../core/router.ts';
import { changeOwnPassword, LIFE_S, renewedAt, signOut, user } from '../core/session.ts';
import { notify } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { Facts, Panel } from '../parts/small.tsx';
import { confirmed, fullName, listOf, realmOf, useFactorsOf, useUsers, type UserRow } from './access-data.ts';
import { EffectivePermissions } from './access-effective.tsx';
import { FactorPanel } from './access-factors.tsx';
import { Expiry, NewPassword, OwnPassword, Tags } from './access-parts.tsx';
import { TokenPanel } from './access-tokens.tsx';

function PasswordDialog({ onClose }: { onClose: () => void }) {
  const [own, setOwn] = useState('');
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const submit = async (): Promise<void> => {
    if (password !== again)
      throw new ApiError(400, t('access.differs'));
    await confirmed('confirmation-password', () => changeOwnPassword(own, password));
    notify({ tone: 'good', text: t('access.password.done') });
  };
  return (
    <FormDialog title={t('account.password')} submit={t('access.password.set')} onSubmit={submit} onClose={onClose}>
      {(errors) => <>
        <p>{t('account.passwordText')}</p>
        <OwnPassword value={own} onInput={setOwn} error={errors['confirmation-password']} hasFocus />
        <NewPassword value={password} again={again} onInput={setPassword} onAgain={setAgain} error={errors['password']} isRequired />
      </>}
    </FormDialog>
  );
}

function Session({ row, onPassword }: { row: UserRow; onPassword: () => void }) {
  const ends = renewedAt.value + LIFE_S;
  return (
    <Panel title={t('account.session')} tools={<>
      <Button icon="key" onClick={onPassword}>{t('account.password')}</Button>
      <Button icon="power" onClick={() => void signOut()}>{t('signout')}</Button>
    </>}>
      <Facts facts={[
        [t('access.user'), row.userid], [t('signin.realm'), realmOf(row.userid)],
        [t('access.name'), fullName(row) || '–'], [t('access.email'), row.email || '–'],
        [t('access.groups'), <Tags names={listOf(row.groups)} path={(g) => href('access', 'groups', g)} />],
        [t('access.expires'), <Expiry expire={row.expire} />],
        [t('account.renewed'), <time class="num" title={dateTime(renewedAt.value)}>{ago(renewedAt.value, now.value)}</time>],
        [t('account.ends'), <span class="num">{t('account.endsIn', { time: duration(ends - now.value) })}</span>],
      ]} />
      <p class="quiet pad-last">{t('account.sessionHelp')}</p>
    </Panel>
  );
}

export default function Account(_p: { params: PathParams }) {
  const users = useUsers().value;
  const factors = useFactorsOf(user.value);
  const [isChanging, setChanging] = useState(false);
  const row = users?.find((u) => u.userid === user.value) ?? { userid: user.value };
  return (
    <div class="view">
      <header class="view-head row wrap"><h1>{t('nav.account')}</h1></header>
      <Session row={row} onPassword={() => setChanging(true)} />
      <div class="board">
        <FactorPanel userid={user.value} factors={factors.value} error={factors.error} onRetry={factors.reload} mayChange />
        <TokenPanel user={row} mayChange />
      </div>
      <EffectivePermissions who={user.value} />
      {isChanging && <PasswordDialog onClose={() => setChanging(false)} />}
    </div>
  );
}
