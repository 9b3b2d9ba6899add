"""A Debian with cloud-init (tools/cloud-image), unmodified, comes up as doc/guide/cloud-init.md promises: imported, started by
its own boot loader, with the name, user, password, key, address and servers it was given, seen through sshd, a name server
and the console; a change that reaches it while it runs; a start without one. All of it in a network namespace of this
process. Long, for it is a whole system under emulation: a suite of --all. The same under holm-vmm is tests/lab/jobs/cloudinit.sh."""
import shutil
import subprocess
import tempfile

from lib import facts, netns
from lib.console import Console
from lib.tap import main, test
from lib.terminal import Terminal
from lib.wait import slow, wait_for

VM = 100
PASSWORD = "correct horse: battery"
BOOT_LIMIT = 900
TOOL = f"{facts.TOP}/tools/cloud-image"


def run(*argv, **options):
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, **options).stdout.strip()


class Ssh:
    """Commands of one user at one address with one key."""

    def __init__(self, folder, key, address, user="admin"):
        known = f"{folder}/known-{key}-{address}"
        self.argv = ["ssh", "-F", "none", "-i", f"{folder}/{key}", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                     "-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={known}", "-o", "ConnectTimeout=30",
                     "-o", "LogLevel=ERROR", f"{user}@{address}"]

    def call(self, command):
        return subprocess.run([*self.argv, command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=slow(300))

    def __call__(self, command):
        done = self.call(command)
        assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def wait_up(self, boot=None):
        """Until it lets the key in, after a boot other than this one, and cloud-init has done all; the boot."""
        read = "cat /proc/sys/kernel/random/boot_id"
        wait_for(lambda: self.call(read).stdout.strip() not in ("", boot), BOOT_LIMIT, "ssh to the guest", step=2)
        said = self.call("cloud-init status --wait --long")
        assert said.returncode == 0 and "status: done" in said.stdout, said.stdout + self("sudo tail -n 40 /var/log/cloud-init.log")
        return self(read)


def keys_of(*names):
    folder = tempfile.mkdtemp(prefix="hc", dir="/tmp")
    for name in names:
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", f"{folder}/{name}")
    return folder


def serve_names():
    """A name server on the bridge, which ends with this process's namespace at the latest."""
    return subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=",
                             "--user=root", "--bind-interfaces", "--listen-address=192.0.2.1",
                             "--host-record=probe.example.com,192.0.2.99"], stdin=subprocess.DEVNULL)


def create(node, folder):
    """As the guide has it."""
    netns.ip("link", "add", "vmbr0", "type", "bridge")
    netns.ip("addr", "add", "192.0.2.1/24", "dev", "vmbr0")
    netns.ip("link", "set", "vmbr0", "up")
    image = run(TOOL)
    node.cli("storage", "upload", image, "--content", "import", "--name", "debian-12.qcow2", timeout=300)
    node.cli("vm", "create", VM, "--name", "web", "--memory", 1024, "--cores", 2, "--scsihw", "virtio-scsi-pci",
             "--scsi0", "local:0,import-from=local:import/debian-12.qcow2", "--net0", "virtio,bridge=vmbr0",
             "--scsi1", "local:cloudinit", "--boot", "order=scsi0", "--serial0", "socket", timeout=300)
    node.cli("vm", "resize", VM, "scsi0", "3G")
    hashed = run("openssl", "passwd", "-6", "-stdin", input=PASSWORD)
    node.cli("vm", "set", "web", "--ciuser", "admin", "--sshkeys", f"{folder}/first.pub",
             "--ipconfig0", "ip=192.0.2.7/24,gw=192.0.2.1", "--nameserver", "192.0.2.1", "--searchdomain", "example.com",
             "--ciupgrade", 0, "--data-file", "cipassword=-", stdin=hashed)
    return hashed


def instance_id(node):
    return node.cli("vm", "cloudinit", "dump", VM, "meta").stdout.split("instance-id:")[1].split()[0]


def check(node, ssh, name, address):
    assert ssh("hostname") == name and ssh("hostname -f") == f"{name}.example.com"
    assert ssh("cat /sys/class/net/eth0/address").upper() in str(node.api.get(node.vm(VM, "/config"))["net0"])
    assert ssh("ip -4 -o addr show scope global | awk '{print $2, $4}'") == f"eth0 {address}/24"
    assert ssh("ip route show default").startswith("default via 192.0.2.1 dev eth0")
    assert ssh("getent hosts probe").split() == ["192.0.2.99", "probe.example.com"]
    assert ssh("cloud-id") == "nocloud" and ssh("sudo cat /var/lib/cloud/data/instance-id") == instance_id(node)


def password_lets_in(node, name):
    with Console(node.api, node.vm(VM)) as console:
        console.type("\n")
        console.expect(f"{name} login:", 120)
        console.type("admin\n")
        console.expect("Password:", 120)
        console.type(PASSWORD + "\n")
        console.expect("$ ", 120)
        shell = Terminal(console)
        shell.quiet()
        assert shell.run("id -un").strip() == "admin"


def first_start(node, folder, hashed):
    node.cli("vm", "start", "web", timeout=60)
    ssh = Ssh(folder, "first", "192.0.2.7")
    boot = ssh.wait_up()
    check(node, ssh, "web", "192.0.2.7")
    assert ssh("sudo grep ^admin: /etc/shadow").split(":")[1] == hashed
    assert Ssh(folder, "second", "192.0.2.7").call("true").returncode == 255, "a key that it was not given"
    assert int(ssh("df --output=size -BM / | tail -n 1").rstrip("M")) > 2500, "the system grows into its disk"
    password_lets_in(node, "web")
    return ssh, boot


def a_change_while_it_runs(node, folder, ssh, boot):
    """The update puts it into the drive, and the guest's own reboot takes it."""
    before = instance_id(node)
    node.cli("vm", "set", "web", "--name", "other", "--sshkeys", f"{folder}/second.pub", "--ipconfig0",
             "ip=192.0.2.8/24,gw=192.0.2.1")
    node.cli("vm", "cloudinit", "update", "other")
    assert instance_id(node) != before
    ssh.call("sudo systemctl reboot")
    again = Ssh(folder, "second", "192.0.2.8")
    boot = again.wait_up(boot)
    check(node, again, "other", "192.0.2.8")
    assert again("ls /var/lib/cloud/instances | wc -l") == "2"
    return again, boot


def a_start_without_one(node, ssh, boot):
    """The same instance: nothing is made again, a new host key least of all."""
    host_key = ssh("cat /etc/ssh/ssh_host_ed25519_key.pub")
    node.cli("vm", "stop", "other", "--grace", 180, timeout=240)
    node.cli("vm", "start", "other", timeout=60)
    ssh.wait_up(boot)
    check(node, ssh, "other", "192.0.2.8")
    assert ssh("cat /etc/ssh/ssh_host_ed25519_key.pub") == host_key and ssh("ls /var/lib/cloud/instances | wc -l") == "2"


@test(limit=3000)
def debian_is_what_it_was_told(node):
    folder, names = keys_of("first", "second"), None
    try:
        hashed = create(node, folder)
        names = serve_names()
        ssh, boot = first_start(node, folder, hashed)
        ssh, boot = a_change_while_it_runs(node, folder, ssh, boot)
        a_start_without_one(node, ssh, boot)
        node.cli("vm", "stop", "other", "--grace", 180, timeout=240)
        node.remove(VM)
    finally:
        shutil.rmtree(folder)
        if names:
            names.kill()
            names.wait()


if __name__ == "__main__":
    run(TOOL)  # from a mirror, which the namespace has none of
    netns.enter()
    main()
