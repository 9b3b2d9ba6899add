"""Storages that become full while guests write: the guests stand still ("io-error"), go on when there is room, by
themselves or when somebody says so, and notice nothing."""
import os
import subprocess

from lib import smallfs
from lib.console import Console
from lib.guests import boot_sector
from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

MIB = 1 << 20
# The one that somebody pauses, and two that nobody looks after; the second has a snapshot: what it writes makes an overlay grow.
PAUSED, PLAIN, SNAPPED = 100, 101, 102
FORMATS = {PAUSED: "raw", PLAIN: "qcow2", SNAPPED: "qcow2"}
SIZE = 16 * MIB


def qmp_status(node, vmid):
    status = node.api.get(node.vm(vmid, "/status/current"))
    assert status["status"] == "running", status
    return status["qmpstatus"]


def becomes(node, vmid, wanted, timeout=90):
    wait_for(lambda: qmp_status(node, vmid) == wanted, timeout, f"guest {vmid} to be {wanted}", step=0.1)


def image(small, vmid):
    return os.path.join(small, "images", str(vmid), f"vm-{vmid}-disk-0.{FORMATS[vmid]}")


def make(node, small):
    node.api.post("/storage", storage="small", type="dir", path=small, content="images")
    with open(node.base + "/sector", "wb") as f:
        f.write(boot_sector("fillguest", "system"))
    for vmid, form in FORMATS.items():
        node.create(vmid, memory=64, serial0="socket", boot="order=scsi0", scsihw="virtio-scsi-pci",
                    scsi0=f"small:{SIZE / (1 << 30)},format={form}")
        subprocess.run(["qemu-io", "-f", form, "-c", f"write -s {node.base}/sector 0 512", "-c", "write -P 77 1M 3M", image(small, vmid)],
                       check=True, stdout=subprocess.DEVNULL)
        node.api.run("POST", node.vm(vmid, "/status/start"))
    for vmid in FORMATS:
        with Console(node.api, node.vm(vmid)) as c:
            c.expect("disk guest is up", 90)
    node.api.run("POST", node.vm(SNAPPED, "/snapshot"), {"snapname": "before"})


def tasks(node, vmid):
    return [(t["user"], t.get("status")) for t in node.api.get("/nodes/{node}/tasks", vmid=vmid, typefilter="qmresume")]


def ends_well(node, vmid):
    """The guest has written all of it and was not told of any error."""
    with Console(node.api, node.vm(vmid)) as c:
        c.expect("written", 90)
        assert "an error" not in c.text


def holds_all(small, vmid):
    form, path = FORMATS[vmid], image(small, vmid)
    if form == "qcow2":
        subprocess.run(["qemu-img", "check", "-q", "-f", form, path], check=True)
    subprocess.run(["qemu-img", "convert", "-f", form, "-O", "raw", path, small + ".raw"], check=True)
    with open(small + ".raw", "rb") as f:
        found = f.read()
    below = bytearray(SIZE)
    below[:512] = boot_sector("fillguest", "system")
    below[MIB:4 * MIB] = b"M" * (3 * MIB)
    below[2 * MIB:10 * MIB] = b"".join(bytes([n]) * 32768 for n in range(256))
    assert found == below, f"guest {vmid}: first difference at {next(i for i in range(SIZE) if found[i] != below[i])}"


@test(limit=300)
def stands_still_and_goes_on():
    node = Node()
    small = os.path.join(node.base, "small")
    os.mkdir(small)
    smallfs.ext4(small, 96)  # before holmd, which has mounts of its own
    with node:
        make(node, small)
        smallfs.leave(small, MIB)
        for vmid in FORMATS:
            with Console(node.api, node.vm(vmid)) as c:
                c.type("w")
                becomes(node, vmid, "io-error")
        # Resumed too early it tries again, and stands still again.
        node.api.run("POST", node.vm(PAUSED, "/status/resume"))
        becomes(node, PAUSED, "io-error")
        node.api.run("POST", node.vm(PAUSED, "/status/suspend"))
        becomes(node, PAUSED, "paused")
        node.restart(is_killed=True)
        for vmid, status in ((PLAIN, "io-error"), (SNAPPED, "io-error"), (PAUSED, "paused")):
            becomes(node, vmid, status)
        assert tasks(node, PLAIN) == [] and tasks(node, PAUSED), (tasks(node, PLAIN), tasks(node, PAUSED))
        smallfs.leave(small, None)
        for vmid in (PLAIN, SNAPPED):
            becomes(node, vmid, "running")
            assert tasks(node, vmid) == [("root@pam", "OK")], tasks(node, vmid)
            ends_well(node, vmid)
        assert node.log().count("has room again") == 2
        # Who paused it decides when it goes on.
        assert qmp_status(node, PAUSED) == "paused" and len(tasks(node, PAUSED)) == 1
        node.api.run("POST", node.vm(PAUSED, "/status/resume"))
        ends_well(node, PAUSED)
        for vmid in FORMATS:
            node.api.run("POST", node.vm(vmid, "/status/stop"))
            holds_all(small, vmid)
            node.remove(vmid)


if __name__ == "__main__":
    main()
