"""kill -9 of holmd in the middle of a snapshot of a running guest, at each point: afterwards the snapshot is there or it
is not, what the guest writes goes where it belongs, and no file is left that nobody names."""
import os
import subprocess

import requests

from lib.guests import volume_path
from lib.holm import Node
from lib.livedisk import as_guest
from lib.tap import main, test
from lib.wait import wait_for

VM = 100
KEYS = ("scsi0", "scsi1")
POINTS = ("qmsnapshot.begin", "qmsnapshot.0", "storage.freeze.written", "storage.freeze.linked", "storage.freeze.replaced",
          "qmsnapshot.1.done", "qmsnapshot.commit", "qmsnapshot.committed", "guest.images.switch", "guest.images.switched")


def monitor(node, command):
    """As root@pam: the program's own user, on the socket."""
    done = node.cli("api", "POST", f"/nodes/{node.name}/qemu/{VM}/monitor", "-d", f"command={command}")
    return done.stdout


def write(node, byte):
    for key in KEYS:
        as_guest(node, VM, key, f"write -P {byte} 0 64k", "flush")


def begins_with(path):
    done = subprocess.run(["qemu-io", "-r", "-U", "-c", "read -v 0 16", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.split()[1], 16)


def images(node):
    config = node.api.get(node.vm(VM, "/config"))
    return [volume_path(node, config[key]) for key in KEYS]


def files(node):
    return sorted(os.listdir(node.path(f"var/storage/local/images/{VM}")))


def names(node):
    return [s["name"] for s in node.api.get(node.vm(VM, "/snapshot")) if s["name"] != "current"]



def layer(image, number):
    return image.replace("/vm-", "/snap-").replace(".qcow2", f"-{number}.qcow2")


def die(node, point, method, path, params=None):
    """A call in which holmd is killed."""
    upid = status = None
    try:
        upid = getattr(node.api, method)(path, **(params or {}))
        status = node.api.wait_task(upid, 60)
    except (requests.ConnectionError, requests.Timeout):
        pass
    assert status is None, f"{point} was not passed: {status} {node.api.task_log(upid)}"
    assert node.wait_dead() == -9, point


def make(node):
    node.create(VM, memory=64, scsihw="virtio-scsi-pci", **{key: "local:0.03125,format=qcow2" for key in KEYS})
    node.api.run("POST", node.vm(VM, "/status/start"))


@test(limit=400)
def killed():
    with Node() as node:
        make(node)
        taken = 0
        for number, point in enumerate(POINTS, 1):
            node.restart(HOLM_FP=f"{point}=kill@1")
            wait_for(lambda: monitor(node, "info status").count("running"), 30)
            write(node, 2 * number)
            die(node, point, "post", node.vm(VM, "/snapshot"), {"snapname": f"at{number}"})
            node.start()
            wait_for(lambda: node.guest_state(VM) == "running", 30)
            check(node, number, taken, point)
            taken = len(names(node))
        assert 3 <= taken < len(POINTS), taken
        node.api.run("POST", node.vm(VM, "/status/stop"))
        for image in images(node):
            subprocess.run(["qemu-img", "check", "-q", image], check=True)
        node.remove(VM)


def check(node, number, taken, point):
    is_there = f"at{number}" in names(node)
    assert len(names(node)) == taken + is_there, (point, names(node))
    # Whoever changes the guest now waits until its images are settled.
    node.api.put(node.vm(VM, "/config"), description=point)
    write(node, 2 * number + 1)
    assert len(files(node)) == len(KEYS) * (1 + len(names(node))), (point, files(node))
    for image in images(node):
        assert begins_with(image) == 2 * number + 1, point
        numbers = sorted(int(f.rsplit("-", 1)[1].split(".")[0]) for f in files(node) if f.startswith("snap-"))
        if is_there:
            assert begins_with(layer(image, numbers[-1])) == 2 * number, point


@test(limit=200)
def refused_by_the_hypervisor():
    with Node() as node:
        make(node)
        write(node, 1)
        node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "good"})
        write(node, 2)
        before = files(node)
        node.restart(HOLM_FP="guest.images.switch=error@1")
        wait_for(lambda: monitor(node, "info status").count("running"), 30)
        status = node.api.wait_task(node.api.post(node.vm(VM, "/snapshot"), snapname="bad"), 60)
        assert "fail point" in status, status
        assert names(node) == ["good"] and files(node) == before
        write(node, 3)
        assert [begins_with(image) for image in images(node)] == [3, 3]
        node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "again"})
        write(node, 4)
        assert [begins_with(image) for image in images(node)] == [4, 4]
        assert [begins_with(layer(image, 3)) for image in images(node)] == [3, 3]
        node.remove(VM)


@test(limit=300)
def killed_with_memory():
    """The guest goes on; a snapshot whose memory is not whole is one without."""
    with Node() as node:
        make(node)
        for number, point in enumerate(("guest.images.switch", "guest.images.switched", "guest.ram.saved"), 1):
            restarted(node, HOLM_FP=f"{point}=kill@1")
            write(node, 2 * number)
            die(node, point, "post", node.vm(VM, "/snapshot"), {"snapname": "cut", "vmstate": 1})
            restarted(node)
            listed = [s for s in node.api.get(node.vm(VM, "/snapshot")) if s["name"] == "cut"]
            assert [s["vmstate"] for s in listed] == [0], listed
            node.api.put(node.vm(VM, "/config"), description=point)  # settled
            write(node, 2 * number + 1)
            assert [begins_with(image) for image in images(node)] == [2 * number + 1] * 2
            node.api.run("DELETE", node.vm(VM, "/snapshot/cut"))
            assert len(files(node)) == len(KEYS), files(node)
            assert [begins_with(image) for image in images(node)] == [2 * number + 1] * 2
        node.remove(VM)
        assert not node.conf(VM)


MERGES = ("qmmerge.begin", "guest.merge.still", "guest.merge.over", "guest.replace.begin", "storage.replace.begin",
          "storage.replace.done", "guest.replace.done", "qmmerge.commit", "qmmerge.committed")


def place(node, byte):
    """A byte of its own place, so that what is lost in a merge is seen."""
    for key in KEYS:
        for command in (f"write -P {byte} {byte}M 64k", "flush"):
            assert monitor(node, f'qemu-io -d {key} "{command}"').strip() == '""'


def holds(image, places):
    commands = [w for byte in places for w in ("-c", f"read -P {byte} {byte}M 64k")]
    done = subprocess.run(["qemu-io", "-r", "-U", *commands, image], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "failed" not in done.stdout, f"{image}: {done.stdout} {done.stderr}"


def restarted(node, **env):
    node.restart(**env)
    wait_for(lambda: monitor(node, "info status").count("running"), 30)


@test(limit=400)
def merge_killed():
    """The uppermost layer is merged with the image that is written to, with a kill at each point."""
    with Node() as node:
        make(node)
        for number, point in enumerate(MERGES, 1):
            place(node, number)
            node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "gone"})
            restarted(node, HOLM_FP=f"{point}=kill@1")
            die(node, point, "delete", node.vm(VM, "/snapshot/gone"))
            restarted(node)
            assert names(node) == []
            place(node, 20)
            for image in images(node):
                holds(image, (*range(1, number + 1), 20))
        node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "last"})
        node.api.run("DELETE", node.vm(VM, "/snapshot/last"))
        assert len(files(node)) == len(KEYS), files(node)
        node.api.run("POST", node.vm(VM, "/status/stop"))
        for image in images(node):
            holds(image, (*range(1, len(MERGES) + 1), 20))
            subprocess.run(["qemu-img", "check", "-q", image], check=True)
        node.remove(VM)


@test(limit=300)
def deleted_in_any_order():
    """By the hypervisor: layers that it froze itself, and, after a new start, such as it was given for reading only."""
    with Node() as node:
        make(node)
        for order in ((2, 1, 4, 3), (1, 3, 2, 4)):
            for number in range(1, 5):
                place(node, number)
                node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": f"s{number}"})
            place(node, 5)
            for left, number in enumerate(order, 1):
                upid = node.api.run("DELETE", node.vm(VM, f"/snapshot/s{number}"))
                assert "WARNING" not in str(node.api.task_log(upid)), node.api.task_log(upid)
                assert len(files(node)) == len(KEYS) * (5 - left), files(node)
                place(node, 5 + left)
                for image in images(node):
                    holds(image, range(1, 6 + left))
                if left == 1:
                    for action in ("stop", "start"):
                        node.api.run("POST", node.vm(VM, f"/status/{action}"))
        node.remove(VM)


if __name__ == "__main__":
    main()
