"""A Debian with cloud-init (tools/cloud-image), unmodified, comes up as the configuration says: name, user, password, key,
address. Once more with another address: the instance's id has changed, so cloud-init runs again. Long, for it is a whole
system under emulation: a suite of --all."""
import re
import subprocess

from lib import facts
from lib.console import Console
from lib.guests import volume_path
from lib.tap import main, test

VM = 100
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@host"
PASSWORD = "correct horse: battery"
BOOT_LIMIT = 600


def folder():
    done = subprocess.run([f"{facts.TOP}/tools/cloud-image"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def install(node, **more):
    """What every engine takes: raw disks, a kernel started directly."""
    source = folder()
    target = node.path("var/storage/local/boot")
    subprocess.run(["install", "-D", "-m", "644", "-t", target, f"{source}/vmlinuz", f"{source}/initrd.img"], check=True)
    node.create(VM, name="web", memory=512, serial0="socket", vga="none", kernel="local:boot/vmlinuz",
                initrd="local:boot/initrd.img", cmdline="root=/dev/vda ro console=ttyS0 quiet", virtio0="local:2,format=raw",
                virtio1="local:cloudinit", ciuser="admin", cipassword=PASSWORD, sshkeys=KEY.replace(" ", "%20"), ciupgrade=0,
                searchdomain="example.com", nameserver="10.0.2.3", ipconfig0="ip=10.0.2.77/24,gw=10.0.2.2", **more)
    disk = volume_path(node, node.api.get(node.vm(VM, "/config"))["virtio0"])
    subprocess.run(["qemu-img", "convert", "-n", "-O", "raw", f"{source}/disk.qcow2", disk], check=True)


def boot(node):
    """What the guest says of itself."""
    node.api.run("POST", node.vm(VM, "/status/start"))
    with Console(node.api, node.vm(VM)) as console:
        text = console.expect("CLOUD-DONE", BOOT_LIMIT)
    return dict(re.findall(r"^CLOUD (\w+)=(.*?)\r?$", text, re.M))


def off(node):
    node.api.run("POST", node.vm(VM, "/status/shutdown"), {"timeout": 180, "forceStop": 1}, timeout=240)
    assert node.guest_state(VM) == "stopped"


def is_hash_of(value, password):
    salt = value.split("$")[2]
    made = subprocess.run(["openssl", "passwd", "-5", "-salt", salt, "-stdin"], input=password, capture_output=True, text=True,
                          check=True).stdout.strip()
    return made == value


@test(limit=1600)
def debian_is_what_it_was_told(node):
    install(node, net0="virtio=BC:24:11:00:00:77")
    said = boot(node)
    assert is_hash_of(said.pop("password"), PASSWORD)
    assert said == {"hostname": "web", "hosts": "127.0.1.1 web.example.com web", "user": "admin", "key": KEY,
                    "address": "10.0.2.77/24", "route": "10.0.2.2", "mac": "bc:24:11:00:00:77", "source": "DataSourceNoCloud",
                    "status": "status: done"}, said
    off(node)
    node.api.put(node.vm(VM, "/config"), ipconfig0="ip=10.0.2.78/24,gw=10.0.2.2", name="other")
    again = boot(node)
    assert (again["address"], again["hostname"], again["user"]) == ("10.0.2.78/24", "other", "admin"), again
    off(node)
    node.remove(VM)


main()
