"""What a browser or a weak client is told: TLS versions and ciphers that are refused, and the header lines of every kind of
reply."""
import os
import re
import socket
import ssl
import tempfile
import warnings

from lib import raw
from lib.holm import Node
from lib.tap import main, test

warnings.filterwarnings("ignore", message="ssl.TLSVersion")
V = ssl.TLSVersion
# With @SECLEVEL=0 this client itself would speak all of them.
WEAK = ["AES256-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA",
        "DHE-RSA-AES256-GCM-SHA384", "NULL", "aNULL"]
STRONG = ["ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256", "ECDHE+CHACHA20"]


def client(version=None, ciphers="ALL:@SECLEVEL=0"):
    context = ssl._create_unverified_context()
    context.set_ciphers(ciphers)
    if version:
        context.minimum_version, context.maximum_version = version, version
    return context


def handshake(port, context):
    """The version agreed on, or the reason of the refusal."""
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10)) as s:
            return s.version()
    except ssl.SSLError as e:
        return e.reason or str(e)


@test
def old_versions_are_refused(node):
    for version in (V.TLSv1, V.TLSv1_1):
        # The alert is the server's: the client did offer it.
        assert handshake(node.port, client(version)) == "TLSV1_ALERT_PROTOCOL_VERSION", version
    assert handshake(node.port, client(V.TLSv1_2)) == "TLSv1.2"
    assert handshake(node.port, client(V.TLSv1_3)) == "TLSv1.3"


@test
def weak_ciphers_are_refused(node):
    for name in WEAK:
        got = handshake(node.port, client(V.TLSv1_2, name + ":@SECLEVEL=0"))
        assert got in ("SSLV3_ALERT_HANDSHAKE_FAILURE", "SSL/TLS_ALERT_HANDSHAKE_FAILURE"), (name, got)
    for name in STRONG:
        assert handshake(node.port, client(V.TLSv1_2, name)) == "TLSv1.2", name


@test
def other_protocols_and_compression_are_refused(node):
    context = client()
    context.set_alpn_protocols(["h2"])
    assert "no application protocol" in handshake(node.port, context).lower().replace("_", " ")
    context = client()
    context.options &= ~ssl.OP_NO_COMPRESSION
    with context.wrap_socket(socket.create_connection(("127.0.0.1", node.port), 10)) as s:
        assert s.compression() is None


def head_of(node, request, is_plain=False):
    """(status, {name: [values]}) of one reply."""
    if is_plain:
        with socket.create_connection(("127.0.0.1", node.port), 10) as s:
            s.sendall(request)
            got = b""
            while part := s.recv(8192):
                got += part
    else:
        got = raw.exchange(node, request)
    lines = got.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    found = {}
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        found.setdefault(name.lower(), []).append(value)
    return int(lines[0].split()[1]), found


def requests_of_every_kind(node):
    """(what, wanted status, is it the API, bytes)"""
    def get(path, more=""):
        return f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()
    return [
        ("page", 200, False, get("/")), ("file", 200, False, get("/assets/a.js")),
        ("no file", 404, True, get("/nothing.js")), ("view", 200, False, get("/guests/100")), ("API", 200, True, get("/api2/json/version", raw.auth(node)[9:])),
        ("public API", 200, True, get("/api2/json/access/domains")), ("not logged in", 401, True, get("/api2/json/version")),
        ("no route", 501, True, get("/api2/json/none", raw.auth(node)[9:])), ("no format", 501, True, get("/api2/png/x")),
        ("malformed", 400, True, b"GET /\r\n\r\n"), ("no socket", 426, True, get("/api2/json/cluster/events")),
        ("extjs", 200, True, get("/api2/extjs/access/domains")),
    ]


@test(limit=60)
def every_reply_tells_browsers_what_not_to_do():
    with tempfile.TemporaryDirectory(dir="/tmp") as web:
        os.makedirs(web + "/assets")
        for name in ("index.html", "assets/a.js"):
            with open(f"{web}/{name}", "w", encoding="utf-8") as f:
                f.write("<html></html>")
        with Node(options=["--web", web, "--hsts", "86400"]) as node:
            for what, wanted, is_api, request in requests_of_every_kind(node):
                status, head = head_of(node, request)
                assert status == wanted, (what, status)
                check_common(what, head)
                assert head["strict-transport-security"] == ["max-age=86400"], what
                (check_api if is_api else check_page)(what, head)
            status, head = head_of(node, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", is_plain=True)
            assert status == 301 and head["location"] == ["https://x/x"]
            check_common("redirect", head)
            assert "strict-transport-security" not in head, "of no use and against the rules over plain HTTP"


def check_common(what, head):
    assert head["x-content-type-options"] == ["nosniff"], what
    assert head["x-frame-options"] == ["DENY"], what
    assert head["referrer-policy"] == ["no-referrer"], what
    assert head["cross-origin-resource-policy"] == ["same-origin"], what
    (csp,) = head["content-security-policy"]
    assert "default-src 'none'" in csp and "frame-ancestors 'none'" in csp, (what, csp)
    assert "access-control-allow-origin" not in head, what


def check_api(what, head):
    assert head["cache-control"] == ["no-store, max-age=0"], (what, head["cache-control"])
    assert "sandbox" in head["content-security-policy"][0], what


def check_page(what, head):
    (csp,) = head["content-security-policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in csp.split(";"))
    assert rules["script-src"] == "'self'" and rules["base-uri"] == "'none'", csp
    assert not re.search(r"\*|http:|unsafe-eval", csp) and "unsafe-inline" not in rules["script-src"], csp
    assert head["cross-origin-opener-policy"] == ["same-origin"], what


@test
def hsts_is_off_by_default(node):
    _, head = head_of(node, b"GET /api2/json/access/ticket HTTP/1.1\r\nHost: x\r\n\r\n")
    assert "strict-transport-security" not in head
    for wrong in ("-1", "x", "99999999999"):
        other = Node(options=["--hsts", wrong])
        other.launch()
        assert other.wait_dead() == 64 and "--hsts takes a number" in other.log()
        other.close()


if __name__ == "__main__":
    main()
