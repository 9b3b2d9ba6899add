"""Many guests in their order: startall, stopall, the start with the host; and stopping of tasks that run. The guests
are machines without a disk: they start fast and never answer the power button."""
import os
import signal
import sqlite3

from lib.tap import main, test
from lib.wait import slow, wait_for

FIRST, SECOND, LAST, MANUAL = 802, 801, 804, 803


def is_running(node, vmid):
    return node.guest_state(vmid) == "running"


def lay_out(node):
    """FIRST has the lowest order and two seconds to itself, LAST has none; MANUAL does not start with the host."""
    if node.api.get("/nodes/{node}/qemu"):
        return
    node.create(SECOND, memory=32, onboot=1, startup="order=2,down=1")
    node.create(FIRST, memory=32, onboot=1, startup="order=1,up=2,down=1")
    node.create(LAST, memory=32, onboot=1, startup="down=1")
    node.create(MANUAL, memory=32)


def tasks(node, kind, ended_after=None):
    """Newest first, as rows by guest; those of the given parent's log."""
    rows = node.api.get("/nodes/{node}/tasks", typefilter=kind, source="all", limit=100)
    return [r for r in rows if ended_after is None or r["upid"] in ended_after]


def children(node, upid, kind):
    """Tasks that a startall or stopall began, in the order of its log."""
    log = "\n".join(node.api.task_log(upid))
    rows = {r["upid"]: r for r in tasks(node, kind) if r["upid"] in log}
    return sorted(rows.values(), key=lambda r: log.index(r["upid"]))


def run(node, what, **params):
    upid = node.api.post(f"/nodes/{{node}}/{what}", params)
    return upid, node.api.wait_task(upid, slow(60))


def stop_all(node):
    for vmid in (FIRST, SECOND, LAST, MANUAL):
        if is_running(node, vmid):
            assert node.api.wait_task(node.api.post(node.vm(vmid, "/status/stop"))) == "OK"


@test(limit=90)
def startall_keeps_order_and_delay(node):
    lay_out(node)
    upid, status = run(node, "startall")
    assert status == "OK", node.api.task_log(upid)
    began = children(node, upid, "qmstart")
    assert [int(r["id"]) for r in began] == [FIRST, SECOND, LAST], began
    assert began[1]["starttime"] - began[0]["starttime"] >= 2, began  # up=2
    assert began[2]["starttime"] >= began[1]["endtime"], began  # another order: after the end of the one before
    assert all(r["user"] == "admin@pve" for r in began)
    assert not is_running(node, MANUAL) and is_running(node, LAST)
    again, status = run(node, "startall")  # nothing is left to do
    assert status == "OK" and children(node, again, "qmstart") == []
    assert f"VM {FIRST} runs already" in node.api.task_log(again), node.api.task_log(again)


@test(limit=90)
def stopall_is_the_reverse(node):
    lay_out(node)
    assert run(node, "startall", force=1, vms=f"{FIRST},{SECOND},{LAST},{MANUAL}")[1] == "OK"
    upid, status = run(node, "stopall", vms=f"{MANUAL}", **{"force-stop": 0, "timeout": 1})
    assert status == "WARNINGS: 1" and is_running(node, MANUAL), node.api.task_log(upid)  # does not answer, lives
    upid, status = run(node, "stopall", timeout=1)
    assert status == "OK", node.api.task_log(upid)
    began = children(node, upid, "qmshutdown")
    assert {int(r["id"]) for r in began[:2]} == {LAST, MANUAL} and [int(r["id"]) for r in began[2:]] == [SECOND, FIRST], began
    assert began[2]["starttime"] >= max(r["endtime"] for r in began[:2]), began
    assert began[3]["starttime"] >= began[2]["endtime"] > began[2]["starttime"], began  # down=1
    assert not any(is_running(node, v) for v in (FIRST, SECOND, LAST, MANUAL))
    assert run(node, "stopall")[1] == "OK"


@test(limit=60)
def what_is_named_must_be_there_and_allowed(node):
    lay_out(node)
    for what in ("startall", "stopall"):
        node.api.refused("POST", f"/nodes/{{node}}/{what}", {"vms": "999"}, 400, "VM 999 does not exist", "vms")
        node.api.refused("POST", f"/nodes/{{node}}/{what}", {"vms": "x"}, 400, param="vms")
        node.api.refused("POST", f"/nodes/elsewhere/{what}")
    one = node.restricted("one@pve", **{f"/vms/{MANUAL}": "PVEVMUser"})
    one.refused("POST", "/nodes/{node}/startall", {}, 403, "VM.PowerMgmt")
    one.refused("POST", "/nodes/{node}/startall", {"vms": f"{MANUAL},{FIRST}"}, 403, f"/vms/{FIRST}")
    assert one.run("POST", "/nodes/{node}/startall", {"vms": str(MANUAL)})
    assert not is_running(node, MANUAL)  # not without force
    one.run("POST", "/nodes/{node}/startall", {"vms": str(MANUAL), "force": 1})
    assert is_running(node, MANUAL)
    one.run("POST", "/nodes/{node}/stopall", {"vms": str(MANUAL), "timeout": 1})
    assert not is_running(node, MANUAL)


@test(limit=60)
def a_running_startall_is_stopped(node):
    lay_out(node)
    stop_all(node)
    node.api.put(node.vm(FIRST, "/config"), startup="order=1,up=600,down=1")
    upid = node.api.post("/nodes/{node}/startall")
    wait_for(lambda: is_running(node, FIRST), slow(20))
    assert node.api.delete(f"/nodes/{{node}}/tasks/{upid}") is None
    assert node.api.wait_task(upid) == "stopped by admin@pve"
    assert is_running(node, FIRST) and not is_running(node, SECOND)
    node.api.put(node.vm(FIRST, "/config"), startup="order=1,up=2,down=1")
    stop_all(node)


@test(limit=60)
def a_shutdown_is_stopped_and_a_stop_is_not(node):
    lay_out(node)
    node.api.wait_task(node.api.post(node.vm(FIRST, "/status/start")))
    shutdown = node.api.post(node.vm(FIRST, "/status/shutdown"), timeout=600)
    reset_behind = node.api.post(node.vm(FIRST, "/status/reboot"), timeout=600)
    other = node.restricted("other@pve", **{f"/vms/{FIRST}": "PVEVMUser"})
    other.refused("DELETE", f"/nodes/{{node}}/tasks/{shutdown}", status=403)
    assert node.api.task_status(shutdown)["status"] == "running"
    assert node.api.delete(f"/nodes/{{node}}/tasks/{reset_behind}") is None  # it had not begun
    assert node.api.wait_task(reset_behind) == "stopped by admin@pve"
    assert node.api.delete(f"/nodes/{{node}}/tasks/{shutdown}") is None
    assert node.api.wait_task(shutdown) == "stopped by admin@pve" and is_running(node, FIRST)
    assert node.api.task_log(shutdown)[-1] == "TASK ERROR: stopped by admin@pve"
    stop_all(node)


def caught_starting(node, vmid):
    """Starts a guest and stops QEMU's process before it answers; the start's UPID, or None if it was faster."""
    upid = node.api.post(node.vm(vmid, "/status/start"))
    pids = wait_for(lambda: node.processes("qemu-system-x86_64"), slow(20), step=0.001)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    if node.api.task_status(upid)["status"] == "running":
        return upid
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    stop_all(node)
    return None


@test(limit=60)
def a_start_is_stopped_and_leaves_nothing(node):
    lay_out(node)
    stop_all(node)
    upid = next(filter(None, (caught_starting(node, MANUAL) for _ in range(20))), None)
    assert upid, "every start was faster than the test"
    # For a moment the launch itself cannot be called back, which is said.
    wait_for(lambda: node.api.call("DELETE", f"/nodes/{{node}}/tasks/{upid}").status == 200, slow(10))
    assert node.api.wait_task(upid) == "stopped by admin@pve", node.api.task_log(upid)
    assert not is_running(node, MANUAL)
    wait_for(lambda: not node.processes("qemu-system-x86_64"), slow(10))
    assert not node.orphans(), node.orphans()
    assert node.api.wait_task(node.api.post(node.vm(MANUAL, "/status/start"))) == "OK"
    stop_all(node)


@test(limit=60)
def a_shutdown_takes_as_long_as_down_says(node):
    """And not the sixty seconds of a guest that does not say (Ansible waits less)."""
    lay_out(node)
    stop_all(node)
    node.api.wait_task(node.api.post(node.vm(LAST, "/status/start")))
    upid = node.api.post(node.vm(LAST, "/status/shutdown"))
    assert "got timeout" in node.api.wait_task(upid, slow(40)) and is_running(node, LAST), node.api.task_log(upid)
    upid = node.api.post(node.vm(LAST, "/status/shutdown"), forceStop=1)
    assert node.api.wait_task(upid, slow(40)) == "OK" and not is_running(node, LAST), node.api.task_log(upid)


def forget_boot(node):
    """As if the host was booted since."""
    node.stop()
    with sqlite3.connect(node.path("var/state/holm.db")) as db:
        assert db.execute("DELETE FROM kv WHERE key='local/boot'").rowcount == 1
    db.close()
    node.start()


@test(limit=90)
def guests_start_with_the_host(node):
    lay_out(node)
    stop_all(node)
    node.restart()
    assert not is_running(node, FIRST)  # only the daemon was started anew
    node.api.put("/nodes/{node}/config", {"startall-onboot-delay": 2})
    forget_boot(node)
    upid = wait_for(lambda: [r["upid"] for r in tasks(node, "startall") if r["user"] == "root@pam"], slow(10))[0]
    assert node.api.wait_task(upid, slow(60)) == "OK"
    assert node.api.task_log(upid)[0] == "waiting 2 seconds before the first guest", node.api.task_log(upid)
    began = children(node, upid, "qmstart")
    assert [int(r["id"]) for r in began] == [FIRST, SECOND, LAST], began
    parent = next(r for r in tasks(node, "startall") if r["upid"] == upid)
    assert began[0]["starttime"] - parent["starttime"] >= 2 and began[1]["starttime"] - began[0]["starttime"] >= 2, began
    assert not is_running(node, MANUAL)
    node.api.put("/nodes/{node}/config", {"delete": "startall-onboot-delay"})
    for vmid in (FIRST, SECOND, LAST, MANUAL):
        node.remove(vmid)


if __name__ == "__main__":
    main()
