#!/usr/bin/python3
"""holm-vmm by itself on this host's KVM, with a guest of a few hundred instructions (vmm_guest.c): life and end, bad
input, the jail. Unmodified guests are run in tests/lab."""
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess

from lib import kvm, netns, procs
from lib.holm import build_dir, is_sanitized
from lib.tap import main, skip, test
from lib.vmm import DISK, GUEST, TMP, Running, build_guest, command, fresh_disk, need_kvm, run, vmm
from lib.wait import slow, wait_for

NOBODY = 65534
SOMEBODY = 65533


# --- Life ------------------------------------------------------------------------------------------------------------

@test
def guest_prints_and_turns_itself_off():
    need_kvm()
    done = run("ho")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", ""), done


@test(limit=60)
def devices_work_in_the_jail_with_both_engines():
    need_kvm()
    for engine in "uring", "threads":
        done = run("drmlxdo", "--disk", f"raw={fresh_disk()},engine={engine}", "--rng", "host")
        part = "read ok\n{}\nwrite ok\nflush ok\ndiscard ok\nzeroes ok\nzeroes ok\n"
        want = part.format("600df00d") + "entropy ok\nmoved\nneeds reset\nresets ok\n" + part.format("600df00d")
        assert (done.returncode, done.stdout, done.stderr) == (0, want, ""), done
        with open(DISK, "rb") as f:
            content = f.read()
        assert content[512:516] == struct.pack("<I", 0x600df00d) and len(content) == 1 << 20


@test
def guest_resets_itself():
    need_kvm()
    with Running("hb", "--disk", f"raw={fresh_disk()}", "--rng", "host") as guest:
        guest.wait_text(b"hello\n" * 10)


@test
def panic_is_reported():
    need_kvm()
    done = run("po")
    assert done.returncode == 0 and "the guest's kernel panicked" in done.stderr, done


@test
def console_takes_input():
    need_kvm()
    with Running("eo") as guest:
        guest.wait_text(b"listening\n")
        guest.process.stdin.write(b"any bytes, and the end.")
        guest.process.stdin.flush()
        guest.wait_text(b"any bytes, and the end.")
        assert guest.process.wait(slow(60)) == 0


@test
def what_kvm_cannot_run_ends_with_one_error():
    need_kvm()
    done = run("hj", "--cpus", "2")
    assert done.returncode == 1 and done.stdout == "hello\n", done
    assert re.fullmatch(r"<3>holm-vmm.*vCPU 0: KVM could not emulate the guest .*\n", done.stderr), done


@test
def guest_learns_that_it_was_paused():
    need_kvm()
    ours, its = socket.socketpair()
    with ours, its, Running("ko", "--control", f"fd={its.fileno()}", pass_fds=[its.fileno()]) as guest:
        guest.wait_text(b"not paused\n")
        for verb in "pause", "resume":
            ours.sendall(b'{"id":1,"verb":"%s"}\n' % verb.encode())
            while b'"ok"' not in ours.recv(4096):
                pass
        guest.process.stdin.write(b"x")
        guest.process.stdin.flush()
        assert guest.process.wait(slow(10)) == 0
        guest.reader.join()
        assert guest.text == b"not paused\nwas paused\n", guest.text


@test(limit=120)
def pauses_meet_resets_of_devices():
    """A vCPU that waits for a disk to stop is paused, too, and nobody waits for the other for ever."""
    need_kvm()
    for engine in "uring", "threads":
        ours, its = socket.socketpair()
        disk = ("--disk", f"raw={fresh_disk()},queues=2,engine={engine}")
        with ours, its, Running("xo", "--cpus", "3", "--control", f"fd={its.fileno()}", *disk, pass_fds=[its.fileno()]) as guest:
            its.close()
            ours.settimeout(slow(20))
            answers = ours.makefile("rb")
            n_pauses = 0
            while guest.process.poll() is None:
                try:
                    for verb in "pause", "stats", "resume":
                        ours.sendall(b'{"id":1,"verb":"%s"}\n' % verb.encode())
                        while b'"id"' not in (line := answers.readline()) and line:
                            pass
                except ConnectionError:  # it has ended
                    break
                n_pauses += 1
            assert guest.process.wait(slow(10)) == 0 and n_pauses > 3
            guest.reader.join()
            assert guest.text == b"resets ok\n", guest.text


@test(limit=60)
def every_way_to_end_it_leaves_nothing():
    need_kvm()
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        mounts = f.read()
    for number in signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGHUP, signal.SIGQUIT:
        with Running("hs", "--disk", f"raw={fresh_disk()}") as guest:
            guest.wait_text(b"hello\n")
            folder = os.listdir(TMP)
            os.kill(guest.pid, number)
            assert guest.process.wait(slow(60)) == -number
            assert not os.path.exists(f"/proc/{guest.pid}") and os.listdir(TMP) == folder
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        assert f.read() == mounts


@test
def console_that_nobody_reads_any_more_does_not_end_the_guest():
    need_kvm()
    ours, its = os.pipe()
    process = subprocess.Popen(command("hho"), stdin=subprocess.DEVNULL, stdout=its)
    os.close(its)
    os.close(ours)
    assert process.wait(slow(60)) == 0


def jailed(pid):
    """Its status, when it has given everything up."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        text = f.read()
    return text if "\nSeccomp:\t2" in text else None


def is_nonblocking(fd):
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK)


@test(limit=60)
def the_terminal_is_given_back_as_it_was():
    """Whether reads wait belongs to the terminal's description, which the shell shares: however holm-vmm ends, even while it
    runs, it stays as it was."""
    need_kvm()
    for option in "--console", "--vconsole":
        for number in 0, signal.SIGTERM, signal.SIGINT, signal.SIGKILL:
            master, slave = pty.openpty()
            argv = [vmm(), "run", "--kernel", GUEST, option, "stdio", "--cmdline", "eo"]
            process = subprocess.Popen(argv, stdin=slave, stdout=slave)
            if option == "--console":
                seen = b""
                while b"listening" not in seen:
                    seen += os.read(master, 100)
            else:
                wait_for(lambda: jailed(process.pid))
            assert not is_nonblocking(slave)
            if number or option == "--vconsole":
                process.send_signal(number or signal.SIGTERM)
            else:
                os.write(master, b".\n")
            assert process.wait(slow(10)) == -(number or (0 if option == "--console" else signal.SIGTERM))
            assert not is_nonblocking(slave)
            os.close(slave)
            os.close(master)


@test
def output_goes_on_where_the_file_was():
    need_kvm()
    with open(f"{TMP}/output", "w+b") as f:
        f.write(b"before\n")
        f.flush()
        process = subprocess.Popen(command("ho"), stdin=subprocess.DEVNULL, stdout=f)
        assert process.wait(slow(10)) == 0
        f.seek(0)
        assert f.read() == b"before\nhello\n"


# --- Bad input -------------------------------------------------------------------------------------------------------

def write_file(name, content):
    with open(f"{TMP}/{name}", "wb") as f:
        f.write(content)
    return f"{TMP}/{name}"


def refused(argv, text, status, **more):
    done = subprocess.run([vmm(), "run", *argv], capture_output=True, text=True, timeout=slow(20), check=False,
                          stdin=subprocess.DEVNULL, **more)
    assert done.returncode == status, (argv, done)
    assert text in done.stderr and done.stdout == "", (argv, done)
    assert done.stderr.startswith("<3>holm-vmm") and len(done.stderr.splitlines()) == 1, (argv, done)


@test(limit=60)
def wrong_options_are_one_error():
    build_guest()
    good = ["--kernel", GUEST]
    for argv, text in (
            ([], "needs a kernel"),
            (["--kernel", f"{TMP}/none"], "No such file"),
            (["--kernel", "fd=77"], "no open descriptor"),
            (["--kernel", "fd=x"], "no open descriptor"),
            (["--kernel"], "needs a value"),
            (["kernel", GUEST], "is no option"),
            ([*good, "--colour", "red"], "no option --colour"),
            ([*good, "--cpus", "0"], "1 to 64"),
            ([*good, "--cpus", "65"], "1 to 64"),
            ([*good, "--cpus", "two"], "1 to 64"),
            ([*good, "--memory", "8M"], "16M to 1T"),
            ([*good, "--memory", "100000001"], "whole MiB"),
            ([*good, "--memory", "64M,colour=red"], "hugepages"),
            ([*good, "--memory", "64M,hugepages=3M"], "2M or 1G"),
            ([*good, "--console", "pty"], "stdio, none or fd=N"),
            ([*good, "--paused", "perhaps"], "on or off"),
            ([*good, "--control", "/tmp/x"], "fd=N"),
            ([*good, "--jail", "perhaps"], "value without a key"),
            ([*good, "--jail", "uid=0,gid=5"], "unprivileged"),
            ([*good, "--jail", "uid=5,gid=0"], "unprivileged"),
            ([*good, "--jail", "uid=5,root=/tmp"], "on, off or uid=N,gid=N"),
            (["--config", write_file("config", b"kernel\n")], "without a value"),
            (["--config", write_file("config2", b"config x\n")], "names no other"),
            (["--config", write_file("config3", b"kernel x\0y\n")], "zero byte"),
            (["--config", write_file("config4", b"# much\n" * 50000)], "larger than")):
        refused(argv, text, 2)


@test(limit=60)
def wrong_kernels_are_one_error():
    need_kvm()
    with open(GUEST, "rb") as f:
        good = f.read()
    bzimage = bytearray(4096)
    bzimage[0x1fe:0x200] = b"\x55\xaa"
    bzimage[0x202:0x206] = b"HdrS"
    wrong_machine, low, beyond = bytearray(good), bytearray(good), bytearray(good)
    wrong_machine[18:20] = struct.pack("<H", 40)
    headers = struct.unpack_from("<Q", good, 32)[0]
    low[headers + 24:headers + 32] = struct.pack("<Q", 0x1000)
    beyond[headers + 8:headers + 16] = struct.pack("<Q", 1 << 40)
    kernels = {"empty": b"", "noise": os.urandom(5000), "text": b"#!/bin/sh\n", "short": good[:40],
               "headers": good[:80], "bzimage": bytes(bzimage), "bzimage-short": bytes(bzimage[:0x210]),
               "machine": bytes(wrong_machine), "low": bytes(low), "beyond": bytes(beyond), "cut": good[:5000]}
    for name, content in kernels.items():
        refused(["--kernel", write_file(f"kernel-{name}", content)], "the machine: ", 1)
    refused(["--kernel", TMP], "the machine: ", 1)


@test(limit=60)
def what_does_not_fit_is_one_error():
    need_kvm()
    sparse = write_file("initrd", b"")
    os.truncate(sparse, 64 << 20)
    refused(["--kernel", GUEST, "--memory", "32M", "--initrd", sparse], "does not fit", 1)
    refused(["--kernel", GUEST, "--cmdline", "x" * 5000], "too long", 1)
    refused(["--kernel", GUEST, "--memory", "64M,hugepages=1G"], "the machine: ", 1)
    refused(["--kernel", GUEST, "--initrd", TMP], "the machine: ", 1)
    refused(["--kernel", GUEST, "--initrd", write_file("nothing", b"")], "the machine: ", 1)


@test(limit=60)
def wrong_devices_are_one_error():
    need_kvm()
    small = write_file("small", b"x" * 100)
    for option in ("raw=/none", f"raw={TMP}", f"raw={small}", "fd=77", "readonly=on", "raw=/dev/null",
                   f"raw={fresh_disk()},colour=red", f"raw={DISK},queues=17", f"raw={DISK},queues=0",
                   f"raw={DISK},engine=steam", f"raw={DISK},serial={'x' * 21}", f"raw={DISK},raw={DISK}", "raw="):
        refused(["--kernel", GUEST, "--disk", option], "the machine: ", 1)
    refused(["--kernel", GUEST, "--rng", "/dev/random"], "the machine: ", 1)
    disks = ["--disk", f"raw={DISK}"] * 29
    refused(["--kernel", GUEST, *disks], "at most", 2)


# --- The jail --------------------------------------------------------------------------------------------------------

def assert_locked_up(guest, has_namespaces=True, is_root=True):
    for name, status in guest.statuses():
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", (name, status)
        for kind in "CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd":
            if kind != "CapBnd" or has_namespaces:
                assert int(status[kind], 16) == 0, (name, kind, status[kind])
        uid = NOBODY if is_root else SOMEBODY
        assert status["Uid"].split() == [str(uid)] * 4 and status["Gid"].split() == [str(uid)] * 4, (name, status)
    for space in ("mnt", "net", "ipc", "uts") if has_namespaces else ():
        assert os.readlink(f"/proc/{guest.pid}/ns/{space}") != os.readlink(f"/proc/self/ns/{space}"), space
    if has_namespaces:
        assert os.listdir(f"/proc/{guest.pid}/root/") == []
        with open(f"/proc/{guest.pid}/mountinfo", encoding="ascii") as f:
            mounts = f.read().splitlines()
        assert len(mounts) == 1 and "tmpfs" in mounts[0] and " ro,nosuid,nodev,noexec" in mounts[0], mounts
    with open(f"/proc/{guest.pid}/limits", encoding="ascii") as f:
        limits = dict(re.findall(r"^Max ([a-z ]+?)  +(\S+) ", f.read(), re.M))
    assert limits["core file size"] == "0" and int(limits["open files"]) < 300, limits
    assert os.stat(f"/proc/{guest.pid}/fd").st_uid == 0, "dumpable"


def descriptors(pid):
    return {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}


@test
def jail_of_root():
    need_kvm()
    if os.geteuid() != 0:
        skip("not root")
    secret = os.open(DISK if os.path.exists(DISK) else GUEST, os.O_RDONLY)
    os.set_inheritable(secret, True)
    with Running("hs", "--disk", f"raw={fresh_disk()}", "--rng", "host", "--cpus", "2", close_fds=False) as guest:
        guest.wait_text(b"hello\n")
        assert_locked_up(guest)
        names = sorted(name for name, _ in guest.statuses() if not name.startswith("kvm-nx-"))  # of the kernel's own
        assert names == ["disk1.0", "holm-vmm", "vcpu0", "vcpu1"], names
        open_files = descriptors(guest.pid)
        assert secret not in open_files or open_files[secret].startswith("anon_inode"), open_files
        files = {path for path in open_files.values() if path.startswith("/")}
        assert files == {GUEST, DISK, "/dev/kvm", "/dev/null"}, files
    os.close(secret)


@test(limit=60)
def jail_has_room_for_all_connections_and_their_guest():
    """So many as vsock takes, and the interrupt lines of the guest's driver after that."""
    need_kvm()
    path = f"{TMP}/vsock"
    with Running("edo", "--vsock", f"cid=3,socket={path}", "--disk", f"raw={fresh_disk()}") as guest:
        guest.wait_text(b"listening\n")
        programs = []
        for port in range(256):
            program_end = socket.socket(socket.AF_UNIX)
            program_end.settimeout(slow(10))
            program_end.connect(path)
            program_end.sendall(b"LISTEN %d\n" % port)
            assert program_end.recv(100) == b"OK %d\n" % port
            programs.append(program_end)
        guest.process.stdin.write(b".")
        guest.process.stdin.flush()
        assert guest.process.wait(slow(10)) == 0
        assert b"zeroes ok\n" in guest.text
        for program_end in programs:
            program_end.close()
    os.unlink(path)


@test
def jail_with_a_user_of_its_own_and_without_stdio():
    need_kvm()
    if os.geteuid() != 0:
        skip("not root")
    process = subprocess.Popen([vmm(), "run", "--kernel", GUEST, "--cmdline", "s", "--jail", "uid=70001,gid=70002"])

    try:
        text = wait_for(lambda: jailed(process.pid))
        assert "\nUid:\t70001\t70001" in text and "\nGid:\t70002\t70002" in text and "\nGroups:\t \n" in text, text
        assert {descriptors(process.pid)[fd] for fd in (0, 1)} == {"/dev/null"}
        with open(f"/proc/{process.pid}/limits", encoding="ascii") as f:
            assert re.search(r"^Max processes +1024 ", f.read(), re.M)
    finally:
        process.kill()
        process.wait()


@test
def console_on_a_descriptor_that_is_standard_input_stays():
    need_kvm()
    ours, its = socket.socketpair()
    with ours, its:
        process = subprocess.Popen([vmm(), "run", "--kernel", GUEST, "--cmdline", "ho", "--console", "fd=0"], stdin=its,
                                   stdout=subprocess.DEVNULL)
        assert process.wait(slow(60)) == 0 and ours.recv(100) == b"hello\n"


def as_somebody():
    group = os.stat("/dev/kvm").st_gid
    return ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", f"--groups={group}", "--bounding-set=-all"]


def may_everybody_make_namespaces():
    return subprocess.run([*as_somebody(), "unshare", "-Un", "true"], capture_output=True, check=False).returncode == 0


@test
def jail_of_an_unprivileged_user():
    need_kvm()
    if os.geteuid() != 0:
        skip("not root")
    for path in TMP, GUEST, fresh_disk():
        os.chmod(path, 0o777)
    has_namespaces = may_everybody_make_namespaces()
    with Running("hs", "--disk", f"raw={DISK}", before=as_somebody()) as guest:
        guest.wait_text(b"hello\n")
        assert_locked_up(guest, has_namespaces, is_root=False)


@test
def jail_where_a_user_may_not_make_namespaces():
    """A process in a chroot may not: there the rest of the jail is still built."""
    need_kvm()
    if os.geteuid() != 0:
        skip("not root")
    os.chmod(TMP, 0o777)
    os.chmod(GUEST, 0o777)
    os.makedirs(f"{TMP}/elsewhere", exist_ok=True)
    group = os.stat("/dev/kvm").st_gid
    enter = (f'mount --rbind / {TMP}/elsewhere && exec chroot --userspec={SOMEBODY}:{SOMEBODY} --groups={group} '
             f'{TMP}/elsewhere "$@"')
    with Running("hs", before=["unshare", "-m", "sh", "-c", enter, "sh"]) as guest:
        guest.wait_text(b"hello\n")
        assert_locked_up(guest, has_namespaces=False, is_root=False)
    with Running("hso", "--jail", "off") as guest:
        guest.wait_text(b"hello\n")
        assert all(status["Seccomp"] == "0" for _, status in guest.statuses())


# --- The lists of system calls ---------------------------------------------------------------------------------------

# Rows that no run of this file shows, and what shows them.
SHOWN_ELSEWHERE = {
    "main brk": "malloc, when the heap at hand is used up",
    "main mmap 2:0x4:0": "malloc, where the heap cannot grow because something lies behind it, or for a large piece",
    "main fstat": "C libraries from 2.39 on",
    "main clock_gettime": "where the kernel gives no page to read the time from",
    "net clock_gettime": "where the kernel gives no page to read the time from",
}
OF_BLOCK_DEVICES = "main ioctl 1:0xffffffff:0x80081272"


def traced(letters, *options, until=None, talk=None, fds=()):
    """(kind, call, arguments) of every call made after the filters were loaded, by strace. talk: is called when the guest
    said so, to do what it waits for."""
    log = f"{TMP}/trace"
    argv = ["strace", "-f", "-qq", "-e", "raw=!prctl", "-e", "signal=none", "-o", log,
            *command(letters, *options)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=fds)
    try:
        if until:
            wait_output(process, until)
            talk(process)
        out, err = process.communicate(timeout=slow(60))
    except BaseException:
        for pid in procs.descendants(process.pid):
            os.kill(pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, (out, err)
    return read_trace(log)


def wait_output(process, text):
    seen = b""
    while text not in seen:
        chunk = os.read(process.stdout.fileno(), 4096)
        assert chunk, (seen, process.stderr.read())
        seen += chunk


def type_bytes(process):
    process.stdin.write(b"bytes.")
    process.stdin.flush()


def trace_disks():
    """Whether a disk is stopped with requests on their way is a matter of luck, so with io_uring a few times."""
    seen = set()
    for engine in ("threads", *["uring"] * 5):
        devices = ("--disk", f"raw={fresh_disk()},engine={engine}", "--rng", "host")
        seen |= traced("hdrmxeo", *devices, until=b"listening\n", talk=type_bytes)
        seen |= traced("hdrmBho", *devices)
        if any(event[:2] == ("vcpu", "io_uring_enter") for event in seen):
            break
    return seen


def ask(control, verb, **more):
    control.sendall(json.dumps({"id": 1, "verb": verb, **more}).encode() + b"\n")
    answer = b""
    while b'"id":1' not in answer:
        answer += control.recv(4096)
    assert b'"ok"' in answer, answer


def trace_control():
    """A disk that grows, a reset by order, a connection that says too much."""
    ours, its = socket.socketpair()
    with ours, its:
        def talk(process):
            ask(ours, "disk-resize", device="disk0", bytes=4 << 20)
            ask(ours, "reset")
            wait_output(process, b"listening\n")
            ours.sendall(b"x" * 10000)
            while ours.recv(4096):
                pass
            type_bytes(process)
        return traced("deo", "--disk", f"raw={fresh_disk()}", "--control", f"fd={its.fileno()}", until=b"listening\n", talk=talk,
                      fds=[its.fileno()])


def has_loop_devices():
    return subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode == 0


def trace_block_device():
    """One that grows."""
    if not has_loop_devices():
        return set()
    made = subprocess.run(["losetup", "--find", "--show", fresh_disk()], capture_output=True, text=True, check=True)
    device = made.stdout.strip()
    ours, its = socket.socketpair()

    def talk(process):
        os.truncate(DISK, 4 << 20)
        subprocess.run(["losetup", "--set-capacity", device], check=True)
        ask(ours, "disk-resize", device="disk0", bytes=4 << 20)
        type_bytes(process)
    try:
        with ours, its:
            return traced("eo", "--disk", f"raw={device}", "--control", f"fd={its.fileno()}", until=b"listening\n", talk=talk,
                          fds=[its.fileno()])
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def trace_tap():
    """Two pairs of queues, a limit, and a reset by order."""
    netns.ip("tuntap", "add", "tap0", "mode", "tap", "vnet_hdr", "multi_queue")
    netns.ip("link", "set", "tap0", "up")
    frame = b"\xff" * 12 + b"\x88\xb5"
    ours, its = socket.socketpair()
    with ours, its, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0xb588) as host:
        host.bind(("tap0", 0x88b5))
        host.settimeout(slow(10))

        def say(text):
            host.send(frame + text + bytes(60))
            while not host.recv(2000).startswith(frame + text):
                pass

        def talk(process):
            say(b"hello")
            ask(ours, "reset")
            wait_output(process, b"ready\n")
            for _ in range(110):  # the burst, and some
                host.send(frame + bytes(1400))
            say(b".")
        return traced("No", "--net", "tap=tap0,queues=2,rate=0.02", "--control", f"fd={its.fileno()}", until=b"ready\n", talk=talk,
                      fds=[its.fileno()])


def trace_text():
    with open(f"{TMP}/trace", encoding="utf-8", errors="replace") as f:
        return f.read()


def trace_frames():
    """Frames over a socket that its other side leaves."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def talk(process):
        ours.send(bytes(12 + 14) + b"." + bytes(45))
        ours.recv(2000)
        wait_output(process, b"listening\n")
        ours.close()
        wait_for(lambda: "getsockopt(" in trace_text())
        type_bytes(process)
    with its:
        return traced("Neo", "--net", f"fd={its.fileno()}", until=b"ready\n", fds=[its.fileno()], talk=talk)


def trace_console():
    ours, its = socket.socketpair()
    with ours, its:
        def talk(_process):
            for text in b"text", b".":
                ours.sendall(text)
                assert ours.recv(100) == text
        return traced("Vo", "--vconsole", f"fd={its.fileno()}", until=b"ready\n", fds=[its.fileno()], talk=talk)


def trace_calls():
    def talk(_process):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(slow(10))
            caller.connect(f"{TMP}/vsock")
            caller.sendall(b"CONNECT 1234\n")
            assert caller.recv(100).startswith(b"OK ")
            for text in b"text", b".":
                caller.sendall(text)
                assert caller.recv(100) == text
            assert caller.recv(100) == b""
    return traced("So", "--vsock", f"cid=3,socket={TMP}/vsock", until=b"ready\n", talk=talk)


def read_trace(log):
    names, filtered, seen = {}, set(), set()
    with open(log, encoding="utf-8", errors="replace") as f:
        for line in f:
            call = re.match(r"(\d+) +(\w+)\((.*)", line)
            if not call:
                continue
            tid, name, rest = call.groups()
            if name == "prctl" and (given := re.match(r'PR_SET_NAME, "(\w+)', rest)):
                names[tid] = given[1].rstrip("0123456789")
            if tid in filtered:
                seen.add((names.get(tid, "main"), name, tuple(re.findall(r"0x[0-9a-f]+|\b0\b", rest.split(")")[0].split("<")[0]))))
            elif name == "seccomp":
                filtered.add(tid)
    return seen


def listed_rows():
    out = subprocess.run([f"{build_dir()}/tests/test-vmm_calls", "--list"], capture_output=True, text=True, check=True)
    return [line.split() for line in out.stdout.splitlines()]


def is_row_of(row, event):
    kind, name, *conditions = row
    if (kind, name) != event[:2]:
        return False
    for condition in conditions:
        argument, mask, value = (int(n, 0) for n in condition.split(":"))
        if int(event[2][argument], 0) & mask != value:
            return False
    return True


@test(limit=300)
def every_row_is_needed():
    need_kvm()
    if is_sanitized():
        skip("sanitizers make calls of their own")
    if not shutil.which("strace"):
        skip("there is no strace")
    if os.geteuid() != 0:
        skip("not root")
    netns.enter()
    seen = trace_disks() | trace_control() | trace_block_device() | trace_tap() | trace_frames() | trace_console() | trace_calls()
    rows = listed_rows()
    unused = [" ".join(row) for row in rows if not any(is_row_of(row, event) for event in seen)]
    unused = [row for row in unused if row not in SHOWN_ELSEWHERE and (has_loop_devices() or row != OF_BLOCK_DEVICES)]
    assert not unused, unused
    assert len(seen) > 100
    assert all(any(is_row_of(row, event) for row in rows) for event in seen)


if __name__ == "__main__":
    kvm.give_to_group()
    main()
