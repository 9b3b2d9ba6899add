"""Requests whose beginning, end or lines can be read in two ways. Each carries, where a second reader would find it, a
write that would show: whatever the answer, there is at most one, and that write is never done."""
import itertools
import re
from concurrent.futures import ThreadPoolExecutor

from lib.honest import Beside
from lib.raw import auth, connect, connect_plain, drip, is_closed, read_all, statuses
from lib.tap import main, test

HEAD_MAX, LINES_MAX = 8192, 64
_numbers = itertools.count()


def groups(node):
    return {g["groupid"] for g in node.api.get("/access/groups")}


def write(node, name):
    """A request that makes a group."""
    body = f"groupid={name}"
    return f"POST /api2/json/access/groups HTTP/1.1\r\n{auth(node)}Content-Length: {len(body)}\r\n\r\n{body}"


def post(node, headers, body=""):
    return f"POST /api2/json/access/groups HTTP/1.1\r\n{auth(node)}{headers}\r\n{body}"


def get(node, headers="", path="/api2/json/version", version="HTTP/1.1"):
    return f"GET {path} {version}\r\n{auth(node)}{headers}\r\n"


def talk(node, data, is_dripped=False, timeout=6):
    """Everything that is answered, and whether the connection was closed."""
    data = data if isinstance(data, bytes) else data.encode("latin-1")
    with connect(node) as s:
        try:
            drip(s, data) if is_dripped else s.sendall(data)
        except OSError:
            pass
        got = read_all(s, timeout)
        return got, is_closed(s)


def length_rows(node, inner):
    """Content-Length that two servers may read differently; the body is the write."""
    n = len(inner)
    bad = [f"Content-Length: 0\r\nContent-Length: {n}", f"Content-Length: {n}\r\nContent-Length: 0",
           f"Content-Length: {n}\r\ncontent-length: {n}", f"Content-Length: 0, {n}", f"Content-Length: {n}, {n}",
           f"Content-Length: +{n}", "Content-Length: -1", f"Content-Length: 0x{n:x}", f"Content-Length: {n}.0",
           "Content-Length: 1e2", f"Content-Length: {n} 0", "Content-Length:", "Content-Length: zero", f"Content-Length: 0_{n}",
           f"Content-Length : {n}", f"Content-Length\t: {n}", f" Content-Length: {n}", f"X: y\r\n Content-Length: {n}",
           f"Content-Length:\x0b{n}", f"Content-Length:\x0c{n}", f"Content-Length: {n}\x00", f"Content-Length\x00: {n}",
           f"Content-Length: 0\nContent-Length: {n}", f"Content-Length: 0\rContent-Length: {n}", "Content-Length: 18446744073709551616",
           "Content-Length: 18446744073709551615", "Content-Length: 9223372036854775808", "Content-Length: 99999999999999999999999",
           f"Content-Length: \xb2{n}", f"Content-Length: \"{n}\"", f"Content-Length: 0;{n}", "Content-Length: 1000000"]
    return [post(node, h + "\r\n", inner) for h in bad]


def coding_rows(node, inner):
    """Transfer-Encoding in every disguise: chunks end and the write follows, or the length says that it is body."""
    values = ["chunked", "chunked ", " chunked", "\tchunked", "xchunked", "chunked, identity", "identity, chunked", "identity",
              "Chunked", "CHUNKED", '"chunked"', "chunked;a=b", "gzip, chunked", "", "chunked\x0b", "\x0bchunked", "\x00chunked",
              "chunk\x00ed", "c\xa0hunked", "cow"]
    rows = []
    for v in values:
        for length in ("", "Content-Length: 5\r\n", f"Content-Length: {5 + len(inner)}\r\n", "Content-Length: 0\r\n"):
            rows.append(post(node, f"{length}Transfer-Encoding: {v}\r\n", "0\r\n\r\n" + inner))
    for name in ("Transfer-Encoding ", "Transfer-Encoding\t", " Transfer-Encoding", "Transfer-Encoding\x00", "\x0bTransfer-Encoding"):
        rows.append(post(node, f"Content-Length: {5 + len(inner)}\r\n{name}: chunked\r\n", "0\r\n\r\n" + inner))
    rows += [post(node, f"{a}Content-Length: 5{end}Transfer-Encoding: chunked\r\n", "0\r\n\r\n" + inner)
             for end in ("\n", "\r", "\r\n ", "\r\r\n", "\n\r") for a in ("", "X: y\r\n")]
    rows.append(post(node, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n" + inner))
    rows.append(post(node, "TE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n", "0\r\nContent-Length: 9\r\n\r\n" + inner))
    # The first chunk's size is beyond every number, or not one.
    rows += [post(node, "Transfer-Encoding: chunked\r\n", f"{size}\r\n{inner}\r\n0\r\n\r\n")
             for size in ("ffffffffffffffff1", "-1", "0x10", "1;ext=\n2", "")]
    return rows


def body_rows(node, inner):
    """A body where none belongs, or whose reader gave up before its end: it is never the next request."""
    n = len(inner)
    multipart = f"POST /api2/json/nodes/{node.name}/storage/local/upload HTTP/1.1\r\n{auth(node)}" \
                "Content-Type: multipart/form-data; boundary=b\r\n"
    parts = "--b\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--b--\r\n"
    return [get(node, f"Content-Length: {n}\r\n") + inner,
            f"DELETE /api2/json/access/groups/none HTTP/1.1\r\n{auth(node)}Content-Length: {n}\r\n\r\n{inner}",
            f"HEAD / HTTP/1.1\r\n{auth(node)}Content-Length: {n}\r\n\r\n{inner}",
            f"OPTIONS /api2/json/version HTTP/1.1\r\n{auth(node)}Content-Length: {n}\r\n\r\n{inner}",
            f"TRACE /api2/json/version HTTP/1.1\r\n{auth(node)}Content-Length: {n}\r\n\r\n{inner}",
            f"PATCH /api2/json/access/groups HTTP/1.1\r\n{auth(node)}Content-Length: {n}\r\n\r\n{inner}",
            get(node, f"Content-Length: {n}\r\n", path="/index.html") + inner,
            post(node, f"Content-Length: {n}\r\nContent-Type: text/plain\r\n", inner),
            post(node, f"Content-Length: {n}\r\nContent-Type: application/json\r\n", inner),
            post(node, f"Content-Length: {n}\r\nExpect: 200-ok\r\n", inner),
            post(node, f"Content-Length: {n}\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n", inner),
            post(node, f"Content-Length: {n}\r\nExpect: 100-continue\r\nContent-Type: text/plain\r\n", inner),
            post(node, f"Content-Length: {n}\r\nContent-Type: text/plain\r\nContent-Type: application/json\r\n", inner),
            multipart + f"Content-Length: {len(parts) + n}\r\n\r\n{parts}{inner}",
            multipart + f"Content-Length: 20\r\n\r\n{parts}{inner}",
            multipart + f"Content-Length: 0\r\n\r\n{inner}", multipart + f"\r\n{inner}",
            get(node, f"Content-Length: {n}\r\nConnection: close\r\n") + inner]


def line_rows(node, inner):
    """Request lines and header lines that are none; after each comes the write."""
    a = auth(node)
    lines = ["GET http://x/api2/json/version HTTP/1.1", "GET https://127.0.0.1/api2/json/version HTTP/1.1", "CONNECT x:443 HTTP/1.1",
             "OPTIONS * HTTP/1.1", "GET * HTTP/1.1", "GET /api2/json/version", "GET /", "GET", "get /api2/json/version HTTP/1.1",
             "GET  /api2/json/version HTTP/1.1", "GET /api2/json/version  HTTP/1.1", "GET /api2/json/version HTTP/1.1 ",
             "GET\t/api2/json/version\tHTTP/1.1", " GET /api2/json/version HTTP/1.1", "GET /api2/json/version HTTP/1.2",
             "GET /api2/json/version HTTP/2.0", "GET /api2/json/version HTTP/2", "GET /api2/json/version HTTP/0.9",
             "GET /api2/json/version HTTP/1.10", "GET /api2/json/version HTTP/01.1", "GET /api2/json/version http/1.1",
             "GET /api2/json/version HTTP/1.1 HTTP/1.1", "GET /api2/json/version#x HTTP/1.1", "GET api2/json/version HTTP/1.1",
             "GET /api2/json/%00 HTTP/1.1", "GET /api2/json/%0d%0a HTTP/1.1", "GET /api2/json/%zz HTTP/1.1", "GET /api2/json/% HTTP/1.1",
             "GET /api2/json/\x00 HTTP/1.1", "GET /api2/json/\xff HTTP/1.1", "GET /api2/json/%ff HTTP/1.1", "GET /../api2/json/version HTTP/1.1",
             "GET /api2/json/%c0%af HTTP/1.1", "G@T / HTTP/1.1", "GE\x00T / HTTP/1.1", "A" * 21 + " / HTTP/1.1", "\r\n\r\nGET / HTTP/1.1",
             "PRI * HTTP/2.0"]
    rows = [f"{line}\r\n{a}\r\n{inner}" for line in lines]
    rows.append("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + inner)
    rows.append("GET /api2/json/version\r\n" + inner)
    headers = ["X : y", ": y", "X", "X\x00: y", "X: \x00", "X: \x01", "X: \x7f", "X: a\x0bb", "X: a\r b", "X: a\r\n b", "X: a\r\n\tb", "X: a\nY: b",
               "X: a\n\nGET", "X: a\r\rY: b", "X(: y", "X y: z", "X\xe4: y", "\tX: y", " : y", "Host: y", "Host: y\r\nHost: z", "Origin: a\r\nOrigin: b",
               "CSRFPreventionToken: a", "Authorization: a\r\nAuthorization: b", "Idempotency-Key: a\r\nIdempotency-Key: b", "X: " + "a" * 9000]
    rows += [f"GET /api2/json/version HTTP/1.1\r\n{a}{h}\r\n\r\n{inner}" for h in headers]
    rows += [f"GET /api2/json/version HTTP/1.1\r\nHost: {h}\r\n\r\n{inner}" for h in ("", "a b", "a/b", "a@b", "a\tb", "a,b", "x" * 256, "\xe4")]
    rows += [f"GET /api2/json/version HTTP/1.1\r\n\r\n{inner}", f"GET /api2/json/version HTTP/1.0\r\n\r\n{inner}",
             get(node, version="HTTP/1.0") + inner, get(node, "Connection: close\r\n") + inner,
             get(node, "Connection: keep-alive, close\r\n") + inner, get(node, "Connection: CLOSE\r\n") + inner]
    return rows


def never_twice(node, make_rows, is_dripped=False):
    """Sends each row with a write of its own; at most one reply each, the connection ends, no write is done."""
    prefix = f"smug{next(_numbers)}-"
    count = len(make_rows(node, write(node, "x")))
    rows = [make_rows(node, write(node, f"{prefix}{i}"))[i] for i in range(count)]

    def one(data):
        got, closed = talk(node, data, is_dripped)
        codes = [c for c in statuses(got) if c != 100]
        assert closed, (data[:300], codes, "the connection stays open")
        assert len(codes) <= 1, (data[:300], codes)
        return codes
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(one, rows))
    done = [g for g in groups(node) if g.startswith(prefix)]
    assert not done, [rows[int(g.rpartition("-")[2])][:400] for g in done]
    return answers


@test(limit=120)
def no_second_request(node):
    with Beside(node) as honest:
        total = 0
        for make_rows in (length_rows, coding_rows, body_rows, line_rows):
            answers = never_twice(node, make_rows)
            refused = [a for a in answers if not a or a[0] >= 400]
            total += len(answers)
            if make_rows in (length_rows, coding_rows):
                assert len(refused) == len(answers), (make_rows.__name__, answers)
        print(f"{total} ambiguous requests")
        honest.enough()


@test(limit=60)
def no_second_request_in_single_bytes(node):
    """The same when each byte is a packet of its own, so that nothing is seen whole."""
    never_twice(node, lambda n, inner: length_rows(n, inner)[::4] + line_rows(n, inner)[::8], is_dripped=True)


@test(limit=30)
def real_pipelining_works(node):
    """Three writes in one packet are done once each, in order; after a broken one nothing is. So the tests above can fail."""
    names = [f"pipe{i}" for i in range(3)]
    last = write(node, names[2]).replace("Content-Length", "Connection: close\r\nContent-Length")
    got, closed = talk(node, write(node, names[0]) + write(node, names[1]) + last, timeout=10)
    assert statuses(got) == [200] * 3 and closed, got
    assert set(names) <= groups(node)
    for name in names:
        node.api.delete(f"/access/groups/{name}")
    got, closed = talk(node, write(node, names[0]) + post(node, "Content-Length: x\r\n") + write(node, names[1]), timeout=10)
    assert statuses(got) == [200, 400] and closed, got
    assert groups(node) & set(names) == {names[0]}
    node.api.delete(f"/access/groups/{names[0]}")


@test(limit=60)
def limits_are_exact(node):
    """The largest head and the most lines that are taken, and one more; at once and byte by byte."""
    def head_of(n):
        head = get(node, "Connection: close\r\nX: ")[:-2]
        return head + "a" * (n - len(head) - 4) + "\r\n\r\n"

    def lines_of(n):
        have = 2 + auth(node).count("\r\n")  # the request line is not a header line
        return get(node, "Connection: close\r\n" + "X: y\r\n" * (n - have + 1))
    rows = [(head_of(HEAD_MAX - 1), 200), (head_of(HEAD_MAX), 200), (head_of(HEAD_MAX + 1), 431), (head_of(8 * HEAD_MAX), 431),
            (lines_of(LINES_MAX), 200), (lines_of(LINES_MAX + 1), 431), (lines_of(20 * LINES_MAX), 431)]
    for data, status in rows:
        for is_dripped in (False, True):
            if is_dripped and len(data) > HEAD_MAX + 1:
                continue
            got, closed = talk(node, data, is_dripped, timeout=10)
            assert statuses(got) == [status] and closed, (len(data), data.count("\r\n"), status, got[:100])


@test(limit=30)
def forms_of_an_honest_request(node):
    """What a strict parser must still take."""
    for data in (get(node, "Connection: close\r\n", path="//api2//json///version/"), get(node, "Connection: close\r\nX:\r\n"),
                 "\r\n" + get(node, "connection:close\r\n"), get(node, version="HTTP/1.0"), get(node, "CONNECTION: a, Close\r\nX:\ty\t\r\n"),
                 get(node, "Connection: close\r\n", path="/api2/json/v%65rsion"), get(node, "Connection: close\r\nContent-Length: 00\r\n"),
                 get(node, "Connection: close\r\nX-HTTP-Method-Override: DELETE\r\nX-Original-URL: /api2/json/access/users\r\n")):
        got, closed = talk(node, data, timeout=10)
        assert statuses(got) == [200] and closed and b'"release"' in got, (data[:80], got)
    body = "groupid=expected"
    with connect(node) as s:
        s.sendall(post(node, f"Expect: 100-continue\r\nConnection: close\r\nContent-Length: {len(body)}\r\n").encode())
        assert b"HTTP/1.1 100 Continue\r\n\r\n" in s.recv(1000)
        s.sendall(body.encode())
        assert statuses(read_all(s)) == [200]
    node.api.delete("/access/groups/expected")


def injections(node):
    """Places from which a client's text may get into a reply's head."""
    text = "a%0d%0aX-Injected:%201%0d%0a%0d%0aHTTP/1.1%20200%20OK%0d%0a%0d%0a"
    for t in (text, text.replace("%0d", ""), text.replace("%0a", ""), "%E5%98%8A%E5%98%8DX-Injected:%201", "a%0bX-Injected:%201"):
        yield get(node, path=f"/api2/json/{t}")
        yield get(node, path=f"/api2/json/access/groups/{t}")
        yield get(node, path=f"/api2/json/nodes/{node.name}/qemu/{t}/config")
        yield get(node, path=f"/api2/{t}/version")
        yield get(node, path=f"/{t}")
        yield get(node, path=f"/api2/json/cluster/resources?type={t}")
        yield get(node, path=f"/api2/json/cluster/resources?{t}=1")
        yield get(node, path=f"/api2/json/storage?type={t}&type={t}")
        body = f"groupid={t}&comment={t}&{t}={t}"
        yield post(node, f"Content-Length: {len(body)}\r\n", body)
        body = f"username={t}&password={t}"
        yield f"POST /api2/json/access/ticket HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    for h in ("Sec-WebSocket-Protocol: binary\x0bX-Injected: 1", "Sec-WebSocket-Protocol: binary, \x85X-Injected: 1",
              "Idempotency-Key: a\x0bX-Injected: 1", "Idempotency-Key: \xe5\x98\x8a\xe5\x98\x8dX-Injected: 1", "Accept-Encoding: a\x0bX-Injected: 1"):
        yield get(node, h + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n", path="/api2/json/cluster/events")
        body = "groupid=injected"
        yield post(node, f"{h}\r\nContent-Length: {len(body)}\r\n", body)


@test(limit=90)
def texts_do_not_become_headers(node):
    def one(data):
        got, _ = talk(node, data, timeout=6)
        head = got.partition(b"\r\n\r\n")[0]
        assert not re.search(rb"(?im)^[\s]*x-injected", head.replace(b"\r", b"\n")), got[:500]
        assert len(re.findall(rb"(?:^|[\r\n])HTTP/1", got)) <= 1, (data[:100], got[:500])
        assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", head), got[:500]
        return bool(got)
    with ThreadPoolExecutor(12) as pool:
        answered = list(pool.map(one, injections(node)))
    assert sum(answered) > 40, answered
    node.api.call("DELETE", "/access/groups/injected")


@test
def redirects_stay_on_this_host(node):
    """Plain HTTP is sent to https:// on the name that was asked for; no text of the target becomes a header."""
    for target in ("/", "/%0d%0aX-Injected:%201", "//evil.test/", "/\\evil.test", "/?a=%0d%0ab"):
        with connect_plain(node) as s:
            s.sendall(f"GET {target} HTTP/1.1\r\nHost: holm.test\r\n\r\n".encode())
            got = read_all(s, 5)
        assert statuses(got) == ([400] if "/%0d" in target else [301]), got
        if b" 400 " in got[:20]:
            continue
        location = re.search(rb"(?i)\r\nlocation: ([^\r\n]*)\r\n", got)[1]
        assert location.startswith(b"https://holm.test/"), location
        assert b"\nX-Injected" not in got
    for host in ("a b", "evil.test/x?", "x@evil.test", "a\x0bb", "a\"b"):
        with connect_plain(node) as s:
            s.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            got = read_all(s, 5)
        assert statuses(got) == [400], got


if __name__ == "__main__":
    main()
