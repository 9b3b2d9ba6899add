"""The audit log: each write, allowed or refused, leaves exactly one record that says who, what, from where, with what
result; reads leave none; secrets are not in it; the chain holds."""
import concurrent.futures
import hashlib
import json
import os

import requests

from lib.client import ApiError
from lib.console import Console
from lib.holm import PASSWORD
from lib.tap import main, test
from lib.wait import wait_for


def records(node):
    """Every record in the files, oldest first."""
    out = []
    folder = node.path("audit")
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".jsonl")):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            out += [json.loads(line) for line in f]
    return out


def requests_of(node):
    return [r for r in records(node) if "method" in r]


class Watch:
    """What was recorded since: watch.one() is the only request record."""

    def __init__(self, node):
        assert node.api.ticket  # the session's own login is not to be counted
        self.node, self.n = node, len(requests_of(node))

    def all(self):
        return requests_of(self.node)[self.n:]

    def one(self):
        found = self.all()
        self.n += len(found)
        assert len(found) == 1, found
        return found[0]


def has(record, **wanted):
    for key, value in wanted.items():
        name = key.replace("_", "-")
        assert record.get(name) == value, (name, value, record)


@test
def each_kind_of_write(node):
    w = Watch(node)
    node.api.post("/access/groups", groupid="aud", comment="first")
    r = w.one()
    has(r, event="write", user="admin@pve", method="POST", path="/access/groups", status=200, params={
        "groupid": "aud", "comment": "first"}, object="shared/auth/group/aud")
    assert r["from"].startswith("127.0.0.1") and "before" not in r and len(r["after"]) == 64, r
    node.api.put("/access/groups/aud", comment="second")
    second = w.one()
    has(second, method="PUT", path="/access/groups/aud", before=r["after"], params={"comment": "second"})
    assert second["after"] != r["after"]
    node.api.delete("/access/groups/aud")
    third = w.one()
    has(third, method="DELETE", before=second["after"], status=200)
    assert "after" not in third
    node.api.post("/pools", poolid="aud")
    has(w.one(), object="shared/auth/pool/aud")
    node.api.delete("/pools", poolid="aud")
    has(w.one(), object="shared/auth/pool/aud", method="DELETE")
    node.api.post("/access/users", userid="audacl@pve")
    has(w.one(), object="shared/auth/user/audacl@pve")
    node.api.put("/access/acl", path="/vms/777", roles="PVEVMUser", users="audacl@pve")
    acl = w.one()
    has(acl, object="shared/auth/acl/vms/777 ")
    assert "before" not in acl and acl["after"], acl
    node.api.put("/access/acl", path="/vms/777", roles="PVEVMUser", users="audacl@pve", delete=1)
    gone = w.one()
    assert gone["before"] == acl["after"] and "after" not in gone, gone


@test
def guests_and_tasks(node):
    w = Watch(node)
    upid = node.api.post("/nodes/{node}/qemu", vmid=640, name="aud", memory=64)
    has(w.one(), upid=upid, status=200, object="shared/guest/640", path=f"/nodes/{node.name}/qemu")
    assert node.api.wait_task(upid) == "OK"
    digest = node.api.get(node.vm(640, "/config"))["digest"]
    wait_for(lambda: [r for r in records(node) if r["event"] == "task" and r["upid"] == upid], 5, "the task's end")
    end = [r for r in records(node) if r["event"] == "task" and r["upid"] == upid]
    assert len(end) == 1
    has(end[0], result="OK", user="admin@pve", after=digest)
    node.api.put(node.vm(640, "/config"), memory=96)
    r = w.one()
    has(r, before=digest, after=node.api.get(node.vm(640, "/config"))["digest"], params={"memory": "96"})
    assert r["after"] != digest
    upid = node.api.post(node.vm(640, "/status/start"), skiplock=0)
    has(w.one(), upid=upid, path=f"/nodes/{node.name}/qemu/640/status/start")
    assert node.api.wait_task(upid) == "OK"
    node.remove(640)
    assert [r["method"] for r in w.all()] == ["POST", "DELETE"], w.all()


@test
def refused_writes(node):
    low = node.restricted("audlow@pve")
    w = Watch(node)
    low.refused("POST", "/access/groups", {"groupid": "never"}, 403)
    r = w.one()
    has(r, status=403, path="/access/groups")
    assert r["user"].startswith("audlow@pve!t") and "Permission check failed" in r["error"], r
    node.api.refused("POST", "/access/groups", {"groupid": "no good"}, 400)
    has(w.one(), status=400, user="admin@pve", error="Parameter verification failed.")
    node.api.refused("POST", "/access/groups", {"groupid": "x", "unknown": "some value"}, 400)
    has(w.one(), status=400, params={"groupid": "x", "unknown": "***"})
    node.api.refused("DELETE", "/access/groups/not-there", {}, 500)
    has(w.one(), status=500, path="/access/groups/not-there")
    node.api.refused("POST", "/no/such/path", {}, 501)
    has(w.one(), status=501, path="/no/such/path")
    node.nobody().refused("POST", "/access/groups", {"groupid": "y"}, 401)
    r = w.one()
    has(r, status=401)
    assert "user" not in r, r
    bad = requests.post(node.api.url("/access/groups"), data={"groupid": "z"}, verify=False, timeout=30,
                        headers={"Cookie": f"PVEAuthCookie={node.api.ticket}", "CSRFPreventionToken": "0:x"})
    assert bad.status_code == 401
    has(w.one(), status=401, error="Permission denied - invalid csrf token")
    node.api.delete("/access/users/audlow@pve")
    w.one()


@test
def reads_leave_nothing(node):
    w = Watch(node)
    for path in ("/version", "/cluster/resources", "/cluster/audit", "/cluster/log", "/access/users"):
        node.api.get(path)
    node.nobody().refused("GET", "/cluster/resources", {}, 401)
    assert w.all() == [], w.all()


@test(limit=40)
def logins(node):
    w = Watch(node)
    node.client()
    has(w.one(), event="login", user="admin@pve", status=200, params={"username": "admin@pve", "password": "***"})
    for name, claimed in (("admin@pve", "admin@pve"), ("nobody@pve", "nobody@pve"), ("a b\nc", "?")):
        node.nobody().refused("POST", "/access/ticket", {"username": name, "password": "wrong one"}, 401)
        r = w.one()
        has(r, event="login", claimed=claimed, status=401)
        assert "user" not in r and r["params"]["password"] == "***", r


@test
def dry_run_and_replay(node):
    w = Watch(node)
    node.api.post("/nodes/{node}/qemu", vmid=641, **{"dry-run": 1})
    r = w.one()
    has(r, dry_run=1, status=200)
    assert "upid" not in r and "after" not in r, r
    key = {"Idempotency-Key": "audit-641"}
    first = node.api.call("POST", "/nodes/{node}/qemu", {"vmid": 641}, headers=key)
    has(w.one(), upid=first.data)
    assert node.api.wait_task(first.data) == "OK"
    again = node.api.call("POST", "/nodes/{node}/qemu", {"vmid": 641}, headers=key)
    assert again.data == first.data
    has(w.one(), upid=first.data, replay=1)
    node.remove(641)


@test
def tokens_and_the_local_root(node):
    token = node.api.post("/access/users/admin@pve/token/aud", privsep=0)
    client = node.client(token=(token["full-tokenid"], token["value"]))
    w = Watch(node)
    client.post("/access/groups", groupid="bytoken")
    has(w.one(), user="admin@pve!aud")
    node.cli("api", "DELETE", "/access/groups/bytoken")
    has(w.one(), user="root@pam", **{"from": "local"})
    node.api.delete("/access/users/admin@pve/token/aud")
    has(w.one(), object="shared/auth/token/admin@pve!aud")
    assert token["value"] not in json.dumps(records(node))


@test
def uploads_are_recorded(node):
    w = Watch(node)
    reply = node.api.call("POST", "/nodes/{node}/storage/local/upload", {"content": "iso"},
                          files={"filename": ("aud.iso", b"x" * 3000)})
    assert reply.status == 200, reply.text
    r = w.one()
    has(r, event="upload", status=200, upid=reply.data)
    assert r["params"]["filename"] == "aud.iso" and r["params"]["content"] == "iso", r
    assert node.api.wait_task(reply.data) == "OK"


@test
def consoles_are_recorded(node):
    """The ticket is one write, the console that it opens another record; a wrong ticket one more."""
    node.create(642, memory=64, serial0="socket")
    node.api.run("POST", node.vm(642, "/status/start"))
    w = Watch(node)
    with Console(node.api, node.vm(642)) as console:
        ticket = console.answer["ticket"]
    offer, opened = w.all()
    has(offer, event="write", status=200, path=f"/nodes/{node.name}/qemu/642/termproxy")
    has(opened, event="console", status=101, user="admin@pve", method="GET")
    assert opened["params"]["vncticket"] == "***" and ticket not in json.dumps(records(node)), opened
    node.remove(642)


def is_quiet(node):
    """Each task that a request started has its record of the end: nothing more is coming."""
    all_of_them = records(node)
    started = {r["upid"] for r in all_of_them if "upid" in r and r["event"] != "task"}
    return started <= {r.get("upid") for r in all_of_them if r["event"] == "task"}


@test
def verify_and_list(node):
    wait_for(lambda: is_quiet(node), 10, "the records of all ends")
    report = node.api.get("/cluster/audit/verify")
    written = records(node)
    assert report["ok"] == 1 and report["records"] == len(written) and report["removed"] == 0, report
    assert report["head"] == written[-1]["hash"] and report["last"] == written[-1]["seq"], report
    listed = node.api.get("/cluster/audit", limit=1000)
    assert listed == list(reversed(written))[:1000]
    assert node.api.get("/cluster/audit", start=1, limit=2) == listed[1:3]
    own = node.api.get("/cluster/audit", user="root@pam", limit=1000)
    assert own and own == [r for r in listed if r.get("user", r.get("claimed")) == "root@pam"], own
    now = listed[0]["time"] // 1000
    assert node.api.get("/cluster/audit", since=now + 1000) == []
    assert node.api.get("/cluster/audit", until=now - 100000) == []
    assert len(node.api.get("/cluster/audit", since=now - 1000, limit=1000)) == len(listed)
    node.api.refused("GET", "/cluster/audit", {"limit": 1001}, 400)


@test
def the_chain_is_what_the_documents_say(node):
    """An independent reading: SHA-256 over each line before its own hash, linked by prev."""
    folder = node.path("audit")
    prev = "0" * 64
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".jsonl")):
        for line in open(os.path.join(folder, name), "rb"):
            r = json.loads(line)
            assert r["prev"] == prev, r
            text, _, _ = line.rpartition(b',"hash":')
            prev = hashlib.sha256(text).hexdigest()
            assert r["hash"] == prev and r["v"] == 1, r


@test
def who_may_read(node):
    low = node.restricted("audread@pve")
    low.refused("GET", "/cluster/audit", {}, 403)
    low.refused("GET", "/cluster/audit/verify", {}, 403)
    low.refused("POST", "/pools", {"poolid": "x"}, 403)
    own = low.get("/cluster/log", max=1000)
    assert own and all(r["user"].startswith("audread@pve!") for r in own), own
    assert any("POST /pools 403" in r["msg"] for r in own), own
    made = node.api.post("/access/users/audread@pve/token/second", privsep=0)
    second = node.client(token=(made["full-tokenid"], made["value"]))
    assert not second.get("/cluster/log", max=1000), "a token sees what another one did"
    seen = node.api.get("/cluster/log", max=1000)
    assert len(seen) > len(own) and {"uid", "time", "node", "tag", "pid", "pri", "user", "msg"} <= set(seen[0]), seen[0]
    assert [r["uid"] for r in seen] == sorted((r["uid"] for r in seen), reverse=True)
    assert any(r["msg"].startswith("starting task UPID:") for r in seen)
    assert any(r["msg"].startswith("end task UPID:") for r in seen)
    assert len(node.api.get("/cluster/log", max=3)) == 3
    node.api.put("/access/acl", path="/", roles="PVEAuditor", users="audread@pve")
    assert low.get("/cluster/audit/verify")["ok"] == 1
    node.api.delete("/access/users/audread@pve")


@test
def command_line(node):
    rows = node.cli_json("audit", "list", "--user", "admin@pve", "--limit", "5")
    assert len(rows) == 5 and all(r["user"].split("!")[0] == "admin@pve" for r in rows), rows
    assert node.cli_json("audit", "verify")["ok"] == 1
    assert node.cli_json("audit", "verify", "--dir", node.path("audit"))["ok"] == 1
    missing = node.cli("audit", "verify", "--dir", "/nowhere", is_checked=False)
    assert missing.returncode == 3, missing


@test(limit=60)
def what_else_has_a_digest(node):
    """Settings, storages, networks, and who is a member: before and after differ when something has changed, and only
    then."""
    node.create(7310)
    node.api.post("/access/groups", groupid="dig1")
    node.api.post("/access/users", userid="dig@pve", password="never-in-the-log-1")
    node.api.post("/pools", poolid="dig")
    node.api.post("/storage", storage="digs", type="dir", path=node.base + "/digs", content="iso")
    w = Watch(node)
    network = "/nodes/{node}/network"
    changes = [
        ("PUT", "/cluster/options", {"description": "dig"}, "shared/options"),
        ("PUT", "/nodes/{node}/config", {"description": "dig"}, f"shared/node/{node.name}"),
        ("PUT", "/pools", {"poolid": "dig", "vms": "7310"}, "shared/auth/pool/dig"),
        ("PUT", "/pools", {"poolid": "dig", "storage": "digs"}, "shared/auth/pool/dig"),
        ("PUT", "/pools/dig", {"vms": "7310", "delete": 1}, "shared/auth/pool/dig"),
        ("PUT", "/access/users/dig@pve", {"groups": "dig1"}, "shared/auth/user/dig@pve"),
        ("PUT", "/storage/digs", {"content": "iso,vztmpl"}, "shared/storage/digs"),
        ("POST", network, {"iface": "vmbr73", "type": "bridge"}, "local/network/pending"),
        ("PUT", network + "/vmbr73", {"type": "bridge", "comments": "x"}, "local/network/pending"),
    ]
    for method, path, params, key in changes:
        assert node.api.call(method, path, params).status == 200, (method, path)
        first = w.one()
        has(first, object=key, status=200)
        assert len(first["after"]) == 64 and first.get("before") != first["after"], first
    node.api.put("/pools", poolid="dig", comment="")
    same = w.one()
    assert same["before"] == same["after"], same
    node.api.delete(network)
    dropped = w.one()
    assert dropped["before"] and "after" not in dropped, dropped
    node.api.put("/pools/dig", storage="digs", delete=1)
    node.api.delete("/pools/dig")
    node.api.delete("/storage/digs")
    node.api.put("/access/password", userid="dig@pve", password="never-in-the-log-2", **{"confirmation-password": PASSWORD})
    for name in os.listdir(node.path("audit")):
        with open(node.path("audit", name), "rb") as f:
            assert b"never-in-the-log" not in f.read(), name


@test(limit=60)
def floods_are_counted(node):
    """Unauthenticated refusals beyond a rate are one record with their number; nothing is forgotten."""
    def tries():
        return [r for r in records(node) if r.get("status") == 401 and "user" not in r]

    def counted():
        return sum(int(r["text"].split()[0]) for r in records(node) if r["event"] == "flood")
    before, counted_before = len(tries()), counted()

    def refused_one(i):
        path, data = (("/pools", {"poolid": f"f{i}"}), ("/access/ticket", {"username": "a b", "password": "x"}))[i % 2]
        reply = requests.post(node.api.url(path), data=data, verify=False, timeout=60)
        assert reply.status_code == 401, reply.text
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        list(pool.map(refused_one, range(60)))
    wait_for(lambda: len(tries()) - before + counted() - counted_before == 60, 30, "all are told")
    assert len(tries()) - before < 60 and counted() > counted_before, (len(tries()) - before, counted())
    with open(node.path("audit", "pending"), "rb") as f:
        notes = f.read()
    used = [i for i in range(0, len(notes), 2048) if notes[i:i + 4] != bytes(4)]
    assert not used, f"{len(used)} requests are still noted as under way"
    assert node.api.get("/cluster/audit/verify")["ok"] == 1


@test(limit=90)
def a_users_refusals_are_bounded(node):
    """One after the other for a while, then a count for each route; what he may do is recorded all the same, and nobody
    else's refusals are counted with his."""
    user, other = node.restricted("refused@pve", **{"/pool": "PVEPoolAdmin"}), node.restricted("refused2@pve")
    w = Watch(node)
    for _ in range(60):
        user.refused("PUT", "/cluster/options", {"description": "x"}, 403)
        user.refused("DELETE", "/access/groups/none", {}, 403)
    other.refused("PUT", "/cluster/options", {"description": "x"}, 403)
    user.post("/pools", poolid="refused")
    user.delete("/pools", poolid="refused")
    mine = [r for r in w.all() if r.get("user", "").startswith("refused@pve!")]
    puts, deletes = ([r for r in mine if r["method"] == m and r["status"] == 403] for m in ("PUT", "DELETE"))
    assert 20 <= len(puts) <= 60 and 20 <= len(deletes) <= 60, (len(puts), len(deletes))
    assert [r for r in w.all() if r.get("user", "").startswith("refused2@pve!") and r["status"] == 403]
    assert [r for r in mine if r["method"] == "POST" and r["status"] == 200], "what took effect is always there"

    def counted(route):
        texts = [r["text"] for r in records(node) if r["event"] == "flood" and ": refused@pve!" in r["text"] and r["text"].endswith(" " + route)]
        return sum(int(t.split()[0]) for t in texts)
    wait_for(lambda: counted("PUT /cluster/options") + len(puts) == 60, 30, "the rest to be counted")
    wait_for(lambda: counted("DELETE /access/groups/{groupid}") + len(deletes) == 60, 30)
    assert counted("PUT /cluster/options") + counted("DELETE /access/groups/{groupid}") > 0, "nothing was held back"


@test
def files_are_for_root_only(node):
    folder = node.path("audit")
    assert os.stat(folder).st_mode & 0o777 == 0o700
    for name in os.listdir(folder):
        assert os.stat(os.path.join(folder, name)).st_mode & 0o777 == 0o600, name


@test
def a_changed_record_is_found(node):
    """While it runs, offline, and at the next start, which goes on in a new file."""
    node.api.post("/access/groups", groupid="evidence")
    name = sorted(n for n in os.listdir(node.path("audit")) if n.endswith(".jsonl"))[-1]
    path = node.path("audit", name)
    with open(path, "rb") as f:
        text = f.read()
    at = text.rindex(b"evidence")
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(b"innocent")
    report = node.api.get("/cluster/audit/verify")
    line = text[:at].count(b"\n") + 1
    assert report["ok"] == 0 and report["broken-line"] == line and report["broken-file"] == 1, report
    offline = node.cli("audit", "verify", "--dir", node.path("audit"), is_checked=False)
    assert offline.returncode == 1 and "was changed" in offline.stderr, offline
    node.restart()
    assert "holds a record that was changed" in node.log()
    node.api.delete("/access/groups/evidence")
    after = node.api.get("/cluster/audit/verify")
    assert after["ok"] == 0 and after["broken-line"] == line and after["files"] == 2, after
    assert after["records"] > report["records"]
    assert any("holds a record that was changed" in r.get("text", "") for r in node.api.get("/cluster/audit"))
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(b"evidence")
    assert node.api.get("/cluster/audit/verify")["ok"] == 1


@test
def the_head_is_in_the_log_at_the_end(node):
    node.restart()
    last = [r for r in records(node) if r["event"] == "stop"][-1]
    assert f"audit head: record {last['seq']}, hash {last['hash']}" in node.log()
    assert PASSWORD not in json.dumps(records(node))
    try:
        node.api.post("/access/groups", groupid="after")
    except ApiError as e:
        raise AssertionError("a write after the restart failed") from e
    node.api.delete("/access/groups/after")


if __name__ == "__main__":
    main()
