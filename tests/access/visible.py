"""What lists show to whom."""
from access.world import need, need_modify, owns_task, privileges


def _has(world, who, path, privs):
    return need(world, who, path, privs, True) is None


def visible_guests(world, who):
    return {v for v in world.guests if _has(world, who, f"/vms/{v}", ["VM.Audit"])}


def visible_storages(world, who, privs=("Datastore.Audit", "Datastore.AllocateSpace")):
    return {s for s in world.storages if _has(world, who, f"/storage/{s}", list(privs))}


def visible_pools(world, who):
    return {p for p in world.pools if _has(world, who, f"/pool/{p}", ["Pool.Audit"])}


def visible_groups(world, who):
    return {g for g in world.groups
            if _has(world, who, f"/access/groups/{g}", ["User.Modify", "Sys.Audit", "Group.Allocate"])}


def visible_users(world, who):
    privs = ["User.Modify", "Sys.Audit"]
    if _has(world, who, "/access/groups", privs):
        return set(world.users)
    mine = {g for g in world.groups if _has(world, who, f"/access/groups/{g}", privs)}
    return {u for u, user in world.users.items() if u == who or user.groups & mine}


def visible_acl(world, who):
    sees_all = _has(world, who, "/access", ["Sys.Audit"])
    return {e for e in world.acl if sees_all or need_modify(world, who, e.path) is None}


def visible_tasks(world, who, tasks, path):
    """tasks: {upid: who started it}; path: where Sys.Audit shows all of them."""
    sees_all = _has(world, who, path, ["Sys.Audit"])
    return {upid for upid, user in tasks.items() if sees_all or owns_task(who, user)}


def effective(world, who, paths):
    """What GET /access/permissions answers for these paths."""
    result = {path: {p: int(v) for p, v in privileges(world, who, path).items()} for path in paths}
    return {path: privs for path, privs in result.items() if privs or _is_cut_off(world, who, path)}


def _is_cut_off(world, who, path):
    """Something is handed down to it and does not reach it."""
    return path != "/" and any(privileges(world, who, path.rpartition("/")[0] or "/").values())


TOP_PATHS = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"]


def listed_paths(world):
    """Paths that GET /access/permissions looks at when none is named."""
    paths = set(TOP_PATHS) | {e.path for e in world.acl}
    paths |= {f"/vms/{v}" for v, pool in world.pool_of_guest.items() if pool in world.pools}
    return paths | {f"/storage/{s}" for s, pools in world.pools_of_storage.items() if set(pools) & world.pools}
