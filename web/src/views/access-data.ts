// What the access screens show, and who may change it. Of these things the server pushes no events: they are loaded
// again after each change made here, and now and then.
import { signal } from '@preact/signals';
import { ApiError, get } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { can, canAnywhere } from '../core/perms.ts';
import { user, type Realm } from '../core/session.ts';
import { useLoad } from '../parts/use.ts';

export interface TokenInfo { tokenid: string; expire?: number; privsep?: number; comment?: string }
export interface UserRow {
  userid: string; enable?: number; expire?: number; firstname?: string; lastname?: string; email?: string; comment?: string; groups?: string;
  tokens?: readonly TokenInfo[]; 'realm-type'?: string; 'totp-locked'?: number; 'tfa-locked-until'?: number;
}
export interface Group { groupid: string; comment?: string; users?: string }
export interface Role { roleid: string; privs?: string; special?: number }
export type AclType = 'user' | 'group' | 'token';
export interface AclEntry { path: string; type: AclType; ugid: string; roleid: string; propagate?: number }
export interface Factor { id: string; type: string; description: string; created: number; enable?: number }
export interface UserFactors { userid: string; entries: readonly Factor[] }
export interface Member { id: string; type: string; vmid?: number; name?: string; node?: string; storage?: string; status?: string }
export interface Pool { poolid: string; comment?: string; members?: readonly Member[] }
export interface Token extends TokenInfo { id: string; userid: string }

const RELOAD_S = 30;
const changes = signal(0);

/** After a change: every list that is shown is loaded anew. */
export const changed = (): void => { changes.value++; };
const version = (): string => `${changes.value} ${Math.floor(now.value / RELOAD_S)}`;

const useList = <T>(path: string, values: Readonly<Record<string, string>> = {}) =>
  useLoad(`${path} ${JSON.stringify(values)}`, version(), () => get<T[]>(path, values));

export const useUsers = () => useList<UserRow>('/access/users', { full: '1' });
export const useGroups = () => useList<Group>('/access/groups');
export const useRoles = () => useList<Role>('/access/roles');
export const useAcl = () => useList<AclEntry>('/access/acl');
export const useFactors = () => useList<UserFactors>('/access/tfa');
export const useRealms = () => useList<Realm>('/access/domains');
export const usePools = () => useList<Pool>('/pools');
export const usePool = (poolid: string) => useList<Pool>('/pools', { poolid });
export const useFactorsOf = (userid: string) => useList<Factor>(`/access/tfa/${encodeURIComponent(userid)}`);
export const usePermissions = (userid: string, path = '') =>
  useLoad(`permissions ${userid} ${path}`, version(), () => get<Record<string, Record<string, number>>>('/access/permissions', { userid, path: path || undefined }));

export const listOf = (text: string | undefined): string[] => (text ?? '').split(/[,; ]+/).filter(Boolean);
export const realmOf = (userid: string): string => userid.slice(userid.lastIndexOf('@') + 1);
export const isExpired = (expire: number | undefined): boolean => !!expire && expire <= now.value;
export const tokensOf = (users: readonly UserRow[]): Token[] =>
  users.flatMap((u) => (u.tokens ?? []).map((k) => ({ ...k, id: `${u.userid}!${k.tokenid}`, userid: u.userid })));
export const userPath = (userid: string): string => `/access/users/${encodeURIComponent(userid)}`;
export const tokenPath = (userid: string, tokenid: string): string => `${userPath(userid)}/token/${encodeURIComponent(tokenid)}`;
export const fullName = (u: UserRow): string => [u.firstname, u.lastname].filter(Boolean).join(' ');

export const isSelf = (userid: string): boolean => userid === user.value;
const isRoot = (): boolean => user.value === 'root@pam';
export const mayUseGroup = (groupid: string): boolean => can(`/access/groups/${groupid}`, 'User.Modify');
export const mayAllUsers = (): boolean => can('/access/groups', 'User.Modify');

/** Only root@pam changes root@pam; others by a right on all users, or on a group that the user is in. */
export const mayModify = (u: UserRow): boolean =>
  (u.userid !== 'root@pam' || isRoot()) && (mayAllUsers() || listOf(u.groups).some(mayUseGroup));
const mayAllocate = (realm: string): boolean => can(`/access/realm/${realm}`, 'Realm.AllocateUser');
export const mayDeleteUser = (u: UserRow): boolean => u.userid !== 'root@pam' && mayModify(u) && mayAllocate(realmOf(u.userid));
export const mayCreateIn = (realm: string, groups: readonly Group[]): boolean => mayAllocate(realm) && (mayAllUsers() || groups.some((g) => mayUseGroup(g.groupid)));
export const mayTokens = (u: UserRow): boolean => isSelf(u.userid) || mayModify(u);
/** An account of the host is its owner's and root@pam's. */
export const maySetPassword = (u: UserRow): boolean =>
  isSelf(u.userid) || (u['realm-type'] === 'pam' ? isRoot() : mayModify(u) && mayAllocate(realmOf(u.userid)));
export const mayGroups = (): boolean => can('/access/groups', 'Group.Allocate');
export const mayRoles = (): boolean => can('/access', 'Sys.Modify');
export const mayRealms = (): boolean => can('/access/realm', 'Realm.Allocate');
export const mayPool = (poolid: string): boolean => can(`/pool/${poolid}`, 'Pool.Allocate');
export const maySeePermissionsOf = (userid: string): boolean => isSelf(userid) || isSelf(userid.split('!')[0] ?? '') || can('/access', 'Sys.Audit');
/** root@pam need not confirm what it does to passwords. */
export const mustConfirm = (): boolean => !isRoot();

const ALSO: readonly (readonly [string, string])[] = [['/vms/', 'VM.Allocate'], ['/storage/', 'Datastore.Allocate'], ['/pool/', 'Pool.Allocate']];

/** Permissions.Modify, or below /vms, /storage and /pool the right to make such an object. */
export const mayAcl = (path: string): boolean => can(path, 'Permissions.Modify') || ALSO.some(([above, privilege]) => path.startsWith(above) && can(path, privilege));
export const mayAclAnywhere = (): boolean => canAnywhere('Permissions.Modify') || ALSO.some(([, privilege]) => canAnywhere(privilege));
/** Nobody grants what he does not have. */
export const mayGrant = (role: Role, path: string): boolean => isRoot() || listOf(role.privs).every((p) => can(path, p));

/** A change that is confirmed with a password: a 401 says that it was the wrong one. field: the parameter's name. */
export async function confirmed<T>(field: 'password' | 'confirmation-password', call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (e) {
    if (e instanceof ApiError && e.status === 401)
      throw new ApiError(401, t('access.passwordWrong'), { fields: { [field]: t('access.passwordWrong') } });
    throw e;
  }
}

/** Which groups a change of a user names. Who may not change all users names those of his own groups, and leaves the rest. */
export function groupValues(u: UserRow, chosen: ReadonlySet<string>, mayAll: boolean, mayUse: (groupid: string) => boolean): { groups?: string; append?: boolean } {
  const old = listOf(u.groups);
  if (mayAll)
    return { groups: [...chosen].join(',') };
  const own = [...chosen].filter(mayUse);
  return old.every(mayUse) ? { groups: own.join(',') } : { groups: own.join(','), append: true };
}
