"""Linked clones of a template of 10 GiB; a guest's start from a disk 100 snapshots deep, and reading that disk, beside one
with one; what a guest that writes notices of a snapshot, beside one that is made by hand over QMP."""
import os
import statistics
import subprocess
import time

from bench.figures import least, note, within
from bench.pause import Bare, Writer, debug_port, install, node_options
from lib.guests import volume_path
from lib.holm import Node
from lib.tap import main, test

CLONES = 11
CLONE_MS, CLONE_KIB = 100, 1024
DEPTH = 100
TURNS = 5
PAUSES, ROUNDS = 3, 5  # of each kind at a time
PAUSE_SHARE = 2  # of bare QMP's


def timed(node, method, path, params=None):
    """Milliseconds from the request to the task's end."""
    began = time.perf_counter()
    upid = node.api.call(method, path, params or {}).data
    while node.api.get(f"/nodes/{node.name}/tasks/{upid}/status")["status"] == "running":
        time.sleep(0.002)
    took = (time.perf_counter() - began) * 1000
    assert node.api.wait_task(upid) == "OK", node.api.task_log(upid)
    return took


def allocated(node, vmid):
    folder = node.path(f"var/storage/local/images/{vmid}")
    return sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in os.listdir(folder))


def bare_overlay(base, path):
    began = time.perf_counter()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, path], check=True)
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    return (time.perf_counter() - began) * 1000


@test(limit=200)
def linked_clones():
    with Node() as node:
        node.create(100, memory=64, scsi0="local:10,format=qcow2")
        node.api.run("POST", node.vm(100, "/template"), {})
        base = volume_path(node, node.api.get(node.vm(100, "/config"))["scsi0"])
        took, peer = [], []
        for i in range(CLONES):
            took.append(timed(node, "POST", node.vm(100, "/clone"), {"newid": 200 + i}))
            peer.append(bare_overlay(base, f"{node.base}/overlay{i}"))
        size = max(allocated(node, 200 + i) for i in range(CLONES)) / 1024
    note("linked clone of 10 GiB", "ms", took, "qemu-img create -b and fsync", peer)
    note("its size", "KiB", [size])
    within("linked clone of 10 GiB", "ms", statistics.median(took), CLONE_MS)
    assert size <= CLONE_KIB, size


def port_folder(node):
    """Where QEMU, which has a user of its own, makes sockets."""
    folder = f"{node.base}/ports"
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    return folder


def tell(node, vmid, path):
    node.cli("api", "PUT", f"/nodes/{node.name}/qemu/{vmid}/config", "-d", f"args={debug_port(path)}")


def reads(node, folder, vmid):
    """Milliseconds of a read of 4 KiB of what the lowest image has."""
    node.api.run("POST", node.vm(vmid, "/status/start"))
    reader = Writer(f"{folder}/{vmid}")
    took = [reader.pace() for _ in range(TURNS)]
    node.api.run("POST", node.vm(vmid, "/status/stop"))
    return took


@test(limit=400)
def deep_chains():
    with Node() as node:
        folder = port_folder(node)
        for vmid in (100, 101):
            node.create(vmid, memory=64, scsihw="virtio-scsi-pci", boot="order=scsi0", scsi0="local:1,format=qcow2")
            lowest = volume_path(node, node.api.get(node.vm(vmid, "/config"))["scsi0"])
            subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 7 0 34M", lowest], check=True)
            install(lowest, node.base, reads=True)
            tell(node, vmid, f"{folder}/{vmid}")
        node.api.run("POST", node.vm(101, "/snapshot"), {"snapname": "one"})
        node.api.run("POST", node.vm(100, "/status/start"))
        took = [timed(node, "POST", node.vm(100, "/snapshot"), {"snapname": f"s{i}"}) for i in range(DEPTH)]
        node.api.run("POST", node.vm(100, "/status/stop"))
        starts = {100: [], 101: []}
        for _ in range(TURNS):
            for vmid, times in starts.items():
                times.append(timed(node, "POST", node.vm(vmid, "/status/start")))
                node.api.run("POST", node.vm(vmid, "/status/stop"))
        deep, shallow = reads(node, folder, 100), reads(node, folder, 101)
        image = volume_path(node, node.api.get(node.vm(100, "/config"))["scsi0"])
        assert len(os.listdir(os.path.dirname(image))) == DEPTH + 1
    note("snapshot of a running guest", "ms", took[:10])
    note(f"the same, {DEPTH} deep", "ms", took[-10:])
    note(f"start, a disk {DEPTH} snapshots deep", "ms", starts[100], "one deep", starts[101])
    note(f"read of 4 KiB, {DEPTH} snapshots deep", "ms", deep, "one deep", shallow)


@test(limit=240)
def pauses():
    """The longest time between two writes of 4 KiB. The two guests take turns: one stands still while the other is measured."""
    with Node() as node:
        folder = port_folder(node)
        node.create(100, memory=64, scsihw="virtio-scsi-pci", boot="order=scsi0", scsi0="local:0.0625,format=qcow2")
        image = volume_path(node, node.api.get(node.vm(100, "/config"))["scsi0"])
        install(image, node.base)
        tell(node, 100, f"{folder}/ours")
        node.api.run("POST", node.vm(100, "/status/start"))
        pid = node.processes("qemu-system-x86_64")[0]
        top, options = node_options(pid, "scsi0")
        ours = Writer(f"{folder}/ours")
        node.api.run("POST", node.vm(100, "/status/suspend"))
        peer = Bare(pid, image, f"{node.base}/bare", f"{folder}/bare")
        try:
            writers = Pair(node, ours, peer, Writer(f"{folder}/bare"), top, options)
            least("the two gaps, one to the other", "", PAUSE_SHARE, writers.share)
        finally:
            peer.close()


class Pair:
    """A guest of Holm's and its bare twin, of which one runs at a time."""

    def __init__(self, node, ours, peer, bare, top, options):
        self.node, self.ours, self.peer, self.bare = node, ours, peer, bare
        self.top, self.options, self.taken = top, options, 0

    def bare_snapshot(self):
        self.top = self.peer.snapshot(self.top, self.options)

    def snapshot(self):
        self.taken += 1
        timed(self.node, "POST", self.node.vm(100, "/snapshot"), {"snapname": f"s{self.taken}"})

    def share(self):
        took, peers, quiet = [], [], []
        for _ in range(ROUNDS):
            for _ in range(PAUSES):
                self.peer.make_overlay()
                peers.append(self.bare.longest(self.bare_snapshot))
            self.peer.run("stop")
            self.node.api.run("POST", self.node.vm(100, "/status/resume"))
            quiet.append(self.ours.longest(self.ours.wait_writes))
            took += [self.ours.longest(self.snapshot) for _ in range(PAUSES)]
            self.node.api.run("POST", self.node.vm(100, "/status/suspend"))
            self.peer.run("cont")
        note("longest gap of a guest's writes, snapshot", "ms", took, "bare QMP", peers)
        note("the same without a snapshot", "ms", quiet)
        return statistics.median(took) / statistics.median(peers)


if __name__ == "__main__":
    main()
