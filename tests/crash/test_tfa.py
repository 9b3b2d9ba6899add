"""kill -9 of holmd around the use of a second factor: what was used stays used, what was not is still good."""
from concurrent.futures import ThreadPoolExecutor

import requests

from lib import otp
from lib.holm import Node
from lib.tap import main, test


def try_answer(node, user, challenge, text):
    """The reply, or None when the daemon died over it."""
    try:
        return otp.answer(node, user, challenge, text)
    except (requests.ConnectionError, requests.Timeout):
        return None


@test(limit=120)
def killed_after_the_use():
    """The point lies behind the commit and before the ticket: nobody got a ticket, and nobody gets one for that code."""
    with Node() as node:
        node.create_user("crash@pve")
        phone, codes = otp.add_totp(node, "crash@pve"), otp.add_recovery(node, "crash@pve")
        used = [f"recovery:{codes[0]}", f"totp:{phone.code()}"]
        for text in used:
            node.restart(HOLM_FP="access.second.used=kill")
            challenge = otp.ask(node, "crash@pve")
            reply = try_answer(node, "crash@pve", challenge, text)
            assert reply is None or reply.status >= 500, reply.text
            node.wait_dead()
        node.start()
        challenge = otp.ask(node, "crash@pve")
        for text in used:
            assert otp.answer(node, "crash@pve", challenge, text).status == 401, f"{text} came back to life"
        assert otp.answer(node, "crash@pve", challenge, f"recovery:{codes[1]}").status == 200


@test(limit=120)
def killed_after_the_ticket():
    with Node() as node:
        node.create_user("ticket@pve")
        codes = otp.add_recovery(node, "ticket@pve")
        for code in codes[:3]:
            ticket = otp.login(node, "ticket@pve", f"recovery:{code}")["ticket"]
            node.restart(is_killed=True)
            assert otp.answer(node, "ticket@pve", otp.ask(node, "ticket@pve"), f"recovery:{code}").status == 401
            client = node.nobody()
            client.http.headers["Cookie"] = f"PVEAuthCookie={ticket}"
            assert client.get("/version"), "the session goes on"


@test(limit=120)
def failures_are_counted_before_they_are_told():
    """Five wrong codes, kill -9, two more, kill -9, and an eighth: locked."""
    with Node() as node:
        node.create_user("count@pve")
        phone = otp.add_totp(node, "count@pve")
        challenge = otp.ask(node, "count@pve")
        for n in (5, 2, 1):
            assert "totp-locked" not in node.api.get("/access/tfa")[0]
            with ThreadPoolExecutor(n) as pool:
                wrong = f"totp:{phone.wrong()}"
                assert {r.status for r in pool.map(lambda _: otp.answer(node, "count@pve", challenge, wrong), range(n))} == {401}
            node.restart(is_killed=True)
        assert node.api.get("/access/tfa")[0]["totp-locked"] == 1


if __name__ == "__main__":
    main()
