"""The statistics behind rrddata: rows come by themselves, survive kills and damage, and go with their guest."""
import os
import time

from lib import guests
from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

TIMEFRAMES = {"hour": (60, 60), "day": (300, 288), "week": (1800, 336), "month": (10800, 248), "year": (86400, 365)}


def known(rows, key):
    return [r for r in rows if key in r]


@test(limit=150)
def rows_of_node_guest_and_storage(node):
    """One guest runs; within little more than a minute each of the three has a row with its values."""
    guests.install_demo(node)
    node.create(810, scsi0="local:1", **guests.DEMO)
    node.api.run("POST", node.vm(810, "/status/start"))
    paths = {node.vm(810, "/rrddata"): ("cpu", 0, 1.5), "/nodes/{node}/rrddata": ("memused", 1 << 20, 1 << 50),
             "/nodes/{node}/storage/local/rrddata": ("used", 1, 1 << 60)}
    for path, (key, low, high) in paths.items():
        rows = wait_for(lambda p=path, k=key: known(node.api.get(p, timeframe="hour"), k), 130, f"{path} has {key}", 0.5)
        assert low <= rows[-1][key] <= high, rows[-1]
    row = known(node.api.get(node.vm(810, "/rrddata"), timeframe="hour", cf="MAX"), "cpu")[-1]
    assert row["maxmem"] == 256 << 20 and row["maxcpu"] == 1 and 0 < row["mem"] <= row["maxmem"], row
    assert row["maxdisk"] == 1 << 30, row
    # A kill loses nothing that was written, and its file goes with the guest.
    node.restart(is_killed=True)
    assert known(node.api.get(node.vm(810, "/rrddata"), timeframe="hour"), "cpu")
    node.api.run("POST", node.vm(810, "/status/stop"))
    node.remove(810)
    wait_for(lambda: not os.path.exists(node.path("var/rrd/qemu-810")), 30, "the file of the guest to go")


@test
def shapes(node):
    for timeframe, (step, count) in TIMEFRAMES.items():
        rows = node.api.get("/nodes/{node}/rrddata", timeframe=timeframe)
        times = [r["time"] for r in rows]
        assert len(rows) == count and times == list(range(times[0], times[0] + count * step, step)), (timeframe, times[:3])
        assert time.time() - 2 * step - 5 <= times[-1] <= time.time(), (timeframe, times[-1])
    assert len(node.api.get("/nodes/{node}/rrddata", timeframe="decade")) == 365
    node.api.refused("GET", "/nodes/{node}/rrddata", {"timeframe": "century"}, 400, param="timeframe")
    node.api.refused("GET", "/nodes/{node}/rrddata", {"timeframe": "hour", "cf": "MIN"}, 400, param="cf")
    node.api.refused("GET", node.vm(811, "/rrddata"), {"timeframe": "hour"}, 500, "does not exist")
    node.api.refused("GET", "/nodes/{node}/storage/none/rrddata", {"timeframe": "hour"}, 500, "does not exist")
    nobody = node.restricted("nostats@pve")
    for path in ("/nodes/{node}/rrddata", node.vm(811, "/rrddata"), "/nodes/{node}/storage/local/rrddata"):
        nobody.refused("GET", path, {"timeframe": "hour"}, 403)


@test(limit=60)
def damaged_files_do_no_harm():
    """A foreign file, a folder, and the rest of a guest that was deleted just before a kill."""
    with Node() as n:
        n.stop()
        os.makedirs(n.path("var/rrd/storage-local"))
        for name in ("node", "qemu-812"):
            with open(n.path("var/rrd", name), "wb") as f:
                f.write(b"\xff" * 10000)
        n.restart()
        assert len(n.api.get("/nodes/{node}/rrddata", timeframe="hour")) == 60
        n.api.refused("GET", "/nodes/{node}/storage/local/rrddata", {"timeframe": "hour"}, 500)
        wait_for(lambda: not os.path.exists(n.path("var/rrd/qemu-812")), 40, "the unknown guest's file to go")


if __name__ == "__main__":
    main()
