"""Second factors in the API: their life, who may change them, what is refused, and that no secret comes out again."""
import os
import time

from lib.holm import PASSWORD
from lib.otp import Authenticator, add_recovery, add_totp, at_once, login, row
from lib.tap import main, test


def entry(node, user, name):
    return next((e for e in node.api.get(f"/access/tfa/{user}") if e["id"] == name), None)


@test
def life_of_an_entry(node):
    node.create_user("life@pve")
    assert node.api.get("/access/tfa/life@pve") == []
    before = int(time.time())
    phone = add_totp(node, "life@pve", description="first phone")
    shown = node.api.get(f"/access/tfa/life@pve/{phone.id}")
    assert set(shown) == {"id", "type", "description", "created", "enable"}, shown
    assert shown["type"] == "totp" and shown["description"] == "first phone" and shown["enable"] == 1, shown
    assert before <= shown["created"] <= time.time() + 1
    assert row(node, "life@pve")["entries"] == [shown] == node.api.get("/access/tfa/life@pve")
    assert node.api.get("/access/users/life@pve/tfa") == {"user": "oath"}
    assert node.api.get("/access/users/life@pve/tfa", multiple=1) == {"types": ["totp"]}
    path = f"/access/tfa/life@pve/{phone.id}"
    node.api.put(path, description="old phone", enable=0, password=PASSWORD)
    assert entry(node, "life@pve", phone.id)["description"] == "old phone"
    assert node.client("life@pve").get("/version"), "none is enabled: the password is enough"
    node.api.put(path, enable=1, password=PASSWORD)
    assert login(node, "life@pve", f"totp:{phone.code()}")
    add_recovery(node, "life@pve")
    assert node.api.get("/access/users/life@pve/tfa", multiple=1) == {"types": ["totp", "recovery"]}
    node.api.put("/access/tfa/life@pve/recovery", description="in the safe", password=PASSWORD)
    assert entry(node, "life@pve", "recovery")["description"] == "in the safe"
    node.api.delete("/access/tfa/life@pve/recovery", password=PASSWORD)
    node.api.delete(path, password=PASSWORD)
    assert node.api.get("/access/tfa/life@pve") == []
    assert node.client("life@pve").get("/version")
    for method in ("GET", "PUT", "DELETE"):
        more = {} if method == "GET" else {"password": PASSWORD}
        node.api.refused(method, path, more, 404, f"No such tfa entry '{phone.id}'")


@test
def deleting_a_user_forgets(node):
    node.create_user("gone@pve")
    add_totp(node, "gone@pve")
    node.api.delete("/access/users/gone@pve")
    node.create_user("gone@pve")
    assert node.api.get("/access/tfa/gone@pve") == []
    assert node.client("gone@pve").get("/version")
    for method, path in (("GET", ""), ("GET", "/x"), ("POST", ""), ("PUT", "/x"), ("DELETE", "/x")):
        params = {"type": "recovery"} if method == "POST" else {}
        node.api.refused(method, f"/access/tfa/none@pve{path}", params, text="no such user")
    node.api.refused("GET", "/access/users/none@pve/tfa", text="no such user")


@test
def what_is_added_is_checked(node):
    node.create_user("add@pve")
    phone = Authenticator()
    good = {"type": "totp", "description": "d", "totp": phone.uri, "value": phone.code(), "password": PASSWORD}
    path = "/access/tfa/add@pve"
    for kind in ("webauthn", "u2f", "yubico"):
        node.api.refused("POST", path, {**good, "type": kind}, 400, "are not supported", "type")
    node.api.refused("POST", path, {**good, "type": "fax"}, 400, "enumeration", "type")
    for missing in ("totp", "value"):
        node.api.refused("POST", path, {k: v for k, v in good.items() if k != missing}, 400, "requires both", missing)
    node.api.refused("POST", path, {k: v for k, v in good.items() if k != "description"}, 400, "is required", "description")
    node.api.refused("POST", path, {**good, "challenge": "x"}, 400, param="challenge")
    node.api.refused("POST", path, {**good, "type": "recovery"}, 400, param="totp")
    wrong = node.api.refused("POST", path, {**good, "value": phone.wrong()}, 500, "failed to verify TOTP challenge", "value")
    assert wrong.body["code"] == "tfa.proof" and wrong.message.strip() == wrong.errors["value"], wrong.body
    node.api.refused("POST", path, {**good, "description": "d" * 256}, 400, param="description")
    for bad in ("x", phone.uri + "&digits=9", phone.uri.replace(phone.text, "ABCDEFGH"), phone.uri.replace("totp/", "hotp/"),
                phone.uri.replace("period=30", "period=5"), phone.uri + "&x=y", phone.uri + "#", "otpauth://totp/" + "x" * 2000):
        reply = node.api.refused("POST", path, {**good, "totp": bad}, 400, "otpauth", "totp")
        assert phone.text not in reply.text
    assert node.api.get(path) == []
    for i in range(8):
        add_totp(node, "add@pve", Authenticator(), f"n{i}")
    node.api.refused("POST", path, {**good, "value": phone.code()}, text="at most 8")


@test(limit=60)
def own_password_confirms(node):
    node.create_user("self@pve")
    session = node.client("self@pve")
    phone = Authenticator(period=120)
    phone.wait_for_room()
    params = {"type": "totp", "description": "mine", "totp": phone.uri, "value": phone.code()}
    session.refused("POST", "/access/tfa/self@pve", params, 400, "password is required", "password")
    session.refused("POST", "/access/tfa/self@pve", {**params, "password": "not my own"}, 401)
    name = session.post("/access/tfa/self@pve", {**params, "password": PASSWORD})["id"]
    assert [e["id"] for e in session.get("/access/tfa/self@pve")] == [name]
    assert [r["userid"] for r in session.get("/access/tfa")] == ["self@pve"], "nobody else's are listed"
    path = f"/access/tfa/self@pve/{name}"
    for method in ("PUT", "DELETE"):
        session.refused(method, path, {}, 400, "password is required", "password")
    wrong = {"password": "not my own"}
    assert [r.status for r in at_once([lambda m=m: session.call(m, path, wrong) for m in ("PUT", "DELETE")])] == [401] * 2
    assert entry(node, "self@pve", name)["enable"] == 1
    session.put(path, enable=0, password=PASSWORD)
    session.delete(path, password=PASSWORD)


@test(limit=60)
def who_may(node):
    """Self, or User.Modify through a group; nobody but root@pam for root@pam; no API token."""
    for user in ("may-target@pve", "may-helper@pve", "may-viewer@pve", "may-stranger@pve"):
        node.create_user(user)
    node.api.post("/access/groups", groupid="maygroup")
    node.api.put("/access/users/may-target@pve", groups="maygroup")
    node.api.put("/access/acl", path="/access/groups/maygroup", roles="PVEUserAdmin", users="may-helper@pve")
    node.api.put("/access/acl", path="/access/groups/maygroup", roles="PVEAuditor", users="may-viewer@pve")
    helper, viewer, stranger = (node.client(f"may-{n}@pve") for n in ("helper", "viewer", "stranger"))
    add = {"type": "recovery", "password": PASSWORD}
    changes = (("POST", "", add), ("PUT", "/recovery", {"enable": 1, "password": PASSWORD}),
               ("DELETE", "/recovery", {"password": PASSWORD}))
    for method, rest, params in changes:
        viewer.refused(method, f"/access/tfa/may-target@pve{rest}", params, 403)
        stranger.refused(method, f"/access/tfa/may-target@pve{rest}", params, 403)
    assert helper.call("POST", "/access/tfa/may-target@pve", add).status == 200
    for client in (helper, viewer):
        assert client.get("/access/tfa/may-target@pve/recovery")["type"] == "recovery"
        assert "may-target@pve" in [r["userid"] for r in client.get("/access/tfa")]
        assert client.get("/access/users/may-target@pve/tfa", multiple=1) == {"types": ["recovery"]}
    for path in ("/access/tfa/may-target@pve", "/access/tfa/may-target@pve/recovery", "/access/users/may-target@pve/tfa"):
        stranger.refused("GET", path, status=403)
    assert stranger.get("/access/tfa") == []
    helper.refused("POST", "/access/tfa/may-stranger@pve", add, 403)
    token = node.api.post("/access/users/admin@pve/token/tfa", privsep=0)
    by_token = node.client(token=(token["full-tokenid"], token["value"]))
    assert by_token.get("/access/tfa/may-target@pve")
    for method, rest, params in changes:
        by_token.refused(method, f"/access/tfa/may-target@pve{rest}", params, 403, "need proper ticket")
        node.api.refused(method, f"/access/tfa/root@pam{rest}", params, 403)
    assert by_token.put("/access/users/may-target@pve/unlock-tfa") == 0
    helper.put("/access/tfa/may-target@pve/recovery", enable=0, password=PASSWORD)
    helper.delete("/access/tfa/may-target@pve/recovery", password=PASSWORD)
    node.api.delete("/access/users/admin@pve/token/tfa")


@test
def index_names_it(node):
    assert "tfa" in {r["subdir"] for r in node.api.get("/access")}
    paths = ("/access/tfa", "/access/tfa/admin@pve", "/access/users/admin@pve/tfa")
    assert [r.status for r in at_once([lambda p=p: node.nobody().call("GET", p) for p in paths])] == [401] * 3


def find_database(node):
    return next(os.path.join(top, "holm.db") for top, _, names in os.walk(node.root) if "holm.db" in names)


@test(limit=60)
def secrets_stay_inside(node):
    """Neither a secret nor a code is in a later reply, in a log, or in what an Idempotency-Key brings back."""
    node.create_user("quiet@pve")
    phone = add_totp(node, "quiet@pve")
    key = {"Idempotency-Key": "quiet-1"}
    params = {"type": "recovery", "password": PASSWORD}
    first = node.api.call("POST", "/access/tfa/quiet@pve", params, headers=key)
    codes = first.data["recovery"]
    assert node.api.call("POST", "/access/tfa/quiet@pve", params, headers=key).status >= 400
    login(node, "quiet@pve", f"recovery:{codes[0]}")
    used = phone.code()
    login(node, "quiet@pve", f"totp:{used}")
    ticket = {"username": "admin@pve", "password": PASSWORD}
    assert node.nobody().call("POST", "/access/ticket", ticket, headers=key).status == 200
    stolen = node.nobody().call("POST", "/access/ticket", {**ticket, "password": "not known"}, headers=key)
    assert stolen.status == 401, "a login was given to somebody who knew its Idempotency-Key only"
    texts = [node.api.call("GET", path).text for path in (
        "/access/tfa", "/access/tfa/quiet@pve", "/access/tfa/quiet@pve/recovery", f"/access/tfa/quiet@pve/{phone.id}",
        "/access/users", "/access/users/quiet@pve", "/access/users/quiet@pve/tfa", "/cluster/tasks")] + [node.log()]
    for secret in [phone.text, phone.secret.hex(), *codes]:
        assert not any(secret in text for text in texts), secret
    with open(find_database(node), "rb") as f:
        stored = f.read()
    assert not any(code.encode() in stored for code in codes), "recovery codes are kept as hashes only"


if __name__ == "__main__":
    main()
