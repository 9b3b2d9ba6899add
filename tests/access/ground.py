"""A node and the evaluator's world, kept alike: what is made on the one is noted in the other.

`Wire` is one keep-alive connection; `Ground` makes users, groups, tokens, pools and entries by the API and writes them
into its `World`. Logins cost a password hash each on purpose, so tickets of the many users here are signed by the test
with the node's own key; that real logins give such tickets is tested in tests/api.
"""
import base64
import hashlib
import hmac
import json
import socket
import sqlite3
import ssl
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from access.world import User, World, is_token
from lib import facts
from lib.client import note_complaints


@dataclass(frozen=True)
class Answer:
    status: int
    message: str
    data: object = None


class Wire:
    """One connection to a node, reopened when it was closed. By hand: http.client takes most of the time otherwise."""
    seen = set()  # (method, template, status) of all connections
    context = ssl._create_unverified_context()

    def __init__(self, port):
        self.port = port
        self.socket = self.session = None

    def call(self, method, path, params, headers, body=None, view="json"):
        """view extjs: errors are in the body of a 200, which keeps the connection."""
        encoded = urllib.parse.urlencode(params or {})
        target = f"/api2/{view}" + urllib.parse.quote(path, safe="/:@!")
        headers = dict(headers)
        if body is None and method in ("POST", "PUT"):
            body = encoded.encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif encoded:
            target += "?" + encoded
        if body is not None:
            headers["Content-Length"] = len(body)
        lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        request = f"{method} {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + (body or b"")
        status, reason, kind, text = self._exchange(request)
        try:
            known = json.loads(text)
        except ValueError:
            known = {}
        if view == "extjs" and status == 200:
            return Answer(known.get("status", 200), known.get("message", ""), known.get("data"))
        if "dry-run" not in (params or {}):
            self._note(method, path, status, reason, kind, text)
        return Answer(status, known.get("message", ""), known.get("data"))

    def _exchange(self, request):
        for is_last in (False, False, False, True):
            is_new, is_sent = not self.socket, False
            try:
                if is_new:
                    raw = socket.create_connection(("127.0.0.1", self.port), timeout=60)
                    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.socket = self.context.wrap_socket(raw, session=self.session)
                self.socket.sendall(request)
                is_sent = True
                return self._read(is_new)
            except (EOFError, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
                self.close()
                # A kept connection may have gone meanwhile; a new one is given five seconds until its request, which a
                # busy machine may not manage.
                if is_last or (is_new and is_sent):
                    raise

    def _more(self, got):
        part = self.socket.recv(1 << 20)
        if not part:
            raise EOFError("the connection was closed")
        return got + part

    def _read(self, is_new):
        """(status, reason, content type, body)"""
        got = b""
        while b"\r\n\r\n" not in got:
            got = self._more(got)
        head, _, body = got.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body = self._more(body)
        if is_new:  # errors end the connection: the next one is cheaper with the session of this one
            self.session = self.socket.session
        if headers.get("connection", "").lower() == "close":
            self.close()
        _, status, reason = first.split(" ", 2)
        return int(status), reason, headers.get("content-type"), body.decode()

    def _note(self, method, path, status, reason, kind, text):
        """The first reply of each route and status is checked and recorded as in lib.client."""
        key = (method, facts.template_of(path), status)
        if key in self.seen or status == 101:
            return
        self.seen.add(key)
        found = facts.check_reply(method, path, status, reason, kind, text)
        facts.record(method, path, status, found)
        note_complaints(method, path, status, found)

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None


class Ground:
    def __init__(self, node):
        self.node, self.world = node, World()
        self.secrets = {}
        self.local = threading.local()
        self.world.users["admin@pve"] = User()
        self.world.users["root@pam"] = User()
        self.world.grant("/", "admin@pve", "Administrator")
        self.world.storages = {"local"}
        self.world.config_of = lambda vmid: self.configs.get(int(vmid), {})
        self.configs = {}
        with sqlite3.connect(f"file:{node.path('var/state/holm.db')}?mode=ro", uri=True) as db:
            keys = json.loads(db.execute("SELECT value FROM kv WHERE key='shared/secret/ticket'").fetchone()[0])["keys"]
        db.close()
        self.key = base64.b64decode(keys[0]["key"])

    # --- who asks ---

    def _sign(self, purpose, text):
        mac = hmac.new(self.key, f"{purpose}\n{text}".encode(), hashlib.sha512).digest()[:32]
        return base64.b64encode(mac).decode()

    def ticket(self, user):
        text = f"PVE:{user}:{int(time.time()):08X}"
        return f"{text}::{self._sign('ticket', text)}"

    def headers(self, who):
        """What a request of this user (a ticket) or token carries."""
        if not who:
            return {}
        if is_token(who):
            return {"Authorization": f"PVEAPIToken={who}={self.secrets[who]}"}
        now = f"{int(time.time()):08X}"
        csrf = f"{now}:{self._sign('csrf', f'{now}:{who}')}"
        return {"Cookie": f"PVEAuthCookie={urllib.parse.quote(self.ticket(who))}", "CSRFPreventionToken": csrf}

    def wire(self):
        if getattr(self.local, "port", None) != self.node.port:
            self.local.wire, self.local.port = Wire(self.node.port), self.node.port
        return self.local.wire

    def call(self, who, method, path, params=None, headers=None, body=None, view="json"):
        return self.wire().call(method, path.replace("{node}", self.node.name), params,
                                {**self.headers(who), **(headers or {})}, body, view)

    def do(self, method, route, /, **params):
        """As root@pam; must succeed."""
        reply = self.call("root@pam", method, route, params)
        while "detected modified" in reply.message:  # somebody else changed it at the same time
            reply = self.call("root@pam", method, route, params)
        assert reply.status == 200, f"{method} {route} {params}: {reply.status} {reply.message}"
        return reply.data

    @staticmethod
    def many(jobs, threads=4):
        """Calls functions side by side; their results in order."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda job: job(), jobs))

    # --- what is there: made on the node and noted ---

    def group(self, name):
        self.do("POST", "/access/groups", groupid=name)
        self.world.groups.add(name)

    def role(self, name, privs):
        self.do("POST" if name not in self.world.roles else "PUT",
                "/access/roles" if name not in self.world.roles else f"/access/roles/{name}",
                **({"roleid": name} if name not in self.world.roles else {}), privs=",".join(privs))
        self.world.roles[name] = frozenset(privs)

    def user(self, name, groups=(), **more):
        self.do("POST", "/access/users", userid=name, **({"groups": ",".join(groups)} if groups else {}), **more)
        is_expired = more.get("expire", 0) and more["expire"] < time.time()
        self.world.users[name] = User(set(groups), not is_expired and more.get("enable", 1) == 1)

    def token(self, user, name, privsep):
        made = self.do("POST", f"/access/users/{user}/token/{name}", privsep=int(privsep))
        full = f"{user}!{name}"
        self.secrets[full] = made["value"]
        self.world.tokens[full] = bool(privsep)
        return full

    def grant(self, path, names, role, propagate=True, batch=30):
        """names: users, groups and tokens."""
        names = [names] if isinstance(names, str) else list(names)
        for i in range(0, len(names), batch):
            kinds = {"tokens": [], "users": [], "groups": []}
            for n in names[i:i + batch]:
                kinds["tokens" if "!" in n else "users" if "@" in n else "groups"].append(n)
                self.world.grant(path, n, role, propagate)
            self.do("PUT", "/access/acl", path=path, roles=role, propagate=int(propagate),
                    **{k: ",".join(v) for k, v in kinds.items() if v})

    def ungrant(self, path, name, role):
        kind = "tokens" if "!" in name else "users" if "@" in name else "groups"
        self.do("PUT", "/access/acl", path=path, roles=role, delete=1, **{kind: name})
        self.world.ungrant(path, name, role)

    def pool(self, name, vms=(), storages=()):
        self.do("POST", "/pools", poolid=name)
        self.world.pools.add(name)
        if vms or storages:
            members = {"vms": ",".join(map(str, vms)), "storage": ",".join(storages)}
            self.do("PUT", "/pools", poolid=name, **{k: v for k, v in members.items() if v})
        for v in vms:
            self.world.pool_of_guest[v] = name
        for s in storages:
            self.world.pools_of_storage.setdefault(s, set()).add(name)

    def guest(self, vmid, **config):
        self.node.create(vmid, **config)
        self.world.guests.add(vmid)
        self.configs[vmid] = {k: v for k, v in self.node.api.get(self.node.vm(vmid, "/config")).items() if k != "digest"}
