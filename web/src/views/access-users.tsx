// All users that one may see: state, groups, second factor, tokens.
import { useMemo, useState } from 'preact/hooks';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { go, href } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { State } from '../parts/state.tsx';
import type { Column } from '../parts/table.tsx';
import { fullName, isExpired, listOf, mayCreateIn, realmOf, useFactors, useGroups, useRealms, useUsers, type UserRow } from './access-data.ts';
import { Expiry, SearchedList, Tags, Validity } from './access-parts.tsx';
import { CreateUser } from './access-user-dialogs.tsx';

export const userHref = (userid: string): string => href('access', 'users', userid);
export const isLocked = (u: UserRow): boolean => u['totp-locked'] === 1 || (u['tfa-locked-until'] ?? 0) > now.value;

interface Row extends UserRow { factors: readonly string[] }

const kinds = (row: Row): string => [...new Set(row.factors)].map((f) => (f === 'totp' ? t('access.totp') : t('access.recovery'))).join(', ');

function Factors({ row }: { row: Row }) {
  if (isLocked(row))
    return <State state="warning" word={t('access.tfaLocked')} />;
  return row.factors.length ? <span class="row" title={kinds(row)}><Icon name="shield" /><span class="ellipsis">{kinds(row)}</span></span> : <span class="quiet">–</span>;
}

const COLUMNS: readonly Column<Row>[] = [
  { id: 'user', title: 'access.user', cell: (u) => <span class="name-cell"><a href={userHref(u.userid)}>{u.userid}</a><span class="quiet yields-1">{fullName(u)}</span></span>, sort: (u) => u.userid },
  { id: 'state', title: 'guest.status', width: '7.5rem', cell: (u) => <Validity enable={u.enable} expire={u.expire} />, sort: (u) => (u.enable === 0 ? 2 : isExpired(u.expire) ? 1 : 0) },
  { id: 'groups', title: 'access.groups', yields: 1, width: '9rem', cell: (u) => <Tags names={listOf(u.groups)} path={(g) => href('access', 'groups', g)} />, sort: (u) => u.groups || undefined },
  { id: 'factor', title: 'access.factor', yields: 1, width: '10rem', cell: (u) => <Factors row={u} />, sort: (u) => u.factors.length },
  { id: 'tokens', title: 'access.tokens', yields: 1, width: '6.5rem', isEnd: true, cell: (u) => u.tokens?.length || <span class="quiet">–</span>, sort: (u) => u.tokens?.length ?? 0 },
  { id: 'expire', title: 'access.expires', yields: 1, width: '8rem', cell: (u) => <Expiry expire={u.expire} />, sort: (u) => u.expire || undefined },
  { id: 'realm', title: 'signin.realm', yields: 2, width: '6rem', cell: (u) => realmOf(u.userid), sort: (u) => realmOf(u.userid) },
  { id: 'email', title: 'access.email', isHidden: true, yields: 2, width: '13rem', cell: (u) => u.email ?? '', sort: (u) => u.email },
  { id: 'comment', title: 'access.comment', isHidden: true, yields: 2, width: '12rem', cell: (u) => u.comment ?? '', sort: (u) => u.comment },
];

export function UserList() {
  const { value, error, reload } = useUsers();
  const factors = useFactors().value;
  const groups = useGroups().value ?? [], realms = useRealms().value ?? [];
  const [isCreating, setCreating] = useState(false);
  const rows = useMemo(() => value?.map((u): Row => ({ ...u, factors: factors?.find((f) => f.userid === u.userid)?.entries.filter((e) => e.enable !== 0).map((e) => e.type) ?? [] })) ?? null, [value, factors]);
  const mayCreate = realms.some((r) => mayCreateIn(r.realm, groups));
  return (
    <>
      <SearchedList name="users" label={t('access.users')} columns={COLUMNS} list={rows} error={error} onRetry={reload} idOf={(u) => u.userid}
        textOf={(u) => `${u.userid} ${fullName(u)} ${u.email ?? ''} ${u.comment ?? ''} ${u.groups ?? ''}`} onOpen={(u) => go(userHref(u.userid))}
        tools={mayCreate && <Button tone="main" icon="plus" onClick={() => setCreating(true)}>{t('access.user.create')}</Button>}
        empty={{ icon: 'user', title: t('access.users.none'), help: t('access.emptyHelp') }} />
      {isCreating && <CreateUser realms={realms} groups={groups} onClose={() => setCreating(false)} />}
    </>
  );
}
