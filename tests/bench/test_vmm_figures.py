"""What holm-vmm costs by itself, on this host's KVM with a guest of two instructions: time until the first of them, memory
beyond the guest's. Beside it the least C program that does the same (minimal_kvm.c), and QEMU with that guest as its firmware.
All take turns. What else the machine does can only add to a time: the least of many is what is held against the bound."""
import glob
import os
import re
import signal
import subprocess
import time

from bench.figures import note, within
from lib import facts, netns
from lib.holm import is_sanitized, program
from lib.tap import main, skip, test
from lib.vmm import TMP, Running, fresh_disk, need_kvm

HERE = f"{facts.TOP}/tests/bench"
FIRST, FIRMWARE, MINIMAL = f"{TMP}/first", f"{TMP}/firmware", f"{TMP}/minimal_kvm"
QEMU = "/usr/bin/qemu-system-x86_64"
ROUNDS = 40
MIB = 1 << 20


def build():
    flags = ["-nostdlib", "-static", "-no-pie"]
    subprocess.run(["gcc", *flags, "-Wl,-N,-Ttext=0x100000,--section-start=.note.Xen=0x100100,--build-id=none", "-Wl,--no-warn-rwx-segments",
                    "-o", FIRST, f"{HERE}/first.S"], check=True)
    subprocess.run(["gcc", *flags, "-DFIRMWARE", "-Wl,-Ttext=0,--build-id=none,--oformat=binary", "-o", FIRMWARE,
                    f"{HERE}/first.S"], check=True)
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", MINIMAL, f"{HERE}/minimal_kvm.c"], check=True)


def first_byte(argv):
    """Milliseconds from exec until the guest's byte is here."""
    ours, its = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, its, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    began = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
    os.close(its)
    byte = os.read(ours, 1)
    took = (time.perf_counter() - began) * 1000
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ours)
    os.close(null)
    assert byte, f"{argv}: ended without a byte"
    return took


def contenders(mib):
    qemu = [QEMU, "-accel", "kvm", "-m", str(mib), "-nodefaults", "-display", "none", "-serial", "stdio", "-bios", FIRMWARE]
    return {"holm-vmm": [program("holm-vmm", "vmm"), "run", "--kernel", FIRST, "--memory", f"{mib}M", "--console", "stdio"],
            "minimal C program": [MINIMAL, FIRST, str(mib)],
            "QEMU microvm": [*qemu, "-M", "microvm"],
            "QEMU q35": [*qemu, "-M", "q35"]}


@test(limit=240)
def exec_to_the_first_instruction():
    need_kvm()
    build()
    sizes = (128, 4096)
    times = {(mib, name): [] for mib in sizes for name in contenders(mib)}
    for turn in range(ROUNDS):
        for mib, name in times:
            if not name.startswith("QEMU") or turn % 4 == 0:
                times[mib, name].append(first_byte(contenders(mib)[name]))
    more = {}
    for mib in sizes:
        for name in contenders(mib):
            if name != "holm-vmm":
                note(f"exec to first instruction, {mib} MiB", "ms", times[mib, "holm-vmm"], name, times[mib, name])
        least = {name: min(times[mib, name]) for name in contenders(mib)}
        more[mib] = least["holm-vmm"] - least["minimal C program"]
        note(f"the same, least of all turns, {mib} MiB", "ms", [least["holm-vmm"]], "minimal C program", [least["minimal C program"]])
        within(f"exec to first instruction, {mib} MiB, beyond a minimal C program", "ms", more[mib], 2)
        assert least["holm-vmm"] < least["QEMU microvm"] and least["holm-vmm"] < least["QEMU q35"], least
    # What the kernel does for each MiB is in both.
    within("4 GiB of memory beside 128 MiB", "ms", abs(more[4096] - more[128]), 0.5)


def beyond_memory(pid, mib):
    """(private, proportional) KiB of a process without the mapping that is the guest's memory."""
    private = proportional = found = 0
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", f.read(), flags=re.M)[1:]:
            first, last = (int(n, 16) for n in re.match(r"([0-9a-f]+)-([0-9a-f]+)", part).groups())
            if last - first == mib * MIB:
                found += 1
                continue
            private += sum(int(n) for n in re.findall(r"^Private_\w+: +(\d+) kB", part, re.M))
            proportional += sum(int(n) for n in re.findall(r"^Pss: +(\d+) kB", part, re.M))
    assert found == 1, f"{found} mappings of the guest's size"
    return private, proportional


def qemu_beyond_memory(mib, tap, disk):
    """The same devices; its guest does nothing with them."""
    argv = [QEMU, "-accel", "kvm", "-M", "microvm", "-m", str(mib), "-nodefaults", "-display", "none", "-serial", "stdio",
            "-bios", FIRMWARE, "-drive", f"if=none,id=d,format=raw,file={disk}", "-device", "virtio-blk-device,drive=d",
            "-netdev", f"tap,id=n,ifname={tap},script=no,downscript=no", "-device", "virtio-net-device,netdev=n"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert os.read(process.stdout.fileno(), 1), "QEMU ended"
    found = beyond_memory(process.pid, mib)
    process.kill()
    process.communicate()
    return found


@test(limit=60)
def memory_beyond_the_guests():
    need_kvm()
    if os.geteuid() != 0:
        skip("not root")
    build()
    netns.enter()
    for tap in "tap0", "tap1":
        netns.ip("tuntap", "add", tap, "mode", "tap", *(["vnet_hdr"] if tap == "tap0" else []))
        netns.ip("link", "set", tap, "up")
    mib = 128
    options = ("--memory", f"{mib}M", "--disk", f"raw={fresh_disk()}", "--net", "tap=tap0", "--rng", "host")
    with Running("drNs", *options) as guest:  # each of them is used; the last one waits for a frame
        guest.wait_text(b"entropy ok\nready\n")
        private, proportional = beyond_memory(guest.pid, mib)
    other = qemu_beyond_memory(mib, "tap1", fresh_disk())
    note("private memory beyond the guest's", "KiB", [private], "QEMU microvm", [other[0]])
    note("PSS beyond the guest's memory", "KiB", [proportional], "QEMU microvm", [other[1]])
    within("private memory beyond the guest's", "KiB", private, 3072)
    within("PSS beyond the guest's memory", "KiB", proportional, 3072)


@test
def size_of_the_program():
    if is_sanitized():
        skip("sanitizers are most of it")
    subprocess.run(["strip", "-o", f"{TMP}/stripped", program("holm-vmm", "vmm")], check=True)
    size = os.path.getsize(f"{TMP}/stripped") / 1024
    note("holm-vmm, stripped", "KiB", [size], "QEMU", [os.path.getsize(QEMU) / 1024])
    within("holm-vmm, stripped", "KiB", size, 1024)


@test
def lines_of_the_program():
    files = [f for f in glob.glob(f"{facts.TOP}/src/vmm/**/*.[ch]", recursive=True)
             if not f.endswith("_test.c") and not os.path.basename(f).startswith("harness.")]
    lines = 0
    for name in files:
        with open(name, encoding="utf-8") as f:
            lines += sum(1 for _ in f)
    assert len(files) > 50
    note("src/vmm without its tests", "lines", [lines])
    assert lines <= 12000, lines


if __name__ == "__main__":
    main()
