"""Proofs over HTTP: damaged ones are refused and cost a stranger three seconds each, used ones do not pass again, and
those of users who are gone, or of another time, are worth nothing. (A million damaged ones: src/auth/ticket_flip_test.c.)"""
import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from lib.console import Console
from lib.guests import write_boot_sector
from lib.holm import PASSWORD, Node
from lib.honest import Beside
from lib.raw import auth, connect, exchange, read_all, statuses
from lib.tap import main, test
from lib.wait import slow

ROUNDS, AT_ONCE = 10, 200
VMID = 160
SEED = 20260


def damaged(text, rng):
    """One or two flipped bits, a cut, something added."""
    data = bytearray(text.encode())
    kind = rng.randrange(4)
    if kind < 2:
        for bit in rng.sample(range(len(data) * 8), kind + 1):
            data[bit // 8] ^= 1 << bit % 8
    elif kind == 2:
        del data[rng.randrange(len(data)):]
    else:
        at = rng.randrange(len(data) + 1)
        data[at:at] = bytes(rng.choice(b"0123456789ABCDEFabcdef+/=:!@-") for _ in range(rng.randint(1, 20)))
    return bytes(data)


def request_with(node, kind, proof):
    """A request whose only proof, or whose CSRF token, is this."""
    if kind == "csrf":
        return f"POST /api2/json/access/groups HTTP/1.1\r\nHost: x\r\nCookie: PVEAuthCookie={node.api.ticket}\r\n".encode() + \
            b"Content-Length: 14\r\nCSRFPreventionToken: " + proof + b"\r\n\r\ngroupid=forged"
    header = b"Cookie: PVEAuthCookie=" if kind == "ticket" else b"Authorization: PVEAPIToken="
    return b"GET /api2/json/access/users HTTP/1.1\r\nHost: x\r\n" + header + proof + b"\r\n\r\n"


def volley(node, requests_, address):
    """Sends each on a connection of its own, from many addresses, then reads them all: the waits go by together."""
    held, codes = [], []
    try:
        for data in requests_:
            s = connect(node, next(address))
            s.sendall(data)
            held.append(s)
        for s in held:
            codes.append(statuses(read_all(s, slow(15))))
    finally:
        for s in held:
            s.close()
    return codes


def addresses():
    for n in itertools.count(1):
        yield f"127.{n // 200 % 200 + 1}.7.{n % 200 + 1}"


@test(limit=150)
def damaged_proofs_over_http(node):
    rng, address = random.Random(SEED), addresses()
    token = node.api.post("/access/users/admin@pve/token/flip", privsep=0)
    good = {"ticket": node.api.ticket, "csrf": node.api.csrf, "token": f"{token['full-tokenid']}={token['value']}"}
    for kind, proof in good.items():  # as they are, they pass: the requests are right
        codes = statuses(exchange(node, request_with(node, kind, proof.encode())))
        assert codes == [200], (kind, codes)
    node.api.delete("/access/groups/forged")
    seen = {}
    with Beside(node) as honest:
        for _ in range(ROUNDS):
            kinds = [rng.choice(list(good)) for _ in range(AT_ONCE)]
            for codes in volley(node, [request_with(node, k, damaged(good[k], rng)) for k in kinds], address):
                assert len(codes) <= 1 and (not codes or codes[0] in (400, 401, 429, 431, 503)), codes
                seen[codes[0] if codes else 0] = seen.get(codes[0] if codes else 0, 0) + 1
        honest.enough()
    print(f"seed {SEED}: {ROUNDS * AT_ONCE} damaged proofs: {seen}")
    assert seen.get(401, 0) > ROUNDS * AT_ONCE // 2, seen
    assert "forged" not in [g["groupid"] for g in node.api.get("/access/groups")]
    node.api.delete("/access/users/admin@pve/token/flip")


def upgrade(node, answer):
    query = requests.models.RequestEncodingMixin._encode_params({"port": answer["port"], "vncticket": answer["ticket"]})
    path = node.vm(VMID, "/vncwebsocket").replace("{node}", node.name)
    return f"GET /api2/json{path}?{query} HTTP/1.1\r\n{auth(node)}Upgrade: websocket\r\nConnection: Upgrade\r\n" \
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"


@test(limit=90)
def console_tickets_pass_once(node):
    node.create(VMID, memory=64, serial0="socket", scsi0="local:1,format=raw")
    write_boot_sector(node, node.api.get(node.vm(VMID, "/config"))["scsi0"])
    node.api.run("POST", node.vm(VMID, "/status/start"))
    with Console(node.api, node.vm(VMID)) as c:
        codes = statuses(exchange(node, upgrade(node, c.answer).encode()))
        assert codes and codes[0] >= 400, ("used while it is open", codes)
    codes = statuses(exchange(node, upgrade(node, c.answer).encode()))
    assert codes and codes[0] >= 400, ("used after it was closed", codes)
    answer = node.api.post(node.vm(VMID, "/termproxy"))
    with ThreadPoolExecutor(8) as pool:  # many at the same moment: one wins
        codes = [c for c in pool.map(lambda _: statuses(exchange(node, upgrade(node, answer).encode(), 6)), range(8))]
    assert sum(c == [101] for c in codes) == 1, codes
    for port in ("", "0", "-1", str(int(answer["port"]) + 1)):
        other = dict(node.api.post(node.vm(VMID, "/termproxy")), port=port)
        assert statuses(exchange(node, upgrade(node, other).encode())) != [101], port
    node.remove(VMID)


@test(limit=60)
def gone_users_have_no_proofs(node):
    def works(*clients):
        """Side by side: each refusal takes three seconds."""
        with ThreadPoolExecutor(2) as pool:
            codes = set(pool.map(lambda c: c.call("GET", "/version").status, clients))
        assert codes in ({200}, {401}), codes
        return codes == {200}
    node.api.post("/access/users", userid="gone@pve", password=PASSWORD)
    node.api.put("/access/acl", path="/", roles="PVEAuditor", users="gone@pve")
    session = node.client("gone@pve")
    token = node.api.post("/access/users/gone@pve/token/t1", privsep=0)
    by_token = node.client(token=(token["full-tokenid"], token["value"]))
    assert works(session, by_token)
    node.api.put("/access/users/gone@pve", enable=0)
    assert not works(session, by_token)
    node.api.put("/access/users/gone@pve", enable=1)
    assert works(session, by_token)
    node.api.put("/access/users/gone@pve", expire=int(time.time()) - 5)
    assert not works(session, by_token)
    node.api.put("/access/users/gone@pve", expire=0)
    node.api.delete("/access/users/gone@pve")
    assert not works(session, by_token)
    # Somebody else of the same name: the token is gone for good, and whatever passes has no permission of the old one.
    node.api.post("/access/users", userid="gone@pve", password="another one 8")
    assert not works(by_token)
    print(f"a ticket of the old user passes for the new one: {works(session)}")
    assert session.call("GET", "/access/users").data in (None, []) or \
        [u["userid"] for u in session.get("/access/users")] == ["gone@pve"]
    assert node.nobody().call("POST", "/access/ticket", {"username": "gone@pve", "password": PASSWORD}).status == 401
    node.api.delete("/access/users/gone@pve")


@test(limit=120)
def clocks_that_jump():
    """A ticket is good from five minutes before to two hours after its time, whatever the clock did in between."""
    with Node() as node:
        client = node.api
        for offset, works in ((0, True), (7100, True), (7300, False), (-250, True), (-400, False), (86400 * 400, False), (-86400 * 400, False)):
            node.restart(HOLM_CLOCK_OFFSET=str(offset))
            status = client.call("GET", "/version").status
            assert status == (200 if works else 401), (offset, status)


@test(limit=90)
def guessing_keeps_nobody_out(node):
    """Guesses at one account from 40 addresses: none passes, each is slow, and the owner logs in beside them."""
    address = addresses()
    node.api.post("/access/users", userid="owner@pve", password=PASSWORD)

    def guess(i):
        body = f"username=owner@pve&password=guess{i}"
        began = time.monotonic()
        with connect(node, next(address)) as s:
            s.sendall(f"POST /api2/json/access/ticket HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            codes = statuses(read_all(s, slow(40)))
        return codes, time.monotonic() - began
    with Beside(node) as honest, ThreadPoolExecutor(40) as pool:
        guesses = [pool.submit(guess, i) for i in range(80)]
        began = time.monotonic()
        assert node.client("owner@pve").ticket
        took = time.monotonic() - began
        results = [g.result() for g in guesses]
        honest.enough()
    print(f"the owner's login took {took:.1f} s; guesses {min(t for _, t in results):.1f} to {max(t for _, t in results):.1f} s")
    assert took < slow(15)
    assert all(codes in ([401], [403], [429], [503], []) for codes, _ in results), results
    assert all(t >= 2.5 for codes, t in results if codes == [401]), results
    node.api.delete("/access/users/owner@pve")


if __name__ == "__main__":
    main()
