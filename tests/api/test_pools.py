"""Pools: life, members, and the rights they carry to their members."""
from lib.tap import main, test


@test
def pool_life(node):
    node.create(200)
    node.api.post("/pools", poolid="p1", comment="first")
    node.api.put("/pools", poolid="p1", vms=200, storage="local")
    pool = node.api.get("/pools", poolid="p1")[0]
    assert pool["comment"] == "first", pool
    assert {m["id"] for m in pool["members"]} == {"qemu/200", f"storage/{node.name}/local"}, pool
    assert [p["poolid"] for p in node.api.get("/pools")] == ["p1"]
    resource = [r for r in node.api.get("/cluster/resources", type="vm") if r["vmid"] == 200][0]
    assert resource["pool"] == "p1", resource
    node.api.put("/pools", poolid="p1", vms=200, storage="local", delete=1)
    assert node.api.get("/pools", poolid="p1")[0]["members"] == []
    node.api.delete("/pools", poolid="p1")
    assert node.api.get("/pools") == []
    node.remove(200)


@test
def old_pool_paths(node):
    """Clients of older versions use /pools/{poolid}."""
    node.api.post("/pools", poolid="old")
    assert node.api.get("/pools/old")["members"] == []
    node.api.put("/pools/old", comment="x")
    assert node.api.get("/pools/old")["comment"] == "x"
    node.api.delete("/pools/old")
    node.api.refused("GET", "/pools/old", text="pool 'old' does not exist")
    node.api.refused("PUT", "/pools/old", {"comment": "y"}, text="pool 'old' does not exist")
    node.api.refused("DELETE", "/pools/old", text="pool 'old' does not exist")


@test
def pool_refusals(node):
    node.api.post("/pools", poolid="p2")
    node.api.refused("POST", "/pools", {"poolid": "p2"}, text="pool 'p2' already exists")
    node.api.refused("POST", "/pools", {"poolid": "a b"}, 400, "invalid format", "poolid")
    node.api.refused("GET", "/pools", {"poolid": "none"}, text="pool 'none' does not exist")
    node.api.refused("PUT", "/pools", {"poolid": "none", "comment": "x"}, text="pool 'none' does not exist")
    node.api.refused("DELETE", "/pools", {"poolid": "none"}, text="pool 'none' does not exist")
    node.api.refused("PUT", "/pools", {"poolid": "p2", "vms": 999})
    node.api.refused("PUT", "/pools", {"poolid": "p2", "storage": "none"})
    node.api.delete("/pools", poolid="p2")


@test
def pool_with_members_stays(node):
    node.api.post("/pools", poolid="p3")
    node.create(201, pool="p3")
    node.api.refused("DELETE", "/pools", {"poolid": "p3"}, text="is not empty")
    node.remove(201)
    assert node.api.get("/pools", poolid="p3")[0]["members"] == []
    node.api.delete("/pools", poolid="p3")


@test
def pool_role_reaches_members(node):
    node.api.post("/pools", poolid="p4")
    node.create(202, pool="p4")
    node.create(203)
    client = node.restricted("pooled@pve", **{"/pool/p4": "PVEVMAdmin"})
    client.get(node.vm(202, "/config"))
    client.refused("GET", node.vm(203, "/config"), status=403)
    assert [v["vmid"] for v in client.get("/nodes/{node}/qemu")] == [202]
    # Creating into the pool needs the pool's right only; outside it is refused.
    client.run("POST", "/nodes/{node}/qemu", vmid=204, pool="p4")
    client.refused("POST", "/nodes/{node}/qemu", {"vmid": 205}, 403)
    client.refused("POST", "/pools", {"poolid": "mine"}, 403)
    for vmid in (202, 203, 204):
        node.remove(vmid)
    node.api.delete("/access/users/pooled@pve")
    node.api.delete("/pools", poolid="p4")


if __name__ == "__main__":
    main()
