// Entries of the access configuration (GET /access/acl), as far as they concern one guest.

export interface AclEntry { path: string; propagate?: number }

/** On the guest itself; on its pool, whose own entries reach its members in any case; or above, where it is handed down. */
export function appliesTo(e: AclEntry, vmid: number, pool: string | undefined): boolean {
  if (e.path === `/vms/${vmid}` || (pool && e.path === `/pool/${pool}`))
    return true;
  const isAbove = e.path === '/' || e.path === '/vms' || (!!pool && (e.path === '/pool' || `/pool/${pool}`.startsWith(`${e.path}/`)));
  return isAbove && !!e.propagate;
}
