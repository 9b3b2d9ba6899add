"""HTTP by hand over TLS, for tests that send what no client library would."""
import socket
import ssl


def connect(node):
    context = ssl._create_unverified_context()
    return context.wrap_socket(socket.create_connection(("127.0.0.1", node.port), timeout=15))


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


def statuses(reply):
    return [int(part[:3]) for part in reply.decode("latin-1").split("HTTP/1.1 ")[1:]]


def auth(node):
    """Header lines of the administrator's session."""
    return f"Host: x\r\nCookie: PVEAuthCookie={node.api.ticket}\r\nCSRFPreventionToken: {node.api.csrf}\r\n"
