"""holm-block as holmd starts it: unprivileged, with a socket at descriptor 3 and images as descriptors.

    with Block("copy", [(fd, "qcow2"), …], target=(fd, "raw")) as b:
        b.answer()    # None, or (errno, code, text)
"""
import array
import functools
import os
import shutil
import socket
import struct
import subprocess
import tempfile

from lib import procs
from lib.holm import program

WORK, RESULT, PROGRESS, FDS = 64, 65, 66, 67
VERB, ARG, NUMBER, CODE, TEXT, DONE, TOTAL = 51, 69, 63, 64, 65, 74, 75
NOBODY = 65534
PER_FRAME = 64


@functools.cache
def executable():
    """A copy where everybody may run it."""
    folder = tempfile.mkdtemp(prefix="holm-block-", dir="/tmp")
    os.chmod(folder, 0o755)
    return shutil.copy(program("holm-block", "block"), folder)


def field(tag, data):
    return struct.pack("<HHI", tag, 0, len(data)) + data


def frame(kind, payload=b"", n_fds=0):
    return struct.pack("<IBBBBII", len(payload), 1, kind, n_fds, 0, 1, 0) + payload


def fields(payload):
    found, at = {}, 0
    while at < len(payload):
        tag, _, n = struct.unpack_from("<HHI", payload, at)
        found[tag] = payload[at + 8:at + 8 + n]
        at += 8 + n
    return found


def request(verb, *args):
    return field(VERB, verb.encode()) + b"".join(field(ARG, a.encode()) for a in args)


class Block:
    def __init__(self, verb, images, target=None, bwlimit=0):
        procs.become_subreaper()
        ours, theirs = socket.socketpair()

        def become():
            os.dup2(theirs.fileno(), 3)
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)

        self.process = subprocess.Popen([executable()], preexec_fn=become, close_fds=True, pass_fds=[3], stdin=subprocess.DEVNULL)
        theirs.close()
        self.socket, self.progress = ours, []
        args = [",".join(f for _, f in images), str(bwlimit)] + ([target[1]] if target else [])
        self.send([fd for fd, _ in images] + ([target[0]] if target else []), request(verb, *args))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def send(self, fds, payload):
        for i in range(0, len(fds), PER_FRAME):
            some = fds[i:i + PER_FRAME]
            self.socket.sendmsg([frame(FDS, n_fds=len(some))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", some))])
        self.socket.sendall(frame(WORK, payload))

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise EOFError(f"holm-block ended: {self.process.wait()}")
            data += more
        return data

    def next_frame(self):
        """(type, fields); progress is kept."""
        n, _, kind, _, _, _, _ = struct.unpack("<IBBBBII", self.read(16))
        found = fields(self.read(n))
        if kind == PROGRESS:
            self.progress.append(tuple(struct.unpack("<Q", found[t])[0] for t in (DONE, TOTAL)))
        return kind, found

    def answer(self):
        while True:
            kind, found = self.next_frame()
            if kind != PROGRESS:
                break
        assert kind == RESULT, kind
        self.process.wait(60)
        number = struct.unpack("<I", found[NUMBER])[0]
        return (number, found[CODE].decode(), found[TEXT].decode()) if number else None

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.socket.close()


def run(verb, images, target=None, bwlimit=0):
    """Paths instead of descriptors: [(path, format), …]; the answer."""
    written = 1 if verb == "commit" else None
    opened = [(os.open(path, os.O_RDWR if i == written else os.O_RDONLY), form) for i, (path, form) in enumerate(images)]
    end = (os.open(target[0], os.O_RDWR), target[1]) if target else None
    try:
        with Block(verb, opened, end, bwlimit) as b:
            return b.answer()
    finally:
        for fd, _ in opened + ([end] if end else []):
            os.close(fd)
