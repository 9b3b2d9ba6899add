"""Tickets, users, tokens, groups, roles, realms, passwords."""
import json
import os
import re

from lib import facts
from lib.holm import PASSWORD
from lib.tap import main, test


@test
def ticket_has_pve_shape(node):
    data = node.nobody().post("/access/ticket", username="admin@pve", password=PASSWORD)
    assert re.fullmatch(r"PVE:admin@pve:[0-9A-F]{8}::[A-Za-z0-9+/=]+", data["ticket"]), data["ticket"]
    assert re.fullmatch(r"[0-9A-F]{8}:\S+", data["CSRFPreventionToken"]), data
    assert data["username"] == "admin@pve"
    assert data["cap"]["vms"]["VM.Allocate"] == 1, data["cap"]


@test
def index_and_ticket_page(node):
    assert {r["subdir"] for r in node.api.get("/access")} >= {"users", "groups", "roles", "acl", "domains", "ticket"}
    node.nobody().refused("GET", "/access", status=401)
    assert node.nobody().get("/access/ticket") is None
    node.nobody().refused("GET", "/access/ticket", {"x": 1}, 400, param="x")


@test
def realm_may_be_separate(node):
    data = node.nobody().post("/access/ticket", username="admin", realm="pve", password=PASSWORD)
    assert data["username"] == "admin@pve"


@test
def ticket_as_password_renews(node):
    data = node.nobody().post("/access/ticket", username="admin@pve", password=node.api.ticket)
    assert data["ticket"].startswith("PVE:admin@pve:")


@test
def wrong_login_is_401_and_tells_nothing(node):
    for user, password in (("admin@pve", "wrong"), ("nobody@pve", "wrong"), ("admin@nowhere", "wrong")):
        reply = node.nobody().refused("POST", "/access/ticket", {"username": user, "password": password}, 401)
        assert reply.message == "authentication failure\n" and not reply.errors, reply.text


@test
def ticket_checks_its_parameters(node):
    node.nobody().refused("POST", "/access/ticket", {"username": "admin@pve"}, 400,
                          "property is missing and it is not optional", "password")


@test
def forged_ticket_is_refused(node):
    good = node.api.ticket
    for bad in (good[:-4] + "AAA=", good.replace("admin@pve", "root@pam"), "PVE:root@pam:00000000::", "x"):
        client = node.nobody()
        client.http.headers["Cookie"] = f"PVEAuthCookie={bad}"
        client.refused("GET", "/version", status=401)


@test
def token_works_without_csrf(node):
    answer = node.api.post("/access/users/admin@pve/token/t1", comment="for tests", privsep=0)
    assert answer["full-tokenid"] == "admin@pve!t1", answer
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer["value"]), answer
    client = node.client(token=("admin@pve!t1", answer["value"]))
    client.post("/access/groups", groupid="bytoken")
    client.delete("/access/groups/bytoken")
    names = [t["tokenid"] for t in node.api.get("/access/users/admin@pve/token")]
    assert "t1" in names, names
    assert node.api.get("/access/users/admin@pve/token/t1")["comment"] == "for tests"
    node.api.refused("POST", "/access/users/admin@pve/token/t1", {"privsep": 0}, text="already exists", param="tokenid")
    node.api.delete("/access/users/admin@pve/token/t1")
    client.refused("GET", "/version", status=401)
    node.api.refused("GET", "/access/users/admin@pve/token/t1", text="no such token")


@test
def token_changes(node):
    node.api.post("/access/users/admin@pve/token/t2", comment="a", privsep=1)
    node.api.put("/access/users/admin@pve/token/t2", comment="b", privsep=0)
    row = node.api.get("/access/users/admin@pve/token/t2")
    assert row["comment"] == "b" and row["privsep"] == 0, row
    node.api.refused("PUT", "/access/users/admin@pve/token/none", {"comment": "x"})
    node.api.refused("DELETE", "/access/users/admin@pve/token/none")
    node.api.refused("GET", "/access/users/none@pve/token")
    node.api.delete("/access/users/admin@pve/token/t2")


@test
def wrong_token_is_401(node):
    client = node.client(token=("admin@pve!none", "00000000-0000-0000-0000-000000000000"))
    client.refused("GET", "/version", status=401)


@test
def token_with_privsep_has_only_its_own_rights(node):
    answer = node.api.post("/access/users/admin@pve/token/sep", privsep=1)
    client = node.client(token=(answer["full-tokenid"], answer["value"]))
    client.refused("GET", "/nodes/{node}/status", status=403)
    node.api.put("/access/acl", path="/nodes", roles="PVEAuditor", tokens="admin@pve!sep")
    client.get("/nodes/{node}/status")
    node.api.delete("/access/users/admin@pve/token/sep")


@test
def user_life(node):
    node.api.post("/access/users", userid="ada@pve", firstname="Ada", email="ada@example.org", comment="c", enable=1)
    row = node.api.get("/access/users/ada@pve")
    assert row["firstname"] == "Ada" and row["enable"] == 1, row
    listed = {u["userid"]: u for u in node.api.get("/access/users")}
    assert listed["ada@pve"]["email"] == "ada@example.org", listed
    node.api.put("/access/users/ada@pve", lastname="Lovelace", enable=0)
    row = node.api.get("/access/users/ada@pve")
    assert row["lastname"] == "Lovelace" and row["firstname"] == "Ada" and row["enable"] == 0, row
    node.api.refused("POST", "/access/users", {"userid": "ada@pve"}, text="already exists")
    node.api.delete("/access/users/ada@pve")
    node.api.refused("GET", "/access/users/ada@pve", text="no such user ('ada@pve')")


@test
def user_refusals(node):
    node.api.refused("POST", "/access/users", {"userid": "x"}, 400, "invalid format", "userid")
    node.api.refused("POST", "/access/users", {"userid": "x@nowhere"})
    node.api.refused("POST", "/access/users", {"userid": "x@pve", "password": "short"}, 400, param="password")
    node.api.refused("PUT", "/access/users/none@pve", {"comment": "x"}, text="no such user ('none@pve')")
    node.api.refused("DELETE", "/access/users/none@pve", text="no such user ('none@pve')")
    node.nobody().refused("GET", "/access/users", status=401)


@test
def password_life(node):
    node.api.post("/access/users", userid="pw@pve", password="first password")
    first = node.client("pw@pve", "first password")
    change = {"userid": "pw@pve", "password": "second password"}
    node.api.refused("PUT", "/access/password", change, 400, param="confirmation-password")
    wrong = node.api.refused("PUT", "/access/password", {**change, "confirmation-password": "not mine at all"})
    assert wrong.status in (400, 401, 403), wrong.text
    node.api.put("/access/password", {**change, "confirmation-password": PASSWORD})
    node.client("pw@pve", "second password")
    node.nobody().refused("POST", "/access/ticket", {"username": "pw@pve", "password": "first password"}, 401)
    first.refused("GET", "/version", status=401)  # the change ended older tickets
    first.login("second password")
    own = {"confirmation-password": "second password"}
    first.refused("PUT", "/access/password", {"userid": "admin@pve", "password": "stolen it now", **own}, 403)
    first.put("/access/password", {"userid": "pw@pve", "password": "third password", **own})
    node.api.refused("PUT", "/access/password", {"userid": "none@pve", "password": "long enough",
                                                 "confirmation-password": PASSWORD})
    node.api.refused("PUT", "/access/password", {"userid": "pw@pve", "password": "x"}, 400, param="password")
    node.api.delete("/access/users/pw@pve")


@test
def disabled_user_is_out_at_once(node):
    client = node.restricted("off@pve")
    client.get("/version")
    node.api.put("/access/users/off@pve", enable=0)
    client.refused("GET", "/version", status=401)
    node.api.delete("/access/users/off@pve")


@test
def group_life(node):
    node.api.post("/access/groups", groupid="staff", comment="all")
    node.api.post("/access/users", userid="g1@pve", groups="staff")
    assert node.api.get("/access/groups/staff")["members"] == ["g1@pve"]
    row = [g for g in node.api.get("/access/groups") if g["groupid"] == "staff"][0]
    assert row["users"] == "g1@pve" and row["comment"] == "all", row
    node.api.put("/access/groups/staff", comment="some")
    assert node.api.get("/access/groups/staff")["comment"] == "some"
    node.api.refused("POST", "/access/groups", {"groupid": "staff"}, text="already exists")
    node.api.delete("/access/users/g1@pve")
    assert node.api.get("/access/groups/staff")["members"] == []
    node.api.delete("/access/groups/staff")
    for method in ("GET", "PUT", "DELETE"):
        node.api.refused(method, "/access/groups/staff", text="group 'staff' does not exist")
    node.api.refused("POST", "/access/groups", {"groupid": "a b"}, 400, "invalid format", "groupid")
    node.nobody().refused("GET", "/access/groups", status=401)


@test
def role_life(node):
    node.api.post("/access/roles", roleid="Mine", privs="VM.Audit,VM.Console")
    assert node.api.get("/access/roles/Mine") == {"VM.Audit": 1, "VM.Console": 1}
    node.api.put("/access/roles/Mine", privs="VM.PowerMgmt", append=1)
    assert set(node.api.get("/access/roles/Mine")) == {"VM.Audit", "VM.Console", "VM.PowerMgmt"}
    node.api.put("/access/roles/Mine", privs="VM.Audit")
    assert set(node.api.get("/access/roles/Mine")) == {"VM.Audit"}
    node.api.refused("POST", "/access/roles", {"roleid": "Mine"}, text="already exists")
    node.api.delete("/access/roles/Mine")
    for method in ("GET", "PUT", "DELETE"):
        more = {"privs": "VM.Audit"} if method == "PUT" else {}
        node.api.refused(method, "/access/roles/Mine", more, text="does not exist")
    node.api.refused("POST", "/access/roles", {"roleid": "Bad", "privs": "VM.Fly"})
    node.api.refused("POST", "/access/roles", {"roleid": "PVEOwn"})
    node.nobody().refused("GET", "/access/roles", status=401)


@test
def built_in_roles_are_pves(node):
    with open(os.path.join(facts.TOP, "tests/data/pve-roles-privs.json"), encoding="utf-8") as f:
        expected = json.load(f)["roles"]
    rows = {r["roleid"]: r for r in node.api.get("/access/roles")}
    assert set(rows) >= set(expected), set(expected) - set(rows)
    for role, privileges in expected.items():
        assert set(rows[role]["privs"].split(",")) - {""} == set(privileges), role
        assert rows[role]["special"] == 1
        node.api.refused("DELETE", f"/access/roles/{role}")


@test
def realms_are_public(node):
    rows = {r["realm"]: r for r in node.nobody().get("/access/domains")}
    assert rows["pve"]["type"] == "pve" and rows["pam"]["type"] == "pam", rows
    node.nobody().refused("GET", "/access/domains", {"x": 1}, 400)


@test
def last_word_on_rights(node):
    """Rights that someone has may not be given on by one who lacks them, nor may a user make himself an administrator."""
    client = node.restricted("climber@pve", **{"/vms": "PVEVMUser"})
    client.refused("PUT", "/access/acl", {"path": "/", "roles": "Administrator", "users": "climber@pve"}, 403)
    client.refused("POST", "/access/users", {"userid": "friend@pve"}, 403)
    client.refused("PUT", "/access/users/admin@pve", {"enable": 0}, 403)
    client.refused("DELETE", "/access/users/admin@pve", status=403)
    client.refused("POST", "/access/groups", {"groupid": "mine"}, 403)
    client.refused("POST", "/access/roles", {"roleid": "mine"}, 403)
    client.refused("POST", "/access/users/admin@pve/token/steal", status=403)
    node.api.delete("/access/users/climber@pve")


if __name__ == "__main__":
    main()
