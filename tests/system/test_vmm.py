#!/usr/bin/python3
"""holm-vmm by itself on this host's KVM, with a guest of a few hundred instructions (vmm_guest.c): life and end, bad
input, the jail. Unmodified guests are run in tests/lab."""
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

from lib import facts
from lib.holm import build_dir, is_sanitized, program
from lib.tap import main, skip, test
from lib.wait import slow, wait_for

TMP = tempfile.mkdtemp(prefix="holm-vmm-")
GUEST = f"{TMP}/guest"
DISK = f"{TMP}/disk"
NOBODY = 65534
SOMEBODY = 65533


def vmm():
    return program("holm-vmm", "vmm")


def build_guest():
    """32-bit code, and as the loader wants it: an ELF file of 64 bits."""
    if os.path.exists(GUEST):
        return
    flags = ["-m32", "-O1", "-ffreestanding", "-fno-pic", "-fno-stack-protector", "-fcf-protection=none",
             "-fno-asynchronous-unwind-tables", "-mgeneral-regs-only", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-c", "-o", f"{TMP}/guest.o", f"{facts.TOP}/tests/system/vmm_guest.c"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-N", "-Ttext=0x100000", "--build-id=none", "--no-warn-rwx-segments",
                    "-o", f"{TMP}/guest32", f"{TMP}/guest.o"], check=True)
    subprocess.run(["objcopy", "-O", "elf64-x86-64", f"{TMP}/guest32", f"{GUEST}.new"], check=True)
    os.rename(f"{GUEST}.new", GUEST)


def need_kvm():
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        skip(f"/dev/kvm: {e.strerror}")
    build_guest()


def fresh_disk(size=1 << 20):
    with open(DISK, "wb") as f:
        f.write(b"\x0d\xf0\x0d\x60")
        f.truncate(size)
    return DISK


def command(letters, *options):
    return [vmm(), "run", "--kernel", GUEST, "--console", "stdio", "--cmdline", letters, *options]


def run(letters, *options, before=(), **more):
    return subprocess.run([*before, *command(letters, *options)], capture_output=True, text=True, timeout=slow(20),
                          check=False, **{"stdin": subprocess.DEVNULL, **more})


class Running:
    """A guest that goes on until it is ended; everything it prints is kept."""

    def __init__(self, letters, *options, before=(), **more):
        self.process = subprocess.Popen([*before, *command(letters, *options)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        self.pid = self.process.pid
        self.text = b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while chunk := os.read(self.process.stdout.fileno(), 4096):
            self.text += chunk

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def wait_text(self, text):
        wait_for(lambda: text in self.text or self.process.poll() is not None, 15, f"{text} of the guest")
        assert text in self.text, (self.text, self.process.stderr.read())

    def statuses(self):
        """Name and status of each thread."""
        found = []
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{tid}/status", encoding="ascii") as f:
                fields = dict(re.findall(r"^(\w+):\t(.*)$", f.read(), re.M))
            found.append((fields["Name"], fields))
        return found


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
        assert files == {GUEST, DISK, "/dev/kvm"}, files
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

    def status():
        with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
            text = f.read()
        return text if "\nSeccomp:\t2" in text else None
    try:
        text = wait_for(status)
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
}
# Calls of devices that the guest of this file has no driver for; guests of the lab have (tests/lab/jobs).
DRIVEN_IN_LAB = re.compile("net |main (readv|writev|accept4|recvfrom|sendto|sendmsg|shutdown|timerfd_settime|"
                           "clock_gettime|ftruncate)$|main ioctl 1:0xffffffff:0x80081272$|"
                           "(main|vcpu) ioctl 1:0xffffffff:0x400454d[09]$")


def traced(letters, *options, until=None):
    """(kind, call, arguments) of every call made after the filters were loaded, by strace."""
    log = f"{TMP}/trace"
    argv = ["strace", "-f", "-qq", "-e", "raw=!prctl", "-e", "signal=none", "-o", log,
            *command(letters, *options)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if until:
        seen = b""
        while until not in seen:
            chunk = os.read(process.stdout.fileno(), 4096)
            assert chunk, (seen, process.stderr.read())
            seen += chunk
        process.stdin.write(b"bytes.")
        process.stdin.flush()
    out, err = process.communicate(timeout=slow(30))
    assert process.returncode == 0, (out, err)
    return read_trace(log)


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


@test(limit=120)
def every_row_is_needed():
    need_kvm()
    if is_sanitized():
        skip("sanitizers make calls of their own")
    if not shutil.which("strace"):
        skip("there is no strace")
    seen = set()
    for engine in "threads", "uring":
        devices = ("--disk", f"raw={fresh_disk()},engine={engine}", "--rng", "host")
        seen |= traced("hdrmxeo", *devices, until=b"listening\n")
        seen |= traced("hdrmBho", *devices)
    rows = listed_rows()
    unused = [" ".join(row) for row in rows if not any(is_row_of(row, event) for event in seen)]
    unused = [row for row in unused if row not in SHOWN_ELSEWHERE and not DRIVEN_IN_LAB.match(row)]
    assert not unused, unused
    assert len(seen) > 100
    assert all(any(is_row_of(row, event) for row in rows) for event in seen)


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(TMP, ignore_errors=True)
