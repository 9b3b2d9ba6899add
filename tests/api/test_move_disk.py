"""POST move_disk: what a disk holds is the same on another storage, in another format and with another guest, the record
names what is there, and what cannot be moved is refused."""
import os
import subprocess
import time

from lib.livedisk import as_guest, open_volumes
from lib.tap import main, test
from lib.wait import wait_for

A, B = 100, 200
MIB32 = "0.03125"
IMAGES = "/nodes/{node}/storage/%s/content"


def second(node, name="other", content="images"):
    path = os.path.join(node.base, name)
    os.makedirs(path, exist_ok=True)
    if name not in [s["storage"] for s in node.api.get("/storage")]:
        node.api.post("/storage", storage=name, type="dir", path=path, content=content)


def value(node, key, vmid=A):
    return node.api.get(node.vm(vmid, "/config")).get(key)


def volume(node, key, vmid=A):
    return value(node, key, vmid).split(",")[0]


def path_of(node, volid):
    return node.api.get(IMAGES % volid.split(":")[0] + f"/{volid}")["path"]


def volumes(node, *storages):
    return sorted(v["volid"] for s in storages for v in node.api.get(IMAGES % s) if v["content"] == "images")


def qemu_io(path, *commands):
    done = subprocess.run(["qemu-io", *(w for c in commands for w in ("-c", c)), path], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "failed" not in done.stdout, done.stdout + done.stderr


def fill(path, byte):
    qemu_io(path, f"write -P {byte} 0 64k", f"write -P {byte + 1} 5M 100k", f"write -P {byte + 2} 31M 1M")


def same(one, other):
    done = subprocess.run(["qemu-img", "compare", one, other], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{one} {other}: {done.stdout}{done.stderr}"


def move(node, disk, **params):
    return node.api.run("POST", node.vm(A, "/move_disk"), {"disk": disk, **params}, timeout=120)


def refused(node, params, text, status=None, vmid=A, **more):
    return node.api.refused("POST", node.vm(vmid, "/move_disk"), params, status, text=text, **more)


@test(limit=240)
def storage_and_format(node):
    """Raw and qcow2, from one folder to another, the original kept and deleted."""
    second(node)
    node.create(A, memory=64, scsi0=f"local:{MIB32},format=raw,cache=writeback,discard=on", scsi1=f"local:{MIB32},format=qcow2",
                boot="order=scsi0")
    for number, key in enumerate(("scsi0", "scsi1")):
        fill(path_of(node, volume(node, key)), 10 * (number + 1))
    first = volume(node, "scsi0")
    keep_path = path_of(node, first)
    plan = node.api.call("POST", node.vm(A, "/move_disk"), {"disk": "scsi0", "storage": "other", "dry-run": 1}).data["plan"]
    assert [s["step"] for s in plan] == ["volume.copy"] and not volumes(node, "other")

    upid = move(node, "scsi0", storage="other")  # raw -> raw
    assert ":qmmove:100:" in upid
    assert value(node, "scsi0") == "other:100/vm-100-disk-0.raw,cache=writeback,discard=on,size=32M"
    assert value(node, "unused0") == first and value(node, "boot") == "order=scsi0"
    same(keep_path, path_of(node, volume(node, "scsi0")))

    move(node, "scsi0", storage="other", format="qcow2", delete=1)  # in its own storage
    assert volumes(node, "other") == ["other:100/vm-100-disk-0.qcow2"] or volumes(node, "other") == ["other:100/vm-100-disk-1.qcow2"]
    assert volume(node, "scsi0") in volumes(node, "other") and value(node, "unused1") is None
    same(keep_path, path_of(node, volume(node, "scsi0")))

    move(node, "scsi0", storage="local", format="raw", delete=1, bwlimit=102400)  # and back
    assert not volumes(node, "other") and value(node, "scsi0").endswith(",cache=writeback,discard=on,size=32M")
    same(keep_path, path_of(node, volume(node, "scsi0")))

    before = path_of(node, volume(node, "scsi1"))
    move(node, "scsi1", storage="other")
    assert volume(node, "scsi1").endswith(".qcow2") and volume(node, "scsi1").startswith("other:")
    same(before, path_of(node, volume(node, "scsi1")))
    subprocess.run(["qemu-img", "check", "-q", path_of(node, volume(node, "scsi1"))], check=True)
    node.remove(A)
    assert not volumes(node, "local", "other"), "what a move leaves is the guest's"


@test(limit=240)
def with_layers(node):
    """A disk with snapshots stays where it is; afterwards all that it stands on goes into the one image."""
    second(node)
    node.create(A, memory=64, scsi0=f"local:{MIB32},format=qcow2")
    at = path_of(node, volume(node, "scsi0"))
    qemu_io(at, "write -P 1 0 1M")
    node.api.run("POST", node.vm(A, "/snapshot"), {"snapname": "one"})
    qemu_io(at, "write -P 2 64k 64k")
    for params in ({"storage": "other"}, {"storage": "other", "delete": 1}, {"storage": "local", "format": "raw"}):
        refused(node, {"disk": "scsi0", **params}, "you can't move a disk with snapshots ('one')")
    node.create(B, memory=64)
    refused(node, {"disk": "scsi0", "target-vmid": B}, "snapshots ('one')")
    node.api.run("DELETE", node.vm(A, "/snapshot/one"))
    move(node, "scsi0", storage="other", format="raw", delete=1)
    now = path_of(node, volume(node, "scsi0"))
    qemu_io(now, "read -P 1 0 64k", "read -P 2 64k 64k", "read -P 1 128k 896k", "read -P 0 1M 1M")
    assert volumes(node, "local", "other") == [volume(node, "scsi0")]
    assert not os.path.isdir(os.path.dirname(at)) or not os.listdir(os.path.dirname(at))
    node.remove(A)
    node.remove(B)


@test(limit=240)
def refusals(node):
    second(node)
    second(node, "files", "iso")
    node.create(A, memory=64, scsi0=f"local:{MIB32},format=raw", ide2="none,media=cdrom", ide0="local:cloudinit")
    other = {"storage": "other"}
    refused(node, {"disk": "scsi0", "storage": "local"}, "same storage with same format")
    refused(node, {"disk": "scsi0", "storage": "local", "format": "raw"}, "same storage with same format")
    refused(node, {"disk": "scsi0", "storage": "other", "format": "vmdk"}, "does not support format 'vmdk'")
    refused(node, {"disk": "scsi5", **other}, "disk 'scsi5' does not exist")
    refused(node, {"disk": "ide2", **other}, "you can't move a cdrom")
    refused(node, {"disk": "ide0", **other}, "cloud-init drive")
    refused(node, {"disk": "unused0", **other}, "only configured disks can be moved")
    refused(node, {"disk": "scsi0", "storage": "files"}, "does not support vm images")
    refused(node, {"disk": "scsi0", "storage": "nowhere"}, "does not exist")
    refused(node, {"disk": "net0", **other}, None, 400, param="disk")
    for params in ({}, {**other, "target-vmid": B}):
        for name in ("storage", "target-vmid"):
            refused(node, {"disk": "scsi0", **params}, None, 400, param=name)
    refused(node, {"disk": "scsi0", **other, "digest": "0" * 40}, "modified configuration")
    digest = node.api.get(node.vm(A, "/config"))["digest"]
    config = f"/nodes/{node.name}/qemu/{A}/config"
    node.cli("api", "PUT", config, "-d", "lock=backup")
    refused(node, {"disk": "scsi0", **other}, "VM is locked (backup)")
    node.cli("api", "PUT", config, "-d", "delete=lock", "-d", "skiplock=1")
    assert node.api.get(node.vm(A, "/config"))["digest"] == digest
    # A disk that two keys name, and one of another guest.
    node.api.put(node.vm(A, "/config"), scsi1=volume(node, "scsi0"))
    refused(node, {"disk": "scsi0", **other}, "named by another drive")
    node.api.put(node.vm(A, "/config"), delete="scsi1")
    node.create(B, memory=64, scsi0=volume(node, "scsi0"))
    refused(node, {"disk": "scsi0", **other}, f"VM {B} uses")
    refused(node, {"disk": "scsi0", **other}, f"a volume of VM {A}", vmid=B)
    node.remove(B)
    assert volumes(node, "local", "other") == ["local:100/vm-100-cloudinit.raw", volume(node, "scsi0")]
    node.remove(A)


@test(limit=240)
def a_running_guest(node):
    """Its disks stay its own; what it does not use can be given away."""
    second(node)
    node.create(A, memory=64, scsihw="virtio-scsi-pci", scsi0=f"local:{MIB32}", scsi1=f"local:{MIB32}")
    node.create(B, memory=64)
    unused = volume(node, "scsi1")
    node.api.put(node.vm(A, "/config"), delete="scsi1")
    node.api.run("POST", node.vm(A, "/status/start"))
    refused(node, {"disk": "scsi0", "target-vmid": B}, "while it is running")
    move(node, "unused0", **{"target-vmid": B, "target-disk": "scsi3"})
    assert value(node, "scsi3", B) == "local:200/vm-200-disk-0" + os.path.splitext(unused)[1] + ",size=32M"
    assert value(node, "unused0") is None and node.guest_state(A) == "running"
    refused(node, {"disk": "scsi3", "target-vmid": A}, "while it is running", vmid=B)
    node.api.run("POST", node.vm(B, "/move_disk"), {"disk": "scsi3", "target-vmid": A, "target-disk": "unused0"})
    assert value(node, "unused0").startswith("local:100/vm-100-disk-")
    node.remove(A)
    node.remove(B)
    assert not volumes(node, "local", "other")


@test(limit=300)
def a_running_guests_disks(node):
    """From storage to storage and format to format while the guest writes: it goes on writing to where the record says,
    and to nothing else; with an I/O thread, snapshots before and after, and from a template's image to one's own."""
    second(node)
    node.create(A, memory=64, scsihw="virtio-scsi-single", scsi0=f"local:{MIB32},format=raw,iothread=1",
                scsi1=f"local:{MIB32},format=qcow2,discard=on,cache=writeback", virtio0=f"local:{MIB32},format=raw")
    old = {key: path_of(node, volume(node, key)) for key in ("scsi0", "scsi1", "virtio0")}
    node.api.run("POST", node.vm(A, "/status/start"))
    for number, key in enumerate(old, 1):
        as_guest(node, A, key, f"write -P {number} 0 64k", f"write -P {number} 20M 1M", "flush")
    upid = move(node, "scsi0", storage="other", format="qcow2")
    assert any("mirror" in line for line in node.api.task_log(upid)), node.api.task_log(upid)
    assert value(node, "scsi0") == "other:100/vm-100-disk-0.qcow2,iothread=1,size=32M", value(node, "scsi0")
    assert value(node, "unused0") == "local:100/vm-100-disk-0.raw" and node.guest_state(A) == "running"
    move(node, "scsi1", storage="other", format="raw", delete=1)
    assert value(node, "scsi1") == "other:100/vm-100-disk-1.raw,discard=on,cache=writeback,size=32M", value(node, "scsi1")
    assert value(node, "unused1") is None and not os.path.exists(old["scsi1"])
    move(node, "virtio0", storage="local", format="qcow2", delete=1)
    assert open_volumes(node, A) == sorted(volume(node, k) for k in old), open_volumes(node, A)
    for key in old:
        as_guest(node, A, key, "write -P 77 1M 64k", "flush")
    kept = "local:100/vm-100-disk-0.raw"
    qemu_io(path_of(node, kept), "read -P 1 0 64k", "read -P 0 1M 64k")
    assert os.stat(path_of(node, volume(node, "scsi1"))).st_blocks * 512 < 4 << 20  # what was empty stays so
    node.api.put(node.vm(A, "/resize"), disk="virtio0", size="+1M")
    assert value(node, "virtio0").endswith("size=33M"), value(node, "virtio0")
    move(node, "virtio0", storage="other", format="raw", delete=1)
    move(node, "virtio0", storage="other", format="qcow2", delete=1)
    node.api.run("POST", node.vm(A, "/status/stop"))
    for number, key in enumerate(old, 1):
        path = path_of(node, volume(node, key))
        qemu_io(path, f"read -P {number} 0 64k", "read -P 77 1M 64k", f"read -P {number} 20M 1M", "read -P 0 21M 10M")
    node.remove(A)
    assert not volumes(node, "local", "other")


@test(limit=300)
def a_running_linked_clone(node):
    """Leaves its template's image; snapshots of what it has then are merged with what QEMU has open."""
    second(node)
    node.create(B, memory=64, scsi0=f"local:{MIB32},format=qcow2")
    fill(path_of(node, volume(node, "scsi0", B)), 5)
    node.api.run("POST", node.vm(B, "/template"))
    node.api.run("POST", node.vm(B, "/clone"), {"newid": A})
    node.api.put(node.vm(A, "/config"), scsihw="virtio-scsi-pci")
    node.api.run("POST", node.vm(A, "/status/start"))
    as_guest(node, A, "scsi0", "write -P 9 2M 64k", "flush")
    assert len(open_volumes(node, A)) == 2
    move(node, "scsi0", storage="other", delete=1)
    assert open_volumes(node, A) == [volume(node, "scsi0")], open_volumes(node, A)
    node.remove(B)  # nothing stands on the template any more
    for number in (1, 2):
        node.api.run("POST", node.vm(A, "/snapshot"), {"snapname": f"s{number}"})
        as_guest(node, A, "scsi0", f"write -P {20 + number} {3 + number}M 64k", "flush")
    refused(node, {"disk": "scsi0", "storage": "local"}, "with snapshots")
    for number in (1, 2):
        node.api.run("DELETE", node.vm(A, f"/snapshot/s{number}"))
    assert open_volumes(node, A) == [volume(node, "scsi0")], open_volumes(node, A)
    move(node, "scsi0", storage="local", format="raw", delete=1)
    node.api.run("POST", node.vm(A, "/status/stop"))
    qemu_io(path_of(node, volume(node, "scsi0")), "read -P 5 0 64k", "read -P 9 2M 64k", "read -P 21 4M 64k", "read -P 22 5M 64k",
            "read -P 7 31M 1M")
    node.remove(A)
    assert not volumes(node, "local", "other")


@test(limit=300)
def a_running_guest_is_left_alone(node):
    """A copy that is stopped, that finds its storage full, or for a guest that ends: nothing stays of it."""
    second(node)
    node.create(A, memory=64, scsihw="virtio-scsi-pci", scsi0=f"local:{MIB32},format=raw")
    node.api.run("POST", node.vm(A, "/status/start"))
    as_guest(node, A, "scsi0", "write -P 3 0 16M", "flush")
    had = open_volumes(node, A)

    def begin():
        upid = node.api.post(node.vm(A, "/move_disk"), disk="scsi0", storage="other", bwlimit=256)
        wait_for(lambda: len(open_volumes(node, A)) == 2, 30)
        return upid

    upid = begin()
    node.api.refused("PUT", node.vm(A, "/config"), {"name": "x"}, 500, text="VM is locked (disk)")
    node.api.delete("/nodes/{node}/tasks/" + upid)
    assert "stopped" in node.api.wait_task(upid), node.api.task_log(upid)
    assert open_volumes(node, A) == had and not volumes(node, "other") and node.guest_state(A) == "running"
    as_guest(node, A, "scsi0", "write -P 4 0 64k", "flush")
    upid = begin()
    assert node.api.wait_task(node.api.post(node.vm(A, "/status/stop"))) == "OK"
    assert "aborted by another task" in node.api.wait_task(upid), node.api.task_log(upid)
    assert volumes(node, "other", "local") == ["local:100/vm-100-disk-0.raw"] == [volume(node, "scsi0")]
    node.remove(A)


@test(limit=240)
def limits_of_storages(node):
    """A storage's bwlimit holds for moves and clones; only who may change the storage exceeds it."""
    second(node)
    node.api.put("/storage/other", bwlimit="clone=100000,default=2048")
    assert [s["bwlimit"] for s in node.api.get("/storage") if s["storage"] == "other"] == ["clone=100000,default=2048"]
    node.create(A, memory=64, scsi0=f"local:{MIB32},format=raw")
    qemu_io(path_of(node, volume(node, "scsi0")), "write -P 1 0 4M")
    user = node.restricted("mover@pve", **{f"/vms/{A}": "PVEVMAdmin", "/storage": "PVEDatastoreUser"})

    def limit(api, **more):
        plan = api.call("POST", node.vm(A, "/move_disk"), {"disk": "scsi0", "storage": "other", "dry-run": 1, **more}).data["plan"]
        return plan[0]["args"].get("bwlimit")

    assert limit(node.api) == limit(user) == 2048 * 1024
    assert limit(user, bwlimit=50000) == 2048 * 1024 and limit(user, bwlimit=1000) == 1000 * 1024
    assert limit(node.api, bwlimit=50000) == 50000 * 1024 and limit(node.api, bwlimit=0) is None
    plan = node.api.call("POST", node.vm(A, "/clone"), {"newid": B, "storage": "other", "dry-run": 1}).data["plan"]
    assert plan[0]["args"]["bwlimit"] == 100000 * 1024, plan
    began = time.monotonic()
    move(node, "scsi0", storage="other")
    assert time.monotonic() - began > 1, "4 MiB at 2 MiB a second"
    node.api.put("/storage/other", delete="bwlimit")
    assert limit(user, storage="local") is None
    node.remove(A)


@test(limit=240)
def another_guest(node):
    node.create(A, memory=64, scsi0=f"local:{MIB32},format=qcow2,cache=writeback", scsi1=f"local:{MIB32},format=raw",
                efidisk0="local:1,efitype=4m", boot="order=scsi1;scsi0")
    node.create(B, memory=64, scsi0=f"local:{MIB32},format=raw")
    fill(path_of(node, volume(node, "scsi0")), 40)
    copy = os.path.join(node.base, "copy.qcow2")
    subprocess.run(["cp", path_of(node, volume(node, "scsi0")), copy], check=True)
    refused(node, {"disk": "scsi0", "target-vmid": A}, None, 400, param="target-vmid")
    refused(node, {"disk": "scsi0", "target-vmid": 999}, "does not exist")
    refused(node, {"disk": "scsi0", "target-vmid": B}, "Target disk key 'scsi0' is already in use")
    refused(node, {"disk": "efidisk0", "target-vmid": B, "target-disk": "scsi3"}, None, 400, param="target-disk")
    refused(node, {"disk": "scsi0", "target-vmid": B, "target-disk": "scsi1", "target-digest": "0" * 40}, "modified configuration")
    move(node, "scsi0", **{"target-vmid": B, "target-disk": "virtio1", "digest": node.api.get(node.vm(A, "/config"))["digest"],
                           "target-digest": node.api.get(node.vm(B, "/config"))["digest"]})
    assert value(node, "scsi0") is None and value(node, "unused0") is None and value(node, "boot") == "order=scsi1"
    assert value(node, "virtio1", B) == "local:200/vm-200-disk-0.qcow2,cache=writeback,size=32M" or \
        value(node, "virtio1", B) == "local:200/vm-200-disk-1.qcow2,cache=writeback,size=32M"
    same(copy, path_of(node, volume(node, "virtio1", B)))
    before = value(node, "efidisk0")
    move(node, "efidisk0", **{"target-vmid": B})
    assert value(node, "efidisk0", B).split(",", 1)[1] == before.split(",", 1)[1]
    # Options that the other kind of drive does not have.
    node.api.put(node.vm(A, "/config"), scsi1=value(node, "scsi1") + ",ssd=1")
    refused(node, {"disk": "scsi1", "target-vmid": B, "target-disk": "virtio2"}, None, 400, param="target-disk")
    node.remove(A)
    assert all(v.startswith("local:200/") for v in volumes(node, "local"))
    node.remove(B)
    assert not volumes(node, "local")


@test(limit=240)
def templates_and_linked_clones(node):
    """A template's disks stay; a linked clone's becomes an image of its own."""
    second(node)
    node.create(A, memory=64, scsi0=f"local:{MIB32},format=qcow2")
    base = path_of(node, volume(node, "scsi0"))
    fill(base, 60)
    node.api.run("POST", node.vm(A, "/template"), {})
    node.api.run("POST", node.vm(A, "/clone"), {"newid": B})
    refused(node, {"disk": "scsi0", "storage": "other"}, "template")
    refused(node, {"disk": "scsi0", "target-vmid": B, "target-disk": "scsi1"}, "template")
    node.create(B + 1, memory=64)
    refused(node, {"disk": "scsi0", "target-vmid": B + 1}, "stands on other images", vmid=B)
    refused(node, {"disk": "scsi0", "target-vmid": A, "target-disk": "scsi1"}, "other images", vmid=B)
    node.api.run("POST", node.vm(B, "/move_disk"), {"disk": "scsi0", "storage": "other", "delete": 1})
    same(base, path_of(node, volume(node, "scsi0", B)))
    node.api.run("POST", node.vm(B, "/move_disk"), {"disk": "scsi0", "target-vmid": B + 1})
    refused(node, {"disk": "scsi0", "target-vmid": A, "target-disk": "scsi1"}, "a template gets no disks", vmid=B + 1)
    # Nobody stands on the template any more.
    node.remove(A)
    node.remove(B)
    node.remove(B + 1)
    assert not volumes(node, "local", "other")


@test(limit=240)
def rights(node):
    second(node)
    node.create(A, memory=64, scsi0=f"local:{MIB32},format=raw")
    node.create(B, memory=64)
    node.api.post("/access/roles", roleid="Disks", privs="VM.Config.Disk,VM.Audit")
    node.api.post("/access/roles", roleid="Space", privs="Datastore.AllocateSpace,Datastore.Audit")

    def denied(user, params, **roles):
        node.restricted(user, **roles).refused("POST", node.vm(A, "/move_disk"), {"disk": "scsi0", **params}, 403)

    there = {f"/vms/{A}": "Disks"}
    denied("none@pve", {"storage": "other"}, **{"/storage/other": "Space"})
    denied("disk@pve", {"storage": "other"}, **there, **{"/storage/local": "Space"})
    denied("one@pve", {"target-vmid": B}, **there, **{"/storage/local": "Space"})
    denied("two@pve", {"target-vmid": B}, **there, **{f"/vms/{B}": "Disks"})
    may = node.restricted("may@pve", **there, **{f"/vms/{B}": "Disks", "/storage/other": "Space"})
    may.run("POST", node.vm(A, "/move_disk"), {"disk": "scsi0", "storage": "other", "delete": 1})
    may.run("POST", node.vm(A, "/move_disk"), {"disk": "scsi0", "target-vmid": B})
    assert volume(node, "scsi0", B).startswith("other:200/")
    node.remove(A)
    node.remove(B)


@test(limit=240)
def by_command(node):
    second(node)
    node.create(A, memory=64, name="web", scsi0=f"local:{MIB32},format=raw")
    node.create(B, memory=64)
    node.cli("vm", "move-disk", "web", "scsi0", "other", "--delete", timeout=120)
    assert volumes(node, "local", "other") == [volume(node, "scsi0")]
    node.cli("vm", "move-disk", "web", "scsi0", "--target-vmid", str(B), timeout=120)
    assert volume(node, "scsi0", B).startswith("other:200/")
    node.remove(A)
    node.remove(B)


@test(limit=240)
def opposite_directions_at_once(node):
    """Two guests that give each other a disk do not wait for each other for ever."""
    node.create(A, memory=64, scsi0=f"local:{MIB32}", scsi2=f"local:{MIB32}")
    node.create(B, memory=64, scsi1=f"local:{MIB32}", scsi3=f"local:{MIB32}")
    upids = [node.api.post(node.vm(vmid, "/move_disk"), {"disk": key, "target-vmid": to})
             for vmid, key, to in ((A, "scsi0", B), (B, "scsi1", A), (A, "scsi2", B), (B, "scsi3", A))]
    assert [node.api.wait_task(upid, 60) for upid in upids] == ["OK"] * 4
    assert value(node, "scsi0", B) and value(node, "scsi2", B) and value(node, "scsi1") and value(node, "scsi3")
    node.remove(A)
    node.remove(B)
    assert not volumes(node, "local")


if __name__ == "__main__":
    main()
