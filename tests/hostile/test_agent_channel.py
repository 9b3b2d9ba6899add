"""A guest whose agent is not one: it says nothing, garbage, too much, too late, the wrong thing. The guest itself never
runs a single instruction (freeze); this file takes QEMU's end of the channel out of QEMU (pidfd_getfd) and speaks in the
guest's place. What is asked ends in time with the right error, holmd answers others meanwhile, and memory stays bounded.
"""
import ctypes
import json
import os
import re
import select
import socket
import threading

from lib import procs
from lib.holm import is_sanitized
from lib.tap import main, test
from lib.wait import wait_for

VM = 100
OF = f"/nodes/{{node}}/qemu/{VM}/agent"
PIDFD_GETFD = 438
# holm-guest's growth under all of this; AddressSanitizer keeps freed memory for a while, in pieces of its own sizes.
MEMORY_KIB, MEMORY_SANITIZED_KIB = 32 * 1024, 1024 * 1024
QUEUE = 16


def steal(pid, number):
    """A descriptor of another process, as a socket."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    fd = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
    os.close(pidfd)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return socket.socket(fileno=fd)


class Agent:
    """What sits in the guest. `play(agent, command)` says what follows a command; sync() is called for each
    synchronisation and may be replaced, too."""

    def __init__(self, sock):
        self.socket = sock
        sock.setblocking(False)
        self.heard, self.stop = [], threading.Event()
        self.sync = lambda agent, number: agent.say(b'\xff{"return": %d}\n' % number)
        self.play = lambda agent, command: agent.say(b'{"return": {}}\n')
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        rest = b""
        while not self.stop.is_set():
            if not select.select([self.socket], [], [], 0.05)[0]:
                continue
            data = self.socket.recv(65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                command = json.loads(line.lstrip(b"\xff"))
                if command["execute"] == "guest-sync-delimited":
                    self.sync(self, command["arguments"]["id"])
                else:
                    self.heard.append(command["execute"])
                    self.play(self, command)

    def say(self, data, piece=None):
        """All of it, unless the test is over."""
        while data and not self.stop.is_set():
            if select.select([], [self.socket], [], 0.05)[1]:
                data = data[self.socket.send(data[:piece]):]

    def honest(self):
        self.sync = lambda agent, number: agent.say(b'\xff{"return": %d}\n' % number)
        self.play = lambda agent, command: agent.say(b'{"return": {}}\n')


class Lab:
    one = None

    def __init__(self, node):
        self.node = node
        node.create(VM, agent="1", freeze=1, memory=64, name="hostile")
        node.api.run("POST", node.vm(VM, "/status/start"))
        self.qemu = wait_for(lambda: node.processes("qemu-system-x86_64"), 20)[0]
        self.monitor = wait_for(lambda: node.processes("holm-guest"), 20)[0]
        number = int(re.search(r"id=qga,fd=(\d+)", procs.cmdline(self.qemu))[1])
        self.agent = Agent(steal(self.qemu, number))
        self.memory = procs.memory_kib(self.monitor)

    def ping_fails(self, text):
        """The error, while others are answered."""
        done = []
        asking = threading.Thread(target=lambda: done.append(self.node.client().call("POST", f"{OF}/ping")))
        asking.start()
        while asking.is_alive():
            assert self.node.api.get("/version")["version"]
            asking.join(0.2)
        assert done and done[0].status == 500 and text in done[0].reason, (done[0].status, done[0].reason)

    def is_well(self):
        self.agent.honest()
        assert self.node.api.post(f"{OF}/ping") == {"result": {}}
        grown = procs.memory_kib(self.monitor) - self.memory
        assert grown < (MEMORY_SANITIZED_KIB if is_sanitized() else MEMORY_KIB), f"holm-guest grew by {grown} KiB"


def lab(node):
    Lab.one = Lab.one or Lab(node)
    return Lab.one


ABSENT = "QEMU guest agent is not running"


@test(limit=60)
def an_honest_one_is_believed(node):
    box = lab(node)
    box.is_well()
    box.agent.play = lambda agent, command: agent.say(b'{"return": {"host-name": "x"}}\n', piece=1)
    assert node.api.get(f"{OF}/get-host-name") == {"result": {"host-name": "x"}}, "byte by byte"
    box.is_well()


@test(limit=60)
def it_says_nothing(node):
    box = lab(node)
    box.agent.sync = lambda agent, number: None
    box.ping_fails(ABSENT)
    box.is_well()
    box.agent.play = lambda agent, command: None
    box.ping_fails("got timeout")
    box.is_well()


@test(limit=60)
def orders_to_sleep_have_no_answer(node):
    """An agent that puts its guest to sleep cannot answer any more (QGA: success-response is false): silence is
    success, an error is an error."""
    box = lab(node)
    for how in ("ram", "disk", "hybrid"):
        box.agent.play = lambda agent, command: None
        reply = node.api.call("POST", f"{OF}/suspend-{how}")
        assert reply.status == 200, (how, reply.text)
        assert box.agent.heard[-1] == f"guest-suspend-{how}", box.agent.heard
        box.agent.play = lambda agent, command: agent.say(b'{"error": {"class": "GenericError", "desc": "no swap"}}\n')
        reply = node.api.call("POST", f"{OF}/suspend-{how}")
        assert reply.status == 500 and "no swap" in reply.reason, (how, reply.text)
        box.is_well()


@test(limit=60)
def it_has_the_wrong_number(node):
    box = lab(node)
    heard = len(box.agent.heard)
    for wrong in (lambda n: n + 1, lambda n: f'"{n}"', lambda n: f"{n}.0"):
        box.agent.sync = lambda agent, n, wrong=wrong: agent.say(b'\xff{"return": %s}\n' % str(wrong(n)).encode())
        box.ping_fails(ABSENT)
    assert len(box.agent.heard) == heard, "it got a command before it said who it is"
    box.is_well()


@test(limit=90)
def it_never_stops(node):
    """Bytes without an end: before the synchronisation, and in place of an answer."""
    box = lab(node)
    for noise in (os.urandom(65536), b"\xff" * 65536, b'{"return": 1}\n' * 4096, b"[" * 65536):
        over = threading.Event()

        def flood(agent, _, noise=noise, over=over):
            while not over.is_set() and not agent.stop.is_set():
                agent.say(noise)
                if select.select([agent.socket], [], [], 0)[0]:
                    return
        box.agent.sync = flood
        box.ping_fails(ABSENT)
        over.set()
        box.is_well()


@test(limit=60)
def its_answers_are_no_answers(node):
    box = lab(node)
    for answer in (b"\n", b"nothing\n", b"[]\n", b"null\n", b"{}\n", b'{"return": \n', b'{"return": 1, "return": 2}\n',
                   b'{"return": "\xc3\x28"}\n', b'{"return": "\\u0000"}\n', b'{"error": 1}\n', b'{"event": "x"}\n',
                   b'{"return": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", b'{"return": 1e999}\n', b"\x00\n"):
        box.agent.play = lambda agent, command, answer=answer: agent.say(answer)
        box.ping_fails("gent")
    box.agent.play = lambda agent, command: agent.say(b'{"error": {"class": "E", "desc": "a\\u0007b\\r\\nX: y<script>"}}\n')
    reply = node.api.call("POST", f"{OF}/ping")
    assert reply.status == 500 and "\n" not in reply.reason.strip() and "\x07" not in reply.reason, reply.reason
    box.is_well()


@test(limit=60)
def its_answer_is_too_long(node):
    box = lab(node)
    box.agent.play = lambda agent, command: agent.say(b'{"return": "' + b"a" * (3 << 20) + b'"}\n')
    box.ping_fails("longer than")
    box.is_well()
    box.agent.play = lambda agent, command: agent.say(b'{"return": [' + b"{}," * 300_000 + b"{}]}\n")
    node.api.refused("GET", f"{OF}/get-users", {}, 500, "more than 32768 values")
    box.is_well()


@test(limit=60)
def its_answer_is_late(node):
    """What belongs to a command that was given up is not the next one's."""
    box = lab(node)
    held = []
    box.agent.play = lambda agent, command: held.append(command)
    box.ping_fails("got timeout")
    box.agent.sync = lambda agent, number: agent.say(b'{"return": {"host-name": "late"}}\n\xff{"return": %d}\n' % number)
    box.agent.play = lambda agent, command: agent.say(b'{"return": {"host-name": "right"}}\n{"return": {"host-name": "extra"}}\n')
    for _ in range(3):
        assert node.api.get(f"{OF}/get-host-name") == {"result": {"host-name": "right"}}
    assert held
    box.is_well()


@test(limit=90)
def the_queue_is_bounded(node):
    """While one is not answered sixteen wait or are under way, others are refused at once; then all of them are served."""
    box = lab(node)
    go = threading.Event()
    box.agent.sync = lambda agent, number: (go.wait(2), agent.say(b'\xff{"return": %d}\n' % number))
    replies = []
    clients = [node.client() for _ in range(QUEUE + 12)]
    asking = [threading.Thread(target=lambda c=c: replies.append(c.call("POST", f"{OF}/ping"))) for c in clients]
    for t in asking:
        t.start()
    wait_for(lambda: len(replies) >= 12, 20, "twelve refusals")
    refused = list(replies)
    assert all("wait for the agent already" in r.reason for r in refused), [r.reason for r in refused]
    go.set()
    for t in asking:
        t.join(60)
    assert sorted(r.status for r in replies).count(200) >= QUEUE - 1, sorted((r.status, r.reason) for r in replies)
    box.is_well()


@test(limit=60)
def file_read_without_an_end(node):
    """A file that never ends, by an agent that says so each time: PVE's 16 MiB are the bound."""
    box = lab(node)

    def play(agent, command):
        if command["execute"] == "guest-file-read":
            agent.say(b'{"return": {"count": 3, "buf-b64": "' + b"YWFh" * 1000 + b'", "eof": false}}\n')
        else:
            agent.say(b'{"return": 1000}\n')
    box.agent.play = play
    reply = node.api.call("GET", f"{OF}/file-read", {"file": "/dev/zero"})
    assert reply.status in (200, 500), reply.status
    if reply.status == 200:
        assert len(reply.data["content"]) <= 16 << 20
    assert "guest-file-close" in box.agent.heard, "the handle stays open"
    box.is_well()


@test(limit=60)
def the_guest_ends_meanwhile(node):
    box = lab(node)
    asked = threading.Event()
    box.agent.play = lambda agent, command: asked.set()
    done = []
    asking = threading.Thread(target=lambda: done.append(node.client().call("POST", f"{OF}/ping")))
    asking.start()
    assert asked.wait(20)
    procs.kill(box.qemu)
    asking.join(20)
    assert done and done[0].status == 500 and "timeout" not in done[0].reason, done
    box.agent.stop.set()
    box.agent.thread.join(10)
    box.agent.socket.close()
    wait_for(lambda: node.guest_state(VM) == "stopped", 20)


class Frozen:
    """A guest that runs, if only its firmware, with a disk; what its agent hears, and what the hypervisor writes to then."""

    def __init__(self, node):
        self.node = node
        if VM in [g["vmid"] for g in node.api.get("/nodes/{node}/qemu")]:
            node.remove(VM)  # that of the tests before
        node.create(VM, agent="1", memory=64, vga="none", scsihw="virtio-scsi-pci", scsi0="local:0.03125,format=qcow2")
        node.api.run("POST", node.vm(VM, "/status/start"))
        wait_for(self.is_running, 30)
        self.qemu = node.processes("qemu-system-x86_64")[0]
        number = int(re.search(r"id=qga,fd=(\d+)", procs.cmdline(self.qemu))[1])
        self.agent = Agent(steal(self.qemu, number))
        self.images, self.client = {}, node.client()
        self.agent.play = self.play

    def is_running(self):
        return self.node.api.get(self.node.vm(VM, "/status/current")).get("qmpstatus") == "running"

    def writes_to(self):
        return self.client.post(self.node.vm(VM, "/monitor"), command="info block scsi0")

    def play(self, agent, command):
        if command["execute"].startswith("guest-fsfreeze-"):
            self.images[command["execute"]] = self.writes_to()
        agent.say(b'{"return": 1}\n')

    def snapshot(self, name):
        self.agent.heard.clear()
        return self.node.api.post(self.node.vm(VM, "/snapshot"), snapname=name)

    def ends(self, upid, limit=30):
        """How its task ended, and its log."""
        return self.node.api.wait_task(upid, limit), self.node.api.task_log(upid)

    def close(self):
        self.agent.stop.set()
        self.agent.thread.join(10)
        self.agent.socket.close()


@test(limit=120)
def frozen_for_a_snapshot(node):
    """Frozen before the disks go over, thawed behind it. An agent that refuses, or is gone in between, is a warning: the
    snapshot is there, and the guest runs."""
    box = Frozen(node)
    status, log = box.ends(box.snapshot("good"))
    assert status == "OK" and any("frozen" in line for line in log), (status, log)
    assert box.agent.heard == ["guest-ping", "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"], box.agent.heard
    before, after = box.images["guest-fsfreeze-freeze"], box.images["guest-fsfreeze-thaw"]
    assert before != after, f"the disks went over while it was frozen: {before} {after}"

    def refuses(command):
        def play(agent, heard):
            agent.say(b'{"error": {"class": "GenericError", "desc": "no such luck"}}\n' if heard["execute"] == command else b'{"return": 1}\n')
        return play
    for name, command, text in (("noFreeze", "guest-fsfreeze-freeze", "does not freeze"), ("noThaw", "guest-fsfreeze-thaw", "does not thaw")):
        box.agent.play = refuses(command)
        status, log = box.ends(box.snapshot(name))
        assert status == "WARNINGS: 1" and any(text in line and "no such luck" in line for line in log), (status, log)
        # What refuses to freeze may have frozen some.
        assert box.agent.heard[-1] == "guest-fsfreeze-thaw" and box.is_running(), box.agent.heard
    # It says nothing any more: the guest runs all the while, and whoever does not want to wait stops the task.
    thawing = threading.Event()
    box.agent.play = lambda agent, heard: thawing.set() if heard["execute"] == "guest-fsfreeze-thaw" else agent.say(b'{"return": 1}\n')
    upid = box.snapshot("silent")
    assert thawing.wait(20)
    assert box.is_running() and box.writes_to() != after
    status, log = box.ends(upid, 120)
    assert status == "WARNINGS: 1" and any("does not thaw" in line for line in log), (status, log)
    names = [s["name"] for s in node.api.get(node.vm(VM, "/snapshot"))]
    assert names == ["good", "noFreeze", "noThaw", "silent", "current"] and box.is_running(), names
    box.close()
    node.remove(VM)


if __name__ == "__main__":
    main()
