"""Second factors: authenticators and recovery codes, the login in two steps, replay, races, locks, who may change what."""
import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from lib.holm import PASSWORD, Node
from lib.otp import Authenticator, add_recovery, add_totp, answer, ask, login
from lib.tap import main, test


def cookie(node, ticket, csrf=None):
    client = node.nobody()
    client.http.headers["Cookie"] = f"PVEAuthCookie={ticket}"
    if csrf:
        client.http.headers["CSRFPreventionToken"] = csrf
    return client


def at_once(calls):
    """Runs all of them as close together as threads get; returns what they returned."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        return call()
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def entry(node, user, name):
    return next((e for e in node.api.get(f"/access/tfa/{user}") if e["id"] == name), None)


def row(node, user):
    return next(r for r in node.api.get("/access/tfa") if r["userid"] == user)


@test
def login_in_two_steps(node):
    node.create_user("two@pve")
    phone = add_totp(node, "two@pve")
    first = node.nobody().post("/access/ticket", username="two@pve", password=PASSWORD)
    assert set(first) == {"ticket", "username", "NeedTFA"} and first["NeedTFA"] == 1, first
    assert first["username"] == "two@pve"
    shape = re.fullmatch(r"PVE:!tfa!([^:\s]+):[0-9A-F]{8}::[A-Za-z0-9+/=]+", first["ticket"])
    assert shape and json.loads(unquote(shape[1])) == {"totp": True}, first
    second = answer(node, "two@pve", first["ticket"], f"totp:{phone.code()}")
    assert second.status == 200 and "NeedTFA" not in second.data, second.text
    assert second.data["ticket"].startswith("PVE:two@pve:") and "cap" in second.data, second.data
    client = cookie(node, second.data["ticket"], second.data["CSRFPreventionToken"])
    assert client.get("/version")
    client.put("/access/password", userid="two@pve", password=PASSWORD, **{"confirmation-password": PASSWORD})
    renewed = node.nobody().post("/access/ticket", username="two@pve", password=second.data["ticket"])
    assert renewed["ticket"].startswith("PVE:two@pve:") and "NeedTFA" not in renewed, renewed


@test
def challenge_is_no_ticket(node):
    node.create_user("chal@pve")
    add_totp(node, "chal@pve")
    challenge = ask(node, "chal@pve")
    header = node.nobody()
    header.http.headers["Authorization"] = f"PVEAuthCookie={challenge}"
    calls = [lambda: header.call("GET", "/version")]
    for ticket in (challenge, unquote(challenge)):
        calls.append(lambda t=ticket: cookie(node, t).call("GET", "/version"))
        login_as = {"username": "chal@pve", "password": ticket}
        calls.append(lambda p=login_as: node.nobody().call("POST", "/access/ticket", p))
    assert [r.status for r in at_once(calls)] == [401] * len(calls)


@test(limit=60)
def wrong_answers_look_like_wrong_passwords(node):
    node.create_user("same@pve")
    phone, codes = add_totp(node, "same@pve"), add_recovery(node, "same@pve")
    wrong = node.nobody().call("POST", "/access/ticket", {"username": "same@pve", "password": "wrong password"})
    challenge = ask(node, "same@pve")
    texts = [f"totp:{phone.wrong()}", "totp:", phone.code(), "recovery:0000-0000-0000-0000", codes[0], "recovery:",
             "webauthn:{}", "", PASSWORD, "PVE:same@pve:00000000::x"]

    def timed(text):
        start = time.monotonic()
        return answer(node, "same@pve", challenge, text), time.monotonic() - start
    with ThreadPoolExecutor(len(texts)) as pool:
        for text, (reply, seconds) in zip(texts, pool.map(timed, texts)):
            assert reply.status == 401 and reply.text == wrong.text and reply.reason == wrong.reason, (text, reply.text)
            assert seconds >= 2.9, (text, seconds)
    assert answer(node, "same@pve", challenge, f"recovery:{codes[0]}").status == 200


@test
def code_works_once(node):
    node.create_user("once@pve")
    phone = add_totp(node, "once@pve", Authenticator(period=120))
    challenge = ask(node, "once@pve")
    before, now, after = (f"totp:{phone.code(steps)}" for steps in (-1, 0, 1))
    assert answer(node, "once@pve", challenge, now).status == 200
    # The same again, and a step before the used one.
    replies = at_once([lambda t=t: answer(node, "once@pve", challenge, t) for t in (now, now, before)])
    assert [r.status for r in replies] == [401] * 3
    assert answer(node, "once@pve", challenge, after).status == 200


@test(limit=60)
def window_is_one_step(node):
    def tries(steps):
        user = f"window{steps + 2}@pve"
        return lambda: answer(node, user, challenges[steps], f"totp:{phones[steps].code(steps)}").status
    phones, challenges, window = {}, {}, range(-2, 3)
    for steps in window:
        node.create_user(f"window{steps + 2}@pve")
        phones[steps] = add_totp(node, f"window{steps + 2}@pve")
        challenges[steps] = ask(node, f"window{steps + 2}@pve")
    phones[0].wait_for_room()
    assert at_once([tries(steps) for steps in window]) == [401, 200, 200, 200, 401]


@test
def algorithms_and_digits(node):
    node.create_user("algo@pve")
    for algorithm, digits, size in (("SHA256", 7, 32), ("SHA512", 8, 64)):
        phone = add_totp(node, "algo@pve", Authenticator(120, digits, algorithm, size), f"{algorithm}")
        assert login(node, "algo@pve", f"totp:{phone.code()}")["ticket"]
    assert len(node.api.get("/access/tfa/algo@pve")) == 2


@test(limit=60)
def one_code_gives_one_ticket(node):
    """Logins side by side, through the challenge and through the old parameter, with one code."""
    node.create_user("race@pve")
    phone, codes = add_totp(node, "race@pve"), add_recovery(node, "race@pve")
    for text in (f"totp:{phone.code()}", f"recovery:{codes[0]}"):
        challenges = [ask(node, "race@pve") for _ in range(4)]
        calls = [lambda c=c: answer(node, "race@pve", c, text) for c in challenges]
        calls += [lambda: node.nobody().call("POST", "/access/ticket",
                                             {"username": "race@pve", "password": PASSWORD, "otp": text})] * 2
        replies = at_once(calls)
        assert sorted(r.status for r in replies) == [200] + [401] * (len(calls) - 1), [r.text for r in replies]
        assert sum("ticket" in (r.data or {}) for r in replies) == 1


@test(limit=60)
def two_good_codes_side_by_side(node):
    """A conflict in the store is no refusal: both get in."""
    node.create_user("both@pve")
    add_totp(node, "both@pve")
    codes = add_recovery(node, "both@pve")
    challenge = ask(node, "both@pve")
    replies = at_once([lambda c=c: answer(node, "both@pve", challenge, f"recovery:{c}") for c in codes])
    assert [r.status for r in replies] == [200] * len(codes), [r.text for r in replies]
    assert answer(node, "both@pve", challenge, f"recovery:{codes[0]}").status == 401


@test
def recovery_codes(node):
    node.create_user("rec@pve")
    codes = add_recovery(node, "rec@pve")
    assert len(set(codes)) == 10 and all(re.fullmatch(r"([0-9a-f]{4}-){3}[0-9a-f]{4}", c) for c in codes), codes
    node.api.refused("POST", "/access/tfa/rec@pve", {"type": "recovery", "password": PASSWORD}, text="already has")
    assert login(node, "rec@pve", f"recovery:{codes[3]}")["ticket"]
    challenge = ask(node, "rec@pve")
    assert json.loads(unquote(challenge.split(":")[1][5:])) == {"totp": False, "recovery": [0, 1, 2, 4, 5, 6, 7, 8, 9]}
    assert answer(node, "rec@pve", challenge, f"recovery:{codes[3]}").status == 401
    assert answer(node, "rec@pve", challenge, f"recovery:{codes[4].upper()}").status == 200
    assert [e["type"] for e in node.api.get("/access/tfa/rec@pve")] == ["recovery"]


@test(limit=90)
def forged_challenges(node):
    node.create_user("forge@pve")
    node.create_user("other@pve")
    phone, others = add_totp(node, "forge@pve"), add_totp(node, "other@pve")
    good = ask(node, "forge@pve")
    assert answer(node, "other@pve", good, f"totp:{others.code()}").status == 401, "challenge of another user"
    assert answer(node, "other@pve", good, f"totp:{phone.code()}").status == 401
    tries = [good[:i] + chr(ord(good[i]) ^ 1) + good[i + 1:] for i in range(0, len(good), 3) if ord(good[i]) ^ 1 > 0x20]
    tries += [good[:-1], good + "=", good.replace("!tfa!", ""), "PVE:!tfa!", "PVE:!tfa!::", "x", "PVE:forge@pve:00000000::x",
              node.api.ticket]
    with ThreadPoolExecutor(64) as pool:
        replies = list(pool.map(lambda c: answer(node, "forge@pve", c, f"totp:{phone.code()}"), tries))
    assert {r.status for r in replies} == {401}, [(t, r.text) for t, r in zip(tries, replies) if r.status != 401]
    assert answer(node, "forge@pve", good, f"totp:{phone.code()}").status == 200, "the code was not used up by them"


@test(limit=60)
def challenge_expires_and_follows_the_password():
    with Node() as node:
        node.create_user("late@pve")
        phone = add_totp(node, "late@pve")
        old = ask(node, "late@pve")
        node.api.put("/access/password", userid="late@pve", password="another password", **{"confirmation-password": PASSWORD})
        assert answer(node, "late@pve", old, f"totp:{phone.code()}").status == 401, "the password is another one now"
        challenge = ask(node, "late@pve", "another password")
        node.restart(HOLM_CLOCK_OFFSET="310")
        reply = answer(node, "late@pve", challenge, f"totp:{phone.code(at=time.time() + 310)}")
        assert reply.status == 401, reply.text
        fresh = ask(node, "late@pve", "another password")
        assert answer(node, "late@pve", fresh, f"totp:{phone.code(at=time.time() + 310)}").status == 200


@test(limit=60)
def eight_wrong_codes_lock_totp(node):
    node.create_user("lock@pve")
    phone, codes = add_totp(node, "lock@pve"), add_recovery(node, "lock@pve")
    challenge = ask(node, "lock@pve")
    at_once([lambda: answer(node, "lock@pve", challenge, f"totp:{phone.wrong()}")] * 7)
    assert "totp-locked" not in row(node, "lock@pve")
    assert answer(node, "lock@pve", challenge, f"totp:{phone.code()}").status == 200, "seven are forgiven by a right one"
    replies = at_once([lambda: answer(node, "lock@pve", challenge, f"totp:{phone.wrong()}")] * 8)
    assert {r.status for r in replies} == {401}
    assert row(node, "lock@pve")["totp-locked"] == 1
    assert [u for u in node.api.get("/access/users", full=1) if u["userid"] == "lock@pve"][0]["totp-locked"] == 1
    assert answer(node, "lock@pve", challenge, f"totp:{phone.code(1)}").status == 401, "locked"
    assert json.loads(unquote(ask(node, "lock@pve").split(":")[1][5:]))["totp"] is False
    assert answer(node, "lock@pve", challenge, f"recovery:{codes[0]}").status == 200
    assert "totp-locked" not in row(node, "lock@pve")
    assert answer(node, "lock@pve", challenge, f"totp:{phone.code(1)}").status == 200


@test(limit=60)
def administrator_unlocks(node):
    node.create_user("stuck@pve")
    phone = add_totp(node, "stuck@pve")
    challenge = ask(node, "stuck@pve")
    assert node.api.put("/access/users/stuck@pve/unlock-tfa") == 0
    at_once([lambda: answer(node, "stuck@pve", challenge, f"totp:{phone.wrong()}")] * 8)
    assert row(node, "stuck@pve")["totp-locked"] == 1
    # A guess was always one of the user's own attempts: he himself may not unlock, nor may somebody without rights.
    node.restricted("nobody-special@pve").refused("PUT", "/access/users/stuck@pve/unlock-tfa", status=403)
    assert node.api.put("/access/users/stuck@pve/unlock-tfa") == 1
    assert node.api.put("/access/users/stuck@pve/unlock-tfa") == 0
    assert answer(node, "stuck@pve", challenge, f"totp:{phone.code()}").status == 200
    node.api.refused("PUT", "/access/users/none@pve/unlock-tfa", text="no such user")
    node.api.refused("PUT", "/access/users/root@pam/unlock-tfa", status=403)


def rewrite(node, user, change):
    """Changes a user's record in the stopped node's state."""
    node.stop()
    node.cli("state", "dump", node.base + "/dump")
    with open(node.base + "/dump", encoding="utf-8") as f:
        dump = json.load(f)
    key = f"shared/secret/tfa/{user}"
    value = dump["keys"][key]
    record = json.loads(value) if isinstance(value, str) else value
    dump["keys"][key] = json.dumps(change(record)) if isinstance(value, str) else change(record)
    with open(node.base + "/load", "w", encoding="utf-8") as f:
        json.dump(dump, f)
    node.cli("state", "load", node.base + "/load", "-y")


@test(limit=90)
def hundred_failures_lock_for_an_hour():
    """Ninety-nine are put into the record; also: a dump and its load keep used steps, used codes and counts."""
    with Node() as node:
        node.create_user("much@pve")
        phone, codes = add_totp(node, "much@pve"), add_recovery(node, "much@pve")
        assert login(node, "much@pve", f"totp:{phone.code()}") and login(node, "much@pve", f"recovery:{codes[0]}")
        rewrite(node, "much@pve", lambda r: {**r, "failures": 99})
        node.start()
        challenge = ask(node, "much@pve")
        assert answer(node, "much@pve", challenge, f"totp:{phone.code()}").status == 401, "the step was used before the dump"
        until = row(node, "much@pve")["tfa-locked-until"]
        assert 3500 < until - time.time() <= 3600, until
        assert [u for u in node.api.get("/access/users") if u["userid"] == "much@pve"][0]["tfa-locked-until"] == until
        assert answer(node, "much@pve", challenge, f"recovery:{codes[1]}").status == 401, "locked"
        assert answer(node, "much@pve", challenge, f"totp:{phone.code(1)}").status == 401, "locked"
        node.restart(HOLM_CLOCK_OFFSET="3610")
        challenge = ask(node, "much@pve")
        assert answer(node, "much@pve", challenge, f"recovery:{codes[0]}").status == 401, "used before the dump"
        assert answer(node, "much@pve", challenge, f"recovery:{codes[1]}").status == 200
        assert "tfa-locked-until" not in row(node, "much@pve")


@test(limit=60)
def unreadable_record_lets_nobody_in():
    with Node() as node:
        node.create_user("broken@pve")
        phone = add_totp(node, "broken@pve")
        rewrite(node, "broken@pve", lambda r: {**r, "entries": [{"type": "later", "id": "x"}]})
        node.start()
        challenge = ask(node, "broken@pve")
        assert answer(node, "broken@pve", challenge, f"totp:{phone.code()}").status == 401
        node.api.refused("POST", "/access/tfa/broken@pve", {"type": "recovery", "password": PASSWORD}, text="cannot be read")
        node.api.delete("/access/tfa/broken@pve/any", password=PASSWORD)
        assert node.client("broken@pve").get("/version")


@test
def verify_mode_needs_it_too(node):
    node.create_user("check@pve", "PVEAuditor")
    phone = add_totp(node, "check@pve")
    about = {"username": "check@pve", "password": PASSWORD, "path": "/", "privs": "Sys.Audit"}
    wrong = (about, {**about, "otp": phone.wrong()})
    assert [r.status for r in at_once([lambda p=p: node.nobody().call("POST", "/access/ticket", p) for p in wrong])] == [401] * 2
    data = node.nobody().post("/access/ticket", {**about, "otp": phone.code()})
    assert "ticket" not in data and data["username"] == "check@pve", data


@test
def otp_in_one_step(node):
    """What clients from before the challenge send."""
    node.create_user("old@pve")
    phone, codes = add_totp(node, "old@pve"), add_recovery(node, "old@pve")
    first = {"username": "old@pve", "password": PASSWORD}
    code = phone.code()
    assert node.nobody().post("/access/ticket", first, otp=code)["ticket"].startswith("PVE:old@pve:")
    node.nobody().refused("POST", "/access/ticket", {**first, "otp": code}, 401)
    assert node.nobody().post("/access/ticket", first, otp=f"recovery:{codes[0]}")["ticket"].startswith("PVE:old@pve:")
    node.nobody().refused("POST", "/access/ticket", {**first, "password": "wrong one", "otp": f"recovery:{codes[1]}"}, 401)
    assert node.nobody().post("/access/ticket", first, otp=f"recovery:{codes[1]}"), "a wrong password uses no code"
    assert node.nobody().post("/access/ticket", first, otp="")["NeedTFA"] == 1
    assert node.nobody().post("/access/ticket", username="admin@pve", password=PASSWORD, otp="123456")["ticket"]


@test
def disabled_user_and_api_token(node):
    node.create_user("tok@pve")
    token = node.api.post("/access/users/tok@pve/token/ci", privsep=0)
    phone = add_totp(node, "tok@pve")
    assert node.client(token=(token["full-tokenid"], token["value"])).get("/version")
    challenge = ask(node, "tok@pve")
    node.api.put("/access/users/tok@pve", enable=0)
    first = {"username": "tok@pve", "password": PASSWORD}
    replies = at_once([lambda: node.nobody().call("POST", "/access/ticket", first),
                       lambda: answer(node, "tok@pve", challenge, f"totp:{phone.code()}")])
    assert [r.status for r in replies] == [401, 401]


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
    node.api.refused("POST", path, {**good, "value": phone.wrong()}, text="failed to verify TOTP challenge")
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
