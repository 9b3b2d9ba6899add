"""Networks of the host: bridges that Holm makes, guests on them, NAT and DHCP. All of it in a network namespace that this
process enters first, so that nothing of the host is seen or changed."""
import glob
import os
import re
import socket
import struct
import subprocess
import tempfile
import time

from lib import facts, guests, netns, procs
from lib.client import ApiError
from lib.holm import Node
from lib.shell import Shell
from lib.tap import main, test
from lib.wait import slow, wait_for

NET = "/nodes/{node}/network"


def instance(node):
    with open(node.path("var/instance"), encoding="ascii") as f:
        return f"{int(f.read()):04x}"


def tap(node, vmid, index=0):
    return f"h{instance(node)}{vmid}{index}"


def listed(node):
    return {i["iface"]: i for i in node.api.get(NET)}


def refusal(call, *args, **kwargs):
    """Text of a refused call, or of a task that failed."""
    try:
        call(*args, **kwargs)
    except (ApiError, AssertionError) as e:
        return str(e)
    raise AssertionError(f"{args} {kwargs} was taken")


def bridge(node, name, **more):
    node.api.post(NET, iface=name, type="bridge", **more)


def apply(node):
    return node.api.run("PUT", NET)


def clear(node):
    """No networks of Holm's, nothing pending."""
    node.api.delete(NET)
    for name in listed(node):
        if name.startswith("vmbr"):
            node.api.delete(f"{NET}/{name}")
    apply(node)


def start(node, vmid, **net):
    guests.install_demo(node)
    node.create(vmid, **{**guests.DEMO, "memory": 192, **net})
    node.api.run("POST", node.vm(vmid, "/status/start"))


# --- configuration ---

@test(limit=60)
def changes_wait_until_applied_or_dropped(node):
    bridge(node, "vmbr5", cidr="10.5.0.1/24", cidr6="fd05::1/64", mtu=1400, comments="five", autostart=1)
    assert listed(node)["vmbr5"]["pending"] == "new" and not {"exists", "applied"} & set(listed(node)["vmbr5"])
    assert "vmbr5" not in netns.links()
    node.api.delete(NET)
    assert "vmbr5" not in listed(node)
    bridge(node, "vmbr5", address="10.5.0.1", netmask="255.255.255.0", cidr6="fd05::1/64", mtu=1400, comments="five", autostart=1)
    upid = apply(node)
    assert ":srvreload:networking:" in upid, upid
    assert netns.addresses("vmbr5") == ["10.5.0.1/24", "fd05::1/64"] and netns.links()["vmbr5"]["mtu"] == 1400
    assert netns.links()["vmbr5"]["ifalias"] == f"holm-{instance(node)}" and "UP" in netns.links()["vmbr5"]["flags"]
    one = node.api.get(f"{NET}/vmbr5")
    assert one["cidr"] == "10.5.0.1/24" and one["netmask"] == "255.255.255.0" and one["comments"] == "five", one
    assert not {"pending", "applied"} & set(listed(node)["vmbr5"]) and listed(node)["vmbr5"]["active"] == 1
    with open(node.path("etc/network/interfaces"), encoding="utf-8") as f:
        assert re.search(r"auto vmbr5\niface vmbr5 inet static\n\taddress 10.5.0.1/24\n.*inet6 static\n\taddress fd05::1/64", f.read(), re.S)
    node.api.put(f"{NET}/vmbr5", type="bridge", cidr="10.5.1.1/24", delete="cidr6,mtu")
    planned = listed(node)["vmbr5"]
    assert planned["pending"] == "change" and netns.addresses("vmbr5") == ["10.5.0.1/24", "fd05::1/64"]
    assert planned["cidr"] == "10.5.1.1/24" and "mtu" not in planned
    assert planned["applied"]["cidr"] == "10.5.0.1/24" and planned["applied"]["mtu"] == 1400, planned
    apply(node)
    assert netns.addresses("vmbr5") == ["10.5.1.1/24"]
    node.api.delete(f"{NET}/vmbr5")
    assert listed(node)["vmbr5"]["pending"] == "delete" and "vmbr5" in netns.links()
    assert listed(node)["vmbr5"]["applied"]["comments"].strip() == "five"
    apply(node)
    assert "vmbr5" not in netns.links() and "vmbr5" not in listed(node)


@test(limit=60)
def what_is_not_holms_is_left_alone(node):
    netns.ip("link", "add", "vmbr8", "type", "bridge")
    netns.ip("link", "add", "nic0", "type", "veth", "peer", "name", "nic0p")
    netns.ip("address", "add", "192.0.2.5/24", "dev", "nic0")
    try:
        bridge(node, "vmbr8", cidr="10.8.0.1/24")
        assert "was not made by Holm" in refusal(apply, node)
        assert not netns.addresses("vmbr8")
        node.api.delete(NET)
        # A port that carries the host's address would cut off who uses it.
        bridge(node, "vmbr6", bridge_ports="nic0")
        assert "'nic0' has the address 192.0.2.5/24" in refusal(apply, node)
        assert "vmbr6" not in netns.links() and "master" not in netns.links()["nic0"]
        netns.ip("address", "del", "192.0.2.5/24", "dev", "nic0")
        apply(node)
        assert netns.links()["nic0"]["master"] == "vmbr6"
        # An address for an interface of the host: what somebody else gave it stays.
        node.api.put(f"{NET}/vmbr6", type="bridge", delete="bridge_ports")
        node.api.post(NET, iface="nic0", type="eth", cidr="192.0.2.9/24")
        netns.ip("address", "add", "198.51.100.1/24", "dev", "nic0")
        apply(node)
        assert "master" not in netns.links()["nic0"]
        assert netns.addresses("nic0") == ["192.0.2.9/24", "198.51.100.1/24"]
        node.api.delete(f"{NET}/nic0")
        apply(node)
        assert netns.addresses("nic0") == ["198.51.100.1/24"] and "nic0" in netns.links()
    finally:
        netns.ip("link", "del", "vmbr8")
        netns.ip("link", "del", "nic0", is_checked=False)
        clear(node)


@test(limit=60)
def a_change_that_fails_is_taken_back(node):
    bridge(node, "vmbr1", cidr="10.1.0.1/24")
    apply(node)
    # Bridges come in the order of their names: the second is made before the last one fails.
    bridge(node, "vmbr2", cidr="10.2.0.1/24")
    node.api.put(f"{NET}/vmbr1", type="bridge", cidr="10.1.0.2/24")
    netns.ip("link", "add", "nic1", "type", "veth", "peer", "name", "nic1p")
    bridge(node, "vmbr3", cidr="10.3.0.1/24", gateway="203.0.113.1")  # not reachable from there
    try:
        assert "gateway" in refusal(apply, node)
        assert netns.addresses("vmbr1") == ["10.1.0.1/24"] and not {"vmbr2", "vmbr3"} & set(netns.links())
        assert listed(node)["vmbr2"]["pending"] == "new", "the plan is still there to be corrected"
    finally:
        netns.ip("link", "del", "nic1")
        clear(node)


@test(limit=60)
def names_and_values_of_strangers_are_refused(node):
    hostile = ["../../etc", "a/b", "vmbr0;reboot", "vmbr 0", "-rf", "lo", "all", "x" * 16, "vmbr\n0", "h00011000", "%n%n",
               "vmbr0:1", "ünicode", "a\"b", "$(id)"]
    for name in hostile:
        refusal(node.api.post, NET, iface=name, type="bridge")
        if ";" not in name:  # that separates names
            refusal(node.api.post, NET, iface="vmbr4", type="bridge", bridge_ports=name)
    for bad in [{"cidr": "10.0.0.1/33"}, {"cidr": "10.0.0.1"}, {"cidr": "::1/64"}, {"address": "10.0.0.1"}, {"mtu": 100},
                {"nat": 1}, {"gateway": "10.0.0.1"}, {"cidr": "10.0.0.1/24", "dhcp-range": "10.1.0.1-10.1.0.9"},
                {"cidr": "10.0.0.1/24", "dhcp-range": "10.0.0.1-10.0.0.9"}, {"cidr": "10.0.0.1/24", "dhcp-range": "a-b"},
                {"cidr": "10.0.0.1/24", "dhcp-range": "10.0.0.5,10.0.0.9"}, {"slaves": "eth0"}, {"comments": "a\x1bb"},
                {"comments": "x" * 600}, {"bridge_ports": "vmbr4"}, {"bridge_ports": " ".join(f"nic{i}" for i in range(60))}]:
        refusal(node.api.post, NET, iface="vmbr4", type="bridge", **bad)
    for kind in ("OVSBridge", "OVSBond", "alias", "vnet", "fabric"):
        assert "not supported" in refusal(node.api.post, NET, iface="x1", type=kind)
    for bad in [{}, {"slaves": "x9"}, {"slaves": "nic0", "bond_mode": "balance-slb"}, {"slaves": "nic0", "bond-primary": "nic1"},
                {"slaves": "nic0", "bond_mode": "active-backup", "bond-primary": "nic1"}, {"slaves": "nic0", "bridge_ports": "nic1"},
                {"slaves": "nic0", "bond_mode": "active-backup", "bond_xmit_hash_policy": "layer2"}, {"slaves": "nic0 x9"},
                {"slaves": "nic0;../x"}, {"slaves": "nic0", "bridge_vlan_aware": 1}]:
        refusal(node.api.post, NET, iface="x9", type="bond", **bad)
    node.api.post(NET, iface="bond0", type="bond", slaves="nic0,nic1", bond_mode="802.3ad", bond_xmit_hash_policy="layer3+4")
    one = node.api.get(f"{NET}/bond0")
    assert (one["slaves"], one["bond_mode"], one["bond_xmit_hash_policy"]) == ("nic0 nic1", "802.3ad", "layer3+4"), one
    assert "is a port of" in refusal(bridge, node, "vmbr4", bridge_ports="nic1")
    node.api.delete(NET)
    for n in range(128):
        bridge(node, f"b{n}")
    assert "more than 128" in refusal(bridge, node, "b128")
    node.api.delete(NET)
    assert not netns.links() and not [i for i in listed(node) if i != "lo"]
    only = node.restricted("auditor@pve", **{"/": "PVEAuditor"})
    made = {"iface": "x1", "type": "bridge"}
    for method, path, params in [("post", NET, made), ("put", NET, {}), ("delete", NET, {}), ("delete", f"{NET}/x1", {}),
                                 ("put", f"{NET}/x1", {"type": "bridge"})]:
        assert "Permission check failed" in refusal(getattr(only, method), path, **params)
    assert only.get(NET) is not None
    refusal(node.api.get, f"{NET}/none0")
    refusal(node.nobody().get, NET)


@test(limit=60)
def a_second_copy_is_for_ifupdown():
    with Node(options=["--interfaces", "/tmp/h-interfaces-test"]) as node:
        try:
            bridge(node, "vmbr1", autostart=1)
            apply(node)
            with open("/tmp/h-interfaces-test", encoding="utf-8") as f:
                assert "auto vmbr1\niface vmbr1 inet manual\n\tbridge-ports none\n" in f.read()
            clear(node)
        finally:
            os.unlink("/tmp/h-interfaces-test")


@test(limit=90)
def bridges_come_back_with_the_daemon(node):
    bridge(node, "vmbr1", cidr="10.1.0.1/24")
    apply(node)
    node.stop()
    netns.ip("link", "del", "vmbr1")
    # What a daemon made that died before it could say so.
    netns.ip("link", "add", "vmbr9", "type", "bridge")
    netns.ip("link", "set", "vmbr9", "alias", f"holm-{instance(node)}")
    netns.ip("link", "add", "vmbr7", "type", "bridge")  # somebody else's
    node.start()
    assert netns.addresses("vmbr1") == ["10.1.0.1/24"]
    assert "vmbr9" not in netns.links() and "vmbr7" in netns.links()
    netns.ip("link", "del", "vmbr7")
    clear(node)


# --- holm net ---

def dnsmasq(node):
    return [p for p in procs.of_root(node.root) if procs.name(p) == "dnsmasq"]


@test(limit=90)
def net_init_makes_a_network_and_remove_undoes_it(node):
    assert not netns.forwards() and netns.nft() == ""
    node.cli("net", "init")
    assert netns.addresses("vmbr0") == ["10.87.0.1/24"] and netns.forwards()
    rules = netns.nft()
    assert f"table ip holm_{instance(node)}" in rules and 'oifname != "vmbr0" masquerade' in rules
    first = wait_for(lambda: dnsmasq(node), 10, "dnsmasq")
    assert procs.stat(first[0])[1] in "SR"
    with open(f"/proc/{first[0]}/status", encoding="ascii") as f:
        wait_for(lambda: not re.search(r"^Uid:\s+0\s", open(f"/proc/{first[0]}/status").read(), re.M), 10,
                 "dnsmasq to become its own user")
    # It lives on without holmd, is adopted, and comes back when it dies.
    node.restart(is_killed=True)
    assert dnsmasq(node) == first
    procs.kill(first[0])
    wait_for(lambda: dnsmasq(node) not in ([], first), 10, "a new dnsmasq")
    assert node.cli("net", "list", "-o", "json").stdout.count("vmbr0") == 1
    assert "already exists" in node.cli("net", "init", is_checked=False).stderr
    node.cli("net", "create", "vmbr3", "--type", "bridge")
    assert "pending" in node.cli("net", "remove", "vmbr0", "-y", is_checked=False).stderr
    node.cli("net", "revert", "-y")
    node.cli("net", "remove", "vmbr0", "-y")
    assert not netns.links() and netns.nft() == "" and not netns.forwards()
    wait_for(lambda: not dnsmasq(node), 10, "dnsmasq to end")
    wait_for(lambda: not os.listdir(node.path("run/net")), 5, "its files to go")
    assert node.orphans() == ""
    assert "bits" in node.cli("net", "init", "--subnet", "10.0.0.0/30", is_checked=False).stderr
    node.cli("net", "init", "vmbr1", "--subnet", "172.30.5.0/26", "--no-nat", "--no-dhcp")
    assert netns.addresses("vmbr1") == ["172.30.5.1/26"] and netns.nft() == "" and not dnsmasq(node)
    node.cli("net", "set", "vmbr1", "--type", "bridge", "--mtu", "1400")
    node.cli("net", "apply")
    assert netns.links()["vmbr1"]["mtu"] == 1400 and "172.30.5.1/26" in node.cli("net", "show", "vmbr1").stdout
    node.cli("net", "delete", "vmbr1", "-y")
    node.cli("net", "apply")
    assert not netns.links()


class DhcpClient:
    """Asks for an address on the far end of a pair whose near end is a port of the bridge: bytes as it likes."""

    def __init__(self, device, mac):
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800))
        self.socket.bind((device, 0))
        self.socket.settimeout(slow(5))

    def send(self, kind, options):
        bootp = struct.pack(">BBBBIHHIIII", 1, 1, 6, 0, 0x12345678, 0, 0x8000, 0, 0, 0, 0) + self.mac + bytes(10 + 64 + 128)
        bootp += b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + options + b"\xff"
        udp = struct.pack(">HHHH", 68, 67, 8 + len(bootp), 0) + bootp
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
        total = sum(struct.unpack(">10H", ip))
        total = (total & 0xffff) + (total >> 16)
        ip = ip[:10] + struct.pack(">H", ~total & 0xffff) + ip[12:]
        self.socket.send(b"\xff" * 6 + self.mac + b"\x08\x00" + ip + udp)

    def answer(self, kind):
        """The address in the next answer of this kind to this client."""
        while True:
            frame = self.socket.recv(2048)
            dhcp = frame[42:]
            if len(dhcp) > 243 and frame[36:38] == b"\x00\x44" and dhcp[28:34] == self.mac and dhcp[240:243] == bytes([53, 1, kind]):
                return dhcp[16:20]

    def lease(self, name):
        """With this host name (option 12), asked for again until there is an answer."""
        option = bytes([12, len(name)]) + name if name else b""
        for _ in range(5):
            try:
                self.send(1, option)
                offered = self.answer(2)
                self.send(3, option + bytes([50, 4]) + offered + bytes([54, 4]) + socket.inet_aton("10.87.0.1"))
                return socket.inet_ntoa(self.answer(5))
            except TimeoutError:
                continue
        raise AssertionError(f"no lease for {name}")


HOSTILE_NAMES = [b'"; touch /tmp/holm-x; "', b"a\nb c", b"%n%n%s", b"x" * 255, b"\x1b[2J\x1b]0;x\x07", b"../../etc/passwd", b"$(id)",
                 b"\xff\xfe\x00\x01", b"a,b=c", b"-"]


@test(limit=90)
def leases_are_shown_and_hostile_clients_do_no_harm(node):
    netns.ip("link", "add", "nic0", "type", "veth", "peer", "name", "nic0p")
    netns.ip("link", "set", "nic0p", "up")
    node.cli("net", "init")
    node.api.put(f"{NET}/vmbr0", type="bridge", bridge_ports="nic0")
    apply(node)
    server = wait_for(lambda: dnsmasq(node), 10, "dnsmasq")
    assert node.api.get("/nodes/{node}/dhcp-leases") == []
    good = DhcpClient("nic0p", "02:00:00:00:00:01").lease(b"web-1")
    for n, name in enumerate(HOSTILE_NAMES):
        assert DhcpClient("nic0p", f"02:00:00:00:01:{n:02x}").lease(name) != good
    rows = {r["mac"]: r for r in node.api.get("/nodes/{node}/dhcp-leases")}
    assert len(rows) == 1 + len(HOSTILE_NAMES), rows
    mine = rows["02:00:00:00:00:01"]
    assert mine["name"] == "web-1" and mine["address"] == good and mine["iface"] == "vmbr0" and mine["expire"] > time.time(), mine
    assert all(re.fullmatch(r"[A-Za-z0-9._-]*", r["name"]) for r in rows.values()), rows
    shown = node.cli("net", "leases").stdout
    assert "web-1" in shown and good in shown and "\x1b" not in shown and len(shown.splitlines()) == 2 + len(HOSTILE_NAMES), shown
    assert not os.path.exists("/tmp/holm-x") and dnsmasq(node) == server
    node.api.refused("GET", "/nodes/none/dhcp-leases", text="hostname lookup")
    assert "Permission check failed" in refusal(node.restricted("plain@pve").get, "/nodes/{node}/dhcp-leases")
    # Killed together with its holmd, again and again: there is one, and the leases are still known.
    for is_server_killed in (True, False, True):
        node.kill9()
        for pid in dnsmasq(node) if is_server_killed else ():
            procs.kill(pid)
        node.start()
        wait_for(lambda: len(dnsmasq(node)) == 1, 15, "one dnsmasq")
    again = DhcpClient("nic0p", "02:00:00:00:00:01").lease(b"web-1")
    assert again == good and len(dnsmasq(node)) == 1
    # One that was started by a holmd killed before it could know of it: the second finds the address taken, and ends.
    second = subprocess.run(["/usr/sbin/dnsmasq", f"--conf-file={node.path('run/net/vmbr0.conf')}"], capture_output=True, text=True,
                            timeout=slow(20), check=False)
    assert second.returncode != 0 and "in use" in second.stderr, second.stderr
    with open(node.path("run/net/vmbr0.pid"), encoding="ascii") as f:
        assert [int(f.read())] == dnsmasq(node)
    node.cli("net", "remove", "vmbr0", "-y")
    wait_for(lambda: not os.listdir(node.path("run/net")) and not os.listdir(node.path("var/net")), 10, "its files to go")
    netns.ip("link", "del", "nic0")


@test(limit=60)
def addresses_that_go_are_named(node):
    """Before they go, in the task's log: whoever is connected over one may be the one who asked."""
    bridge(node, "vmbr1", cidr="10.1.0.1/24", cidr6="fd01::1/64")
    bridge(node, "vmbr2", cidr="10.2.0.1/24")
    apply(node)
    with socket.create_server(("10.1.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        peer, _ = listener.accept()
        node.api.put(f"{NET}/vmbr1", type="bridge", cidr="10.1.0.2/24", delete="cidr6")
        node.api.delete(f"{NET}/vmbr2")
        log = "\n".join(node.api.task_log(apply(node)))
        peer.close()
        client.close()
    assert "WARNING: 10.1.0.1/24 is taken off vmbr1: the connections over it (2 now) end" in log, log
    assert "fd01::1/64 is taken off vmbr1" in log and "10.2.0.1/24 is taken off vmbr2" in log, log
    # An address that only moves is not gone.
    bridge(node, "vmbr3", cidr="10.1.0.2/24")
    node.api.put(f"{NET}/vmbr1", type="bridge", delete="cidr")
    assert "is taken off" not in "\n".join(node.api.task_log(apply(node)))
    clear(node)


# --- guests ---

def transfer(guest, is_from_guest, n_bytes):
    """Seconds that so many bytes take between the guest and the host's end of the bridge."""
    with socket.socket() as listener:
        listener.bind(("10.87.0.1", 0))
        listener.listen(1)
        listener.settimeout(slow(30))
        port = listener.getsockname()[1]
        pipe = f"head -c {n_bytes} /dev/zero | nc 10.87.0.1 {port}" if is_from_guest else f"nc 10.87.0.1 {port} >/dev/null"
        guest.console.type(f"{pipe}; echo en''d=$?\n")
        peer, _ = listener.accept()
        began = time.monotonic()
        with peer:
            peer.settimeout(slow(30))
            if is_from_guest:
                left = n_bytes
                while left and (data := peer.recv(65536)):
                    left -= len(data)
                assert not left
            else:
                peer.sendall(bytes(n_bytes))
                peer.shutdown(socket.SHUT_WR)
                guest.console.expect("end=")
    took = time.monotonic() - began
    if is_from_guest:
        guest.console.expect("end=")
    return took


@test(limit=60)
def a_guest_without_its_bridge_does_not_start(node):
    node.create(100, memory=64, net0="virtio,bridge=vmbr0")
    why = refusal(node.api.run, "POST", node.vm(100, "/status/start"))
    assert "bridge 'vmbr0' does not exist" in why, why
    assert not os.listdir(node.path("run/guest")) and node.guest_state(100) == "stopped"
    bridge(node, "vmbr0", mtu=1400)
    apply(node)
    for value, words in [("virtio,bridge=vmbr0,tag=5", "needs a VLAN-aware bridge"),
                         ("virtio,bridge=vmbr0,trunks=1;2-9", "trunks= needs a VLAN-aware bridge"), ("virtio,bridge=vmbr0,mtu=9000", "more than the 1400")]:
        node.api.put(node.vm(100, "/config"), net0=value)
        assert words in refusal(node.api.run, "POST", node.vm(100, "/status/start"))
    assert not [name for name in netns.links() if name.startswith("h")]
    for bad in ("virtio,bridge=../x", "virtio,bridge=vmbr0;id", "virtio,rate=5", "virtio,tag=5", "virtio,queues=4",
                "virtio,bridge=vmbr0,trunks=1;4095", "virtio,trunks=5", "virtio,bridge=vmbr0,trunks=1-600", "virtio,bridge=vmbr0,queues=65", "virtio,bridge=vmbr0,tag=4095",
                "virtio,bridge=averyveryverylongname"):
        refusal(node.api.put, node.vm(100, "/config"), net0=bad)
    node.remove(100)
    clear(node)


@test(limit=60)
def vlans_need_a_kernel_that_has_them(node):
    """Where the kernel filters VLANs a tagged tap is in its VLAN alone; elsewhere applying says so and changes nothing."""
    bridge(node, "vmbr0", bridge_vlan_aware=1)
    try:
        apply(node)
    except AssertionError as e:
        assert "this kernel's bridges cannot filter VLANs" in str(e), e
        assert not netns.links()
    else:
        node.create(100, memory=64, net0="virtio,bridge=vmbr0,tag=5")
        node.api.run("POST", node.vm(100, "/status/start"))
        shown = netns.run("bridge", "-j", "vlan", "show", "dev", tap(node, 100))
        assert re.findall(r'"vlan":(\d+)', shown) == ["5"], shown
        node.remove(100)
    clear(node)


def build_probe(name, folder):
    """tests/system/NAME.c with the product's own code, linked statically."""
    network = [f"{facts.TOP}/src/network/{n}.c" for n in "address apply bond config link nat rtnl shape tap vlan".split()]
    base = [f for f in glob.glob(f"{facts.TOP}/src/base/*.c") if not f.endswith("_test.c")]
    netns.run("gcc", "-static", "-O1", "-std=gnu11", "-D_GNU_SOURCE", '-DHOLM_VERSION="test"', f"-I{facts.TOP}/src",
              f"{facts.TOP}/tests/system/{name}.c", *network, *base, "-ljansson", "-lsodium", "-lm", "-lpthread",
              "-o", f"{folder}/{name}")


def install_probes(node, name):
    """The demo's initrd with the probes and the modules for bonds in it, as a volume of its own."""
    guests.install_demo(node)
    with tempfile.TemporaryDirectory() as folder:
        for probe in ("vlan_probe", "bond_probe"):
            build_probe(probe, folder)
        netns.run(f"{facts.TOP}/tools/guest-modules", os.path.join(guests.demo_folder(), "vmlinuz"), f"{folder}/more", "bonding")
        names = sorted(os.path.relpath(os.path.join(top, n), folder) for top, dirs, files in os.walk(folder) for n in dirs + files)
        more = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=folder, input="\n".join(names).encode(), capture_output=True,
                              check=True)
    with open(os.path.join(guests.demo_folder(), "initrd.img"), "rb") as f:
        whole = f.read()
    with open(node.path("var/storage/local/boot", name), "wb") as f:
        f.write(whole + bytes(-len(whole) % 4) + more.stdout)


VLANS = """0: 1 5(5)
1: 0 5(5)
2: 5(6)
3: 4 5
4: 3 5
5: 3 4
"""
MADE = """mode: active-backup 1
miimon: 100
primary: nic1
xmit_hash_policy: layer2 0
nic0 tun bond0 up
nic1 tun bond0 up
bond0 bond vmbr1 up
vmbr1 bridge - up 10.9.0.1/24
bond0.5 vlan - up 10.5.0.1/24
"""


@test(limit=240)
def vlans_and_bonds(node):
    """In a guest, whose kernel has what this machine's may lack: taps on a VLAN-aware bridge, in VLANs 5 5 6 1 1 and one
    that may tag 5 and 6 itself; bonds."""
    install_probes(node, "probe.img")
    node.create(100, **{**guests.DEMO, "initrd": "local:boot/probe.img"})
    node.api.run("POST", node.vm(100, "/status/start"))
    with Shell(node, 100) as guest:
        said = guest.run("dmesg -n 1; modprobe -a bridge 8021q tun; /vlan_probe", 90).replace("\r", "")
        assert VLANS in said, said
        assert "vmbr0 bridge holm-0007 \n" in said and "vmbr0.7 vlan holm-0007 10.7.0.1/24\n" in said, said
        guest.run("ip link del vmbr0; for m in $(cat /more/order); do insmod /more/$m max_bonds=0; done")
        said = guest.run("/bond_probe", 90).replace("\r", "").replace(" \n", "\n")
    steps = dict(part.split("\n", 1) for part in said.split("== ")[1:])
    assert steps["made"] == steps["again"] == MADE, said
    changed = steps["another mode"]
    assert "mode: 802.3ad 4\n" in changed and "xmit_hash_policy: layer3+4 1\n" in changed and "primary" not in changed, said
    for line in ("nic0 tun bond0 up", "nic1 tun bond0 up", "bond0 bond vmbr1 up", "bond0.5 vlan - up 10.5.0.1/24"):
        assert line + "\n" in changed, (line, said)
    assert changed.endswith("failed: port 'nic9' of 'bond0' does not exist\n"), said
    assert steps["a slave that is not there"] + "failed: port 'nic9' of 'bond0' does not exist\n" == changed, said
    assert "nic0 tun bond0 up\nnic1 tun - down\nbond0 bond - up\n" in steps["one slave"], said
    assert "bond0" not in steps["gone"] and "vmbr1" not in steps["gone"] and "nic0 tun -" in steps["gone"], said
    node.remove(100)


@test(limit=180)
def guests_reach_each_other_and_the_host(node):
    node.cli("net", "init", "--subnet", "10.87.0.0/24")
    wait_for(lambda: dnsmasq(node), 10, "dnsmasq")
    start(node, 100, net0="virtio,bridge=vmbr0,firewall=1", net1="virtio,bridge=vmbr0,link_down=1")
    start(node, 101, net0="virtio=BC:24:11:00:00:65,bridge=vmbr0,queues=2,mtu=1,rate=1", cores=2)
    ifb = "i" + tap(node, 101)[1:]
    assert ifb in netns.links() and "i" + tap(node, 100)[1:] not in netns.links()
    taps = {tap(node, 100), tap(node, 100, 1), tap(node, 101)}
    assert taps <= set(netns.links()) and all(netns.links()[t]["master"] == "vmbr0" for t in taps)
    owner = {t: netns.links()[t]["linkinfo"]["info_data"].get("user") for t in taps}
    assert 0 not in owner.values() and owner[tap(node, 100)] != owner[tap(node, 101)], owner
    address = r"inet (10\.87\.0\.\d+)/24"
    with Shell(node, 100) as a, Shell(node, 101) as b:
        assert a.succeeds("until ip address show eth0 | grep -q 'inet 10.87.0'; do sleep 0.2; done")
        assert b.succeeds("until ip address show eth0 | grep -q 'inet 10.87.0'; do sleep 0.2; done")
        mine, theirs = (re.search(address, s.run("ip address show eth0"))[1] for s in (a, b))
        assert mine != theirs and 16 <= int(mine.split(".")[3]) <= 254
        assert "bc:24:11:00:00:65" in b.run("cat /sys/class/net/eth0/address")
        assert a.succeeds(f"ping -c 1 -w 10 {theirs}") and b.succeeds(f"ping -c 1 -w 10 {mine}")
        assert a.succeeds("ping -c 1 -w 10 10.87.0.1") and "default via 10.87.0.1" in a.run("ip route")
        assert "0" in a.run("ip link set eth1 up; cat /sys/class/net/eth1/carrier")
        assert "2" in b.run("ls -d /sys/class/net/eth0/queues/rx-* | wc -l")
        # rate=1: a megabyte a second, each way.
        for is_from_guest, queue in ((True, ifb), (False, tap(node, 101))):
            assert transfer(b, is_from_guest, 2 << 20) > 1.7
            shown = netns.run("tc", "-s", "qdisc", "show", "dev", queue)
            assert "tbf" in shown and "rate 8388Kbit" in shown and int(re.search(r"Sent (\d+)", shown)[1]) > 2 << 20, shown
        assert "tbf" not in netns.run("tc", "qdisc", "show", "dev", tap(node, 100))
        # While holmd is away, guests keep their network; it takes them over again.
        node.kill9()
        assert netns.addresses("vmbr0") == ["10.87.0.1/24"] and taps <= set(netns.links())
        node.start()
    wait_for(lambda: node.api.get(node.vm(100, "/status/current"))["netin"] > 300
             and node.api.get(node.vm(100, "/status/current"))["netout"] > 300, 20, "counters of the tap")
    node.api.delete(f"{NET}/vmbr0")
    assert "interfaces of running guests" in refusal(apply, node)
    node.api.delete(NET)
    # Killed with everything that could clean up: the kernel does.
    node.kill9()
    procs.kill_all(procs.find(node.root, "holm-guest") + procs.find(node.root, "qemu-system-x86_64"), (node.process.pid,))
    wait_for(lambda: not taps & set(netns.links()), 10, "taps to go")
    assert f"{ifb} of a tap that is gone" in node.orphans()
    node.start()
    wait_for(lambda: node.guest_state(100) == "stopped", 20, "guests to be found stopped")
    assert not {ifb} & set(netns.links())
    assert node.orphans() == ""
    node.remove(100)
    node.remove(101)
    node.cli("net", "remove", "vmbr0", "-y")
    assert not netns.links()


if __name__ == "__main__":
    guests.fetch_modules("bonding")
    netns.enter()
    main()
