"""Who may do what in Proxmox VE: an evaluator that shares nothing with the product but the names.

It reads tests/data/pve-api.json (the permission expression of every method) and tests/data/pve-roles-privs.json (what
the built-in roles hold). What Proxmox VE checks inside its handlers, and its API description does not say, stands in the
tables below, written by hand: KEY_RULES, IN_CODE and the filters of lists. A `World` is who there is and what was
granted; `privileges()` is the resolver; `decide()` answers for one request.
"""
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


def _fill(template, params):
    missing = [n for n in re.findall(r"{([^}]+)}", template) if n not in params]
    return None if missing else normalize(re.sub(r"{([^}]+)}", lambda m: str(params[m[1]]), template))


def _userid_group(world, who, privs, mode, params):
    """Through groups: User.Modify on /access/groups is for everybody; on single groups it is for their members, and a
    request that sets groups must name some and have the right on each."""
    if need(world, who, "/access/groups", privs, True) is None:
        return None
    mine = {g for g in world.groups if need(world, who, f"/access/groups/{g}", privs, True) is None}
    if mode:
        named = split(params.get("groups"))
        if not named:
            return "/access/groups, " + "|".join(privs)
        for g in named:
            if g not in mine:
                return f"/access/groups/{g}, " + "|".join(privs)
    if mode != "create":
        user = world.users.get(params.get("userid"))
        if not user or not user.groups & mine:
            return ""
    return None


def evaluate(world, who, expression, params):
    """One expression of the API description."""
    kind, rest = expression[0], expression[1:]
    if kind == "and":
        return first(*[functools.partial(evaluate, world, who, e, params) for e in rest])
    if kind == "or":
        reason = ""
        for e in rest:
            reason = evaluate(world, who, e, params)
            if reason is None:
                return None
        return reason if rest[-1][0] == "and" else ""  # an "and" says why it fails here too, the others are silent
    if kind == "perm":
        options = dict(zip(rest[2::2], rest[3::2]))
        path = _fill(rest[0], params)
        if path is None or (options.get("require_param") and options["require_param"] not in params):
            return ""
        return need(world, who, path, rest[1], bool(options.get("any")))
    if kind == "userid-param":
        if rest[0] == "self":
            return None if params.get("userid") == who else ""
        return need(world, who, "/access/realm/" + params["userid"].rsplit("@", 1)[1], [rest[0]])
    if kind == "userid-group":
        options = dict(zip(rest[1::2], rest[2::2]))
        return _userid_group(world, who, rest[0], options.get("groups_param"), params)
    if kind == "perm-modify":
        return need_modify(world, who, _fill(rest[0], params))
    raise AssertionError(f"unknown expression {expression}")


# --- what is checked in code: keys of a guest's configuration ---

CPU, MEMORY, DISK, CDROM = "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Disk", "VM.Config.CDROM"
NETWORK, HARDWARE, OPTIONS = "VM.Config.Network", "VM.Config.HWType", "VM.Config.Options"
DRIVE = re.compile(r"(ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0")
CLOUDINIT = ("VM.Config.Cloudinit", "VM.Config.Network")  # either

# Every key has exactly one row. Drives depend on their value and are not here.
KEY_RULES = [
    (CPU, "cores cpu cpulimit cpuunits numa numa[n] smp sockets vcpus"),
    (MEMORY, "memory balloon shares allow-ksm"),
    (HARDWARE, "acpi hotplug kvm machine scsihw smbios1 tablet vga watchdog audio0 rng0 serial[n]"),
    (OPTIONS, "agent autostart bios description keyboard localtime migrate_downtime migrate_speed name onboot ostype "
              "protection reboot startdate startup tdf template tags"),
    ("VM.PowerMgmt", "freeze"),
    (DISK, "boot bootdisk vmstatestorage unused[n]"),
    (NETWORK, "net[n]"),
    (CLOUDINIT, "cicustom cipassword citype ciuser ciupgrade nameserver searchdomain sshkeys ipconfig[n]"),
    ("root", "args hookscript lock parallel[n] vmgenid affinity hugepages keephugepages arch ivshmem "
             "spice_enhancements amd-sev intel-tdx"),
    # Not PVE's: which program runs a guest and what it boots is its hardware.
    (HARDWARE, "engine kernel initrd cmdline"),
]
# Besides the key's own: it changes the host's behaviour.
ALSO = {"startup": ("/", ["Sys.Modify"])}


@functools.cache
def key_rule(key):
    """The privilege for a key, a tuple of which one is enough, "root", or None for drives and unknown keys."""
    name = re.sub(r"\d+$", "[n]", key)
    for privilege, keys in KEY_RULES:
        if key in keys.split() or name in keys.split():
            return privilege
    return None


def _need_vm(world, who, request, privs, is_any=False):
    """On the guest, or on the pool that it is being made in."""
    pool = request.get("pool")
    if pool and need(world, who, f"/pool/{pool}", privs, is_any) is None:
        return None
    return need(world, who, f"/vms/{request['vmid']}", privs, is_any)


def _is_cdrom(value):
    return "media=cdrom" in value.split(",")


def _volume(world, who, request, volume):
    """An existing volume: the storage's administrator may use all, others what is their guest's; ISO images and the
    like need sight of the storage."""
    storage, _, name = volume.partition(":")
    if need(world, who, f"/storage/{storage}", ["Datastore.Allocate"]) is None:
        return None
    owned = re.fullmatch(r"(?:\d+/)?vm-(\d+)-.*", name)
    if not owned:
        return need(world, who, f"/storage/{storage}", ["Datastore.Audit", "Datastore.AllocateSpace"], True)
    vmid = int(owned[1])
    if vmid == int(request["vmid"]) and not request.get("is_create"):
        return None
    if vmid not in world.guests or vmid == int(request["vmid"]):  # left behind by somebody: nobody's to take
        return f"/storage/{storage}, Datastore.Allocate"
    return first(need(world, who, f"/storage/{storage}", ["Datastore.Audit"]),
                 lambda: need(world, who, f"/vms/{vmid}", [DISK]))


def _drive(world, who, request, key, value):
    """A CD-ROM has its own privilege, but not to be removed, nor to take the place of a disk."""
    old = request.get("current", {}).get(key)
    privs = [CDROM] if value and _is_cdrom(value) else [DISK]
    if old and not _is_cdrom(old) and DISK not in privs:
        privs.append(DISK)
    check = _need_vm(world, who, request, privs)
    file = (value or "none").split(",")[0].removeprefix("file=")
    if check is not None or file == "none":
        return check
    if re.fullmatch(r"[^:]+:\d+(\.\d+)?", file):
        return need(world, who, "/storage/" + file.split(":")[0], ["Datastore.AllocateSpace"])
    return _volume(world, who, request, file)


def config_key(world, who, request, key, value):
    """May this key get this value (None: be removed)? request: vmid, pool, is_create, and current, the keys' values."""
    if DRIVE.fullmatch(key):
        return _drive(world, who, request, key, value)
    rule = key_rule(key)
    assert rule, f"no rule for {key}"
    if who == ROOT:
        return None
    if rule == "root":
        return ROOT_ONLY
    if isinstance(rule, tuple):
        return _need_vm(world, who, request, list(rule), True)
    check = _need_vm(world, who, request, [rule])
    if check is None and key in ALSO:
        return need(world, who, *ALSO[key])
    if check is None and key in ("kernel", "initrd") and value:
        return _volume(world, who, request, value)
    return check


NOT_CONFIG = {"node", "vmid", "pool", "dry-run", "digest", "delete", "revert", "force", "skiplock", "start", "storage"}


def config_keys(world, who, params, current=None, is_create=False):
    request = {"vmid": params["vmid"], "pool": params.get("pool"), "is_create": is_create, "current": current or {}}
    checks = [functools.partial(config_key, world, who, request, k, v) for k, v in params.items() if k not in NOT_CONFIG]
    checks += [functools.partial(config_key, world, who, request, k, None)
               for k in split(params.get("delete")) + split(params.get("revert"))]
    return first(*checks)


# --- what is checked in code: routes ---

def _create(world, who, p):
    return first(_need_vm(world, who, p, ["VM.Allocate"]), lambda: config_keys(world, who, p, is_create=True))


def _skiplock(world, who, p):
    return need_root(who) if p.get("skiplock") else None


def _configure(world, who, p):
    return first(_skiplock(world, who, p), lambda: config_keys(world, who, p, world.config_of(p["vmid"])))


def _pool_members(world, who, p):
    """Members change who has rights on them: that is a change of their permissions."""
    checks = []
    for v in split(p.get("vms")):
        checks.append(lambda v=v: need_modify(world, who, f"/vms/{v}"))
        other = world.pool_of_guest.get(int(v))
        if p.get("allow-move") and other and other != p["poolid"]:
            checks.append(lambda o=other: need(world, who, f"/pool/{o}", ["Pool.Allocate"]))
    checks += [lambda s=s: need_modify(world, who, f"/storage/{s}") for s in split(p.get("storage"))]
    return first(*checks)


def _grant(world, who, p):
    """Nobody grants what he does not have, nor further down than he has it."""
    path = normalize(p["path"])
    held = privileges(world, who, path)
    propagate = bool(int(p.get("propagate", 1)))
    if who == ROOT or int(p.get("delete", 0)):
        return None
    for role in split(p["roles"]):
        if any(x not in held or (propagate and not held[x]) for x in world.roles[role]):
            return f"{path}, cannot grant role '{role}' without having it"
    return None


def _see_permissions(world, who, p):
    other = p.get("userid", who)
    if other == who or (not is_token(who) and owner(other) == who):
        return None
    return need(world, who, "/access", ["Sys.Audit"])


def _guard_root(world, who, p):
    return need_root(who) if p["userid"] == ROOT else None


def _guard_token(world, who, p):
    """A token does not change its user's tokens, or it would make itself a stronger one."""
    return first(_guard_root(world, who, p),
                 lambda: _userid_group(world, who, ["User.Modify"], None, p) if is_token(who) else None)


def _see_task(world, who, p):
    user = p["upid"].split(":")[7]
    return None if owns_task(who, user) else need(world, who, f"/nodes/{p['node']}", ["Sys.Audit"])


def _one_pool(world, who, p):
    return need(world, who, f"/pool/{p['poolid']}", ["Pool.Audit"]) if "poolid" in p else None


_VM = "/nodes/{node}/qemu/{vmid}"
_TOKEN = "/access/users/{userid}/token/{tokenid}"
_TASK = "/nodes/{node}/tasks/{upid}"
IN_CODE = {
    "POST /nodes/{node}/qemu": _create,
    f"DELETE {_VM}": _skiplock,
    f"PUT {_VM}/config": _configure,
    f"POST {_VM}/config": _configure,
    **{f"POST {_VM}/status/{op}": _skiplock for op in ("start", "stop", "shutdown", "reset", "suspend", "resume")},
    "GET /pools": _one_pool,
    "PUT /pools": _pool_members,
    "PUT /pools/{poolid}": _pool_members,
    "PUT /access/acl": _grant,
    "GET /access/permissions": _see_permissions,
    "PUT /access/users/{userid}": _guard_root,
    "DELETE /access/users/{userid}": _guard_root,
    "PUT /access/password": _guard_root,
    **{f"{m} {_TOKEN}": _guard_token for m in ("POST", "PUT", "DELETE")},
    **{f"GET {_TASK}{rest}": _see_task for rest in ("", "/status", "/log")},
}


# Routes that PVE does not have, as if its description had them.
_AUDIT = {"permissions": {"check": ["perm", "/", ["Sys.Audit"]]}}
OWN_ROUTES = {
    "DELETE /access/ticket": {"permissions": {"user": "world"}, "allowtoken": 0},
    "GET /cluster/audit": _AUDIT,
    "GET /cluster/audit/verify": _AUDIT,
}


def known_facts(method, template):
    return facts.method_facts(method, template) or OWN_ROUTES.get(f"{method} {template}")


@dataclass
class Decision:
    """status: 200 (allowed, whatever comes of it), 401 or 403; reason: what the text of a 403 has in parentheses, ""
    for nothing."""
    status: int
    reason: str = None


def decide(world, who, method, template, params, is_ticket=True):
    """who: "" for nobody, a user with a ticket, or a token."""
    known = known_facts(method, template)
    assert known, f"no facts of {method} {template}"
    permission = known.get("permissions") or {}
    is_world = permission.get("user") == "world"
    is_active = who and (who == ROOT or owner(who) in world.users and world.users[owner(who)].is_active)
    if not is_active and not (is_world and not is_token(who)):
        return Decision(401)
    if is_token(who) and not known.get("allowtoken", 1):
        return Decision(403, f"URI '{_fill(template, params)}' not available with API token, need proper ticket.")
    if is_world:
        return Decision(200)
    reason = need_root(who) if not permission else None
    if permission.get("check"):
        reason = evaluate(world, who, permission["check"], params)
    if reason is None:
        reason = IN_CODE.get(f"{method} {template}", lambda *_: None)(world, who, params)
    return Decision(200) if reason is None else Decision(403, reason)


# --- what lists show ---

def owns_task(who, user):
    """A user owns what his tokens start; a token only its own."""
    return who == user or (not is_token(who) and owner(user) == who)


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
    return {path: privs for path, privs in result.items() if privs}


TOP_PATHS = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"]


def listed_paths(world):
    """Paths that GET /access/permissions looks at when none is named."""
    paths = set(TOP_PATHS) | {e.path for e in world.acl}
    paths |= {f"/vms/{v}" for v, pool in world.pool_of_guest.items() if pool in world.pools}
    return paths | {f"/storage/{s}" for s, pools in world.pools_of_storage.items() if set(pools) & world.pools}
