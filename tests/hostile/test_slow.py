"""Clients that take their time, and many of them: each phase of a connection ends by itself, hoarders cannot keep
others out, and an honest client beside them keeps its pace."""
import socket
import ssl
import threading
import time

from lib.honest import Beside, Watch
from lib.raw import auth, connect, connect_plain, drip, is_closed, read_all, statuses
from lib.tap import main, test
from lib.wait import slow, wait_for

HELLO = bytes.fromhex("160301020001000001fc0303")  # the beginning of a ClientHello that promises 512 bytes
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
# The cap of connections is 500.
HOARD = 560


class Drippers:
    """Connections that send one byte a second each, from one thread, until they are closed."""

    def __init__(self):
        self.rows = []  # socket, bytes left, when it began
        self.ended = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def add(self, name, s, data):
        s.setblocking(False)
        self.rows.append([name, s, data, time.monotonic()])

    def _step(self, row):
        name, s, data, began = row
        try:
            if data:
                s.send(data[:1])
                row[2] = data[1:]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            pass
        if is_closed(s):
            self.ended.setdefault(name, []).append(time.monotonic() - began)
            s.close()
            return False
        return True

    def _run(self):
        while not self.stopping.wait(1):
            with self.lock:
                self.rows = [row for row in self.rows if self._step(row)]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        for row in self.rows:
            row[1].close()


def addresses():
    n = 0
    while True:
        n += 1
        yield f"127.{n // 60 % 200 + 1}.0.{n % 60 + 1}"


def slow_kinds(node):
    """name -> (is TLS, what is sent at once, what drips after it, seconds until the server ends it)"""
    a = auth(node)
    upload = f"POST /api2/json/nodes/{node.name}/storage/local/upload HTTP/1.1\r\n{a}" \
             "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000\r\n\r\n" \
             '--b\r\nContent-Disposition: form-data; name="content"\r\n\r\niso\r\n' \
             '--b\r\nContent-Disposition: form-data; name="filename"; filename="slow.iso"\r\n\r\n'
    return {
        "nothing": (False, b"", b"", 5),
        "TLS handshake": (False, HELLO, b"\1" * 400, 5),
        "no request": (True, b"", b"", 5),
        "head": (True, b"G", b"ET /api2/json/version HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 400, 10),
        "head of a write": (True, f"PUT /api2/json/access/groups/x HTTP/1.1\r\n{a}X: ".encode(), b"b" * 400, 10),
        "body": (True, f"POST /api2/json/access/groups HTTP/1.1\r\n{a}Content-Length: 20000\r\n\r\n".encode(),
                 b"groupid=slow" + b"x" * 400, 10),
        "upload": (True, upload.encode(), b"x" * 400, 10),
        "WebSocket upgrade": (True, f"GET /api2/json/cluster/events HTTP/1.1\r\n{a}{UPGRADE}".encode(),
                              b"Sec-WebSocket-Key: " + b"a" * 400, 10),
    }


@test(limit=120)
def slowloris_in_every_phase(node):
    """30 connections of each kind; all are ended by the phase's own limit, not one stays."""
    kinds = slow_kinds(node)
    address = addresses()
    with Beside(node) as honest, Drippers() as drippers:
        for name, (is_tls, first, rest, _) in kinds.items():
            for _ in range(30):
                s = (connect if is_tls else connect_plain)(node, next(address))
                s.sendall(first)
                drippers.add(name, s, rest)
        honest.enough()
        wait_for(lambda: not drippers.rows, 60, "the slow connections to be ended", 0.2)
        for name, (_, _, _, seconds) in kinds.items():
            ends = drippers.ended[name]
            assert len(ends) == 30 and max(ends) <= slow(seconds * 2 + 6), (name, max(ends))
            assert min(ends) >= seconds - 2, (name, min(ends))  # a client may take its time within the limit
    assert "slow" not in [g["groupid"] for g in node.api.get("/access/groups")]
    assert node.api.get("/nodes/{node}/storage/local/content", content="iso") == []


@test(limit=90)
def slow_but_honest_is_served(node):
    """A request of one byte a packet is a request."""
    request = f"POST /api2/json/access/groups HTTP/1.1\r\n{auth(node)}Content-Length: 16\r\nConnection: close\r\n\r\ngroupid=byte-two"
    with connect(node) as s:
        drip(s, request.encode())
        assert statuses(read_all(s)) == [200]
    node.api.delete("/access/groups/byte-two")


@test(limit=90)
def hoarders_do_not_keep_others_out(node):
    """More connections than there are places, from many addresses, in each phase in turn."""
    for name, (is_tls, first, _, _) in slow_kinds(node).items():
        if name not in ("nothing", "no request", "head", "body"):
            continue
        address, held = addresses(), []
        with Beside(node) as honest:
            began = time.monotonic()
            for _ in range(HOARD):
                s = (connect if is_tls else connect_plain)(node, next(address))
                s.sendall(first)
                held.append(s)
                if is_tls:  # not a test of this machine's speed at handshakes, of which half is the attacker's work
                    time.sleep(0.003)
            print(f"{name}: {len(held)} connections in {time.monotonic() - began:.1f} s")
            honest.enough()
            for s in held:
                s.close()


@test(limit=120)
def readers_that_do_not_read(node):
    """Large replies that nobody takes: 40 connections ask, three requests each, and read nothing."""
    for i in range(60):
        node.api.post("/access/groups", groupid=f"big{i}", comment="x" * 4000)
    held = []
    try:
        with Beside(node) as honest:
            request = f"GET /api2/json/access/groups HTTP/1.1\r\n{auth(node)}\r\n".encode()
            for _ in range(40):
                s = connect(node)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.sendall(request * 3)
                held.append(s)
            honest.enough()
            alive = [s for s in held if s.fileno() >= 0][-1]
            assert statuses(alive.recv(200)) in ([200], []), "the last of them was not answered"
            for s in held:
                s.close()
    finally:
        for i in range(60):
            node.api.delete(f"/access/groups/big{i}")


@test(limit=90)
def connections_that_end_anywhere(node):
    """A request, cut off after each of its bytes by a reset: nothing is kept, nothing is done twice."""
    request = f"POST /api2/json/access/groups HTTP/1.1\r\n{auth(node)}Content-Length: 11\r\n\r\ngroupid=cut".encode()
    watch = Watch(node)
    for n in range(0, len(request), 9):
        with connect(node) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.sendall(request[:n])
    assert "cut" not in [g["groupid"] for g in node.api.get("/access/groups")]
    wait_for(watch.is_settled, 20, "the descriptors to come back")
    watch.check_memory()


if __name__ == "__main__":
    main()
