"""What Holm's figures are put beside, measured in the same run: a plain TLS server in Python, QEMU started bare."""
import http.server
import json
import os
import re
import select
import socket
import ssl
import subprocess
import sys
import time

from lib.proxy import make_certificate


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment
    disable_nagle_algorithm = True
    body = b'{"data":null}'

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


def serve(port, pem, body_file):
    """The peer program: answers every GET with the same bytes."""
    with open(body_file, "rb") as f:
        Handler.body = f.read()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


class Peer:
    """The plain server as a process."""

    def __init__(self, folder, port, body):
        self.body_file = f"{folder}/peer-body"
        with open(self.body_file, "wb") as f:
            f.write(body)
        self.argv = [sys.executable, os.path.abspath(__file__), str(port), make_certificate(folder), self.body_file]
        self.process = None

    def launch(self):
        self.process = subprocess.Popen(self.argv, env={**os.environ})

    def stop(self):
        self.process.kill()
        self.process.wait()


class BareQemu:
    """The command line of a running guest's QEMU, taken down to be started again without Holm when the guest is stopped."""

    def __init__(self, pid):
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            self.argv = [a.decode() for a in f.read().split(b"\0")[:-1]]
        self.program = os.readlink(f"/proc/{pid}/exe")
        self.disks = {}  # path: open flags
        for name in os.listdir(f"/proc/{pid}/fd"):
            link = os.readlink(f"/proc/{pid}/fd/{name}")
            if "/images/" in link:
                with open(f"/proc/{pid}/fdinfo/{name}", encoding="utf-8") as f:
                    self.disks[link] = int(re.search(r"flags:\s*(\d+)", f.read())[1], 8) & ~os.O_CLOEXEC

    def open_fds(self):
        """({number on the command line: our descriptor}, other ends of its sockets)"""
        mine, ends = {}, []
        text = " ".join(self.argv)
        added = [int(n) for n in re.findall(r"-add-fd fd=(\d+)", text)]
        for number, (path, flags) in zip(added, sorted(self.disks.items())):
            mine[number] = os.open(path, flags)
        for number in {int(n) for n in re.findall(r"\bfd=(\d+)", text)} - set(added):
            a, b = socket.socketpair()
            mine[number] = a.detach()
            ends.append(b)
        return mine, ends

    def run(self):
        """Seconds from exec until QMP says that the guest runs."""
        mine, ends = self.open_fds()
        began = time.monotonic()
        process = subprocess.Popen(self.argv, executable=self.program, close_fds=False, preexec_fn=place_fds(mine),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for fd in mine.values():
            os.close(fd)
        try:
            qmp = wait_greeting(ends, process)
            for command in ("qmp_capabilities", "cont"):
                ask(qmp, command)
            while not ask(qmp, "query-status")["running"]:
                pass
            return time.monotonic() - began
        finally:
            process.kill()
            process.communicate()
            for end in ends:
                end.close()


def place_fds(mine):
    """In the child: our descriptors get the numbers that the command line names."""
    def run():
        high = {number: os.dup2(fd, 500 + i) for i, (number, fd) in enumerate(mine.items())}
        for number, fd in high.items():
            os.dup2(fd, number)
            os.close(fd)
    return run


def wait_greeting(ends, process):
    """The socket on which QMP greets."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        ready, _, _ = select.select(ends, [], [], 1)
        if process.poll() is not None:
            raise AssertionError(f"bare QEMU ended: {process.stderr.read().decode()}")
        for end in ready:
            if b'"QMP"' in end.recv(4096):
                end.settimeout(20)
                return end
    raise AssertionError("bare QEMU never greeted")


def ask(qmp, command):
    qmp.sendall(json.dumps({"execute": command}).encode() + b"\n")
    text = b""
    while True:
        part = qmp.recv(4096)
        assert part, "QMP ended"
        text += part
        for line in text.splitlines():
            if line.startswith(b'{"return"') and line.endswith(b"}"):
                return json.loads(line)["return"]


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], sys.argv[3])
