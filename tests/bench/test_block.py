"""Copies of a gigabyte with 300 MiB of data, scattered: holm-block, `cp --sparse=always` and `qemu-img convert`, each with the
time until the copy is on the disk. All take turns; sources are in the page cache for everybody."""
import os
import random
import shutil
import subprocess
import tempfile
import time

from bench.figures import note
from lib import block
from lib.holm import is_sanitized
from lib.tap import main, test

MIB = 1 << 20
TURNS = 5
SHARE = 0.9  # of the speed of cp --sparse=always, raw to raw


def source(folder):
    path = os.path.join(folder, "source.raw")
    draw = random.Random(3)
    with open(path, "wb") as f:
        f.truncate(1024 * MIB)
        for place in draw.sample(range(1024), 300):
            f.seek(place * MIB)
            f.write(draw.randbytes(MIB))
        os.fsync(f.fileno())
    return path


def seconds(work, target):
    if os.path.exists(target):
        os.unlink(target)
    began = time.perf_counter()
    work()
    fd = os.open(target, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    return time.perf_counter() - began


@test(limit=600)
def copies():
    folder = tempfile.mkdtemp(prefix="holm-bench-", dir="/var/tmp")
    try:
        raw, qcow2 = source(folder), os.path.join(folder, "source.qcow2")
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
        target = os.path.join(folder, "target")

        def holm(path, form, wanted):
            subprocess.run(["qemu-img", "create", "-q", "-f", wanted, target, "1G"], check=True)
            assert block.run("copy", [(path, form)], (target, wanted)) is None

        def convert(path, form, wanted):
            subprocess.run(["qemu-img", "convert", "-f", form, "-O", wanted, path, target], check=True)

        block.executable()
        for form, wanted in [("raw", "raw"), ("qcow2", "raw"), ("raw", "qcow2"), ("qcow2", "qcow2")]:
            path = raw if form == "raw" else qcow2
            ours, peers, copied = [], [], []
            for _ in range(TURNS):
                ours.append(seconds(lambda p=path, f=form, w=wanted: holm(p, f, w), target))
                peers.append(seconds(lambda p=path, f=form, w=wanted: convert(p, f, w), target))
                if form == wanted == "raw":
                    copied.append(seconds(lambda: subprocess.run(["cp", "--sparse=always", raw, target], check=True), target))
            note(f"copy of 300 MiB in 1 GiB, {form} to {wanted}", "s", ours, "qemu-img convert", peers)
            if copied:
                note("the same by cp --sparse=always", "s", copied)
                assert min(copied) / min(ours) >= SHARE or is_sanitized(), (ours, copied)
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(os.path.dirname(block.executable()))


if __name__ == "__main__":
    main()
