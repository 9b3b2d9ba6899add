"""More routes of a node: services, certificates, packages, hardware, LVM and ZFS, power. Where the host of the test lacks
something (systemd, LVM, a graphics card), the refusal is seen here, and the success in a holmd whose /sys, /run or
/usr/sbin has it, in a private mount namespace. System services for real: tests/system/test_host.py."""
import glob
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

from lib.host import HostNode, read, write
from lib.tap import main, test
from lib.wait import wait_for

HAS_SYSTEMD = os.path.exists("/run/systemd/system")
NO_SYSTEMD = "systemd does not run on this node"

UNIT = """Id=cron.service
Description=Regular background program processing daemon
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
MainPID=1
"""
USB = {
    "usb1/busnum": "1", "usb1/devnum": "1", "usb1/bDeviceClass": "09", "usb1/idVendor": "1d6b", "usb1/idProduct": "0002",
    "usb1/speed": "480", "usb1/manufacturer": "Linux xhci-hcd", "usb1/product": "xHCI Host Controller",
    "1-2.3/busnum": "1", "1-2.3/devnum": "7", "1-2.3/bDeviceClass": "00", "1-2.3/idVendor": "0781", "1-2.3/idProduct": "5567",
    "1-2.3/speed": "480", "1-2.3/product": "Cruzer \"Blade\"", "1-2.3/serial": "4C53", "1-2.3:1.0/bInterfaceClass": "08",
}
TYPE = "0000:01:00.0/mdev_supported_types/nvidia-11/"
PCI = {
    "0000:00:1f.0/class": "0x060100", "0000:01:00.0/class": "0x030000",
    TYPE + "available_instances": "16", TYPE + "name": "GRID M60-0B", TYPE + "description": "num_heads=2\nframebuffer=512M",
}
MOUNT = """[Unit]
Description=Mount storage 'data' under /mnt/pve
Options=none

[Mount]
Options=defaults
Type=ext4
What=/dev/disk/by-uuid/0a1b
Where=/mnt/pve/data

[Install]
WantedBy=multi-user.target
"""
PVS = {"report": [{"pv": [
    {"pv_name": "/dev/sda3", "pv_size": "1000", "pv_free": "100", "vg_name": "pve", "vg_size": "3000", "vg_free": "300"},
    {"pv_name": "/dev/sdb", "pv_size": "2000", "pv_free": "200", "vg_name": "pve", "vg_size": "3000", "vg_free": "300"},
    {"pv_name": "/dev/sdc", "pv_size": "50", "pv_free": "50", "vg_name": "", "vg_size": "0", "vg_free": "0"}]}]}
VGS = {"report": [{"vg": [{"vg_name": "pve"}, {"vg_name": "more"}]}]}
LVS = {"report": [{"lv": [
    {"vg_name": "pve", "lv_name": "root", "segtype": "linear", "lv_size": "500", "data_percent": "", "lv_metadata_size": ""},
    {"vg_name": "pve", "lv_name": "data", "segtype": "thin-pool", "lv_size": "2000", "data_percent": "25.00",
     "lv_metadata_size": "100", "metadata_percent": "10.00"},
    {"vg_name": "more", "lv_name": "thin", "segtype": "thin-pool", "lv_size": "10", "data_percent": "0.00",
     "lv_metadata_size": "4", "metadata_percent": "0.00"}]}]}
ZPOOL = "rpool\t1000\t400\t600\t5\t1.00\tONLINE\ntank\t2000\t0\t2000\t-\t1.50\tDEGRADED\n"
ZFS = "rpool\nrpool/ROOT\ntank\n"


class RichHost(HostNode):
    """A host with USB devices, a card that can be shared, LVM, ZFS and a service manager."""

    def __init__(self):
        super().__init__()
        os.makedirs(self.base + "/sbin")
        self.binds.append(("/usr/sbin", self.folder("sbin-real")))
        for name in os.listdir("/usr/sbin"):
            os.symlink(f"{self.base}/sbin-real/{name}", f"{self.base}/sbin/{name}")
        for name, text in (("pvs", json.dumps(PVS)), ("vgs", json.dumps(VGS)), ("lvs", json.dumps(LVS)),
                           ("zpool", ZPOOL), ("zfs", ZFS)):
            self.program(name, text, f"{self.base}/sbin/{name}")
        self.program("systemctl", UNIT, f"{self.base}/systemctl")
        self.folder("run/systemd/system")
        self.tree("bus/usb/devices", USB)
        self.tree("bus/pci/devices", PCI)
        os.makedirs(self.etc + "/systemd/system", exist_ok=True)
        write(self.etc + "/systemd/system/mnt-pve-data.mount", MOUNT)
        self.binds += [(self.base + "/sbin", "/usr/sbin"), (self.base + "/systemctl", "/usr/bin/systemctl"),
                       (self.base + "/run", "/run"), (self.base + "/bus", "/sys/bus")]

    def folder(self, name):
        os.makedirs(f"{self.base}/{name}")
        return f"{self.base}/{name}"


class _Shared:
    node = None


def rich():
    if not _Shared.node:
        _Shared.node = RichHost().start()
    return _Shared.node


# ---- hardware ----

@test
def usb_devices_are_those_of_the_kernel(node):
    known = [os.path.basename(p) for p in glob.glob("/sys/bus/usb/devices/*") if ":" not in p]
    rows = node.api.get("/nodes/{node}/hardware/usb")
    assert len(rows) == len(known), rows
    node.api.refused("GET", "/nodes/elsewhere/hardware/usb")
    node.restricted("usb@pve", **{"/": "PVEAuditor"}).refused("GET", "/nodes/{node}/hardware/usb", status=403)


@test
def usb_devices_of_another_host():
    node = rich()
    stick, hub = node.api.get("/nodes/{node}/hardware/usb")
    assert stick == {"busnum": 1, "devnum": 7, "class": 0, "vendid": "0x0781", "prodid": "0x5567", "speed": "480",
                     "product": 'Cruzer "Blade"', "serial": "4C53", "level": 2, "port": 3, "usbpath": "2.3"}, stick
    assert hub["class"] == 9 and hub["level"] == 0 and "usbpath" not in hub, hub
    assert hub["manufacturer"] == "Linux xhci-hcd"


@test
def mediated_devices():
    node = rich()
    card = "/nodes/{node}/hardware/pci/0000:01:00.0"
    assert node.api.get(card) == [{"method": "mdev"}]
    kinds = [{"type": "nvidia-11", "available": 16, "name": "GRID M60-0B", "description": "num_heads=2\nframebuffer=512M"}]
    assert node.api.get(card + "/mdev") == kinds
    assert node.api.get("/nodes/{node}/hardware/pci/01:00.0/mdev") == kinds
    assert node.api.get("/nodes/{node}/hardware/pci/0000:00:1f.0/mdev") == []
    node.api.refused("GET", "/nodes/{node}/hardware/pci/0000:7f:00.0/mdev", status=500, text="no PCI device '0000:7f:00.0'")
    node.api.refused("GET", "/nodes/{node}/hardware/pci/mymapping/mdev", status=400, param="pci-id-or-mapping")
    for bad in ("..", "0000:01:00.0%2F..", "01:00.00", "a b"):
        node.api.refused("GET", f"/nodes/{{node}}/hardware/pci/{bad}/mdev")
    node.api.refused("GET", "/nodes/{node}/hardware/pci/1x", status=400, param="pci-id-or-mapping")
    node.restricted("mdev@pve").refused("GET", card + "/mdev", status=403)


# ---- indexes ----

@test
def indexes(node):
    for path, key, names in (("certificates", "name", {"custom", "info"}), ("apt", "id", {"versions"}),
                             ("scan", "method", {"lvm", "lvmthin", "zfs"}),
                             ("services/cron", "subdir", {"reload", "restart", "start", "state", "stop"})):
        assert {r[key] for r in node.api.get(f"/nodes/{{node}}/{path}")} == names, path
        node.api.refused("GET", f"/nodes/elsewhere/{path}")
    node.api.refused("GET", "/nodes/{node}/services/nonsense", status=400, param="service")
    assert node.api.get("/nodes/{node}/capabilities/qemu/migration") == {"has-dbus-vmstate": 0}
    node.restricted("migration@pve").refused("GET", "/nodes/{node}/capabilities/qemu/migration", status=403)


# ---- packages ----

@test
def packages_are_those_of_dpkg(node):
    rows = {r["Package"]: r for r in node.api.get("/nodes/{node}/apt/versions")}
    table = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\t${db:Status-Status}\n"],
                           stdout=subprocess.PIPE, text=True, check=True).stdout
    table = {f[0]: f for f in (line.split("\t") for line in table.splitlines())}
    assert "qemu-system-x86" in rows or "qemu-system-x86" not in table, rows
    assert rows, "nothing of what Holm uses is installed by dpkg"
    for name, row in rows.items():
        assert row["Version"] == table[name][1] and row["Arch"] == table[name][2], row
        assert (row["CurrentState"] == "Installed") == (table[name][3] == "installed"), row
        assert row["Title"] and row["Description"].startswith(row["Title"] + "\n"), row
    node.restricted("apt@pve").refused("GET", "/nodes/{node}/apt/versions", status=403)


# ---- LVM, ZFS, mounts ----

TOOLS = {"disks/lvm": "pvs", "disks/lvmthin": "lvs", "disks/zfs": "zpool", "scan/lvm": "vgs", "scan/zfs": "zfs"}


@test
def tools_that_are_missing_are_named(node):
    for path, tool in {**TOOLS, "scan/lvmthin": "lvs"}.items():
        params = {"vg": "pve"} if path == "scan/lvmthin" else {}
        if os.path.exists(f"/usr/sbin/{tool}"):
            assert node.api.call("GET", f"/nodes/{{node}}/{path}", params).status in (200, 500), path
        else:
            node.api.refused("GET", f"/nodes/{{node}}/{path}", params, 500, f"there is no /usr/sbin/{tool}")
        node.restricted("tools@pve", **{"/storage/local": "PVEDatastoreAdmin"}).refused(
            "GET", f"/nodes/{{node}}/{path}", params, status=403)
    node.api.refused("GET", "/nodes/{node}/scan/lvmthin", {"vg": "-x"}, 400, param="vg")


@test
def storage_of_another_host():
    node = rich()
    tree = node.api.get("/nodes/{node}/disks/lvm")
    assert tree == {"leaf": 0, "children": [{"name": "pve", "size": 3000, "free": 300, "leaf": 0, "children": [
        {"name": "/dev/sda3", "size": 1000, "free": 100, "leaf": 1}, {"name": "/dev/sdb", "size": 2000, "free": 200, "leaf": 1}]}]}
    assert "--reportformat json --units b --nosuffix" in node.asked("pvs")
    assert node.api.get("/nodes/{node}/scan/lvm") == [{"vg": "pve"}, {"vg": "more"}]
    assert node.api.get("/nodes/{node}/disks/lvmthin") == [
        {"lv": "data", "vg": "pve", "lv_size": 2000, "used": 500, "metadata_size": 100, "metadata_used": 10},
        {"lv": "thin", "vg": "more", "lv_size": 10, "used": 0, "metadata_size": 4, "metadata_used": 0}]
    assert node.api.get("/nodes/{node}/scan/lvmthin", vg="pve") == [{"lv": "data"}]
    assert node.api.get("/nodes/{node}/scan/lvmthin", vg="none") == []
    assert node.api.get("/nodes/{node}/scan/zfs") == [{"pool": "rpool"}, {"pool": "rpool/ROOT"}, {"pool": "tank"}]
    assert node.api.get("/nodes/{node}/disks/zfs") == [
        {"name": "rpool", "size": 1000, "alloc": 400, "free": 600, "frag": 5, "dedup": 1, "health": "ONLINE"},
        {"name": "tank", "size": 2000, "alloc": 0, "free": 2000, "frag": 0, "dedup": 1.5, "health": "DEGRADED"}]


@test
def a_tool_that_fails_or_lies_is_an_error():
    node = rich()
    for name, text, why in (("vgs", "no JSON", "something else than a report"), ("vgs", '{"report":{}}', "something else"),
                            ("lvs", "[" * 2000, "something else")):
        node.program(name, text, f"{node.base}/sbin/{name}")
        path = "/nodes/{node}/scan/lvm" if name == "vgs" else "/nodes/{node}/disks/lvmthin"
        node.api.refused("GET", path, status=500, text=why)
    os.unlink(node.base + "/sbin/zpool")
    os.symlink("/bin/false", node.base + "/sbin/zpool")
    node.api.refused("GET", "/nodes/{node}/disks/zfs", status=500, text="failed with status 1")


@test
def folders_on_disks_of_their_own(node):
    assert rich().api.get("/nodes/{node}/disks/directory") == [
        {"device": "/dev/disk/by-uuid/0a1b", "path": "/mnt/pve/data", "type": "ext4", "options": "defaults",
         "unitfile": "/etc/systemd/system/mnt-pve-data.mount"}]
    found = glob.glob("/etc/systemd/system/mnt-pve-*.mount")
    assert len(node.api.get("/nodes/{node}/disks/directory")) == len(found)
    node.restricted("folders@pve").refused("GET", "/nodes/{node}/disks/directory", status=403)


# ---- services and power ----

@test
def services_need_systemd(node):
    if HAS_SYSTEMD:
        assert node.api.get("/nodes/{node}/services/systemd-journald/state")["active-state"]
    else:
        node.api.refused("GET", "/nodes/{node}/services/cron/state", status=500, text=NO_SYSTEMD)
        for op in ("start", "stop", "restart", "reload"):
            node.api.refused("POST", f"/nodes/{{node}}/services/cron/{op}", status=500, text=NO_SYSTEMD)
        for command, what in (("reboot", "rebooted"), ("shutdown", "shut down")):
            node.api.refused("POST", "/nodes/{node}/status", {"command": command}, 500,
                             f"the host cannot be {what}: {NO_SYSTEMD}")
    auditor = node.restricted("srv@pve", **{"/": "PVEAuditor"})
    for op in ("start", "stop", "restart", "reload"):
        node.api.refused("POST", f"/nodes/{{node}}/services/nonsense/{op}", status=400, param="service")
        auditor.refused("POST", f"/nodes/{{node}}/services/cron/{op}", status=403)
    for op in ("start", "stop", "reload"):
        node.api.refused("POST", f"/nodes/{{node}}/services/holmd/{op}", status=500, text="holmd can only be restarted")
    node.api.refused("POST", "/nodes/{node}/status", {"command": "halt"}, 400, param="command")
    node.api.refused("POST", "/nodes/elsewhere/status", {"command": "reboot"})
    auditor.refused("POST", "/nodes/{node}/status", {"command": "reboot"}, status=403)


@test
def services_of_another_host():
    node = rich()
    assert node.api.get("/nodes/{node}/services/cron/state") == {
        "service": "cron", "name": "cron", "desc": "Regular background program processing daemon", "state": "running",
        "active-state": "active", "unit-state": "enabled"}
    for op, verb in (("start", "start"), ("stop", "stop"), ("restart", "restart"), ("reload", "try-reload-or-restart")):
        upid = node.api.post(f"/nodes/{{node}}/services/sshd/{op}")
        assert f":srv{op}:sshd:" in upid and node.api.wait_task(upid) == "OK", upid
        assert node.asked("systemctl").split()[-2:] == [verb, "ssh.service"]
    upid = node.api.post("/nodes/{node}/services/holmd/restart")  # another process is what systemd calls so
    assert "this holmd is not the one" in node.api.wait_task(upid)
    assert "show" in node.asked("systemctl") and not node.is_dead()


# ---- certificates ----

def openssl(*args):
    return subprocess.run(["openssl", *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout


class Pair:
    """A key and a self-signed certificate."""

    def __init__(self, node, name, kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), days=10, cn="web.example.org"):
        self.key_path, self.cert_path = f"{node.base}/{name}.key", f"{node.base}/{name}.pem"
        openssl("req", "-x509", "-newkey", *kind, "-nodes", "-keyout", self.key_path, "-out", self.cert_path, "-days",
                str(days), "-subj", f"/O=Test/CN={cn}", "-addext", f"subjectAltName=DNS:{cn},IP:192.0.2.7,IP:2001:db8::7")
        self.key, self.cert = read(self.key_path), read(self.cert_path)

    def field(self, *what):
        return openssl("x509", "-in", self.cert_path, "-noout", *what).strip()

    def fingerprint(self):
        return self.field("-fingerprint", "-sha256").split("=", 1)[1]


def served(node):
    """Fingerprint of what the web server shows a new connection."""
    pem = ssl.get_server_certificate(("127.0.0.1", node.port))
    path = f"{node.base}/served.pem"
    write(path, pem)
    return openssl("x509", "-in", path, "-noout", "-fingerprint", "-sha256").strip().split("=", 1)[1]


def shown(node):
    return {r["filename"]: r for r in node.api.get("/nodes/{node}/certificates/info")}


def fronts(node):
    return len(node.processes("holm-front"))


@test
def the_own_certificate_is_shown(node):
    own = shown(node)["pve-ssl.pem"]
    assert own["fingerprint"] == served(node) and own["pem"] == read(node.path("etc/tls/cert.pem")), own
    assert own["public-key-type"] == "id-ecPublicKey" and own["public-key-bits"] == 256, own
    assert own["subject"] == own["issuer"] == f"/O=Holm/CN={node.name}", own
    assert {node.name, "localhost", "127.0.0.1", "::1"} <= set(own["san"]), own
    assert 824 * 86400 <= own["notafter"] - own["notbefore"] <= 826 * 86400, own
    assert shown(node).keys() == {"pve-ssl.pem"}
    assert node.restricted("cert@pve").get("/nodes/{node}/certificates/info")  # anybody who is logged in, as in PVE
    node.api.refused("GET", "/nodes/elsewhere/certificates/info")


@test(limit=60)
def a_certificate_of_ones_own(node):
    own, first, second = served(node), Pair(node, "first"), Pair(node, "second", ("rsa:2048",))
    custom = "/nodes/{node}/certificates/custom"
    reply = node.api.post(custom, certificates="junk before\n" + first.cert, key=first.key)
    assert reply["fingerprint"] == first.fingerprint() and reply["filename"] == "pveproxy-ssl.pem", reply
    assert reply["san"] == ["web.example.org", "192.0.2.7", "2001:db8::7"] and reply["pem"] == first.cert, reply
    assert reply["subject"] == "/O=Test/CN=web.example.org"
    assert served(node) == own, "not before the next start"
    kept = node.path("etc/tls/custom.pem")
    assert os.stat(kept).st_mode & 0o777 == 0o600 and "junk" not in read(kept)
    node.api.refused("POST", custom, {"certificates": second.cert, "key": second.key}, 400, "force=1", "force")
    reply = node.api.post(custom, certificates=second.cert + first.cert, key=second.key, force=1, restart=1)
    assert (reply["public-key-type"], reply["public-key-bits"]) == ("rsaEncryption", 2048), reply
    assert reply["pem"] == second.cert + first.cert
    wait_for(lambda: served(node) == second.fingerprint(), 20, "the new certificate")
    assert set(shown(node)) == {"pve-ssl.pem", "pveproxy-ssl.pem"}
    assert "PRIVATE" not in json.dumps(shown(node))
    node.api.post(custom, certificates=second.cert, force=1)  # with the key that is there
    node.restart()
    assert served(node) == second.fingerprint()
    node.api.delete(custom, restart=1)
    wait_for(lambda: served(node) == own, 20, "its own certificate again")
    assert set(shown(node)) == {"pve-ssl.pem"} and not os.path.exists(kept)
    node.api.refused("DELETE", "/nodes/elsewhere/certificates/custom")
    node.restricted("cert2@pve", **{"/": "PVEAuditor"}).refused("DELETE", custom, status=403)
    wait_for(lambda: fronts(node) == 2, 90, "only the new fronts")  # our own kept connection may stay open for 30 s


@test
def certificates_that_cannot_be_used_are_refused(node):
    good, other = Pair(node, "good"), Pair(node, "other")
    weak = Pair(node, "weak", ("rsa:1024",))
    encrypted = openssl("pkey", "-in", good.key_path, "-aes256", "-passout", "pass:secret")
    lines = good.cert.splitlines()
    damaged = "\n".join([*lines[:3], "AAAA" + lines[3][4:], *lines[4:]]) + "\n"
    custom, before = "/nodes/{node}/certificates/custom", served(node)
    for chain, key, param, why in (
            (good.cert, other.key, "key", "not that of the certificate"), (good.cert, encrypted, "key", "without a password"),
            (good.cert, "no-such-key", "key", "no private key"), (good.cert, None, "key", "must be given"),
            (good.cert, good.cert, "key", "no private key"), ("nonsense", good.key, "certificates", "no certificate"),
            (good.key, good.key, "certificates", "no certificate"), (damaged, good.key, "certificates", "damaged"),
            (good.cert + damaged, good.key, "certificates", "damaged"),
            (good.cert[:-40], good.key, "certificates", "cannot be read"),
            (weak.cert, weak.key, "certificates", "too weak"), (good.cert * 11, good.key, "certificates", "too many"),
            ("x" * 70000, good.key, "certificates", "bytes of PEM"), (good.cert, "x" * 70000, None, "bytes of PEM")):
        reply = node.api.refused("POST", custom, {"certificates": chain, **({"key": key} if key else {}), "restart": 1}, 400)
        assert why in reply.text and (not param or param in reply.text), f"{why}: {reply.text}"
    assert served(node) == before and not os.path.exists(node.path("etc/tls/custom.pem"))
    node.restricted("cert3@pve", **{"/": "PVEAuditor"}).refused("POST", custom, {"certificates": good.cert, "key": good.key}, status=403)
    assert not re.search("BEGIN|no-such-key", node.log() + "".join(read(p) for p in glob.glob(node.path("var/tasks/*/*"))))
    found = subprocess.run(["grep", "-rlaE", "BEGIN (CERT|PRIV)|no-such-key", node.path("audit")], stdout=subprocess.PIPE, text=True)
    assert not found.stdout, found.stdout


@test(limit=240)
def nobody_is_dropped_by_a_new_certificate(node):
    """A console stays, a kept connection is answered once more and closed, and new ones are never refused."""
    pair, failures, n_served = Pair(node, "busy"), [], [0]
    stop = threading.Event()
    context = ssl._create_unverified_context()

    def ask(connection):
        connection.request("GET", "/api2/json/version")
        return connection.getresponse()

    def keep_asking():
        while not stop.is_set():
            connection = http.client.HTTPSConnection("127.0.0.1", node.port, context=context, timeout=20)
            try:
                reply = ask(connection)
                reply.read()
                if reply.status != 401:
                    failures.append(f"status {reply.status}")
                n_served[0] += 1
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
            finally:
                connection.close()

    idle = http.client.HTTPSConnection("127.0.0.1", node.port, context=context, timeout=20)
    token = node.api
    asker = threading.Thread(target=keep_asking)
    asker.start()
    try:
        for i in range(3):
            ask_idle = http.client.HTTPSConnection("127.0.0.1", node.port, context=context, timeout=20)
            ask_idle.connect()
            token.post("/nodes/{node}/certificates/custom", certificates=pair.cert, key=pair.key, force=1, restart=1)
            reply = ask(ask_idle)
            assert reply.status == 401 and reply.read() is not None, reply.status
            assert reply.getheader("Connection") == "close", "an old front closes after its reply"
            wait_for(lambda: served(node) == pair.fingerprint(), 20, "the new certificate")
            ask_idle.close()
            pair = Pair(node, f"busy{i}")
    finally:
        stop.set()
        asker.join()
        idle.close()
    assert not failures and n_served[0] > 3, (failures[:5], n_served)
    node.api.delete("/nodes/{node}/certificates/custom", restart=1)
    wait_for(lambda: fronts(node) == 2, 90, "only the new fronts")  # our own kept connection may stay open for 30 s


HEAD_SECONDS = 10  # a front gives a request's head this long


def answer_over_restart(node):
    """The beginning of what a request gets whose head began before the fronts were exchanged; None: that took too long."""
    wait_for(lambda: fronts(node) == 2, 60, "the two of the last time")
    raw = socket.create_connection(("127.0.0.1", node.port))
    with ssl._create_unverified_context().wrap_socket(raw) as tls:
        tls.sendall(b"GET /api2/json/version HTTP/1.1\r\nHost: x\r\n")  # half a head
        began = time.monotonic()
        node.api.delete("/nodes/{node}/certificates/custom", restart=1)
        wait_for(lambda: fronts(node) == 3 or time.monotonic() - began > HEAD_SECONDS, 60, "two new ones, and the one in use")
        tls.sendall(b"\r\n")
        answer = tls.recv(12)
        return answer if time.monotonic() - began < HEAD_SECONDS - 1 else None


@test(limit=240)
def an_open_connection_keeps_its_front(node):
    answers = (answer_over_restart(node) for _ in range(8))  # a busy machine needs more than one
    assert next(a for a in answers if a) == b"HTTP/1.1 401"
    wait_for(lambda: fronts(node) == 2, 60, "only the new ones")


# ---- all guests ----

@test(limit=90)
def all_guests_are_suspended(node):
    for vmid in (710, 711, 712):
        node.create(vmid, memory=64, startup=f"order={vmid - 709}")
    for vmid in (710, 711):
        assert node.api.wait_task(node.api.post(node.vm(vmid, "/status/start"))) == "OK"
    pair = Pair(node, "screen")  # viewers are told of a certificate of one's own, but never of its key
    node.api.post("/nodes/{node}/certificates/custom", certificates=pair.cert, key=pair.key)
    assert node.api.post(node.vm(710, "/vncproxy"), websocket=1)["cert"] == pair.cert
    node.api.delete("/nodes/{node}/certificates/custom")
    assert node.api.post(node.vm(710, "/vncproxy"), websocket=1)["cert"] == read(node.path("etc/tls/cert.pem"))
    upid = node.api.post("/nodes/{node}/suspendall", vms="711,712")
    assert ":suspendall::" in upid and node.api.wait_task(upid) == "OK", upid
    states = [node.api.get(node.vm(v, "/status/current"))["qmpstatus"] for v in (710, 711, 712)]
    assert states == ["running", "paused", "stopped"], states
    assert node.api.wait_task(node.api.post("/nodes/{node}/suspendall", {"max-workers": 1})) == "OK"
    assert node.api.get(node.vm(710, "/status/current"))["qmpstatus"] == "paused"
    node.api.refused("POST", "/nodes/{node}/suspendall", {"vms": "799"}, 400, param="vms")
    node.restricted("all@pve", **{"/vms/710": "PVEVMUser"}).refused("POST", "/nodes/{node}/suspendall", status=403)
    for vmid in (710, 711):
        node.api.wait_task(node.api.post(node.vm(vmid, "/status/stop")))
    for vmid in (710, 711, 712):
        node.remove(vmid)


# ---- smart ----

@test(limit=60)
def command_line_of_the_host(node):
    assert isinstance(node.cli_json("node", "packages"), list) and isinstance(node.cli_json("node", "usb"), list)
    assert isinstance(node.cli_json("node", "mounts"), list)
    assert [c["filename"] for c in node.cli_json("node", "certificate", "show")] == ["pve-ssl.pem"]
    pair = Pair(node, "cli")
    files = ["--data-file", f"certificates={pair.cert_path}", "--data-file", f"key={pair.key_path}"]
    node.cli("node", "certificate", "set", *files)
    assert node.cli("node", "certificate", "set", *files, is_checked=False).returncode
    node.cli("node", "certificate", "set", *files, "--force", "--restart")
    wait_for(lambda: served(node) == pair.fingerprint(), 20, "the new certificate")
    node.cli("node", "certificate", "delete", "--restart", "-y")
    wait_for(lambda: served(node) != pair.fingerprint(), 20, "the old certificate")
    upid = node.cli("node", "suspendall", "--no-wait").stdout.strip()
    assert node.api.wait_task(upid) == "OK" and ":suspendall::" in upid, upid
    for args in (["power", "halt", "-y"], ["service", "state", "nonsense"], ["service", "stop", "holmd", "-y"],
                 ["mdev", "0000:7f:00.0"], ["smart", "/dev/nothing"]):
        assert node.cli("node", *args, is_checked=False).returncode, args
    for name in ("lvm", "lvmthin", "zfs"):
        done = node.cli("node", name, is_checked=False)
        assert done.returncode == 0 or "/usr/sbin/" in done.stderr, done.stderr


@test
def health_of_disks(node):
    for path in ("/dev/nothing", "/dev/null", "/dev/disk/x"):
        node.api.refused("GET", "/nodes/{node}/disks/smart", {"disk": path}, 500, "is not a disk of this node")
    node.api.refused("GET", "/nodes/{node}/disks/smart", {"disk": "/etc/passwd"}, 400, param="disk")
    node.restricted("smart@pve").refused("GET", "/nodes/{node}/disks/smart", {"disk": "/dev/sda"}, status=403)


ATA = {"smartctl": {"exit_status": 0, "output": ["smartctl 7.3"]}, "smart_status": {"passed": True},
       "ata_smart_attributes": {"table": [{"id": 9, "name": "Power_On_Hours", "value": 99, "worst": 98, "thresh": 1, "when_failed": "",
                                           "flags": {"string": "-O--CK "}, "raw": {"value": 4321, "string": "4321"}}]}}
NVME = {"smartctl": {"exit_status": 0, "output": ["SMART overall-health: FAILED!", "Temperature: 41 Celsius"]},
        "smart_status": {"passed": False}}
CANNOT = {"smartctl": {"exit_status": 2, "messages": [{"string": "Smartctl open device failed", "severity": "error"}]}}


@test
def health_of_disks_of_another_host():
    node, path = rich(), "/nodes/{node}/disks/smart"
    disk = next(f"/dev/{d}" for d in sorted(os.listdir("/sys/block")) if os.path.exists(f"/dev/{d}"))
    if not os.path.exists("/usr/sbin/smartctl"):
        node.api.refused("GET", path, {"disk": disk}, 500, "smartmontools is not installed")
    node.program("smartctl", json.dumps(ATA), node.base + "/sbin/smartctl")
    assert node.api.get(path, disk=disk) == {"health": "PASSED", "type": "ata", "attributes": [
        {"id": "  9", "name": "Power_On_Hours", "value": 99, "normalized": 99, "worst": 98, "threshold": 1, "flags": "-O--CK ",
         "fail": "-", "raw": "4321"}]}
    assert node.asked("smartctl").split() == ["--json=o", "-H", "-A", disk]
    assert node.api.get(path, disk=disk, healthonly=1) == {"health": "PASSED"}
    node.program("smartctl", json.dumps(NVME), node.base + "/sbin/smartctl")
    assert node.api.get(path, disk=disk) == {"health": "FAILED!", "type": "text",
                                             "text": "SMART overall-health: FAILED!\nTemperature: 41 Celsius\n"}
    node.program("smartctl", json.dumps(CANNOT), node.base + "/sbin/smartctl", status=2)
    node.api.refused("GET", path, {"disk": disk}, 500, "smartctl: Smartctl open device failed")
    node.program("smartctl", "[" * 3000, node.base + "/sbin/smartctl")
    node.api.refused("GET", path, {"disk": disk}, 500, "smartctl: no answer")


if __name__ == "__main__":
    try:
        main()
    finally:
        if _Shared.node and not _Shared.node.is_dead():
            _Shared.node.close(is_checked=False)
