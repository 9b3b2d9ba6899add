"""The audit log and what breaks: kill -9 among writes, a disk that is full or fails, torn ends. Whatever happens, each
acknowledged write has exactly one record, each change that is there has one too, and the chain holds."""
import concurrent.futures
import glob
import json
import os
import random
import time

import requests

from lib import procs
from lib.holm import Node, build_dir, is_sanitized
from lib.tap import main, test
from lib.wait import wait_for


def records(node):
    out = []
    for path in sorted(glob.glob(node.path("audit", "*.jsonl"))):
        with open(path, "rb") as f:
            out += [json.loads(line) for line in f if line.endswith(b"\n")]
    return out


def recorded(node, method="POST", path="/access/groups"):
    """{group: number of its records}"""
    counts = {}
    for r in records(node):
        if r.get("method") == method and r.get("path") == path:
            group = r["params"].get("groupid")
            counts[group] = counts.get(group, 0) + 1
    return counts


def groups(node):
    return {g["groupid"] for g in node.api.get("/access/groups")}


def verify(node):
    report = node.api.get("/cluster/audit/verify")
    assert report["ok"] == 1, report
    return report


def faulty(fault):
    """Environment of a daemon under the shim; a sanitizer's runtime must come first."""
    found = glob.glob(f"{build_dir()}/tests/**/*faultfs*.so", recursive=True)
    assert found, "no faultfs shim"
    asan = os.popen("gcc -print-file-name=libasan.so").read().strip() if is_sanitized() else ""
    return {"LD_PRELOAD": f"{asan} {found[0]}".strip(), "HOLM_FAULT": fault}


def stream(node, prefix, acknowledged):
    """Writes until the daemon is gone."""
    session = requests.Session()
    session.verify = session.trust_env = False
    session.headers.update(node.api.http.headers)
    for i in range(10000):
        name = f"{prefix}{i}"
        try:
            reply = session.post(node.api.url("/access/groups"), data={"groupid": name}, timeout=20)
        except (requests.ConnectionError, requests.Timeout):
            return
        if reply.status_code != 200:
            return
        acknowledged.append(name)


@test(limit=150)
def kill_among_writes():
    with Node() as node:
        rng = random.Random(7)
        acknowledged = []
        assert node.api.ticket
        for turn in range(6):
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                began = len(acknowledged)
                for k in range(4):
                    pool.submit(stream, node, f"k{turn}x{k}x", acknowledged)
                target = began + 20 + rng.randrange(40)
                wait_for(lambda: len(acknowledged) > target, 20, "some writes")
                time.sleep(rng.random() / 50)  # not to wait for anything: another moment each time
                node.kill9()
            node.start()
            counts, there = recorded(node), groups(node)
            wrong = {g: counts.get(g, 0) for g in set(acknowledged) | there if counts.get(g, 0) != 1}
            assert not wrong, f"turn {turn}: not exactly one record: {wrong}"
            assert set(acknowledged) <= there, set(acknowledged) - there
            verify(node)
        assert len(acknowledged) > 100


@test(limit=60)
def kill_between_change_and_record():
    """The change is committed, the daemon dies before its record: the next start writes it, once."""
    with Node() as node:
        node.api.get("/version")  # a first login is a commit of its own
        node.restart(HOLM_FP="state.commit.after=kill@1")
        try:
            node.api.http.post(node.api.url("/access/groups"), data={"groupid": "between"}, timeout=20)
            raise AssertionError("it answered")
        except requests.ConnectionError:
            pass
        node.wait_dead()
        assert "between" not in recorded(node)
        node.start()
        assert "between" in groups(node)
        wait_for(lambda: recorded(node).get("between") == 1, 10, "the record")
        r = [r for r in records(node) if r.get("params", {}).get("groupid") == "between"][0]
        assert r["interrupted"] == 1 and r["user"] == "admin@pve" and len(r["after"]) == 64 and "status" not in r, r
        node.restart()
        assert recorded(node)["between"] == 1
        verify(node)


@test(limit=60)
def torn_end():
    with Node() as node:
        node.api.post("/access/groups", groupid="whole")
        node.kill9()
        newest = sorted(glob.glob(node.path("audit", "*.jsonl")))[-1]
        with open(newest, "rb") as f:
            last = f.read().splitlines(True)[-1]
        with open(newest, "ab") as f:
            f.write(last[:100])
        node.start()
        assert "ended with a torn record; 100 bytes were cut off" in node.log()
        verify(node)
        assert any("torn record" in r.get("text", "") for r in records(node))
        node.api.delete("/access/groups/whole")
        verify(node)


@test(limit=90)
def full_disk_refuses_writes_only():
    """No room for records: writes are refused before they take effect, reads and guests go on; then it recovers."""
    with Node() as node:
        node.create(100, memory=64, serial0="socket")
        node.api.run("POST", node.vm(100, "/status/start"))
        qemu = node.api.get(node.vm(100, "/status/current"))["pid"]
        before = groups(node)
        node.restart(**faulty("any:1:sticky:ENOSPC:/r/audit/"))
        for i in range(5):
            node.api.refused("POST", "/access/groups", {"groupid": f"full{i}"}, 500, "cannot write the audit log: ")
        node.api.refused("POST", node.vm(100, "/status/stop"), {}, 500, "cannot write the audit log: ")
        reply = node.nobody().call("POST", "/access/ticket", {"username": "admin@pve", "password": "x"})
        assert reply.status == 500, reply.status
        assert groups(node) == before and node.guest_state(100) == "running"
        assert node.api.get(node.vm(100, "/status/current"))["pid"] == qemu and procs.is_alive(qemu)
        assert "cannot write the audit log: " in node.log()
        node.restart()
        node.api.post("/access/groups", groupid="room")
        assert recorded(node).get("room") == 1 and "full0" not in recorded(node)
        node.remove(100)
        verify(node)


def one_failure(fault, name):
    """The n-th such call fails once: nothing acknowledged lacks its record, nothing has two, all goes on."""
    with Node() as node:
        failures = 0
        for n in range(1, 9):
            node.restart(**faulty(f"{fault.format(n=n)}:/r/audit/audit-"))
            refused = 0
            for i in range(6):
                reply = node.api.call("POST", "/access/groups", {"groupid": f"{name}{n}x{i}"})
                assert reply.status == 200 or "cannot write the audit log" in reply.message, reply.text
                refused += reply.status != 200
            failures += refused
            assert refused <= 1, f"{name} {n}: {refused} refused"
            node.restart(is_killed=True)
            counts, there = recorded(node), groups(node)
            for group in (f"{name}{n}x{i}" for i in range(6)):
                assert counts.get(group, 0) == (group in there), (group, counts.get(group), group in there)
            verify(node)
        assert failures, "nothing ever failed: the shim does nothing"


@test(limit=120)
def one_write_finds_no_room():
    one_failure("write:{n}:once:ENOSPC", "w")


@test(limit=120)
def one_sync_fails():
    one_failure("fsync:{n}:once:EIO", "s")


@test(limit=60)
def the_reserve_is_used_up():
    """Room cannot be reserved: writes are refused while what is under way still fits."""
    with Node() as node:
        assert node.api.ticket
        node.restart(**faulty("fallocate:1:sticky:ENOSPC:/r/audit/audit-"))
        node.api.refused("POST", "/access/groups", {"groupid": "low"}, 500, "cannot write the audit log: reserve room")
        assert "low" not in groups(node)
        node.restart()
        node.api.post("/access/groups", groupid="low")
        verify(node)


if __name__ == "__main__":
    main()
