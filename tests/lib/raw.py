"""HTTP by hand over TLS, for tests that send what no client library would."""
import socket
import ssl
import time


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


def statuses(reply):
    return [int(part[:3]) for part in reply.decode("latin-1").split("HTTP/1.1 ")[1:]]


def auth(node):
    """Header lines of the administrator's session."""
    return f"Host: x\r\nCookie: PVEAuthCookie={node.api.ticket}\r\nCSRFPreventionToken: {node.api.csrf}\r\n"
