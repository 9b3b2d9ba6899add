"""Many clients of the event stream at once, with --all a thousand, as many as there may be: how long a change takes to the
last of them, what each costs in memory, what they cost while nothing happens, and how long others wait when everybody's
permissions are asked again. The clients are one Python process on the same machine, whose time is in the figures."""
import contextlib
import os
import select
import socket
import ssl
import threading
import time

from bench.figures import Line, cpu_ms, note, tls, within
from bench.many import FIRST, define
from lib import procs
from lib.holm import Node, is_sanitized
from lib.raw import UPGRADE
from lib.tap import main, test
from lib.wait import slow

IS_ALL = bool(os.environ.get("HOLM_ALL"))
USERS, EACH = (2, 50) if is_sanitized() else (4, 250) if IS_ALL else (2, 125)
COUNT = USERS * EACH
GUESTS, CHANGES = 50 if is_sanitized() else 1000, 20
SECONDS = 10 if IS_ALL else 2


class Stream:
    """One of the crowd. Frames of the server's that are cut anywhere become lines again."""

    def __init__(self, s):
        self.socket, self.frames, self.tail = s, b"", b""

    def take(self, data, mark):
        """Was the mark in it?"""
        self.frames += data
        at, parts = 0, [self.tail]
        while (n := len(self.frames) - at) >= 2:
            size, head = self.frames[at + 1] & 127, 2
            if size == 126:
                size, head = int.from_bytes(self.frames[at + 2:at + 4], "big"), 4
            if n < head + size:
                break
            parts.append(self.frames[at + head:at + head + size])
            at += head + size
        self.frames = self.frames[at:]
        text = b"".join(parts)
        self.tail = text[-len(mark):]
        return mark in text


class Crowd:
    """Streams by hand, read by one loop."""

    def __init__(self, node):
        self.context = ssl._create_unverified_context()
        self.port = node.port
        self.poll = select.epoll()
        self.streams = {}

    def add(self, client):
        raw = socket.create_connection(("127.0.0.1", self.port))
        s = self.context.wrap_socket(raw)
        login = "Authorization: PVEAPIToken=%s=%s\r\n" % client.token
        s.sendall(f"GET /api2/json/cluster/events HTTP/1.1\r\nHost: x\r\n{login}{UPGRADE}\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += s.recv(1)
        assert head.startswith(b"HTTP/1.1 101"), head
        s.setblocking(False)
        self.poll.register(s, select.EPOLLIN)
        self.streams[s.fileno()] = Stream(s)

    def _read(self, stream, mark):
        """Was it there?"""
        is_there = False
        try:
            while part := stream.socket.recv(1 << 18):
                is_there = stream.take(part, mark) or is_there
        except ssl.SSLWantReadError:
            return is_there
        raise AssertionError("a stream ended")

    def until(self, mark, of=None, timeout=60):
        """Reads until each of them (all, if not given) had a line with the mark. Returns the milliseconds."""
        missing, began = set(of or self.streams), time.monotonic()
        for stream in self.streams.values():
            stream.tail = b""
        while missing:
            assert time.monotonic() - began < slow(timeout), f"{len(missing)} were not told"
            missing -= {fd for fd, _ in self.poll.poll(1) if self._read(self.streams[fd], mark)}
        return (time.monotonic() - began) * 1000

    def drain(self):
        """What has come is read."""
        for fd, _ in self.poll.poll(0):
            self._read(self.streams[fd], b"-")

    def close(self):
        for stream in self.streams.values():
            stream.socket.close()
        self.poll.close()


def memory_mib(pids):
    return sum(procs.memory_kib(p, "Pss") for p in pids) / 1024


def change(node, crowd, i):
    """Milliseconds from the request to the last client."""
    name = f"mark{i}x{time.monotonic_ns()}"
    began = time.monotonic()
    node.api.put(node.vm(FIRST + i, "/config"), name=name)
    asked = (time.monotonic() - began) * 1000
    return asked + crowd.until(name.encode())


def longest_wait(node, crowd, act):
    """While act changes what everybody may see: the longest answer to somebody else, and when the last stream has its
    new cursor, in milliseconds."""
    line, over, waits = Line(tls(node.port)), threading.Event(), []
    headers = f"Cookie: PVEAuthCookie={node.api.ticket}\r\n"

    def ask():
        while not over.is_set():
            waits.append(line.get("/api2/json/version", headers)[0])
    thread = threading.Thread(target=ask)
    thread.start()
    began = time.monotonic()
    act()
    crowd.until(b'"ping"')
    took = (time.monotonic() - began) * 1000
    over.set()
    thread.join()
    line.close()
    return max(waits), took


@test(limit=240)
def many_clients():
    with Node(options=["--fronts", "4"]) as node, contextlib.ExitStack() as stack:
        define(node, GUESTS, has_disk=False, memory=1024, tags="bench;prod")
        clients = [node.restricted(f"many{i}@pve", **{"/": "PVEAuditor"}) for i in range(USERS)]
        holmd, fronts = [node.process.pid], node.processes("holm-front")
        crowd = Crowd(node)
        stack.callback(crowd.close)
        crowd.add(clients[0])  # the table is made for the first
        crowd.until(b'"ping"')
        before = memory_mib(holmd), memory_mib(fronts)
        began = time.monotonic()
        for i in range(1, COUNT):
            crowd.add(clients[i % USERS])
        crowd.until(b'"ping"', of=list(crowd.streams)[1:])
        note(f"events, {COUNT} clients: all connected, to the last one's snapshot", "s", [time.monotonic() - began])
        time.sleep(SECONDS)  # the measurement: nothing is waited for
        crowd.drain()
        note(f"events, {COUNT} clients: holmd, each", "KiB", [(memory_mib(holmd) - before[0]) * 1024 / COUNT])
        note(f"events, {COUNT} clients: fronts, each", "KiB", [(memory_mib(fronts) - before[1]) * 1024 / COUNT])
        times = [change(node, crowd, i) for i in range(CHANGES)]
        note(f"events, {COUNT} clients: request to the last", "ms", times)
        for what, pids in (("holmd", holmd), ("fronts", fronts)):
            spent = cpu_ms(pids)
            time.sleep(SECONDS)
            note(f"events, {COUNT} clients, nothing happens: {what}", "%", [(cpu_ms(pids) - spent) / SECONDS / 10])
            crowd.drain()
        path = f"/vms/{FIRST}"
        rows = [longest_wait(node, crowd, lambda d=d: node.api.put("/access/acl", path=path, roles="PVEVMUser",
                                                                   users="many0@pve", **d))
                for d in ({}, {"delete": 1}, {}, {"delete": 1})]
        note(f"events, {COUNT} clients, access changes: longest answer", "ms", [r[0] for r in rows])
        note(f"events, {COUNT} clients, access changes: to the last", "ms", [r[1] for r in rows])
        within("request to the last client", "ms", min(times), 250)
        within("longest answer while access changes", "ms", min(r[0] for r in rows), 25)


if __name__ == "__main__":
    main()
