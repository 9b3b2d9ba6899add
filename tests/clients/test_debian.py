"""A Debian disk as Debian's own tools make it (tools/debian-image), put into a guest's volume: it boots by SeaBIOS and,
the same disk, by OVMF with Secure Boot; its agent answers; what it wrote is there; it shuts down when asked, and its file
system is clean."""
import json
import subprocess

from lib import facts
from lib.console import Console
from lib.guests import volume_path
from lib.tap import main, test
from lib.wait import wait_for

VM = 100
SECTOR = 512
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def debian_disk():
    done = subprocess.run([f"{facts.TOP}/tools/debian-image"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def disk(node):
    return volume_path(node, node.api.get(node.vm(VM, "/config"))["virtio0"])


def install(node):
    """The guest and its disk, larger than what is written to it, as an installer would find it."""
    node.create(VM, name="debian", ostype="l26", memory=512, agent=1, serial0="socket", vga="none",
                virtio0="local:1,format=raw,discard=on", boot="order=virtio0")
    subprocess.run(["qemu-img", "convert", "-n", "-O", "raw", debian_disk(), disk(node)], check=True)


def agent(node, method, name, **params):
    return node.api.call(method, node.vm(VM, f"/agent/{name}"), params)


def boot(node, marker):
    node.api.run("POST", node.vm(VM, "/status/start"))
    with Console(node.api, node.vm(VM)) as c:
        c.expect(marker, 240)
        wait_for(lambda: agent(node, "POST", "ping").status == 200, 60, "the guest's agent")
        release = agent(node, "GET", "get-osinfo").data["result"]
        assert (release["id"], release["version-id"]) == ("debian", "12"), release
        root = [f for f in agent(node, "GET", "get-fsinfo").data["result"] if f["mountpoint"] == "/"]
        assert root and root[0]["type"] == "ext4", root


def shut_down(node):
    """As PVE does it: the guest's own way down, and no force after it."""
    with Console(node.api, node.vm(VM)) as c:
        upid = node.api.post(node.vm(VM, "/status/shutdown"), timeout=120, forceStop=0)
        c.expect("Power down", 120)
    assert node.api.wait_task(upid, 130) == "OK", node.api.task_log(upid)
    assert node.guest_state(VM) == "stopped"


def orders(node):
    """What only a whole system obeys."""
    trimmed = agent(node, "POST", "fstrim")
    assert trimmed.status == 200 and [p for p in trimmed.data["result"]["paths"] if p["path"] == "/"], trimmed.text
    assert agent(node, "POST", "set-user-password", username="root", password="quite secret").status == 200
    shadow = agent(node, "GET", "file-read", file="/etc/shadow").data["content"].splitlines()
    assert [line for line in shadow if line.startswith("root:$")], "root has a password now"
    assert "quite secret" not in open(node.log_path, encoding="utf-8", errors="replace").read()


def turn_off_by_agent(node):
    with Console(node.api, node.vm(VM)) as c:
        assert agent(node, "POST", "shutdown").status == 200
        c.expect("Power down", 120)
    wait_for(lambda: node.guest_state(VM) == "stopped", 60, "the guest to be off")


def root_offset(path):
    """Of the last partition, in bytes."""
    table = json.loads(subprocess.run(["sfdisk", "--json", path], capture_output=True, text=True, check=True).stdout)
    assert table["partitiontable"]["label"] == "gpt", table
    return table["partitiontable"]["partitions"][-1]["start"] * SECTOR


def check_file_system(node):
    path = disk(node)
    done = subprocess.run(["fsck.ext4", "-f", "-n", f"{path}?offset={root_offset(path)}"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0 and "holm-root" in done.stdout, f"{done.returncode}: {done.stdout}"
    header = subprocess.run(["dumpe2fs", "-h", f"{path}?offset={root_offset(path)}"], capture_output=True, text=True,
                            check=True).stdout
    assert "needs_recovery" not in header and "Filesystem state:         clean" in header, header


@test(limit=800)
def debian_boots_by_seabios_and_ovmf(node):
    install(node)
    boot(node, "HOLM-DEBIAN-UP bios")
    assert agent(node, "POST", "file-write", file="/var/note", content="kept\n").status == 200
    orders(node)
    shut_down(node)
    check_file_system(node)
    node.api.run("POST", node.vm(VM, "/config"), {"bios": "ovmf", "machine": "q35",
                                                  "efidisk0": "local:1,efitype=4m,pre-enrolled-keys=1"})
    boot(node, "HOLM-DEBIAN-UP uefi")
    assert agent(node, "GET", "file-read", file="/var/note").data == {"content": "kept\n"}
    # Four bytes of attributes and the value: shim, GRUB and the kernel were checked against the keys enrolled.
    assert agent(node, "GET", "file-read", file=SECURE_BOOT).data["content"][4:] == "\x01"
    turn_off_by_agent(node)
    check_file_system(node)
    node.remove(VM)


main()
