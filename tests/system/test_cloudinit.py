"""The cloud-init drive as a guest sees it: found by its label, its files compared byte by byte, changed while the guest
runs. One guest of the demo kernel with the modules for a CD-ROM; what cloud-init itself makes of it is looked at in
tests/tools/test_cloud_image.py."""
import os
import shutil
import subprocess

from lib import guests
from lib.console import Console
from lib.tap import main, test
from lib.terminal import Terminal

VM = 100
INITRD = "initrd-cd.img"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f it's me"
NETWORK = """version: 1
config:
  - type: physical
    name: eth0
    mac_address: 'bc:24:11:00:00:01'
    subnets:
      - type: static
        address: '192.0.2.7'
        netmask: '255.255.255.0'
        gateway: '192.0.2.1'
      - type: static6
        address: '2001:db8::7/64'
  - type: nameserver
    address:
      - '192.0.2.53'
    search:
      - 'example.com'
"""


def user_data(node, user):
    kept = subprocess.run(["sh", "-c", f"grep -a ^password: < {image(node)}"], capture_output=True, text=True, check=True).stdout
    assert kept.startswith("password: '$5$"), kept
    return (f"#cloud-config\nhostname: web\nmanage_etc_hosts: true\nfqdn: web.example.com\nuser: {user}\n{kept}"
            f"ssh_authorized_keys:\n  - '{KEY.replace(chr(39), chr(39) * 2)}'\nchpasswd:\n  expire: false\nusers:\n  - default\n")


def image(node):
    return node.path(f"var/storage/local/images/{VM}/vm-{VM}-cloudinit.raw")


def install(node):
    """The demo's initrd with the modules that read a CD-ROM on virtio-scsi: Debian's cloud kernel has no AHCI."""
    guests.install_demo(node)
    target = node.path("var/storage/local/boot", INITRD)
    shutil.copyfile(os.path.join(guests.demo_folder(), "initrd.img"), target)
    guests.add_to_initrd(target, modules=("isofs", "sr_mod"))


def pending(node):
    return {r["key"]: {k: v for k, v in r.items() if k != "key"} for r in node.api.get(node.vm(VM, "/cloudinit"))}


def put(node, **keys):
    node.api.put(node.vm(VM, "/config"), **keys)


def read(shell, name):
    return shell.run(f"umount /cd 2>/dev/null; mount -t iso9660 -o ro $(findfs LABEL=cidata) /cd && cat /cd/{name}")


def the_files_are_there(node, shell):
    shell.run("for m in $(cat /more/order); do insmod /more/$m 2>/dev/null; done; mkdir -p /cd; "
              "for i in 1 2 3 4 5 6 7 8 9 10; do findfs LABEL=cidata >/dev/null 2>&1 && break; sleep 1; done")
    said = read(shell, "user-data")
    assert said == user_data(node, "first"), said + shell.run("cat /proc/modules /proc/partitions; blkid")
    assert shell.run("cat /cd/network-config") == NETWORK == node.api.get(node.vm(VM, "/cloudinit/dump"), type="network")
    assert shell.run("cat /cd/meta-data") == node.api.get(node.vm(VM, "/cloudinit/dump"), type="meta")
    assert shell.run("ls /cd").split() == ["meta-data", "network-config", "user-data"]
    assert shell.run("(echo x > /cd/user-data) 2>/dev/null || echo refused") == "refused\n"


def a_change_waits_for_the_update(node, shell):
    put(node, ciuser="second", delete="searchdomain")
    assert pending(node)["ciuser"] == {"value": "first", "pending": "second"}, pending(node)
    assert pending(node)["searchdomain"] == {"value": "example.com", "delete": 1}
    assert "user: second\n" in node.api.get(node.vm(VM, "/cloudinit/dump"), type="user")
    assert "user: first\n" in read(shell, "user-data")


def the_update_changes_the_medium(node, shell):
    node.api.put(node.vm(VM, "/cloudinit"))
    assert pending(node)["ciuser"] == {"value": "second"} and "searchdomain" not in pending(node)
    text = read(shell, "user-data")
    assert "user: second\n" in text and "fqdn" not in text, text
    assert shell.run("cat /cd/meta-data") == node.api.get(node.vm(VM, "/cloudinit/dump"), type="meta")


def hotplug_does_it_at_once(node, shell):
    put(node, hotplug="disk,network,usb,cloudinit")
    put(node, ciuser="third")
    assert pending(node)["ciuser"] == {"value": "third"}
    assert "user: third\n" in read(shell, "user-data")
    put(node, delete="hotplug")


@test(limit=400)
def a_guest_reads_its_drive(node):
    install(node)
    node.create(VM, **{**guests.DEMO, "initrd": f"local:boot/{INITRD}", "name": "web", "net0": "virtio=BC:24:11:00:00:01",
                       "scsihw": "virtio-scsi-pci",
                       "scsi1": "local:cloudinit", "ciuser": "first", "cipassword": "secret", "ciupgrade": 0,
                       "sshkeys": KEY.replace(" ", "%20"), "nameserver": "192.0.2.53", "searchdomain": "example.com",
                       "ipconfig0": "ip=192.0.2.7/24,gw=192.0.2.1,ip6=2001:db8::7/64"})
    node.api.run("POST", node.vm(VM, "/status/start"))
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        shell.login()
        the_files_are_there(node, shell)
        a_change_waits_for_the_update(node, shell)
        the_update_changes_the_medium(node, shell)
        hotplug_does_it_at_once(node, shell)


@test(limit=120)
def what_is_pending_outlives_the_daemon(node):
    """And the next start takes it."""
    put(node, ciuser="fourth")
    node.restart(is_killed=True)
    assert pending(node)["ciuser"] == {"value": "third", "pending": "fourth"}
    with open(image(node), "rb") as f:
        assert b"user: third\n" in f.read()
    node.api.run("POST", node.vm(VM, "/status/stop"))
    node.api.run("POST", node.vm(VM, "/status/start"))
    assert pending(node)["ciuser"] == {"value": "fourth"}
    with open(image(node), "rb") as f:
        assert b"user: fourth\n" in f.read()
    node.remove(VM)
    assert not os.path.exists(image(node))


@test(limit=60)
def a_start_says_what_is_missing(node):
    node.create(VM, memory=64, ide2="local:cloudinit", cicustom="user=local:snippets/none")
    status = node.api.outcome("POST", node.vm(VM, "/status/start"))
    assert "cicustom: user" in str(status), status
    assert node.guest_state(VM) == "stopped" and node.orphans() == "", node.orphans()
    node.remove(VM)


main()
