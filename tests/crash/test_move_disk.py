"""kill -9 of holmd while a disk is moved, at each point: afterwards the record names images that are whole, the disk holds
what it held, it is one guest's, and no file is left that nobody names."""
import os
import subprocess

import requests

from lib.holm import Node
from lib.livedisk import as_guest, open_volumes
from lib.tap import main, test
from lib.wait import wait_for

A, B = 100, 200
MIB32 = "0.03125"
COPY = ("qmmove.begin", "qmmove.0", "guest.copy.begin", "guest.copy.filled", "storage.create.written", "storage.create.linked",
        "qmmove.0.done", "qmmove.commit", "qmmove.committed")
DELETE = ("imgdel.begin", "imgdel.0", "imgdel.0.done", "imgdel.commit", "imgdel.committed")
LIVE = ("qmmove.begin", "qmmove.0.done", "guest.mirror.ready", "guest.mirror.still", "guest.mirror.same", "qmmove.commit",
        "qmmove.committed", "guest.images.switch", "guest.images.switched")
RENAME = ("qmmove.begin", "qmmove.0", "guest.rename.begin", "storage.rename.done", "guest.rename.done", "qmmove.0.done",
          "qmmove.commit", "qmmove.committed")


def folders(node):
    return {"local": node.path("var/storage/local/images"), "other": os.path.join(node.base, "other/images")}


def files(node):
    """Every file of a guest's folder in both storages, hidden ones too, as volume ids."""
    return sorted(f"{storage}:{os.path.relpath(os.path.join(top, name), path)}"
                  for storage, path in folders(node).items() for top, _, names in os.walk(path) for name in names)


def path_of(node, volume):
    storage, rest = volume.split(":")
    return os.path.join(folders(node)[storage], rest)


def disks(node, vmid):
    config = node.api.get(node.vm(vmid, "/config"))
    return {key: v.split(",")[0] for key, v in config.items() if key.startswith(("scsi", "unused")) and key != "scsihw"}


def die(node, point, vmid, params):
    """A move in which holmd is killed; then it is started again."""
    node.restart(HOLM_FP=f"{point}=kill@1")
    status = upid = None
    try:
        upid = node.api.post(node.vm(vmid, "/move_disk"), params)
        status = node.api.wait_task(upid, 60)
    except (requests.ConnectionError, requests.Timeout):
        pass
    assert status is None, f"{point} was not passed: {status} {node.api.task_log(upid)}"
    assert node.wait_dead() == -9, point
    node.start()


def same(one, other):
    done = subprocess.run(["qemu-img", "compare", one, other], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{one} {other}: {done.stdout}{done.stderr}"


def make(node):
    """A guest with a disk on which something is written; a copy of what it holds."""
    path = os.path.join(node.base, "other")
    os.makedirs(path)
    node.api.post("/storage", storage="other", type="dir", path=path, content="images")
    node.create(A, memory=64, scsi0=f"local:{MIB32},format=qcow2")
    copy = os.path.join(node.base, "copy.qcow2")
    at = path_of(node, disks(node, A)["scsi0"])
    subprocess.run(["qemu-io", "-c", "write -P 7 0 1M", "-c", "write -P 8 30M 2M", at], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cp", at, copy], check=True)
    return copy


@test(limit=400)
def a_running_guest():
    """It goes on on the image that the record names, which holds what it wrote; the other one is not there, or unused."""
    with Node() as node:
        path = os.path.join(node.base, "other")
        os.makedirs(path)
        node.api.post("/storage", storage="other", type="dir", path=path, content="images")
        node.create(A, memory=64, scsihw="virtio-scsi-pci", scsi0=f"local:{MIB32},format=qcow2")
        node.api.run("POST", node.vm(A, "/status/start"))
        n_moved = 0
        for number, point in enumerate(LIVE, 1):
            was = disks(node, A)["scsi0"]
            to, form = ("other", "raw") if was.startswith("local:") else ("local", "qcow2")
            as_guest(node, A, "scsi0", f"write -P {number} {number}M 64k", "flush")
            die(node, point, A, {"disk": "scsi0", "storage": to, "format": form})
            wait_for(lambda: node.guest_state(A) == "running", 30)
            node.api.put(node.vm(A, "/config"), description=point)  # whoever changes it waits until its images are settled
            now = disks(node, A)
            n_moved += now["scsi0"] != was
            assert files(node) == sorted(now.values()), (point, files(node), now)
            wait_for(lambda: open_volumes(node, A) == [now["scsi0"]], 10, f"{point}: {now} {open_volumes(node, A)} {node.log_tail()}")
            as_guest(node, A, "scsi0", f"write -P {100 + number} {number}M 4k", "flush")
            if "unused0" in now:
                node.api.put(node.vm(A, "/config"), delete="unused0")
        assert n_moved == 3, n_moved
        node.api.run("POST", node.vm(A, "/status/stop"))
        reads = [f"read -P {100 + n} {n}M 4k" for n, _ in enumerate(LIVE, 1)] + [f"read -P {n} {n * 1024 + 4}k 60k" for n, _ in enumerate(LIVE, 1)]
        done = subprocess.run(["qemu-io", *(w for r in reads for w in ("-c", r)), path_of(node, disks(node, A)["scsi0"])],
                              capture_output=True, text=True, check=True)
        assert "failed" not in done.stdout, done.stdout
        node.remove(A)
        assert not files(node)


@test(limit=200)
def ended_in_the_middle():
    """The daemon is told to end, not killed, while it copies a running guest's disk, and the guest for a clone."""
    with Node() as node:
        path = os.path.join(node.base, "other")
        os.makedirs(path)
        node.api.post("/storage", storage="other", type="dir", path=path, content="images")
        node.create(A, memory=64, scsihw="virtio-scsi-pci", scsi0=f"local:{MIB32},format=raw")
        node.api.run("POST", node.vm(A, "/status/start"))
        as_guest(node, A, "scsi0", "write -P 1 0 16M", "flush")
        for what, more in (("/move_disk", {"disk": "scsi0", "storage": "other"}), ("/clone", {"newid": B})):
            node.api.post(node.vm(A, what), bwlimit=256, **more)
            wait_for(lambda: len(open_volumes(node, A)) == 2, 30)
            node.restart()
            wait_for(lambda: node.guest_state(A) == "running", 30)
            node.api.put(node.vm(A, "/config"), description=what)
            wait_for(lambda: open_volumes(node, A) == files(node) == ["local:100/vm-100-disk-0.raw"], 30, what)
            as_guest(node, A, "scsi0", "write -P 2 0 4k", "flush")
        node.remove(A)


@test(limit=400)
def another_storage():
    with Node() as node:
        copy = make(node)
        n_moved = 0
        for point in (*COPY, *DELETE):
            was = disks(node, A)["scsi0"]
            to, form = ("other", "raw") if was.startswith("local:") else ("local", "qcow2")
            die(node, point, A, {"disk": "scsi0", "storage": to, "format": form, "delete": 1})
            now = disks(node, A)
            assert sorted(now.values()) == files(node), (point, now, files(node))
            same(copy, path_of(node, now["scsi0"]))
            is_moved = now["scsi0"] != was
            assert is_moved == (point not in COPY or point == "qmmove.committed"), (point, now)
            n_moved += is_moved
            assert len(now) == 1 or point == "qmmove.committed" and now["unused0"] == was, (point, now)
            if "unused0" in now:
                node.api.put(node.vm(A, "/config"), delete="unused0")
        assert n_moved == 1 + len(DELETE)
        # It can be moved after all that.
        node.api.run("POST", node.vm(A, "/move_disk"), {"disk": "scsi0", "storage": "other", "format": "qcow2", "delete": 1})
        same(copy, path_of(node, disks(node, A)["scsi0"]))
        node.remove(A)
        assert not files(node), files(node)


@test(limit=300)
def another_guest():
    with Node() as node:
        copy = make(node)
        node.create(B, memory=64)
        owner, other = A, B
        for point in RENAME:
            die(node, point, owner, {"disk": "scsi0", "target-vmid": other})
            if point == "qmmove.committed":
                owner, other = other, owner
            now = disks(node, owner)
            assert list(now) == ["scsi0"] and now["scsi0"].startswith(f"local:{owner}/vm-{owner}-"), (point, now)
            assert not disks(node, other) and files(node) == [now["scsi0"]], (point, files(node))
            same(copy, path_of(node, now["scsi0"]))
        assert owner == B
        node.api.run("POST", node.vm(B, "/move_disk"), {"disk": "scsi0", "target-vmid": A})
        same(copy, path_of(node, disks(node, A)["scsi0"]))
        node.remove(A)
        node.remove(B)
        assert not files(node), files(node)


@test(limit=120)
def failed_and_stopped():
    """What fails, or is stopped by somebody, is taken back at once."""
    with Node() as node:
        copy = make(node)
        was = disks(node, A)
        for point in ("guest.copy.filled", "storage.create.linked", "qmmove.commit"):
            node.restart(HOLM_FP=f"{point}=error@1")
            status = node.api.wait_task(node.api.post(node.vm(A, "/move_disk"), disk="scsi0", storage="other"), 60)
            assert "fail point" in status, status
            assert disks(node, A) == was and files(node) == [was["scsi0"]], (point, files(node))
        node.restart()
        upid = node.api.post(node.vm(A, "/move_disk"), disk="scsi0", storage="other", bwlimit=64)
        node.api.delete(f"/nodes/{{node}}/tasks/{upid}")
        assert "stopped by" in node.api.wait_task(upid, 60)
        assert disks(node, A) == was and files(node) == [was["scsi0"]], files(node)
        same(copy, path_of(node, was["scsi0"]))
        # The deletion that does not happen leaves a disk that was moved, and a warning.
        node.restart(HOLM_FP="imgdel.begin=error@1")
        status = node.api.wait_task(node.api.post(node.vm(A, "/move_disk"), {"disk": "scsi0", "storage": "other", "delete": 1}), 60)
        assert status == "WARNINGS: 1", status
        now = disks(node, A)
        assert now["unused0"] == was["scsi0"] and files(node) == sorted(now.values()), (now, files(node))
        same(copy, path_of(node, now["scsi0"]))


if __name__ == "__main__":
    main()
