"""holm-guest without a daemon: the test is holmd. Frames, a link, a terminal client, and a guest whose hypervisor is any
program of a launch order."""
import array
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from lib import facts
from lib.wait import slow, wait_for

# Frame types and field tags: src/proto/frame.h
HELLO, COMMAND, ATTACH, STATUS, RESULT_FRAME, EVENT_FRAME = 32, 33, 34, 48, 49, 50
VERSION, MODE, COOKIE, VERB, CHANNEL, HELLO_TEXT, HISTORY, STATE, PID = 1, 36, 50, 51, 52, 53, 54, 60, 61
RESULT, CODE, TEXT, EVENT, EXIT_STATUS, ARG, FD_TARGET, STAT, DRIVER, VMID, ENV = 63, 64, 65, 67, 68, 69, 70, 71, 72, 73, 78


def field(tag, value):
    if isinstance(value, str):
        value = value.encode()
    elif isinstance(value, int):
        value = struct.pack("<I", value)
    return struct.pack("<HHI", tag, 0, len(value)) + value


class Frame:
    def __init__(self, kind, stream, payload):
        self.kind, self.stream, self.fields, at = kind, stream, [], 0
        while at < len(payload):
            tag, zero, n = struct.unpack_from("<HHI", payload, at)
            assert zero == 0 and at + 8 + n <= len(payload)
            self.fields.append((tag, payload[at + 8:at + 8 + n]))
            at += 8 + n

    def text(self, tag):
        return next((v.decode() for t, v in self.fields if t == tag), None)

    def number(self, tag):
        return next((int.from_bytes(v, "little") for t, v in self.fields if t == tag), None)

    def stats(self):
        return dict(v.decode().split("=") for t, v in self.fields if t == STAT)

    def __repr__(self):
        return f"Frame({self.kind}, {self.stream}, {self.fields})"


class Link:
    """holmd's end of a connection to the monitor."""

    def __init__(self, sock):
        self.sock, self.data, self.frames, self.stream = sock, b"", [], 0

    def send(self, kind, *fields, stream=0, fd=None):
        payload = b"".join(fields)
        head = struct.pack("<IBBBBII", len(payload), 1, kind, 0 if fd is None else 1, 0, stream, 0)
        extra = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.sock.sendmsg([head + payload], extra)

    def receive(self, timeout=30):
        """The next frame; None at the end of the connection."""
        deadline = time.monotonic() + slow(timeout)
        while True:
            if len(self.data) >= 16:
                n, _, kind, _, _, stream, _ = struct.unpack_from("<IBBBBII", self.data)
                if len(self.data) >= 16 + n:
                    frame = Frame(kind, stream, self.data[16:16 + n])
                    self.data = self.data[16 + n:]
                    return frame
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                piece = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not piece:
                return None
            self.data += piece

    def wait(self, match, timeout=30):
        """The first frame, seen or coming, for which match is true."""
        deadline = time.monotonic() + slow(timeout)
        while True:
            for i, frame in enumerate(self.frames):
                if match(frame):
                    return self.frames.pop(i)
            frame = self.receive(max(0.01, deadline - time.monotonic()) / slow(1))
            assert frame, f"the monitor hung up; seen: {self.frames}"
            self.frames.append(frame)

    def event(self, name, timeout=30):
        return self.wait(lambda f: f.kind == EVENT_FRAME and f.text(EVENT) == name, timeout)

    def ask(self, kind, *fields, fd=None, timeout=30):
        self.stream += 1
        stream = self.stream
        self.send(kind, *fields, stream=stream, fd=fd)
        return self.wait(lambda f: f.kind == RESULT_FRAME and f.stream == stream, timeout)

    def command(self, verb, timeout=30):
        return self.ask(COMMAND, field(VERB, verb), timeout=timeout)

    def hello(self, cookie):
        self.send(HELLO, field(VERSION, 1), field(COOKIE, cookie))
        return self.receive()


class Terminal:
    """A console client: the other end of a socketpair that holmd would hand to a browser."""

    def __init__(self, guest, hello="root@pam:ticket", mode="termproxy", history=False, channel="serial0", say=True):
        self.sock, theirs = socket.socketpair()
        self.text, self.mode = "", mode
        fields = [field(CHANNEL, channel), field(MODE, mode), field(HISTORY, bytes([history]))]
        if mode == "termproxy":
            fields.append(field(HELLO_TEXT, hello))
        self.answer = guest.link.ask(ATTACH, *fields, fd=theirs.fileno())
        theirs.close()
        if say and mode == "termproxy" and self.answer.number(RESULT) == 0:
            self.sock.sendall(hello.encode() + b"\n")
            assert self.receive(10, 2) == b"OK"

    def receive(self, timeout, n=65536):
        self.sock.settimeout(slow(timeout))
        return self.sock.recv(n)

    def expect(self, wanted, timeout=30):
        deadline = time.monotonic() + slow(timeout)
        while wanted not in self.text:
            left = deadline - time.monotonic()
            assert left > 0, f"never saw {wanted!r}; last: {self.text[-300:]!r}"
            try:
                data = self.receive(left / slow(1))
            except TimeoutError:
                continue
            assert data, f"closed before {wanted!r}; last: {self.text[-300:]!r}"
            self.text += data.decode("utf-8", "replace")
        seen, _, self.text = self.text.partition(wanted)
        return seen + wanted

    def type(self, text):
        data = text.encode()
        self.sock.sendall(data if self.mode == "raw" else b"0:%d:%s" % (len(data), data))

    def is_closed(self, timeout):
        """Reads on to the end of the connection."""
        deadline = time.monotonic() + slow(timeout)
        while time.monotonic() < deadline:
            try:
                if not self.receive(0.2):
                    return True
            except TimeoutError:
                continue
            except ConnectionResetError:
                return True
        return False

    def close(self):
        self.sock.close()


def start_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return int(f.read().rsplit(")", 1)[1].split()[19])


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
        return [int(p) for p in f.read().split()]


class Guest:
    """A monitor with its hypervisor, started as holmd starts it."""

    uid = 0x40000000 + 4242

    def __init__(self, args, channels=("qmp=10", "serial0=11"), verbs=("resume",), fds=(), driver="qmp", vmid=100,
                 cookie=None, is_started=True, groups=()):
        self.dir = tempfile.mkdtemp(prefix="hm", dir="/tmp")
        os.chmod(self.dir, 0o700)
        self.cookie = cookie or os.urandom(32)
        lock = os.open(f"{self.dir}/lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.chown(self.dir, self.uid, self.uid)
        dir_fd = os.open(self.dir, os.O_RDONLY | os.O_DIRECTORY)
        ours, theirs = socket.socketpair()
        self.link, self.vmid, self.groups = Link(ours), vmid, groups
        payload = field(DRIVER, driver) + field(VMID, vmid) + field(COOKIE, self.cookie)
        payload += b"".join(field(ARG, a) for a in args) + field(ENV, "LANG=C") + field(ENV, "PATH=/usr/bin:/bin")
        payload += b"".join(field(CHANNEL, c) for c in channels) + b"".join(field(VERB, v) for v in verbs)
        payload += b"".join(field(FD_TARGET, 20 + i) for i in range(len(fds)))
        launch = os.memfd_create("launch")
        os.write(launch, payload)
        os.lseek(launch, 0, os.SEEK_SET)
        passed = [(dir_fd, 3), (theirs.fileno(), 4), (launch, 5), (lock, 6)] + [(f, 20 + i) for i, f in enumerate(fds)]
        self.pid = self.spawn(passed)
        for fd in (dir_fd, launch, lock, *fds):
            os.close(fd)
        theirs.close()
        self.is_reaped = False
        if is_started:
            self.link.event("running")
            self.qemu = children_of(self.pid)[0]

    def spawn(self, passed):
        pid = os.fork()
        if pid:
            return pid
        try:
            high = [(fcntl.fcntl(fd, fcntl.F_DUPFD, 200), target) for fd, target in passed]
            for fd, target in high:
                os.dup2(fd, target)
            os.closerange(200, 400)
            keep = {target for _, target in passed}
            for fd in range(3, 200):
                if fd not in keep:
                    try:
                        os.close(fd)
                    except OSError:
                        pass
            os.setsid()
            os.setgroups(self.groups)
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)
            # By descriptor: the folders above may be closed to the guest's user.
            os.execve(PROGRAM_FD, ["holm-guest", "--dir-fd", "3", "--control-fd", "4", "--launch-fd", "5", "--lock-fd", "6",
                                   "--vmid", str(self.vmid), "--socket", "sock"], {"PATH": "/usr/bin:/bin", **SANITIZER})
        finally:
            os._exit(127)

    def connect(self):
        """What a restarted holmd does."""
        dir_fd = os.open(self.dir, os.O_RDONLY | os.O_DIRECTORY)
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(f"/proc/self/fd/{dir_fd}/sock")
        os.close(dir_fd)
        return Link(sock)

    def read(self, name):
        with open(f"{self.dir}/{name}", encoding="utf-8") as f:
            return dict(line.rstrip("\n").split(" ", 1) for line in f)

    def is_locked(self):
        return subprocess.run(["flock", "-n", f"{self.dir}/lock", "true"], check=False).returncode != 0

    def wait_end(self, timeout=15):
        """Exit status of the monitor."""
        def ended():
            pid, self.status = os.waitpid(self.pid, os.WNOHANG)
            return pid == self.pid
        wait_for(ended, timeout, "the monitor to end")
        self.is_reaped = True
        return os.waitstatus_to_exitcode(self.status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.is_reaped:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.link.sock.close()
        wait_for(lambda: not self.is_locked(), 10, "the lock to be free")
        shutil.rmtree(self.dir)


def build_folder():
    return os.path.abspath(os.environ.get("HOLM_BUILD", f"{facts.TOP}/build"))


PROGRAM_FD = fcntl.fcntl(os.open(f"{build_folder()}/src/guest/monitor/holm-guest", os.O_PATH), fcntl.F_DUPFD_CLOEXEC, 500)
SANITIZER = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
