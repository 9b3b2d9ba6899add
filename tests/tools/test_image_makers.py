"""What makes images of Debian leaves nothing behind when it is killed. Needs a mirror: a suite of --all."""
import glob
import os
import signal
import subprocess
import tempfile

from lib import facts
from lib.tap import main, test
from lib.wait import wait_for


def mounts_in(folder):
    """Of any process: what is mounted in a namespace is seen only from within."""
    found = set()
    for path in glob.glob("/proc/[0-9]*/mountinfo"):
        try:
            with open(path, encoding="utf-8") as f:
                found.update(line.split()[4] for line in f if folder in line)
        except OSError:
            pass  # it has ended
    return found


@test(limit=900)
def a_maker_that_is_killed_leaves_nothing():
    """Neither mounts nor processes; a folder only when it was killed outright, and that goes with the next one."""
    with tempfile.TemporaryDirectory(prefix="hi", dir="/tmp") as cache:
        for number in (signal.SIGKILL, signal.SIGTERM):
            maker = subprocess.Popen([f"{facts.TOP}/tools/cloud-image"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     env={**os.environ, "HOLM_CACHE": cache})
            mine = f"{cache}/disks/part.{maker.pid}"
            wait_for(lambda: maker.poll() is not None or mounts_in(mine), 240, "mmdebstrap to mount something")
            assert maker.poll() is None, "it has a mirror"
            assert [os.path.basename(p) for p in glob.glob(f"{cache}/disks/part.*")] == [os.path.basename(mine)]
            maker.send_signal(number)
            maker.wait(60)
            wait_for(lambda: not mounts_in(mine), 60, "its mounts to go")
            assert os.path.exists(mine) == (number == signal.SIGKILL)
        assert os.listdir(f"{cache}/disks") == ["lock"]


main()
