"""A full or failing disk at the n-th write: the task fails with a word, nothing half-made stays, the daemon lives.

Needs the shim tests/lib/faultfs.c (LD_PRELOAD, HOLM_FAULT="any:N:once:ENOSPC:substring").
"""
from lib.faults import faulty
from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

WRITES = range(1, 13)


def run_with(kind, error, where):
    """The n-th call of a kind fails, for each n: a creation either succeeds or leaves nothing."""
    with Node() as node:
        failures = 0
        for n in WRITES:
            node.restart(**faulty(f"{kind}:{n}:once:{error}:{where}"))
            reply = node.api.call("POST", "/nodes/{node}/qemu", {"vmid": 100, "scsi0": "local:1,format=qcow2"})
            end = node.api.wait_task(reply.data) if reply.status == 200 else reply.message
            failures += end != "OK"
            assert node.api.get("/version")
            node.restart()
            wait_for(lambda: not node.orphans(), 10, f"{kind} {n}: no orphans: {node.orphans()}")
            there = [v["vmid"] for v in node.api.get("/nodes/{node}/qemu")]
            assert there == ([100] if end == "OK" else []), f"{kind} {n}: ended {end!r}, there is {there}"
            if there:
                node.remove(100)
        assert failures, "no write ever failed: the shim does nothing"


@test(limit=120)
def image_writes_hit_a_full_disk():
    run_with("any", "ENOSPC", "/images/")


@test(limit=120)
def image_fsync_fails():
    run_with("fsync", "EIO", "/images/")


def state_fault(kind, error):
    """The state database cannot be written: the request is refused or its change is there after the restart."""
    with Node() as node:
        for n in WRITES:
            env = faulty(f"{kind}:{n}:once:{error}:holm.db")
            node.stop()
            node.launch(**env)
            try:
                node.wait_ready(10)
                reply = node.api.call("POST", "/access/groups", {"groupid": f"g{n}"})
                is_acknowledged = reply.status == 200
            except (AssertionError, OSError):
                is_acknowledged = False  # it may refuse to start or end: then nothing was acknowledged
            node.restart(is_killed=True)
            there = f"g{n}" in [g["groupid"] for g in node.api.get("/access/groups")]
            assert there or not is_acknowledged, f"{kind} {n}: acknowledged and lost"


@test(limit=120)
def state_writes_hit_a_full_disk():
    state_fault("any", "ENOSPC")


@test(limit=120)
def state_fsync_fails():
    state_fault("fsync", "EIO")


if __name__ == "__main__":
    main()
