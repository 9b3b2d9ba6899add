"""import-from: disks that begin as copies of images: what is in them, who may, and what is refused or undone."""
import os
import re
import subprocess

import requests

from lib.guests import volume_path
from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

MIB = 1 << 20
VM = 100


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


def folder(node, name="import"):
    path = node.path("var/storage/local", name)
    os.makedirs(path, exist_ok=True)
    return path


def make(path, form, size=32 * MIB, *options):
    """With data at the beginning, in the middle and at the end."""
    run("qemu-img", "create", "-q", "-f", form, *options, path, str(size))
    for byte, at in ((1, 0), (2, size // 2), (3, size - 65536)):
        run("qemu-io", "-f", form, "-c", f"write -P {byte} {at} 64k", path)
    return path


def same(a, a_form, b, b_form):
    run("qemu-img", "compare", "-q", "-f", a_form, "-F", b_form, a, b)


def value(node, key="scsi0", vmid=VM):
    return node.api.get(node.vm(vmid, "/config"))[key]


def source(node, name, form, **more):
    return make(os.path.join(folder(node), name), form, **more)


@test(limit=240)
def files_of_content_import(node):
    paths = {form: source(node, f"a.{form}", form) for form in ("raw", "qcow2")}
    assert {v["volid"]: (v["format"], v["size"]) for v in node.api.get("/nodes/{node}/storage/local/content", content="import")} == {
        "local:import/a.raw": ("raw", 32 * MIB), "local:import/a.qcow2": ("qcow2", 32 * MIB)}
    node.create(VM, scsi0="local:0,import-from=local:import/a.qcow2", scsi1="local:0,import-from=local:import/a.raw,discard=on",
                scsi2="local:0,format=raw,import-from=local:import/a.qcow2")
    for key, form in (("scsi0", "qcow2"), ("scsi1", "raw"), ("scsi2", "raw")):
        text = value(node, key)
        assert text.split(",")[0].endswith("." + form) and "import-from" not in text and text.endswith(",size=32M"), text
        same(paths["raw"], "raw", volume_path(node, text), form)
    assert "discard=on" in value(node, "scsi1")
    # A source that goes on changing has nothing to do with the copy.
    run("qemu-io", "-f", "raw", "-c", "write -P 9 0 64k", paths["raw"])
    same(paths["qcow2"], "qcow2", volume_path(node, value(node, "scsi1")), "raw")
    # Into a guest that is there: both ways to change its configuration.
    node.api.put(node.vm(VM, "/config"), virtio0="local:0,format=qcow2,import-from=local:import/a.raw")
    same(paths["raw"], "raw", volume_path(node, value(node, "virtio0")), "qcow2")
    node.api.run("POST", node.vm(VM, "/config"), {"virtio1": "local:0,import-from=local:import/a.qcow2"})
    same(paths["qcow2"], "qcow2", volume_path(node, value(node, "virtio1")), "qcow2")
    node.remove(VM)
    assert not node.images(), node.images()
    for path in paths.values():
        os.unlink(path)


@test(limit=120)
def uploaded_and_imported(node):
    path = make(os.path.join(node.base, "up.qcow2"), "qcow2")
    node.cli("storage", "upload", path)
    node.create(VM, scsi0="local:0,import-from=local:import/up.qcow2")
    same(path, "qcow2", volume_path(node, value(node)), "qcow2")
    node.remove(VM)
    node.api.run("DELETE", "/nodes/{node}/storage/local/content/local:import/up.qcow2")


@test(limit=240)
def disks_of_guests(node):
    node.create(101, scsi0="local:0.03125,format=qcow2", memory=64)
    first = volume_path(node, value(node, vmid=101))
    # A disk with everything it stands on.
    for number in (1, 2):
        run("qemu-io", "-f", "qcow2", "-c", f"write -P {number} {number}M 64k", first)
        node.api.run("POST", node.vm(101, "/snapshot"), {"snapname": f"s{number}"})
    run("qemu-io", "-f", "qcow2", "-c", "write -P 3 3M 64k", first)
    node.api.put(node.vm(101, "/config"), scsi1="local:0.03125,format=raw")
    second = volume_path(node, value(node, "scsi1", 101))
    run("qemu-io", "-f", "raw", "-c", "write -P 4 1M 64k", second)
    names = [value(node, k, 101).split(",")[0] for k in ("scsi0", "scsi1")]
    node.create(VM, scsi0=f"local:0,import-from={names[0]}", scsi1=f"local:0,import-from={names[1]}")
    copy = volume_path(node, value(node))
    assert "backing file" not in run("qemu-img", "info", copy)
    same(first, "qcow2", copy, "qcow2")
    same(second, "raw", volume_path(node, value(node, "scsi1")), "raw")
    run("qemu-img", "check", "-q", copy)
    # Its own disk, once more.
    node.api.put(node.vm(VM, "/config"), scsi2=f"local:0,format=raw,import-from={value(node).split(',')[0]}")
    same(copy, "qcow2", volume_path(node, value(node, "scsi2")), "raw")
    who_may(node, names[0])
    node.api.run("POST", node.vm(101, "/status/start"))
    refused(node, names[0], 'in use by the running guest 101', 500)
    node.api.run("POST", node.vm(101, "/status/stop"))
    node.remove(101)
    same(copy, "qcow2", volume_path(node, value(node, "scsi2")), "raw")
    node.remove(VM)
    assert not node.images(), node.images()


def who_may(node, volume):
    source(node, "b.raw", "raw")
    user = node.restricted("im@pve", **{"/vms/110": "PVEVMAdmin", "/storage/local": "PVEDatastoreUser"})
    params = {"vmid": 110, "scsi0": f"local:0,import-from={volume}"}
    user.refused("POST", "/nodes/{node}/qemu", params, 403, "VM.Clone")
    user.run("POST", "/nodes/{node}/qemu", {"vmid": 110, "scsi0": "local:0,import-from=local:import/b.raw"})
    node.api.put("/access/acl", path="/vms/101", roles="PVEVMAdmin", users="im@pve")
    user.put(node.vm(110, "/config"), scsi1=f"local:0,import-from={volume}")
    # What its owner does not name is the storage's administrator's.
    make(node.path("var/storage/local/images/101/vm-101-disk-7.raw"), "raw")
    user.refused("PUT", node.vm(110, "/config"), {"scsi2": "local:0,import-from=local:101/vm-101-disk-7.raw"}, 403, "Datastore.Allocate")
    user.refused("PUT", node.vm(110, "/config"), {"scsi2": "local:0,import-from=local:999/vm-999-disk-0.raw"}, 403, "Datastore.Allocate")
    user.refused("PUT", node.vm(110, "/config"), {"scsi2": "local:0,import-from=/etc/passwd"}, 403)
    blind = node.restricted("blind@pve", **{"/vms/111": "PVEVMAdmin"})
    blind.refused("POST", "/nodes/{node}/qemu", {"vmid": 111, "scsi0": "local:0,import-from=local:import/b.raw"}, 403)
    os.unlink(node.path("var/storage/local/images/101/vm-101-disk-7.raw"))
    node.remove(110)


def refused(node, what, text, status=None, key="scsi0", store="local:0", more=""):
    """A creation that is refused, or whose task fails; in either case nothing is left."""
    before = node.images()
    reply = node.api.call("POST", "/nodes/{node}/qemu", {"vmid": 120, key: f"{store},import-from={what}{more}"})
    if reply.status == 200:
        end = node.api.wait_task(reply.data)
        assert end != "OK", f"{what} was imported"
        assert text in end + str(node.api.task_log(reply.data)), end
    else:
        assert text in reply.message + str(reply.errors), (reply.message, reply.errors)
        assert not status or reply.status == status, (reply.status, reply.message)
    assert node.images() == before and 120 not in [v["vmid"] for v in node.api.get("/nodes/{node}/qemu")]


@test(limit=240)
def refusals(node):
    source(node, "c.raw", "raw")
    node.api.refused("PUT", node.vm(121, "/config"), {"scsi0": "local:0,import-from=local:import/c.raw"})
    refused(node, "local:import/c.raw", "<storage ID>:0", 400, store="local:1")
    refused(node, "local:import/c.raw", "<storage ID>:0", 400, store="local:cloudinit")
    refused(node, "local:import/c.raw", "CD-ROM", 400, more=",media=cdrom")
    refused(node, "local:import/none.raw", "does not exist")
    refused(node, "local:iso/x.iso", "wrong type 'iso'", 400)
    refused(node, "local:import/x.vmdk", "only raw and qcow2", 400)
    refused(node, "gone:import/x.raw", "gone")
    refused(node, "../etc/passwd", "unable to parse volume ID", 400)
    # Of the same size as what is there otherwise.
    refused(node, "local:import/c.raw", "its size must be", key="efidisk0")
    vars_of = os.path.join(folder(node), "vars.raw")
    node.create(VM, efidisk0="local:1")
    with open(volume_path(node, value(node, "efidisk0")), "rb") as f, open(vars_of, "wb") as out:
        out.write(f.read()[:-65536] + b"\x5a" * 65536)
    node.remove(VM)
    node.create(VM, efidisk0="local:0,import-from=local:import/vars.raw")
    same(vars_of, "raw", volume_path(node, value(node, "efidisk0")), "raw")
    node.remove(VM)
    odd = os.path.join(folder(node), "odd.raw")
    with open(odd, "wb") as f:
        f.write(b"x" * 1000)
    refused(node, "local:import/odd.raw", "no multiple of 512")
    with open(odd, "wb"):
        pass
    refused(node, "local:import/odd.raw", "no multiple of 512")
    hostile(node)
    paths_of_root(node)


def hostile(node):
    """An image that names files: nothing but its own header is opened."""
    secret = os.path.join(node.base, "secret.raw")
    with open(secret, "wb") as f:
        f.write(b"secret" * 100000)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", os.path.join(folder(node), "back.qcow2"))
    refused(node, "local:import/back.qcow2", "backing")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={node.base}/data.raw,data_file_raw=on",
        os.path.join(folder(node), "data.qcow2"), "8M")
    refused(node, "local:import/data.qcow2", "data file")
    with open(os.path.join(folder(node), "bad.qcow2"), "wb") as f:
        f.write(b"QFI\xfb" + b"\xff" * 4000)
    refused(node, "local:import/bad.qcow2", "import-from")
    with open(os.path.join(folder(node), "text.qcow2"), "wb") as f:
        f.write(b"no image at all")
    refused(node, "local:import/text.qcow2", "import-from")
    os.symlink(secret, os.path.join(folder(node), "link.raw"))
    refused(node, "local:import/link.raw", "regular file")
    # Raw stays raw, whatever its first sector says.
    inner = make(os.path.join(folder(node), "inner.qcow2"), "qcow2")
    with open(inner, "rb") as f, open(os.path.join(folder(node), "inner.raw"), "wb") as out:
        out.write(f.read())
        out.truncate((out.tell() + 511) // 512 * 512)
    node.create(VM, scsi0="local:0,format=qcow2,import-from=local:import/inner.raw")
    same(os.path.join(folder(node), "inner.raw"), "raw", volume_path(node, value(node)), "qcow2")
    node.remove(VM)


def paths_of_root(node):
    """A path of the host is for root@pam, who is whoever runs the program on the host as root."""
    image = make(os.path.join(node.base, "mine.img"), "raw")
    qcow2 = make(os.path.join(node.base, "mine.qcow2"), "qcow2")
    node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 120, "scsi0": f"local:0,import-from={image}"}, 403, "root@pam")
    node.cli("vm", "create", VM, "--scsi0", f"local:0,import-from={image}", "--scsi1", f"local:0,import-from={qcow2},format=raw")
    same(image, "raw", volume_path(node, value(node)), "raw")
    same(image, "raw", volume_path(node, value(node, "scsi1")), "raw")
    for path, text in (("/etc/passwd", "only files called"), (f"{node.base}/none.raw", "No such file"),
                       (f"{node.base}/../x.raw", "not a path"), (volume_path(node, value(node)), "name the volume"),
                       (node.base + "/dir.raw", "not a regular file"), (node.base + "/pipe.raw", "not a regular file"),
                       (folder(node) + "/back.qcow2", "backing")):
        if path.endswith("dir.raw"):
            os.mkdir(path)
        if path.endswith("pipe.raw"):
            os.mkfifo(path)
        said = node.cli("vm", "set", VM, "--scsi5", f"local:0,import-from={path}", is_checked=False)
        assert said.returncode and text in said.stderr, (path, said.stderr)
    node.remove(VM)


@test(limit=120)
def a_full_disk_is_undone():
    node = Node()
    small = os.path.join(node.base, "small")
    os.mkdir(small)
    run("mount", "-t", "tmpfs", "-o", "size=6M", "tmpfs", small)  # before holmd, which has mounts of its own
    with node:
        try:
            fill_it(node, small)
        finally:
            node.stop()
            run("umount", small)


def fill_it(node, small):
    node.api.post("/storage", storage="small", type="dir", path=small, content="images")
    path = source(node, "big.raw", "raw", size=64 * MIB)
    run("qemu-io", "-f", "raw", "-c", "write -P 7 1M 20M", path)
    for form in ("raw", "qcow2"):
        reply = node.api.call("POST", "/nodes/{node}/qemu",
                              {"vmid": VM, "scsi0": f"small:0,format={form},import-from=local:import/big.raw"})
        end = node.api.wait_task(reply.data) if reply.status == 200 else reply.message
        assert end != "OK" and "space" in end.lower(), (form, end)
        left = [f for _, _, names in os.walk(small) for f in names]
        assert not left and node.api.get("/nodes/{node}/qemu") == [], left
    node.create(VM, scsi0="local:0,format=qcow2,import-from=local:import/big.raw")
    same(path, "raw", volume_path(node, value(node)), "qcow2")
    node.remove(VM)


@test(limit=240)
def killed_while_it_copies():
    with Node() as node:
        path = source(node, "k.qcow2", "qcow2")
        for point in ("qmcreate.0", "guest.copy.begin", "worker.spawned", "guest.copy.filled", "qmcreate.0.done", "qmcreate.commit",
                      "qmcreate.committed"):
            node.restart(HOLM_FP=f"{point}=kill@1")
            ended = None
            try:
                upid = node.api.post("/nodes/{node}/qemu", vmid=VM, scsi0="local:0,import-from=local:import/k.qcow2")
                ended = node.api.wait_task(upid, 60)
            except (requests.ConnectionError, requests.Timeout):
                pass
            assert ended is None, f"{point} was not passed: {ended}"
            assert node.wait_dead() == -9, point
            node.restart()
            wait_for(lambda: not node.orphans(), 20, f"{point}: no orphans: {node.orphans()}")
            there = [v["vmid"] for v in node.api.get("/nodes/{node}/qemu")]
            assert len(node.images()) == len(there), (point, there, node.images())
            hidden = os.listdir(node.path("var/storage/local/images")) if os.path.isdir(node.path("var/storage/local/images")) else []
            assert hidden == ([str(VM)] if there else []), (point, hidden)
            if there:
                same(path, "qcow2", volume_path(node, value(node)), "qcow2")
                node.remove(VM)


@test(limit=120)
def the_plan_and_the_held_source():
    """While its disk is copied a guest is not changed; when the copy is over it is."""
    with Node() as node:
        node.create(101, scsi0="local:0.0625,format=raw", memory=64)
        name = value(node, vmid=101).split(",")[0]
        run("qemu-io", "-f", "raw", "-c", "write -P 7 0 60M", volume_path(node, value(node, vmid=101)))
        params = {"vmid": VM, "scsi0": f"local:0,import-from={name},format=qcow2"}
        plan = node.api.post("/nodes/{node}/qemu", {**params, "dry-run": 1})["plan"]
        assert [(s["step"], s["args"]["from"], s["args"]["size"]) for s in plan] == [("volume.copy", {"volume": name}, 64 * MIB)], plan
        upids = []

        def locked():
            upids.append(node.api.post("/nodes/{node}/qemu", {**params, "vmid": VM + 100 + len(upids)}))
            lock = node.api.get(node.vm(101, "/status/current")).get("lock")
            node.api.wait_task(upids[-1], 60)
            return lock == "import"
        wait_for(locked, 60, "the source to be held")
        assert "lock" not in node.api.get(node.vm(101, "/status/current"))
        node.api.put(node.vm(101, "/config"), name="free")
        assert {node.api.task_status(u)["exitstatus"] for u in upids} == {"OK"}


if __name__ == "__main__":
    main()
