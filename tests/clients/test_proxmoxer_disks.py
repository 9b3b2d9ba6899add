"""proxmoxer, unchanged, and the disks of a Linux that really runs: files on its ext4 are compared inside, by their SHA-256,
after snapshots with and without memory, rollback, clones, a template, another storage and format, another size. The file
system is frozen by Debian's guest agent for a snapshot, which then needs no recovery."""
import os
import re
import shutil
import subprocess
import time

import urllib3
from proxmoxer import ProxmoxAPI, ResourceException

from lib import guests
from lib.holm import PASSWORD
from lib.proxy import Proxy
from lib.tap import main, test
from lib.wait import wait_for

urllib3.disable_warnings()
VM, FULL, LINKED = 100, 200, 201
MIB = 1 << 20
INITRD = "files.img"
SUMS = "cd /data && sha256sum $(find . -type f ! -path './lost+found*' | sort)"


class Session:
    def __init__(self, node, proxy):
        self.node = node
        self.api = ProxmoxAPI("127.0.0.1", port=proxy.port, verify_ssl=False, user="admin@pve", password=PASSWORD)
        self.host = self.api.nodes(node.name)

    def done(self, upid):
        """Waits as the Ansible modules do; the task's log."""
        def is_done():
            status = self.host.tasks(upid).status.get()
            return status["status"] == "stopped" and status
        status = wait_for(is_done, 120, f"task {upid}", step=0.05)
        log = [line["t"] for line in self.host.tasks(upid).log.get(limit=0)]
        assert status["exitstatus"] == "OK", (upid, status, log)
        return log


class Guest:
    def __init__(self, session, vmid):
        self.session, self.vmid = session, vmid
        self.vm = session.host.qemu(vmid)

    def disk(self):
        volume = self.vm.config.get()["scsi0"].split(",")[0]
        return self.session.host.storage(volume.split(":")[0]).content(volume).get()["path"]

    def run(self, command):
        """In the guest, by its agent."""
        pid = self.vm.agent("exec").post(command=["/bin/sh", "-c", command])["pid"]
        ended = wait_for(lambda: (s := self.vm.agent("exec-status").get(pid=pid))["exited"] and s, 60, command, step=0.05)
        assert ended["exitcode"] == 0, (command, ended)
        return ended.get("out-data", "")

    def start(self):
        self.session.done(self.vm.status.start.post())
        self.wait_agent()
        self.mount()

    def answers(self):
        try:
            return self.vm.agent("ping").post() == {"result": {}}
        except ResourceException as e:
            assert "is not running" in str(e) or "got timeout" in str(e), e
            return False

    def wait_agent(self):
        wait_for(self.answers, 120, "the guest's agent", step=0.2)

    def mount(self):
        self.run("for m in $(cat /more/order); do insmod /more/$m 2>/dev/null; done; mkdir -p /data; "
                 "for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /dev/sda ] && break; sleep 1; done; mount -t ext4 /dev/sda /data")

    def stop(self):
        self.session.done(self.vm.status.stop.post())

    def sums(self):
        self.run("echo 3 > /proc/sys/vm/drop_caches")
        return self.run(SUMS)

    def change(self, text):
        """New, other and fewer files; what they are then, on the disk."""
        self.run(f"cd /data; for i in 1 2 3 4 5 6; do head -c 70001 /dev/urandom > {text}$i; done; echo {text} > same; rm -f *3; sync")
        return self.sums()

    def mebibytes(self):
        return int(self.run("df -m /data | tail -n 1 | awk '{print $2}'"))

    def remove(self):
        if self.vm.status.current.get()["status"] == "running":
            self.stop()
        self.session.done(self.vm.delete())


def make(node, session):
    guests.install_agent(node)
    target = node.path("var/storage/local/boot", INITRD)
    shutil.copyfile(node.path("var/storage/local/boot/initrd.img"), target)
    guests.add_to_initrd(target, modules=("ext4",), programs=("resize2fs",))
    source = node.path("var/storage/local/import/files.raw")
    os.makedirs(os.path.dirname(source), exist_ok=True)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", source, "96M"], check=True)
    session.api.storage.post(storage="other", type="dir", path=f"{node.base}/other", content="images")
    config = {**guests.DEMO, "initrd": f"local:boot/{INITRD}", "memory": 192}
    session.done(session.host.qemu.post(vmid=VM, name="files", agent=1, scsihw="virtio-scsi-pci", vga="none",
                                        scsi0="local:0,import-from=local:import/files.raw,format=qcow2,discard=on", **config))
    return Guest(session, VM)


def needs_recovery(session, snapname):
    """Of a file system as the snapshot has it: what a copy of it says."""
    session.done(session.host.qemu(VM).clone.post(newid=FULL, snapname=snapname, full=1, format="raw"))
    copy = Guest(session, FULL)
    header = subprocess.run(["dumpe2fs", "-h", copy.disk()], capture_output=True, text=True, check=True).stdout
    checked = subprocess.run(["fsck.ext4", "-f", "-n", copy.disk()], capture_output=True, text=True, check=False)
    needed = "needs_recovery" in header
    assert needed or checked.returncode == 0, checked.stdout
    copy.remove()
    return needed


def snapshots(session, guest):
    """With the file system frozen; without, because the agent does not answer; with memory, and what ran then."""
    first = guest.change("first")
    log = session.done(guest.vm.snapshot.post(snapname="frozen", description="by its agent"))
    assert any("frozen" in line for line in log) and not any("WARN" in line for line in log), log
    assert guest.vm.agent("fsfreeze-status").post() == {"result": "thawed"}
    second = guest.change("second")
    assert second != first
    guest.run("(i=0; while :; do i=$((i+1)); echo $i > /tmp/count; usleep 20000; done) > /dev/null 2>&1 & echo $! > /tmp/pid")
    boot, pid = guest.run("cat /proc/sys/kernel/random/boot_id"), guest.run("cat /tmp/pid").strip()
    session.done(guest.vm.snapshot.post(snapname="ram", vmstate=1))
    guest.run(f"kill {pid}; rm /tmp/pid")
    guest.change("third")
    assert {s["name"]: s.get("parent") for s in guest.vm.snapshot.get()} == {"frozen": None, "ram": "frozen", "current": "ram"}

    session.done(guest.vm.snapshot("ram").rollback.post())
    guest.wait_agent()
    assert guest.run("cat /proc/sys/kernel/random/boot_id") == boot, "it was started again"
    again = int(wait_for(lambda: guest.run("cat /tmp/count").strip(), 20))
    assert guest.run("cat /tmp/pid").strip() == pid
    wait_for(lambda: int(guest.run("cat /tmp/count").strip() or 0) > again, 20, "the program to go on")
    assert guest.sums() == second

    session.done(guest.vm.snapshot("frozen").rollback.post(start=1))
    guest.wait_agent()
    guest.mount()
    assert guest.run("cat /proc/sys/kernel/random/boot_id") != boot and guest.sums() == first
    return first


def frozen_or_not(session, guest):
    """The agent stops answering: the snapshot is what a power cut would have left, and its task says so."""
    guest.change("later")
    guest.run("(sleep 1; kill -STOP $(pidof qemu-ga)) > /dev/null 2>&1 &")
    wait_for(lambda: not guest.answers(), 60, "the agent to be silent")
    upid = guest.vm.snapshot.post(snapname="cut")
    status = wait_for(lambda: (s := session.host.tasks(upid).status.get())["status"] == "stopped" and s, 60, step=0.1)
    log = [line["t"] for line in session.host.tasks(upid).log.get(limit=0)]
    assert status["exitstatus"].startswith("WARNINGS") and any("does not answer" in line for line in log), (status, log)
    assert needs_recovery(session, "cut") and not needs_recovery(session, "frozen")
    for name in ("cut", "ram"):
        session.done(guest.vm.snapshot(name).delete())
    session.done(guest.vm.snapshot("frozen").rollback.post())


def copies(session, guest, first):
    """Full and linked, booted: the same files, and what they write is theirs."""
    session.done(guest.vm.snapshot("frozen").delete())
    session.done(guest.vm.clone.post(newid=FULL, name="full", full=1, storage="other", format="raw"))
    full = Guest(session, FULL)
    full.start()
    assert full.sums() == first
    changed = full.change("full")
    full.stop()
    session.done(guest.vm.template.post())
    session.done(guest.vm.clone.post(newid=LINKED, name="linked"))
    linked = Guest(session, LINKED)
    assert os.stat(linked.disk()).st_blocks * 512 < MIB
    linked.start()
    assert linked.sums() == first and changed != first
    linked.change("linked")
    return full, linked, changed


def other_storage_and_size(session, guest, held):
    """guest is off, its disk raw and elsewhere: home again as qcow2, larger, and larger still while it runs."""
    session.done(guest.vm.move_disk.post(disk="scsi0", storage="local", format="qcow2", delete=1))
    assert guest.disk().endswith(".qcow2") and f"/{guest.vmid}/" in guest.disk()
    session.done(guest.vm.resize.put(disk="scsi0", size="+32M"))
    assert "size=128M" in guest.vm.config.get()["scsi0"]
    guest.start()
    assert guest.sums() == held
    before = guest.mebibytes()
    grow = "LD_LIBRARY_PATH=/more/lib /more/bin/resize2fs /dev/sda 2>&1"
    guest.run(grow)
    stopped = guest.mebibytes()
    session.done(guest.vm.resize.put(disk="scsi0", size="192M"))
    wait_for(lambda: guest.run("cat /sys/block/sda/size").strip() == str(192 * 2048), 20, "the guest to see its disk grow")
    guest.run(grow)
    assert before < stopped - 20 < guest.mebibytes() - 60, (before, stopped, guest.mebibytes())
    assert guest.sums() == held


def trim(guest):
    """What the guest no longer uses goes back to the host."""
    guest.run("head -c 50331648 /dev/urandom > /data/large; sync")
    used = os.stat(guest.disk()).st_blocks * 512
    guest.run("rm /data/large; sync; fstrim /data")

    def is_smaller():
        return os.stat(guest.disk()).st_blocks * 512 < used - 40 * MIB
    wait_for(is_smaller, 30, f"the file to be smaller than {used} bytes: {os.stat(guest.disk()).st_blocks * 512}", step=0.2)


@test(limit=600)
def files_of_a_linux(node):
    with Proxy(node) as proxy:
        began = time.monotonic()

        def step(name):
            print(f"# {name} at {time.monotonic() - began:.0f} s", flush=True)
        session = Session(node, proxy)
        guest = make(node, session)
        step("start")
        guest.start()
        step("snapshots")
        first = snapshots(session, guest)
        step("frozen or not")
        frozen_or_not(session, guest)
        step("copies")
        full, linked, changed = copies(session, guest, first)
        linked.remove()
        step("another storage, another size")
        other_storage_and_size(session, full, changed)
        trim(full)
        checked = full.disk()
        full.run("umount /data")
        full.stop()
        assert subprocess.run(["qemu-img", "check", "-q", checked], check=False).returncode == 0
        raw = f"{node.base}/end.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", checked, raw], check=True)
        fsck = subprocess.run(["fsck.ext4", "-f", "-n", raw], capture_output=True, text=True, check=False)
        assert fsck.returncode == 0 and re.search(r"\d+/\d+ files", fsck.stdout), fsck.stdout
        full.remove()
        guest.remove()
        assert node.images() == [] and not os.listdir(f"{node.base}/other/images")


if __name__ == "__main__":
    main()
