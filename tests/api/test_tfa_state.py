"""Second factors over time: challenges that expire, counts and used codes through a dump, a record that cannot be read."""
import json
import time

from lib.holm import PASSWORD, Node
from lib.otp import add_recovery, add_totp, answer, ask, login, row
from lib.tap import main, test


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


if __name__ == "__main__":
    main()
