"""A holm-front that was taken over: its first forbidden call is its end, its own connections go with it and no others, and
a new one serves at once. (Every call number is tried in src/front/sandbox_test.c.)"""
import os
import signal
import socket
import time

import websocket

from lib import inject, procs, raw
from lib.console import Console
from lib.fronts import answer_of, kill_by_call
from lib.guests import write_boot_sector
from lib.holm import Node, is_sanitized
from lib.tap import main, skip, test
from lib.wait import wait_for

RESTART_S = 0.2
OPENAT, SOCKET, EXECVE, FORK, KILL, PTRACE, MMAP = 257, 41, 59, 57, 62, 101, 9
AT_FDCWD, PROT_RX, MAP_ANONYMOUS_PRIVATE = -100, 5, 0x22
BREAK_OUT = {
    "open a file": (OPENAT, AT_FDCWD, 0, 0),
    "make a socket": (SOCKET, socket.AF_INET, socket.SOCK_STREAM, 0),
    "execute": (EXECVE, 0, 0, 0),
    "fork": (FORK,),
    "signal the daemon": (KILL, os.getppid(), 0),
    "trace": (PTRACE, 0, 0, 0, 0),
    "memory to execute": (MMAP, 0, 4096, PROT_RX, MAP_ANONYMOUS_PRIVATE, -1, 0),
}


def need_injection():
    if not inject.is_possible():
        skip("calls are injected on x86-64 as root only")


@test(limit=90)
def forbidden_call_ends_the_front_and_a_new_one_serves():
    """With one front, so that the answer is the new one's. A front that dies young is started a little later each time:
    three deaths a daemon."""
    need_injection()
    attempts, times = list(BREAK_OUT.items()), []
    for first in range(0, len(attempts), 3):
        with Node(options=["--fronts", "1"]) as node:
            for what, call in attempts[first:first + 3]:
                (pid,) = node.processes("holm-front")
                dead = kill_by_call(node, pid, *call)
                wait_for(lambda: answer_of(node) == 200, 5, f"{what}: an answer", 0.001)
                times.append(time.monotonic() - dead)
                assert node.processes("holm-front") != [pid]
    print(f"# from death to the first answer: {max(times) * 1000:.0f} ms at most, of {len(times)}")
    # A sanitized program takes longer than that to begin.
    assert max(times) < RESTART_S * (15 if is_sanitized() else 1), times


def front_of(node, ws):
    """Which process holds the other end of a WebSocket: by the socket's inode."""
    mine = f"{ws.sock.getsockname()[1]:04X}"
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f][1:]
    inodes = {f"socket:[{r[9]}]" for r in rows
              if r[1].endswith(f":{node.port:04X}") and r[2].endswith(":" + mine)}
    for pid in node.processes("holm-front"):
        for n in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{n}") in inodes:
                return pid
    return None


def console_on(node, guest, pid):
    """A console through this front: the other one is held still while the connections are made."""
    (other,) = set(node.processes("holm-front")) - {pid}
    os.kill(other, signal.SIGSTOP)
    try:
        c = Console(node.client(), guest)
    finally:
        os.kill(other, signal.SIGCONT)
    assert front_of(node, c.ws) == pid
    return c


@test(limit=120)
def consoles_of_the_other_front_go_on():
    need_injection()
    with Node() as node:
        node.create(100, memory=64, serial0="socket", scsi0="local:1,format=raw")
        write_boot_sector(node, node.api.get(node.vm(100, "/config"))["scsi0"])
        node.api.run("POST", node.vm(100, "/status/start"))
        lost_pid, kept_pid = node.processes("holm-front")
        lost, kept = console_on(node, node.vm(100), lost_pid), console_on(node, node.vm(100), kept_pid)
        for c, key in ((lost, "L"), (kept, "K")):
            c.expect("disk guest is up", 30)
            c.type(key)
            c.expect(f"key {key}", 10)
        kill_by_call(node, lost_pid, *BREAK_OUT["open a file"])
        kept.type("M")
        kept.expect("key M", 10)
        try:
            while lost._receive(5):
                pass
            raise AssertionError("the console of the dead front lives on")
        except (websocket.WebSocketException, OSError):
            pass
        with Console(node.api, node.vm(100)) as again:
            again.expect("disk guest is up", 10)  # the history
            again.expect("key M", 10)
            again.type("N")
            again.expect("key N", 10)
            kept.expect("key N", 10)
        assert front_of(node, kept.ws) == kept_pid
        wait_for(lambda: len(node.processes("holm-front")) == 2, 5, "two fronts again")
        kept.close()


def volumes(node):
    top = node.path("var/storage/local")
    return sorted(f for _, _, names in os.walk(top) for f in names)


@test(limit=60)
def uploads_of_a_dead_front_leave_nothing():
    """Half a file came when the front died: there is no volume, nothing stays behind, and the next upload works."""
    with Node() as node:
        before, fds = volumes(node), procs.fds(node.process.pid)
        head = (f"POST /api2/json/nodes/{node.name}/storage/local/upload HTTP/1.1\r\n{raw.auth(node)}"
                "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
                '--b\r\nContent-Disposition: form-data; name="content"\r\n\r\niso\r\n'
                '--b\r\nContent-Disposition: form-data; name="filename"; filename="half.iso"\r\n\r\n').encode()
        with raw.connect(node) as s:
            s.sendall(head + b"x" * 400000)
            wait_for(lambda: node.processes("holm-worker") or volumes(node) != before, 10, "the upload to be under way")
            for pid in node.processes("holm-front"):
                procs.kill(pid)
            wait_for(lambda: volumes(node) == before and not node.processes("holm-worker"), 10,
                     "the half upload to be gone")
        wait_for(lambda: len(node.processes("holm-front")) == 2 and answer_of(node) == 200, 10, "fronts")
        wait_for(lambda: procs.fds(node.process.pid) <= fds + 2, 5, "its descriptors to be closed")
        client = node.client()
        reply = client.http.post(client.url("/nodes/{node}/storage/local/upload"), data={"content": "iso"},
                                 files={"filename": ("half.iso", b"x" * 100000)}, timeout=30)
        assert reply.status_code == 200, reply.text
        wait_for(lambda: any(v["volid"].endswith("/half.iso") for v in node.api.get("/nodes/{node}/storage/local/content")),
                 10, "the whole upload")


@test(limit=60)
def front_that_dies_at_once_is_not_started_in_a_circle():
    """Whoever is born in its place dies, too: the pauses grow, the other front is not touched and serves."""
    with Node() as node:
        kept = node.processes("holm-front")[0]
        began = time.monotonic()
        for _ in range(7):
            (victim,) = wait_for(lambda: [p for p in node.processes("holm-front") if p != kept], 10, "the next front", 0.002)
            procs.kill(victim, signal.SIGKILL)
            wait_for(lambda v=victim: v not in node.processes("holm-front"), 5, "its end", 0.002)
            assert node.nobody().get("/access/ticket") is None
        assert time.monotonic() - began > 0.6, "started again and again without a pause"
        assert procs.is_alive(kept) and len(node.log().split("holm-front")) < 20
        wait_for(lambda: len(node.processes("holm-front")) == 2, 10, "the front that may live")


@test(limit=60)
def number_of_fronts_is_an_option():
    with Node(options=["--fronts", "3"]) as node:
        assert len(node.processes("holm-front")) == 3
        assert node.nobody().get("/access/ticket") is None
    for wrong in ("0", "9", "two", "-1", ""):
        node = Node(options=["--fronts", wrong])
        node.launch()
        assert node.wait_dead() == 64 and "--fronts takes a number from 1 to 8" in node.log(), node.log()
        node.close()


if __name__ == "__main__":
    main()
