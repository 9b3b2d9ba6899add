"""cloud-init without a guest that runs: which keys are taken and which refused, what is shown of a password, the drive and
its volume from the configuration to the end, the image's files compared with what the API says they are."""
import base64
import json
import os
import struct
import subprocess
import urllib.parse

from lib.guests import volume_path
from lib.tap import main, test

VM = 100
HIDDEN = "**********"
PASSWORD = "correct horse: battery"


def ssh_key(kind="ssh-ed25519", comment="me@host"):
    name = kind.encode()
    blob = struct.pack(">I", len(name)) + name + struct.pack(">I", 32) + bytes(range(32))
    return f"{kind} {base64.b64encode(blob).decode()} {comment}"


def quoted(text):
    return urllib.parse.quote(text, safe="")


def config(node, **more):
    return node.api.get(node.vm(VM, "/config"), more)


def stored(node):
    """As it is in the state: with what replies do not show."""
    return json.loads(node.cli("state", "dump").stdout)["keys"][f"shared/guest/{VM}"]["config"]


def is_hash_of(value, password):
    """By another program."""
    salt = value.split("$")[2]
    made = subprocess.run(["openssl", "passwd", "-5", "-salt", salt, "-stdin"], input=password, capture_output=True, text=True,
                          check=True).stdout.strip()
    return value.startswith("$5$") and made == value


def image(node):
    return node.path(f"var/storage/local/images/{VM}/vm-{VM}-cloudinit.raw")


def files(path):
    """Of the image, by bsdtar."""
    names = subprocess.run(["bsdtar", "-tf", path], capture_output=True, text=True, check=True).stdout.split()
    return {n: subprocess.run(["bsdtar", "-xOf", path, n], capture_output=True, text=True, check=True).stdout
            for n in names if n != "."}


def dump(node, kind):
    return node.api.get(node.vm(VM, "/cloudinit/dump"), type=kind)


@test
def keys(node):
    node.create(VM, name="web", net0="virtio=BC:24:11:00:00:01", memory=64)
    good = {"ciuser": "debian", "sshkeys": quoted(ssh_key()), "ipconfig0": "ip=192.0.2.7/24,gw=192.0.2.1,ip6=auto",
            "nameserver": "192.0.2.53", "searchdomain": "example.com", "ciupgrade": 0, "citype": "nocloud"}
    node.api.put(node.vm(VM, "/config"), good)
    now = config(node)
    assert {k: now[k] for k in good} == good, now
    bad = [("ciuser", "a b", "letters"), ("sshkeys", quoted("ssh-rsa AAAA"), "not whole"),
           ("sshkeys", quoted("command=\"x\" " + ssh_key()), "no known type"), ("sshkeys", ssh_key(), "urlencoded"),
           ("ipconfig0", "ip=192.0.2.7", "192.0.2.7/24"), ("ipconfig0", "gw=192.0.2.1", "gw needs ip"),
           ("ipconfig3", "ip=dhcp,mask=8", "mask"), ("nameserver", "one", ""), ("searchdomain", "a b..c", "domains"),
           ("citype", "configdrive2", "nocloud"), ("citype", "opennebula", "nocloud"), ("citype", "x", ""),
           ("cicustom", "user=/etc/passwd", "local:snippets"), ("cicustom", "who=local:snippets/x", "who"),
           ("cipassword", "a\nb", "control"), ("cipassword", HIDDEN, "stands for"),
           ("cipassword", "$y$j9T$salt$" + "a" * 43, "no such hash")]
    for key, value, text in bad:
        node.api.refused("PUT", node.vm(VM, "/config"), {key: value}, 400, text, param=key)
    assert config(node) == now
    node.api.put(node.vm(VM, "/config"), delete="ciuser,sshkeys,ipconfig0,nameserver,searchdomain,ciupgrade,citype")
    assert not set(config(node)) & set(good)


def never_shown(node, secret):
    for path in ("/config", "/pending", "/cloudinit", "/cloudinit/dump?type=user", "/cloudinit/dump?type=meta",
                 "/snapshot/snap/config", "/config?current=1"):
        reply = node.api.call("GET", node.vm(VM, path))
        assert reply.status == 200 and secret not in reply.text and "$5$" not in reply.text, (path, reply.text)


@test
def password(node):
    node.api.put(node.vm(VM, "/config"), cipassword=PASSWORD)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "snap"})
    kept = stored(node)["cipassword"]
    assert is_hash_of(kept, PASSWORD), kept
    assert config(node)["cipassword"] == HIDDEN
    shown = {r["key"]: r for r in node.api.get(node.vm(VM, "/pending"))}
    assert shown["cipassword"] == {"key": "cipassword", "value": HIDDEN}, shown
    assert f"password: '{HIDDEN}'" in dump(node, "user")
    never_shown(node, kept)
    never_shown(node, PASSWORD)
    ready = "$6$saltsalt$" + "a" * 86
    reply = node.api.call("PUT", node.vm(VM, "/config"), {"cipassword": ready})
    assert stored(node)["cipassword"] == ready and ready not in reply.text
    reply = node.api.call("POST", node.vm(VM, "/config"), {"cipassword": PASSWORD, "dry-run": 1})
    assert PASSWORD not in reply.text and stored(node)["cipassword"] == ready
    upid = node.api.post(node.vm(VM, "/config"), cipassword=PASSWORD)
    assert not upid or node.api.wait_task(upid) == "OK"
    assert is_hash_of(stored(node)["cipassword"], PASSWORD)
    for top, _, names in os.walk(node.root):
        for name in (n for n in names if os.path.isfile(os.path.join(top, n))):
            with open(os.path.join(top, name), "rb") as f:
                assert PASSWORD.encode() not in f.read(), os.path.join(top, name)
    assert PASSWORD not in node.log()
    node.api.run("DELETE", node.vm(VM, "/snapshot/snap"))


@test
def a_drive(node):
    node.api.put(node.vm(VM, "/config"), ide2="local:cloudinit", ciuser="debian", ipconfig0="ip=192.0.2.7/24,gw=192.0.2.1",
                 nameserver="192.0.2.53", searchdomain="example.com", sshkeys=quoted(ssh_key()), ciupgrade=0)
    assert config(node)["ide2"] == f"local:{VM}/vm-{VM}-cloudinit.raw,media=cdrom,size=4M"
    assert os.path.getsize(image(node)) == 4 << 20
    listed = node.api.get("/nodes/{node}/storage/local/content", vmid=VM)
    assert [v["volid"] for v in listed] == [f"local:{VM}/vm-{VM}-cloudinit.raw"], listed
    node.api.put(node.vm(VM, "/cloudinit"))
    inside = files(image(node))
    assert set(inside) == {"user-data", "meta-data", "network-config"}, set(inside)
    hashed = stored(node)["cipassword"]
    assert inside["user-data"] == dump(node, "user").replace(HIDDEN, hashed) and hashed in inside["user-data"]
    assert inside["network-config"] == dump(node, "network") and inside["meta-data"] == dump(node, "meta")
    assert inside["user-data"] == (
        "#cloud-config\nhostname: web\nmanage_etc_hosts: true\nfqdn: web.example.com\nuser: debian\n"
        f"password: '{hashed}'\nssh_authorized_keys:\n  - '{ssh_key()}'\nchpasswd:\n  expire: false\nusers:\n  - default\n")
    assert inside["network-config"] == (
        "version: 1\nconfig:\n  - type: physical\n    name: eth0\n    mac_address: 'bc:24:11:00:00:01'\n    subnets:\n"
        "      - type: static\n        address: '192.0.2.7'\n        netmask: '255.255.255.0'\n        gateway: '192.0.2.1'\n"
        "  - type: nameserver\n    address:\n      - '192.0.2.53'\n    search:\n      - 'example.com'\n")
    node.api.put(node.vm(VM, "/cloudinit"))
    assert files(image(node)) == inside, "the same configuration, the same image"
    node.api.put(node.vm(VM, "/config"), name="other")
    node.api.put(node.vm(VM, "/cloudinit"))
    again = files(image(node))
    assert "hostname: other\n" in again["user-data"] and again["meta-data"] != inside["meta-data"]
    assert os.listdir(os.path.dirname(image(node))) == [os.path.basename(image(node))]


@test
def one_drive_of_one_kind(node):
    where = node.vm(VM, "/config")
    for value, text in (("local:cloudinit", "ide2"), (f"local:{VM}/vm-{VM}-cloudinit.raw,media=cdrom", "ide2")):
        node.api.refused("PUT", where, {"scsi1": value}, text=text)
    node.api.refused("PUT", where, {"ide2": "local:cloudinit,format=qcow2"}, text="raw")
    node.api.refused("PUT", where, {"ide2": "local:cloudinit,media=disk"}, text="CD-ROM")
    node.api.refused("PUT", where, {"efidisk0": "local:cloudinit"}, text="no drive for cloud-init")
    node.api.refused("PUT", where, {"ide2": "none:cloudinit"}, text="does not exist")
    node.api.refused("PUT", node.vm(VM, "/resize"), {"disk": "ide2", "size": "8M"}, text="cdrom")
    before = config(node)["ide2"]
    node.api.put(where, ide2="local:cloudinit,media=cdrom")
    assert config(node)["ide2"] == before
    # From one bus to another in one request: the volume stays.
    node.api.put(where, delete="ide2", scsi1="local:cloudinit")
    now = config(node)
    assert now["scsi1"] == before and "ide2" not in now and "unused0" not in now, now
    # Without a drive the volume goes; nothing unused is left.
    node.api.put(where, delete="scsi1")
    assert not os.path.exists(image(node)) and "unused0" not in config(node)
    node.api.refused("PUT", node.vm(VM, "/cloudinit"), text="no cloud-init drive")
    node.api.put(where, sata1="local:cloudinit")
    assert os.path.exists(image(node))


@test
def own_files(node):
    folder = node.path("var/storage/local/snippets")
    os.makedirs(folder, exist_ok=True)
    for name, text in (("u.yaml", "#cloud-config\nown: user\n"), ("v.yaml", "own: vendor\n"), ("large", "x" * (600 << 10))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    node.api.put(node.vm(VM, "/config"), cicustom="user=local:snippets/u.yaml,vendor=local:snippets/v.yaml")
    node.api.put(node.vm(VM, "/cloudinit"))
    inside = files(image(node))
    assert inside["user-data"] == "#cloud-config\nown: user\n" and inside["vendor-data"] == "own: vendor\n", inside
    assert "192.0.2.7" in inside["network-config"] and inside["meta-data"].startswith("instance-id: ")
    assert "own" not in dump(node, "user"), "the dump is of what Holm makes"
    before = subprocess.run(["sha256sum", image(node)], capture_output=True, check=True).stdout
    for name, text in (("none", "none"), ("large", "large")):
        node.api.put(node.vm(VM, "/config"), cicustom=f"user=local:snippets/{name}")
        reply = node.api.refused("PUT", node.vm(VM, "/cloudinit"), text="cicustom")
        assert text in reply.message or "512" in reply.message, reply.message
    assert subprocess.run(["sha256sum", image(node)], capture_output=True, check=True).stdout == before
    node.api.put(node.vm(VM, "/config"), delete="cicustom")


@test
def the_end(node):
    who = node.restricted("ci@pve", **{f"/vms/{VM}": "PVEVMUser"})
    who.put(node.vm(VM, "/cloudinit"))
    who.put(node.vm(VM, "/config"), ciuser="me")
    who.refused("PUT", node.vm(VM, "/config"), {"cicustom": "user=local:snippets/u.yaml"}, 403)
    nobody = node.restricted("none@pve", **{f"/vms/{VM}": "PVEAuditor"})
    nobody.refused("PUT", node.vm(VM, "/cloudinit"), {}, 403)
    nobody.refused("PUT", node.vm(VM, "/config"), {"ciuser": "me"}, 403)
    assert nobody.get(node.vm(VM, "/cloudinit/dump"), type="network")
    node.remove(VM)
    assert not os.path.exists(image(node))
    node.create(VM, memory=64, ide2="local:cloudinit,media=cdrom", ciuser="new", cipassword=PASSWORD)
    assert os.path.exists(image(node)) and config(node)["cipassword"] == HIDDEN
    assert volume_path(node, config(node)["ide2"]) == image(node)
    shown = {r["key"]: r for r in node.api.get(node.vm(VM, "/cloudinit"))}
    assert shown == {"ciuser": {"key": "ciuser", "value": "new"}, "cipassword": {"key": "cipassword", "value": HIDDEN}}, shown
    node.remove(VM)
    node.api.refused("GET", node.vm(VM, "/cloudinit"), {}, text="does not exist")
    node.api.refused("GET", node.vm(VM, "/cloudinit/dump"), {"type": "user"}, text="does not exist")


main()
