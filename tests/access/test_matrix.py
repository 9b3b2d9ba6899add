"""Every route x every built-in role x every form of granting it, against the evaluator.

Each request is harmless when it is allowed: it plans only (dry-run), changes something to what it is already, or fails
in a later step because the guest is locked and protected. What really deletes is put back at once, one after the other.
A request is denied when it is answered with 403, or with 401 for who is expired or disabled; anything else is allowed.
"""
import glob
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from access.evaluate import decide, known_facts
from access.ground import Ground
from access.principals import GUEST, KEEPER, NEW, OTHER, PLAIN, POOL, TARGET, TOP, Forms
from lib import facts
from lib.tap import main, test

DELAYED = 400  # 401 are held back for three seconds; a front holds at most 512


def routes():
    for path in sorted(set(glob.glob(f"{facts.TOP}/api/*.json")) - {f"{facts.TOP}/api/extensions.json"}):
        with open(path, encoding="utf-8") as f:
            for r in json.load(f).get("routes", []):
                assert known_facts(r["method"], r["path"]), f"{r['method']} {r['path']} needs a row in evaluate.OWN_ROUTES"
                yield r["method"], r["path"]


# --- what is asked of each route: parameters (several: several requests) and how it is made harmless ---

PATH = {"vmid": GUEST, "storage": "local", "userid": TARGET, "tokenid": "spare", "groupid": "team", "roleid": "Spare",
        "poolid": TOP, "realm": "pve", "id": "none", "iface": "none0",
        "snapname": "none", "service": "cron", "pci-id-or-mapping": "0000:00:00.0", "cputype": "none"}
AGENT = "/nodes/{node}/qemu/{vmid}/agent/"
NOW = "POST /nodes/{node}/qemu/{vmid}/status/"  # refused: the guest is locked
REQUESTS = {
    "POST /access/ticket": [{"username": "nobody@pve", "password": "PVE:none"}],
    "PUT /access/ticket": [{}],  # whoever asks; without a cookie 400
    "DELETE /access/ticket": [{}],  # takes a cookie back that is not used here
    "POST /access/users": [{"userid": TARGET}, {"userid": TARGET, "groups": "team"}],
    "PUT /access/users/{userid}": [{"comment": "x"}, {"groups": "team", "append": 1}],
    "POST /access/users/{userid}/token/{tokenid}": [{}],
    "PUT /access/users/{userid}/token/{tokenid}": [{"comment": "x"}],
    "PUT /access/acl": [{"path": f"/vms/{PLAIN}", "users": TARGET, "roles": "PVEVMUser"},
                        {"path": f"/pool/{POOL}", "users": TARGET, "roles": "PVEPoolUser", "propagate": 0},
                        {"path": "/storage/local", "users": TARGET, "roles": "PVEAuditor", "delete": 1}],
    "POST /access/roles": [{"roleid": "Spare", "privs": "VM.Audit"}],
    "PUT /access/roles/{roleid}": [{"privs": "VM.Audit"}],
    "POST /access/groups": [{"groupid": "team"}],
    "PUT /access/groups/{groupid}": [{"comment": "x"}],
    "GET /access/permissions": [{}, {"userid": TARGET}],
    "PUT /access/password": [{"userid": TARGET, "password": "correct horse 8"}],
    "GET /pools": [{}, {"poolid": POOL}],
    "POST /pools": [{"poolid": POOL}, {"poolid": TOP}],
    "PUT /pools": [{"poolid": POOL, "comment": "x"}, {"poolid": POOL, "vms": str(PLAIN)},
                   {"poolid": POOL, "storage": "local"}, {"poolid": TOP, "vms": str(PLAIN), "allow-move": 1, "delete": 1}],
    "DELETE /pools": [{"poolid": POOL}],
    "PUT /pools/{poolid}": [{"comment": "x"}],
    "POST /nodes/{node}/qemu": [{"vmid": NEW, "dry-run": 1}, {"vmid": NEW, "pool": POOL, "dry-run": 1},
                                {"vmid": NEW, "scsi0": "local:1", "dry-run": 1},
                                {"vmid": NEW, "net0": "virtio,bridge=vmbr0", "dry-run": 1},
                                {"vmid": NEW, "cores": 2, "memory": 64, "pool": POOL, "dry-run": 1}],
    "DELETE /nodes/{node}/qemu/{vmid}": [{"dry-run": 1}],
    "PUT /nodes/{node}/qemu/{vmid}/config": [{"vmid": PLAIN, "cores": 2, "dry-run": 1}, {"vmid": GUEST, "delete": "cores"},
                                             {"vmid": PLAIN, "scsi0": "local:1", "dry-run": 1}],
    "POST /nodes/{node}/qemu/{vmid}/config": [{"vmid": PLAIN, "name": "x", "dry-run": 1}],
    # Refused behind the login: no stream stays open.
    "GET /cluster/events": [{"metrics": "x"}],
    "GET /nodes/{node}/qemu/{vmid}/vncwebsocket": [{"port": 5900, "vncticket": "none"}],
    "POST /nodes/{node}/qemu/{vmid}/termproxy": [{}],
    "POST /nodes/{node}/qemu/{vmid}/vncproxy": [{"websocket": 1}],
    "POST /nodes/{node}/qemu/{vmid}/spiceproxy": [{}],
    "POST /nodes/{node}/storage/{storage}/upload": [{"content": "iso"}],
    # A kind that no storage takes, and an upload that is not there.
    "POST /nodes/{node}/storage/{storage}/uploads": [{"content": "iso", "filename": "no.exe", "size": 1}],
    "GET /nodes/{node}/storage/{storage}/uploads/{id}": [{"id": "0" * 32}],
    "PUT /nodes/{node}/storage/{storage}/uploads/{id}": [{"id": "0" * 32, "offset": 0}],
    "DELETE /nodes/{node}/storage/{storage}/uploads/{id}": [{"id": "0" * 32}],
    "POST /nodes/{node}/storage/{storage}/uploads/{id}/finish": [{"id": "0" * 32}],
    "DELETE /pools/{poolid}": [{}],  # not empty
    # Storages: refused for another reason, or what is named is not there.
    "POST /storage": [{"storage": "local", "type": "dir", "path": "/none"}],
    "PUT /storage/{storage}": [{"digest": "none"}],
    "DELETE /storage/{storage}": [{"storage": "none"}],
    "POST /nodes/{node}/storage/{storage}/content": [{"filename": "x", "vmid": NEW, "size": "1M"}],
    **{f"{m} /nodes/{{node}}/storage/{{storage}}/content/{{volume}}": [{"volume": "local:iso/none.iso"}]
       for m in ("GET", "PUT", "DELETE")},
    "POST /nodes/{node}/storage/{storage}/download-url": [{"url": "http://a/x", "content": "iso", "filename": "no.exe"}],
    "GET /nodes/{node}/query-url-metadata": [{"url": "http://u@a/x"}],
    "POST /nodes/{node}/images": [{"storage": "local", "image": "none"}],
    "POST /nodes/{node}/aplinfo": [{"storage": "local", "template": "none"}],
    **{NOW + op: [{}] for op in ("start", "stop", "shutdown", "reboot", "reset", "suspend", "resume")},
    **{f"GET {of}/rrddata": [{"timeframe": "hour"}]
       for of in ("/nodes/{node}", "/nodes/{node}/qemu/{vmid}", "/nodes/{node}/storage/{storage}")},
    # The host and its settings: what is refused after the permission, or changes nothing.
    "PUT /nodes/{node}/dns": [{"search": "a/b"}],
    "PUT /nodes/{node}/time": [{"timezone": "Nowhere/At_all"}],
    "POST /nodes/{node}/hosts": [{"data": "nonsense"}],
    "POST /nodes/{node}/startall": [{}, {"vms": str(PLAIN)}],
    "POST /nodes/{node}/stopall": [{}, {"vms": str(PLAIN)}],
    "POST /nodes/{node}/suspendall": [{}, {"vms": str(PLAIN)}],
    # Never of this machine: a service that is only restarted, a host that is another.
    **{f"POST /nodes/{{node}}/services/{{service}}/{op}": [{"service": "holmd"}] for op in ("start", "stop", "reload")},
    "POST /nodes/{node}/services/{service}/restart": [{"service": "pve-cluster"}],
    "POST /nodes/{node}/status": [{"node": "elsewhere", "command": "reboot"}],
    "POST /nodes/{node}/certificates/custom": [{"certificates": "none"}],
    "DELETE /nodes/{node}/certificates/custom": [{}],  # there is none
    "GET /nodes/{node}/scan/lvmthin": [{"vg": "none"}],
    "GET /nodes/{node}/disks/smart": [{"disk": "/dev/none"}],
    **{f"POST /cluster/bulk-action/guest/{what}": [{}, {"vms": str(PLAIN)}] for what in ("shutdown", "suspend")},
    # Starting would start: a word that is refused after the permission, or a guest that is locked.
    "POST /cluster/bulk-action/guest/start": [{"vms": str(GUEST)}],
    # CPU models: of a kind that is refused, or one that is not there.
    "POST /cluster/qemu/custom-cpu-models": [{"cputype": "x1", "reported-model": "kvm64", "guest-phys-bits": 40}],
    "PUT /cluster/qemu/custom-cpu-models/{cputype}": [{"level": 1}],
    "DELETE /cluster/qemu/custom-cpu-models/{cputype}": [{}],
    "GET /cluster/jobs/schedule-analyze": [{"schedule": "daily"}],
    "PUT /nodes/{node}/config": [{"wakeonlan": "02:00:00:00:00:01"}],
    "PUT /cluster/options": [{"migration": "secure"}],
    "DELETE /nodes/{node}/tasks/{upid}": [{}],  # it has ended
    # Networks: of a kind that is refused, of an interface that is not there, nothing to apply.
    "POST /nodes/{node}/network": [{"iface": "bond0", "type": "bond"}],
    "PUT /nodes/{node}/network": [{}],
    "DELETE /nodes/{node}/network": [{}],
    "PUT /nodes/{node}/network/{iface}": [{"type": "bridge"}],
    "DELETE /nodes/{node}/network/{iface}": [{}],
    # A running guest's: this one is stopped, has no agent and no such drive.
    **{f"POST {AGENT}{of}": [{}] for of in ("fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim", "ping", "shutdown",
                                            "suspend-disk", "suspend-hybrid", "suspend-ram")},
    f"POST {AGENT[:-1]}": [{"command": "ping"}],
    f"POST {AGENT}exec": [{"command": "/bin/true"}],
    f"GET {AGENT}exec-status": [{"pid": 1}],
    f"GET {AGENT}file-read": [{"file": "/x"}],
    f"POST {AGENT}file-write": [{"file": "/x", "content": "x"}],
    f"POST {AGENT}set-user-password": [{"username": "x", "password": "correct horse 8"}],
    "PUT /nodes/{node}/qemu/{vmid}/sendkey": [{"key": "ret"}, {"key": "ret", "skiplock": 1}],
    "POST /nodes/{node}/qemu/{vmid}/monitor": [{"command": "info status"}, {"command": "stop"}],
    "PUT /nodes/{node}/qemu/{vmid}/unlink": [{"vmid": PLAIN, "idlist": "scsi9"}],
    "PUT /nodes/{node}/qemu/{vmid}/cloudinit": [{"vmid": PLAIN}],
    "GET /nodes/{node}/qemu/{vmid}/cloudinit/dump": [{"type": "user"}],
    "PUT /nodes/{node}/qemu/{vmid}/resize": [{"vmid": PLAIN, "disk": "scsi9", "size": "+1G"},
                                             {"vmid": PLAIN, "disk": "scsi9", "size": "+1G", "skiplock": 1}],
    "POST /nodes/{node}/qemu/{vmid}/move_disk": [{"vmid": PLAIN, "disk": "scsi9", "storage": "local"},
                                                 {"vmid": PLAIN, "disk": "scsi9", "target-vmid": GUEST}],
    "GET /nodes/{node}/qemu/{vmid}/feature": [{"feature": "snapshot"}],
    # Refused: the guest is locked, and has no such snapshot.
    "POST /nodes/{node}/qemu/{vmid}/snapshot": [{"snapname": "none"}, {"snapname": "none", "vmstate": 1}],
    "DELETE /nodes/{node}/qemu/{vmid}/snapshot/{snapname}": [{}],
    "PUT /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config": [{"description": "x"}],
    "POST /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback": [{}],
    "POST /nodes/{node}/qemu/{vmid}/clone": [{"newid": NEW}, {"newid": NEW, "pool": POOL}],
    "POST /nodes/{node}/qemu/{vmid}/template": [{}],
    # Realms and second factors: what is named is there already, or is not.
    "POST /access/domains": [{"realm": "pve", "type": "pve"}],
    "PUT /access/domains/{realm}": [{"comment": "x", "digest": "0" * 40}],
    "DELETE /access/domains/{realm}": [{"realm": "none"}],
    "POST /access/vncticket": [{"authid": TARGET, "path": f"/vms/{GUEST}", "privs": "VM.Console", "vncticket": "none"}],
    "POST /access/tfa/{userid}": [{"type": "u2f"}],
    "PUT /access/tfa/{userid}/{id}": [{"description": "x"}],
    "DELETE /access/tfa/{userid}/{id}": [{}],
    "PUT /access/users/{userid}/unlock-tfa": [{}],
}
# Requests that take something away when they are allowed: what they are aimed at instead, and how it is put back.
RENEWED = {
    "DELETE /access/users/{userid}": ({"userid": "lost@pve"}, "POST", "/access/users", {"userid": "lost@pve", "groups": "team"}),
    "DELETE /access/users/{userid}/token/{tokenid}": ({"userid": KEEPER, "tokenid": "lost"}, "POST",
                                                      f"/access/users/{KEEPER}/token/lost", {}),
    "DELETE /access/groups/{groupid}": ({"groupid": "lost"}, "POST", "/access/groups", {"groupid": "lost"}),
    "DELETE /access/roles/{roleid}": ({"roleid": "Lost"}, "POST", "/access/roles", {"roleid": "Lost"}),
}
WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
# 401 that is not about who asks: the password or console ticket in the request is wrong.
OWN_401 = {"POST /access/ticket", "POST /access/vncticket", "GET /nodes/{node}/qemu/{vmid}/vncwebsocket"}


def upload_body():
    """A file of a kind that no storage takes: refused after the permission."""
    lines = ["--x", 'Content-Disposition: form-data; name="content"', "", "iso", "--x",
             'Content-Disposition: form-data; name="filename"; filename="no.exe"', "", "x", "--x--", ""]
    return "\r\n".join(lines).encode(), {"Content-Type": "multipart/form-data; boundary=x"}


class Probe:
    """One request: parameters with those of the path, for the evaluator; how to send it."""

    def __init__(self, method, template, params, upid, is_variant=False):
        self.method, self.template, self.key = method, template, f"{method} {template}"
        self.is_variant = is_variant
        self.renewal = RENEWED.get(self.key)
        given = {**PATH, "node": "n1", "upid": upid, **(self.renewal[0] if self.renewal else {}), **params}
        names = [s[1:-1] for s in template.split("/") if s.startswith("{")]
        self.path = "/".join(str(given[s[1:-1]]) if s.startswith("{") else s for s in template.split("/"))
        self.sent = {k: v for k, v in params.items() if k not in names}
        self.params = {**{n: given[n] for n in names}, **params}
        self.headers, self.body = (WEBSOCKET, None) if template.endswith(("websocket", "/cluster/events")) else ({}, None)
        if template.endswith("/upload"):
            self.body, self.headers = upload_body()
            self.sent = {}
        if self.key == "PUT /nodes/{node}/storage/{storage}/uploads/{id}":
            self.body, self.headers = b"x", {"Content-Type": "application/octet-stream"}

    def send(self, ground, who, view):
        reply = ground.call(who, self.method, self.path, self.sent, self.headers, self.body, "json" if self.headers else view)
        if self.renewal and reply.status == 200:
            ground.do(self.renewal[1], self.renewal[2], **self.renewal[3])
        return reply

    def status(self, reply):
        """401 and 403 as such, all else is 200."""
        if reply.status == 401 and self.key in OWN_401 and re.search("PVEVNC|authentication failure", reply.message):
            return 200
        return reply.status if reply.status in (401, 403) else 200

    def is_slow(self, expected):
        return expected == 401 or (self.key in OWN_401 and expected != 403)


def lay_out(ground):
    """The objects that requests are about."""
    node = ground.node
    ground.group("closed")
    ground.grant("/", "closed", "NoAccess")
    ground.group("team")
    ground.group("lost")
    ground.user(TARGET, ["team"])
    ground.user("lost@pve", ["team"])
    ground.user(KEEPER, ["team"])
    ground.token(TARGET, "spare", 1)
    ground.token(KEEPER, "lost", 1)
    for name in ("Spare", "Lost"):
        ground.role(name, ["VM.Audit"])
    ground.guest(GUEST, memory=64, protection=1)
    ground.guest(PLAIN, memory=64)
    ground.guest(OTHER, memory=64)
    ground.pool("elsewhere")
    ground.pool(TOP)
    ground.pool(POOL, [GUEST, PLAIN], ["local"])
    ground.do("PUT", node.vm(GUEST, "/config"), lock="backup")
    return [t["upid"] for t in ground.do("GET", "/nodes/{node}/tasks", vmid=GUEST)][0]


def probes(upid):
    for method, template in routes():
        key = f"{method} {template}"
        assert method == "GET" or key in REQUESTS or key in RENEWED, f"no row for {key}: what would be harmless?"
        for i, params in enumerate(REQUESTS.get(key, [{}])):
            yield Probe(method, template, params, upid, is_variant=i > 0)


class Run:
    """Sends everything and compares. Three lanes side by side: what is answered at once, what is held back for three
    seconds, and what has to be put back."""

    def __init__(self, ground):
        self.ground, self.wrong, self.lock = ground, {}, threading.Lock()
        self.n = 0

    def one(self, i, probe, form, role, who, expected):
        # An error ends the connection unless it is in the body of a 200: that view saves most of the time. Every
        # eighth request has the other one.
        reply = probe.send(self.ground, who, "extjs" if i % 8 else "json")
        got = probe.status(reply)
        with self.lock:
            self.n += 1
            if got != expected.status:
                self.wrong.setdefault(f"{probe.key} {probe.params}", []).append(
                    f"{role} {form}: {reply.status} {reply.message.strip()!r}, not {expected.status} ({expected.reason})")

    def all(self, asked, forms):
        lanes = {"fast": [], "slow": [], "serial": []}
        for probe in asked:
            for form, role, who in forms:
                if probe.is_variant and (form.startswith("user ") or not who):
                    continue  # who is refused with 401 is refused before anything is looked at: once for each route
                expected = decide(self.ground.world, who, probe.method, probe.template, probe.params)
                lane = "slow" if probe.is_slow(expected.status) else "serial" if probe.renewal else "fast"
                lanes[lane].append((probe, form, role, who, expected))
        pools = [(ThreadPoolExecutor(3), lanes["fast"]), (ThreadPoolExecutor(DELAYED), lanes["slow"]),
                 (ThreadPoolExecutor(1), lanes["serial"])]
        futures = [p.submit(self.one, i, *job) for p, jobs in pools for i, job in enumerate(jobs)]
        for f in futures:
            f.result()
        for p, _ in pools:
            p.shutdown()
        return self.wrong


@test(limit=300)
def every_route_role_and_form(node):
    began = time.monotonic()
    ground = Ground(node)
    upid = lay_out(ground)
    forms = Forms(ground).make()
    made = time.monotonic()
    asked = list(probes(upid))
    run = Run(ground)
    wrong = run.all(asked, forms)
    n_routes, n_roles = len({p.key for p in asked}), len({r for _, r, _ in forms if r != "-"})
    n_forms = len({f for f, _, _ in forms})
    print(f"matrix: {n_routes} routes ({len(asked)} requests) x {n_roles} roles x {n_forms} forms = {run.n} requests, "
          f"{sum(map(len, wrong.values()))} differences, {time.monotonic() - began:.0f} s ({made - began:.0f} s to set up)")
    assert n_routes > 60 and n_roles == 17 and run.n > n_routes * len(forms)
    assert not wrong, "\n".join(f"{k}: {len(v)}, as\n    " + "\n    ".join(sorted(v)[:4]) for k, v in sorted(wrong.items()))
    assert {v["vmid"] for v in node.api.get("/nodes/{node}/qemu")} == {GUEST, PLAIN, OTHER}


if __name__ == "__main__":
    main()
