"""What a running guest takes at once: sizes, drives, interfaces, media, keys; seen from inside through its console."""
import os
import re

from lib.console import Console
from lib.guests import DEMO, install_demo, volume_path
from lib.terminal import Terminal
from lib.tap import main, test
from lib.wait import wait_for

VM = 100
MAC1, MAC2 = "BC:24:11:00:00:11", "BC:24:11:00:00:12"


def config(node, vmid=VM):
    return node.api.get(node.vm(vmid, "/config"))


def pending(node, vmid=VM):
    return {row["key"]: row for row in node.api.get(node.vm(vmid, "/pending")) if "pending" in row or "delete" in row}


def boot(node, vmid=VM, **more):
    install_demo(node)
    node.create(vmid, **{**DEMO, "virtio0": "local:0.03125,format=raw", "scsihw": "virtio-scsi-pci", "scsi0": "local:0.03125",
                         "scsi1": "local:0.03125,format=qcow2", "ide2": "none,media=cdrom", **more})
    node.api.run("POST", node.vm(vmid, "/status/start"))


@test(limit=240)
def running_guest_changes(node):
    """One guest, one console, everything that can change while it runs."""
    boot(node, net0=f"virtio={MAC1}")
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        shell.login()
        assert shell.sectors("vda") == 65536
        resizes(node, shell)
        disks_come_and_go(node, shell)
        interfaces_come_and_go(node, shell)
        media(node)
        what_waits(node)
        keys_and_monitor(node)
        status_tells(node)
        adoption(node)
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        node.api.put(node.vm(VM, "/config"), delete="virtio3")
        assert shell.run("ls /sys/block").count("vd") == 1
    node.remove(VM)
    assert not node.images(), node.images()


def resizes(node, shell):
    resize = node.vm(VM, "/resize")
    node.api.run("PUT", resize, {"disk": "virtio0", "size": "+16M"})
    assert "size=48M" in config(node)["virtio0"]
    wait_for(lambda: shell.sectors("vda") == 98304, 10)
    node.api.run("PUT", resize, {"disk": "scsi1", "size": "64M"})
    assert "size=64M" in config(node)["scsi1"]
    shell.run("for d in /sys/block/sd*/device/rescan; do echo 1 >$d; done")
    assert 131072 in (shell.sectors("sda"), shell.sectors("sdb"))
    assert os.path.getsize(volume_path(node, config(node)["virtio0"])) == 48 << 20
    node.api.refused("PUT", resize, {"disk": "virtio0", "size": "1M"}, 500, "shrinking disks is not supported")
    node.api.refused("PUT", resize, {"disk": "virtio5", "size": "1G"}, 500, "disk 'virtio5' does not exist")
    node.api.refused("PUT", resize, {"disk": "ide2", "size": "+1G"}, 500, "can't resize a cdrom")
    node.api.refused("PUT", resize, {"disk": "virtio0", "size": "+1G", "digest": "0" * 40}, 500, "detected modified")
    node.api.refused("PUT", resize, {"disk": "virtio0", "size": "many"}, 400, param="size")


def disks_come_and_go(node, shell):
    put = node.vm(VM, "/config")
    node.api.put(put, virtio1="local:0.0625,format=raw,serial=plugged")
    assert "virtio1" not in pending(node)
    wait_for(lambda: shell.sectors("vdb") == 131072, 15)
    assert shell.run("cat /sys/block/vdb/serial").strip() == "plugged"
    assert shell.run("dd if=/dev/zero of=/dev/vdb bs=64k count=4 2>/dev/null && echo wrote").strip() == "wrote"
    node.api.put(put, scsi3="local:0.0625,format=qcow2,iops=1000")
    assert wait_for(lambda: "sdc" in shell.run("ls /sys/block"), 15)
    # Away again; the volumes stay as unused.
    node.api.put(node.vm(VM, "/unlink"), idlist="virtio1,scsi3")
    now = config(node)
    assert "virtio1" not in now and "scsi3" not in now and not pending(node), now
    assert sum(k.startswith("unused") for k in now) == 2, now
    assert not {"vdb", "sdc"} & set(shell.run("ls /sys/block").split())
    # Back at another address, then away for good.
    volume = next(v for k, v in now.items() if k.startswith("unused") and ".raw" in v)
    node.api.put(put, virtio2=volume)
    wait_for(lambda: shell.sectors("vdb") == 131072, 15)
    node.api.put(node.vm(VM, "/unlink"), idlist="virtio2")
    for key in [k for k in config(node) if k.startswith("unused")]:
        node.api.put(node.vm(VM, "/unlink"), idlist=key, force=1)
    assert not any(k.startswith("unused") for k in config(node))
    node.api.refused("PUT", node.vm(VM, "/unlink"), {"idlist": "cores"}, 400, param="idlist")


def interfaces_come_and_go(node, shell):
    put = node.vm(VM, "/config")
    node.api.put(put, net1=f"virtio={MAC2}")
    assert "net1" not in pending(node)
    wait_for(lambda: MAC2.lower() in shell.run("cat /sys/class/net/*/address"), 15)
    name = shell.run(f"grep -l {MAC2.lower()} /sys/class/net/*/address").strip().split("/")[-2]
    shell.run(f"ip link set {name} up")
    wait_for(lambda: shell.run(f"cat /sys/class/net/{name}/carrier").strip() == "1", 10)
    node.api.put(put, net1=f"virtio={MAC2},link_down=1")
    assert not pending(node) and "link_down=1" in config(node)["net1"]
    wait_for(lambda: shell.run(f"cat /sys/class/net/{name}/carrier").strip() == "0", 10)
    node.api.put(put, delete="net1")
    assert "net1" not in config(node) and not pending(node)
    assert MAC2.lower() not in shell.run("cat /sys/class/net/*/address")


def media(node):
    put = node.vm(VM, "/config")
    folder = node.path("var/storage/local/template/iso")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "a.iso"), "wb") as f:
        f.write(b"holm" * 512 * 1024)
    node.api.put(put, ide2="local:iso/a.iso,media=cdrom")
    assert not pending(node)
    assert "ide2" in node.api.post(node.vm(VM, "/monitor"), command="info block")
    blocks = node.api.post(node.vm(VM, "/monitor"), command="info block")
    assert re.search(r"ide2.*fdset", blocks.replace("\r\n", " ")), blocks
    node.api.put(put, ide2="none,media=cdrom")
    blocks = node.api.post(node.vm(VM, "/monitor"), command="info block")
    assert "[not inserted]" in blocks, blocks


def what_waits(node):
    """A change that only a start can make waits for it, and hotplug=0 makes all wait."""
    put = node.vm(VM, "/config")
    node.api.put(put, memory=512)
    node.api.put(put, sata3="local:0.03125,format=raw")
    assert set(pending(node)) >= {"memory", "sata3"}, pending(node)
    node.api.put(put, hotplug="0")
    node.api.put(put, net2=f"virtio={MAC2}")
    assert "net2" in pending(node)
    node.api.put(put, revert="net2,memory")
    node.api.put(put, hotplug="network,disk,usb")
    # A device of the first start sits on a root bus that lets nothing go: the removal waits, without an error.
    node.api.put(put, delete="net0")
    assert "net0" in pending(node)
    node.api.put(put, revert="net0,sata3")


def keys_and_monitor(node):
    send, ask = node.vm(VM, "/sendkey"), node.vm(VM, "/monitor")
    node.api.put(send, key="ctrl-alt-f1")
    node.api.put(send, key="ret")
    node.api.refused("PUT", send, {"key": "nosuchkey"}, 500, "QEMU")
    for bad in ("", "a--b", "a-", "A", "ret\n"):
        node.api.refused("PUT", send, {"key": bad}, 400, param="key")
    assert "VM status: running" in node.api.post(ask, command="info status")
    node.api.refused("POST", ask, {"command": "quit"}, 403)
    node.api.refused("POST", ask, {"command": "information"}, 403)
    user = node.restricted("looker@pve", **{f"/vms/{VM}": "PVEVMUser"})
    user.refused("POST", ask, {"command": "info status"}, 403)
    node.api.post("/access/roles", roleid="Asker", privs="Sys.Audit")
    asker = node.restricted("asker@pve", **{f"/vms/{VM}": "Asker"})
    assert "running" in asker.post(ask, command="info status")
    asker.refused("POST", ask, {"command": "stop"}, 403)
    asker.refused("PUT", send, {"key": "ret"}, 403)
    asker.refused("POST", ask, {"command": "info status\nquit"}, 400, param="command")


def status_tells(node):
    status = wait_for(lambda: (lambda s: s if "running-qemu" in s else None)(
        node.api.get(node.vm(VM, "/status/current"))), 20)
    assert re.fullmatch(r"\d+\.\d+\.\d+", status["running-qemu"]), status
    assert status["ballooninfo"]["actual"] == 256 << 20
    assert status["memhost"] > 1 << 20 and status["nics"] == {}, status  # in user mode nothing is counted
    assert {"virtio0", "scsi0", "scsi1"} <= set(status["blockstat"]), status["blockstat"]
    assert status["blockstat"]["virtio0"]["rd_bytes"] > 0
    assert node.api.get(node.vm(VM, "/feature"), feature="snapshot") == {"hasFeature": 0, "nodes": []}
    node.api.refused("GET", node.vm(VM, "/feature"), {"feature": "fly"}, 400, param="feature")
    here, = node.api.get(node.vm(VM, "/snapshot"))
    assert (here["name"], here["running"], here["digest"]) == ("current", 1, node.api.get(node.vm(VM, "/config"))["digest"])
    node.api.refused("GET", node.vm(999, "/snapshot"), {}, 500, "does not exist")


def adoption(node):
    """What came while it ran is there for the next holmd, and can go."""
    node.api.put(node.vm(VM, "/config"), virtio3="local:0.0625,format=raw")
    node.restart(is_killed=True)
    wait_for(lambda: node.guest_state(VM) == "running", 20)
    now = config(node)
    assert "virtio3" in now and not pending(node), now


@test(limit=60)
def stopped_guest_resizes(node):
    node.create(110, memory=64, scsi0="local:0.03125,format=raw", scsi1="local:0.03125,format=qcow2")
    for disk in ("scsi0", "scsi1"):
        node.api.run("PUT", node.vm(110, "/resize"), {"disk": disk, "size": "+1.5G"})
        assert "size=1568M" in config(node, 110)[disk], config(node, 110)[disk]
    path = volume_path(node, config(node, 110)["scsi1"])
    assert '"virtual-size": 1644167168' in os.popen(f"qemu-img info --output=json {path}").read()
    assert os.system(f"qemu-img check -q {path}") == 0
    upid = node.api.put(node.vm(110, "/resize"), disk="scsi1", size="5000G")
    assert "while its guest runs" in node.api.wait_task(upid)
    # The plan is over; then the true size is looked at and written down.
    wait_for(lambda: [v for v in config(node, 110).values() if "size=1568M" in str(v)][1:], 20, "the true size")
    node.api.refused("PUT", node.vm(110, "/sendkey"), {"key": "ret"}, 500, "not running")
    node.api.refused("POST", node.vm(110, "/monitor"), {"command": "info status"}, 500, "not running")
    node.api.refused("PUT", node.vm(110, "/unlink"), {"idlist": "scsi7x"}, 400)
    node.remove(110)


main()
