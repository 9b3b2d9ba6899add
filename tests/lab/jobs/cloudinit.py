"""Part of cloudinit.sh: what a Debian made of its cloud-init drive under the engine vmm, asked by ssh with the key it got."""
import os
import subprocess
import sys
import urllib.parse

IMAGE = sys.argv.pop()  # a mounted Debian with ssh, and a key in its /mnt

import engine  # noqa: E402 (takes the other arguments)
from engine import Console, Daemon, Guest, holm, step, wait_until  # noqa: E402

ADDRESS, BOOT_LIMIT = "192.0.2.7", 900


def ssh(command):
    argv = ["chroot", IMAGE, "ssh", "-F", "none", "-i", "/mnt/key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
            "UserKnownHostsFile=/mnt/known", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", f"admin@{ADDRESS}", command]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def create(guest):
    with open(f"{IMAGE}/mnt/key.pub", encoding="ascii") as f:
        key = f.read().strip()
    for name in ("vmlinuz", "initrd.img"):
        holm("storage", "upload", name, "--content", "boot")
    guest.finish(guest.node.qemu.create(
        vmid=engine.VMID, name="web", engine="vmm", memory=512, cores=2, serial0="socket", rng0="source=/dev/urandom",
        net0="virtio,bridge=vmbr0", kernel="local:boot/vmlinuz", initrd="local:boot/initrd.img",
        cmdline=f"{engine.CMDLINE} root=/dev/vda3 ro", virtio0="local:0,format=raw,import-from=local:import/debian.raw",
        virtio1="local:cloudinit", ciuser="admin", sshkeys=urllib.parse.quote(key, safe=""), ciupgrade=0,
        ipconfig0=f"ip={ADDRESS}/24,gw=192.0.2.1", nameserver="192.0.2.1", searchdomain="example.com"), limit=300)
    return key


def lets_in(console):
    """The administrator; what the guest says on its console is its state of an hour ago or a fault."""
    assert not console.is_over, f"the console ended: {console.text[-2000:]!r}"
    return ssh("true").returncode == 0


def ask(command, answer):
    done = ssh(command)
    assert done.returncode == 0 and done.stdout.strip() == answer, f"{command}: {done.returncode}: {done.stdout!r}, wanted {answer!r}"


def look(guest, key):
    ask("hostname", "web")
    ask("hostname -f", "web.example.com")
    ask("id -un", "admin")
    ask("grep -v '^#' .ssh/authorized_keys", key)
    ask("ip -4 -o addr show scope global | awk '{print $2, $4}'", f"eth0 {ADDRESS}/24")
    ask("ip route show default | cut -d' ' -f1-5", "default via 192.0.2.1 dev eth0")
    ask("grep -v '^#' /run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\nsearch example.com")
    ask("sudo cat /var/lib/cloud/data/instance-id", guest.api.cloudinit.dump.get(type="meta").split()[1])
    ask("cat /sys/block/vdb/ro", "1")


def main():
    daemon = Daemon()
    console = None
    try:
        guest = Guest(engine.administrator())
        step("the guest")
        key = create(guest)
        guest.finish(guest.api.status.start.post())
        console = Console()
        step("it starts")
        console.wait(b"login:", BOOT_LIMIT)
        step("a login on the console is offered")
        wait_until(lambda: lets_in(console), "ssh with the key", BOOT_LIMIT)
        step("ssh lets in")
        done = ssh("cloud-init status --wait --long; cat /proc/uptime; systemd-analyze; cloud-init analyze blame | head -n 8")
        print(done.stdout, flush=True)
        assert "status: done" in done.stdout
        step("what it was told")
        look(guest, key)
        step("the power button")
        guest.finish(guest.api.status.shutdown.post(timeout=240), limit=300)
        assert guest.status()["status"] == "stopped"
        guest.finish(guest.api.delete())
        daemon.end()
    except BaseException:
        print(console.text[-3000:].decode(errors="replace") if console else "", file=sys.stderr)
        engine.show_log()
        raise


if __name__ == "__main__":
    os.chdir(os.environ["WORK"])
    main()
