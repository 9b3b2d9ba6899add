"""Secrets stay secret: a distinct one is planted wherever a client can put one, then everything that can be read is
searched for them: replies, logs, tasks, the database, configuration, audit files, arguments and environments of all
processes. What a client was given on purpose (its own ticket, a new token's secret) it got once, in that reply only."""
import base64
import glob
import json
import os
import re
import threading
import time
import urllib.parse

import requests

from lib import facts, procs
from lib.console import Console
from lib.holm import Node, is_sanitized, program
from lib.tap import main, test

WORDS = {}


def plant(name):
    """A new secret: long enough not to occur by chance, and not to be taken for anything else."""
    WORDS[name] = f"Zq{len(WORDS):02d}-{base64.b32encode(os.urandom(10)).decode().lower()}-plant"
    return WORDS[name]


def forms(word):
    """The ways a secret may be written by somebody who passes it on."""
    raw = word.encode()
    yield raw
    yield base64.b64encode(raw).rstrip(b"=")[:-2]
    yield raw.hex().encode()
    yield urllib.parse.quote(word, safe="").encode()


def found_in(data, words):
    return [name for name, word in words.items() if any(f in data for f in forms(word))]


class Sampler:
    """Arguments and environments of every process of a daemon, as often as can be."""

    def __init__(self, node):
        self.node, self.seen, self.is_over = node, {}, False
        self.names = set()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.thread.join()

    def run(self):
        while not self.is_over:
            for pid in procs.descendants(os.getpid()):
                for kind in ("cmdline", "environ"):
                    try:
                        with open(f"/proc/{pid}/{kind}", "rb") as f:
                            self.seen[f.read()] = f"{kind} of {procs.name(pid)}"
                    except OSError:
                        continue
                self.names.add(procs.name(pid))
            time.sleep(0.002)

    def check(self, words):
        for data, where in self.seen.items():
            assert not found_in(data, words), (where, found_in(data, words))


def templates():
    for path in sorted(glob.glob(f"{facts.TOP}/api/*.json")):
        if path.endswith("/extensions.json"):
            continue
        with open(path, encoding="utf-8") as f:
            for r in json.load(f).get("routes", []):
                if r["method"] == "GET" and not r["path"].endswith("websocket"):
                    yield r["path"]


def every_reply(node, upids):
    """(path, text) of each GET that there is, as the administrator."""
    values = {"node": [node.name], "vmid": ["100"], "userid": ["sec@pve", "admin@pve"], "tokenid": ["tok"],
              "groupid": ["sec"], "roleid": ["PVEAdmin"], "realm": ["pve", "pam"], "poolid": ["sec"],
              "storage": ["local"], "upid": upids, "iface": ["lo"], "volume": ["local:iso/sec.iso"]}
    for template in templates():
        names = re.findall(r"\{(\w+)\}", template)
        many = next((n for n in names if len(values.get(n, ["x"])) > 1), None)
        for one in values.get(many, [None]):
            path = template
            for n in names:
                path = path.replace("{" + n + "}", one if n == many else values.get(n, ["x"])[0])
            reply = node.api.http.get(node.api.url(path), params={"limit": 1000, "full": 1}
                                      if path.endswith(("/log", "/tasks", "/users", "/audit")) else None, timeout=30)
            if reply.status_code == 400:
                reply = node.api.http.get(node.api.url(path), timeout=30)
            yield path, reply.text


def plant_passwords(node):
    api = node.api
    api.post("/access/users", userid="sec@pve", password=plant("password of a new user"))
    path = node.base + "/new-password"
    with open(path, "w", encoding="utf-8") as f:
        f.write(plant("password set by the command line") + "\n")
    node.cli("user", "password", "sec@pve", "--password-file", path)
    os.unlink(path)
    own = node.client("sec@pve", WORDS["password set by the command line"])
    WORDS["ticket"], WORDS["csrf token"] = own.ticket, own.csrf
    own.put("/access/password", {"userid": "sec@pve", "password": plant("password set by its owner"),
                                 "confirmation-password": WORDS["password set by the command line"]})
    own.refused("PUT", "/access/password", {"userid": "sec@pve", "password": plant("password not set"),
                                            "confirmation-password": plant("wrong confirmation")}, 401)
    nobody = node.nobody()
    nobody.refused("POST", "/access/ticket", {"username": "sec@pve", "password": plant("wrong password")}, 401)
    nobody.refused("POST", "/access/ticket", {"username": plant("password as user name"),
                                              "password": WORDS["password as user name"]}, 401)
    nobody.refused("POST", "/access/ticket", {"username": "sec@pve", "password": "PVE:sec@pve:" +
                                              plant("forged ticket")}, 401)
    nobody.call("POST", "/access/ticket", {"username": "sec@pve", "password": "x",
                                           "tfa-challenge": plant("challenge")})


def plant_in_wrong_places(node):
    api = node.api
    refused = [
        ("POST", "/access/users", {"userid": "sec@pve", "password": plant("password for a user that exists")}),
        ("POST", "/access/users", {"userid": "no good", "password": plant("password of a bad name")}),
        ("POST", "/access/groups", {"groupid": "sec2", "password": plant("password where there is none")}),
        ("POST", "/access/groups", {"groupid": "sec2", "passwort": plant("password in a parameter unknown")}),
        ("POST", "/access/groups", {"groupid": "bad " + WORDS["ticket"]}),
        ("DELETE", "/access/groups/none", {"password": plant("password in the query of DELETE")}),
        ("GET", "/access/users", {"password": plant("password in the query of GET")}),
        ("POST", "/no/such/route", {"password": plant("password to no route")}),
        ("PUT", "/nodes/{node}/qemu/100/config", {"cipassword": plant("cipassword that is refused"), "ciuser": "a b"}),
        ("POST", "/storage", {"storage": "s", "type": "cifs", "password": plant("password of a storage")}),
    ]
    for method, path, params in refused:
        reply = api.call(method, path, params)
        assert reply.status >= 400, (method, path, reply.text)
        word = [v for v in params.values() if v in WORDS.values()]
        assert not word or word[0] not in reply.text + reply.reason, (method, path, reply.text)
    for query in ({"password": plant("password in the query of POST")},):
        api.http.post(api.url("/access/groups"), params=query, data={"groupid": "sec3"}, timeout=30)
    api.http.post(api.url("/access/users"), json={"userid": "bad json", "password": plant("password in JSON")}, timeout=30)
    api.http.post(api.url("/nodes/" + node.name + "/storage/local/upload"), timeout=30, files={
        "content": (None, "iso"), "password": (None, plant("password in a form")), "filename": ("sec.iso", b"x")})
    requests.post(api.url("/access/groups"), verify=False, timeout=30, data={"groupid": "x"},
                  headers={"Authorization": "PVEAPIToken=admin@pve!none=" + plant("secret of no token")})
    requests.get(api.url("/version"), verify=False, timeout=30,
                 headers={"Cookie": "PVEAuthCookie=PVE:admin@pve:" + plant("ticket that is none")})
    requests.get(api.url("/version"), verify=False, timeout=30,
                 headers={"Authorization": "Basic " + base64.b64encode(b"u:" + plant("basic password").encode()).decode()})


def plant_cloudinit(node):
    """What is kept is a hash, and that is shown to nobody."""
    node.api.put(node.vm(100, "/config"), cipassword=plant("cipassword"))
    node.api.call("POST", "/nodes/{node}/qemu", {"vmid": 101, "cipassword": plant("cipassword of a dry run"), "dry-run": 1})
    state = json.loads(node.cli("state", "dump").stdout)["keys"]["shared/guest/100"]
    kept = {**state["config"], **state["pending"]}["cipassword"]
    assert kept.startswith("$5$"), kept
    for rest in ("config", "config?current=1", "pending", "cloudinit", "cloudinit/dump?type=user"):
        reply = node.api.call("GET", node.vm(100, f"/{rest}"))
        assert reply.status == 200 and kept not in reply.text, rest


def plant_tokens(node):
    """Also with an Idempotency-Key: the first answer is not kept for the second."""
    key = {"Idempotency-Key": "secret-token"}
    made = node.api.call("POST", "/access/users/sec@pve/token/tok", {"privsep": 0}, headers=key)
    WORDS["token"] = made.data["value"]
    again = node.api.call("POST", "/access/users/sec@pve/token/tok", {"privsep": 0}, headers=key)
    assert again.status >= 400 and WORDS["token"] not in again.text, again.text
    client = node.client(token=("sec@pve!tok", WORDS["token"]))
    client.get("/version")
    client.refused("POST", "/access/groups", {"groupid": "x"}, 403)
    sent = {"userid": "idem@pve", "password": plant("password with an idempotency key")}
    for _ in range(2):
        reply = node.api.call("POST", "/access/users", sent, headers={"Idempotency-Key": "secret-user"})
        assert reply.status == 200, reply.text
    renewed = node.api.put("/access/users/sec@pve/token/tok", regenerate=1)
    WORDS["token made anew"] = renewed["value"]


def plant_login_replay(node):
    """A login's answer is nobody's to be given again: not even with its key."""
    key = {"Idempotency-Key": "login"}
    sent = {"username": "sec@pve", "password": WORDS["password set by its owner"]}
    first = node.nobody().call("POST", "/access/ticket", sent, headers=key)
    WORDS["ticket of a login with a key"] = first.data["ticket"]
    stolen = node.nobody().call("POST", "/access/ticket", {**sent, "password": "guess"}, headers=key)
    assert stolen.status == 401 and first.data["ticket"] not in stolen.text, stolen.text


def plant_console(node):
    node.create(100, memory=64, serial0="socket")
    node.api.run("POST", node.vm(100, "/status/start"))
    with Console(node.api, node.vm(100)) as console:
        WORDS["console ticket"] = console.answer["ticket"]
    other = node.api.post(node.vm(100, "/termproxy"))
    WORDS["console ticket that was not used"] = other["ticket"]


def plant_key(node):
    with open(node.path("etc/tls/key.pem"), encoding="ascii") as f:
        text = f.read()
    WORDS["certificate key"] = text.splitlines()[1][:48]


def search_files(node, words):
    """Everything below the root; the certificate's key has its own file."""
    for top, _, names in os.walk(node.root):
        for name in names:
            path = os.path.join(top, name)
            if not os.path.isfile(path):
                continue
            with open(path, "rb") as f:
                data = f.read()
            found = found_in(data, words)
            if path == node.path("etc/tls/key.pem") and "certificate key" in found:
                found.remove("certificate key")
            assert not found, (path, found)


@test(limit=120)
def nothing_keeps_a_secret():
    WORDS.clear()
    with Node() as node:
        assert node.api.ticket
        plant_key(node)
        with Sampler(node) as sampler:
            plant_console(node)
            plant_passwords(node)
            plant_in_wrong_places(node)
            plant_cloudinit(node)
            plant_tokens(node)
            plant_login_replay(node)
            node.api.post("/access/groups", groupid="sec")
            node.api.post("/pools", poolid="sec")
        words = dict(WORDS)
        upids = [t["upid"] for t in node.api.get("/nodes/{node}/tasks", limit=100)]
        assert upids and len(words) > 25
        assert {"holmd", "holm-front", "holm-guest", "holm-worker"} <= sampler.names, sampler.names
        sampler.check(words)
        replies = 0
        for path, text in every_reply(node, upids):
            replies += 1
            assert not found_in(text.encode(), words), (path, found_in(text.encode(), words))
        assert replies > 30
        search_files(node, words)
        assert not found_in(node.log().encode(), words), found_in(node.log().encode(), words)
        dump = node.cli("state", "dump").stdout.encode()
        assert b"sec@pve" in dump and not found_in(dump, words), found_in(dump, words)
        node.remove(100)
        node.stop()
        search_files(node, words)
        assert not found_in(node.log().encode(), words)


@test(limit=60)
def the_search_finds_what_is_there():
    """A search that finds nothing anywhere proves nothing: what is not secret, planted the same way, is found."""
    WORDS.clear()
    with Node() as node:
        word = plant("comment")
        node.api.post("/access/groups", groupid="seen", comment=word)
        try:
            search_files(node, dict(WORDS))
            raise RuntimeError("not found")
        except AssertionError:
            pass
        assert any(found_in(t.encode(), dict(WORDS)) for _, t in every_reply(node, ["x"]))
        for form in forms(word):
            assert found_in(b"..." + form + b"...", dict(WORDS))


@test(limit=60)
def files_and_processes_are_closed():
    """Modes of what holds secrets or hashes; no core dumps of any process, and nothing for others to read of it."""
    with Node() as node:
        node.create(100, memory=64, serial0="socket", scsi0="local:1")
        node.api.run("POST", node.vm(100, "/status/start"))
        for top, folders, names in os.walk(node.root):
            for name in folders + names:
                path = os.path.join(top, name)
                mode = os.lstat(path).st_mode
                rel = os.path.relpath(path, node.root)
                if os.path.islink(path):
                    continue
                assert mode & 0o022 == 0, (rel, oct(mode))
                if os.path.isfile(path) and rel not in ("etc/tls/cert.pem", "etc/network/interfaces"):
                    assert mode & 0o004 == 0, (rel, oct(mode))
        for closed in ("var/state", "var/tasks", "audit", "etc/tls"):
            assert os.stat(node.path(closed)).st_mode & 0o077 == 0, closed
        pids = procs.of_root(node.root)
        names = {procs.name(p) for p in pids}
        assert len(pids) >= 4 and {"holmd", "holm-front", "holm-guest"} <= names, names
        for pid in pids:
            with open(f"/proc/{pid}/limits", encoding="utf-8") as f:
                core = next(line for line in f if line.startswith("Max core file size"))
            assert core.split()[4:6] == ["0", "0"], (procs.name(pid), core)
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                uid = int(next(line for line in f if line.startswith("Uid:")).split()[1])
            is_checked = uid != 0 and procs.name(pid) in ("holm-guest", "holm-front")
            if is_checked and not (is_sanitized() and procs.name(pid) == "holm-front"):
                assert os.stat(f"/proc/{pid}/environ").st_uid == 0, f"{procs.name(pid)} can be dumped"
        node.remove(100)
    assert os.path.exists(program("holm"))


if __name__ == "__main__":
    main()
