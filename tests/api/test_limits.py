"""How often somebody may guess: per address, per account and address, per account; who is not slowed by it; what console
tickets are good for, and for how long."""
import time
from concurrent.futures import ThreadPoolExecutor

from requests.adapters import HTTPAdapter

from lib.client import Client
from lib.holm import PASSWORD
from lib.tap import main, test
from lib.wait import slow

PAIR, KNOWN, ACCOUNT, FORGED = 10, 20, 60, 100  # doc/http.md


class SourceAddress(HTTPAdapter):
    """Requests that leave from an address of 127.0.0.0/8."""

    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args, **kw):
        super().init_poolmanager(*args, source_address=(self.address, 0), **kw)


def stranger(node, address):
    client = Client(node.url, node.name)
    client.http.mount("https://", SourceAddress(address))
    return client


def attempt(node, address, user, password="a wrong guess"):
    return stranger(node, address).call("POST", "/access/ticket", {"username": user, "password": password})


def attempts(node, pairs):
    """Wrong logins at once, from (address, user) each; the statuses in order. One address may wait for 16."""
    with ThreadPoolExecutor(16 if pairs[0][0] == pairs[-1][0] else 60) as pool:
        return [r.status for r in pool.map(lambda p: attempt(node, *p), pairs)]


def new_user(node, name):
    node.api.post("/access/users", userid=name, password=PASSWORD)
    return name


@test(limit=60)
def account_from_one_address(node):
    """After ten wrong guesses even the right one is not looked at; a name that does not exist gets the same answers."""
    user = new_user(node, "l1@pve")
    for name in (user, "nobody@pve"):
        address = "127.1.0.1" if name == user else "127.1.0.2"
        assert attempts(node, [(address, name)] * PAIR) == [401] * PAIR
        began = time.monotonic()
        reply = attempt(node, address, name, PASSWORD)
        assert time.monotonic() - began < slow(2), "a limited login is held back or costs work"
        wait = int(reply.headers["Retry-After"])
        assert reply.status == 429 and 1 <= wait <= 30, reply.text
        assert reply.message == f"too many failed attempts, try again in {wait} s\n", reply.text
        assert reply.headers["Connection"] == "close" and reply.data is None
    assert attempt(node, "127.1.0.3", user, PASSWORD).status == 200
    assert f"too many failed attempts; rhost=127.1.0.1 user={user} " in node.log()


@test(limit=60)
def many_names_from_one_address(node):
    with_names = [("127.2.0.1", f"guess{i}@pve") for i in range(40)]
    statuses = attempts(node, with_names)
    assert 30 <= statuses.count(401) <= 36, statuses  # it refills while they wait
    assert statuses.count(429) == 40 - statuses.count(401), statuses
    assert attempt(node, "127.2.0.2", "guess0@pve").status == 401


@test(limit=120)
def owner_is_not_locked_out(node):
    """An account is attacked from many addresses: new strangers are refused, its owner is not, where he has been."""
    user = new_user(node, "l2@pve")
    assert attempt(node, "127.3.0.1", user, PASSWORD).status == 200
    statuses = attempts(node, [(f"127.3.1.{i}", user) for i in range(1, ACCOUNT + 21)])
    assert ACCOUNT <= statuses.count(401) <= ACCOUNT + 8, statuses
    assert attempts(node, [(f"127.3.2.{i}", user) for i in range(1, 7)]).count(429) >= 4
    assert attempt(node, "127.3.0.1", user, PASSWORD).status == 200
    # And after a restart in the middle of it: where he has been is remembered, though what strangers did is not.
    node.restart()
    statuses = attempts(node, [("127.3.0.1", user)] * (PAIR + 5))
    assert statuses == [401] * (PAIR + 5), statuses
    assert attempt(node, "127.3.0.1", user, PASSWORD).status == 200


@test(limit=60)
def known_address_has_a_limit_too(node):
    user = new_user(node, "l3@pve")
    assert attempt(node, "127.4.0.1", user, PASSWORD).status == 200
    statuses = attempts(node, [("127.4.0.1", user)] * (KNOWN + 10))
    assert KNOWN <= statuses.count(401) <= KNOWN + 5, statuses
    assert attempt(node, "127.4.0.1", "l1@pve", PASSWORD).status == 200, "others at that address do not suffer"


@test(limit=60)
def success_gives_the_attempt_back(node):
    user = new_user(node, "l4@pve")
    for _ in range(KNOWN + 2):
        assert attempt(node, "127.5.0.1", user, PASSWORD).status == 200


@test(limit=60)
def confirmations_count(node):
    """Guessing the confirmation of a change of password with a stolen session is guessing, too."""
    user = new_user(node, "l5@pve")
    client = node.client(user)
    change = {"userid": user, "password": "never set at all", "confirmation-password": "a wrong guess"}

    def guess(_):
        other = node.nobody()
        other.http.headers.update(client.http.headers)
        return other.call("PUT", "/access/password", change).status
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(guess, range(KNOWN + 10)))
    assert KNOWN <= statuses.count(401) <= KNOWN + 5 and statuses.count(429) == KNOWN + 10 - statuses.count(401), statuses
    client.get("/version")


@test(limit=60)
def local_socket_is_free(node):
    """Root at the machine is never told to wait."""
    for _ in range(KNOWN + 5):
        done = node.cli("api", "POST", "/access/ticket", "-d", "username=l1@pve", "--data-file", "password=-",
                        stdin="a wrong guess", is_checked=False)
        assert done.returncode != 0 and "authentication failure" in done.stderr, done.stderr


@test(limit=60)
def forged_tokens_are_slowed(node):
    """They cost nothing and cannot be guessed: their answers take longer, and nobody else's do."""
    honest = node.restricted("l6@pve")

    def forge(_):
        client = stranger(node, "127.6.0.1")
        client.http.headers["Authorization"] = "PVEAPIToken=l6@pve!none=00000000-0000-0000-0000-000000000000"
        began = time.monotonic()
        assert client.call("GET", "/version").status == 401
        return time.monotonic() - began
    with ThreadPoolExecutor(60) as pool:
        times = sorted(pool.map(forge, range(FORGED + 20)))
    assert times[0] >= 2.9 and times[FORGED // 2] < slow(9) and times[-5] >= 9.9, (times[0], times[-5:])
    honest.http.mount("https://", SourceAddress("127.6.0.1"))
    began = time.monotonic()
    honest.get("/version")
    assert time.monotonic() - began < slow(2)
    assert attempt(node, "127.6.0.1", "admin@pve", PASSWORD).status == 200


@test(limit=60)
def vncticket_verifies(node):
    node.create(320, memory=64, serial0="socket")
    node.api.run("POST", node.vm(320, "/status/start"))
    console = node.api.post(node.vm(320, "/termproxy"))
    good = {"authid": "admin@pve", "vncticket": console["ticket"], "path": "/vms/320", "port": console["port"],
            "privs": "VM.Console"}
    nobody = node.nobody()
    for more in ({}, {"privs": "VM.Console,VM.Audit"}, {"path": "/vms/320/serial0"}):
        assert nobody.post("/access/vncticket", {**good, **more}) is None, more
    refused = ({"authid": "root@pam"}, {"authid": "admin@pve!tok"}, {"authid": "no name"}, {"path": "/vms/321"},
               {"path": "/vms"}, {"path": "../x"}, {"port": console["port"] + 1}, {"port": -1}, {"port": None}, {"privs": ""},
               {"vncticket": console["ticket"][:-4] + "AAAA"}, {"vncticket": "x"})
    with ThreadPoolExecutor(len(refused)) as pool:
        for reply in pool.map(lambda m: node.nobody().call("POST", "/access/vncticket", {**good, **m}), refused):
            assert reply.status in (400, 401), reply.text
    nobody.refused("POST", "/access/vncticket", {**good, "privs": "No.Such"}, 400, param="privs")
    nobody.refused("POST", "/access/vncticket", {"authid": "admin@pve"}, 400, param="vncticket")
    # Asking used nothing up; the console does.
    from lib.console import Console
    c = Console.__new__(Console)
    c.client, c.guest = node.api, f"/nodes/{node.name}/qemu/320"
    ws = c.connect(console)
    ws.close()
    nobody.refused("POST", "/access/vncticket", good, 401)
    node.remove(320)


@test(limit=60)
def vncticket_of_a_token_and_of_a_user_who_left(node):
    node.create(321, memory=64, serial0="socket")
    node.api.run("POST", node.vm(321, "/status/start"))
    client = node.restricted("l8@pve", **{"/vms/321": "PVEVMUser"})
    console = client.post(node.vm(321, "/termproxy"))
    good = {"authid": console["user"], "vncticket": console["ticket"], "path": "/vms/321", "port": console["port"],
            "privs": "VM.Console"}
    assert "!" in console["user"], console
    assert node.nobody().post("/access/vncticket", good) is None
    node.nobody().refused("POST", "/access/vncticket", {**good, "authid": "l8@pve"}, 401)
    node.nobody().refused("POST", "/access/vncticket", {**good, "privs": "VM.Console,VM.Allocate"}, 401)
    node.api.put("/access/acl", path="/vms/321", roles="PVEVMUser", users="l8@pve", delete=1)
    node.nobody().refused("POST", "/access/vncticket", good, 401)
    node.api.put("/access/acl", path="/vms/321", roles="PVEVMUser", users="l8@pve")
    assert node.nobody().post("/access/vncticket", good) is None
    node.api.put("/access/users/l8@pve", enable=0)
    node.nobody().refused("POST", "/access/vncticket", good, 401)
    node.remove(321)


if __name__ == "__main__":
    main()
