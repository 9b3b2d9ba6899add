"""A guest without a kernel (tests/system/bareguest.S) for holm-vmm, on hosts whose /dev/kvm runs no other."""
import functools
import os
import subprocess
import tempfile

from lib import facts
from lib.tap import skip


@functools.cache
def kernel():
    """An ELF file with a PVH entry; its path."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        skip("there is no /dev/kvm")
    fd, path = tempfile.mkstemp(prefix="bareguest")
    os.close(fd)
    subprocess.run(["gcc", "-nostdlib", "-static", "-no-pie", "-Wl,-N,-Ttext=0x100000,--build-id=none", "-o", path,
                    f"{facts.TOP}/tests/system/bareguest.S"], check=True)
    return path
