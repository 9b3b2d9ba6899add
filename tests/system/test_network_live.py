"""Interfaces of a running guest on bridges: they come and go, move, get other limits; seen from inside the guest and from
the kernel that has the taps. All of it in a network namespace of this process."""
import re

from lib import guests, netns, procs
from lib.client import ApiError
from lib.shell import Shell
from lib.tap import main, test
from lib.wait import wait_for

NET = "/nodes/{node}/network"
MAC = "BC:24:11:00:00:21"


def instance(node):
    with open(node.path("var/instance"), encoding="ascii") as f:
        return f"{int(f.read()):04x}"


def tap(node, index, vmid=100):
    return f"h{instance(node)}{vmid}{index}"


def ifb(node, index, vmid=100):
    return "i" + tap(node, index, vmid)[1:]


def put(node, vmid=100, **params):
    node.api.put(node.vm(vmid, "/config"), **params)


def pending(node):
    return {r["key"]: r for r in node.api.get(node.vm(100, "/pending")) if "pending" in r or "delete" in r}


def fails(node, text, **params):
    """A change that the running guest does not take: refused with these words, and pending."""
    try:
        put(node, **params)
    except ApiError as e:
        assert text in str(e), e
    else:
        raise AssertionError(f"{params} was taken")
    assert set(params) <= set(pending(node))
    put(node, revert=",".join(params))
    assert not pending(node)


def name_in_guest(guest, mac):
    """Of the interface with this address, once the guest has it."""
    find = f"grep -li {mac} /sys/class/net/*/address"
    wait_for(lambda: guest.succeeds(find), 20, f"{mac} in the guest")
    return guest.run(find).strip().split("/")[4]


def is_in_guest(guest, mac):
    return guest.succeeds(f"grep -qi {mac} /sys/class/net/*/address")


def driver(guest, name):
    return guest.run(f"basename $(readlink /sys/class/net/{name}/device/driver)").strip()


def index_of(guest, name):
    return guest.run(f"cat /sys/class/net/{name}/ifindex").strip()


def qdiscs(device):
    return netns.run("tc", "qdisc", "show", "dev", device)


# --- one guest ---

def comes_with_a_lease(node, guest):
    put(node, net1=f"virtio={MAC},bridge=vmbr0,queues=2")
    assert not pending(node)
    assert netns.links()[tap(node, 1)]["master"] == "vmbr0"
    assert netns.links()[tap(node, 1)]["linkinfo"]["info_data"].get("user"), "the guest's user owns it"
    name = name_in_guest(guest, MAC)
    assert driver(guest, name) == "virtio_net" and guest.run(f"ls -d /sys/class/net/{name}/queues/rx-* | wc -l").strip() == "2"
    assert guest.succeeds(f"ip link set {name} up; udhcpc -i {name} -n -q -t 10 -T 1 -s /etc/udhcpc", 60)
    assert guest.succeeds("ping -c 1 -w 10 10.87.0.1")
    return name


def cable(node, guest, name):
    before = index_of(guest, name)
    put(node, net1=f"virtio={MAC},bridge=vmbr0,queues=2,link_down=1")
    wait_for(lambda: guest.run(f"cat /sys/class/net/{name}/carrier").strip() == "0", 10, "the cable to be out")
    put(node, net1=f"virtio={MAC},bridge=vmbr0,queues=2,firewall=1")
    wait_for(lambda: guest.run(f"cat /sys/class/net/{name}/carrier").strip() == "1", 10, "the cable to be in")
    assert not pending(node) and "firewall=1" in node.api.get(node.vm(100, "/config"))["net1"]
    assert index_of(guest, name) == before, "it was never taken out"


def limits(node, guest, name):
    before = index_of(guest, name)
    for rate, shown in ((1, "rate 8388Kbit"), (2, "rate 16777Kbit"), (0.5, "rate 4194Kbit")):
        put(node, net1=f"virtio={MAC},bridge=vmbr0,queues=2,rate={rate}")
        assert shown in qdiscs(tap(node, 1)) and shown in qdiscs(ifb(node, 1))
        assert guest.succeeds("ping -c 1 -w 10 10.87.0.1"), f"rate {rate}"
    put(node, net1=f"virtio={MAC},bridge=vmbr0,queues=2")
    assert "tbf" not in qdiscs(tap(node, 1)) and "ingress" not in qdiscs(tap(node, 1)) and ifb(node, 1) not in netns.links()
    assert guest.succeeds("ping -c 1 -w 10 10.87.0.1") and index_of(guest, name) == before


def another_bridge(node, guest, name):
    before = index_of(guest, name)
    put(node, net1=f"virtio={MAC},bridge=vmbr1,queues=2")
    assert netns.links()[tap(node, 1)]["master"] == "vmbr1" and not pending(node)
    assert guest.succeeds(f"ip address flush dev {name}; ip address add 10.88.0.9/24 dev {name} && ping -c 1 -w 10 10.88.0.1")
    assert index_of(guest, name) == before
    # What cannot be is said, and changes nothing.
    for text, value in (("bridge 'vmbr7' does not exist", "bridge=vmbr7"), ("needs a VLAN-aware bridge", "bridge=vmbr1,tag=5"),
                        ("needs a VLAN-aware bridge", "bridge=vmbr1,trunks=5;7-9")):
        fails(node, text, net1=f"virtio={MAC},{value},queues=2")
        assert netns.links()[tap(node, 1)]["master"] == "vmbr1" and guest.succeeds("ping -c 1 -w 10 10.88.0.1"), text
    # Another device on a bridge that is not there: the old one stays too.
    fails(node, "bridge 'vmbr7' does not exist", net1="e1000=BC:24:11:00:00:22,bridge=vmbr7")
    assert index_of(guest, name) == before


def another_device(node, guest):
    """With hotplug the device is exchanged, as Proxmox VE does it; without, it waits for the next start."""
    put(node, hotplug="disk")
    put(node, net1=f"e1000={MAC},bridge=vmbr1")
    assert "net1" in pending(node) and driver(guest, name_in_guest(guest, MAC)) == "virtio_net"
    put(node, net1=f"virtio={MAC},bridge=vmbr1,queues=2,rate=1")
    assert not pending(node) and "tbf" in qdiscs(tap(node, 1)), "the host's side needs no hotplug"
    put(node, hotplug="network,disk,usb")
    put(node, net1=f"virtio={MAC},bridge=vmbr1,mtu=1300")
    assert not pending(node) and ifb(node, 1) not in netns.links() and netns.links()[tap(node, 1)]["mtu"] == 1300
    name = name_in_guest(guest, MAC)
    assert "1300" in guest.run(f"cat /sys/class/net/{name}/mtu")
    assert guest.succeeds(f"ip link set {name} up; ip address add 10.88.0.9/24 dev {name} && ping -c 1 -w 10 10.88.0.1")


def goes(node, guest):
    put(node, net1=f"virtio={MAC},bridge=vmbr1,mtu=1300,rate=1")
    assert ifb(node, 1) in netns.links()
    put(node, delete="net1")
    assert not pending(node) and "net1" not in node.api.get(node.vm(100, "/config"))
    assert not is_in_guest(guest, MAC)
    assert not {tap(node, 1), ifb(node, 1)} & set(netns.links())
    # The same key and address, once more; and user mode beside it.
    put(node, net1=f"virtio={MAC},bridge=vmbr0,rate=1", net2="virtio=BC:24:11:00:00:23")
    assert name_in_guest(guest, MAC) and name_in_guest(guest, "BC:24:11:00:00:23")
    put(node, net2="virtio=BC:24:11:00:00:23,bridge=vmbr1")
    assert netns.links()[tap(node, 2)]["master"] == "vmbr1"
    put(node, delete="net2")
    assert not is_in_guest(guest, "BC:24:11:00:00:23") and tap(node, 2) not in netns.links()


def counted(node):
    """in and out as the guest sees them: what its tap sent and received."""
    rows = {(r["vmid"], r["dev"]): r for r in node.api.get("/nodes/{node}/netstat")}
    row = rows[("100", "net1")]
    assert int(row["in"]) > 300 and int(row["out"]) > 300, rows
    assert set(rows) == {("100", "net1")}, rows


def survives_the_daemon(node):
    """Killed between the change of the guest and its record: the interface is there and is written down."""
    node.restart(HOLM_FP="guest.live.done=kill@1")
    try:
        put(node, net3="virtio=BC:24:11:00:00:24,bridge=vmbr1")
    except Exception:  # pylint: disable=broad-exception-caught
        pass  # the connection ends
    node.wait_dead()
    assert tap(node, 3) in netns.links()
    node.start()
    wait_for(lambda: "net3" in node.api.get(node.vm(100, "/config")) and not pending(node), 20, "net3 to be written down")
    put(node, net3="virtio=BC:24:11:00:00:24,bridge=vmbr0,rate=3")
    assert netns.links()[tap(node, 3)]["master"] == "vmbr0" and "tbf" in qdiscs(tap(node, 3))
    assert node.orphans() == ""


@test(limit=300)
def a_running_guests_interfaces(node):
    node.cli("net", "init")
    node.cli("net", "init", "vmbr1", "--subnet", "10.88.0.0/24", "--no-dhcp", "--no-nat")
    guests.install_demo(node)
    node.create(100, **{**guests.DEMO, "memory": 192, "cores": 2, "net0": "virtio"})
    node.api.run("POST", node.vm(100, "/status/start"))
    with Shell(node, 100) as guest:
        assert not [name for name in netns.links() if name.startswith("h")]
        name = comes_with_a_lease(node, guest)
        cable(node, guest, name)
        limits(node, guest, name)
        another_bridge(node, guest, name)
        another_device(node, guest)
        goes(node, guest)
        name = name_in_guest(guest, MAC)
        assert guest.succeeds(f"ip link set {name} up; udhcpc -i {name} -n -q -t 10 -T 1 -s /etc/udhcpc", 60)
    counted(node)
    survives_the_daemon(node)
    # QEMU is killed: nothing is left.
    procs.kill_all(procs.find(node.root, "qemu-system-x86_64"), (node.process.pid,))
    wait_for(lambda: node.guest_state(100) == "stopped", 20, "the guest to be stopped")
    wait_for(lambda: not [n for n in netns.links() if re.match(r"[hi][0-9a-f]{4}\d", n)], 10, "its interfaces to go")
    assert node.orphans() == ""
    node.remove(100)
    node.cli("net", "remove", "vmbr1", "-y")
    node.cli("net", "remove", "vmbr0", "-y")
    assert not netns.links()


if __name__ == "__main__":
    netns.enter()
    main()
