"""Part of platform.sh: proxmoxer makes a guest, starts it, waits for its words on the serial console, removes it."""
import os
import subprocess
import sys
import time

import urllib3
from proxmoxer import ProxmoxAPI

urllib3.disable_warnings()
PASSWORD, ROOT, CMDLINE = sys.argv[1:]
VMID = 100


def finish(node, upid, limit=60):
    """Waits for a task as the Ansible modules do."""
    deadline = time.monotonic() + limit * int(os.environ["SLOW"])
    while True:
        status = node.tasks(upid).status.get()
        if status["status"] == "stopped":
            assert status["exitstatus"] == "OK", (status, node.tasks(upid).log.get())
            return
        if time.monotonic() > deadline:
            print(f"LATE task {upid} goes on", file=sys.stderr)
            sys.exit(75)  # LATE_STATUS of lib.sh
        time.sleep(0.2)


def read_console(marker, limit=150):
    """What the guest wrote on its console until the marker."""
    console = subprocess.Popen(["holm", "--root", ROOT, "vm", "console", str(VMID), "--idle", str(limit)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = b""
    try:
        while marker not in text:
            data = console.stdout.read1(4096)
            assert data, f"the console ended without {marker!r}: {text[-2000:]!r}"
            text += data
    finally:
        console.kill()
        console.wait()


def main():
    api = ProxmoxAPI("127.0.0.1", port=8006, verify_ssl=False, user="admin@pve", password=PASSWORD, timeout=60)
    node = api.nodes("lab")
    finish(node, node.qemu.create(vmid=VMID, name="inner", memory=256, cores=1, serial0="socket", vga="serial0",
                                  kernel="local:boot/vmlinuz", initrd="local:boot/initrd.img", cmdline=CMDLINE))
    guest = node.qemu(VMID)
    finish(node, guest.status.start.post())
    read_console(b"INIT_REACHED")
    assert guest.status.current.get()["status"] == "running"
    print(f"the guest is up; {guest.status.current.get()}")
    finish(node, guest.status.stop.post())
    assert guest.status.current.get()["status"] == "stopped"
    finish(node, guest.delete())
    assert node.qemu.get() == []


if __name__ == "__main__":
    main()
