"""Views of the cluster and of a node."""
from lib.tap import main, test


@test
def resources_have_what_clients_read(node):
    node.create(300, name="seen", memory=512, cores=2, tags="a;b", scsi0="local:1")
    rows = {r["id"]: r for r in node.api.get("/cluster/resources")}
    vm, host, storage = rows["qemu/300"], rows[f"node/{node.name}"], rows[f"storage/{node.name}/local"]
    assert vm["status"] == "stopped" and vm["name"] == "seen" and vm["template"] == 0 and vm["vmid"] == 300, vm
    assert vm["maxmem"] == 512 << 20 and vm["maxcpu"] == 2 and vm["maxdisk"] == 1 << 30 and vm["tags"] == "a;b", vm
    assert all(vm[k] == 0 for k in ("uptime", "mem", "disk", "netin", "netout", "diskread", "diskwrite")), vm
    assert host["status"] == "online" and host["maxmem"] > 1 << 28 and host["maxcpu"] >= 1 and host["uptime"] > 0, host
    assert storage["status"] == "available" and storage["plugintype"] == "dir" and storage["maxdisk"] > 0, storage
    node.remove(300)


@test
def resources_follow_each_change(node):
    """What lasts of a guest is kept between lists: nothing of it may be older than the change that was answered."""
    def row():
        return {r["id"]: r for r in node.api.get("/cluster/resources", type="vm")}["qemu/303"]
    node.create(303, name="before", memory=128, cores=1)
    assert row()["name"] == "before" and "tags" not in row() and "pool" not in row() and "lock" not in row()
    node.api.put(node.vm(303, "/config"), name="after", tags="x", memory=144, cores=2)
    assert {k: row()[k] for k in ("name", "tags", "maxmem", "maxcpu")} == {"name": "after", "tags": "x", "maxmem": 144 << 20,
                                                                          "maxcpu": 2}
    node.api.put(node.vm(303, "/config"), delete="tags,name")
    assert row()["name"] == "VM" and "tags" not in row(), row()
    node.api.post("/pools", poolid="follow")
    node.api.put("/pools", poolid="follow", vms="303")
    assert row()["pool"] == "follow"
    node.api.put("/pools", poolid="follow", vms="303", delete=1)
    node.api.delete("/pools/follow")
    assert "pool" not in row()
    node.cli("api", "PUT", f"/nodes/{node.name}/qemu/303/config", "-d", "lock=backup")
    assert row()["lock"] == "backup"
    node.cli("api", "PUT", f"/nodes/{node.name}/qemu/303/config", "-d", "skiplock=1", "-d", "delete=lock")
    assert "lock" not in row()
    node.api.run("POST", node.vm(303, "/status/start"))
    node.api.put(node.vm(303, "/config"), memory=160, cores=1)
    assert row()["status"] == "running" and row()["maxmem"] == 144 << 20 and row()["maxcpu"] == 2, row()
    node.api.run("POST", node.vm(303, "/status/stop"))
    assert row()["status"] == "stopped" and row()["uptime"] == 0 and row()["mem"] == 0, row()
    node.api.run("POST", node.vm(303, "/status/start"))
    assert row()["maxmem"] == 160 << 20 and row()["maxcpu"] == 1, row()
    node.remove(303)


@test
def resources_by_type(node):
    node.create(301)
    for kind, types in (("vm", {"qemu", "lxc"}), ("node", {"node"}), ("storage", {"storage"})):
        rows = node.api.get("/cluster/resources", type=kind)
        assert rows and {r["type"] for r in rows} <= types, (kind, rows)
    node.api.refused("GET", "/cluster/resources", {"type": "car"}, 400,
                     "value 'car' does not have a value in the enumeration", "type")
    node.remove(301)


@test
def status_of_a_cluster_of_one(node):
    rows = node.api.get("/cluster/status")
    assert {r["type"] for r in rows} <= {"node", "cluster"}, rows
    own = [r for r in rows if r["type"] == "node"][0]
    assert own["name"] == node.name and own["online"] == 1 and own["local"] == 1 and own["id"] == f"node/{node.name}"
    node.restricted("cs@pve").refused("GET", "/cluster/status", status=403)


@test
def cluster_index_log_tasks(node):
    assert {r["name"] for r in node.api.get("/cluster")} >= {"resources", "status", "tasks", "nextid", "log"}
    node.create(302)
    node.remove(302)
    tasks = node.api.get("/cluster/tasks")
    assert {"qmcreate", "qmdestroy"} <= {t["type"] for t in tasks}, tasks
    assert isinstance(node.api.get("/cluster/log", max=5), list)
    node.api.refused("GET", "/cluster/log", {"max": 0}, 400, "value must have a minimum value of 1", "max")
    node.nobody().refused("GET", "/cluster", status=401)
    node.nobody().refused("GET", "/cluster/tasks", status=401)


@test
def nodes_list_and_index(node):
    rows = node.api.get("/nodes")
    assert [r["node"] for r in rows] == [node.name] and rows[0]["status"] == "online", rows
    assert rows[0]["id"] == f"node/{node.name}" and rows[0]["type"] == "node", rows
    assert {r["name"] for r in node.api.get("/nodes/{node}")} >= {"qemu", "status", "storage", "tasks", "version"}
    node.nobody().refused("GET", "/nodes", status=401)
    node.api.refused("GET", "/nodes/elsewhere")
    node.api.refused("GET", "/nodes/bad_name!", status=400, param="node")


@test
def status_of_a_node(node):
    data = node.api.get("/nodes/{node}/status")
    memory = data["memory"]
    assert 0 < memory["used"] <= memory["total"], memory
    with open("/proc/meminfo", encoding="utf-8") as f:
        total = int(f.readline().split()[1]) * 1024
    assert memory["total"] == total, (memory, total)
    assert data["cpuinfo"]["cpus"] >= 1 and len(data["loadavg"]) == 3 and data["uptime"] > 0, data
    assert data["rootfs"]["total"] >= data["rootfs"]["used"], data["rootfs"]
    node.api.refused("GET", "/nodes/elsewhere/status")


@test
def network_and_lxc_lists(node):
    assert isinstance(node.api.get("/nodes/{node}/network"), list)
    node.api.refused("GET", "/nodes/{node}/network", {"type": "carrier-pigeon"}, 400, param="type")
    assert node.api.get("/nodes/{node}/lxc") == []
    node.nobody().refused("GET", "/nodes/{node}/lxc", status=401)


if __name__ == "__main__":
    main()
