"""What is checked in code: with exactly what a request needs it passes, with everything but one of it it is refused and
the text says what was missing. What is needed is written here and must be what the evaluator says too.
"""
import itertools
import json
import re
from dataclasses import dataclass, field

from access.evaluate import decide
from access.ground import Ground
from access.world import all_privileges
from lib import facts
from lib.tap import main, test

VM, OTHER, NEW = 951, 952, 960
CONFIG = "/nodes/{node}/qemu/{vmid}/config"
CONFIG_ANY = ["VM.Config.Disk", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network",
              "VM.Config.HWType", "VM.Config.Options", "VM.Config.Cloudinit"]


@dataclass
class Need:
    """One of `privs` on `path`. instead: (path, privilege) pairs that make it unnecessary; keep: paths below those where
    they stay; text: what a refusal says."""
    path: str
    privs: list
    instead: list = field(default_factory=list)
    keep: list = field(default_factory=list)
    text: str = None
    is_propagated: bool = False

    def reason(self):
        return self.text if self.text is not None else f"{self.path}, " + "|".join(self.privs)


def on(path, *privs, **more):
    return Need(path, list(privs), **more)


@dataclass
class Case:
    method: str
    template: str
    params: dict
    needs: list
    undo: tuple = ()  # (method, path, params) to make it as it was
    status: object = 200  # of the request that has what it needs; None: any but 401 and 403


class Court:
    """Asks with exactly the rights and with all but one."""
    numbers = itertools.count()  # the tests of this file share a node

    def __init__(self, node):
        self.node, self.ground = node, Ground(node)
        self.roles, self.wrong, self.n = {}, [], 0

    def role(self, privs):
        privs = frozenset(privs)
        if privs not in self.roles:
            self.roles[privs] = f"Rule{next(self.numbers)}"
            self.ground.role(self.roles[privs], sorted(privs))
        return self.roles[privs]

    def user(self, grants):
        """A new user with {path: privileges}; those of "/" propagate."""
        name = f"r{next(self.numbers)}@pve"
        self.ground.user(name)
        for path, (privs, propagate) in grants.items():
            self.ground.grant(path, name, self.role(privs), propagate)
        return name

    def ask(self, case, who):
        names = re.findall(r"{(\w+)}", case.template)
        params = {"node": self.node.name, **case.params}
        path = case.template.format(**params)
        sent = {k: v for k, v in case.params.items() if k not in names}
        reply = self.ground.call(who, case.method, path, sent)
        expected = decide(self.ground.world, who, case.method, case.template, params)
        self.n += 1
        if reply.status == 200 and case.undo:
            method, path, undo = case.undo
            self.ground.do(method, path, **undo)
        return reply, expected

    def check(self, case, what, reply, expected, status, reason=None):
        got_reason = re.sub(r"^Permission check failed(?: \((.*)\))?\n$", r"\1", reply.message)

        def same(a, b):
            return sorted(re.split(r", |\|", a or "")) == sorted(re.split(r", |\|", b or ""))
        is_ok = reply.status not in (401, 403) if status is None else reply.status == status
        if status == 403:
            is_ok = is_ok and same(got_reason, reason) and expected.status == 403 and same(expected.reason, reason)
        else:
            is_ok = is_ok and expected.status == 200
        if not is_ok:
            self.wrong.append(f"{case.method} {case.template} {case.params} {what}: {reply.status} {reply.message.strip()!r}, "
                              f"wanted {status} {reason}, the evaluator says {expected.status} {expected.reason}")

    def exactly(self, case):
        grants = {}
        for need in case.needs:
            privs, propagate = grants.get(need.path, (set(), False))
            grants[need.path] = (privs | {need.privs[0]}, propagate or need.is_propagated)
        self.check(case, "with exactly its rights", *self.ask(case, self.user(grants)), case.status)

    def without(self, case, need):
        lost = {}
        for path, priv in [(need.path, p) for p in need.privs] + need.instead:
            lost.setdefault(path, set()).add(priv)
        grants = {"/": (set(all_privileges()), True)}
        for path, privs in lost.items():
            grants[path] = (set(all_privileges()) - privs, True)
        grants.update({path: (set(all_privileges()), True) for path in need.keep})
        self.check(case, f"without {need.privs}", *self.ask(case, self.user(grants)), 403, need.reason())

    def hear(self, cases):
        for case in cases:
            self.exactly(case)
            for need in case.needs:
                self.without(case, need)

    def close(self, name):
        print(f"rules: {name}: {self.n} requests, {len(self.wrong)} differences")
        assert not self.wrong, "\n".join(self.wrong)


# --- keys of the configuration ---

def accepted_keys():
    """Names of the keys that are not refused as a whole; of indexed ones the first."""
    with open(f"{facts.TOP}/api/qemu-config.json", encoding="utf-8") as f:
        keys = json.load(f)["keys"]
    return {name.replace("[n]", "0") for name, k in keys.items() if k["class"] != "refused"}


CPU, MEMORY, DISK, CDROM, NETWORK, HARDWARE, OPTIONS = (
    f"VM.Config.{x}" for x in ("CPU", "Memory", "Disk", "CDROM", "Network", "HWType", "Options"))
# key: privilege on the guest, a value
KEYS = {
    "cores": (CPU, 2), "cpu": (CPU, "host"), "smp": (CPU, 1), "sockets": (CPU, 1), "vcpus": (CPU, 1), "numa": (CPU, 0),
    "cpulimit": (CPU, 1), "cpuunits": (CPU, 100), "numa0": (CPU, "cpus=0,memory=64"),
    "memory": (MEMORY, 128), "balloon": (MEMORY, 0), "shares": (MEMORY, 100), "allow-ksm": (MEMORY, 1),
    "audio0": (HARDWARE, "device=AC97,driver=none"), "watchdog": (HARDWARE, "i6300esb,action=reset"),
    "acpi": (HARDWARE, 1), "hotplug": (HARDWARE, "disk"), "kvm": (HARDWARE, 0), "machine": (HARDWARE, "q35"),
    "scsihw": (HARDWARE, "virtio-scsi-pci"), "smbios1": (HARDWARE, "uuid=11111111-2222-4333-8444-555555555555"),
    "tablet": (HARDWARE, 0), "vga": (HARDWARE, "serial0"), "rng0": (HARDWARE, "source=/dev/urandom"),
    "serial0": (HARDWARE, "socket"), "usb0": (HARDWARE, "spice"), "cmdline": (HARDWARE, "quiet"),
    "agent": (OPTIONS, 1), "autostart": (OPTIONS, 0), "bios": (OPTIONS, "seabios"), "description": (OPTIONS, "x"),
    "keyboard": (OPTIONS, "de"), "localtime": (OPTIONS, 0), "migrate_downtime": (OPTIONS, 1),
    "migrate_speed": (OPTIONS, 0), "name": (OPTIONS, "x"), "onboot": (OPTIONS, 0), "ostype": (OPTIONS, "l26"),
    "protection": (OPTIONS, 0), "reboot": (OPTIONS, 1), "startdate": (OPTIONS, "now"), "tags": (OPTIONS, "a"),
    "tdf": (OPTIONS, 0), "net0": (NETWORK, "virtio"), "boot": (DISK, "order=scsi1"), "bootdisk": (DISK, "scsi1"),
}
# Either of two privileges.
CLOUDINIT = ("VM.Config.Cloudinit", NETWORK)
CLOUDINIT_KEYS = {"cipassword": "secret", "citype": "nocloud", "ciupgrade": 0, "ciuser": "me", "ipconfig0": "ip=dhcp",
                  "nameserver": "192.0.2.1", "searchdomain": "example.com",
                  "sshkeys": "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"}
DRIVES = ("ide0", "sata0", "scsi0", "virtio0")
# These have rows of their own below.
OTHERS = {"startup", "freeze", "kernel", "initrd", "engine", "lock", "vmgenid", "unused0", *DRIVES, "efidisk0", "tpmstate0",
          "affinity", "args", "cicustom", "arch", "hugepages", "keephugepages", "cdrom"}


def change(*needs, **params):
    return Case("PUT", CONFIG, {"vmid": VM, "dry-run": 1, **params}, list(needs), status=None)


def on_vm(*privs, vmid=VM, **more):
    return on(f"/vms/{vmid}", *privs, **more)


def on_storage(*privs, **more):
    return on("/storage/local", *privs, **more)


ADMIN_OF_STORAGE = [("/storage/local", "Datastore.Allocate")]


def key_cases():
    for key, (privilege, value) in KEYS.items():
        yield change(on_vm(privilege), **{key: value})
        yield change(on_vm(privilege), delete=key)
        yield change(on_vm(privilege), revert=key)
    for key, value in CLOUDINIT_KEYS.items():
        yield change(on_vm(*CLOUDINIT), **{key: value})
        yield change(on_vm(*CLOUDINIT), delete=key)
    yield change(on_vm(NETWORK, text=f"/vms/{VM}, " + "|".join(CLOUDINIT), instead=[(f"/vms/{VM}", CLOUDINIT[0])]), ciuser="me")
    yield change(on_vm(*CLOUDINIT), on_storage("Datastore.Allocate"), cicustom="user=local:snippets/none.yaml")
    yield change(on_vm(*CLOUDINIT), delete="cicustom")
    yield change(on_vm(OPTIONS), on("/", "Sys.Modify"), startup="order=1")
    yield change(on_vm(OPTIONS), on("/", "Sys.Modify"), delete="startup")
    yield change(on_vm(NETWORK), on("/sdn/zones/localnetwork/vmbr0", "SDN.Use"), net0="virtio,bridge=vmbr0")
    yield change(on_vm(NETWORK), on("/sdn/zones/localnetwork/vmbr0/5", "SDN.Use"), net1="virtio,bridge=vmbr0,tag=5")
    yield change(on_vm(NETWORK), on("/sdn/zones/localnetwork/vmbr0", "SDN.Use"), on("/sdn/zones/localnetwork/vmbr0/7", "SDN.Use"),
                 on("/sdn/zones/localnetwork/vmbr0/8", "SDN.Use"), net1="virtio,bridge=vmbr0,trunks=7-8")
    yield Case("PUT", CONFIG, {"vmid": VM, "dry-run": 1, "freeze": 0},
               [on_vm("VM.PowerMgmt"), Need(f"/vms/{VM}", CONFIG_ANY)], status=None)
    yield change(on_vm(HARDWARE), on("/mapping/usb/stick", "Mapping.Use"), usb1="mapping=stick")
    yield change(on_vm(CPU), on("/mapping/cpu/none", "Mapping.Use"), cpu="custom-none")
    yield change(on_vm(CDROM), cdrom="none")
    yield change(on_vm(DISK), delete="cdrom")
    for key in ("kernel", "initrd"):
        yield change(on_vm(HARDWARE), on_storage("Datastore.Audit", "Datastore.AllocateSpace", instead=ADMIN_OF_STORAGE),
                     **{key: "local:boot/none.img"})
        yield change(on_vm(HARDWARE), delete=key)


def drive_cases():
    see_iso = on_storage("Datastore.Audit", "Datastore.AllocateSpace", instead=ADMIN_OF_STORAGE)
    for key in DRIVES:
        yield change(on_vm(DISK), on_storage("Datastore.AllocateSpace"), **{key: "local:1"})
        yield change(on_vm(DISK), delete=key)
        yield change(on_vm(DISK), on_storage("Datastore.AllocateSpace"), **{key: "local:cloudinit,media=cdrom"})
        if key != "virtio0":
            yield change(on_vm(CDROM), **{key: "none,media=cdrom"})
            yield change(on_vm(CDROM), see_iso, **{key: "local:iso/x.iso,media=cdrom"})
    for key in ("efidisk0", "tpmstate0"):
        yield change(on_vm(DISK), on_storage("Datastore.AllocateSpace"), **{key: "local:1"})
        yield change(on_vm(DISK), delete=key)
    yield change(on_vm(DISK), delete="unused0")
    # scsi1 is a disk, ide2 a CD-ROM already
    yield change(on_vm(CDROM), on_vm(DISK), scsi1="none,media=cdrom")
    yield change(on_vm(CDROM), ide2="none,media=cdrom")
    yield change(on_vm(DISK), on_storage("Datastore.AllocateSpace"), ide2="local:1")
    yield change(on_vm(DISK), delete="ide2")
    # a volume of the guest's own, of another guest, of one that is gone
    own, theirs, left = (f"local:{v}/vm-{v}-disk-0.raw" for v in (VM, OTHER, 977))
    yield change(on_vm(DISK), scsi2=own)
    yield change(on_vm(DISK), on_storage("Datastore.Audit", instead=ADMIN_OF_STORAGE),
                 on_vm(DISK, vmid=OTHER, instead=ADMIN_OF_STORAGE), scsi2=theirs)
    yield change(on_vm(DISK), on_storage("Datastore.Allocate"), scsi2=left)


@test(limit=120)
def configuration_keys(node):
    tried = set(KEYS) | set(CLOUDINIT_KEYS) | OTHERS
    assert accepted_keys() == tried, accepted_keys() ^ tried
    court = Court(node)
    for vmid in (VM, OTHER):
        court.ground.guest(vmid, memory=64, scsi1="local:0.01", ide2="none,media=cdrom")
    before = node.conf(VM)
    court.hear([*key_cases(), *drive_cases()])
    court.hear([Case("POST", CONFIG, {"vmid": VM, "dry-run": 1, "cores": 2}, [on_vm(CPU)])])
    assert node.conf(VM) == before
    court.close("configuration")


@test(limit=60)
def creation(node):
    """Rights on the number or on the pool, the keys' own, and space."""
    court = Court(node)
    court.ground.pool("dev")
    cases = []
    for pool, path in ((None, f"/vms/{NEW}"), ("dev", "/pool/dev")):
        def make(*needs, **config):
            in_pool = {"pool": pool} if pool else {}
            # With a pool the refusal still names the guest, and rights there would do as well.
            rows = [on(path, *n, text=f"/vms/{NEW}, " + "|".join(n), instead=[(f"/vms/{NEW}", p) for p in n])
                    if isinstance(n, tuple) else n for n in needs]
            return Case("POST", "/nodes/{node}/qemu", {"vmid": NEW, "dry-run": 1, **in_pool, **config}, rows, status=None)
        cases += [make(("VM.Allocate",)), make(("VM.Allocate",), (CPU,), cores=2),
                  make(("VM.Allocate",), (HARDWARE,), engine="qemu"),
                  make(("VM.Allocate",), (OPTIONS,), on("/", "Sys.Modify"), startup="order=1"),
                  make(("VM.Allocate",), (DISK,), on_storage("Datastore.AllocateSpace"), scsi0="local:1"),
                  make(("VM.Allocate",), (DISK,), on_storage("Datastore.Allocate"), scsi0=f"local:{NEW}/vm-{NEW}-disk-0.raw")]
    court.hear(cases)
    court.close("creation")


@test(limit=60)
def root_only(node):
    """What changes the host: neither administrators nor root's own tokens."""
    court = Court(node)
    g = court.ground
    g.guest(953, memory=64)
    token = g.token("root@pam", "full", 0)
    vm = "/nodes/{node}/qemu/{vmid}"
    requests = [("PUT", CONFIG, {"lock": "backup", "dry-run": 1}), ("PUT", CONFIG, {"delete": "lock", "dry-run": 1}),
                ("PUT", CONFIG, {"affinity": "0", "dry-run": 1}), ("PUT", CONFIG, {"args": "-S", "dry-run": 1}),
                ("PUT", CONFIG, {"arch": "x86_64", "dry-run": 1}), ("PUT", CONFIG, {"hugepages": "2", "dry-run": 1}),
                ("PUT", CONFIG, {"delete": "args", "dry-run": 1}), ("PUT", CONFIG, {"keephugepages": 1, "dry-run": 1}),
                ("PUT", CONFIG, {"usb0": "host=1234:5678", "dry-run": 1}), ("PUT", CONFIG, {"usb0": "1-1.2", "dry-run": 1}),
                ("PUT", CONFIG, {"vmgenid": "1", "dry-run": 1}), ("PUT", CONFIG, {"cores": 1, "skiplock": 1, "dry-run": 1}),
                ("DELETE", vm, {"skiplock": 1, "dry-run": 1}), ("POST", f"{vm}/status/reset", {"skiplock": 1}),
                ("POST", f"{vm}/status/resume", {"skiplock": 1}), ("POST", f"{vm}/status/suspend", {"skiplock": 1})]
    cases = [Case(m, t, {"vmid": 953, **p}, [], status=None) for m, t, p in requests]
    cases += [Case("PUT", "/access/users/{userid}", {"userid": "root@pam", "comment": ""}, [], status=None),
              Case("DELETE", "/access/users/{userid}", {"userid": "root@pam"}, [], status=None),
              Case("PUT", "/access/password", {"userid": "root@pam", "password": "correct horse"}, [], status=None)]
    one = "/access/users/{userid}/token/{tokenid}"
    cases += [Case("POST", one, {"userid": "root@pam", "tokenid": "other"}, [],
                   ("DELETE", "/access/users/root@pam/token/other", {}), None),
              Case("PUT", one, {"userid": "root@pam", "tokenid": "full", "comment": "x"}, []),
              Case("DELETE", one, {"userid": "root@pam", "tokenid": "full"}, [])]
    for case in cases:
        if case.method != "DELETE" or "dry-run" in case.params:
            court.check(case, "as root@pam", *court.ask(case, "root@pam"), None)
        for who in ("admin@pve", token):
            if who == token and case.template == "/access/password":
                continue  # not with any token
            court.check(case, f"as {who}", *court.ask(case, who), 403, "user != root@pam")
    court.close("root only")


@test(limit=60)
def pools_and_entries(node):
    court = Court(node)
    g = court.ground
    g.guest(954, memory=64)
    g.guest(955, memory=64)
    g.user("target@pve")
    g.role("Look", ["VM.Audit"])
    g.pool("mine")
    g.pool("theirs", [955])
    take = on("/pool/mine", "Pool.Allocate")

    def modify(path, also, pool=None):
        return on(path, "Permissions.Modify", also,
                  instead=[(f"/pool/{pool}", p) for p in ("Permissions.Modify", also)] if pool else [])
    for template, pool in (("/pools", {"poolid": "mine"}), ("/pools/{poolid}", {"poolid": "mine"})):
        court.hear([
            Case("PUT", template, {**pool, "comment": "x"}, [take]),
            Case("PUT", template, {**pool, "vms": "954"}, [take, modify("/vms/954", "VM.Allocate")],
                 ("PUT", "/pools", {"poolid": "mine", "vms": 954, "delete": 1})),
            Case("PUT", template, {**pool, "storage": "local"}, [take, modify("/storage/local", "Datastore.Allocate")],
                 ("PUT", "/pools", {"poolid": "mine", "storage": "local", "delete": 1})),
            Case("PUT", template, {**pool, "vms": "955", "allow-move": 1},
                 [take, modify("/vms/955", "VM.Allocate", "theirs"), on("/pool/theirs", "Pool.Allocate")],
                 ("PUT", "/pools", {"poolid": "theirs", "vms": 955, "allow-move": 1})),
            Case("PUT", template, {**pool, "vms": "955", "delete": 1},
                 [take, modify("/vms/955", "VM.Allocate", "theirs")], status=None)])
    court.hear([Case("POST", "/pools", {"poolid": "mine/new"}, [on("/pool/mine/new", "Pool.Allocate")],
                     ("DELETE", "/pools", {"poolid": "mine/new"})),
                Case("GET", "/pools", {"poolid": "mine"}, [on("/pool/mine", "Pool.Audit")])])
    # An entry is changed with Permissions.Modify, or with the right to make what the path is about.
    for path, also in (("/vms/954", "VM.Allocate"), ("/storage/local", "Datastore.Allocate"), ("/pool/mine", "Pool.Allocate"),
                       ("/vms", None), ("/nodes/n1", None), ("/access/groups", None), ("/", None)):
        change_path = on(path, "Permissions.Modify", *([also] if also else []))
        remove = {"path": path, "users": "target@pve", "roles": "Look", "delete": 1}
        grant = {"path": path, "users": "target@pve", "roles": "Look"}
        beyond = f"{path}, cannot grant role 'Look' without having it"
        court.hear([Case("PUT", "/access/acl", remove, [change_path]),
                    Case("PUT", "/access/acl", {**grant, "propagate": 0}, [change_path, on(path, "VM.Audit", text=beyond)]),
                    Case("PUT", "/access/acl", grant, [on(path, *change_path.privs, is_propagated=True),
                                                       on(path, "VM.Audit", text=beyond, is_propagated=True)])])
    # What one has only here is not handed further down.
    here = court.user({"/vms/954": ({"VM.Allocate", "VM.Audit"}, False)})
    case = Case("PUT", "/access/acl", {"path": "/vms/954", "users": "target@pve", "roles": "Look", "propagate": 1}, [])
    court.check(case, "not propagating", *court.ask(case, here), 403, "/vms/954, cannot grant role 'Look' without having it")
    court.close("pools and entries")


@test(limit=60)
def users_and_tokens(node):
    court = Court(node)
    g = court.ground
    g.group("crew")
    g.group("rest")
    g.user("member@pve", ["crew"])
    made = g.token("member@pve", "weak", 1)
    allocate, all_users = on("/access/realm/pve", "Realm.AllocateUser"), on("/access/groups", "User.Modify")
    everybody = [("/access/groups", p) for p in ("User.Modify", "Sys.Audit")]
    of_crew = on("/access/groups/crew", "User.Modify", instead=everybody)
    of_rest = on("/access/groups/rest", "User.Modify", instead=everybody, keep=["/access/groups/crew"])
    through = on("/access/groups/crew", "User.Modify", instead=everybody, text="")
    gone = ("DELETE", "/access/users/fresh@pve", {})
    user, token = "/access/users/{userid}", "/access/users/{userid}/token/{tokenid}"
    member = {"userid": "member@pve"}
    court.hear([
        Case("POST", "/access/users", {"userid": "fresh@pve"}, [allocate, all_users], gone),
        Case("POST", "/access/users", {"userid": "fresh@pve", "groups": "crew"}, [allocate, of_crew], gone),
        Case("POST", "/access/users", {"userid": "fresh@pve", "groups": "crew,rest"},
             [allocate, of_crew, of_rest], gone),
        Case("GET", user, member, [on("/access/groups/crew", "User.Modify", "Sys.Audit", instead=everybody, text="")]),
        Case("PUT", user, {**member, "comment": "x"}, [all_users]),
        Case("PUT", user, {**member, "comment": "x", "groups": "crew"}, [of_crew]),
        Case("PUT", user, {**member, "groups": "crew,rest"}, [of_crew, of_rest],
             ("PUT", "/access/users/member@pve", {"groups": "crew"})),
        Case("DELETE", user, {"userid": "gone@pve"}, [allocate, on("/access/groups", "User.Modify", text="")], status=500),
        Case("PUT", "/access/password", {**member, "password": "correct horse 8"},
             [allocate, through], status=400),
        Case("GET", "/access/users/{userid}/token", member, [through]),
        Case("GET", token, {**member, "tokenid": "weak"}, [through]),
        Case("POST", token, {**member, "tokenid": "made"}, [through], ("DELETE", "/access/users/member@pve/token/made", {})),
        Case("PUT", token, {**member, "tokenid": "weak", "comment": "x"}, [through]),
        Case("DELETE", token, {**member, "tokenid": "none"}, [through], status=500),
        Case("GET", "/access/permissions", member, [on("/access", "Sys.Audit")]),
    ])
    # Oneself, without any right; a token is not oneself.
    for case in (Case("GET", "/access/users/{userid}/token", member, []), Case("GET", token, {**member, "tokenid": "weak"}, []),
                 Case("PUT", token, {**member, "tokenid": "weak", "comment": "x"}, [])):
        court.check(case, "as himself", *court.ask(case, "member@pve"), 200)
        court.check(case, "as his token", *court.ask(case, made), 403, "")
    own = Case("GET", "/access/permissions", {"userid": made}, [])
    court.check(own, "as its user", *court.ask(own, "member@pve"), 200)
    court.check(own, "as itself", *court.ask(own, made), 200)
    user_of = Case("GET", "/access/permissions", member, [])
    court.check(user_of, "as his token", *court.ask(user_of, made), 403, "/access, Sys.Audit")
    password = Case("PUT", "/access/password", {**member, "password": "correct horse 8"}, [])
    court.check(password, "as himself", *court.ask(password, "member@pve"), 400)
    court.check(password, "as a token", *court.ask(password, made), 403,
                "URI '/access/password' not available with API token, need proper ticket.")
    # A token with the right to change its user's tokens as anybody with that right.
    g.grant("/access/groups/crew", "member@pve", court.role({"User.Modify"}))
    g.grant("/access/groups/crew", made, court.role({"User.Modify"}))
    case = Case("PUT", token, {**member, "tokenid": "weak", "comment": "x"}, [])
    court.check(case, "as a token with the right", *court.ask(case, made), 200)
    court.close("users and tokens")


if __name__ == "__main__":
    main()
