"""A storage of type btrfs through the API: a guest's disks from their making to their end, and what Proxmox VE's users find
where they expect it."""
import contextlib
import os
import subprocess

import requests

from lib import btrfs
from lib.guests import DEMO, install_demo
from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

VM = 100
CONTENT = "/nodes/{node}/storage/fast/content"


def disk(node, key="scsi0"):
    return node.api.get(node.vm(VM, "/config"))[key].split(",")[0]


def file_of(node, volume):
    return node.api.get(f"{CONTENT}/{volume}")["path"]


def put(node, volume, byte):
    with open(file_of(node, volume), "r+b") as f:
        f.write(bytes([byte]) * 65536)


def holds(node, volume, byte):
    with open(file_of(node, volume), "rb") as f:
        return f.read(65536) == bytes([byte]) * 65536


def entries(path):
    """Names below images/, hidden ones too, with an end that tells a folder."""
    return sorted(os.path.relpath(os.path.join(top, name), path) + end for top, folders, names in os.walk(path)
                  for some, end in ((folders, "/"), (names, "")) for name in some)


def snapshots(node):
    return [s["name"] for s in node.api.get(node.vm(VM, "/snapshot")) if s["name"] != "current"]


def is_read_only(path):
    shown = subprocess.run(["btrfs", "property", "get", "-ts", path, "ro"], capture_output=True, text=True, check=True)
    return shown.stdout.strip() == "ro=true"


def refusals(node):
    elsewhere = os.path.join(node.base, "elsewhere")
    node.api.refused("POST", "/storage", {"storage": "fast", "type": "btrfs", "path": elsewhere}, text="not on a btrfs file system")
    assert not os.path.exists(elsewhere), "a refused storage makes no folder"
    node.api.refused("POST", "/storage", {"storage": "fast", "type": "btrfs"}, 400, param="path")
    node.api.refused("POST", "/storage", {"storage": "fast", "type": "zfspool", "path": "/mnt/a"}, 400, param="type", text="btrfs, dir")
    node.api.refused("POST", "/storage", {"storage": "fast", "type": "btrfs", "path": "/mnt/a", "bwlimit": "migration=1"}, text="clone, move and default")
    assert "not on a btrfs" in node.cli("storage", "create", "fast", "--type", "btrfs", "--path", elsewhere, is_checked=False).stderr


def settings(node):
    node.cli("storage", "create", "fast", "--type", "btrfs", "--path", "/mnt/store", "--content", "images,iso")
    assert node.api.get("/storage/fast")["type"] == "btrfs"
    assert [s["storage"] for s in node.api.get("/storage", type="btrfs")] == ["fast"]
    node.api.put("/storage/fast", nocow=1, is_mountpoint="/mnt")
    shown = node.api.get("/storage/fast")
    assert shown["nocow"] == 1 and shown["is_mountpoint"] == "/mnt", shown
    node.api.put("/storage/fast", delete="nocow")
    assert "nocow" not in node.api.get("/storage/fast")


def snapshots_of_a_raw_disk(node):
    node.create(VM, **{**DEMO, "scsihw": "virtio-scsi-pci", "scsi0": "fast:0.03125", "virtio0": "fast:0.03125,format=qcow2"})
    volume = disk(node)
    assert volume == f"fast:{VM}/vm-{VM}-disk-0.raw", volume
    assert file_of(node, volume) == f"/mnt/store/images/{VM}/vm-{VM}-disk-0/disk.raw", "where Proxmox VE has it"
    put(node, volume, 1)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "first"})
    assert is_read_only(f"/mnt/store/images/{VM}/snap-{VM}-disk-0-1")
    put(node, volume, 2)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "second"})
    put(node, volume, 3)
    node.api.run("POST", node.vm(VM, "/snapshot/first/rollback"), {})
    assert holds(node, volume, 1)
    node.api.run("POST", node.vm(VM, "/snapshot/second/rollback"), {})
    assert holds(node, volume, 2)
    rows = {r["volid"]: r for r in node.api.get(CONTENT, content="images")}
    assert sorted(rows) == [disk(node), disk(node, "virtio0")], rows
    assert rows[volume]["format"] == "raw" and rows[volume]["size"] == 32 << 20, rows
    a_guest_runs_on_it(node)


def a_guest_runs_on_it(node):
    """Its hypervisor has the files that the API names."""
    node.api.run("POST", node.vm(VM, "/status/start"))
    (pid,) = node.processes("qemu-system-x86_64")
    opened = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert file_of(node, disk(node)) in opened and file_of(node, disk(node, "virtio0")) in opened, opened
    node.api.run("POST", node.vm(VM, "/status/stop"))


def a_kill_is_undone(node):
    """In the middle of a snapshot and of a creation, with a subvolume that has no name yet: the next daemon, which comes
    at once, takes it back."""
    before = entries("/mnt/store/images")
    for path, params in ((node.vm(VM, "/snapshot"), {"snapname": "third"}),
                         ("/nodes/{node}/qemu", {"vmid": VM + 1, "scsi0": "fast:0.03125"})):
        node.restart(HOLM_FP="storage.create.written=kill")
        with contextlib.suppress(requests.ConnectionError):  # it may be gone before it has answered
            node.api.post(path, params)
        node.wait_dead()
        assert len(entries("/mnt/store/images")) > len(before)
        node.start()
        assert entries("/mnt/store/images") == before
    assert snapshots(node) == ["first", "second"] and not node.conf(VM + 1)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "third"})
    assert holds(node, disk(node), 2)


def moved(node):
    """To a folder and back, and to another guest and back: a subvolume goes, comes, and is renamed."""
    for storage in ("local", "fast"):
        node.api.run("POST", node.vm(VM, "/move_disk"), {"disk": "scsi0", "storage": storage, "delete": 1}, timeout=120)
        assert disk(node).startswith(f"{storage}:") and os.path.exists(f"/mnt/store/images/{VM}/vm-{VM}-disk-0") == (storage == "fast")
    assert holds(node, disk(node), 2)
    node.create(VM + 1, memory=64)
    node.api.run("POST", node.vm(VM, "/move_disk"), {"disk": "scsi0", "target-vmid": VM + 1})
    assert os.listdir(f"/mnt/store/images/{VM + 1}") == [f"vm-{VM + 1}-disk-0"]
    node.api.run("POST", node.vm(VM + 1, "/move_disk"), {"disk": "scsi0", "target-vmid": VM})
    assert holds(node, disk(node), 2)
    node.remove(VM + 1)


def write(node, byte):
    """As the guest would; scsi0 is raw."""
    for key in ("scsi0", "virtio0"):
        node.cli("api", "POST", f"/nodes/{node.name}/qemu/{VM}/monitor", "-d", f'command=qemu-io -d {key} "write -P {byte} 0 64k"')


def is_running(node):
    status = node.api.get(node.vm(VM, "/status/current"))
    return status.get("qmpstatus") == "running"


def of_a_running_guest(node):
    """It stands still while its raw image is copied, and goes on: also when the daemon dies in between."""
    node.api.run("POST", node.vm(VM, "/status/start"))
    wait_for(lambda: is_running(node), 30)
    write(node, 5)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "live"})
    wait_for(lambda: is_running(node), 10)
    write(node, 6)
    before = entries("/mnt/store/images")
    node.restart(HOLM_FP="qmsnapshot.0.done=kill")
    wait_for(lambda: is_running(node), 30)
    with contextlib.suppress(requests.ConnectionError):
        node.api.wait_task(node.api.post(node.vm(VM, "/snapshot"), snapname="cut"))
    node.wait_dead()
    node.start()
    wait_for(lambda: is_running(node), 30, "the guest to go on")
    node.api.put(node.vm(VM, "/config"), description="settled")  # after whatever is put in order
    assert entries("/mnt/store/images") == before and "cut" not in snapshots(node)
    write(node, 7)
    node.api.run("POST", node.vm(VM, "/status/stop"))
    assert holds(node, disk(node), 7)
    node.api.run("POST", node.vm(VM, "/snapshot/live/rollback"), {})
    assert holds(node, disk(node), 5)
    node.api.run("POST", node.vm(VM, "/snapshot/second/rollback"), {})
    node.api.run("DELETE", node.vm(VM, "/snapshot/live"))


def the_end(node):
    for name in ("first", "third", "second"):
        node.api.run("DELETE", node.vm(VM, f"/snapshot/{name}"))
    assert holds(node, disk(node), 2)
    node.api.run("PUT", node.vm(VM, "/resize"), {"disk": "scsi0", "size": "+32M"})
    assert os.path.getsize(file_of(node, disk(node))) == 64 << 20
    moved(node)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "last"})
    node.remove(VM)
    assert entries("/mnt/store/images") == []
    with open(node.base + "/x.iso", "wb") as f:
        f.write(b"x" * 5000)
    node.cli("storage", "upload", node.base + "/x.iso", "--storage", "fast")
    assert [r["volid"] for r in node.api.get(CONTENT)] == ["fast:iso/x.iso"]
    node.api.run("DELETE", f"{CONTENT}/fast:iso/x.iso")
    node.api.delete("/storage/fast")


@test(limit=240)
def disks_of_a_guest():
    btrfs.mount("/mnt")
    with Node() as node:
        refusals(node)
        settings(node)
        install_demo(node)
        snapshots_of_a_raw_disk(node)
        a_kill_is_undone(node)
        of_a_running_guest(node)
        the_end(node)


if __name__ == "__main__":
    main()
