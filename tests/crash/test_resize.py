"""kill -9 of holmd in the middle of a resize: the size in the configuration is the size of the volume afterwards, whether
the guest was stopped or running, and what was plugged into a running guest is still its."""
import os

import requests

from lib.guests import volume_path
from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

POINTS = ("guest.resize.begin", "storage.grow.written", "guest.resize.grown", "state.commit.before", "state.commit.after")


def sizes(node, key):
    """Configured and true size in MiB."""
    value = node.api.get(node.vm(100, "/config"))[key]
    text = value.split("size=")[1].split(",")[0]
    mib = int(text[:-1]) * {"M": 1, "G": 1024}[text[-1]] if text[-1] in "MG" else int(text) / 2**20
    path = volume_path(node, value)
    if path.endswith(".qcow2"):
        with open(path, "rb") as f:
            f.seek(24)
            return mib, int.from_bytes(f.read(8), "big") / 2**20
    return mib, os.path.getsize(path) / 2**20


def is_answering(node):
    """A guest that was just adopted runs, but its hypervisor may not have answered yet."""
    status = node.api.get(node.vm(100, "/status/current"))
    return status["status"] == "stopped" or status["qmpstatus"] == "running"


def killed_at(node, point, key):
    node.restart(HOLM_FP=f"{point}=kill@1")
    wait_for(lambda: is_answering(node), 20)
    try:
        node.api.wait_task(node.api.put(node.vm(100, "/resize"), disk=key, size="+8M"), 20)
    except (requests.ConnectionError, requests.Timeout):
        pass
    assert node.wait_dead() == -9, f"{point} was not passed"
    node.start()


def check(node, key, point):
    def agree():
        configured, true = sizes(node, key)
        return configured == true
    wait_for(agree, 10)
    # Another one works.
    before = sizes(node, key)[1]
    node.api.run("PUT", node.vm(100, "/resize"), {"disk": key, "size": "+8M"})
    assert sizes(node, key) == (before + 8, before + 8), (point, sizes(node, key))


@test(limit=180)
def stopped_guest():
    with Node() as node:
        node.create(100, memory=64, scsi0="local:0.03125,format=raw", scsi1="local:0.03125,format=qcow2")
        for point in POINTS:
            for key in ("scsi0", "scsi1"):
                killed_at(node, point, key)
                check(node, key, point)
        node.remove(100)


@test(limit=180)
def running_guest():
    with Node() as node:
        node.create(100, memory=64, scsihw="virtio-scsi-pci", scsi0="local:0.03125,format=raw",
                    scsi1="local:0.03125,format=qcow2")
        node.api.run("POST", node.vm(100, "/status/start"))
        for point in POINTS:
            key = "scsi0" if point != "guest.resize.grown" else "scsi1"
            killed_at(node, point, key)
            wait_for(lambda: node.guest_state(100) == "running" and is_answering(node), 20)
            check(node, key, point)
        node.remove(100)


@test(limit=120)
def hotplug_is_noticed():
    """Killed after QEMU has the disk and before the configuration says so: the next holmd sees it there."""
    with Node() as node:
        node.create(100, memory=64, scsihw="virtio-scsi-pci", scsi0="local:0.03125,format=raw")
        node.api.run("POST", node.vm(100, "/status/start"))
        node.restart(HOLM_FP="guest.live.done=kill@1")
        wait_for(lambda: is_answering(node), 20)
        try:
            node.api.put(node.vm(100, "/config"), scsi1="local:0.03125,format=raw")
            raise AssertionError("it was not killed")
        except (requests.ConnectionError, requests.Timeout):
            pass
        node.wait_dead()
        node.start()
        wait_for(lambda: "scsi1" in node.api.get(node.vm(100, "/config"), current=1), 10)
        rows = {r["key"]: r for r in node.api.get(node.vm(100, "/pending"))}
        assert "pending" not in rows["scsi1"], rows["scsi1"]
        # And away, killed again in the same place.
        node.restart(HOLM_FP="guest.live.done=kill@1")
        wait_for(lambda: is_answering(node), 20)
        try:
            node.api.put(node.vm(100, "/unlink"), idlist="scsi1")
            raise AssertionError("it was not killed")
        except (requests.ConnectionError, requests.Timeout):
            pass
        node.wait_dead()
        node.start()
        wait_for(lambda: "scsi1" not in node.api.get(node.vm(100, "/config"), current=1), 10)
        assert "unused0" in node.api.get(node.vm(100, "/config"))
        node.remove(100)
        assert not node.images()


main()
