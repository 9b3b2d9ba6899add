"""Linked clones of a template of 10 GiB; a guest's start from a disk 100 snapshots deep, beside one from a disk with one."""
import os
import statistics
import subprocess
import time

from bench.figures import note, within
from lib.guests import volume_path
from lib.holm import Node
from lib.tap import main, test

CLONES = 11
CLONE_MS, CLONE_KIB = 100, 1024
DEPTH = 100
TURNS = 5


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


@test(limit=400)
def deep_chains():
    with Node() as node:
        node.create(100, memory=64, scsihw="virtio-scsi-pci", scsi0="local:1,format=qcow2")
        node.create(101, memory=64, scsihw="virtio-scsi-pci", scsi0="local:1,format=qcow2")
        node.api.run("POST", node.vm(101, "/snapshot"), {"snapname": "one"})
        node.api.run("POST", node.vm(100, "/status/start"))
        took = [timed(node, "POST", node.vm(100, "/snapshot"), {"snapname": f"s{i}"}) for i in range(DEPTH)]
        node.api.run("POST", node.vm(100, "/status/stop"))
        starts = {100: [], 101: []}
        for _ in range(TURNS):
            for vmid, times in starts.items():
                times.append(timed(node, "POST", node.vm(vmid, "/status/start")))
                node.api.run("POST", node.vm(vmid, "/status/stop"))
        image = volume_path(node, node.api.get(node.vm(100, "/config"))["scsi0"])
        assert len(os.listdir(os.path.dirname(image))) == DEPTH + 1
    note("snapshot of a running guest", "ms", took[:10])
    note(f"the same, {DEPTH} deep", "ms", took[-10:])
    note(f"start, a disk {DEPTH} snapshots deep", "ms", starts[100], "one deep", starts[101])


if __name__ == "__main__":
    main()
