"""Guests outlive holmd: restart, kill -9, and what the daemon makes of guests that changed meanwhile."""
import os
import signal

from lib import procs
from lib.console import Console
from lib.guests import write_boot_sector
from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

GUESTS = (100, 101, 102)


def pid_of(node, vmid):
    return node.api.get(node.vm(vmid, "/status/current")).get("pid")


def running_guests(node):
    """Three guests that answer on their consoles; {vmid: pid}."""
    for vmid in GUESTS:
        node.create(vmid, memory=64, serial0="socket", scsi0="local:1,format=raw")
        write_boot_sector(node, node.api.get(node.vm(vmid, "/config"))["scsi0"])
        node.api.run("POST", node.vm(vmid, "/status/start"))
        with Console(node.api, node.vm(vmid)) as c:
            c.expect("disk guest is up", 30)
    return {v: pid_of(node, v) for v in GUESTS}


def check_same(node, pids):
    wait_for(lambda: all(node.guest_state(v) == "running" for v in GUESTS), 5, "all guests adopted")
    assert {v: pid_of(node, v) for v in GUESTS} == pids
    for vmid in GUESTS:
        with Console(node.api, node.vm(vmid)) as c:
            c.type("k")
            c.expect("key k", 10)


@test(limit=120)
def guests_outlive_the_daemon():
    with Node() as node:
        pids = running_guests(node)
        for i in range(6):
            node.restart(is_killed=i % 2 == 0)
            check_same(node, pids)
        assert not node.orphans(), node.orphans()
        uptime = node.api.get(node.vm(100, "/status/current"))["uptime"]
        assert uptime >= 1, "uptime began again"
        node.api.run("POST", node.vm(100, "/status/suspend"))
        node.restart(is_killed=True)
        assert node.api.get(node.vm(100, "/status/current"))["qmpstatus"] == "paused"
        node.api.run("POST", node.vm(100, "/status/resume"))
        for vmid in GUESTS:
            node.remove(vmid)
        wait_for(lambda: not node.processes("holm-guest"), 10, "the monitors to end")
        assert not node.orphans(), node.orphans()


@test(limit=120)
def guest_died_while_nobody_looked():
    with Node() as node:
        pids = running_guests(node)
        node.kill9()
        procs.kill(pids[100])
        for pid in node.processes("holm-guest"):
            if pid == procs.stat(pids[101])[0]:
                procs.kill(pid)
        wait_for(lambda: procs.reap((node.process.pid,)) or not procs.is_alive(pids[100]), 5, "QEMU to die")
        node.start()
        wait_for(lambda: [node.guest_state(v) for v in GUESTS] == ["stopped", "stopped", "running"], 10,
                 f"the two dead guests seen as stopped: {[node.guest_state(v) for v in GUESTS]}")
        wait_for(lambda: not node.orphans(), 10, "no orphans")
        for vmid in GUESTS[:2]:
            node.api.run("POST", node.vm(vmid, "/status/start"))
        for vmid in GUESTS:
            node.remove(vmid)


@test(limit=120)
def hung_qemu_is_not_stopped():
    """A QEMU that does not answer is running, holds its disks, and stop still ends it."""
    with Node() as node:
        pids = running_guests(node)
        os.kill(pids[100], signal.SIGSTOP)
        assert node.guest_state(100) == "running"
        node.restart(is_killed=True)
        assert node.guest_state(100) == "running", "a hung guest is reported as stopped"
        assert node.api.wait_task(node.api.post(node.vm(100, "/status/start"))) == "VM 100 already running"
        node.api.run("POST", node.vm(100, "/status/stop"), timeout=40)
        assert not procs.is_alive(pids[100])
        for vmid in GUESTS:
            node.remove(vmid)


@test(limit=60)
def stopped_guests_own_nothing():
    """After stop there is no process, no runtime folder, no socket of the guest."""
    with Node() as node:
        node.create(100, memory=64, net0="virtio")
        for _ in range(5):
            node.api.run("POST", node.vm(100, "/status/start"))
            node.api.run("POST", node.vm(100, "/status/stop"))
            wait_for(lambda: not node.orphans(), 10, "no orphans")
        wait_for(lambda: not os.listdir(node.path("run/guest")), 5, "an empty run/guest")


if __name__ == "__main__":
    main()
