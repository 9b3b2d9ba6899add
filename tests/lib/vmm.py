"""holm-vmm by hand with the bare guest of tests/system/vmm_guest.c, on this host's KVM."""
import atexit
import os
import re
import shutil
import subprocess
import tempfile
import threading

from lib import facts
from lib.holm import program
from lib.tap import skip
from lib.wait import slow, wait_for

TMP = tempfile.mkdtemp(prefix="holm-vmm-")
atexit.register(shutil.rmtree, TMP, ignore_errors=True)
GUEST = f"{TMP}/guest"
DISK = f"{TMP}/disk"


def vmm():
    return program("holm-vmm", "vmm")


def build_guest():
    """32-bit code, and as the loader wants it: an ELF file of 64 bits."""
    if os.path.exists(GUEST):
        return
    flags = ["-m32", "-O1", "-ffreestanding", "-fno-pic", "-fno-stack-protector", "-fcf-protection=none",
             "-fno-asynchronous-unwind-tables", "-mgeneral-regs-only", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-c", "-o", f"{TMP}/guest.o", f"{facts.TOP}/tests/system/vmm_guest.c"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-N", "-Ttext=0x100000", "--section-start=.note.pvh=0x180000", "--build-id=none", "--no-warn-rwx-segments",
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
