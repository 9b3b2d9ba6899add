"""Who there is and what was granted (`World`), and what somebody may do on a path (`privileges`): Proxmox VE's rules of
levels, groups, pools and tokens, written down again without a look at the product's."""
import functools
import json
import re
from dataclasses import dataclass, field

from lib import facts

ROOT = "root@pam"
ROOT_ONLY = "user != root@pam"


@functools.cache
def _roles_file():
    with open(f"{facts.TOP}/tests/data/pve-roles-privs.json", encoding="utf-8") as f:
        return json.load(f)


def all_privileges():
    return list(_roles_file()["privileges"])


def builtin_roles():
    return {name: frozenset(privs) for name, privs in _roles_file()["roles"].items()}


@dataclass
class User:
    groups: set = field(default_factory=set)
    is_active: bool = True  # enabled and not expired


@dataclass(frozen=True)
class Entry:
    """One line of the ACL. kind: user, group or token."""
    path: str
    kind: str
    name: str
    role: str
    propagate: bool = True


class World:
    """Users, groups, tokens, roles, pools and the ACL."""

    def __init__(self):
        self.users, self.tokens, self.groups = {}, {}, set()  # tokens: full id -> is separated
        self.roles = dict(builtin_roles())
        self.held = {}  # (path, user, group or token) -> {role: does it propagate}
        self.pools = set()
        self.pool_of_guest, self.pools_of_storage = {}, {}
        self.guests, self.storages = set(), set()

    def grant(self, path, name, role, propagate=True):
        self.held.setdefault((path, name), {})[role] = propagate

    def ungrant(self, path, name, role):
        self.held.get((path, name), {}).pop(role, None)

    @property
    def acl(self):
        return [Entry(path, kind_of(name), name, role, propagate)
                for (path, name), roles in list(self.held.items()) for role, propagate in roles.items()]


def kind_of(name):
    return "token" if "!" in name else "user" if "@" in name else "group"


def is_token(who):
    return "!" in who


def owner(who):
    return who.split("!")[0]


# --- the resolver ---

def _levels(path):
    """'/vms/100' -> '/', '/vms', '/vms/100'."""
    parts = [p for p in path.split("/") if p]
    return ["/"] + ["/" + "/".join(parts[:i + 1]) for i in range(len(parts))]


def _matching(world, level, is_final, names):
    """{role: does it propagate} of the entries that count here; None if there are none."""
    found = {}
    for name in names:
        for role, propagate in world.held.get((level, name), {}).items():
            if is_final or propagate:
                found[role] = found.get(role, False) or propagate
    return found or None


def roles_on(world, who, path):
    """Roles by the ACL alone: each level that speaks of somebody replaces what was inherited."""
    held = {}
    levels = _levels(path)
    for level in levels:
        here = _matching(world, level, level == levels[-1], [who])
        if here is None and not is_token(who):
            here = _matching(world, level, level == levels[-1], world.users[who].groups & world.groups)
        if here is not None:
            held = here
    return {"NoAccess": held["NoAccess"]} if "NoAccess" in held else held


def _pools_of(world, path):
    kind, _, name = path.lstrip("/").partition("/")
    if kind == "vms" and name.isdigit():
        pool = world.pool_of_guest.get(int(name))
        return {pool} & world.pools
    if kind == "storage":
        return set(world.pools_of_storage.get(name, ())) & world.pools
    return set()


def _with_pools(world, who, path):
    """Roles on the pools of a guest or storage are added and do not propagate; NoAccess beats all, on either side."""
    held = dict(roles_on(world, who, path))
    from_pools = set()
    for pool in _pools_of(world, path):
        from_pools |= set(roles_on(world, who, f"/pool/{pool}"))
    if "NoAccess" in held:
        return held
    if "NoAccess" in from_pools:
        return {"NoAccess": False}
    return {**{role: False for role in from_pools}, **held}


def privileges(world, who, path):
    """{privilege: does it propagate} of a user or token on a path."""
    if who == ROOT:
        return {p: True for p in all_privileges()}
    if not is_token(who):
        return _of_roles(world, _with_pools(world, who, path)) if who in world.users else {}
    if who not in world.tokens:
        return {}
    of_user = privileges(world, owner(who), path)
    if not world.tokens[who]:
        return of_user
    own = _of_roles(world, _with_pools(world, who, path))
    return {p: own[p] and of_user[p] for p in own if p in of_user}


def _of_roles(world, held):
    result = {}
    for role, propagate in held.items():
        for p in world.roles.get(role, ()):
            result[p] = result.get(p, False) or propagate
    return result


# --- checks: each returns None when it passes, else what stands in the parentheses of the refusal ("" for nothing) ---

def need(world, who, path, privs, is_any=False):
    held = privileges(world, who, path)
    missing = [p for p in privs if p not in held]
    if (len(missing) < len(privs)) if is_any else not missing:
        return None
    return f"{path}, " + ("|".join(privs) if is_any else missing[0])


def need_root(who):
    """Root's tokens are not root here."""
    return None if who == ROOT else ROOT_ONLY


def need_modify(world, who, path):
    """To change the ACL of a path: Permissions.Modify, or the right to make the object that the path is about."""
    also = {"storage": "Datastore.Allocate", "vms": "VM.Allocate", "pool": "Pool.Allocate"}
    top, _, rest = path.lstrip("/").partition("/")
    privs = ["Permissions.Modify"] + ([also[top]] if rest and top in also else [])
    return need(world, who, path, privs, True)


def first(*checks):
    """All must pass; the first refusal counts. Callables are asked only if all before passed."""
    for c in checks:
        c = c() if callable(c) else c
        if c is not None:
            return c
    return None


def normalize(path):
    return "/" + "/".join(p for p in path.split("/") if p)


def split(text):
    return [t for t in re.split(r"[,;\s]+", text or "") if t]


def owns_task(who, user):
    """A user owns what his tokens start; a token only its own."""
    return who == user or (not is_token(who) and owner(user) == who)
