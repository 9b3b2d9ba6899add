"""Second factors at the login: the two steps, replay, races, forged challenges, locks, old clients."""
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from lib.holm import PASSWORD
from lib.otp import Authenticator, add_recovery, add_totp, answer, ask, at_once, login, row
from lib.tap import main, test


def cookie(node, ticket, csrf=None):
    client = node.nobody()
    client.http.headers["Cookie"] = f"PVEAuthCookie={ticket}"
    if csrf:
        client.http.headers["CSRFPreventionToken"] = csrf
    return client


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
    client.put(f"/access/tfa/two@pve/{phone.id}", description="changed with the session", password=PASSWORD)
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
    tries = [good[:i] + chr(ord(good[i]) ^ 1) + good[i + 1:] for i in range(0, len(good), 5) if ord(good[i]) ^ 1 > 0x20]
    tries += [good[:-1], good + "=", good.replace("!tfa!", ""), "PVE:!tfa!", "PVE:!tfa!::", "x", "PVE:forge@pve:00000000::x",
              node.api.ticket]
    with ThreadPoolExecutor(64) as pool:
        replies = list(pool.map(lambda c: answer(node, "forge@pve", c, f"totp:{phone.code()}"), tries))
    assert {r.status for r in replies} == {401}, [(t, r.text) for t, r in zip(tries, replies) if r.status != 401]
    assert answer(node, "forge@pve", good, f"totp:{phone.code()}").status == 200, "the code was not used up by them"


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


if __name__ == "__main__":
    main()
