"""What a list of many guests costs, as a client on a keep-alive connection sees it: beside LXD's list of as many, and
with 20,000 of them."""
import json
import statistics

from bench.figures import Line, note, rate, tls, within
from bench.lxd import Lxd
from bench.many import define
from lib.holm import Node, is_sanitized
from lib.tap import main, test

RESOURCES = "/api2/json/cluster/resources"
GUEST = {"memory": 1024, "cores": 2, "net0": "virtio", "tags": "bench;prod"}


@test(limit=180)
def beside_lxd():
    """Turn by turn, so that both meet the same machine."""
    count = 100
    with Node() as node, Lxd() as lxd:
        administrator, _ = define(node, count, **GUEST)
        for i in range(count):
            lxd.define(f"c{i}")
        ours, theirs = Line(tls(node.port)), lxd.line()
        mine = [node.process.pid, *node.processes("holm-front")]
        rates, costs, peer_rates, peer_costs = [], [], [], []
        for _ in range(7):
            value, cost, body = rate(theirs, "/1.0/instances?recursion=1", "", 0.6, [lxd.process.pid])
            assert len(json.loads(body)["metadata"]) == count
            peer_rates.append(value)
            peer_costs.append(cost)
            value, cost, body = rate(ours, RESOURCES, administrator, 0.4, mine)
            assert sum(g["type"] == "qemu" for g in json.loads(body)["data"]) == count
            rates.append(value)
            costs.append(cost)
        ours.close()
        theirs.close()
        peer = f"LXD {lxd.ask('GET', '/1.0')['environment']['server_version']} recursion=1, socket"
    name = f"GET /cluster/resources, {count} guests, TLS"
    note(f"{name}: rate", "/s", rates, peer, peer_rates)
    note(f"{name}: processor", "ms", costs, peer, peer_costs)
    times = [a / b for a, b in zip(rates, peer_rates)]
    note(f"{name}: times LXD's rate", "x", times)
    # Others on the machine cost whoever needs more wake-ups more: what is promised is what it can do.
    within("a request to LXD", "of 20 to Holm", 20 / max(times), 1)


@test(limit=240)
def twenty_thousand():
    count = 20000
    with Node() as node:
        administrator, auditor = define(node, count, **GUEST)
        line = Line(tls(node.port))
        for who, header in (("administrator", administrator), ("token with a role on /vms", auditor)):
            times = []
            for _ in range(5 if is_sanitized() else 25):
                ms, status, body = line.get(RESOURCES, header)
                times.append(ms)
                assert status == 200 and bytes(body).count(b'"type":"qemu"') == count, status
            name = f"GET /cluster/resources, {count} guests, {who}"
            note(name, "ms", times)
            # Others on the machine only make it longer: the quicker half tells what it costs.
            within(name, "ms", statistics.quantiles(times, n=4)[0], 60)
        line.close()


if __name__ == "__main__":
    main()
