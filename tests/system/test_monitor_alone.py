"""holm-guest alone: this file is holmd. Real guests of QEMU: consoles, commands, ends, and what survives whom."""
import atexit
import os
import re
import shutil
import signal
import socket
import stat
import time

from lib.guests import demo_folder
from lib.monitor import (CODE, COMMAND, EXIT_STATUS, PID, RESULT, RESULT_FRAME, STATE, STATUS, TEXT, VERB,
                         build_folder, children_of, field, is_alive, start_ticks, Guest, Terminal)
from lib.tap import main, test
from lib.wait import wait_for

QEMU = "/usr/bin/qemu-system-x86_64"
PROMPT = "/root # "


def qemu_args(*more):
    return [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-S", "-sandbox", "on,spawn=deny",
            "-machine", "q35,usb=off,graphics=off", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "192",
            "-chardev", "socket,id=qmp,fd=10,server=off", "-mon", "chardev=qmp,mode=control",
            "-chardev", "socket,id=serial0,fd=11,server=off", "-device", "isa-serial,chardev=serial0", *more]


def demo_guest(**more):
    """A guest that boots Debian's kernel to a login, on passed descriptors."""
    folder = demo_folder()
    atexit.register(shutil.rmtree, folder, True)
    fds = [os.open(f"{folder}/{name}", os.O_RDONLY) for name in ("vmlinuz", "initrd.img")]
    return Guest(qemu_args("-kernel", "/dev/fd/20", "-initrd", "/dev/fd/21", "-append", "console=ttyS0 quiet"), fds=fds, **more)


def idle_guest(**more):
    """A guest with nothing to boot: starts in 0.2 s."""
    return Guest(qemu_args("-device", "virtio-balloon-pci"), **more)


def log_in(guest):
    t = Terminal(guest, history=True)
    t.expect("HOLM-GUEST-UP", 60)
    t.expect("login: ")
    t.type("root\n")
    t.expect(PROMPT)
    return t


@test(limit=120)
def a_guest_boots_obeys_and_powers_off():
    with demo_guest() as g:
        began = time.monotonic()
        t = log_in(g)
        print(f"# login after {time.monotonic() - began:.1f} s")
        # All forms in odd pieces: size, keep-alive, input.
        for byte in b"1:100:30:20:15:echo $((6*7)).\n":
            t.sock.sendall(bytes([byte]))
        t.expect("\n42.")
        second = Terminal(g, history=True)
        second.expect("HOLM-GUEST-UP")
        second.expect("\n42.")
        # A raw client sees and types the same port.
        third = Terminal(g, mode="raw")
        third.type("echo $((40+3)).\n")
        for terminal in (t, second, third):
            terminal.expect("\n43.")
        # Who says no more may go on listening.
        third.sock.shutdown(socket.SHUT_WR)
        t.type("echo $((40+4)).\n")
        third.expect("\n44.")
        stats = g.link.command("stats")
        assert stats.number(RESULT) == 0 and "diskread" in stats.stats(), stats
        assert g.link.command("powerdown").number(RESULT) == 0
        g.link.event("shutdown", 30)
        exited = g.link.event("exited")
        assert exited.number(EXIT_STATUS) == 0 and exited.text(STATE) == "exited", exited
        assert second.is_closed(5) and third.is_closed(1)
        assert g.wait_end() == 0
        record = g.read("exit")
        assert record["status"] == "0" and record["signal"] == "0" and record["was_up"] == "1", record


@test(limit=30)
def pause_resume_reset_stats():
    with idle_guest() as g:
        assert g.link.command("pause").number(RESULT) == 0
        assert g.link.event("paused").text(STATE) == "paused"
        assert g.link.command("resume").number(RESULT) == 0
        assert g.link.event("running").text(STATE) == "running"
        assert g.link.command("reset").number(RESULT) == 0
        g.link.event("reset")
        stats = g.link.command("stats").stats()
        assert stats["diskread"] == "0" and int(stats["balloon"]) == 192 << 20, stats
        wrong = g.link.command("dance")
        assert wrong.text(CODE) == "guest.verb", wrong
        assert g.link.command("x" * 200).text(CODE) == "guest.verb"
        assert g.link.command("link-down net9").text(CODE) == "guest.refused"
        assert g.link.command("quit").number(RESULT) == 0
        assert g.link.event("exited").number(EXIT_STATUS) == 0
        assert g.wait_end() == 0


@test(limit=30)
def a_guest_may_start_paused():
    with idle_guest(verbs=(), is_started=False) as g:
        assert g.link.event("paused").text(STATE) == "paused"
        assert g.link.command("resume").number(RESULT) == 0
        g.link.event("running")


@test(limit=30)
def record_and_rights():
    with idle_guest() as g:
        record = g.read("monitor")
        assert int(record["pid"]) == g.pid and int(record["start"]) == start_ticks(g.pid)
        assert record["cookie"] == g.cookie.hex() and record["driver"] == "qmp" and record["version"] == "1"
        for name in ("monitor", "sock", "log"):
            mode = os.lstat(f"{g.dir}/{name}").st_mode
            assert stat.S_IMODE(mode) == 0o600, (name, oct(mode))
        for pid in (g.pid, g.qemu):
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            assert status["Uid"].split() == [str(g.uid)] * 4, status["Uid"]
            if pid == g.qemu:
                assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
        # Nobody of the guest's user may look into the monitor.
        assert os.stat(f"/proc/{g.pid}/fd").st_uid == 0
        # QEMU holds what it was given and nothing of the monitor's.
        targets = {int(fd): os.readlink(f"/proc/{g.qemu}/fd/{fd}") for fd in os.listdir(f"/proc/{g.qemu}/fd")}
        assert targets[9] == f"{g.dir}/lock" and targets[0] == "/dev/null", targets
        assert not any(t == g.dir or "launch" in t or t.endswith("/log") for t in targets.values()), targets


@test(limit=30)
def killing_the_monitor_kills_the_guest():
    with idle_guest() as g:
        assert g.is_locked()
        os.kill(g.pid, signal.SIGKILL)
        assert g.wait_end() == -signal.SIGKILL
        wait_for(lambda: not is_alive(g.qemu), 5, "QEMU to end")
        wait_for(lambda: not g.is_locked(), 5, "the lock to be free")


@test(limit=30)
def a_stopped_qemu_dies_with_its_monitor_too():
    """A stopped process does not answer, but it does not outlive its monitor, and the lock tells when it is gone."""
    with idle_guest() as g:
        os.kill(g.qemu, signal.SIGSTOP)
        assert g.is_locked()
        os.kill(g.pid, signal.SIGKILL)
        g.wait_end()
        wait_for(lambda: not is_alive(g.qemu), 5, "QEMU to end")
        wait_for(lambda: not g.is_locked(), 5, "the lock to be free")


@test(limit=30)
def signals_of_a_session_end_nothing():
    with idle_guest() as g:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR1):
            os.kill(g.pid, number)
        assert g.link.command("stats").number(RESULT) == 0
        assert is_alive(g.qemu)


@test(limit=30)
def kill_and_death_of_qemu_are_told():
    with idle_guest() as g:
        assert g.link.command("kill").number(RESULT) == 0
        exited = g.link.event("exited")
        assert exited.number(EXIT_STATUS) == 137 and "signal 9" in exited.text(TEXT), exited
        assert g.wait_end() == 0
        assert g.read("exit")["signal"] == "9"
    with idle_guest() as g:
        os.kill(g.qemu, signal.SIGSEGV)
        exited = g.link.event("exited")
        assert exited.number(EXIT_STATUS) in (139, 128 + signal.SIGSEGV), exited
        assert g.link.receive() is None or g.wait_end() == 0


@test(limit=40)
def holmd_comes_back_with_the_cookie():
    with idle_guest() as g:
        g.link.sock.close()
        wrong = g.connect()
        assert wrong.hello(b"x" * 32) is None
        mute = g.connect()
        mute.send(COMMAND, field(VERB, "kill"), stream=1)
        assert mute.receive() is None
        first = g.connect()
        status = first.hello(g.cookie)
        assert status.kind == STATUS and status.text(STATE) == "running" and status.number(PID) == g.qemu, status
        assert first.command("pause").number(RESULT) == 0
        first.event("paused")
        # The newest who knows the cookie is the controller.
        second = g.connect()
        assert second.hello(g.cookie).text(STATE) == "paused"
        assert first.receive() is None
        g.link = second
        assert second.command("quit").number(RESULT) == 0
        second.event("exited")
        assert g.wait_end() == 0


@test(limit=30)
def the_end_without_holmd_is_on_record():
    with idle_guest() as g:
        g.link.sock.close()
        os.kill(g.qemu, signal.SIGKILL)
        assert g.wait_end() == 0
        assert g.read("exit")["status"] == "137"


@test(limit=30)
def many_silent_connections_do_no_harm():
    with idle_guest() as g:
        strangers = [g.connect() for _ in range(12)]
        assert g.link.command("stats").number(RESULT) == 0
        for s in strangers:
            assert s.receive(15) is None
        back = g.connect()
        assert back.hello(g.cookie).kind == STATUS


@test(limit=30)
def a_hung_qemu_times_out_and_blocks_nobody():
    with idle_guest() as g:
        os.kill(g.qemu, signal.SIGSTOP)
        g.link.stream += 1
        g.link.send(COMMAND, field(VERB, "stats"), stream=g.link.stream)
        slow_stream = g.link.stream
        t = Terminal(g)  # the loop goes on
        assert t.answer.number(RESULT) == 0
        late = g.link.wait(lambda f: f.kind == RESULT_FRAME and f.stream == slow_stream, 20)
        assert late.text(CODE) == "guest.timeout" and late.number(RESULT) == 110, late
        assert is_alive(g.qemu)
        os.kill(g.qemu, signal.SIGCONT)
        assert g.link.command("stats").number(RESULT) == 0
        os.kill(g.qemu, signal.SIGSTOP)
        assert g.link.command("kill").number(RESULT) == 0
        g.link.event("exited")


@test(limit=30)
def a_failed_start_tells_what_qemu_said():
    with Guest(qemu_args("-device", "no-such-device"), is_started=False) as g:
        failed = g.link.event("failed")
        assert "no-such-device" in failed.text(TEXT) and "qemu-system" not in failed.text(TEXT), failed
        exited = g.link.event("exited")
        assert exited.number(EXIT_STATUS) == 1, exited
        assert g.wait_end() == 0
        assert g.read("exit")["was_up"] == "0"
        with open(f"{g.dir}/log", encoding="utf-8") as f:
            assert "no-such-device" in f.read()
    with Guest(["/no/such/program"], is_started=False) as g:
        assert "/no/such/program" in g.link.event("failed").text(TEXT)
        assert g.wait_end() == 1
    with Guest([QEMU], driver="other", is_started=False) as g:
        assert "other" in g.link.event("failed").text(TEXT)
        assert g.wait_end() == 1


@test(limit=60)
def console_tickets_and_limits():
    with idle_guest() as g:
        assert Terminal(g, channel="serial1").answer.text(CODE) == "console.channel"
        assert Terminal(g, mode="other").answer.text(CODE) == "console.mode"
        assert Terminal(g, hello="a\nb", say=False).answer.text(CODE) == "console.hello"
        wrong = Terminal(g, say=False)
        wrong.sock.sendall(b"root@pam:ticket0\n")
        assert wrong.is_closed(5)
        wrong = Terminal(g, say=False)
        wrong.sock.sendall(b"root@pam:tickex\nroot@pam:ticket\n")
        assert wrong.is_closed(5)
        long = Terminal(g, say=False)
        long.sock.sendall(b"x" * 5000)
        assert long.is_closed(5)
        split = Terminal(g, say=False)
        for piece in (b"root@pam", b":tick", b"et", b"\n2"):
            split.sock.sendall(piece)
            time.sleep(0.02)
        assert split.receive(5, 2) == b"OK"
        split.close()
        late = Terminal(g, say=False)
        began = time.monotonic()
        assert late.is_closed(15) and time.monotonic() - began > 5
        wait_for(lambda: len(os.listdir(f"/proc/{g.pid}/fd")) < 20, 5, "the clients to go")
        many = [Terminal(g) for _ in range(16)]
        assert all(t.answer.number(RESULT) == 0 for t in many)
        assert Terminal(g).answer.text(CODE) == "console.busy"


def is_sanitized():
    with open(f"{build_folder()}/src/guest/monitor/holm-guest", "rb") as f:
        return b"libasan" in f.read()


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))


@test(limit=90)
def a_flood_of_output_costs_little():
    with demo_guest() as g:
        t = log_in(g)
        before = pss_kib(g.pid)
        print(f"# monitor: {before} KiB PSS with one console")
        lazy = Terminal(g)
        t.type("yes 0123456789abcdef0123456789abcdef\n")
        # Read until more went by than the ring holds; the lazy one was cut off by then.
        seen = 0
        while seen < 1600 * 1024:
            seen += len(t.receive(20))
        after = pss_kib(g.pid)
        print(f"# monitor: {after} KiB PSS after {seen >> 10} KiB of output")
        assert lazy.is_closed(20)
        if not is_sanitized():  # shadow memory is not the monitor's
            assert after <= 1536, after
        t.type("\x03")
        t.text = ""
        t.type("\necho $((6*7)).\n")
        t.expect("\n42.", 60)
        assert g.link.command("stats").number(RESULT) == 0


# QEMU as it reads the memory of a guest that was paused when it was saved: "cont" is noted for a guest that was running, and
# that the reading has ended is not said.
READS_MEMORY = """
import json, os
qmp, looks, status = os.fdopen(10, "r+b", buffering=0), 0, "inmigrate"
def say(**words):
    qmp.write(json.dumps(words).encode() + b"\\n")
say(QMP={})
for line in qmp:
    asked = json.loads(line)
    command, answer = asked["execute"], {}
    if command == "query-status":
        answer["status"], looks = status, looks + 1
        if looks == 5:
            status = "paused"
    if command == "cont" and status == "paused":
        status = "running"
        say(event="RESUME")
    say(id=asked["id"], **{"return": answer})
"""


@test(limit=30)
def a_snapshots_memory_is_read_before_the_guest_goes_on():
    with Guest(["/usr/bin/python3", "-c", READS_MEMORY], is_started=False) as g:
        running = g.link.event("running")
        assert running.text(STATE) == "running", running
        assert g.link.command("kill").number(RESULT) == 0
        g.link.event("exited")


@test(limit=30)
def hostile_qmp_ends_the_conversation_only():
    """A program that is not QEMU says wrong things; it is not killed for that, and nothing blocks."""
    for answer in ("not json\\n", "[" * 100 + "\\n", '{"QMP":{}}\\n{"return":{},"id":1}\\n{"return":[],"id":2}\\n{"event":[]}\\n{"return":1,"return":2}\\n'):
        with Guest(["/bin/bash", "-c", f"printf '{answer}' >&10; sleep 100"], is_started=False) as g:
            failed = g.link.event("failed")
            assert failed.text(TEXT), failed
            g.link.event("exited")
            assert g.wait_end() == 0
    script = """printf '{"QMP":{}}\\n' >&10; read -r x <&10; printf '{"return":{},"id":1}\\n' >&10; read -r x <&10
printf '{"return":{"status":"prelaunch"},"id":2}\\n' >&10; read -r x <&10; printf '{"return":{},"id":3}\\n' >&10
read -r x <&10; printf '{"return":{"status":"running"},"id":4}\\n' >&10; read -r x <&10; head -c 6000000 /dev/zero | tr '\\0' x >&10; sleep 100"""
    with Guest(["/bin/bash", "-c", script], is_started=False) as g:
        g.link.event("running")
        answer = g.link.command("stats")
        assert answer.text(CODE) == "guest.gone", answer
        assert g.link.command("powerdown").text(CODE) == "guest.gone"
        assert is_alive(children_of(g.pid)[0])
        assert g.link.command("kill").number(RESULT) == 0
        g.link.event("exited")


if __name__ == "__main__":
    main()
