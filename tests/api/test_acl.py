"""ACLs, effective permissions, and what a user with few rights may see and do."""
from lib.tap import main, test


@test
def acl_life(node):
    node.api.post("/access/groups", groupid="ops")
    node.api.put("/access/acl", path="/vms/100", roles="PVEVMUser,PVEAuditor", groups="ops", propagate=0)
    rows = [r for r in node.api.get("/access/acl") if r["path"] == "/vms/100" and r["ugid"] == "ops"]
    assert {r["roleid"] for r in rows} == {"PVEVMUser", "PVEAuditor"}, rows
    assert all(r["type"] == "group" and r["propagate"] == 0 for r in rows), rows
    node.api.put("/access/acl", path="/vms/100", roles="PVEVMUser", groups="ops", delete=1)
    rows = [r for r in node.api.get("/access/acl") if r["ugid"] == "ops"]
    assert [r["roleid"] for r in rows] == ["PVEAuditor"], rows
    node.api.delete("/access/groups/ops")
    assert not [r for r in node.api.get("/access/acl") if r["ugid"] == "ops"]


@test
def acl_refusals(node):
    node.api.refused("PUT", "/access/acl", {"path": "/vms/100", "roles": "NoSuchRole", "users": "admin@pve"},
                     text="does not exist")
    node.api.refused("PUT", "/access/acl", {"path": "/nonsense", "roles": "PVEAuditor", "users": "admin@pve"},
                     text="invalid ACL path", param="path")
    node.api.refused("PUT", "/access/acl", {"path": "/", "roles": "PVEAuditor"})
    for nothing in ("", " ", ",;"):
        node.api.refused("PUT", "/access/acl", {"path": "/", "roles": nothing, "users": "admin@pve"}, 400, "required", "roles")
    node.api.refused("PUT", "/access/acl", {"path": "/", "roles": "PVEAuditor", "users": "none@pve"})
    node.nobody().refused("GET", "/access/acl", status=401)


@test
def permissions_of_an_administrator(node):
    rights = node.api.get("/access/permissions")
    assert rights["/"]["Sys.Modify"] == 1, rights["/"]
    assert node.api.get("/access/permissions", path="/vms/4711")["/vms/4711"]["VM.Allocate"] == 1
    node.api.refused("GET", "/access/permissions", {"userid": "bad"}, 400, param="userid")


@test
def permissions_of_another_user(node):
    client = node.restricted("seen@pve", **{"/vms/101": "PVEVMUser"})
    rights = node.api.get("/access/permissions", userid="seen@pve", path="/vms/101")
    assert "VM.Console" in rights["/vms/101"] and "VM.Allocate" not in rights["/vms/101"], rights
    assert "VM.Console" in client.get("/access/permissions", path="/vms/101")["/vms/101"]
    client.refused("GET", "/access/permissions", {"userid": "admin@pve"}, 403)
    node.api.delete("/access/users/seen@pve")


@test
def where_nothing_is_left_is_listed(node):
    """PVE leaves it out; a client that takes what stands above for what holds below would offer too much."""
    client = node.restricted("cut@pve", **{"/": "PVEVMUser", "/vms/103": "NoAccess", "/storage": "NoAccess", "/storage/local": "NoAccess"})
    rights = client.get("/access/permissions")
    assert "VM.Console" in rights["/"] and rights["/vms/103"] == {} and rights["/storage"] == {}, rights
    assert "/storage/local" not in rights, "nothing comes down to it"
    stranger = node.restricted("stranger@pve", **{"/vms/104": "PVEVMUser"})
    assert set(stranger.get("/access/permissions")) == {"/vms/104"}, "paths of others are not told"


@test
def lower_entry_replaces_inherited(node):
    """A user's entry at a deeper path replaces what comes from above; NoAccess there wipes all."""
    node.create(110)
    node.create(111)
    client = node.restricted("deep@pve", **{"/vms": "PVEVMAdmin", "/vms/110": "PVEAuditor", "/vms/111": "NoAccess"})
    client.get(node.vm(110, "/config"))
    client.refused("PUT", node.vm(110, "/config"), {"cores": 2}, 403)
    client.refused("GET", node.vm(111, "/config"), status=403)
    assert [v["vmid"] for v in client.get("/nodes/{node}/qemu")] == [110]
    node.api.delete("/access/users/deep@pve")
    node.remove(110)
    node.remove(111)


@test
def propagate_0_stays_at_its_path(node):
    node.create(112)
    client = node.restricted("flat@pve")
    node.api.put("/access/acl", path="/vms", roles="PVEVMAdmin", users="flat@pve", propagate=0)
    client.refused("GET", node.vm(112, "/config"), status=403)
    node.api.put("/access/acl", path="/vms", roles="PVEVMAdmin", users="flat@pve", propagate=1)
    client.get(node.vm(112, "/config"))
    node.api.delete("/access/users/flat@pve")
    node.remove(112)


@test
def group_rights_are_the_members(node):
    node.create(113)
    node.api.post("/access/groups", groupid="crew")
    node.api.put("/access/acl", path="/vms/113", roles="PVEVMUser", groups="crew")
    client = node.restricted("crew1@pve")
    client.refused("GET", node.vm(113, "/config"), status=403)
    node.api.put("/access/users/crew1@pve", groups="crew")
    client.get(node.vm(113, "/config"))
    node.api.delete("/access/groups/crew")
    client.refused("GET", node.vm(113, "/config"), status=403)
    node.api.delete("/access/users/crew1@pve")
    node.remove(113)


@test
def texts_name_path_and_privilege(node):
    client = node.restricted("none@pve")
    reply = client.refused("GET", "/nodes/{node}/qemu/100/config", status=403)
    assert reply.message == "Permission check failed (/vms/100, VM.Audit)\n", reply.message
    reply = client.refused("GET", "/nodes/{node}/status", status=403)
    assert reply.message == f"Permission check failed (/nodes/{node.name}, Sys.Audit)\n", reply.message
    reply = client.refused("POST", "/nodes/{node}/qemu", {"vmid": 114}, 403)
    assert reply.message == "Permission check failed (/vms/114, VM.Allocate)\n", reply.message
    node.api.delete("/access/users/none@pve")


@test
def each_config_key_has_its_privilege(node):
    """A user with one VM.Config.* privilege may change its keys and no other."""
    node.create(115)
    rows = {"VM.Config.CPU": {"cores": 2}, "VM.Config.Memory": {"memory": 256}, "VM.Config.Options": {"onboot": 1},
            "VM.Config.HWType": {"vga": "serial0"}, "VM.Config.Network": {"net0": "virtio"},
            "VM.Config.Disk": {"scsi0": "local:1"}}
    for own in rows:
        node.api.post("/access/roles", roleid="Only", privs=own)
        client = node.restricted("only@pve", **{"/vms/115": "Only"})
        for other, change in rows.items():
            if other != own:
                client.refused("PUT", node.vm(115, "/config"), change, 403, "VM.Config")
        if own not in ("VM.Config.Disk", "VM.Config.Network"):  # these need more: space, a bridge
            client.put(node.vm(115, "/config"), rows[own])
        node.api.delete("/access/users/only@pve")
        node.api.delete("/access/roles/Only")
    node.remove(115)


@test
def root_only_keys(node):
    node.create(116)
    for change in ({"args": "-S"}, {"hookscript": "local:snippets/x"}, {"lock": "backup"}, {"hostpci0": "00:01.0"},
                   {"serial0": "/dev/ttyS0"}):
        reply = node.api.call("PUT", node.vm(116, "/config"), change)
        assert reply.status >= 400, (change, reply.data)
    node.api.refused("POST", node.vm(116, "/status/start"), {"skiplock": 1})
    node.remove(116)


@test
def foreign_volume_needs_rights_on_its_owner(node):
    """Attaching local:117/vm-117-disk-0 to another guest is using guest 117."""
    node.create(117, scsi0="local:1")
    node.create(118)
    volume = node.api.get(node.vm(117, "/config"))["scsi0"].split(",")[0]
    client = node.restricted("thief@pve", **{"/vms/118": "PVEVMAdmin", "/storage/local": "PVEDatastoreUser"})
    client.refused("PUT", node.vm(118, "/config"), {"scsi0": volume}, 403)
    node.api.delete("/access/users/thief@pve")
    node.remove(117)
    node.remove(118)


@test
def tasks_and_resources_are_filtered(node):
    node.create(119)
    client = node.restricted("blind@pve")
    assert [r for r in client.get("/cluster/resources") if r["type"] == "qemu"] == []
    assert client.get("/nodes/{node}/qemu") == []
    upid = [t["upid"] for t in node.api.get("/nodes/{node}/tasks", vmid=119)][0]
    assert upid not in [t["upid"] for t in client.get("/nodes/{node}/tasks")]
    client.refused("GET", f"/nodes/{{node}}/tasks/{upid}/status", status=403)
    client.refused("GET", f"/nodes/{{node}}/tasks/{upid}/log", status=403)
    node.api.delete("/access/users/blind@pve")
    node.remove(119)


if __name__ == "__main__":
    main()
