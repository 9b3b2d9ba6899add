"""A small file system of the test's own: an image file with a loop device, mounted where only this process and what it
starts can see it; all of it is gone with the process. What is free on it is what the test leaves."""
import ctypes
import errno
import os
import shutil
import subprocess
import tempfile

from lib.tap import skip

CLONE_NEWNS = 0x00020000
FILLER = ".filler"
SLACK = 256 << 10


def own_mounts():
    """What this process mounts from now on only it and what it starts can see; False where the machine cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return False
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    return True


def mount(path, kind, mebibytes, options=()):
    """Before any daemon is started: mounts a new file system on a folder that is there. Skips where the machine cannot."""
    if os.geteuid() != 0 or not shutil.which(f"mkfs.{kind}"):
        skip(f"not root, or no mkfs.{kind}")
    if not own_mounts():
        skip("no mounts of its own")
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix=f"holm-{kind}-") as image:
        image.truncate(mebibytes << 20)
        subprocess.run([f"mkfs.{kind}", "-q", *options, image.name], check=True, capture_output=True)
        done = subprocess.run(["mount", "-t", kind, "-o", "loop", image.name, path], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            skip(f"no loop devices, or no {kind} in the kernel: " + done.stderr.strip())
    # The mount holds the file and the device.


def ext4(path, mebibytes):
    """Nothing of it is kept for root, so that all see the same room."""
    mount(path, "ext4", mebibytes, ("-m", "0", "-O", "^has_journal", "-b", "1024"))


def free_bytes(path):
    v = os.statvfs(path)
    return v.f_bavail * v.f_frsize


def leave(path, n_bytes):
    """Takes all space but so much, as nearly as the file system's blocks allow; None: gives it all back."""
    filler = os.path.join(path, FILLER)
    if os.path.exists(filler):
        os.unlink(filler)
    os.sync()
    if n_bytes is None:
        return
    take = free_bytes(path) - n_bytes
    assert take > 0, f"{path} has {free_bytes(path)} bytes, less than {n_bytes}"
    with open(filler, "wb", buffering=0) as f:
        # What tells where the filler lies takes room, too: the last of it in small pieces.
        os.posix_fallocate(f.fileno(), 0, max(take - SLACK, 1))
        f.seek(0, os.SEEK_END)
        try:
            while free_bytes(path) > n_bytes:
                f.write(bytes(1024))
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise
    os.sync()
