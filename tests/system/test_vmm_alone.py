#!/usr/bin/python3
"""holm-vmm under holm-guest, without a daemon: a bare guest (bareguest.S) on the host's KVM. Verbs, events, the console, ends;
and what a holm-vmm that was taken over by its guest can do to its monitor."""
import json
import os
import signal
import socket
import subprocess

from lib import bare, kvm
from lib.monitor import (CODE, EVENT, EVENT_FRAME, EXIT_STATUS, RESULT, STATE, TEXT, build_folder, children_of, field, is_alive, ARG, COMMAND,
                         VERB, Guest, Terminal)
from lib.tap import main, test
from lib.wait import wait_for

VMM = f"{build_folder()}/src/vmm/holm-vmm"
UP = "BARE GUEST UP\n"
CHANNELS = ("control=10", "serial0=11")
DISK_BYTES = 1 << 20


def memory_file(data=b"", size=0):
    fd = os.memfd_create("test")
    os.write(fd, data)
    if size:
        os.truncate(fd, size)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def guest(options="", fds=(), **more):
    """As the engine makes one: options in a file, everything else as descriptors."""
    text = f"cpus 2\nmemory 16M\nconsole fd=11\ncontrol fd=10\npaused on\nkernel fd=21\n{options}"
    fds = [memory_file(text.encode()), os.open(bare.kernel(), os.O_RDONLY), *fds]
    return Guest([VMM, "run", "--config", "fd=20"], channels=CHANNELS, fds=fds, driver="vmm",
                 groups=(os.stat("/dev/kvm").st_gid,), **more)


def console(g):
    t = Terminal(g, history=True)
    t.expect(UP)
    return t


def script(g, step):
    return g.link.ask(COMMAND, field(VERB, "script"), field(ARG, step))


@test(limit=60)
def console_pause_resume_reset_and_power_off():
    with guest() as g:
        t = console(g)
        t.type("a")
        t.expect("key a\n")
        assert g.link.command("pause").number(RESULT) == 0
        assert g.link.event("paused").text(STATE) == "paused"
        t.type("b")
        assert g.link.command("pause").number(RESULT) == 0  # again: nothing to do, no event
        assert g.link.command("resume").number(RESULT) == 0
        assert g.link.event("running").text(STATE) == "running"
        t.expect("key b\n")
        for byte in "rt":  # the guest's own resets, by the register and by a triple fault
            t.type(byte)
            g.link.event("reset")
            t.expect(UP)
        assert g.link.command("reset").number(RESULT) == 0
        g.link.event("reset")
        t.expect(UP)
        t.type("q")
        assert g.link.event("shutdown").text(TEXT) == "power-off"
        assert g.link.event("exited").number(EXIT_STATUS) == 0
        assert g.wait_end() == 0


@test(limit=60)
def a_paused_guest_can_be_reset_and_ended():
    with guest(verbs=(), is_started=False) as g:
        assert g.link.event("paused").text(STATE) == "paused"
        assert g.link.command("reset").number(RESULT) == 0
        g.link.event("reset")
        assert g.link.command("quit").number(RESULT) == 0
        assert g.link.event("shutdown").text(TEXT) == "order"
        assert g.link.event("exited").number(EXIT_STATUS) == 0
        assert g.wait_end() == 0


@test(limit=60)
def a_disk_grows_and_counts():
    disk = memory_file(size=DISK_BYTES)
    with guest("disk fd=22,id=virtio0\n", fds=[os.dup(disk)]) as g:
        t = console(g)
        t.type("d")
        t.expect("00000800 sectors\n")
        assert g.link.command("stats").stats() == {"diskread": "0", "diskwrite": "0"}
        answer = script(g, '+disk-resize {"device":"virtio0","bytes":%d}' % (3 * DISK_BYTES))
        assert answer.number(RESULT) == 0, answer
        assert os.fstat(disk).st_size == 3 * DISK_BYTES
        t.type("d")
        t.expect("00001800 sectors\n")
        for step in ('+disk-resize {"device":"virtio0","bytes":512}', '+disk-resize {"device":"scsi0","bytes":512}', "+dance", "+dance {}",
                     '+human-monitor-command {"command-line":"info"}'):
            answer = script(g, step)
            assert answer.text(CODE) == "guest.refused", answer
        for step in ("-status", "fstatus"):
            assert script(g, step).text(CODE) == "guest.verb"
        assert script(g, "+status {\"x\":\"%s\"}" % ("y" * 5000)).text(CODE) == "guest.busy"
        assert script(g, "+status").number(RESULT) == 0
    os.close(disk)


@test(limit=60)
def the_balloon_is_told():
    with guest("balloon on\n") as g:
        console(g)
        assert g.link.command("stats").stats() == {"diskread": "0", "diskwrite": "0", "balloon": str(16 << 20)}


@test(limit=60)
def panic_is_told_and_the_guest_goes_on():
    with guest() as g:
        t = console(g)
        t.type("p")
        g.link.event("panicked")
        t.type("a")
        t.expect("key a\n")
        t.type("r")
        assert g.link.event("reset").text(STATE) == "running"


@test(limit=60)
def without_reboot_a_reset_is_the_end():
    with guest("reboot off\n") as g:
        t = console(g)
        t.type("r")
        assert g.link.event("shutdown").text(TEXT) == "reset"
        assert g.link.event("exited").number(EXIT_STATUS) == 0


@test(limit=60)
def killing_either_ends_both():
    with guest() as g:
        console(g)
        os.kill(g.qemu, signal.SIGKILL)
        exited = g.link.event("exited")
        assert exited.number(EXIT_STATUS) == 137 and "signal 9" in exited.text(TEXT), exited
        assert g.wait_end() == 0
    with guest() as g:
        pid = g.qemu
        os.kill(g.pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), 10, "holm-vmm to end with its monitor")


@test(limit=60)
def a_failed_start_tells_what_was_wrong():
    for options, said in (("disk fd=22,id=a\ndisk fd=22,id=a\n", "id 'a'"), ("rng host,dance=on\n", "dance"), ("memory 5T\n", "memory"),
                          ("kernel fd=99\n", "99"), ("explode on\n", "explode")):
        with guest(options, fds=[memory_file(size=DISK_BYTES)], is_started=False) as g:
            failed = g.link.event("failed")
            assert said in failed.text(TEXT), failed
            assert g.link.event("exited").number(EXIT_STATUS) in (1, 2)


class Control:
    """holm-vmm by hand, this test is its monitor."""

    def __init__(self, *options):
        ours, theirs = socket.socketpair()
        self.console, console_end = socket.socketpair()
        argv = [VMM, "run", "--kernel", bare.kernel(), "--memory", "16M", "--control", f"fd={theirs.fileno()}",
                "--console", f"fd={console_end.fileno()}", *options]
        self.process = subprocess.Popen(argv, pass_fds=(theirs.fileno(), console_end.fileno()), stderr=subprocess.PIPE)
        theirs.close()
        console_end.close()
        self.sock, self.lines, self.id = ours, ours.makefile("r", encoding="utf-8"), 0
        self.sock.settimeout(30)
        self.console.settimeout(30)

    def line(self):
        text = self.lines.readline()
        return json.loads(text) if text else None

    def ask(self, verb, **more):
        self.id += 1
        self.sock.sendall(json.dumps({"id": self.id, "verb": verb, **more}).encode() + b"\n")
        events = []
        while True:
            answer = self.line()
            assert answer, events
            if "event" not in answer:
                assert answer["id"] == self.id
                return answer
            events.append(answer)

    def said(self, text):
        seen = b""
        while text not in seen:
            data = self.console.recv(4096)
            assert data, seen
            seen += data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.sock.close()
        self.console.close()


@test(limit=60)
def verbs_by_hand():
    with Control() as c:
        assert c.line() == {"event": "state", "state": "running"}
        c.said(UP.encode())
        assert c.ask("version")["ok"]["protocol"] == 1
        assert c.ask("status")["ok"] == {"state": "running", "devices": []}
        before = c.ask("stats")["ok"]["exits"]
        c.console.sendall(b"a")
        c.said(b"key a\n")
        assert c.ask("stats")["ok"]["exits"] > before
        assert c.ask("power-button") == {"id": c.id, "ok": {}}
        assert c.ask("dance")["error"]["code"] == "control.verb"
        assert c.ask("pause") == {"id": c.id, "ok": {}}
        assert c.ask("status")["ok"]["state"] == "paused"
        idle = c.ask("stats")["ok"]["exits"]
        assert c.ask("stats")["ok"]["exits"] == idle
        assert c.ask("end") == {"id": c.id, "ok": {}}
        assert c.line() == {"event": "state", "state": "ended", "reason": "order"}
        assert c.line() is None
        assert c.process.wait(30) == 0


@test(limit=60)
def the_machine_goes_on_without_its_connection():
    for broken in (b"x" * 5000, None):
        with Control() as c:
            c.said(UP.encode())
            if broken:
                c.sock.sendall(broken)
                assert c.line() == {"event": "state", "state": "running"} and c.line() is None
            c.sock.close()
            c.console.sendall(b"a")
            c.said(b"key a\n")
            c.console.sendall(b"q")
            assert c.process.wait(30) == 0


@test(limit=60)
def a_hostile_vmm_ends_the_conversation_only():
    """A program that is not holm-vmm says wrong things; it is not killed for that once the guest is up, and nothing blocks."""
    ok = 'read -r x <&10; printf \'{"id":%d,"ok":%s}\\n\' >&10\n'
    for answer in ("not json\\n", "[" * 100 + "\\n", '{"id":1,"ok":{"protocol":2}}\\n', '{"id":1,"ok":7}\\n', '{"id":1,"id":1}\\n'):
        with Guest(["/bin/bash", "-c", f"printf '{answer}' >&10; sleep 100"], channels=CHANNELS, driver="vmm", is_started=False) as g:
            assert g.link.event("failed").text(TEXT)
            g.link.event("exited")
            assert g.wait_end() == 0
    begin = ok % (1, '{"protocol":1}') + ok % (2, "{}") + ok % (3, '{"state":"running"}')
    flood = "read -r x <&10; head -c 1500000 /dev/zero | tr '\\0' x >&10; sleep 100"
    with Guest(["/bin/bash", "-c", begin + flood], channels=CHANNELS, driver="vmm") as g:
        assert g.link.command("stats").text(CODE) == "guest.gone"
        assert g.link.command("powerdown").text(CODE) == "guest.gone"
        assert is_alive(children_of(g.pid)[0])
        assert g.link.command("kill").number(RESULT) == 0
        g.link.event("exited")
    wrong = 'read -r x <&10; printf \'{"id":77,"ok":{}}\\n{"event":7}\\n{"id":4,"ok":{"devices":[{"kind":"disk","counters":{"read-bytes":-1,"write-bytes":"x"}},7]}}\\n\' >&10\n'
    with Guest(["/bin/bash", "-c", begin + wrong + ok % (5, '{"actual-bytes":"x"}') + "sleep 100"], channels=CHANNELS, driver="vmm") as g:
        assert g.link.command("stats").stats() == {"diskread": "0", "diskwrite": "0"}
    states = 'printf \'{"event":"state","state":"%s"}\\n\' >&10\n'
    noise = f"read -r x <&10; for i in {{1..300}}; do {states % 'paused'} {states % 'running'} done; for i in {{1..100}}; do {states % 'ended'} done\n"
    with Guest(["/bin/bash", "-c", begin + noise + 'printf \'{"id":4,"ok":{}}\\n\' >&10\n' + ok % (5, "{}") + "sleep 100"], channels=CHANNELS, driver="vmm") as g:
        assert g.link.command("stats").number(RESULT) == 0
        told = [f for f in g.link.frames if f.kind == EVENT_FRAME and f.text(EVENT) in ("paused", "running")]
        assert len(told) <= 3, len(told)  # nobody asked for more
        assert len([f for f in g.link.frames if f.kind == EVENT_FRAME and f.text(EVENT) == "shutdown"]) == 1


if __name__ == "__main__":
    kvm.give_to_group()
    main()
