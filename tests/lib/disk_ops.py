"""Every operation on disks as a row: how it is asked for, and how what it did is taken back. For tests that let each of
them fail, or be killed, at any place.

World makes guests and files on some storages; OPERATIONS work on them, and leave them so that each can be done again.
"""
import hashlib
import os
import subprocess

import requests

from lib.holm import Node
from lib.wait import wait_for

# guests: with disks of both formats and a cloud-init drive; with snapshots; a template; one that becomes a template
DISKS, SNAPPED, TEMPLATE, FUTURE, COPY = 100, 101, 102, 103, 200
SIZE_MIB = 8
SIZE = SIZE_MIB / 1024
STORAGES = {"near": {}, "far": {}, "solid": {"preallocation": "falloc"}}


class World:
    """Three storages below a folder, which may be a small file system; kind: their type."""

    def __init__(self, node, top, kind="dir"):
        self.node, self.top, self.kind = node, top, kind

    def make(self):
        api = self.node.api
        for name, options in STORAGES.items():
            os.makedirs(os.path.join(self.top, name, "images"))
            api.post("/storage", storage=name, type=self.kind, path=os.path.join(self.top, name), content="images,import,iso",
                     **(options if self.kind == "dir" else {}))
        folder = os.path.join(self.top, "near", "import")
        os.makedirs(folder, exist_ok=True)
        source = os.path.join(folder, "source.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", source, f"{SIZE_MIB}M"], check=True)
        self.fill(source)
        both = {"scsi0": f"near:{SIZE},format=qcow2", "scsi1": f"near:{SIZE},format=raw"}
        self.node.create(DISKS, memory=64, ide2="near:cloudinit", ciuser="first", ipconfig0="ip=dhcp", net0="virtio", **both)
        api.run("POST", self.vm(DISKS, "/config"), {"scsi2": f"solid:{SIZE}"})
        # A folder has snapshots of raw disks only where the file system copies by reference.
        self.node.create(SNAPPED, memory=64, **(both if self.kind == "btrfs" else {"scsi0": both["scsi0"]}))
        self.node.create(TEMPLATE, memory=64, **both)
        self.node.create(FUTURE, memory=64, **both)
        for vmid in (DISKS, SNAPPED, TEMPLATE, FUTURE):
            for value in self.disks(vmid).values():
                self.fill(self.path(value))
        api.run("POST", self.vm(SNAPPED, "/snapshot"), {"snapname": "one"})
        self.fill(self.path(self.disks(SNAPPED)["scsi0"]), 2)
        api.run("POST", self.vm(TEMPLATE, "/template"))
        return self

    def fill(self, path, mib=4):
        form = path.rsplit(".", 1)[1]
        subprocess.run(["qemu-io", "-f", form, "-c", f"write -P {mib} 1M {mib}M", path], check=True, stdout=subprocess.DEVNULL)

    def vm(self, vmid, rest=""):
        return self.node.vm(vmid, rest)

    def config(self, vmid):
        return self.node.api.get(self.vm(vmid, "/config"))

    def disks(self, vmid):
        return {k: v.split(",")[0] for k, v in self.config(vmid).items()
                if k.rstrip("0123456789") in ("scsi", "unused") and k != "scsihw"}

    def path(self, volume):
        storage, name = volume.split(":")
        if self.kind == "btrfs" and name.endswith(".raw") and "disk" in name:
            name = name.removesuffix(".raw") + "/disk.raw"
        return os.path.join(self.top, storage, "images", name)

    def vmids(self):
        return sorted(g["vmid"] for g in self.node.api.get("/nodes/{node}/qemu"))

    def names(self, vmid):
        return sorted(s["name"] for s in self.node.api.get(self.vm(vmid, "/snapshot")) if s["name"] != "current")

    def records(self):
        """All that is written down of guests."""
        return {vmid: (self.config(vmid), self.node.api.get(self.vm(vmid, "/pending")), self.names(vmid)) for vmid in self.vmids()}

    def files(self):
        """Each file and folder of the storages, hidden ones too, with what is in it."""
        found = {}
        for storage in STORAGES:
            for top, folders, names in os.walk(os.path.join(self.top, storage)):
                found.update({os.path.relpath(os.path.join(top, f), self.top): "folder" for f in folders})
                for name in names:
                    with open(os.path.join(top, name), "rb") as f:
                        found[os.path.relpath(os.path.join(top, name), self.top)] = hashlib.file_digest(f, "md5").hexdigest()
        return found

    def state(self):
        return self.records(), self.files()

    def check(self, what):
        """Every image is whole, every file is one that a record needs."""
        for vmid in self.vmids():
            for volume in self.disks(vmid).values():
                assert os.path.exists(self.path(volume)), f"{what}: {volume} is named but not there"
        for name in self.files():
            if name.endswith(".qcow2"):
                done = subprocess.run(["qemu-img", "check", "-q", os.path.join(self.top, name)], capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{what}: {name}: {done.stdout}{done.stderr}"
        self.check_sizes(what)

    def check_sizes(self, what):
        for volume, text in ((v.split(",")[0], v.split("size=")[1]) for k, v in self.config(DISKS).items()
                             if k in ("scsi0", "scsi1", "scsi2") and "size=" in v):
            info = subprocess.run(["qemu-img", "info", "-f", volume.rsplit(".", 1)[1], self.path(volume)], capture_output=True, text=True, check=True)
            true = int(info.stdout.split("virtual size:")[1].split("(")[1].split()[0])
            configured = int(text.split(",")[0][:-1]) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[text.split(",")[0][-1]]
            assert true == configured, f"{what}: {volume} has {true} bytes, the configuration says {text}"


class Operation:
    """before: what there must be for it. back: takes it back (None: it can be done again as it is). is_final: it is not
    undone when it fails, the record says what there is then; what is left is done by the next one."""

    def __init__(self, name, method, path, params=None, back=None, before=None, is_final=False):
        self.name, self.method, self.path, self.params = name, method, path, params or {}
        self.back, self.before, self.is_final = back, before, is_final

    def run(self, world):
        """How it ended: "OK", the error's text, or None: the daemon died."""
        try:
            return world.node.api.outcome(self.method, self.path, self.params, 60)
        except (requests.ConnectionError, requests.Timeout):
            return None


def _without(key):
    def back(world):
        if key in world.config(DISKS):
            world.node.api.put(world.vm(DISKS, "/config"), delete=key)
        for name in [k for k in world.disks(DISKS) if k.startswith("unused")]:
            world.node.api.put(world.vm(DISKS, "/config"), delete=name)
    return back


def _no_copy(world):
    world.node.remove(COPY)


def _no_snapshot(world):
    world.node.api.run("DELETE", world.vm(SNAPPED, "/snapshot/two"))


def _snapshot(world):
    """Something to merge: the layers above and below differ."""
    world.node.api.run("POST", world.vm(SNAPPED, "/snapshot"), {"snapname": "two"})
    world.fill(world.path(world.disks(SNAPPED)["scsi0"]), 3)


def _moved_back(world):
    _without("scsi9")(world)
    world.node.api.run("POST", world.vm(DISKS, "/move_disk"), {"disk": "scsi0", "storage": "near", "format": "qcow2", "delete": 1})
    _without("scsi9")(world)


def _no_template(world):
    world.node.remove(FUTURE)
    world.node.create(FUTURE, memory=64, scsi0=f"near:{SIZE},format=qcow2", scsi1=f"near:{SIZE},format=raw")


CONFIG, VM = f"/nodes/{{node}}/qemu/{DISKS}/config", "/nodes/{node}/qemu/"
OPERATIONS = [
    Operation("create-qcow2", "POST", CONFIG, {"scsi5": f"near:{SIZE},format=qcow2"}, _without("scsi5")),
    Operation("create-raw", "POST", CONFIG, {"scsi5": f"near:{SIZE},format=raw"}, _without("scsi5")),
    Operation("import", "POST", CONFIG, {"scsi6": "far:0,import-from=near:import/source.qcow2,format=raw"}, _without("scsi6")),
    Operation("resize-qcow2", "PUT", f"{VM}{DISKS}/resize", {"disk": "scsi0", "size": "+1M"}, is_final=True),
    Operation("resize-raw", "PUT", f"{VM}{DISKS}/resize", {"disk": "scsi1", "size": "+1M"}, is_final=True),
    Operation("resize-solid", "PUT", f"{VM}{DISKS}/resize", {"disk": "scsi2", "size": "+4M"}, is_final=True),
    Operation("snapshot", "POST", f"{VM}{SNAPPED}/snapshot", {"snapname": "two"}, _no_snapshot),
    Operation("rollback", "POST", f"{VM}{SNAPPED}/snapshot/one/rollback"),
    Operation("delete-snapshot", "DELETE", f"{VM}{SNAPPED}/snapshot/two", before=_snapshot, is_final=True),
    Operation("full-clone", "POST", f"{VM}{DISKS}/clone", {"newid": COPY, "full": 1, "storage": "far"}, _no_copy),
    Operation("linked-clone", "POST", f"{VM}{TEMPLATE}/clone", {"newid": COPY}, _no_copy),
    Operation("move", "POST", f"{VM}{DISKS}/move_disk", {"disk": "scsi0", "storage": "far", "format": "raw", "delete": 1}, _moved_back),
    Operation("cloudinit", "PUT", f"{VM}{DISKS}/cloudinit"),
    Operation("template", "POST", f"{VM}{FUTURE}/template", back=_no_template),
]


def settled(node, what, timeout=20):
    """No task is under way any more."""
    wait_for(lambda: not node.api.get("/nodes/{node}/tasks", source="active"), timeout, f"{what}: the tasks to end")


__all__ = ["Node", "World", "OPERATIONS", "settled", "COPY", "DISKS", "SNAPPED", "TEMPLATE", "FUTURE"]
