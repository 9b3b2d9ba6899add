"""A btrfs file system of the test's own: an image file with a loop device, mounted where only this process and what it
starts can see it; all of it is gone with the process."""
import ctypes
import os
import shutil
import subprocess
import tempfile

from lib.tap import skip

CLONE_NEWNS = 0x00020000


def mount(path, mebibytes=256, is_mixed=False):
    """Before any daemon is started: mounts a new file system on a folder that is there. is_mixed: data and what
    describes them share the space, so that a full one has no room for either. Skips where the machine cannot."""
    if os.geteuid() != 0 or not shutil.which("mkfs.btrfs"):
        skip("not root, or no mkfs.btrfs")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        skip("no mounts of its own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="holm-btrfs-") as image:
        image.truncate(mebibytes << 20)
        subprocess.run(["mkfs.btrfs", "-q", *(["--mixed"] if is_mixed else []), image.name], check=True, capture_output=True)
        done = subprocess.run(["mount", "-t", "btrfs", "-o", "loop", image.name, path], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            skip("no loop devices, or no btrfs in the kernel: " + done.stderr.strip())
    # The mount holds the file and the device.
