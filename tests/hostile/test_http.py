"""Bytes of strangers on the port: broken HTTP, floods, traversal. The daemon answers or closes, and an honest client is
served meanwhile."""
import os
import socket
import statistics
import time

from lib import honest, procs
from lib.holm import is_sanitized
from lib.raw import auth, exchange, statuses
from lib.tap import main, test
from lib.wait import wait_for


@test
def broken_requests_are_refused(node):
    head = "GET /api2/json/version HTTP/1.1\r\n" + auth(node)
    rows = [b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x00\x00\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET  /version HTTP/1.1\r\n\r\n",
            (head + "X : y\r\n\r\n").encode(), (head + "X: a\r\n b\r\n\r\n").encode(), (head + "X: a\nY: b\r\n\r\n").encode(),
            (head + "X: a\0b\r\n\r\n").encode(), (head + ": y\r\n\r\n").encode(), b"GET http:// HTTP/1.1\r\n\r\n",
            (head + "Content-Length: -1\r\n\r\n").encode(), (head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx").encode(),
            (head + "Content-Length: +1\r\n\r\nx").encode(), (head + "Content-Length: 99999999999999999999\r\n\r\n").encode(),
            (head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").encode(),
            (head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").encode(),
            (head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n").encode()]
    for data in rows:
        codes = statuses(exchange(node, data))
        assert not codes or (len(codes) == 1 and codes[0] >= 400), (data[-60:], codes)
    assert node.api.get("/version")


@test
def no_second_request_is_smuggled(node):
    inner = f"GET /api2/json/access/users HTTP/1.1\r\n{auth(node)}\r\n"
    outer = f"POST /api2/json/access/groups HTTP/1.1\r\n{auth(node)}Content-Length: 0\r\nContent-Length: {len(inner)}\r\n\r\n"
    assert len(statuses(exchange(node, (outer + inner).encode()))) <= 1
    outer = f"GET /api2/json/version HTTP/1.1\r\n{auth(node)}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    codes = statuses(exchange(node, (outer + inner).encode()))
    assert len(codes) <= 1 and 200 not in codes, codes


@test
def limits_hold(node):
    rows = [("64 KiB of headers", f"GET /api2/json/version HTTP/1.1\r\n{auth(node)}X: {'a' * 65536}\r\n\r\n"),
            ("200 header lines", f"GET /api2/json/version HTTP/1.1\r\n{auth(node)}" + "X: y\r\n" * 200 + "\r\n"),
            ("a path of 32 KiB", f"GET /api2/json/{'a' * 32768} HTTP/1.1\r\n{auth(node)}\r\n"),
            ("a body of 1 MiB", f"POST /api2/json/access/groups HTTP/1.1\r\n{auth(node)}Content-Length: 1048576\r\n\r\n"
             + "x=" + "y" * 1048574)]
    for what, text in rows:
        codes = statuses(exchange(node, text.encode()))
        assert not codes or codes[0] >= 400, (what, codes)
    assert node.api.get("/version")


@test
def hostile_json(node):
    bodies = [b"[" * 100000, b'{"a":' * 50000, b'{"groupid":"' + b"\\u0000" * 10 + b'"}', b'{"groupid":"\xff\xfe"}',
              b'{"groupid":1e999}', b'{"groupid":' + b"9" * 5000 + b"}", b'{"groupid":"a","groupid":"b"}' * 2,
              b"{" + b",".join(b'"k%d":1' % i for i in range(20000)) + b"}"]
    for body in bodies:
        reply = node.api.http.post(node.url + "/api2/json/access/groups", data=body,
                                   headers={"Content-Type": "application/json"}, timeout=15)
        assert reply.status_code >= 400, (body[:40], reply.status_code)
    assert [g for g in node.api.get("/access/groups") if g["groupid"] in ("a", "b")] in ([],)


@test
def traversal_leads_nowhere(node):
    names = ("..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "a%00b", "%ff%fe", "%u002e", ".", "%2f", "%5c..%5c", "x" * 4096)
    for name in names:
        for path in (f"/nodes/{node.name}/qemu/{name}/config", f"/nodes/{name}/status", f"/storage/{name}",
                     f"/nodes/{node.name}/storage/{name}/status", f"/nodes/{node.name}/tasks/{name}/log",
                     f"/access/users/{name}", f"/access/groups/{name}", f"/pools/{name}"):
            data = f"GET /api2/json{path} HTTP/1.1\r\n{auth(node)}\r\n"
            reply = exchange(node, data.encode())
            codes = statuses(reply)
            assert b"root:" not in reply, path
            assert not codes or codes[0] >= 400 or name in (".", "%2f", ".."), (path, codes)
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/pve2/../../../etc/passwd"):
        assert b"root:" not in exchange(node, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), path


@test(limit=90)
def honest_client_is_served_during_a_flood(node):
    """300 connections that say half a request and wait: they are dropped in time, the honest one keeps its pace."""
    fronts = node.processes("holm-front")
    before = sum(map(procs.memory_kib, fronts)) + procs.memory_kib(node.process.pid)
    idle = []
    try:
        for i in range(300):
            s = socket.create_connection(("127.0.0.1", node.port), timeout=5)
            idle.append(s)
            if i % 3 == 0:  # half a TLS hello; the others say nothing at all
                s.sendall(b"\x16\x03\x01\x02\x00\x01")
        times = []
        for _ in range(100):
            began = time.monotonic()
            node.api.get("/cluster/resources")
            times.append(time.monotonic() - began)
        found = honest.p99(times)
        print(f"median {statistics.median(times) * 1000:.1f} ms, p99 {found * 1000:.0f} ms")
        after = sum(map(procs.memory_kib, fronts)) + procs.memory_kib(node.process.pid)
        assert is_sanitized() or after - before < 64 * 1024, f"{before} KiB before, {after} after"

        def is_dropped(s):
            s.setblocking(False)
            try:
                return s.recv(100) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True
        left = list(idle)

        def all_dropped():
            left[:] = [s for s in left if not is_dropped(s)]
            return not left
        wait_for(all_dropped, 45, "idle connections to be dropped", step=0.2)
        honest.check_pace(node, found, bound=0.5)
    finally:
        for s in idle:
            s.close()


@test(limit=60)
def thousand_short_connections(node):
    """Connections that come and go leave no descriptor behind."""
    fronts = node.processes("holm-front")
    node.api.get("/version")
    before = sum(map(procs.fds, fronts))
    for i in range(1000):
        with socket.create_connection(("127.0.0.1", node.port), timeout=5) as s:
            if i % 2:
                s.sendall(b"GET / HTTP/1.1\r\n\r\n")
    wait_for(lambda: sum(map(procs.fds, fronts)) <= before + 2, 30, "descriptors to come back")


@test(limit=60)
def guessing_passwords_is_slowed(node):
    """A wrong password costs three seconds; meanwhile others are served at once."""
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        guesses = [pool.submit(node.nobody().call, "POST", "/access/ticket", {"username": "admin@pve", "password": f"x{i}"})
                   for i in range(8)]
        slow = []
        for _ in range(20):
            t = time.monotonic()
            node.api.get("/version")
            slow.append(time.monotonic() - t)
        assert all(g.result().status == 401 for g in guesses)
        assert time.monotonic() - began >= 2.5, "401 came at once"
    assert max(slow) < 2.5, slow


@test
def cross_site_writes_are_refused(node):
    """A cookie with a foreign Origin is a page of somebody else; a token is exempt."""
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example"):
        reply = node.api.call("POST", "/access/groups", {"groupid": "csrf"}, headers={"Origin": origin})
        assert reply.status in (401, 403), (origin, reply.status)
    reply = node.api.call("POST", "/access/groups", {"groupid": "own"}, headers={"Origin": node.url})
    assert reply.status == 200, reply.text
    node.api.delete("/access/groups/own")


@test
def secrets_are_not_shown(node):
    """A password given to a request is in no log, journal or task."""
    secret = "S3cret-needle-in-hay"
    node.api.post("/access/users", userid="sec@pve", password=secret)
    for top, _, names in os.walk(node.root):
        for name in names:
            try:
                with open(os.path.join(top, name), "rb") as f:
                    assert secret.encode() not in f.read(), os.path.join(top, name)
            except OSError:
                continue
    assert secret not in node.log()
    node.api.delete("/access/users/sec@pve")


if __name__ == "__main__":
    main()
