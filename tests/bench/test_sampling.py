"""What it costs to know how 200 running guests do: processor time of holmd and of every monitor while nobody asks for
anything, over more than a minute and a sample, because the statistics of each minute are written with the first sample
after it."""
import os
import time

from bench.figures import cpu_ms, least, note, within
from bench.many import FIRST, define
from bench.running import Running
from lib.procs import status_number
from lib.tap import main, test
from lib.wait import wait_for

COUNT, SECONDS = 200, 75
PERIOD_S = 5  # of the sampler, src/guest/model.c
WAKES_MAX = 3.2  # holmd's question and QEMU's two answers; others on the machine may part those
READS, READ_US = 5000, 6
GUESTS = range(FIRST, FIRST + COUNT)


def states(node):
    return [g["status"] for g in node.api.get("/cluster/resources", type="vm")]


def is_sampled(node):
    """Each monitor was asked and has answered: what its hypervisor is comes with the figures."""
    return all("running-qemu" in g for g in node.api.get("/nodes/{node}/qemu", full=1))


def has_statistics(node, vmid):
    return os.path.getsize(node.path("var/rrd", f"qemu-{vmid}")) > 0


def slowness():
    """How much longer than READ_US the kernel takes here to open, read and close a small file: almost all that a sample is.
    Bounds of processor time are meant for a machine that takes no longer."""
    def read_us():
        began = time.process_time()
        for _ in range(READS):
            with open("/proc/self/stat", "rb", buffering=0) as f:
                f.read(4096)
        return (time.process_time() - began) / READS * 1e6
    took = min(read_us() for _ in range(5))
    note("open, read and close a small file", "us", [took])
    return round(max(1, took / READ_US), 2)


def sleeps(pids):
    """How often these processes have gone to sleep so far."""
    return sum(status_number(pid, "voluntary_ctxt_switches") for pid in pids)


def measure(groups):
    """Percent of a core that all of them took; a row for each."""
    began, before = time.monotonic(), list(map(cpu_ms, groups.values()))
    time.sleep(SECONDS)  # the measurement: nothing is waited for
    took = (time.monotonic() - began) * 10  # in ms, for a percentage
    parts = [(cpu_ms(pids) - a) / took for pids, a in zip(groups.values(), before)]
    for name, part in zip(groups, parts):
        note(f"sampling {COUNT} running guests: {name}", "%", [part])
    return sum(parts)


@test(limit=500)
def two_hundred_running():
    with Running() as node:
        define(node, COUNT, has_disk=False, memory=16, serial0="socket")
        upids = [node.api.post(node.vm(v, "/status/start")) for v in GUESTS]
        assert {node.api.wait_task(u) for u in upids} == {"OK"}
        assert states(node) == ["running"] * COUNT
        wait_for(lambda: is_sampled(node), 30, "the figures of every guest", step=0.5)
        monitors = node.processes("holm-guest")
        assert len(monitors) == COUNT, len(monitors)
        groups = {"holmd": [node.process.pid], "200 of holm-guest": monitors, "holm-front": node.processes("holm-front")}
        began, before = time.monotonic(), sleeps(monitors)
        least(f"sampling {COUNT} running guests: all, of one core", "%", slowness(), lambda: measure(groups))
        samples = COUNT * ((time.monotonic() - began) / PERIOD_S + 1)
        wakes = (sleeps(monitors) - before) / samples
        note("a sample wakes the monitor of a guest", "x", [wakes], remark=f"   bound {WAKES_MAX}")
        within("a sample wakes the monitor of a guest", "x", wakes, WAKES_MAX)
        assert states(node) == ["running"] * COUNT and node.processes("holm-guest") == monitors
        assert all(has_statistics(node, v) for v in GUESTS)
        for v in GUESTS:
            node.api.post(node.vm(v, "/status/stop"))
        wait_for(lambda: states(node) == ["stopped"] * COUNT, 60, "all guests stopped", step=0.5)


if __name__ == "__main__":
    main()
