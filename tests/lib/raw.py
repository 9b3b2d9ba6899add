"""HTTP by hand over TLS, for tests that send what no client library would."""
import gzip
import json
import os
import socket
import ssl
import struct
import time

UPGRADE_KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" + UPGRADE_KEY


def connect(node, source=None):
    """A TLS connection, from another address of the loopback network if wanted ("127.0.3.4")."""
    return ssl._create_unverified_context().wrap_socket(connect_plain(node, source))


def connect_plain(node, source=None):
    return socket.create_connection(("127.0.0.1", node.port), timeout=15, source_address=(source, 0) if source else None)


def exchange(node, data, timeout=10):
    """Sends bytes, reads until the server closes or a whole head of a kept connection came."""
    got = b""
    with connect(node) as s:
        s.settimeout(timeout)
        try:
            s.sendall(data)
            while len(got) < 65536 and (part := s.recv(8192)):
                got += part
                if b"\r\n\r\n" in got and b"connection: close" not in got.lower():
                    break
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass
    return got


def drip(s, data, step=1, pause=0):
    """Sends data in pieces, each a packet of its own."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(0, len(data), step):
        s.sendall(data[i:i + step])
        if pause:
            time.sleep(pause)


def read_all(s, timeout=10):
    """Everything until the server closes; b"" and what came before a reset count too."""
    s.settimeout(timeout)
    got = b""
    try:
        while len(got) < 1 << 20 and (part := s.recv(65536)):
            got += part
    except (TimeoutError, OSError):
        pass
    return got


def is_closed(s):
    """Has the server ended it? What it sent before is read away."""
    s.setblocking(False)
    try:
        while s.recv(65536):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        pass
    return True


def is_closed_by_server(s):
    """Waits for the end."""
    s.settimeout(10)
    try:
        while s.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:  # a reset, or an alert of TLS
        pass
    return True


def frame(opcode, data, is_final=True, is_masked=True, rsv=0, length=None):
    """A WebSocket frame, right or wrong."""
    head = bytes([(0x80 if is_final else 0) | rsv << 4 | opcode])
    n = len(data) if length is None else length
    mask = 0x80 if is_masked else 0
    head += bytes([mask | n]) if n < 126 else bytes([mask | 126]) + struct.pack(">H", n) if n < 65536 else \
        bytes([mask | 127]) + struct.pack(">Q", n)
    key = os.urandom(4) if is_masked else b""
    return head + key + (bytes(b ^ key[i % 4] for i, b in enumerate(data)) if is_masked else data)


def statuses(reply):
    return [int(part[:3]) for part in reply.decode("latin-1").split("HTTP/1.1 ")[1:]]


def auth(node):
    """Header lines of the administrator's session."""
    return f"Host: x\r\nCookie: PVEAuthCookie={node.api.ticket}\r\nCSRFPreventionToken: {node.api.csrf}\r\n"


class Answer:
    """One reply as it came: status line, header lines (names in lower case), body."""

    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.version, status, self.reason = (lines[0].split(" ", 2) + [""])[:3]
        self.status = int(status)
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        self.body = body

    @property
    def json(self):
        packed = self.headers.get("content-encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if packed else self.body)

    @property
    def data(self):
        return self.json["data"]

    def __str__(self):
        return f"{self.status} {self.reason}: {self.body[:300]!r}"


def read_answer(s):
    """One reply of known length from a connection."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = s.recv(8192)
        assert part, f"the connection ended in the head: {got!r}"
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    answer = Answer(head, body)
    length = int(answer.headers["content-length"])
    while len(answer.body) < length:
        part = s.recv(65536)
        assert part, f"the connection ended in the body: {len(answer.body)} of {length}"
        answer.body += part
    assert len(answer.body) == length, "more than one reply"
    return answer


def ask(node, method, path, headers="", body=None, s=None):
    """One request with exactly these header lines ("Name: value\\r\\n" each) and Host; a Content-Length only with a body."""
    data = None if body is None else body if isinstance(body, bytes) else body.encode()
    length = "" if data is None else f"Content-Length: {len(data)}\r\n"
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n"
    if s:
        s.sendall(head.encode("latin-1") + (data or b""))
        return read_answer(s)
    with connect(node) as own:
        own.sendall(head.encode("latin-1") + (data or b""))
        return read_answer(own)
