"""Ways to other people's volumes that were once open."""
import os
import ssl
import time
import urllib.parse

import websocket

from lib.tap import main, test
from lib.wait import slow, wait_for


def role_of(node, name, privileges):
    if name not in [r["roleid"] for r in node.api.get("/access/roles")]:
        node.api.post("/access/roles", roleid=name, privs=privileges)
    return name


def put_file(node, volume, data=b"another's"):
    folders = {"iso": "template/iso", "vztmpl": "template/cache", "backup": "dump", "snippets": "snippets", "import": "import",
               "boot": "boot"}
    kind, name = volume.removeprefix("local:").split("/", 1)
    path = node.path("var/storage/local", folders[kind], name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return path


def disk_user(node, user, vmid):
    """Who may change the drives of one guest and sees the storage, as the users of a self-service do."""
    return node.restricted(user, **{f"/vms/{vmid}": role_of(node, "Drives8", "VM.Config.Disk,VM.Config.CDROM,VM.PowerMgmt"),
                                    "/storage/local": role_of(node, "Space8", "Datastore.Audit,Datastore.AllocateSpace")})


FILES = ("local:iso/all.iso", "local:boot/vmlinuz8", "local:snippets/secret.yaml", "local:vztmpl/x.tar.gz",
         "local:backup/vzdump-qemu-8001-2026_01_01-00_00_00.vma.zst", "local:import/x.qcow2")


@test
def what_many_guests_share_is_nobodys_disk(node):
    """An ISO image, a kernel or a backup was opened for writing when it was attached without media=cdrom, by anybody who
    saw the storage."""
    node.create(8000)
    user = disk_user(node, "shared8@pve", 8000)
    for volume in FILES:
        put_file(node, volume)
        for client in (user, node.api):
            for key in ("scsi0", "virtio1", "sata1"):
                client.refused("PUT", node.vm(8000, "/config"), {key: volume}, 400, param=key)
                client.refused("PUT", node.vm(8000, "/config"), {key: volume + ",ro=0"}, 400, param=key)
    user.put(node.vm(8000, "/config"), ide2="local:iso/all.iso,media=cdrom")
    user.put(node.vm(8000, "/config"), ide2="none,media=cdrom")


@test
def backups_and_snippets_are_not_read_as_a_cd(node):
    """Sight of a storage was enough to read everybody's backups and snippets from inside of a guest."""
    node.create(8002)
    user = disk_user(node, "reader8@pve", 8002)
    for volume in FILES:
        put_file(node, volume)
        if "/vzdump" not in volume and "snippets" not in volume:
            continue
        user.refused("PUT", node.vm(8002, "/config"), {"ide2": volume + ",media=cdrom"}, 403, "(/storage/local, Datastore.Allocate)")


@test
def a_cd_is_opened_for_reading(node):
    put_file(node, "local:iso/whole.iso", bytes(65536))
    node.create(8003, scsi1="local:iso/whole.iso,media=cdrom")
    node.api.run("POST", node.vm(8003, "/status/start"))
    wait_for(lambda: node.guest_state(8003) == "running", 20)
    qemu = node.processes("qemu-system-x86_64")
    path = os.path.realpath(node.path("var/storage/local/template/iso/whole.iso"))
    modes = []
    for pid in qemu:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if os.path.realpath(f"/proc/{pid}/fd/{fd}") == path:
                with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
                    modes.append(int([line for line in f if line.startswith("flags:")][0].split()[1], 8) & 3)
    assert modes and set(modes) == {os.O_RDONLY}, modes
    node.api.run("POST", node.vm(8003, "/status/stop"))


@test
def a_volume_made_for_a_guest_is_its_own(node):
    """What was made for a guest that exists may be attached by whoever may configure its disks."""
    node.create(8007)
    node.api.post("/nodes/{node}/storage/local/content", vmid=8007, filename="vm-8007-disk-3.raw", size="1M", format="raw")
    user = disk_user(node, "maker8@pve", 8007)
    user.put(node.vm(8007, "/config"), scsi0="local:8007/vm-8007-disk-3.raw")


@test
def what_a_guest_left_behind_is_not_its_successors(node):
    """A volume of an earlier guest with the same number was refused to its successor when it was made, and given to it
    by the next request."""
    old = node.path("var/storage/local/images/8004")
    os.makedirs(old)
    with open(old + "/vm-8004-disk-7.raw", "wb") as f:
        f.write(bytes(1 << 20))
    began = int(os.stat(old + "/vm-8004-disk-7.raw").st_ctime)
    wait_for(lambda: time.time() > began + 1, 5)
    node.create(8004)
    user = disk_user(node, "heir8@pve", 8004)
    user.refused("PUT", node.vm(8004, "/config"), {"scsi0": "local:8004/vm-8004-disk-7.raw"}, 403,
                 "(/storage/local, Datastore.Allocate)")
    node.api.put(node.vm(8004, "/config"), scsi0="local:8004/vm-8004-disk-7.raw")
    user.put(node.vm(8004, "/config"), delete="scsi0")
    unused = node.api.get(node.vm(8004, "/config"))["unused0"]
    user.put(node.vm(8004, "/config"), scsi1=unused)


@test
def a_size_is_a_number(node):
    """"nan" passed both comparisons and became eight exbibytes, or whatever the processor makes of it."""
    node.create(8008)
    for size in ("nan", "-nan", "inf", "-1", "1e99", "0x"):
        node.api.refused("PUT", node.vm(8008, "/config"), {"scsi0": f"local:{size}"}, 400)
    assert not os.path.exists(node.path("var/storage/local/images/8008"))


@test
def a_drive_has_one_file(node):
    """file= and volume= are two names of one thing: no one of them is checked while the other is used."""
    node.create(8009, scsi0="local:0.01")
    node.create(8010)
    volume = node.api.get(node.vm(8009, "/config"))["scsi0"].split(",")[0]
    user = disk_user(node, "alias8@pve", 8010)
    user.call("PUT", node.vm(8010, "/config"), {"ide2": f"file=none,volume={volume},media=cdrom"})
    user.call("PUT", node.vm(8010, "/config"), {"ide3": f"none,volume={volume}"})
    user.refused("PUT", node.vm(8010, "/config"), {"scsi1": f"volume={volume}"}, 403)
    node.api.run("POST", node.vm(8010, "/status/start"))
    wait_for(lambda: node.guest_state(8010) == "running", 20)
    path = os.path.realpath(node.path("var/storage/local/images", volume.removeprefix("local:")))
    for pid in node.processes("qemu-system-x86_64"):
        assert path not in [os.path.realpath(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
    node.api.run("POST", node.vm(8010, "/status/stop"))
    user.put(node.vm(8010, "/config"), delete="ide2,ide3", force=1)
    assert os.path.exists(path)


def opens(client, vmid, port, ticket):
    """Status of an attempt to open a guest's screen or terminal."""
    query = urllib.parse.urlencode({"port": port, "vncticket": ticket})
    url = f"{client.base.replace('https', 'wss')}/api2/json/nodes/{client.node}/qemu/{vmid}/vncwebsocket?{query}"
    try:
        websocket.create_connection(url, subprotocols=["binary"], header={"Authorization": client.http.headers["Authorization"]},
                                    timeout=slow(20), suppress_origin=True,
                                    sslopt={"cert_reqs": ssl.CERT_NONE, "check_hostname": False}).close()
    except websocket.WebSocketBadStatusException as e:
        return e.status_code
    return 101


@test
def ones_own_console_only(node):
    """A ticket for one's guest opens no other's, whatever the path, port or form of the ticket says."""
    for vmid in (8011, 8012):
        node.create(vmid, serial0="socket", vga="std", freeze=1)
        node.api.run("POST", node.vm(vmid, "/status/start"))
    user = node.restricted("console8@pve", **{"/vms/8011": role_of(node, "Console8", "VM.Console")})
    for route in ("/vncproxy", "/termproxy"):
        user.refused("POST", node.vm(8012, route), {}, 403)
        given = user.post(node.vm(8011, route))
        for ticket in (given["ticket"], given["ticket"].split(":", 1)[1], given["ticket"].replace("8011", "8012")):
            for port in (given["port"], 5900):
                assert opens(user, 8012, port, ticket) in (401, 403), (route, ticket, port)
    for route, params in (("/sendkey", {"key": "ret"}), ("/monitor", {"command": "info version"})):
        assert user.call("PUT" if "key" in params else "POST", node.vm(8012, route), params).status == 403
    for vmid in (8011, 8012):
        node.api.run("POST", node.vm(vmid, "/status/stop"))


@test
def force_destroys_only_ones_own(node):
    node.create(8005, scsi0="local:0.01")
    node.create(8006)
    volume = node.api.get(node.vm(8005, "/config"))["scsi0"].split(",")[0]
    node.api.put(node.vm(8006, "/config"), scsi1=volume)
    user = disk_user(node, "force8@pve", 8006)
    user.refused("PUT", node.vm(8006, "/config"), {"scsi2": volume}, 403, "(/vms/8005, VM.Config.Disk)")
    user.put(node.vm(8006, "/config"), delete="scsi1", force=1)
    assert os.path.exists(node.path("var/storage/local/images", volume.removeprefix("local:"))), "the owner lost its disk"
    assert volume in node.api.get(node.vm(8005, "/config"))["scsi0"]


if __name__ == "__main__":
    main()
