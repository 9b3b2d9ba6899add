// Users, groups, roles, permissions, tokens, realms, pools: one tab each, and one page for each thing in them.
import type { ComponentType } from 'preact';
import { t, type Key } from '../core/i18n.ts';
import { href, type PathParams } from '../core/router.ts';
import { Empty, Tabs } from '../parts/small.tsx';
import { AclList } from './access-acl.tsx';
import { Check } from './access-check.tsx';
import { GroupList, GroupPage } from './access-groups.tsx';
import { PoolList, PoolPage } from './access-pools.tsx';
import { RealmList } from './access-realms.tsx';
import { RoleList, RolePage } from './access-roles.tsx';
import { TokenList, TokenPage } from './access-tokens.tsx';
import { UserPage } from './access-user.tsx';
import { UserList } from './access-users.tsx';

interface TabRow { id: string; title: Key; list: ComponentType; page?: ComponentType<{ id: string }> }

const TABS: readonly TabRow[] = [
  { id: 'users', title: 'access.users', list: UserList, page: UserPage },
  { id: 'groups', title: 'access.groups', list: GroupList, page: GroupPage },
  { id: 'roles', title: 'access.roles', list: RoleList, page: RolePage },
  { id: 'permissions', title: 'access.permissions', list: AclList },
  { id: 'check', title: 'access.check', list: Check },
  { id: 'tokens', title: 'access.tokens', list: TokenList, page: TokenPage },
  { id: 'realms', title: 'access.realms', list: RealmList },
  { id: 'pools', title: 'access.pools', list: PoolList, page: PoolPage },
];

export default function Access({ params }: { params: PathParams }) {
  const id = params['tab'] ?? 'users';
  const row = TABS.find((r) => r.id === id);
  const thing = params['id'];
  if (!row || (thing !== undefined && !row.page))
    return <Empty icon="search" title={t('notFound')}><a href="/access">{t('nav.access')}</a></Empty>;
  if (thing !== undefined && row.page)
    return <row.page key={thing} id={thing} />;
  return (
    <div class={id === 'check' ? 'view' : 'view full'}>
      <header class="view-head row wrap"><h1>{t('nav.access')}</h1></header>
      <Tabs label={t('nav.access')} current={href('access', id)} tabs={TABS.map((r) => [href('access', r.id), t(r.title)] as const)} />
      <row.list key={id} />
    </div>
  );
}
