"""Tasks: UPIDs, status, log and its paging, lists and their filters, who may see and stop them."""
import re
import time

from lib.tap import main, test
from lib.wait import wait_for

UPID = re.compile(r"UPID:([a-zA-Z0-9-]+):([0-9A-F]{8}):([0-9A-F]{8,9}):([0-9A-F]{8}):([^:\s/]+):([^:\s/]*):([^:\s/]+):")


@test
def upid_has_pve_shape(node):
    upid = node.create(500)
    m = UPID.fullmatch(upid)
    assert m, upid
    assert (m[1], m[5], m[6], m[7]) == (node.name, "qmcreate", "500", "admin@pve"), upid
    assert abs(int(m[4], 16) - time.time()) < 60, upid
    status = node.api.task_status(upid)
    assert status["pid"] == int(m[2], 16) and status["pstart"] == int(m[3], 16), status
    assert status["starttime"] == int(m[4], 16) and status["upid"] == upid and status["node"] == node.name, status
    assert status["status"] == "stopped" and status["exitstatus"] == "OK", status
    node.remove(500)


@test
def token_shows_in_its_tasks(node):
    answer = node.api.post("/access/users/admin@pve/token/task", privsep=0)
    client = node.client(token=(answer["full-tokenid"], answer["value"]))
    upid = client.run("POST", "/nodes/{node}/qemu", vmid=501)
    assert upid.endswith(":admin@pve!task:"), upid
    assert client.task_status(upid)["tokenid"] == "task"
    node.remove(501)


@test
def two_tasks_never_share_a_upid(node):
    upids = [node.api.post("/nodes/{node}/qemu", vmid=v) for v in range(510, 522)]
    assert len(set(upids)) == len(upids)
    for v, upid in zip(range(510, 522), upids):
        assert node.api.wait_task(upid) == "OK"
        node.remove(v)


@test
def log_pages(node):
    upid = node.create(502, scsi0="local:1")
    path = f"/nodes/{{node}}/tasks/{upid}/log"
    everything = node.api.call("GET", path, {"limit": 0})
    lines = everything.data
    assert lines[-1]["t"] == "TASK OK" and everything.total == len(lines), everything.text
    assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
    page = node.api.call("GET", path, {"start": 1, "limit": 1})
    assert page.data == [lines[1]] and page.total == len(lines), page.text
    beyond = node.api.call("GET", path, {"start": 1000}).data
    assert beyond in ([], [{"n": 1, "t": "no content"}]), beyond
    node.api.refused("GET", path, {"limit": -1}, 400, "value must have a minimum value of 0", "limit")
    node.api.refused("GET", path, {"start": "x"}, 400, "type check ('integer') failed", "start")
    node.remove(502)


@test
def failed_task_ends_with_its_error(node):
    node.create(503, memory=64, start=1)
    wait_for(lambda: node.guest_state(503) == "running", 20)
    upid = node.api.post(node.vm(503, "/status/start"))
    status = node.api.wait_task(upid)
    assert status == "VM 503 already running", status
    assert node.api.task_log(upid)[-1] == "TASK ERROR: VM 503 already running"
    rows = node.api.get("/nodes/{node}/tasks", errors=1)
    assert upid in [t["upid"] for t in rows] and all(t["status"] != "OK" for t in rows), rows
    node.remove(503)


@test
def unknown_upids_are_400(node):
    good = node.create(504)
    node.remove(504)
    gone = good.replace(":qmcreate:", ":qmclone:")
    for upid in ("nonsense", gone, good[:-1], "UPID:n1:x:y:z:a:b:c:"):
        for tail in ("/status", "/log"):
            node.api.refused("GET", f"/nodes/{{node}}/tasks/{upid}{tail}", status=400, param="upid")
    node.api.refused("GET", "/nodes/{node}/tasks/nonsense/status", status=400, text="unable to parse worker upid",
                     param="upid")
    node.api.refused("GET", f"/nodes/{{node}}/tasks/{gone}/status", status=400, text="no such task", param="upid")


@test
def index_of_a_task(node):
    upid = node.create(505)
    assert {r["name"] for r in node.api.get(f"/nodes/{{node}}/tasks/{upid}")} == {"log", "status"}
    node.api.refused("GET", "/nodes/{node}/tasks/nonsense")
    node.remove(505)


@test
def list_filters(node):
    create = node.create(506)
    remove = node.remove(506)
    rows = node.api.get("/nodes/{node}/tasks", vmid=506)
    assert {create, remove} <= {t["upid"] for t in rows} and {t["id"] for t in rows} == {"506"}, rows
    assert all(t["endtime"] >= t["starttime"] and t["status"] == "OK" for t in rows), rows
    rows = node.api.get("/nodes/{node}/tasks", typefilter="qmdestroy")
    assert remove in [t["upid"] for t in rows] and {t["type"] for t in rows} == {"qmdestroy"}
    assert node.api.get("/nodes/{node}/tasks", userfilter="nobodyhere") == []
    page = node.api.call("GET", "/nodes/{node}/tasks", {"limit": 1, "start": 1})
    assert len(page.data) == 1 and page.total >= 2, page.text
    assert node.api.get("/nodes/{node}/tasks", since=int(time.time()) + 1000) == []
    assert node.api.get("/nodes/{node}/tasks", statusfilter="ok")
    assert node.api.get("/nodes/{node}/tasks", source="active") == []
    node.api.refused("GET", "/nodes/{node}/tasks", {"source": "dreams"}, 400, param="source")


@test
def tasks_outlive_a_restart(node):
    upid = node.create(507)
    log = node.api.task_log(upid)
    node.restart()
    assert node.api.task_status(upid)["exitstatus"] == "OK"
    assert node.api.task_log(upid) == log
    assert upid in [t["upid"] for t in node.api.get("/nodes/{node}/tasks", vmid=507)]
    node.remove(507)


@test
def owner_sees_his_task(node):
    client = node.restricted("owner@pve", **{"/vms/508": "PVEVMAdmin"})
    upid = client.run("POST", "/nodes/{node}/qemu", vmid=508)
    assert client.task_log(upid)[-1] == "TASK OK"
    assert upid in [t["upid"] for t in client.get("/nodes/{node}/tasks")]
    node.remove(508)
    node.api.delete("/access/users/owner@pve")


if __name__ == "__main__":
    main()
