"""What Proxmox VE checks inside its handlers and its API description does not say, as tables and small functions written by
hand: keys of a guest's configuration (KEY_RULES), routes (IN_CODE). Each check returns None when it passes, else what the
refusal says in parentheses."""
import functools
import re

from access.world import (ROOT, ROOT_ONLY, first, is_token, need, need_modify, need_root, normalize, owner, owns_task,
                          privileges, split)


def userid_group(world, who, privs, mode, params):
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


# --- what is checked in code: keys of a guest's configuration ---

CPU, MEMORY, DISK, CDROM = "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Disk", "VM.Config.CDROM"
NETWORK, HARDWARE, OPTIONS = "VM.Config.Network", "VM.Config.HWType", "VM.Config.Options"
DRIVE = re.compile(r"(ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0")
CLOUDINIT = ("VM.Config.Cloudinit", "VM.Config.Network")  # either

# Every key has exactly one row. Drives depend on their value and are not here.
KEY_RULES = [
    (CPU, "cores cpu cpulimit cpuunits numa numa[n] smp sockets vcpus"),
    (MEMORY, "memory balloon shares allow-ksm"),
    (HARDWARE, "acpi hotplug kvm machine scsihw smbios1 tablet vga watchdog audio0 rng0 serial[n] usb[n]"),
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
    """The drive of cloud-init counts as a disk."""
    return "media=cdrom" in value.split(",") and not re.match(r"(file=)?[^:,]+:(cloudinit|\d+/vm-\d+-cloudinit\.raw)(,|$)", value)


def _volume(world, who, request, volume):
    """An existing volume: the storage's administrator may use all, others what is their guest's; ISO images and the
    like need sight of the storage."""
    storage, _, name = volume.partition(":")
    if need(world, who, f"/storage/{storage}", ["Datastore.Allocate"]) is None:
        return None
    if name.startswith("snippets/"):
        return f"/storage/{storage}, Datastore.Allocate"
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
    if re.fullmatch(r"[^:]+:(\d+(\.\d+)?|cloudinit)", file):
        return need(world, who, "/storage/" + file.split(":")[0], ["Datastore.AllocateSpace"])
    return _volume(world, who, request, file)


def _bridge(world, who, value):
    """Who puts a guest on a bridge, or into one VLAN of it, may use that."""
    options = dict(item.partition("=")[::2] for item in value.split(","))
    if "bridge" not in options:
        return None
    bridge = f"/sdn/zones/localnetwork/{options['bridge']}"
    wanted = [bridge + (f"/{options['tag']}" if "tag" in options else "")]
    for part in filter(None, options.get("trunks", "").split(";")):
        first, _, last = part.partition("-")
        wanted += [f"{bridge}/{vlan}" for vlan in range(int(first), int(last or first) + 1)]
    return next((refused for path in wanted if (refused := need(world, who, path, ["SDN.Use"])) is not None), None)


def _usb(world, who, value):
    """A device of the host is root's to give, a mapping is who may use it."""
    options = dict(item.partition("=")[::2] if "=" in item else ("host", item) for item in value.split(","))
    if options.get("host", "spice") != "spice":
        return need_root(who)
    return need(world, who, f"/mapping/usb/{options['mapping']}", ["Mapping.Use"]) if "mapping" in options else None


def _cpu(world, who, value):
    model = value.split(",")[0].removeprefix("cputype=")
    if not model.startswith("custom-"):
        return None
    return need(world, who, f"/mapping/cpu/{model.removeprefix('custom-')}", ["Mapping.Use"])


def config_key(world, who, request, key, value):
    """May this key get this value (None: be removed)? request: vmid, pool, is_create, and current, the keys' values."""
    if key == "cdrom":  # another name
        key, value = "ide2", value if value is None or "media=" in value else value + ",media=cdrom"
    if DRIVE.fullmatch(key):
        return _drive(world, who, request, key, value)
    rule = key_rule(key)
    assert rule, f"no rule for {key}"
    if who == ROOT:
        return None
    if rule == "root":
        return ROOT_ONLY
    if isinstance(rule, tuple):
        check = _need_vm(world, who, request, list(rule), True)
        files = [item.partition("=")[2] for item in (value or "").split(",")] if key == "cicustom" and value else []
        return first(lambda: check, *[functools.partial(_volume, world, who, request, f) for f in files])
    check = _need_vm(world, who, request, [rule])
    if check is None and key in ALSO:
        return need(world, who, *ALSO[key])
    if check is None and re.fullmatch(r"usb\d+", key):
        return first(*[functools.partial(_usb, world, who, v) for v in (value, request["current"].get(key)) if v])
    if check is None and key == "cpu" and value:
        return _cpu(world, who, value)
    if check is None and key_rule(key) == NETWORK and value:
        return _bridge(world, who, value)
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
                 lambda: userid_group(world, who, ["User.Modify"], None, p) if is_token(who) else None)


def _monitor(world, who, p):
    """What tells is for who may look at the host; what acts is root's."""
    return None if p["command"].split()[:1] == ["info"] else need_root(who)


def _unlink(world, who, p):
    return config_keys(world, who, {"vmid": p["vmid"], "delete": p["idlist"]}, world.config_of(p["vmid"]))


def _move_disk(world, who, p):
    """Where it goes to; the storage of a disk that another guest gets is known once there is such a disk."""
    if "target-vmid" in p:
        return need(world, who, f"/vms/{p['target-vmid']}", ["VM.Config.Disk"])
    return need(world, who, f"/storage/{p['storage']}", ["Datastore.AllocateSpace"])


def _see_task(world, who, p):
    user = p["upid"].split(":")[7]
    return None if owns_task(who, user) else need(world, who, f"/nodes/{p['node']}", ["Sys.Audit"])


def _stop_task(world, who, p):
    user = p["upid"].split(":")[7]
    return None if owns_task(who, user) else need(world, who, f"/nodes/{p['node']}", ["Sys.Modify"])


def _bulk(world, who, p):
    """All guests, or each one that is named."""
    if need(world, who, "/", ["VM.PowerMgmt"]) is None:
        return None
    named = [functools.partial(need, world, who, f"/vms/{v}", ["VM.PowerMgmt"]) for v in split(p.get("vms"))]
    return first(*named) if named else "/, VM.PowerMgmt"


def _one_pool(world, who, p):
    return need(world, who, f"/pool/{p['poolid']}", ["Pool.Audit"]) if "poolid" in p else None


def _see_volume(world, who, p):
    """Of what is for reading; disks of guests are not asked about here."""
    path = f"/storage/{p['storage']}"
    if need(world, who, path, ["Datastore.Allocate"]) is None:
        return None
    return need(world, who, path, ["Datastore.Audit", "Datastore.AllocateSpace"], True)


def _change_volume(world, who, p):
    return need(world, who, f"/storage/{p['storage']}", ["Datastore.Allocate"])


_VM = "/nodes/{node}/qemu/{vmid}"
_VOLUME = "/nodes/{node}/storage/{storage}/content/{volume}"
_TOKEN = "/access/users/{userid}/token/{tokenid}"
_TASK = "/nodes/{node}/tasks/{upid}"
IN_CODE = {
    "POST /nodes/{node}/qemu": _create,
    f"DELETE {_VM}": _skiplock,
    f"PUT {_VM}/config": _configure,
    f"POST {_VM}/config": _configure,
    **{f"POST {_VM}/status/{op}": _skiplock for op in ("start", "stop", "shutdown", "reset", "suspend", "resume")},
    f"GET {_VOLUME}": _see_volume,
    f"PUT {_VOLUME}": _change_volume,
    f"DELETE {_VOLUME}": _change_volume,
    f"POST {_VM}/monitor": _monitor,
    f"POST {_VM}/move_disk": _move_disk,
    f"PUT {_VM}/unlink": _unlink,
    **{f"PUT {_VM}/{op}": _skiplock for op in ("sendkey", "resize")},
    "GET /pools": _one_pool,
    "PUT /pools": _pool_members,
    "PUT /pools/{poolid}": _pool_members,
    "PUT /access/acl": _grant,
    "GET /access/permissions": _see_permissions,
    "PUT /access/users/{userid}": _guard_root,
    "DELETE /access/users/{userid}": _guard_root,
    "PUT /access/password": _guard_root,
    **{f"{m} {_TOKEN}": _guard_token for m in ("POST", "PUT", "DELETE")},
    f"DELETE {_TASK}": _stop_task,
    **{f"POST /nodes/{{node}}/{what}": _bulk for what in ("startall", "stopall", "suspendall")},
    **{f"POST /cluster/bulk-action/guest/{what}": _bulk for what in ("start", "shutdown", "suspend")},
    **{f"GET {_TASK}{rest}": _see_task for rest in ("", "/status", "/log")},
}
