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


if __name__ == "__main__":
    main()
