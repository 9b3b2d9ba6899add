"""kill -9 of holmd at every named point of applying networks: after the next start the host has what was in force before or
what was planned, whole, and the daemon says the same. In a network namespace of this process."""
import contextlib
import os
from collections import Counter

import requests

from lib import netns
from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

NET = "/nodes/{node}/network"


def hits(path):
    if not os.path.exists(path):
        return Counter()
    with open(path, encoding="utf-8") as f:
        return Counter(f.read().split())


def plan(node, *interfaces):
    """These become the pending configuration, whatever was there."""
    node.api.delete(NET)
    names = {i["iface"] for i in interfaces}
    # Nothing shown to be pending is in force only if it is one of the configured ones, which GET of one tells.
    configured = {i["iface"] for i in node.api.get(NET) if node.api.call("GET", f"{NET}/{i['iface']}").status == 200}
    for name in configured - names:
        node.api.delete(f"{NET}/{name}")
    for i in interfaces:
        if i["iface"] in configured:
            node.api.delete(f"{NET}/{i['iface']}")
        node.api.post(NET, **i)


BEFORE = ({"iface": "vmbr1", "type": "bridge", "cidr": "10.1.0.1/24", "bridge_ports": "nic0"},
          {"iface": "vmbr2", "type": "bridge", "cidr": "10.2.0.1/24"},
          {"iface": "nic1", "type": "eth", "cidr": "192.0.2.9/24"})
AFTER = ({"iface": "vmbr1", "type": "bridge", "cidr": "10.1.1.1/24", "mtu": 1400},
         {"iface": "vmbr3", "type": "bridge", "cidr": "10.3.0.1/24", "nat": 1, "bridge_ports": "nic0"},
         {"iface": "nic1", "type": "eth", "cidr": "192.0.2.10/24"})


def kernel(ignored=("nic0p", "nic1p")):
    """{interface: (its bridge, its addresses)}"""
    return {name: (link.get("master"), tuple(netns.addresses(name))) for name, link in netns.links().items() if name not in ignored}


WAS = {"vmbr1": (None, ("10.1.0.1/24",)), "vmbr2": (None, ("10.2.0.1/24",)), "nic0": ("vmbr1", ()),
       "nic1": (None, ("192.0.2.9/24", "198.51.100.1/24"))}
WILL = {"vmbr1": (None, ("10.1.1.1/24",)), "vmbr3": (None, ("10.3.0.1/24",)), "nic0": ("vmbr3", ()),
        "nic1": (None, ("192.0.2.10/24", "198.51.100.1/24"))}


def make_ready(node):
    plan(node, *BEFORE)
    node.api.run("PUT", NET)
    assert kernel() == WAS, kernel()
    plan(node, *AFTER)


def points(node):
    """[(fail point, hit number since the daemon's start)]: the first and the last hit of each that one apply passes."""
    log = node.base + "/hits"
    make_ready(node)
    node.restart(HOLM_FP_LOG=log)
    before = hits(log)
    node.api.run("PUT", NET)
    assert kernel() == WILL, kernel()
    after = hits(log)
    node.restart()
    found = []
    for name in sorted(after):
        passed = range(before[name] + 1, after[name] + 1)
        found += [(name, n) for n in sorted({passed[0], passed[-1]})] if passed else []
    return found


def check(node, where, is_new):
    now = kernel()
    shown = {i["iface"]: i for i in node.api.get(NET)}
    with open(node.path("etc/network/interfaces"), encoding="utf-8") as f:
        text = f.read()
    if is_new:
        assert now == WILL and not [i for i in shown.values() if "pending" in i], (where, now, shown)
        assert "address 10.3.0.1/24" in text and "vmbr2" not in text and "masquerade" in netns.nft(), (where, text)
    else:
        assert now == WAS and shown["vmbr3"]["pending"] == "new", (where, now, shown)
        assert "vmbr3" not in text and "address 10.2.0.1/24" in text and "masquerade" not in netns.nft(), (where, text)
    assert not os.path.exists(node.path("run/net/applying")), where
    assert node.orphans() == "", where


@contextlib.contextmanager
def lab():
    """A daemon and two interfaces of the host; Holm's own are gone afterwards."""
    for name, address in (("nic0", None), ("nic1", "198.51.100.1/24")):
        netns.ip("link", "add", name, "type", "veth", "peer", "name", name + "p")
        if address:  # not Holm's
            netns.ip("address", "add", address, "dev", name)
    try:
        with Node() as node:
            yield node
            plan(node)
            node.api.run("PUT", NET)
            assert set(kernel()) <= {"nic0", "nic1"}, kernel()
    finally:
        for name in kernel():
            netns.ip("link", "del", name)


@test(limit=240)
def killed_anywhere_in_an_apply():
    with lab() as node:
        found = points(node)
        assert {"net.apply.removed", "net.apply.created", "net.apply.set", "net.apply.done", "state.commit.after"} <= {n for n, _ in found}
        seen = set()
        for name, n in found:
            make_ready(node)
            node.restart(HOLM_FP=f"{name}=kill@{n}")
            try:
                node.api.run("PUT", NET)
            except (requests.ConnectionError, requests.Timeout, AssertionError):
                pass  # it is killed meanwhile, or just after the answer
            wait_for(node.is_dead, 20, f"{name}@{n} to be reached")
            node.restart()
            is_new = "vmbr3" in kernel()
            check(node, f"{name}@{n}", is_new)
            seen.add(is_new)
        assert seen == {True, False}, "kills before and after the commit"


@test(limit=120)
def failed_anywhere_in_an_apply():
    """An error at each of its own points: all is taken back, and a further apply succeeds."""
    with lab() as node:
        # The first hits are the start's own.
        for name in ("net.apply.created=error@2", "net.apply.set=error@6", "net.apply.done=error@2"):
            make_ready(node)
            node.restart(HOLM_FP=name)
            status = node.api.outcome("PUT", NET)
            assert "fail point" in status, (name, status)
            assert kernel() == WAS, (name, kernel())
            node.restart()
            check(node, name, False)
            node.api.run("PUT", NET)
            check(node, name, True)


@test(limit=60)
def a_start_makes_what_can_be_made():
    """What is missing or somebody else's keeps nothing else from coming; bridges that guests could be on stay."""
    with lab() as node:
        make_ready(node)
        node.api.delete(NET)
        node.stop()
        for name in ("nic0", "vmbr1", "vmbr2"):
            netns.ip("link", "del", name)
        netns.ip("link", "add", "vmbr1", "type", "bridge")
        node.start()
        assert kernel() == {"vmbr1": (None, ()), "vmbr2": WAS["vmbr2"], "nic1": WAS["nic1"]}, kernel()
        assert "interface 'vmbr1' exists and was not made by Holm" in node.log()
        node.stop()
        netns.ip("link", "del", "vmbr1")
        node.start()
        assert kernel()["vmbr1"] == (None, ("10.1.0.1/24",)) and "port 'nic0' of 'vmbr1' does not exist" in node.log()


if __name__ == "__main__":
    netns.enter()
    main()
