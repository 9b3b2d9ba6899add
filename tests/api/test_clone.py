"""Clones and templates: what is in the copies' images, what of the configuration is new, what is refused, what kill -9
leaves."""
import os
import subprocess

import requests

from lib.guests import volume_path
from lib.holm import Node
from lib.livedisk import as_guest, open_volumes
from lib.tap import main, test
from lib.wait import wait_for

SOURCE, COPY = 100, 200


def qemu_io(path, command, *options):
    done = subprocess.run(["qemu-io", *options, "-c", command, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def put(node, vmid, byte, key="scsi0"):
    qemu_io(image(node, vmid, key), f"write -P {byte} {byte}M 64k", *raw(node, vmid, key))


def holds(node, vmid, places, key="scsi0"):
    for byte, is_there in places.items():
        qemu_io(image(node, vmid, key), f"read -P {byte if is_there else 0} {byte}M 64k", "-r", *raw(node, vmid, key))


def image(node, vmid, key="scsi0"):
    return volume_path(node, config(node, vmid)[key])


def raw(node, vmid, key):
    return ["-f", "raw"] if image(node, vmid, key).endswith(".raw") else []


def config(node, vmid):
    return node.api.get(f"/nodes/{node.name}/qemu/{vmid}/config")


def clone(node, **params):
    return node.api.run("POST", node.vm(SOURCE, "/clone"), {"newid": COPY, **params})


def files(node, vmid):
    folder = node.path(f"var/storage/local/images/{vmid}")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def make(node, **more):
    node.create(SOURCE, memory=64, scsihw="virtio-scsi-pci", name="first", net0="virtio=BC:24:11:00:00:01",
                smbios1="uuid=11111111-2222-3333-4444-555555555555", **more)


@test(limit=240)
def full(node):
    make(node, scsi0="local:0.03125,format=qcow2,discard=on", scsi1="local:0.03125,format=raw", efidisk0="local:1,efitype=4m",
         bios="ovmf", ide2="none,media=cdrom")
    put(node, SOURCE, 1)
    put(node, SOURCE, 2, "scsi1")
    node.api.refused("POST", node.vm(SOURCE, "/clone"), {"newid": SOURCE}, 500)
    node.api.refused("POST", node.vm(SOURCE, "/clone"), {"newid": COPY, "full": 0}, 500)
    node.api.refused("POST", node.vm(SOURCE, "/clone"), {"newid": COPY, "snapname": "none"}, 500)
    clone(node, name="second", description="a copy")
    old, new = config(node, SOURCE), config(node, COPY)
    assert new["name"] == "second" and new["description"] == "a copy", new
    assert new["net0"] != old["net0"] and new["net0"].startswith("virtio="), new
    assert new["smbios1"] != old["smbios1"] and new["smbios1"].startswith("uuid="), new
    assert new["ide2"] == old["ide2"] and "discard=on" in new["scsi0"] and "size=32M" in new["scsi0"], new
    assert {k: new[k].split(":")[1].split("/")[0] for k in ("scsi0", "scsi1", "efidisk0")} == dict.fromkeys(
        ("scsi0", "scsi1", "efidisk0"), str(COPY)), new
    holds(node, COPY, {1: True, 2: False})
    holds(node, COPY, {2: True, 1: False}, "scsi1")
    put(node, COPY, 3)
    holds(node, SOURCE, {3: False})
    node.remove(SOURCE)
    holds(node, COPY, {1: True, 3: True})
    node.remove(COPY)
    assert not files(node, COPY), files(node, COPY)


@test(limit=240)
def of_snapshots(node):
    """Also of a running guest's; the copy has neither its layers nor its snapshots."""
    make(node, scsi0="local:0.03125,format=qcow2")
    for number in (1, 2):
        put(node, SOURCE, number)
        node.api.run("POST", node.vm(SOURCE, "/snapshot"), {"snapname": f"at{number}"})
    put(node, SOURCE, 3)
    clone(node)
    holds(node, COPY, {1: True, 2: True, 3: True})
    assert len(files(node, COPY)) == 1 and [s["name"] for s in node.api.get(f"/nodes/{node.name}/qemu/{COPY}/snapshot")] == [
        "current"]
    node.remove(COPY)
    node.api.run("POST", node.vm(SOURCE, "/status/start"))
    clone(node, snapname="at1", format="raw")
    assert config(node, COPY)["name"] == "Copy-of-VM-first"
    assert image(node, COPY).endswith(".raw")
    holds(node, COPY, {1: True, 2: False, 3: False})
    node.api.run("POST", node.vm(SOURCE, "/status/stop"))
    node.remove(COPY)
    node.remove(SOURCE)


@test(limit=240)
def of_a_running_guest(node):
    """What it has now, of all its disks at one moment; the guest goes on and keeps what it has."""
    make(node, scsi0="local:0.03125,format=qcow2", scsi1="local:0.03125,format=raw,discard=on")
    node.api.run("POST", node.vm(SOURCE, "/status/start"))
    for key, byte in (("scsi0", 1), ("scsi1", 2)):
        as_guest(node, SOURCE, key, f"write -P {byte} {byte}M 64k", "flush")
    had = open_volumes(node, SOURCE)
    node.api.put(node.vm(SOURCE, "/config"), description="what the copy does not take")
    clone(node, format="qcow2")
    assert "description" not in config(node, COPY) and config(node, COPY)["name"] == "Copy-of-VM-first", config(node, COPY)
    assert node.guest_state(SOURCE) == "running" and open_volumes(node, SOURCE) == had
    assert all(image(node, COPY, key).endswith(".qcow2") for key in ("scsi0", "scsi1"))
    as_guest(node, SOURCE, "scsi0", "write -P 9 5M 64k", "flush")
    holds(node, COPY, {1: True, 5: False})
    holds(node, COPY, {2: True, 1: False}, "scsi1")
    node.remove(COPY)
    # stopped in the middle, and when the original ends
    for end in (lambda upid: node.api.delete("/nodes/{node}/tasks/" + upid), lambda _: node.api.post(node.vm(SOURCE, "/status/stop"))):
        as_guest(node, SOURCE, "scsi1", "write -P 3 8M 16M", "flush")
        upid = node.api.post(node.vm(SOURCE, "/clone"), newid=COPY, bwlimit=256)
        wait_for(lambda: len(open_volumes(node, SOURCE)) == 2 * len(had), 30)
        end(upid)
        status = node.api.wait_task(upid, 60)
        assert status != "OK" and not files(node, COPY), (status, files(node, COPY))
        assert COPY not in [g["vmid"] for g in node.api.get("/nodes/{node}/qemu")]
    wait_for(lambda: node.guest_state(SOURCE) == "stopped", 30)
    node.remove(SOURCE)


@test(limit=240)
def template(node):
    make(node, scsi0="local:0.03125,format=qcow2", scsi1="local:0.03125,format=raw")
    put(node, SOURCE, 1)
    put(node, SOURCE, 2, "scsi1")
    node.api.run("POST", node.vm(SOURCE, "/template"), {})
    assert config(node, SOURCE)["template"] == 1
    assert [r["template"] for r in node.api.get("/cluster/resources", type="vm") if r["vmid"] == SOURCE] == [1]
    for path, params in (("/status/start", {}), ("/template", {}), ("/snapshot", {"snapname": "no"})):
        assert "template" in node.api.outcome("POST", node.vm(SOURCE, path), params), path
    assert "template" in node.api.outcome("PUT", node.vm(SOURCE, "/resize"), {"disk": "scsi0", "size": "+1G"})
    clone(node)
    assert "template" not in config(node, COPY)
    assert all(os.path.getsize(image(node, COPY, key)) < 2**20 for key in ("scsi0", "scsi1"))
    holds(node, COPY, {1: True, 2: False})
    holds(node, COPY, {2: True, 1: False}, "scsi1")
    put(node, COPY, 4)
    holds(node, SOURCE, {4: False})
    node.api.refused("DELETE", node.vm(SOURCE), {}, 500)
    node.api.run("POST", f"/nodes/{node.name}/qemu/{COPY}/snapshot", {"snapname": "mine"})
    put(node, COPY, 5)
    # It runs: its hypervisor opens what it stands on.
    node.api.run("POST", f"/nodes/{node.name}/qemu/{COPY}/status/start")
    node.api.run("DELETE", f"/nodes/{node.name}/qemu/{COPY}/snapshot/mine")
    node.api.run("POST", f"/nodes/{node.name}/qemu/{COPY}/status/stop")
    holds(node, COPY, {1: True, 4: True, 5: True})
    assert len(files(node, COPY)) == 2, files(node, COPY)
    # A full copy stands on nothing.
    node.api.run("POST", f"/nodes/{node.name}/qemu/{COPY}/clone", {"newid": 201, "full": 1})
    node.remove(COPY)
    node.remove(SOURCE)
    holds(node, 201, {1: True, 4: True, 5: True})
    node.remove(201)


@test
def rights(node):
    make(node, scsi0="local:0.03125,format=qcow2")
    for role, is_allowed in (("PVEVMUser", False), ("PVEVMAdmin", True)):
        someone = node.restricted(f"{role.lower()}@pve", **{f"/vms/{SOURCE}": role, f"/vms/{COPY}": role})
        reply = someone.call("POST", node.vm(SOURCE, "/clone"), {"newid": COPY})
        assert reply.status == 403, reply  # neither may take space
        assert ("Datastore" in reply.message) == is_allowed, reply.message
    node.remove(SOURCE)


POINTS = ("qmclone.begin", "guest.copy.begin", "guest.copy.filled", "qmclone.0.done", "qmclone.1.done", "qmclone.commit",
          "qmclone.committed")


@test(limit=300)
def killed():
    with Node() as node:
        make(node, scsi0="local:0.03125,format=qcow2", scsi1="local:0.03125,format=raw")
        put(node, SOURCE, 1)
        for point in POINTS:
            node.restart(HOLM_FP=f"{point}=kill@1")
            try:
                node.api.wait_task(node.api.post(node.vm(SOURCE, "/clone"), newid=COPY), 60)
            except (requests.ConnectionError, requests.Timeout):
                pass
            assert node.wait_dead() == -9, f"{point} was not passed"
            node.start()
            if point == "qmclone.committed":
                holds(node, COPY, {1: True})
                node.remove(COPY)
            wait_for(lambda: not files(node, COPY), 30, f"{point}: {files(node, COPY)}")
            assert [g["vmid"] for g in node.api.get(f"/nodes/{node.name}/qemu")] == [SOURCE], point
        clone(node)
        holds(node, COPY, {1: True})


if __name__ == "__main__":
    main()
