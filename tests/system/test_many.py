"""Fifty guests defined, eight of them booting at once under emulation, while the API goes on answering."""
import statistics
import threading
import time

from lib.console import Console
from lib.guests import DEMO, install_demo
from lib.holm import Node
from lib.tap import main, test
from lib.wait import slow, wait_for

FIRST, DEFINED, BOOTED = 1000, 50, 8
ALL = range(FIRST, FIRST + DEFINED)
RUNNING = ALL[:BOOTED]
# Generous: eight emulated guests have the processors to themselves.
MEDIAN_S = 0.1


class Asker(threading.Thread):
    """A client of its own, that asks two questions in turn until told to end, and keeps how long each took."""

    def __init__(self, client):
        super().__init__()
        self.client, self.ended = client, threading.Event()
        self.seconds = {"/version": [], "/cluster/resources": []}
        self.failure = None

    def ask(self, path):
        began = time.monotonic()
        data = self.client.get(path)
        self.seconds[path].append(time.monotonic() - began)
        if path == "/cluster/resources":
            count = sum(row["type"] == "qemu" for row in data)
            assert count == DEFINED, f"{count} guests of {DEFINED}"

    def run(self):
        try:
            while not self.ended.wait(0.1):
                for path in self.seconds:
                    self.ask(path)
        except Exception as e:  # told by finish()
            self.failure = e

    def finish(self):
        self.ended.set()
        self.join()
        if self.failure:
            raise self.failure
        return {path: statistics.median(s) for path, s in self.seconds.items()}


def define(node):
    upids = [node.api.post("/nodes/{node}/qemu", {"vmid": vmid, "name": f"many-{vmid}", **DEMO, "memory": 128}) for vmid in ALL]
    for upid in upids:
        assert node.api.wait_task(upid, slow(60)) == "OK", node.api.task_log(upid)
    rows = node.api.get("/nodes/{node}/qemu")
    assert sorted(row["vmid"] for row in rows) == list(ALL)
    assert {row["status"] for row in rows} == {"stopped"}


def boot(node):
    upids = [node.api.post(node.vm(vmid, "/status/start")) for vmid in RUNNING]
    for upid in upids:
        assert node.api.wait_task(upid, slow(90)) == "OK", node.api.task_log(upid)
    states = {row["vmid"]: row["status"] for row in node.api.get("/nodes/{node}/qemu")}
    assert [v for v in ALL if states[v] == "running"] == list(RUNNING), states
    consoles = [Console(node.api, node.vm(vmid)) for vmid in RUNNING]
    for console in consoles:
        console.expect("HOLM-GUEST-UP", 240)
    for console in consoles:
        console.close()


@test(limit=420)
def eight_boot_at_once():
    with Node() as node:
        install_demo(node)
        define(node)
        asker = Asker(node.client())
        asker.start()
        try:
            boot(node)
        finally:
            medians = asker.finish()
        counts = {path: len(s) for path, s in asker.seconds.items()}
        assert min(counts.values()) >= 10, counts
        print("median ms while eight guests booted:",
              {path: round(1000 * s, 1) for path, s in medians.items()}, f"of {min(counts.values())} each", flush=True)
        assert all(s < slow(MEDIAN_S) for s in medians.values()), medians
        upids = [node.api.post(node.vm(vmid, "/status/stop")) for vmid in RUNNING]
        for upid in upids:
            assert node.api.wait_task(upid, slow(60)) == "OK", node.api.task_log(upid)
        assert {row["status"] for row in node.api.get("/nodes/{node}/qemu")} == {"stopped"}
        wait_for(lambda: not node.processes("qemu-system-x86_64") and not node.processes("holm-guest"), 20)
        wait_for(lambda: not node.orphans(), 20, "nothing left behind")
        for upid in [node.api.delete(node.vm(vmid)) for vmid in ALL]:
            assert node.api.wait_task(upid, slow(60)) == "OK", node.api.task_log(upid)
        assert node.api.get("/nodes/{node}/qemu") == [] and node.images() == []
        assert not node.orphans(), node.orphans()


main()
