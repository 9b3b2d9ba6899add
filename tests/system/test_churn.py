"""Many clients at once: creations and removals leave nothing behind and the daemon does not grow."""
import os
import random
from concurrent.futures import ThreadPoolExecutor

from lib import procs
from lib.client import ApiError
from lib.holm import Node, is_sanitized
from lib.tap import main, test
from lib.wait import wait_for

CYCLES = 500
CLIENTS = 8


def session(node):
    """A client with a token: no CSRF, no login."""
    if not getattr(node, "churn_token", None):
        answer = node.api.post("/access/users/admin@pve/token/churn", privsep=0)
        node.churn_token = (answer["full-tokenid"], answer["value"])
    return node.client(token=node.churn_token)


def sizes(node):
    fronts = node.processes("holm-front")
    return {"fds": procs.fds(node.process.pid), "front fds": sum(map(procs.fds, fronts)),
            "rss": procs.memory_kib(node.process.pid), "front rss": sum(map(procs.memory_kib, fronts))}


def cycles(node, count, base):
    def worker(number):
        client = session(node)
        for i in range(number, count, CLIENTS):
            vmid = base + i
            client.run("POST", "/nodes/{node}/qemu", vmid=vmid, scsi0="local:1", name=f"vm{vmid}")
            client.run("DELETE", f"/nodes/{{node}}/qemu/{vmid}")
        client.http.close()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for f in [pool.submit(worker, n) for n in range(CLIENTS)]:
            f.result()


@test(limit=300)
def five_hundred_guests_come_and_go():
    with Node() as node:
        session(node)
        cycles(node, 80, 1000)  # caches fill, the allocator settles
        before = sizes(node)
        cycles(node, CYCLES, 2000)
        wait_for(lambda: sizes(node)["front fds"] <= before["front fds"] + 1, 15, "connections to be closed")
        after = sizes(node)
        print(f"before {before}\nafter  {after}")
        assert after["fds"] <= before["fds"] + 2, (before, after)
        if not is_sanitized():
            assert after["rss"] <= before["rss"] + 4096 and after["front rss"] <= before["front rss"] + 4096, (before, after)
        assert node.images() == [] and node.api.get("/nodes/{node}/qemu") == []
        wait_for(lambda: not node.orphans(), 5, "no orphans")  # text copies follow a moment later


@test(limit=120)
def conflicting_requests_have_some_order():
    """Clients create, change and remove the same three guests: each answer is one of the expected ones, and in the end the
    lists, the text copies and the volumes agree."""
    expected = ("already exists", "does not exist", "VM is locked", "detected modified configuration", "not running", "is running", "already running")
    with Node() as node:
        session(node)
        odd = []

        def worker(seed):
            rng, client = random.Random(seed), session(node)
            for _ in range(40):
                vmid = rng.choice((100, 101, 102))
                method, tail, params = rng.choice((("POST", None, {"vmid": vmid, "scsi0": "local:1"}), ("DELETE", "", {}),
                                                   ("PUT", "/config", {"cores": rng.randint(1, 4)}),
                                                   ("POST", "/config", {"scsi1": "local:1"})))
                path = "/nodes/{node}/qemu" + (f"/{vmid}{tail}" if tail is not None else "")
                try:
                    data = client._data(method, path, params)
                    end = client.wait_task(data) if isinstance(data, str) else "OK"
                except ApiError as e:
                    end = e.reply.message
                if end != "OK" and not any(x in end for x in expected):
                    odd.append((method, path, end))

        with ThreadPoolExecutor(6) as pool:
            for f in [pool.submit(worker, n) for n in range(6)]:
                f.result()
        assert not odd, odd[:5]
        wait_for(lambda: not node.orphans(), 5, "no orphans")
        named = []
        for v in node.api.get("/nodes/{node}/qemu"):
            config = node.api.get(node.vm(v["vmid"], "/config"))
            assert node.conf(v["vmid"]), v
            named += [x.split(",")[0].removeprefix("local:") for k, x in config.items()
                      if isinstance(x, str) and x.startswith("local:")]
        assert sorted(named) == node.images(), (sorted(named), node.images())


@test(limit=60)
def ids_are_handed_out_once():
    """Eight clients ask for the next id and create it, as installers do: no id is used twice."""
    with Node() as node:
        session(node)
        made = []

        def worker(_):
            client = session(node)
            for _ in range(5):
                for _ in range(50):
                    vmid = client.get("/cluster/nextid")
                    reply = client.call("POST", "/nodes/{node}/qemu", {"vmid": vmid})
                    if reply.status == 200 and client.wait_task(reply.data) == "OK":
                        made.append(vmid)
                        break

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(worker, range(CLIENTS)))
        assert len(made) == len(set(made)) == 5 * CLIENTS, sorted(made)


if __name__ == "__main__":
    main()
