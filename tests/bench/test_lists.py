"""What a list of many guests costs, as a client on a keep-alive connection sees it: beside LXD's list of as many, and
with 20,000 of them. The guests are defined through a dump of the state that is loaded, as after a restore."""
import json
import statistics

from bench.figures import Line, note, rate, tls, within
from bench.lxd import Lxd
from lib.holm import Node, is_sanitized
from lib.tap import main, test
from lib.wait import slow

RESOURCES = "/api2/json/cluster/resources"


def guest(node, vmid):
    """A record of the state as POST /nodes/N/qemu leaves it."""
    mac = f"BC:24:11:{vmid >> 16 & 255:02X}:{vmid >> 8 & 255:02X}:{vmid & 255:02X}"
    config = {"name": f"guest-{vmid}", "memory": "1024", "cores": "2", "net0": f"virtio={mac}", "tags": "bench;prod",
              "scsi0": f"local:{vmid}/vm-{vmid}-disk-0.raw,size=8G"}
    return {"format": 1, "type": "qemu", "node": node.name, "engine": "qemu", "machine": "q35", "ctime": 1700000000,
            "uuid": f"00000000-0000-4000-8000-{vmid:012}", "config": config, "pending": {}}


def define(node, count):
    """So many guests more, and one user who may see them all by an entry on /vms."""
    auditor = node.restricted("auditor@pve", **{"/vms": "PVEAuditor"})
    node.stop()
    dump = json.loads(node.cli("state", "dump").stdout)
    dump["keys"].update({f"shared/guest/{v}": guest(node, v) for v in range(10000, 10000 + count)})
    path = node.base + "/dump"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(dump, f)
    node.cli("-y", "state", "load", path, timeout=60)
    node.launch().wait_ready(slow(90))
    return f"Cookie: PVEAuthCookie={node.api.ticket}\r\n", "Authorization: PVEAPIToken=%s=%s\r\n" % auditor.token


@test(limit=180)
def beside_lxd():
    """Turn by turn, so that both meet the same machine."""
    count = 100
    with Node() as node, Lxd() as lxd:
        administrator, _ = define(node, count)
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
        administrator, auditor = define(node, count)
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
