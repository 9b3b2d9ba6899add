"""An authenticator: one-time passwords as RFC 6238 says, written from the RFC and not from the product."""
import base64
import hashlib
import hmac
import itertools
import os
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from requests.adapters import HTTPAdapter

from lib.client import ApiError
from lib.holm import PASSWORD
from lib.wait import wait_for

_addresses = itertools.count(256)
# Seconds that must be left of a period before a test counts on it.
ROOM = 12


class _From(HTTPAdapter):
    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args, **kw):
        super().init_poolmanager(*args, source_address=(self.address, 0), **kw)


def stranger(node):
    """Nobody, from an address that was not seen before: what is tried here must not count as guessing from one place."""
    client, n = node.nobody(), next(_addresses)
    client.http.mount("https://", _From(f"127.77.{n >> 8 & 255}.{n & 255}"))
    return client


class Authenticator:
    def __init__(self, period=30, digits=6, algorithm="SHA1", size=20):
        self.period, self.digits, self.algorithm = period, digits, algorithm
        self.secret = os.urandom(size)

    @property
    def text(self):
        return base64.b32encode(self.secret).decode().rstrip("=")

    @property
    def uri(self):
        return (f"otpauth://totp/{quote('Holm:somebody@pve')}?secret={self.text}&issuer=Holm&algorithm={self.algorithm}"
                f"&digits={self.digits}&period={self.period}")

    def code(self, steps=0, at=None):
        step = int((time.time() if at is None else at) // self.period) + steps
        mac = hmac.new(self.secret, struct.pack(">Q", step), getattr(hashlib, self.algorithm.lower())).digest()
        at = mac[-1] & 15
        return str((struct.unpack(">I", mac[at:at + 4])[0] & 0x7fffffff) % 10 ** self.digits).zfill(self.digits)

    def wrong(self):
        """A code that is none of those near now."""
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(c for c in (f"{i:0{self.digits}}" for i in range(100)) if c not in near)

    def wait_for_room(self):
        """Until the current step lasts long enough for what follows."""
        wait_for(lambda: self.period - time.time() % self.period > ROOM, ROOM + 5, "the next step")


def add_totp(node, user, authenticator=None, description="phone"):
    """Gives a user an authenticator, as the administrator."""
    authenticator = authenticator or Authenticator(period=120)
    authenticator.wait_for_room()
    authenticator.id = node.api.post(f"/access/tfa/{user}", type="totp", description=description, totp=authenticator.uri,
                                     value=authenticator.code(), password=PASSWORD)["id"]
    return authenticator


def add_recovery(node, user):
    return node.api.post(f"/access/tfa/{user}", type="recovery", password=PASSWORD)["recovery"]


def ask(node, user, password=PASSWORD):
    """The first step of a login: the challenge."""
    data = stranger(node).post("/access/ticket", username=user, password=password)
    assert data["NeedTFA"] == 1, data
    return data["ticket"]


def answer(node, user, challenge, text):
    """The second step: the reply."""
    return stranger(node).call("POST", "/access/ticket", {"username": user, "tfa-challenge": challenge, "password": text})


def login(node, user, text):
    """Both steps; ApiError when the second is refused."""
    reply = answer(node, user, ask(node, user), text)
    if reply.status >= 400:
        raise ApiError(reply)
    return reply.data


def at_once(calls):
    """Runs all calls as close together as threads get; returns what they returned."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        return call()
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def row(node, user):
    """The user's row in the list of all second factors."""
    return next(r for r in node.api.get("/access/tfa") if r["userid"] == user)
