// Where a privilege comes from. The server says what somebody may do; which entries of the ACL say so is worked out here
// by the same rules: from / down, a level that says something replaces what came from above; the subject's own entries
// come before those of its groups; a pool adds to its guests and storages. Pure.
import type { AclEntry, AclType } from './access-data.ts';

export interface Subject { type: AclType; id: string; groups: readonly string[] }

/** The paths from / down to this one. */
export function levels(path: string): string[] {
  const parts = path.split('/').filter(Boolean);
  return ['/', ...parts.map((_, i) => `/${parts.slice(0, i + 1).join('/')}`)];
}

function atLevel(acl: readonly AclEntry[], who: Subject, level: string, isEnd: boolean): AclEntry[] {
  const here = acl.filter((e) => e.path === level && (isEnd || e.propagate === 1));
  const own = here.filter((e) => e.type === who.type && e.ugid === who.id);
  if (own.length || who.type === 'token')
    return own;
  return here.filter((e) => e.type === 'group' && who.groups.includes(e.ugid));
}

/** The entries that count on a path, before pools. */
export function entriesFor(acl: readonly AclEntry[], who: Subject, path: string): AclEntry[] {
  let found: AclEntry[] = [];
  for (const level of levels(path)) {
    const here = atLevel(acl, who, level, level === path);
    if (here.length)
      found = here;
  }
  return found;
}

/** pools: those that the guest or storage of the path is in. NoAccess on the path itself is not softened by them. */
export function sourcesOf(acl: readonly AclEntry[], who: Subject, path: string, pools: readonly string[]): AclEntry[] {
  const own = entriesFor(acl, who, path);
  if (own.some((e) => e.roleid === 'NoAccess'))
    return own;
  return [...own, ...pools.flatMap((pool) => entriesFor(acl, who, `/pool/${pool}`))];
}

/** For each privilege the entries whose role has it. */
export function byPrivilege(sources: readonly AclEntry[], privilegesOf: (roleid: string) => readonly string[]): Map<string, AclEntry[]> {
  const out = new Map<string, AclEntry[]>();
  for (const entry of sources)
    for (const privilege of privilegesOf(entry.roleid))
      out.set(privilege, [...(out.get(privilege) ?? []), entry]);
  return out;
}
