"""/access/domains: realms of type pve are added, changed and deleted; what Holm cannot do is refused by name."""
import json

from lib import facts
from lib.holm import PASSWORD
from lib.tap import main, test

TYPES_OF_OTHERS = ("ldap", "ad", "openid")


def realms(node):
    return {r["realm"]: r for r in node.api.get("/access/domains")}


def defaults(node):
    return [name for name, row in realms(node).items() if row.get("default")]


@test
def realm_life(node):
    node.api.post("/access/domains", realm="own", type="pve", comment="c")
    assert realms(node)["own"] == {"realm": "own", "type": "pve", "comment": "c"}, realms(node)
    row = node.api.get("/access/domains/own")
    assert row["type"] == "pve" and row["comment"] == "c" and len(row["digest"]) == 40, row
    node.api.put("/access/domains/own", comment="d", digest=row["digest"])
    assert node.api.get("/access/domains/own")["comment"] == "d"
    node.api.refused("PUT", "/access/domains/own", {"comment": "e", "digest": row["digest"]}, 500, "detected modified")
    node.api.put("/access/domains/own", delete="comment")
    assert "comment" not in node.api.get("/access/domains/own")
    node.api.refused("POST", "/access/domains", {"realm": "own", "type": "pve"}, 500, "domain 'own' already exists")
    node.api.delete("/access/domains/own")
    assert "own" not in realms(node)
    for method in ("GET", "PUT", "DELETE"):
        node.api.refused(method, "/access/domains/own", None, 500, "domain 'own' does not exist")


@test
def users_of_a_realm_log_in_with_its_passwords(node):
    node.api.post("/access/domains", realm="tenants", type="pve")
    node.api.post("/access/users", userid="ada@tenants", password="for tenants 1")
    node.api.post("/access/users", userid="ada@pve", password="another's one")
    ada = node.client("ada@tenants", "for tenants 1")
    ada.get("/version")
    node.nobody().refused("POST", "/access/ticket", {"username": "ada@tenants", "password": "another's one"}, 401)
    ada.put("/access/password", {"userid": "ada@tenants", "password": "for tenants 2", "confirmation-password":
                                 "for tenants 1"})
    node.client("ada@tenants", "for tenants 2").get("/version")
    node.api.refused("DELETE", "/access/domains/tenants", None, 500, "realm 'tenants' still has 1 user")
    node.api.delete("/access/users/ada@tenants")
    node.api.delete("/access/domains/tenants")
    node.api.refused("POST", "/access/users", {"userid": "eve@tenants"}, 500, "does not exist")
    node.api.delete("/access/users/ada@pve")


@test
def accounts_of_the_host_get_no_password_from_here(node):
    node.api.refused("POST", "/access/users", {"userid": "joe@pam", "password": "long enough"}, 500,
                     "can't set password on auth domain 'pam'")
    node.api.post("/access/users", userid="joe@pam")
    node.api.refused("PUT", "/access/password", {"userid": "joe@pam", "password": "long enough", "confirmation-password":
                                                 PASSWORD}, 403)
    node.api.delete("/access/users/joe@pam")


@test
def permissions_go_with_their_realm(node):
    node.api.post("/access/domains", realm="fleeting", type="pve")
    node.api.put("/access/acl", path="/access/realm/fleeting", roles="PVEUserAdmin", users="admin@pve")
    node.api.delete("/access/domains/fleeting")
    assert "/access/realm/fleeting" not in [entry["path"] for entry in node.api.get("/access/acl")]


@test
def one_realm_is_the_default(node):
    node.api.post("/access/domains", realm="first", type="pve", default=1)
    assert defaults(node) == ["first"]
    node.api.post("/access/domains", realm="second", type="pve", default=1)
    assert defaults(node) == ["second"]
    node.api.put("/access/domains/pam", default=1)
    assert defaults(node) == ["pam"]
    node.api.put("/access/domains/first", comment="x")
    assert defaults(node) == ["pam"]
    node.api.put("/access/domains/first", default=1)
    node.api.put("/access/domains/first", delete="default")
    assert defaults(node) == []
    node.api.put("/access/domains/second", default=1)
    node.api.put("/access/domains/second", default=0)
    assert defaults(node) == []
    for name in ("first", "second"):
        node.api.delete(f"/access/domains/{name}")


@test
def built_in_realms_stay(node):
    for name in ("pam", "pve"):
        node.api.refused("DELETE", f"/access/domains/{name}", None, 500, "is built in")
        node.api.refused("POST", "/access/domains", {"realm": name, "type": "pve"}, 500, "already exists")
    node.api.refused("POST", "/access/domains", {"realm": "pam2", "type": "pam"}, 500, "built in")
    node.api.put("/access/domains/pve", comment="by us")
    assert realms(node)["pve"]["comment"] == "by us"


@test
def types_of_others_are_refused(node):
    for kind in TYPES_OF_OTHERS:
        node.api.refused("POST", "/access/domains", {"realm": "other", "type": kind}, 400,
                         "not available in this version", "type")
    node.api.refused("POST", "/access/domains", {"realm": "other", "type": "nis"}, 400, "enumeration", "type")
    node.api.refused("POST", "/access/domains", {"realm": "other"}, 400, "not optional", "type")
    assert "other" not in realms(node)


def sample_of(schema):
    if "enum" in schema:
        return schema["enum"][0]
    return {"boolean": 1, "integer": schema.get("minimum", 1)}.get(schema["type"], "a=b")


@test
def no_parameter_is_accepted_and_ignored(node):
    """Every parameter that Proxmox VE has for these routes: it works here or it is refused by its name."""
    with open(facts.TOP + "/tests/data/pve-api.json", encoding="utf-8") as f:
        paths = json.load(f)["paths"]
    works = {"realm", "type", "comment", "default", "delete", "digest"}
    for method, path, call, base in (("POST", "/access/domains", "/access/domains", {"realm": "own2", "type": "pve"}),
                                     ("PUT", "/access/domains/{realm}", "/access/domains/pve", {})):
        others = set(paths[path][method]["parameters"]["properties"]) - works
        assert len(others) > 20 and "tfa" in others and "password" in others, others
        for name in others:
            value = sample_of(paths[path][method]["parameters"]["properties"][name])
            reply = node.api.refused(method, call, {**base, name: value}, 400, "not available in this version", name)
            assert list(reply.errors) == [name], reply.errors
    node.api.refused("PUT", "/access/domains/pve", {"delete": "server1"}, 400, param="delete")
    node.api.refused("PUT", "/access/domains/pve", {"nonsense": "1"}, 400, "not defined in schema", "nonsense")
    assert "own2" not in realms(node)


@test
def names_are_checked(node):
    for name in ("x", "1a", "a b", "a/b", "a@b", "a:b", "..", "x" * 33, "é" * 3):
        node.api.refused("POST", "/access/domains", {"realm": name, "type": "pve"}, 400, param="realm")


@test
def realms_need_their_privilege(node):
    helper = node.restricted("realms@pve", **{"/access/realm": "PVEAuditor"})
    for method, path, params in (("POST", "/access/domains", {"realm": "mine", "type": "pve"}),
                                 ("PUT", "/access/domains/pve", {"comment": "mine"}),
                                 ("DELETE", "/access/domains/pve", None)):
        helper.refused(method, path, params, 403, "Realm.Allocate")
        node.nobody().refused(method, path, params, 401)
    assert helper.get("/access/domains/pve")["type"] == "pve"


@test
def realms_are_limited_in_number(node):
    made = []
    for i in range(64 - len(realms(node))):
        made.append(f"many{i}")
        node.api.post("/access/domains", realm=made[-1], type="pve")
    node.api.refused("POST", "/access/domains", {"realm": "onemore", "type": "pve"}, 500, "64 realms already")
    node.api.put(f"/access/domains/{made[0]}", default=1)
    assert defaults(node) == [made[0]]
    for name in made:
        node.api.delete(f"/access/domains/{name}")


if __name__ == "__main__":
    main()
