"""Names that climb: every text parameter of every route of api/*.json, in path and body, gets `..` in every spelling,
absolute paths, NUL, look-alikes, 4 KiB and the rest. Nothing outside the root is touched, nothing strange appears below
it, and no reply holds what planted files say."""
import glob
import http.client
import json
import os
import re
import ssl
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from lib import facts
from lib.canary import Canary
from lib.holm import Node
from lib.honest import Beside
from lib.tap import main, test
from lib.wait import wait_for

VMID = 100
# What a user may call as he likes: a text that is shown, and an access path that is only compared.
FREE = {"user", "comment", "firstname", "lastname", "keys", "description", "password", "username", "tags", "registered-tags", "typefilter", "userfilter", "statusfilter",
        "schedule", "source", "digest", "cmdline", "otp", "realm", "confirmation-password", "privs", "cipassword"}
# Names that are keys, never files: Proxmox VE lets them begin with a dash and hold dots.
KEYS = {"ciuser", "groupid", "roleid", "poolid"}
# Settings of guests that are kept as texts; they reach a command line of QEMU at most, as one argument.
TEXTS = {"cpu", "hotplug", "startup"}
# Settings that name volumes, devices or files.
FILES = {"kernel", "initrd", "cdrom", "ide0", "sata0", "scsi0", "virtio0", "efidisk0", "tpmstate0", "hookscript", "cicustom", "args",
         "vmstatestorage", "serial0", "parallel0", "ivshmem", "hostpci0", "usb0", "virtiofs0", "unused0", "bootdisk", "machine", "bios"}
FIRST_NEW = 5000
CLIMBS = {
    "dots": b"..", "dots3": b"../../..", "dots after": b"local/../../..", "passwd": b"../../../../../../etc/passwd", "absolute": b"/etc/passwd",
    "encoded": b"%2e%2e", "encoded twice": b"%252e%252e%252f", "half": b"..%2f..%2f", "backslash": b"..\\..\\", "nul": b"a\0b", "nul end": b"a.iso\0",
    "overlong": b"\xc0\xae\xc0\xae\xc0\xaf", "overlong3": b"\xe0\x80\xae\xe0\x80\xae/", "leader": "\u2025/\u2025".encode(), "full width": "\uff0e\uff0e\uff0f".encode(),
    "division": "..\u2215..\u2215etc".encode(), "4 KiB": b"a" * 4096, "4 KiB of dots": b"../" * 1365, "trailing dot": b"x.", "trailing slash": b"x/",
    "trailing blank": b"x ", "dash": b"-rf", "slash": b"/x", "double slash": b"//etc//passwd", "dot": b".", "tilde": b"~root", "newline": b"a\nb", "glob": b"*",
    "shell": b"$(id)`id`;id|id", "colon": b"local:../../../canary", "proc": b"/proc/self/environ", "format": b"%s%n%x",
}


def routes():
    """(method, path, {name: schema})"""
    rows = []
    for name in sorted(glob.glob(f"{facts.TOP}/api/*.json")):
        with open(name, encoding="utf-8") as f:
            rows += [(r["method"], r["path"], r.get("params") or {}) for r in json.load(f).get("routes", [])
                     if isinstance(r, dict)]  # extensions.json has a list of names
    return rows


def config_keys():
    with open(f"{facts.TOP}/api/qemu-config.json", encoding="utf-8") as f:
        return [k.replace("[n]", "0") for k, schema in json.load(f)["keys"].items() if schema.get("type") == "string"]


class Scene:
    """A node with a guest, a user, a group, a pool and canaries beside, above and in its root."""

    def __init__(self, node):
        self.node, api = node, node.api
        self.canaries = [Canary(node.base + "/outside"), Canary(node.path("canary")), Canary(node.path("var/storage/canary"))]
        upid = node.create(VMID, memory=32)
        api.post("/access/groups", groupid="climbers")
        api.post("/access/users", userid="climber@pve")
        api.post("/pools", poolid="climbing")
        self.known = {"node": node.name, "storage": "local", "vmid": str(VMID), "userid": "climber@pve", "groupid": "climbers", "poolid": "climbing",
                      "roleid": "PVEAuditor", "tokenid": "t", "upid": upid, "realm": "pve", "content": "iso", "path": "/vms/100", "roles": "PVEAuditor",
                      "users": "climber@pve", "username": "climber@pve", "password": "wrong password", "type": "vm", "filename": "a.iso",
                      "port": "5900", "vncticket": "x"}
        self.climbs = {**CLIMBS, "canary": (node.base + "/outside/canary").encode(), "canary storage": b"../canary/canary.iso",
                       "canary root": b"../../../canary/canary.iso", "canary volume": b"local:iso/../../../canary/canary.iso",
                       "canary image": b"local:../../canary/100/vm-100-disk-0.raw"}
        self.local = threading.local()

    def request(self, method, path, params):
        """Status and whole reply; the path is bytes that were quoted, params a list of pairs of bytes."""
        data = urllib.parse.urlencode(params)
        in_query = method in ("GET", "DELETE")
        url = "/api2/json" + path + ("?" + data if in_query and data else "")
        headers = {"Cookie": f"PVEAuthCookie={self.node.api.ticket}", "CSRFPreventionToken": self.node.api.csrf,
                   "Content-Type": "application/x-www-form-urlencoded"}
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection("127.0.0.1", self.node.port, timeout=20, context=ssl._create_unverified_context())
        try:
            connection.request(method, url, None if in_query else data, headers)
            reply = connection.getresponse()
            text = repr(reply.getheaders()).encode() + reply.reason.encode() + reply.read()
            self.local.connection = connection if not reply.will_close else None
            if reply.will_close:
                connection.close()
            return reply.status, text
        except (http.client.HTTPException, OSError) as e:
            connection.close()
            self.local.connection = None
            return 0, repr(e).encode()

    def tries(self):
        """(route, parameter, climb, method, path, params). A name gets all climbs where it is first met; where it comes
        again, and for settings of guests that name no files, it gets every fifth in turn, unless all was asked for."""
        met, new = {}, FIRST_NEW
        for method, path, params in routes():
            in_path = re.findall(r"\{([^}]*)\}", path)
            extra = config_keys() if path.endswith("/qemu") and method == "POST" or path.endswith("/config") and method == "PUT" else []
            names = [n for n, schema in params.items() if schema.get("type", "string") == "string" or n in in_path] + extra
            given = [(n, self.known[n]) for n, s in params.items() if n not in in_path and not s.get("optional") and n in self.known]
            for name in names:
                met[name] = met.get(name, -1) + 1
                for number, (what, value) in enumerate(self.climbs.items()):
                    is_full = met[name] == 0 and (name not in extra or name in FILES)
                    if not is_full and number % 5 != met[name] % 5 and not os.environ.get("HOLM_ALL"):
                        continue
                    if path in ("/access/ticket", "/access/vncticket", "/access/password") and what not in ("dots3", "nul", "4 KiB"):
                        continue  # each wrong login takes three seconds
                    filled = re.sub(r"\{([^}]*)\}", lambda m, n=name, v=value: urllib.parse.quote_from_bytes(
                        v if m[1] == n else self.known.get(m[1], "none").encode(), safe=""), path)
                    sent = [(n, v) for n, v in given if n != name] + ([(name, value)] if name not in in_path else [])
                    if name in extra and method == "POST":
                        sent = [("vmid", str(new)), (name, value)]
                        new += 1
                    yield (f"{method} {path}", name, what, method, filled, sent)


def tree(folder):
    """Names below a folder, without those that a daemon at work makes (tasks, journal, statistics, the database's own files) and
    without the canaries, which watch themselves."""
    out = set()
    for top, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f not in ("outside", "canary")]
        for name in folders + names:
            path = os.path.relpath(os.path.join(top, name), folder)
            if not re.search(r"(^|/)(tasks?|log|journal|rrd)(/|$)|\.db(-wal|-shm|-journal)?$", path):
                out.add(path)
    return out


def top_of_host():
    """Names of what lies at the top, and the files that routes of a node can change."""
    files = {}
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/timezone"):
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as f:
                files[path] = f.read()
    return {d: sorted(os.listdir(d)) for d in ("/", "/etc", "/root", "/var", "/var/lib")}, files


@test(limit=400)
def no_name_climbs():
    with Node() as node:
        scene = Scene(node)
        rows = list(scene.tries())
        node.api.get("/nodes/{node}/storage/local/content")
        before, host = tree(node.base), top_of_host()
        for c in scene.canaries:
            c.check()
        taken = {}
        secrets = [c.secret.encode() for c in scene.canaries] + [b"root:x:0", b"HOME=/"]

        def one(row):
            route, name, what, method, path, sent = row
            status, text = scene.request(method, path, sent)
            assert not any(s in text for s in secrets), (row, text[:500])
            assert status == 0 or status < 502, (row, status, text[:200])
            assert status, (row, text)
            if status < 400:
                taken.setdefault((route, name), []).append(what)
        with Beside(node) as honest, ThreadPoolExecutor(4) as pool:
            list(pool.map(one, rows))
            honest.enough()
        wait_for(lambda: not [t for t in node.api.get("/cluster/tasks") if not t.get("endtime")], 30, "the tasks to end")
        for c in scene.canaries:
            c.check()
        for guest in node.api.get("/nodes/{node}/qemu"):
            if guest["vmid"] >= FIRST_NEW:
                node.remove(guest["vmid"])
        strange = {(route, name): what for (route, name), what in taken.items() if name not in FREE}
        print(f"{len(rows)} requests, {len({r[:2] for r in rows})} parameters; taken: " + "; ".join(
            f"{r} {n}: {', '.join(w)}" for (r, n), w in sorted(strange.items())))
        for (route, name), what in strange.items():
            harmless = set(CLIMBS) if name in TEXTS else {"dots", "dot", "dash", "trailing dot"} if name in KEYS else set()
            if name == "path" and route == "GET /access/permissions":
                harmless = set(scene.climbs)  # an access path, of which nothing is below
            assert set(what) <= harmless | ({w for w in what if w.startswith("canary")} if name in TEXTS else set()), (route, name, what)
        after = tree(node.base)
        assert after - before == set() and before - after == set(), (sorted(after - before), sorted(before - after))
        assert top_of_host() == host
        log = node.log()
        assert not any(c.secret in log for c in scene.canaries)


if __name__ == "__main__":
    main()
