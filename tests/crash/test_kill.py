"""kill -9 of holmd at every named point of every journalled task, and of each of its helpers at any time.

Each operation is rehearsed once with HOLM_FP_LOG, which tells the points it passes and how often; then it is done again
for each of them with HOLM_FP=name=kill@n. After the restart the journal must be empty within 10 s, tools/orphans must find
nothing, and the guest must be there whole or not at all.
"""
import os
from collections import Counter

import requests

from lib import procs
from lib.client import ApiError
from lib.guests import volume_path
from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

CREATE = ("POST", "/nodes/{node}/qemu", {"vmid": 100, "scsi0": "local:1,format=raw", "scsi1": "local:1,format=qcow2"})
HITS_OF_ONE_POINT = 6  # how many hits of one point are tried, spread over all there are


def read_hits(path):
    try:
        with open(path, encoding="utf-8") as f:
            return Counter(f.read().split())
    except FileNotFoundError:
        return Counter()


class Operation:
    """What is done to guest 100; check(node, before, after) says what may be found afterwards."""

    def __init__(self, method, path, params, prepare=None):
        self.method, self.path, self.params, self.prepare = method, path, params, prepare

    def make_ready(self, node):
        if exists(node):
            node.api.put(node.vm(100, "/config"), protection=0)
            node.remove(100)
        if self.prepare:
            self.prepare(node)

    def run(self, node):
        """Does it; the daemon may die at any moment. Returns how the task ended, if that became known."""
        try:
            data = node.api.call(self.method, self.path, self.params).data
            return node.api.wait_task(data, 20) if isinstance(data, str) else "OK"
        except (requests.ConnectionError, requests.Timeout):
            return None


def exists(node):
    return any(v["vmid"] == 100 for v in node.api.get("/nodes/{node}/qemu"))


def check_whole_or_absent(node):
    """Configuration, text copy and volumes agree."""
    reply = node.api.call("GET", node.vm(100, "/config"))
    if reply.status != 200:
        assert "does not exist" in reply.message, reply.message
        assert node.conf(100) is None and node.images() == [], (node.conf(100), node.images())
        return None
    text = node.conf(100)
    drives = [v for k, v in reply.data.items() if isinstance(v, str) and v.startswith("local:")]
    for value in drives:
        assert os.path.exists(volume_path(node, value)), f"{value} is named but not there"
        assert value in text, f"{value} is not in the text copy"
    assert len(node.images()) == len(drives), (node.images(), drives)
    return reply.data


def cases(node, operation, log):
    """[(point, hit number since the start of the daemon)] of one rehearsal."""
    operation.make_ready(node)
    if os.path.exists(log):
        os.unlink(log)
    node.restart(HOLM_FP_LOG=log)
    before = read_hits(log)
    assert operation.run(node) == "OK"
    total = read_hits(log)
    node.restart()
    found = []
    for name in sorted(total):
        hits = list(range(before[name] + 1, total[name] + 1))
        step = max(1, -(-len(hits) // HITS_OF_ONE_POINT))
        found += [(name, n) for n in hits[::step]]
    return found


def dies_soon(node):
    """The text copy is written just after the answer: a kill there comes when the client is content already."""
    try:
        wait_for(node.is_dead, 3)
    except AssertionError:
        return False
    return True


def kill_everywhere(operation, check=lambda config: None):
    with Node() as node:
        found = cases(node, operation, node.base + "/hits")
        assert found, "the operation passes no fail point"
        reached = set()
        for point, n in found:
            operation.make_ready(node)
            node.restart(HOLM_FP=f"{point}=kill@{n}")
            end = operation.run(node)
            if end is None or dies_soon(node):
                node.wait_dead()
                reached.add(point)
            node.restart()
            wait_for(lambda: "journal" not in node.orphans(), 10, f"{point}@{n}: the journal to be empty")
            orphans = node.orphans()
            assert not orphans, f"{point}@{n}: {orphans}"
            try:
                config = check_whole_or_absent(node)
                check(config)
                assert end != "OK" or operation.method == "DELETE" or config, "acknowledged and lost"
            except AssertionError as e:
                raise AssertionError(f"{point}@{n}: {e}") from e
            running = [t for t in node.api.get("/nodes/{node}/tasks", source="active")]
            assert not running, f"{point}@{n}: still running: {running}"
        assert reached == {p for p, _ in found}, f"never killed at {({p for p, _ in found}) - reached}"
        print(f"killed at {len(found)} places of {len(reached)} points")


def two_disks(node):
    node.create(100, scsi0="local:1,format=raw", scsi1="local:1,format=qcow2")


@test(limit=240)
def create():
    kill_everywhere(Operation(*CREATE))


@test(limit=240)
def delete():
    kill_everywhere(Operation("DELETE", "/nodes/{node}/qemu/100", {}, two_disks))


@test(limit=240)
def config_with_new_disk():
    def check(config):
        assert config, "the guest is gone"
        assert ("scsi1" in config) == (config.get("cores", 1) == 2), f"half a change: {config}"
    kill_everywhere(Operation("POST", "/nodes/{node}/qemu/100/config", {"scsi1": "local:1", "cores": 2},
                              lambda n: n.create(100, scsi0="local:1")), check)


@test(limit=240)
def config_deletes_a_disk():
    def prepare(node):
        node.create(100, scsi0="local:1")
        node.api.put(node.vm(100, "/config"), delete="scsi0")
    kill_everywhere(Operation("POST", "/nodes/{node}/qemu/100/config", {"delete": "unused0"}, prepare))




@test(limit=60)
def a_failing_step_is_undone():
    """An error (not a kill) in any step: the task says so, nothing stays."""
    with Node() as node:
        for step in ("begin", "0", "0.done", "1", "1.done"):
            node.restart(HOLM_FP=f"qmcreate.{step}=error")
            end = Operation(*CREATE).run(node)
            assert end not in ("OK", None), f"{step}: ended {end}"
            assert not node.orphans(), f"{step}: {node.orphans()}"
            assert check_whole_or_absent(node) is None, step


@test(limit=60)
def killed_while_undoing():
    """The undo after an error, and the undo of the recovery itself, are cut short too."""
    with Node() as node:
        for point in ("undo.1", "undo.0"):
            node.restart(HOLM_FP=f"qmcreate.1.done=error,qmcreate.{point}=kill")
            assert Operation(*CREATE).run(node) is None
            node.wait_dead()
            node.launch(HOLM_FP=f"qmcreate.{point}=kill")  # and again, in the recovery
            node.wait_dead()
            node.start()
            wait_for(lambda: not node.orphans(), 10, f"{point}: no orphans")
            assert check_whole_or_absent(node) is None, point


@test(limit=120)
def synchronous_change():
    kill_everywhere(Operation("PUT", "/nodes/{node}/qemu/100/config", {"cores": 2}, lambda n: n.create(100)))


@test(limit=240)
def start():
    """A guest whose start was cut short runs or does not; it can be stopped, started and removed."""
    with Node() as node:
        operation = Operation("POST", "/nodes/{node}/qemu/100/status/start", {}, lambda n: n.create(100, memory=64))
        for point, n in cases(node, operation, node.base + "/hits"):
            operation.make_ready(node)
            node.restart(HOLM_FP=f"{point}=kill@{n}")
            operation.run(node)
            node.restart()
            wait_for(lambda: not node.orphans(), 10, f"{point}@{n}: no orphans: {node.orphans()}")
            if node.guest_state(100) == "stopped":
                wait_for(lambda: not node.processes("qemu-system-x86_64"), 10, f"{point}@{n}: no QEMU")
                node.api.run("POST", node.vm(100, "/status/start"))
            node.api.run("POST", node.vm(100, "/status/stop"))


@test(limit=60)
def fronts_are_started_again():
    with Node() as node:
        for n_killed in (1, 2, 2):
            old = node.processes("holm-front")
            assert len(old) == 2, old
            for pid in old[:n_killed]:
                procs.kill(pid)
            wait_for(lambda: len(set(node.processes("holm-front")) - set(old[:n_killed])) == 2, 10, "new fronts")
            wait_for(node.accepts, 10, "the port")
            assert node.client(token=None).get("/version")["release"] == "9.2"


@test(limit=60)
def monitor_dies():
    """Without its monitor a guest is over: QEMU goes with it, nothing stays, and it can be started again."""
    with Node() as node:
        node.create(100, memory=64)
        for _ in range(2):
            node.api.run("POST", node.vm(100, "/status/start"))
            qemu = node.api.get(node.vm(100, "/status/current"))["pid"]
            for pid in node.processes("holm-guest"):
                procs.kill(pid)
            wait_for(lambda: node.guest_state(100) == "stopped", 10, "the guest to be stopped")
            wait_for(lambda: procs.reap() or not procs.is_alive(qemu), 10, "QEMU to be gone")
            wait_for(lambda: not node.orphans(), 10, "no orphans")


@test(limit=60)
def qemu_dies():
    with Node() as node:
        node.create(100, memory=64)
        node.api.run("POST", node.vm(100, "/status/start"))
        procs.kill(node.api.get(node.vm(100, "/status/current"))["pid"])
        wait_for(lambda: node.guest_state(100) == "stopped", 10, "the guest to be stopped")
        wait_for(lambda: not node.processes("holm-guest"), 10, "the monitor to end")
        wait_for(lambda: not node.orphans(), 10, "no orphans")


@test(limit=60)
def workers_die():
    """Logins hash passwords in workers; whoever kills those gets errors, not a dead or stuck daemon."""
    from concurrent.futures import ThreadPoolExecutor
    with Node() as node:
        killed = set()

        def login(_):
            try:
                node.client()
                return "ok"
            except ApiError as e:
                return e.reply.status

        with ThreadPoolExecutor(4) as pool:
            logins = [pool.submit(login, i) for i in range(16)]
            def hunt():
                for pid in node.processes("holm-worker"):
                    procs.kill(pid)
                    killed.add(pid)
                return all(f.done() for f in logins)
            wait_for(hunt, 40, "the logins to end", step=0.01)
        assert killed, "no worker was ever seen"
        node.client()
        assert not node.orphans(), node.orphans()


@test(limit=60)
def ten_kills_under_load():
    """kill -9 at random moments while creations and removals go on: no acknowledged guest is lost, no leftover stays."""
    import random
    import time
    rng = random.Random(7)
    with Node() as node:
        kept, number = set(), 200
        for _ in range(10):
            try:
                for number in range(number + 1, number + 4):
                    upid = node.api.post("/nodes/{node}/qemu", vmid=number, scsi0="local:1")
                    if node.api.wait_task(upid) == "OK":
                        kept.add(number)
                upid = node.api.post("/nodes/{node}/qemu", vmid=number + 50, scsi0="local:1")
                time.sleep(rng.random() * 0.03)  # the moment of the kill, not a wait
            finally:
                node.kill9()
            node.start()
            wait_for(lambda: not node.orphans(), 10, "no orphans")
            there = {v["vmid"] for v in node.api.get("/nodes/{node}/qemu")}
            assert kept <= there, f"lost: {kept - there}"


if __name__ == "__main__":
    main()
