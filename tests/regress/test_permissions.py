"""Permission rules that were once answered wrongly."""
from lib.tap import main, test


@test
def a_token_is_not_its_user(node):
    """A privilege-separated token without rights could read its user's tokens, as if it were him."""
    node.create_user("owner@pve")
    owner = node.client("owner@pve")
    made = owner.post("/access/users/owner@pve/token/weak")
    weak = node.client(token=(made["full-tokenid"], made["value"]))
    weak.refused("GET", "/access/users/owner@pve/token", status=403)
    weak.refused("GET", "/access/users/owner@pve/token/weak", status=403)
    assert [t["tokenid"] for t in owner.get("/access/users/owner@pve/token")] == ["weak"]


@test
def a_path_with_doubled_slashes_means_the_same(node):
    """Rights on /vms/7000 did not count for a change of the ACL of //vms/7000/."""
    giver = node.restricted("giver@pve", **{"/vms/7000": "PVEVMAdmin"})
    node.create_user("taker@pve")
    giver.put("/access/acl", path="//vms/7000/", users="taker@pve", roles="PVEVMUser", propagate=0)
    assert any(a["path"] == "/vms/7000" and a["ugid"] == "taker@pve" for a in node.api.get("/access/acl"))
    giver.refused("PUT", "/access/acl", {"path": "//vms/7001/", "users": "taker@pve", "roles": "PVEVMUser"}, 403)


@test
def names_may_hold_any_letter(node):
    """A pattern with \\s inside brackets refused the letter t (and the backslash), so that no rights of e.g. target@pve
    could be looked at."""
    node.restricted("target@pve", **{"/vms/7002": "PVEVMUser"})
    rights = node.api.get("/access/permissions", userid="target@pve", path="/vms/7002")
    assert rights["/vms/7002"]["VM.Console"] == 1, rights
    for name in ("tab\tbed@pve", "two words@pve", "new\nline@pve"):
        node.api.refused("GET", "/access/permissions", {"userid": name}, 400, param="userid")


@test
def a_change_through_groups_names_groups(node):
    """User.Modify on one group of a user was enough to change him without saying which groups he is to be in."""
    node.api.post("/access/groups", groupid="crew7")
    node.api.post("/access/users", userid="member7@pve", groups="crew7")
    client = node.restricted("leader7@pve", **{"/access/groups/crew7": "PVEUserAdmin"})
    client.refused("PUT", "/access/users/member7@pve", {"comment": "x"}, 403, "(/access/groups, User.Modify)")
    client.refused("PUT", "/access/users/member7@pve", {"comment": "x", "groups": ""}, 403)
    client.refused("PUT", "/access/users/member7@pve", {"groups": "crew7,none"}, 403, "(/access/groups/none, User.Modify)")
    client.put("/access/users/member7@pve", comment="x", groups="crew7")


@test
def keys_that_had_the_wrong_privilege(node):
    """acpi, hotplug and tablet are hardware; the order of starting is the host's business; vmgenid is root's."""
    node.create(7003)
    options = node.restricted("options7@pve", **{"/vms/7003": role_of(node, "VM.Config.Options")})
    hardware = node.restricted("hardware7@pve", **{"/vms/7003": role_of(node, "VM.Config.HWType")})
    for change in ({"acpi": 1}, {"hotplug": "disk"}, {"tablet": 0}):
        options.refused("PUT", node.vm(7003, "/config"), change, 403, "(/vms/7003, VM.Config.HWType)")
        hardware.put(node.vm(7003, "/config"), change)
    options.refused("PUT", node.vm(7003, "/config"), {"startup": "order=1"}, 403, "(/, Sys.Modify)")
    options.refused("PUT", node.vm(7003, "/config"), {"delete": "startup"}, 403, "(/, Sys.Modify)")
    node.api.refused("PUT", node.vm(7003, "/config"), {"vmgenid": "1"}, 403, "user != root@pam")


def role_of(node, privilege):
    name = "Only" + privilege.replace(".", "")
    if name not in [r["roleid"] for r in node.api.get("/access/roles")]:
        node.api.post("/access/roles", roleid=name, privs=privilege)
    return name


@test
def volumes_of_others_need_sight_of_the_storage(node):
    """VM.Config.Disk on the owner alone let a volume be attached from a storage that the user may not see, and who
    administers a storage was refused its ISO images."""
    node.create(7004, scsi0="local:0.01")
    node.create(7005)
    volume = node.api.get(node.vm(7004, "/config"))["scsi0"].split(",")[0]
    attach = {"scsi1": volume, "dry-run": 1}
    client = node.restricted("disks7@pve", **{"/vms": role_of(node, "VM.Config.Disk")})
    client.refused("PUT", node.vm(7005, "/config"), attach, 403, "(/storage/local, Datastore.Audit)")
    node.api.put("/access/acl", path="/storage/local", users="disks7@pve", roles=role_of(node, "Datastore.Audit"))
    client.put(node.vm(7005, "/config"), attach)
    keeper = node.restricted("keeper7@pve", **{"/vms": role_of(node, "VM.Config.CDROM"),
                                              "/storage/local": role_of(node, "Datastore.Allocate")})
    reply = keeper.call("PUT", node.vm(7005, "/config"), {"ide2": "local:iso/none.iso,media=cdrom", "dry-run": 1})
    assert reply.status != 403, reply.message


@test
def a_cdrom_does_not_take_a_disk_away(node):
    """VM.Config.CDROM was enough to put an empty CD-ROM in the place of a disk; to remove one needed both privileges."""
    node.create(7006, scsi0="local:0.01", ide2="none,media=cdrom")
    config = node.vm(7006, "/config")
    with_cdrom = node.restricted("cdrom7@pve", **{"/vms/7006": role_of(node, "VM.Config.CDROM")})
    with_cdrom.refused("PUT", config, {"scsi0": "none,media=cdrom"}, 403, "(/vms/7006, VM.Config.Disk)")
    with_cdrom.refused("PUT", config, {"delete": "ide2"}, 403, "(/vms/7006, VM.Config.Disk)")
    with_cdrom.put(config, {"ide2": "none,media=cdrom"})
    node.restricted("disk7@pve", **{"/vms/7006": role_of(node, "VM.Config.Disk")}).put(config, {"delete": "ide2"})


@test
def a_lock_is_nobody_elses_business(node):
    """Who may not change a key was told that the guest is locked, instead of that he may not."""
    node.create(7007)
    node.cli("api", "PUT", f"/nodes/{node.name}/qemu/7007/config", "-d", "lock=backup")
    client = node.restricted("cores7@pve", **{"/vms/7007": role_of(node, "VM.Config.Network")})
    client.refused("PUT", node.vm(7007, "/config"), {"cores": 2}, 403, "(/vms/7007, VM.Config.CPU)")
    client.refused("PUT", node.vm(7007, "/config"), {"delete": "net0"}, 500, "VM is locked (backup)")


@test
def lists_of_the_cluster_want_its_rights(node):
    """Sys.Audit on the node showed the tasks of the cluster; space to fill showed a storage among its resources."""
    node.create(7008)
    client = node.restricted("nodes7@pve", **{"/nodes": role_of(node, "Sys.Audit")})
    assert client.get("/cluster/tasks") == [] and client.get("/nodes/{node}/tasks")
    filler = node.restricted("space7@pve", **{"/storage": role_of(node, "Datastore.AllocateSpace")})
    assert [s["storage"] for s in filler.get("/storage")] == ["local"]
    assert not [r for r in filler.get("/cluster/resources") if r["type"] == "storage"]


if __name__ == "__main__":
    main()
