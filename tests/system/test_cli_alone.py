#!/usr/bin/python3
"""The command line against a daemon made of Python: what it sends, what it prints, how it exits, and that a daemon gone
wild cannot harm it. No holmd is needed."""
import array
import csv
import io
import json
import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time

from lib.holm import program
from lib.tap import main, skip, test
from lib.wait import slow, wait_for

HELLO, REQUEST, UPLOAD_DONE, REPLY, REPLY_BODY, UPGRADE, UPLOAD_GO = 1, 2, 4, 16, 17, 18, 19
VERSION, ROLE, NAME, METHOD, PATH, FORMAT, PARAM, KIND, FILE_NAME = 1, 2, 3, 10, 11, 12, 17, 18, 23
STATUS, REASON, BODY, MODE, RESULT = 30, 31, 35, 36, 63
LAST = 1
UPID = "UPID:n1:00000001:00000002:65000000:{}:{}:root@pam:"


def field(tag, value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<HHI", tag, 0, len(data)) + data


def frame(kind, stream, payload, flags=0, n_fds=0):
    return struct.pack("<IBBBBII", len(payload), 1, kind, n_fds, flags, stream, 0) + payload


def fields(payload):
    at = 0
    while at < len(payload):
        tag, _, n = struct.unpack_from("<HHI", payload, at)
        yield tag, payload[at + 8:at + 8 + n]
        at += 8 + n


class Request:
    def __init__(self, stream, payload):
        self.stream = stream
        self.params = {}
        self.text = {}
        for tag, value in fields(payload):
            if tag == PARAM:
                n = struct.unpack_from("<H", value, 1)[0]
                self.params[value[3:3 + n].decode()] = value[3 + n:].decode()
            else:
                self.text[tag] = value.decode(errors="replace")
        self.method, self.path, self.kind = self.text[METHOD], self.text[PATH], self.text[KIND]

    def __str__(self):
        return f"{self.method} {self.path}"


class Fake:
    """A daemon whose answers are a dict "METHOD PATH" -> data, (status, body) or function(connection, request)."""

    def __init__(self, answers=None, hello=None, depth=""):
        self.base = tempfile.mkdtemp(prefix="hc", dir="/tmp")
        self.root = self.base + depth
        os.makedirs(self.root + "/run")
        self.answers = answers or {}
        self.requests = []
        self.uploads = []
        self.hello = frame(HELLO, 0, field(VERSION, struct.pack("<I", 1)) + field(NAME, "n1")) if hello is None else hello
        self.greeting = None
        self.listener = socket.socket(socket.AF_UNIX)
        folder = os.open(self.root + "/run", os.O_PATH)
        self.listener.bind(f"/proc/self/fd/{folder}/holm.sock")
        os.close(folder)
        self.listener.listen(8)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def close(self):
        """Nobody listens any more. The thread ends before the descriptor's number can be used again."""
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.thread.join(10)
            self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        shutil.rmtree(self.base, ignore_errors=True)

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    @staticmethod
    def _read(s):
        def exactly(n):
            data = b""
            while len(data) < n:
                got = s.recv(n - len(data))
                if not got:
                    raise EOFError
                data += got
            return data
        n, _, kind, _, _, stream, _ = struct.unpack("<IBBBBII", exactly(16))
        return kind, stream, exactly(n)

    def _serve(self, s):
        try:
            _, _, payload = self._read(s)
            self.greeting = dict(fields(payload))
            s.sendall(self.hello)
            while True:
                kind, stream, payload = self._read(s)
                if kind == REQUEST:
                    self._answer(s, Request(stream, payload))
                elif kind == UPLOAD_DONE and self.uploads:
                    result = struct.unpack("<I", dict(fields(payload))[RESULT])[0]
                    self.uploads[-1].join(10)
                    self.reply(s, stream, 200 if result == 0 else 500, {"data": None, "message": f"result {result}\n"})
        except (OSError, EOFError):
            pass
        finally:
            s.close()

    def _answer(self, s, request):
        self.requests.append(request)
        answer = self.answers.get(str(request), (501, {"data": None, "message": f"Method '{request}' not implemented\n"}))
        if callable(answer):
            answer = answer(s, request)
            if answer is Fake:
                return
        if not isinstance(answer, tuple):
            answer = (200, {"data": answer})
        self.reply(s, request.stream, *answer)

    @staticmethod
    def reply(s, stream, status, body, reason="x"):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = field(STATUS, struct.pack("<H", status)) + field(REASON, reason)
        s.sendall(frame(REPLY, stream, head + field(BODY, text[:1000])))  # in two parts, as a long reply comes
        s.sendall(frame(REPLY_BODY, stream, field(BODY, text[1000:]), LAST))

    @staticmethod
    def send_fd(s, stream, kind, payload, fd):
        s.sendmsg([frame(kind, stream, payload, n_fds=1)],
                  [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])

    def run(self, *args, stdin="", code=0, env=None, timeout=20):
        argv = [program("holm"), "--root", self.root, *map(str, args)]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=slow(timeout), check=False,
                              env={**os.environ, "TZ": "UTC", **(env or {})})
        for sign in ("Sanitizer", "runtime error"):
            assert sign not in done.stderr, done.stderr
        assert done.returncode == code, f"exit {done.returncode}, not {code}: {done.stdout}{done.stderr}"
        return done

    def seen(self):
        return [str(r) for r in self.requests]


def task(kind, vmid, exitstatus="OK", polls=2, log=(), extra=None):
    """Answers of a task that runs for some polls; returns (upid, answers)."""
    upid = UPID.format(kind, vmid)
    left = [polls]

    def status(_s, _r):
        left[0] -= 1
        if left[0] > 0:
            return {"upid": upid, "status": "running", **(extra or {})}
        return {"upid": upid, "status": "stopped", "exitstatus": exitstatus}

    def lines(_s, r):
        start = int(r.params["start"])
        all_lines = list(log) + (["TASK OK"] if left[0] <= 0 else [])
        got = [{"n": start + i + 1, "t": t} for i, t in enumerate(all_lines[start:])]
        return got if got or start else [{"n": 1, "t": "no content"}]
    path = f"GET /nodes/n1/tasks/{upid}"
    return upid, {path + "/status": status, path + "/log": lines}


GUESTS = [
    {"vmid": 100, "type": "qemu", "name": "web", "node": "n1", "status": "running", "cpu": 0.25, "maxcpu": 2,
     "mem": 268435456, "maxmem": 536870912, "uptime": 93784},
    {"vmid": 101, "type": "qemu", "name": "db", "node": "n1", "status": "stopped", "cpu": 0, "maxcpu": 1, "mem": 0,
     "maxmem": 1073741824, "uptime": 0},
    {"vmid": 102, "type": "qemu", "name": "db", "node": "n2", "status": "stopped"},
    {"vmid": 103, "type": "lxc", "name": "web", "node": "n1", "status": "running"},
]
LIST = {"GET /cluster/resources": GUESTS}


@test()
def greets_and_asks():
    with Fake({"GET /version": {"version": "9.2"}}) as f:
        done = f.run("api", "get", "/version", "-o", "json")
        assert json.loads(done.stdout) == {"version": "9.2"}
        assert f.greeting[ROLE] == b"cli" and struct.unpack("<I", f.greeting[VERSION]) == (1,)
        assert f.requests[0].kind == "plain" and f.requests[0].text[FORMAT] == "json"


@test()
def long_root_path():
    with Fake({"GET /version": {"version": "9.2"}}, depth="/" + "d" * 120) as f:
        f.run("api", "GET", "/version")


@test()
def table_of_guests():
    with Fake(LIST) as f:
        lines = f.run("vm", "list").stdout.splitlines()
        assert lines[0].split() == ["VMID", "NAME", "STATUS", "NODE", "CPU", "MAXCPU", "MEM", "MAXMEM", "UPTIME", "TAGS"]
        assert len(lines) == 4, lines  # the container is not a virtual machine
        assert "256 MiB" in lines[1] and "512 MiB" in lines[1] and "25.0%" in lines[1] and "1d 02:03:04" in lines[1]
        assert f.requests[0].params == {"type": "vm"}
        # aligned: STATUS begins in the same column everywhere
        at = lines[0].index("STATUS")
        assert lines[1][at:].startswith("running") and lines[2][at:].startswith("stopped")
        assert "\x1b" not in "".join(lines), "colour without a terminal"


@test()
def formats():
    with Fake(LIST) as f:
        assert json.loads(f.run("vm", "list", "-o", "json").stdout) == GUESTS[:3]
        lines = f.run("vm", "list", "-o", "ndjson").stdout.splitlines()
        assert [json.loads(x) for x in lines] == GUESTS[:3]
        assert f.run("-o", "name", "vm", "list").stdout == "100\n101\n102\n"
        rows = list(csv.reader(io.StringIO(f.run("vm", "list", "-ocsv", "-c", "vmid,maxmem").stdout)))
        assert rows[:2] == [["vmid", "maxmem"], ["100", "536870912"]]
        assert f.run("vm", "list", "-q", "-c", "name").stdout == "web\ndb\ndb\n"
        assert "no column 'nmae'" in f.run("vm", "list", "-c", "nmae", code=64).stderr
        f.run("vm", "list", "-c", "vmid", "-o", "json", code=64)
        assert f.run("vm", "list", "--node", "n2", "-o", "name").stdout == "102\n"


@test()
def csv_is_quoted():
    with Fake({"GET /access/users": [{"userid": "a@pve", "comment": 'x,"y"\nz'}]}) as f:
        rows = list(csv.reader(io.StringIO(f.run("user", "list", "-o", "csv").stdout)))
        assert rows[1][-1] == 'x,"y" z', rows


@test()
def objects_and_times():
    answer = {"status": "running", "uptime": 61, "memory": {"total": 2147483648, "used": 1610612736}, "starttime": 1700000000}
    with Fake({"GET /nodes/n1/status": answer}) as f:
        lines = dict(line.split(None, 1) for line in f.run("node", "status").stdout.splitlines())
        assert lines == {"status": "running", "uptime": "00:01:01", "memory.total": "2 GiB", "memory.used": "1.5 GiB",
                         "starttime": "2023-11-14 22:13:20"}, lines
        assert json.loads(f.run("node", "status", "-o", "json").stdout) == answer


@test()
def control_characters_are_defused():
    evil = "a\x1b[31mb\x07\x9b2J\u202ec\r\nd"
    rows = [{"vmid": 100, "type": "qemu", "name": evil, "status": evil, "node": "n1"}]
    upid, answers = task("qmstart", 100, exitstatus=evil, log=[evil])
    answers.update({"GET /cluster/resources": rows, "POST /nodes/n1/qemu/100/status/start": upid,
                    "GET /nodes/n1/qemu/100/status/current": {evil: evil},
                    "GET /nodes/n1/qemu/100/config": (500, {"data": None, "message": evil})})
    with Fake(answers) as f:
        outputs = [f.run("vm", "list"), f.run("vm", "list", "-o", "csv"), f.run("vm", "show", 100),
                   f.run("vm", "list", "-o", "json"), f.run("vm", "start", 100, code=7), f.run("vm", "config", 100, code=1),
                   f.run("vm", "config", 100, "-o", "json", code=1), f.run("task", "log", upid)]
        for done in outputs:
            for ch in done.stdout + done.stderr:
                assert ch in "\n\r" or (ord(ch) >= 0x20 and not 0x7F <= ord(ch) <= 0x9F and ch != "\u202e"), repr(done)
        assert json.loads(outputs[3].stdout) == rows, "JSON keeps the value"


@test()
def guests_by_name():
    with Fake({**LIST, "GET /nodes/n1/qemu/100/config": {"name": "web"}, "GET /nodes/n2/qemu/102/config": {"name": "db"}}) as f:
        f.run("vm", "config", "web")
        assert f.seen()[-1] == "GET /nodes/n1/qemu/100/config"
        done = f.run("vm", "config", "db", code=64)
        assert "101" in done.stderr and "102" in done.stderr
        f.run("vm", "config", "db", "--node", "n2")
        assert "did you mean 'web'" in f.run("vm", "config", "wbe", code=3).stderr
        f.run("vm", "config", "../x", code=3)


@test()
def create_sends_configuration():
    upid, answers = task("qmcreate", 100, log=["making the disk"])
    answers["POST /nodes/n1/qemu"] = upid
    answers["GET /cluster/nextid"] = "105"
    with Fake(answers) as f:
        done = f.run("vm", "create", 100, "--name", "x", "--memory=512", "--ostype", "l26", "-d", "agent=1", "--onboot", "yes",
                     "--start")
        assert f.requests[0].params == {"vmid": "100", "name": "x", "memory": "512", "ostype": "l26", "agent": "1",
                                        "onboot": "1", "start": "1"}
        assert done.stdout == "100\n" and "making the disk" in done.stderr and "TASK OK" not in done.stderr
    upid, answers2 = task("qmcreate", 105)
    with Fake({**answers, **answers2, "POST /nodes/n1/qemu": upid}) as f:
        assert f.run("vm", "create", "--name", "y").stdout == "105\n"
        out = json.loads(f.run("vm", "create", "-o", "json").stdout)
        assert out["vmid"] == 105 and out["exitstatus"] == "OK"
        assert f.run("vm", "create", "--no-wait").stdout == upid + "\n"
        f.run("vm", "create", "web", code=64)


@test()
def dry_run():
    plan = [{"step": "volume.create", "args": {"size": 1}}, {"step": "config"}]
    with Fake({"POST /nodes/n1/qemu": plan, "DELETE /nodes/n1/qemu/100": plan, "PUT /nodes/n1/qemu/100/config": plan}) as f:
        assert "volume.create" in f.run("vm", "create", 100, "--dry-run").stdout
        assert f.requests[0].params["dry-run"] == "1"
        assert "volume.create" in f.run("vm", "delete", 100, "--dry-run").stdout, "asks nothing"
        assert json.loads(f.run("vm", "set", 100, "--memory", 1, "--dry-run", "-o", "json").stdout) == plan
        f.run("vm", "list", "--dry-run", code=64)


@test()
def tasks_are_followed():
    upid, answers = task("qmstart", 100, polls=4, log=["one", "WARN: two"])
    with Fake({**answers, "POST /nodes/n1/qemu/100/status/start": upid}) as f:
        done = f.run("vm", "start", 100)
        assert done.stderr == "one\nWARN: two\n" and done.stdout == ""
        assert f.run("vm", "start", 100, "-q").stderr == ""
        assert f.run("vm", "start", 100, "--no-wait").stdout == upid + "\n"
        assert json.loads(f.run("vm", "start", 100, "-o", "json").stdout)["exitstatus"] == "OK"
        assert json.loads(f.run("vm", "start", 100, "--no-wait", "-o", "json").stdout) == {"upid": upid}


@test()
def task_results():
    for exitstatus, code, text in (("OK", 0, ""), ("WARNINGS: 2", 0, "warning: the task ended with WARNINGS: 2"),
                                   ("VM 100 already running", 7, "error: VM 100 already running")):
        upid, answers = task("qmstart", 100, exitstatus=exitstatus, polls=1)
        with Fake({**answers, "POST /nodes/n1/qemu/100/status/start": upid}) as f:
            assert text in f.run("vm", "start", 100, code=code).stderr
            assert text in f.run("task", "wait", upid, code=code).stderr
    with Fake() as f:
        f.run("task", "wait", "UPID:x", code=64)
        f.run("task", "show", "100", code=64)


@test()
def timeout_and_interrupt():
    upid, answers = task("qmshutdown", 100, polls=10**6)
    with Fake({**answers, "POST /nodes/n1/qemu/100/status/shutdown": upid}) as f:
        began = time.monotonic()
        done = f.run("vm", "stop", 100, "--timeout", 1, code=8)
        assert 0.9 < time.monotonic() - began < slow(6) and f"holm task wait {upid}" in done.stderr
        f.requests.clear()
        p = subprocess.Popen([program("holm"), "--root", f.root, "vm", "stop", "100"], stderr=subprocess.PIPE, text=True)
        wait_for(lambda: len([x for x in f.seen() if x.endswith("/status")]) > 4, 10, "polls")
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=slow(10))
        assert p.returncode == 130 and "holm task wait" in err, (p.returncode, err)


@test()
def stop_is_graceful():
    one, a = task("qmshutdown", 100, polls=1)
    two, b = task("qmstop", 100, polls=1)
    with Fake({**a, **b, "POST /nodes/n1/qemu/100/status/shutdown": one, "POST /nodes/n1/qemu/100/status/stop": two}) as f:
        f.run("vm", "stop", 100, "--grace", 30)
        assert f.requests[0].path.endswith("/status/shutdown") and f.requests[0].params == {"timeout": "30"}
        f.requests.clear()
        f.run("vm", "stop", 100, "--force")
        assert f.requests[0].path.endswith("/status/stop") and f.requests[0].params == {}


@test()
def several_guests():
    one, a = task("qmstart", 100, polls=2)
    two, b = task("qmstart", 101, polls=2, exitstatus="no memory")
    answers = {**a, **b, "POST /nodes/n1/qemu/100/status/start": one, "POST /nodes/n1/qemu/101/status/start": two}
    with Fake(answers) as f:
        done = f.run("vm", "start", 100, 101, code=2)
        assert "101: no memory" in done.stderr and "1 of 2 failed" in done.stderr
        assert f.seen()[:2] == ["POST /nodes/n1/qemu/100/status/start", "POST /nodes/n1/qemu/101/status/start"]
        f.run("vm", "start", 101, code=7)
        f.run("vm", "start", 101, 999, code=1)
        f.run("vm", "start", 100, 100)


@test()
def exit_codes():
    cases = [
        (500, "Configuration file 'nodes/n1/qemu-server/100.conf' does not exist", None, 3),
        (500, "unable to create VM 100 - VM 100 already exists on node 'n1'", None, 6),
        (500, "VM is locked (backup)", None, 6),
        (500, "VM 100 not running", None, 1),
        (500, "no such user ('x@pve')", None, 3),
        (401, "No ticket", None, 4),
        (403, "Permission check failed (/vms/100, VM.Audit)", None, 5),
        (400, "Parameter verification failed.", {"memory": "type check ('integer') failed - got 'x'"}, 64),
        (400, "Parameter verification failed.", {"vmid": "VM 100 already exists"}, 6),
        (400, "Parameter verification failed.", {"upid": "no such task"}, 3),
        (400, "Parameter verification failed.", {"x": "property is not defined in schema and the schema does not allow "
                                                      "additional properties"}, 64),
        (501, "Method 'GET /x' not implemented", None, 1),
        (595, "no route to host", None, 69),
    ]
    for status, message, errors, code in cases:
        body = {"data": None, "message": message + "\n", **({"errors": errors} if errors else {})}
        with Fake({"GET /nodes/n1/qemu/100/config": (status, body)}) as f:
            done = f.run("vm", "config", 100, code=code)
            wanted = "; ".join(f"{k}: {v}" for k, v in errors.items()) if errors else message
            assert done.stderr.splitlines()[0] == f"error: {wanted}", done.stderr
            assert done.stdout == ""
            error = json.loads(f.run("vm", "config", 100, "-o", "json", code=code).stderr)["error"]
            assert error["message"] == wanted and error["exit"] == code and error.get("errors") == errors
    with Fake({"GET /nodes/n1/qemu/100/config": (401, b"")}) as f:
        f.run("vm", "config", 100, code=4)


@test()
def not_running():
    with Fake() as f:
        f.close()
        done = f.run("vm", "list", code=69)
        assert done.stderr.startswith(f"error: Holm is not running ({f.root})\nhint: "), done.stderr
        os.unlink(f.root + "/run/holm.sock")
        f.run("vm", "list", code=69)
        assert "client" in f.run("version").stdout


@test()
def root_from_environment():
    with Fake({"GET /version": {"version": "9.2"}}) as f:
        done = subprocess.run([program("holm"), "version", "-o", "json"], env={**os.environ, "HOLM_ROOT": f.root},
                              capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["server"] == {"version": "9.2"}


@test()
def usage():
    with Fake() as f:
        for args, text in ((["vmm", "list"], "did you mean 'holm vm'"), (["vm", "lst"], "did you mean 'holm vm list'"),
                           (["vm"], "needs a verb"), ([], "no command"), (["vm", "start"], "GUEST is missing"),
                           (["vm", "list", "x"], "unexpected argument"), (["vm", "list", "--colmns", "x"], "did you mean --columns"),
                           (["vm", "list", "-o", "xml"], "takes table|json"), (["vm", "stop", "1", "--grace", "x"], "takes a number"),
                           (["vm", "create", "--memory"], "needs a value"), (["vm", "create", "--onboot", "maybe"], "yes or no"),
                           (["vm", "create", "--memory", "1", "--memory", "2"], "given twice"),
                           (["tfa", "add", "totq", "x"], "did you mean 'holm tfa add totp'"),
                           (["acl", "add", "/", "--role", "x"], "one of --user"), (["acl", "add", "/", "--user", "x"], "--role is missing"),
                           (["api", "PATCH", "/x"], "a method is"), (["api", "GET", "x"], "begins with"),
                           (["api", "GET", "/x?y=1"], "-d KEY=VALUE"), (["vm", "show", "1", "-d", "a=b"], "does not go"),
                           (["-z"], "unknown option"), (["vm", "set", "1", "-d", "novalue"], "KEY=VALUE"),
                           (["user", "show", "a/b"], "cannot be a userid"), (["user", "show", ".."], "cannot be a userid")):
            assert text in f.run(*args, code=64).stderr, (args, f.run(*args, code=64).stderr)
        assert f.requests == []


@test()
def help_texts():
    with Fake() as f:
        assert "usage: holm NOUN" in f.run("help").stdout == f.run("--help").stdout
        assert f.run("help", "vm").stdout == f.run("vm", "help").stdout == f.run("vm", "--help").stdout
        assert f.run("vm", "create", "--help").stdout == f.run("help", "vm", "create").stdout == f.run("vm", "create", "-h").stdout
        assert "--password-file" in f.run("help", "user", "create").stdout
        assert "full" not in f.run("help", "token", "create").stdout
        f.run("help", "nothing", code=64)
        assert f.run("--version").stdout.startswith("client")


@test()
def destructive_commands_ask():
    upid, answers = task("qmdestroy", 100, polls=1)
    with Fake({**answers, "DELETE /nodes/n1/qemu/100": upid, "DELETE /access/users/a@pve": None}) as f:
        assert "say -y" in f.run("vm", "delete", 100, code=64).stderr
        f.run("user", "delete", "a@pve", code=64)
        assert f.requests == []
        f.run("vm", "delete", 100, "-y", "--purge")
        assert f.requests[0].params == {"purge": "1"}
        f.run("user", "delete", "a@pve", "--yes")


@test()
def users_and_passwords():
    with Fake({"POST /access/users": None, "PUT /access/acl": None, "PUT /access/password": None}) as f:
        path = f.base + "/pw"
        with open(path, "w", encoding="utf-8") as file:
            file.write("se cret=1\n")
        f.run("user", "create", "admin@pve", "--password-file", path, "--role", "Administrator", "--comment", "boss")
        assert f.requests[0].params == {"userid": "admin@pve", "password": "se cret=1", "comment": "boss"}
        assert f.seen()[1] == "PUT /access/acl"
        assert f.requests[1].params == {"path": "/", "users": "admin@pve", "roles": "Administrator"}
        f.requests.clear()
        f.run("user", "password", "admin@pve", "--password-file", "-", stdin="other\n")
        assert f.requests[0].params == {"userid": "admin@pve", "password": "other"}
        assert "--password-file" in f.run("user", "password", "admin@pve", code=64).stderr
        f.run("user", "create", "x@pve", "--password", "x", code=64)
        f.run("api", "POST", "/access/users", "-d", "password=x", code=64)
        f.run("api", "POST", "/access/users", "--data-file", f"password={path}")
        assert f.requests[-1].params == {"password": "se cret=1"}
    with Fake({"POST /access/users": None, "PUT /access/acl": (500, {"data": None, "message": "role 'x' does not exist\n"})}) as f:
        assert "holm acl add" in f.run("user", "create", "a@pve", "--role", "x", code=2).stderr


@test()
def other_nouns():
    answers = {"PUT /access/acl": None, "GET /pools": [{"poolid": "p", "members": [{"id": "qemu/100"}, {"id": "storage/n1/local"}]}],
               "PUT /pools": None, "POST /access/users/a@pve/token/t": {"full-tokenid": "a@pve!t", "value": "v"},
               "GET /nodes/n1/storage": [], "GET /nodes/n9/tasks": [], "PUT /access/roles/r": None}
    with Fake(answers) as f:
        f.run("acl", "add", "/vms/100", "--user", "a@pve", "--role", "R", "--no-propagate")
        assert f.requests[-1].params == {"path": "/vms/100", "users": "a@pve", "roles": "R", "propagate": "0"}
        f.run("acl", "delete", "/vms/100", "--group", "g", "--role", "R", "-y")
        assert f.requests[-1].params == {"path": "/vms/100", "groups": "g", "roles": "R", "delete": "1"}
        assert "qemu/100, storage/n1/local" in f.run("pool", "show", "p").stdout
        f.run("pool", "set", "p", "--vms", "100,101", "--remove")
        assert f.requests[-1].params == {"poolid": "p", "vms": "100,101", "delete": "1"}
        assert "a@pve!t" in f.run("token", "create", "a@pve", "t", "--privsep", "no").stdout
        assert f.requests[-1].params == {"privsep": "0"}
        assert f.run("storage", "status", "local").stdout == "" and f.requests[-1].params == {"storage": "local"}
        f.run("node", "tasks", "n9")
        f.run("role", "set", "r", "--privs", "A,B", "--append")
        assert f.requests[-1].params == {"privs": "A,B", "append": "1"}


@test()
def upload():
    got = []

    def go(s, request):
        r, w = os.pipe()

        def drain():
            with os.fdopen(r, "rb") as f:
                got.append(f.read())
        thread = threading.Thread(target=drain)
        fake.uploads.append(thread)
        thread.start()
        Fake.send_fd(s, request.stream, UPLOAD_GO, b"", w)
        os.close(w)
        return Fake
    with Fake({"POST /nodes/n1/storage/local/upload": go}) as fake:
        path = fake.base + "/a disk.iso"
        data = os.urandom(3 << 20)
        with open(path, "wb") as f:
            f.write(data)
        fake.run("storage", "upload", path)
        assert str(fake.requests[0]) == "GET /nodes/n1/storage/local/uploads", "a daemon that knows no pieces"
        request = fake.requests[1]
        assert got == [data]
        assert request.kind == "upload" and request.text[FILE_NAME] == "a disk.iso" and request.params == {"content": "iso"}
        fake.run("storage", "upload", path, "--name", "b.img", "--content", "import")
        assert fake.requests[3].text[FILE_NAME] == "b.img" and fake.requests[3].params == {"content": "import"}
        fake.run("storage", "upload", fake.base, code=64)
        fake.run("storage", "upload", path + ".no", code=64)
        fake.run("storage", "upload", path, "--storage", "none", code=1)
        fake.run("storage", "upload", path, "--name", "thing.bin", code=64)
    upid, answers = task("imgcopy", "", polls=1, exitstatus="refusing")

    def early(s, request):
        r, w = os.pipe()
        os.close(r)  # the daemon gives up at once
        Fake.send_fd(s, request.stream, UPLOAD_GO, b"", w)
        os.close(w)
        return (500, {"data": None, "message": "no space left\n"})
    with Fake({**answers, "POST /nodes/n1/storage/local/upload": early}) as fake:
        path = fake.base + "/x.iso"
        with open(path, "wb") as f:
            f.write(b"x" * 500000)
        assert "no space left" in fake.run("storage", "upload", path, code=1).stderr


def console(mode="raw"):
    """(answers, guest's end as a list that fills)."""
    ends = []

    def upgrade(s, request):
        assert request.params == {"port": "5900", "vncticket": "PVEVNC:t"}, request.params
        assert request.kind == "websocket"
        ours, theirs = socket.socketpair()
        Fake.send_fd(s, request.stream, UPGRADE, field(MODE, mode), theirs.fileno())
        theirs.close()
        ends.append(ours)
        return Fake
    base = "/nodes/n1/qemu/100"
    return {f"POST {base}/termproxy": {"port": 5900, "ticket": "PVEVNC:t", "user": "root@pam", "upid": "u"},
            f"GET {base}/vncwebsocket": upgrade}, ends


@test()
def console_as_a_pipe():
    answers, ends = console()

    def echo():
        wait_for(lambda: ends, 10, "the console")
        data = b""
        while not data.endswith(b"end\n"):
            data += ends[0].recv(4096)
        ends[0].sendall(data.upper())
        ends[0].close()
    with Fake(answers) as f:
        thread = threading.Thread(target=echo)
        thread.start()
        done = f.run("vm", "console", 100, stdin="hello ~. \x1d end\n")
        thread.join(10)
        assert done.stdout == "HELLO ~. \x1d END\n", done
    answers, ends = console()
    with Fake(answers) as f:
        began = time.monotonic()
        f.run("vm", "console", 100, "--idle", 0)
        assert time.monotonic() - began < slow(5)
        f.run("vm", "console", 100, "--idle", 100, "--timeout", 1, code=8)
    answers, ends = console("binary")
    with Fake(answers) as f:
        assert "not a serial one" in f.run("vm", "console", 100, code=1).stderr


def event_stream(data, mode="raw", is_open=False):
    """Answers of a daemon whose stream of events is this, and then ends unless is_open."""
    kept = []

    def upgrade(s, request):
        assert request.kind == "websocket", request.kind
        ours, theirs = socket.socketpair()
        Fake.send_fd(s, request.stream, UPGRADE, field(MODE, mode), theirs.fileno())
        theirs.close()
        try:
            ours.sendall(data)
        except OSError:
            pass  # it had enough
        kept.append(ours) if is_open else ours.close()
        return Fake
    return {"GET /cluster/events": upgrade}


@test()
def events_of_a_hostile_daemon():
    hello = b'{"type":"hello","node":"n1","is_complete":true,"cursor":"c"}\n'
    bad = {"text": b"hello\n", "a list": b"[1]\n", "no type": b'{"kind":"guest"}\n', "nested": b"[" * 100000 + b"\n",
           "binary": b"\0\xff\x1b[31m\n", "empty": b"\n", "type is no text": b'{"type":{}}\n'}
    for what, line in bad.items():
        with Fake(event_stream(hello + line)) as f:
            done = f.run("events", code=1)
            assert "no event" in done.stderr, f"{what}: {done.stderr}"
    with Fake(event_stream(b"x" * (5 << 20))) as f:
        assert "too long" in f.run("events", code=1).stderr
    evil = {"type": "delta", "kind": "guest\033[1m", "id": "q\033]0;x\007\nz", "set": {"na\033me": "\u202e\033[2J\nx", "a": [{}]},
            "unset": ["\033c", 5, None]}
    odd = [evil, {"type": "delta", "kind": "guest", "id": 5, "set": {}}, {"type": "row", "kind": "guest", "id": "a"},
           {"type": "row", "kind": "task", "id": "b", "row": []}, {"type": "delta", "kind": "node", "id": "c", "set": 7},
           {"type": "later", "kind": "guest", "id": "d"}, {"type": "removed"}, {"type": "removed", "kind": "guest", "id": "e"}]
    data = hello + b"".join(json.dumps(m, ensure_ascii=False).encode() + b"\n" for m in odd)
    with Fake(event_stream(data)) as f:
        shown = f.run("events", code=69).stdout
        assert "\033" not in shown and "\007" not in shown and "\u202e" not in shown, shown
        assert len(shown.splitlines()) == 5 and shown.splitlines()[-1].endswith("removed"), shown  # header, evil, a, b, e
        told = f.run("events", "-o", "json", code=69).stdout
        assert "\u202e" not in told and [json.loads(line) for line in told.splitlines()[1:]] == odd, told
    for mode in ("binary", ""):
        with Fake(event_stream(hello, mode)) as f:
            assert "no stream of events" in f.run("events", code=1).stderr
    with Fake({"GET /cluster/events": {"no": "stream"}}) as f:
        f.run("events", code=1)


@test()
def events_that_were_missed_and_their_end():
    again = b'{"type":"hello","node":"n1","is_complete":false}\n{"type":"row","kind":"guest","id":"old","row":{}}\n'
    ping = b'{"type":"ping","cursor":"c"}\n'
    row = b'{"type":"row","kind":"guest","id":"new","row":{"name":"x","type":"qemu","cpu":1,"tags":""}}\n'
    bye = b'{"type":"bye","reason":"the ticket has \\u001bexpired"}\n'
    with Fake(event_stream(again + ping + row + again + ping + bye)) as f:
        done = f.run("events", "-q", code=69)
        assert done.stdout.endswith("guest    new               new, name=x\n") and "old" not in done.stdout, done.stdout
        assert "the ticket has" in done.stderr and "\033" not in done.stderr and "missed" not in done.stderr, done.stderr
        assert f.run("events", code=69).stderr.startswith("warning: some changes were missed"), "the second snapshot"
        assert f.run("events", "--metrics", code=69).stdout.endswith("new, name=x, cpu=100.0%\n")
    with Fake(event_stream(again[:60], is_open=True)) as f:
        f.run("events", "--timeout", 1, code=8)


class Terminal:
    """holm on a pty: answers are typed when the screen shows what they wait for."""

    def __init__(self, fake, *args, env=None):
        argv = [program("holm"), "--root", fake.root, *map(str, args)]
        self.screen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.pop("NO_COLOR", None)
            os.environ.update({"TERM": "xterm", **(env or {})})
            os.execv(argv[0], argv)

    def read(self):
        if select.select([self.fd], [], [], 0.05)[0]:
            try:
                self.screen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                pass
        return self.screen

    def expect(self, text):
        wait_for(lambda: text in self.read(), 15, f"{text!r} on the screen")

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def end(self):
        """The exit code, after everything was read."""
        status = []

        def ended():
            self.read()
            done, code = os.waitpid(self.pid, os.WNOHANG)
            if done:
                status.append(os.waitstatus_to_exitcode(code))
            return done
        wait_for(ended, 15, "the end")
        self.read()
        os.close(self.fd)
        return status[0]


@test()
def questions_on_a_terminal():
    with Fake({"DELETE /access/users/a@pve": None, "PUT /access/password": None, "POST /access/users": None}) as f:
        for answer, code, sent in (("n\n", 1, 0), ("\n", 1, 0), ("y\n", 0, 1)):
            t = Terminal(f, "user", "delete", "a@pve")
            t.expect("user delete a@pve? [y/N]")
            t.type(answer)
            assert t.end() == code and len(f.requests) == sent, (answer, t.screen)
        f.requests.clear()
        t = Terminal(f, "user", "password", "a@pve")
        t.expect("New password for a@pve: ")
        assert not t.echoes()
        t.type("secret 1\n")
        t.expect("Once more: ")
        assert not t.echoes()
        t.type("secret 1\n")
        assert t.end() == 0 and "secret" not in t.screen
        assert f.requests[0].params == {"userid": "a@pve", "password": "secret 1"}
        t = Terminal(f, "user", "create", "b@pve")
        t.expect("New password")
        assert not t.echoes()
        os.kill(t.pid, signal.SIGINT)
        wait_for(t.echoes, 5, "echo again")
        assert t.end() == 130 and len(f.requests) == 1
        t = Terminal(f, "user", "password", "a@pve")
        t.expect("New password")
        t.type("one\n")
        t.expect("Once more: ")
        t.type("two\n")
        assert t.end() == 64 and "differ" in t.screen


@test()
def progress_and_colour_on_a_terminal():
    upid, answers = task("qmcreate", 100, polls=3, log=["first line"],
                         extra={"progress": {"phase": "copy", "done": 1 << 30, "total": 4 << 30}})
    with Fake({**answers, **LIST, "POST /nodes/n1/qemu": upid}) as f:
        t = Terminal(f, "vm", "create", 100)
        assert t.end() == 0
        assert "copy 25%, 1 GiB of 4 GiB" in t.screen and t.screen.endswith("\r\x1b[K100\r\n"), repr(t.screen)
        t = Terminal(f, "vm", "list")
        assert t.end() == 0 and "\x1b[32mrunning\x1b[0m" in t.screen
        for args, env in ((["--no-color"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})):
            t = Terminal(f, "vm", "list", *args, env=env)
            assert t.end() == 0 and "\x1b" not in t.screen, (args, env)


@test()
def state_dump_and_load():
    if os.geteuid():
        skip("needs root")
    base = tempfile.mkdtemp(prefix="hc", dir="/tmp")
    try:
        def holm(*args, code=0):
            done = subprocess.run([program("holm"), "--root", base, "state", *args], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=slow(20), check=False)
            assert done.returncode == code, done
            return done
        dump = {"format": 1, "keys": {"shared/a": {"x": 1}, "shared/b": [1, "two"]}}
        with open(base + "/in.json", "w", encoding="utf-8") as f:
            json.dump(dump, f)
        holm("dump", code=3)
        os.makedirs(base + "/var/state")
        holm("load", base + "/in.json", code=64)
        holm("load", base + "/in.json", "-y")
        assert json.loads(holm("dump").stdout) == dump
        holm("dump", base + "/out.json")
        with open(base + "/out.json", encoding="utf-8") as f:
            assert json.load(f) == dump
        assert os.stat(base + "/out.json").st_mode & 0o777 == 0o600
        holm("dump", base + "/out.json", code=6)
        with open(base + "/bad.json", "w", encoding="utf-8") as f:
            f.write('{"format":2}')
        holm("load", base + "/bad.json", "-y", code=1)
        assert json.loads(holm("dump").stdout) == dump, "a refused load changes nothing"
    finally:
        shutil.rmtree(base)


def on_terminal(fake, keys, ends):
    """A console on a pty: types keys once the guest's text shows; (exit code, flags before and after)."""
    t = Terminal(fake, "vm", "console", 100)
    before = termios.tcgetattr(t.fd)[3]
    wait_for(lambda: "Connected" in t.read() and ends and not termios.tcgetattr(t.fd)[3] & termios.ICANON, 15, "raw mode")
    ends[-1].sendall(b"login: ")
    t.expect("login: ")
    t.type(keys)
    keep = os.dup(t.fd)
    code = t.end()
    after = termios.tcgetattr(keep)[3]
    os.close(keep)
    return code, before, after


@test()
def console_on_a_terminal():
    for keys, wanted in ((b"ab\x03\x1d", b"ab\x03"), (b"ab\r~.", b"ab\r"), (b"a~.\r~~x\x1d", b"a~.\r~x"), (b"\r~a\x1d", b"\r~a")):
        answers, ends = console()
        with Fake(answers) as f:
            code, before, after = on_terminal(f, keys.decode(), ends)
            got = b""
            while len(got) < len(wanted) + 1:
                part = ends[0].recv(100)
                if not part:
                    break
                got += part
            assert code == 0 and got == wanted, (code, got, wanted)
            assert before == after and after & termios.ECHO and after & termios.ICANON, "the terminal is as it was"


@test()
def hostile_daemon():
    good = frame(HELLO, 0, field(VERSION, struct.pack("<I", 1)) + field(NAME, "n1"))
    bad_hellos = [b"", b"\0" * 16, b"\xff" * 64, frame(HELLO, 0, b""), frame(REPLY, 0, b"", LAST),
                  frame(HELLO, 0, field(VERSION, struct.pack("<I", 1)) + field(NAME, "../x")),
                  frame(HELLO, 0, field(VERSION, struct.pack("<I", 1)) + field(NAME, "x" * 500)),
                  frame(HELLO, 0, field(NAME, "n1")), good + good,
                  struct.pack("<IBBBBII", 0x7FFFFFFF, 1, HELLO, 0, 0, 0, 0)]
    for hello in bad_hellos:
        with Fake(hello=hello) as f:
            done = subprocess.run([program("holm"), "--root", f.root, "vm", "list", "--timeout", "1"], capture_output=True,
                                  text=True, timeout=slow(15), check=False)
            assert done.returncode in (1, 8, 69), (hello, done)
            assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr

    def raw(data):
        def send(s, _request):
            s.sendall(data)
            s.close()
            return Fake
        return send
    head = field(STATUS, struct.pack("<H", 200))
    replies = [raw(frame(REPLY, 1, b"", LAST)), raw(frame(REPLY, 2, head, LAST)), raw(frame(REPLY_BODY, 1, b"", LAST)),
               raw(frame(REPLY, 1, head) + frame(REPLY, 1, head, LAST)), raw(frame(REPLY, 1, b"\xff" * 40, LAST)),
               raw(frame(REPLY, 1, field(STATUS, b"\xff\xff"), LAST)), raw(frame(UPGRADE, 1, b"")),
               raw(frame(REPLY, 1, head + field(BODY, "[" * 100000), LAST)), raw(frame(REPLY, 1, head + field(BODY, "{"), LAST)),
               raw(frame(REPLY, 1, head + field(BODY, "[1]"), LAST)), raw(frame(REPLY, 1, head + field(BODY, b"\xff\xfe"), LAST)),
               raw(frame(200, 1, b"", LAST)), raw(b"x" * 100), raw(frame(REPLY, 1, head)),
               (200, {"data": 5}), (200, {"data": "text"}), (200, {"data": [1, "x", None, [2]]}), (200, {"data": [None, {}]}),
               (200, {"data": {"a": {"b": {"c": {}}}}}), (200, {"data": [{"vmid": "x", "type": 7, "name": [], "node": {}}]}),
               (200, {}), (500, {"message": 7, "errors": [1]}), (500, {"message": "", "errors": {"a": {}}})]
    for answer in replies:
        for args in (["vm", "list"], ["vm", "list", "-o", "csv"], ["vm", "show", "web"]):
            with Fake({"GET /cluster/resources": answer}) as f:
                done = subprocess.run([program("holm"), "--root", f.root, *args, "--timeout", "2"], capture_output=True,
                                      text=True, timeout=slow(15), check=False)
                assert done.returncode in (0, 1, 3, 8, 69), (answer, done)
                assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr


@test(limit=60)
def endless_reply_is_cut():
    def flood(s, request):
        s.sendall(frame(REPLY, request.stream, field(STATUS, struct.pack("<H", 200))))
        part = frame(REPLY_BODY, request.stream, field(BODY, b" " * 1000000))
        for _ in range(200):
            s.sendall(part)
        return Fake
    with Fake({"GET /cluster/resources": flood}) as f:
        assert "too large" in f.run("vm", "list", code=1, timeout=40).stderr


@test()
def silent_daemon_ends_in_time():
    with Fake({"GET /cluster/resources": lambda *_: Fake}) as f:
        assert "no answer in time" in f.run("vm", "list", "--timeout", 1, code=8).stderr


@test()
def output_that_cannot_be_written():
    with Fake(LIST) as f, open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([program("holm"), "--root", f.root, "vm", "list"], stdout=full, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 1 and b"standard output" in done.stderr


@test()
def state_of_a_running_daemon_is_not_replaced():
    if os.geteuid():
        skip("needs root")
    with Fake() as f:
        path = f.base + "/dump"
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"format":1,"keys":{}}')
        assert "Holm is running" in f.run("state", "load", path, "-y", code=6).stderr
        f.run("state", "load", path, code=64)


if __name__ == "__main__":
    main()
