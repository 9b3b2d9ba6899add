"""Life of a virtual machine: start, stop, suspend, resume, reset, reboot, shutdown; queue and overtaking; consoles."""
from lib import procs
from lib.tap import main, test
from lib.wait import wait_for


def current(node, vmid):
    return node.api.get(node.vm(vmid, "/status/current"))


def act(node, vmid, verb, **more):
    return node.api.run("POST", node.vm(vmid, f"/status/{verb}"), more)


def end_of(node, vmid, verb, **more):
    """How an action ends that may fail."""
    return node.api.outcome("POST", node.vm(vmid, f"/status/{verb}"), more)


@test(limit=60)
def start_and_stop(node):
    node.create(700, memory=64, scsi0="local:1", net0="virtio")
    upid = act(node, 700, "start")
    assert ":qmstart:700:" in upid, upid
    status = current(node, 700)
    assert status["status"] == "running" and status["qmpstatus"] == "running" and status["vmid"] == 700, status
    assert procs.is_alive(status["pid"]) and "qemu" in procs.name(status["pid"]), status
    act(node, 700, "stop")
    after = current(node, 700)
    assert after["status"] == "stopped" and "pid" not in after and after["uptime"] == 0, after
    wait_for(lambda: not procs.is_alive(status["pid"]), 10, "QEMU to be gone")
    node.remove(700)


@test(limit=60)
def wrong_states_have_pve_texts(node):
    node.create(701, memory=64)
    for verb in ("reset", "suspend", "resume", "reboot"):
        assert end_of(node, 701, verb) == "VM 701 not running", verb
    for verb in ("shutdown", "stop"):  # what is wanted is already so
        assert end_of(node, 701, verb) == "OK", verb
    act(node, 701, "start")
    assert end_of(node, 701, "start") == "VM 701 already running"
    end = node.api.outcome("DELETE", node.vm(701))
    assert "VM 701 is running - destroy failed" in end, end
    act(node, 701, "stop")
    node.remove(701)


def rows(node, vmid, path, **params):
    return [r for r in node.api.get(path, **params) if r.get("vmid") == vmid]


@test(limit=60)
def suspend_resume_reset(node):
    node.create(702, memory=64)
    act(node, 702, "start")
    pid = current(node, 702)["pid"]
    act(node, 702, "suspend")
    status = current(node, 702)
    assert status["status"] == "running" and status["qmpstatus"] == "paused", status
    assert [(r["status"], r["qmpstatus"]) for r in rows(node, 702, "/cluster/resources", type="vm")] == [("running", "paused")]
    for full in (0, 1):  # the short list, too, when "status" alone would mislead
        assert [r["qmpstatus"] for r in rows(node, 702, f"/nodes/{node.name}/qemu", full=full)] == ["paused"]
    act(node, 702, "resume")
    assert current(node, 702)["qmpstatus"] == "running"
    assert ["qmpstatus" in r for r in rows(node, 702, "/cluster/resources", type="vm")] == [False]
    assert ["qmpstatus" in r for r in rows(node, 702, f"/nodes/{node.name}/qemu")] == [False]
    assert [r["qmpstatus"] for r in rows(node, 702, f"/nodes/{node.name}/qemu", full=1)] == ["running"]
    act(node, 702, "reset")
    assert current(node, 702)["pid"] == pid
    act(node, 702, "stop")
    node.remove(702)


@test(limit=60)
def shutdown_that_is_ignored(node):
    """A guest without an operating system ignores the power button: the time is kept, forceStop stops."""
    node.create(703, memory=64)
    act(node, 703, "start")
    end = end_of(node, 703, "shutdown", timeout=1)
    assert "got timeout" in end, end
    assert current(node, 703)["status"] == "running"
    upid = node.api.post(node.vm(703, "/status/shutdown"), {"timeout": 1, "forceStop": 1})
    assert node.api.wait_task(upid) == "OK", node.api.task_log(upid)
    assert current(node, 703)["status"] == "stopped"
    node.remove(703)


@test(limit=60)
def stop_overtakes_a_shutdown(node):
    node.create(704, memory=64)
    act(node, 704, "start")
    waiting = node.api.post(node.vm(704, "/status/shutdown"), {"timeout": 300})
    act(node, 704, "stop")
    assert node.api.wait_task(waiting, 10) != "", "the shutdown went on"
    assert current(node, 704)["status"] == "stopped"
    node.remove(704)


@test(limit=60)
def tasks_of_one_guest_wait_in_turn(node):
    node.create(705, memory=64)
    upids = [node.api.post(node.vm(705, f"/status/{v}")) for v in ("start", "suspend", "resume")]
    assert [node.api.wait_task(u) for u in upids] == ["OK", "OK", "OK"]
    act(node, 705, "stop")
    node.remove(705)


@test(limit=60)
def config_while_running_is_pending(node):
    node.create(706, memory=64, cores=1)
    act(node, 706, "start")
    node.api.put(node.vm(706, "/config"), cores=2, name="renamed")
    rows = {r["key"]: r for r in node.api.get(node.vm(706, "/pending"))}
    assert str(rows["cores"]["pending"]) == "2", rows["cores"]
    assert node.api.get(node.vm(706, "/config"), current=1).get("cores", 1) == 1
    assert node.api.get(node.vm(706, "/config"))["cores"] == 2
    node.api.put(node.vm(706, "/config"), revert="cores")
    assert "pending" not in {r["key"]: r for r in node.api.get(node.vm(706, "/pending"))}["cores"]
    node.api.put(node.vm(706, "/config"), cores=2)
    act(node, 706, "stop")
    act(node, 706, "start")
    assert current(node, 706)["cpus"] == 2
    act(node, 706, "stop")
    node.remove(706)


@test(limit=60)
def dead_qemu_is_seen(node):
    node.create(707, memory=64)
    act(node, 707, "start")
    procs.kill(current(node, 707)["pid"])
    wait_for(lambda: current(node, 707)["status"] == "stopped", 10, "the dead guest to be seen as stopped")
    act(node, 707, "start")
    act(node, 707, "stop")
    node.remove(707)


@test(limit=60)
def start_on_create(node):
    node.create(708, memory=64, start=1)
    wait_for(lambda: current(node, 708)["status"] == "running", 20, "the guest to run")
    act(node, 708, "stop")
    node.remove(708)


@test(limit=60)
def usage_is_told(node):
    node.create(709, memory=64)
    act(node, 709, "start")
    status = wait_for(lambda: (s := current(node, 709))["uptime"] >= 1 and s, 10, "uptime to grow")
    assert status["maxmem"] == 64 << 20 and status["cpus"] == 1 and status["mem"] >= 0, status
    row = [r for r in node.api.get("/cluster/resources", type="vm") if r["vmid"] == 709][0]
    assert row["status"] == "running" and row["uptime"] >= 1, row
    act(node, 709, "stop")
    node.remove(709)


@test(limit=60)
def console_refusals(node):
    node.create(710, memory=64)
    node.api.refused("POST", node.vm(710, "/termproxy"))  # no serial port
    node.api.refused("GET", node.vm(710, "/vncwebsocket"), {"port": 5900, "vncticket": "x"})
    node.api.refused("GET", node.vm(710, "/vncwebsocket"), {"port": 1, "vncticket": "x"})
    node.api.refused("POST", node.vm(710, "/termproxy"), {"serial": "serial9"}, 400, param="serial")
    node.restricted("con@pve", **{"/vms/710": "PVEAuditor"}).refused("POST", node.vm(710, "/termproxy"), status=403)
    node.remove(710)


@test(limit=60)
def a_console_waits_for_a_guest_that_starts(node):
    node.create(710, memory=64, serial0="socket")
    for path in ("/termproxy", "/vncproxy"):
        node.api.refused("POST", node.vm(710, path), status=500, text="VM 710 not running")
        upid = node.api.post(node.vm(710, "/status/start"))
        wait_for(lambda: current(node, 710)["status"] == "running", 20, "the start to begin", step=0)
        assert node.api.post(node.vm(710, path))["ticket"], path
        assert node.api.wait_task(upid) == "OK", node.api.task_log(upid)
        act(node, 710, "stop")
    node.remove(710)


@test(limit=60)
def reboot_of_a_deaf_guest_times_out(node):
    node.create(711, memory=64)
    act(node, 711, "start")
    assert end_of(node, 711, "reboot", timeout=1) != "OK"
    act(node, 711, "stop")
    node.remove(711)


@test
def power_needs_its_privilege(node):
    node.create(712)
    client = node.restricted("nopower@pve", **{"/vms/712": "PVEAuditor"})
    for verb in ("start", "stop", "shutdown", "reboot", "reset", "suspend", "resume"):
        reply = client.refused("POST", node.vm(712, f"/status/{verb}"), status=403)
        assert reply.message == "Permission check failed (/vms/712, VM.PowerMgmt)\n", reply.message
    node.remove(712)


if __name__ == "__main__":
    main()
