"""Many guests at once, custom CPU models, calendar events; and what a guest with such a model runs with."""
import time

from lib.guests import DEMO, install_demo
from lib.tap import main, test

BULK = "/cluster/bulk-action/guest"
MODELS = "/cluster/qemu/custom-cpu-models"


def names(rows, key="name"):
    return sorted(row[key] for row in rows)


def state(node, vmid):
    return node.api.get(node.vm(vmid, "/status/current"))["qmpstatus"]


def children(node, upid):
    """Kind and guest of each task that this one has started, in order."""
    found = []
    for line in node.api.task_log(upid):
        if "(UPID:" in line:
            parts = line.split("(")[1].split(":")
            found.append((parts[5], int(parts[6])))
    return found


@test(limit=180)
def guests_in_their_order(node):
    install_demo(node)
    for vmid, order in ((201, "order=2"), (202, "order=1"), (203, None)):
        node.create(vmid, **{**DEMO, "memory": 128, **({"startup": order} if order else {})})
    assert names(node.api.get("/cluster/bulk-action")) == ["guest"]
    assert names(node.api.get(BULK)) == ["shutdown", "start", "suspend"]
    upid = node.api.run("POST", f"{BULK}/start", {"vms": [201, 202], "max-workers": 2, "timeout": 60})
    assert upid.split(":")[5] == "bulkstart"
    assert children(node, upid) == [("qmstart", 202), ("qmstart", 201)], node.api.task_log(upid)
    assert [state(node, v) for v in (201, 202, 203)] == ["running", "running", "stopped"]
    upid = node.api.run("POST", f"{BULK}/suspend", {"vms": [202]})
    assert children(node, upid) == [("qmpause", 202)] and upid.split(":")[5] == "bulksuspend"
    assert state(node, 202) == "paused" and state(node, 201) == "running"
    upid = node.api.run("POST", f"{BULK}/suspend", {"vms": [202, 203]})
    assert not children(node, upid) and state(node, 202) == "paused"
    # All of them; forced, as nobody in there listens to the power button yet.
    upid = node.api.run("POST", f"{BULK}/shutdown", {"timeout": 1, "maxworkers": 1})
    assert upid.split(":")[5] == "bulkshutdown" and {v for _, v in children(node, upid)} == {201, 202}
    assert [state(node, v) for v in (201, 202, 203)] == ["stopped"] * 3
    for vmid in (201, 202, 203):
        node.remove(vmid)


@test(limit=60)
def bulk_refuses(node):
    for vmid in (211, 212):
        node.create(vmid, memory=64)
    user = node.restricted("some@pve", **{"/vms/211": "PVEVMUser"})
    for what in ("start", "shutdown", "suspend"):
        node.api.refused("POST", f"{BULK}/{what}", {"vms": [999]}, 400, param="vms")
        node.api.refused("POST", f"{BULK}/{what}", {"vms": ["x"]}, 400, param="vms")
        node.api.refused("POST", f"{BULK}/{what}", {"max-workers": 65}, 400, param="max-workers")
        node.api.refused("POST", f"{BULK}/{what}", {"max-workers": 2, "maxworkers": 2}, 400, param="maxworkers")
        user.refused("POST", f"{BULK}/{what}", {"vms": [211, 212]}, 403, "/vms/212, VM.PowerMgmt")
        user.refused("POST", f"{BULK}/{what}", {}, 403, "/, VM.PowerMgmt")
    upid = user.run("POST", f"{BULK}/shutdown", {"vms": [211]})
    assert not children(node, upid)
    node.api.refused("POST", f"{BULK}/suspend", {"to-disk": 1}, 400, param="to-disk")
    node.api.refused("POST", f"{BULK}/suspend", {"statestorage": "local"}, 400, param="to-disk")
    node.api.refused("POST", f"{BULK}/start", {"timeout": -1}, 400, param="timeout")
    node.api.refused("GET", "/cluster/bulk-action", {"x": 1}, 400)
    node.api.refused("GET", BULK, {"x": 1}, 400)
    for vmid in (211, 212):
        node.remove(vmid)


def cmdline(node, vmid):
    pid = node.api.get(node.vm(vmid, "/status/current"))["pid"]
    with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as f:
        return f.read().split("\0")


@test(limit=120)
def cpu_model_acts(node):
    """Made, seen, used by a guest, changed, and missed."""
    install_demo(node)
    node.api.post(MODELS, **{"cputype": "web", "reported-model": "EPYC", "flags": "-sse4a;-misalignsse"})
    # Without KVM this is all there is of a model: what TCG knows of it, less two flags.
    node.create(220, **{**DEMO, "memory": 128, "cpu": "custom-web,flags=+aes"})
    node.api.run("POST", node.vm(220, "/status/start"))
    args = cmdline(node, 220)
    assert args[args.index("-cpu") + 1] == "EPYC,-sse4a,-misalignsse,+aes", args
    node.api.run("POST", node.vm(220, "/status/stop"))
    node.api.put(f"{MODELS}/custom-web", **{"hidden": 1, "phys-bits": "39", "level": 13, "delete": "flags"})
    node.api.run("POST", node.vm(220, "/status/start"))
    args = cmdline(node, 220)
    assert args[args.index("-cpu") + 1] == "EPYC,+aes,kvm=off,phys-bits=39,level=13", args
    node.api.run("POST", node.vm(220, "/status/stop"))
    node.api.delete(f"{MODELS}/web")
    assert "the model 'custom-web' does not exist" in str(node.api.outcome("POST", node.vm(220, "/status/start")))
    node.api.refused("PUT", node.vm(220, "/config"), {"cpu": "custom-web"}, 400, param="cpu")
    node.remove(220)


@test(limit=60)
def cpu_models(node):
    assert names(node.api.get("/cluster/qemu")) == ["cpu-flags", "custom-cpu-models"]
    flags = node.api.get("/cluster/qemu/cpu-flags", accel="tcg")
    assert any(f["name"] == "aes" and f["supported-on"] == [node.name] for f in flags), flags[:3]
    node.api.refused("GET", "/cluster/qemu/cpu-flags", {"accel": "xen"}, 400, param="accel")
    assert node.api.get(MODELS) == []
    node.api.post(MODELS, **{"cputype": "custom-db", "reported-model": "kvm64", "flags": "+aes;-pcid", "hidden": 1,
                             "hv-vendor-id": "holm", "phys-bits": "host", "level": 7})
    model = node.api.get(f"{MODELS}/db")
    digest = model.pop("digest")
    assert model == {"cputype": "custom-db", "reported-model": "kvm64", "flags": "+aes;-pcid", "hidden": 1,
                     "hv-vendor-id": "holm", "phys-bits": "host", "level": 7}, model
    assert node.api.get(f"{MODELS}/custom-db")["cputype"] == "custom-db"
    rows = node.api.get("/nodes/{node}/capabilities/qemu/cpu")
    mine = [r for r in rows if r["custom"]]
    vendor = next(r["vendor"] for r in rows if r["name"] == "kvm64")
    assert mine == [{"name": "custom-db", "vendor": vendor, "custom": 1}], mine
    node.api.refused("POST", MODELS, {"cputype": "db", "reported-model": "kvm64"}, 400, param="cputype")
    node.api.refused("POST", MODELS, {"cputype": "x1"}, 400, param="reported-model")
    node.api.refused("POST", MODELS, {"cputype": "custom-", "reported-model": "kvm64"}, 400, param="cputype")
    for key, bad in (("reported-model", "286"), ("flags", "aes"), ("flags", "+a=b"), ("phys-bits", "7"), ("level", "-1"),
                     ("hv-vendor-id", "thirteenchars"), ("guest-phys-bits", "40")):
        node.api.refused("POST", MODELS, {"cputype": "x1", "reported-model": "kvm64", key: bad}, 400, param=key)
    node.api.refused("PUT", f"{MODELS}/db", {"level": 8, "digest": "0" * 40}, 500, "detected modified")
    node.api.put(f"{MODELS}/db", level=8, digest=digest)
    node.api.refused("PUT", f"{MODELS}/db", {"delete": "reported-model"}, 400, param="delete")
    node.api.refused("PUT", f"{MODELS}/db", {"delete": "level", "level": 3}, 400, param="delete")
    for method in ("GET", "PUT", "DELETE"):
        node.api.refused(method, f"{MODELS}/none", {}, 500, "Custom cputype 'none' not found")
    model_rights(node)
    node.restart()
    assert node.api.get(f"{MODELS}/db")["level"] == 8
    node.api.delete(f"{MODELS}/db")
    assert node.api.get(MODELS) == []


def model_rights(node):
    node.create(230, memory=64)
    node.api.post(MODELS, **{"cputype": "ab", "reported-model": "kvm64"})
    user = node.restricted("fast@pve", **{"/mapping/cpu/ab": "PVEMappingUser", "/vms/230": "PVEVMAdmin"})
    assert names(user.get(MODELS), "cputype") == ["custom-ab"]
    assert names([r for r in user.get("/nodes/{node}/capabilities/qemu/cpu") if r["custom"]]) == ["custom-ab"]
    user.refused("GET", f"{MODELS}/db", {}, 403)
    user.refused("PUT", f"{MODELS}/ab", {"level": 1}, 403)
    user.refused("DELETE", f"{MODELS}/ab", {}, 403)
    user.refused("POST", MODELS, {"cputype": "cd", "reported-model": "kvm64"}, 403)
    user.put(node.vm(230, "/config"), cpu="custom-ab")
    user.refused("PUT", node.vm(230, "/config"), {"cpu": "custom-db"}, 403, "/mapping/cpu/db, Mapping.Use")
    node.remove(230)
    node.api.delete(f"{MODELS}/ab")


@test(limit=30)
def calendar_events(node):
    analyze = "/cluster/jobs/schedule-analyze"
    assert names(node.api.get("/cluster/jobs"), "subdir") == ["schedule-analyze"]
    rows = node.api.get(analyze, schedule="mon..fri 8..17:0/30 utc", starttime=1717588800, iterations=12)
    assert [r["timestamp"] for r in rows] == [1717588800 + 1800 * i for i in range(1, 12)] + [1717588800 + 72000]
    assert rows[0]["utc"] == "Wed Jun  5 12:30:00 2024", rows[0]
    assert len(node.api.get(analyze, schedule="hourly")) == 10
    first = node.api.get(analyze, schedule="minutely", iterations=1)[0]["timestamp"]
    assert 0 < first - time.time() <= 61 and first % 60 == 0
    assert node.api.get(analyze, schedule="2-30") == []
    for bad in ("", "25:00", "monday monday", "x" * 129, "*/0"):
        node.api.refused("GET", analyze, {"schedule": bad}, 400, param="schedule")
    node.api.refused("GET", analyze, {"schedule": "daily", "iterations": 101}, 400, param="iterations")
    node.api.refused("GET", analyze, {"schedule": "daily", "starttime": -5}, 400, param="starttime")
    node.api.refused("GET", "/cluster/jobs", {"x": 1}, 400)


main()
