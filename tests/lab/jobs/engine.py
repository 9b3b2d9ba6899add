"""Part of engine.sh: holmd in the outer machine and a guest with engine=vmm, from its creation to its removal."""
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import traceback

import requests
import urllib3
from proxmoxer import ProxmoxAPI
from proxmoxer.core import ResourceException

urllib3.disable_warnings()
ROOT, LAB, CMDLINE, VMM = sys.argv[1:]
VMID, PASSWORD = 100, secrets.token_hex(12)
BOOT_LIMIT = 150
BEGAN = time.monotonic()
SLOW, LATE_STATUS = int(os.environ["SLOW"]), 75  # as in lib.sh


def step(text):
    print(f"--- at {time.monotonic() - BEGAN:.0f} s: {text}", flush=True)


def holm(*args, **options):
    return subprocess.run(["holm", "--root", ROOT, *args], check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def late(what):
    """What was waited for did not come: not a wrong answer."""
    traceback.print_stack()
    print(f"LATE {what}", file=sys.stderr)
    sys.exit(LATE_STATUS)


def wait_until(condition, what, limit=60):
    deadline = time.monotonic() + limit * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            late(what)
        time.sleep(0.2)


class Daemon:
    def __init__(self):
        self.log = open("holmd.log", "ab")
        self.start()

    def start(self):
        self.process = subprocess.Popen(["holmd", "--root", ROOT, "--listen", "127.0.0.1:8006", "--node", "lab"], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        wait_until(self.is_up, "holmd answers")

    def is_up(self):
        assert self.process.poll() is None, "holmd ended"
        return subprocess.run(["holm", "--root", ROOT, "api", "GET", "/version"], check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.terminate()
        assert self.process.wait(60) == 0


class Console:
    """The guest's serial console, of now and of the past; `holm vm console` through pipes."""

    def __init__(self):
        self.process = subprocess.Popen(["holm", "--root", ROOT, "vm", "console", str(VMID), "--idle", "1000"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.text, self.is_over = b"", False
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            data = self.process.stdout.read1(4096)
            if not data:
                self.is_over = True
                return
            self.text += data

    def wait(self, marker, limit=60, times=1):
        deadline = time.monotonic() + limit * SLOW
        while self.text.count(marker) < times:
            assert not self.is_over, f"the console ended without {marker!r}: {self.text[-2000:]!r}"
            if time.monotonic() > deadline:
                late(f"the guest's {marker!r}: {self.text[-2000:]!r}")
            time.sleep(0.1)

    def type(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, command, answer):
        """The answer is not in the command, so its echo is none."""
        self.type(command)
        self.wait(answer.encode())

    def close(self):
        self.process.kill()
        self.process.wait()


class Guest:
    def __init__(self, api):
        self.node = api.nodes("lab")
        self.api = self.node.qemu(VMID)
        self.console = None

    def finish(self, upid, limit=90, status="OK"):
        """Waits for a task as the Ansible modules do; its log."""
        def ended():
            return self.node.tasks(upid).status.get()["status"] == "stopped"
        wait_until(ended, f"task {upid}", limit)
        log = [line["t"] for line in self.node.tasks(upid).log.get()]
        assert self.node.tasks(upid).status.get()["exitstatus"] == status, log
        return log

    def status(self):
        try:
            return self.api.status.current.get()
        except requests.exceptions.ConnectionError:
            return self.api.status.current.get()  # the daemon had closed a connection that was idle while the guest booted

    def pid(self):
        """Of holm-vmm."""
        return self.status()["pid"]

    def boot(self):
        log = self.finish(self.api.status.start.post())
        assert any("holm-vmm" in line for line in log), log
        self.attach()

    def attach(self):
        if self.console:
            self.console.close()
        self.console = Console()
        self.console.wait(b"INIT_REACHED", BOOT_LIMIT)
        self.status()

    def listen_to_button(self):
        """The shell of the guest turns it off when the power button is pressed."""
        self.console.ask("for e in /dev/input/event*; do (dd if=$e bs=24 count=1 >/dev/null 2>&1 && poweroff -f) & done; echo heard=$((1+1))",
                         "heard=2")


def vmm_has(option):
    return f"--{option} " in subprocess.run([VMM, "run", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout


def create(guest):
    config = {"vmid": VMID, "name": "inner", "engine": "vmm", "memory": 256, "cores": 2, "serial0": "socket", "rng0": "source=/dev/urandom",
              "kernel": "local:boot/vmlinuz", "initrd": "local:boot/initrd.img", "cmdline": CMDLINE, "virtio0": "local:1,format=raw,serial=first",
              "virtio1": "local:cloudinit", "ciuser": "inner"}
    if not vmm_has("balloon"):
        config["balloon"] = 0
    if vmm_has("net"):
        config["net0"] = "virtio,bridge=vmbr0"
    guest.finish(guest.node.qemu.create(**config))
    assert guest.api.config.get()["engine"] == "vmm"


def refused(guest, key, value):
    try:
        guest.api.config.put(**{key: value})
    except ResourceException as e:
        assert e.status_code == 400 and key in str(e), e
    else:
        raise AssertionError(f"{key}={value} was accepted")


def test_refusals(guest):
    step("what the engine refuses")
    for key, value in (("vga", "std"), ("agent", "1"), ("ide2", "none,media=cdrom"), ("net1", "virtio"), ("bios", "ovmf"), ("cpu", "kvm64")):
        refused(guest, key, value)


def test_cloudinit(guest):
    """A disk that cannot be written to, with the label and the file that cloud-init looks for."""
    step("the cloud-init drive")
    assert "vm-100-cloudinit.raw,media=cdrom,size=4M" in guest.api.config.get()["virtio1"]
    guest.console.ask("echo label=$(dd if=/dev/vdb bs=1 skip=32808 count=6 2>/dev/null).", "label=cidata.")
    guest.console.ask("echo users=$(grep -a -c '^user: inner' /dev/vdb).", "users=1.")
    guest.console.ask("echo ro=$(cat /sys/block/vdb/ro).", "ro=1.")
    try:
        guest.api.cloudinit.put()
    except ResourceException as e:
        assert "next time" in str(e), e
    else:
        raise AssertionError("the medium of a running guest was changed")


def test_running(guest):
    step("console, counters, a disk that grows")
    guest.boot()
    console = guest.console
    console.ask("echo cpus=$(grep -c ^processor /proc/cpuinfo).", "cpus=2.")
    console.ask("echo serial=$(cat /sys/block/vda/serial).", "serial=first.")
    console.ask("dd if=/dev/vda of=/dev/null bs=1M count=8 2>/dev/null; echo read=$?.", "read=0.")
    console.ask("dd if=/dev/urandom of=/dev/vda bs=1M count=2 2>/dev/null; sync; echo written=$?.", "written=0.")
    wait_until(lambda: guest.status()["diskread"] >= 8 << 20 and guest.status()["diskwrite"] >= 2 << 20, "the counters of the disk")
    status = guest.status()
    assert status["status"] == "running" and status["qmpstatus"] == "running" and status["mem"] > 0 and status["uptime"] > 0, status
    wait_until(lambda: guest.status()["cpu"] > 0, "the time of the processor")
    assert guest.api.termproxy.post()["ticket"]
    assert isinstance(guest.api.rrddata.get(timeframe="hour"), list)
    console.ask("echo sectors=$(cat /sys/block/vda/size).", "sectors=2097152.")
    guest.finish(guest.api.resize.put(disk="virtio0", size="+1G"))
    assert "size=2G" in guest.api.config.get()["virtio0"]
    wait_until(lambda: (console.type("echo sectors=$(cat /sys/block/vda/size)."), time.sleep(1), b"sectors=4194304." in console.text)[-1],
               "the guest sees its disk grow")


def test_suspend_and_reset(guest):
    step("suspend, resume, reset")
    guest.finish(guest.api.status.suspend.post())
    wait_until(lambda: guest.status()["qmpstatus"] == "paused", "paused")
    guest.console.type("echo awake=$((40+2)).")
    time.sleep(2)
    assert b"awake=42." not in guest.console.text
    guest.finish(guest.api.status.resume.post())
    guest.console.wait(b"awake=42.")
    assert guest.status()["qmpstatus"] == "running"
    pid = guest.pid()
    guest.finish(guest.api.status.reset.post())
    guest.console.wait(b"INIT_REACHED", BOOT_LIMIT, times=2)
    assert guest.pid() == pid


def test_adoption(guest, daemon):
    step("kill -9 of holmd: the guest goes on and is found again")
    pid, uptime = guest.pid(), guest.status()["uptime"]
    daemon.kill()
    time.sleep(1)
    os.kill(pid, 0)
    daemon.start()
    wait_until(lambda: guest.status()["status"] == "running", "adoption")
    assert guest.pid() == pid and guest.status()["uptime"] >= uptime
    guest.attach()
    guest.console.ask("echo adopted=$((40+3)).", "adopted=43.")
    wait_until(lambda: guest.status()["diskread"] > 0, "counters after adoption")


def test_ends(guest):
    step("shutdown and reboot by the power button")
    guest.listen_to_button()
    pid = guest.pid()
    guest.finish(guest.api.status.reboot.post(timeout=60))
    wait_until(lambda: guest.status()["qmpstatus"] == "running" and guest.pid() not in (0, pid), "the guest after its reboot")
    guest.attach()
    guest.listen_to_button()
    guest.finish(guest.api.status.shutdown.post(timeout=60))
    assert guest.status()["status"] == "stopped"
    step("a guest that does not listen: forceStop")
    guest.boot()
    guest.finish(guest.api.status.shutdown.post(timeout=4, forceStop=1))
    assert guest.status()["status"] == "stopped"
    step("stop; kill -9 of holm-vmm")
    guest.finish(guest.api.status.start.post())
    guest.finish(guest.api.status.stop.post())
    assert guest.status()["status"] == "stopped"
    guest.finish(guest.api.status.start.post())
    os.kill(guest.pid(), signal.SIGKILL)
    wait_until(lambda: guest.status()["status"] == "stopped", "the guest is known to be gone")


def main():
    daemon = Daemon()
    try:
        with open("password", "w", encoding="utf-8") as f:
            f.write(PASSWORD + "\n")
        holm("user", "create", "admin@pve", "--role", "Administrator", "--password-file", "password")
        for name in ("vmlinuz", "initrd.img"):
            holm("storage", "upload", f"{LAB}/{name}", "--content", "boot")
        guest = Guest(ProxmoxAPI("127.0.0.1", port=8006, verify_ssl=False, user="admin@pve", password=PASSWORD, timeout=60))
        create(guest)
        test_refusals(guest)
        test_running(guest)
        test_cloudinit(guest)
        test_suspend_and_reset(guest)
        test_adoption(guest, daemon)
        test_ends(guest)
        guest.console.close()
        guest.finish(guest.api.delete())
        assert guest.node.qemu.get() == []
        daemon.end()
    except BaseException:
        with open("holmd.log", encoding="utf-8", errors="replace") as f:
            print("".join(f.readlines()[-40:]), file=sys.stderr)
        raise


if __name__ == "__main__":
    os.chdir(os.environ["WORK"])
    main()
