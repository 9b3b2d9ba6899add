"""holm-block by itself: what it copies and commits is the same for qemu-img, which knows nothing of it. Images are made by
qemu-img and qemu-io; their writes are drawn from a seed that is printed when a test fails."""
import errno
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time

from lib import block, procs
from lib.tap import main, test
from lib.wait import wait_for

MIB = 1 << 20
TMP = tempfile.mkdtemp(prefix="holm-block-", dir="/var/tmp")


def img(*args, check=True):
    return subprocess.run(["qemu-img", *map(str, args)], check=check, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def write(path, form, *commands):
    args = [a for c in commands for a in ("-c", c)]
    subprocess.run(["qemu-io", "-f", form, *args, path], check=True, stdout=subprocess.DEVNULL)


class Folder:
    def __enter__(self):
        self.path = tempfile.mkdtemp(dir=TMP)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def __call__(self, name):
        return os.path.join(self.path, name)


def make(path, form, size, below=None, cluster=65536):
    options = ["-o", f"cluster_size={cluster}"] if form == "qcow2" else []
    below = ["-b", below[0], "-F", below[1]] if below else []
    img("create", "-q", "-f", form, *options, *below, path, size)


def scatter(path, form, size, draw, n=6):
    """Data, zeroes and holes in places of no order."""
    commands = []
    for _ in range(n):
        at, length = draw.randrange(0, size - 70000) // 512 * 512, draw.randrange(1, 130) * 512
        kind = draw.choice(["write -P 0x%02x" % draw.randrange(1, 255), "write -P 0", "write -z", "write -z -u"])
        commands.append(f"{kind} {at} {min(length, size - at)}")
    write(path, form, *commands)


def chain(folder, n, size, draw, lowest="qcow2"):
    """Paths and formats, uppermost first; each larger than the one below it, with clusters of its own size."""
    images = []
    for i in range(n):
        form = lowest if i == 0 else "qcow2"
        path = folder(f"{i}.{form}")
        make(path, form, size + i * 8192, images[0] if images else None, draw.choice([512, 4096, 65536, 1 << 20]))
        scatter(path, form, size, draw)
        images.insert(0, (path, form))
    return images


def long_chain(folder, n, size, draw):
    """Many images without as many runs of qemu-img: copies of a few, whose headers are given the right name."""
    kinds = []
    for i, cluster in enumerate([512, 4096, 65536, 1 << 20]):
        kind = folder(f"kind{i}.qcow2")
        img("create", "-q", "-u", "-f", "qcow2", "-o", f"cluster_size={cluster}", "-b", "@@@.qcow2", "-F", "qcow2", kind, size)
        alone = 'json:{"driver":"qcow2","backing":null,"file":{"driver":"file","filename":"%s"}}' % kind
        subprocess.run(["qemu-io", "-c", f"write -P {i + 1} {draw.randrange(0, size // 512 - 9) * 512} 4k", alone], check=True,
                       stdout=subprocess.DEVNULL)
        with open(kind, "rb") as file:
            kinds.append(file.read())
    images = [(folder("000.qcow2"), "qcow2")]
    make(*images[0], size)
    scatter(*images[0], size, draw)
    for i in range(1, n):
        with open(folder(f"{i:03}.qcow2"), "wb") as file:
            file.write(draw.choice(kinds).replace(b"@@@.qcow2", b"%03d.qcow2" % (i - 1), 1))
        images.insert(0, (file.name, "qcow2"))
    write(*images[0], f"write -P 99 {size // 2} 64k")
    return images


def assert_same(a, b):
    found = img("compare", "-f", a[1], "-F", b[1], a[0], b[0], check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def assert_clean(image, leaks=False):
    if image[1] == "qcow2":
        found = img("check", "-q", image[0], check=False)
        assert found.returncode == 0 or (leaks and found.returncode == 3), found.stdout + found.stderr


def virtual_size(image):
    out = img("info", "-f", image[1], image[0]).stdout
    return int(out.split("virtual size:")[1].split("(")[1].split(" ")[0])


def used(path):
    return os.stat(path).st_blocks * 512


def copied(folder, images, form, **options):
    target = (folder(f"target.{form}"), form)
    make(target[0], form, virtual_size(images[0]))
    assert block.run("copy", images, target, **options) is None
    assert_same(images[0], target)
    assert_clean(target)
    return target


@test
def copy_every_pair_of_formats():
    """Chains of one and three, ending in either format, into either format."""
    draw = random.Random(7)
    for n, lowest, form in [(1, "raw", "raw"), (1, "raw", "qcow2"), (1, "qcow2", "raw"), (1, "qcow2", "qcow2"),
                            (3, "raw", "raw"), (3, "raw", "qcow2"), (3, "qcow2", "raw"), (3, "qcow2", "qcow2")]:
        with Folder() as f:
            copied(f, chain(f, n, 24 * MIB, draw, lowest), form)


@test
def copy_a_long_chain():
    """A hundred and twenty images: descriptors come in more than one frame."""
    with Folder() as f:
        copied(f, long_chain(f, 120, 4 * MIB, random.Random(8)), "qcow2")


@test
def holes_and_zeroes_take_no_space():
    """A gigabyte with one megabyte of data, another of zeroes that were written, and holes."""
    for form in ("raw", "qcow2"):
        for wanted in ("raw", "qcow2"):
            with Folder() as f:
                source = (f(f"source.{form}"), form)
                make(*source, 1024 * MIB)
                write(*source, "write -P 5 300M 1M", "write -P 0 600M 8M", "write -P 6 1023M 4k")
                target = copied(f, [source], wanted)
                assert used(target[0]) < 3 * MIB, (form, wanted, used(target[0]))


@test
def copy_tells_how_far_it_is_and_keeps_to_its_limit():
    """Eight megabytes at four a second take a second at least, on any machine."""
    for form in ("raw", "qcow2"):
        with Folder() as f:
            source, target = (f(f"source.{form}"), form), (f("target.raw"), "raw")
            make(*source, 16 * MIB)
            write(*source, "write -P 5 0 8M")
            make(*target, 16 * MIB)
            began = time.monotonic()
            fds = [os.open(source[0], os.O_RDONLY), os.open(target[0], os.O_RDWR)]
            with block.Block("copy", [(fds[0], form)], (fds[1], "raw"), bwlimit=4 * MIB) as b:
                assert b.answer() is None
            assert time.monotonic() - began > 0.9
            assert b.progress and all(0 <= done <= total for done, total in b.progress), b.progress
            assert [d for d, _ in b.progress] == sorted(d for d, _ in b.progress)
            for fd in fds:
                os.close(fd)
            assert_same(source, target)


@test
def commit_brings_the_overlay_into_the_image_below():
    """Chains of two, three and 120; the overlay is larger than its base and has other clusters."""
    draw = random.Random(9)
    for n in (2, 3, 120):
        with Folder() as f:
            images = chain(f, n, 8 * MIB, draw) if n < 10 else long_chain(f, n, 8 * MIB, draw)
            flat = (f("flat.raw"), "raw")
            img("convert", "-O", "raw", images[0][0], flat[0])
            assert block.run("commit", images) is None
            assert virtual_size(images[1]) == virtual_size(images[0])
            for image in images[:2]:
                assert_same(image, flat)
                assert_clean(image)


@test
def a_zero_of_the_overlay_stays_a_zero():
    """What the guest discarded or zeroed does not come back from below."""
    with Folder() as f:
        base, middle, top = ((f(f"{i}.qcow2"), "qcow2") for i in range(3))
        make(*base, 4 * MIB)
        write(*base, "write -P 1 0 4M")
        make(*middle, 4 * MIB, base)
        write(*middle, "write -P 2 1M 2M")
        make(*top, 4 * MIB, middle)
        write(*top, "write -z 0 64k", "write -z -u 1M 64k", "write -P 0 2M 64k", "discard 3M 64k")
        flat = (f("flat.raw"), "raw")
        img("convert", "-O", "raw", top[0], flat[0])
        assert block.run("commit", [top, middle, base]) is None
        assert_same(middle, flat)


@test
def killed_while_committing():
    """At any moment the overlay reads as before, and the next run finishes. QEMU is gone with its parent."""
    draw = random.Random(10)
    with Folder() as f:
        images = chain(f, 3, 48 * MIB, draw)
        write(*images[0], "write -P 9 1M 24M", "write -z 30M 2M")
        flat = (f("flat.raw"), "raw")
        img("convert", "-O", "raw", images[0][0], flat[0])
        for turn in range(12):
            fds = [(os.open(p, os.O_RDWR if i == 1 else os.O_RDONLY), form) for i, (p, form) in enumerate(images)]
            with block.Block("commit", fds) as b:
                victim = b.process.pid
                if turn % 2:  # only QEMU
                    children = wait_for(lambda b=b: procs.descendants(b.process.pid) or b.process.poll() is not None, 60)
                    victim = children[0] if isinstance(children, list) else None
                time.sleep(draw.random() * 0.4)  # the moment is what is drawn; nothing is waited for
                if victim:
                    try:
                        os.kill(victim, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                if turn % 2 and victim:
                    try:
                        b.answer()  # an error, or success if it was over
                    except EOFError as e:
                        raise AssertionError("QEMU's end took holm-block along") from e
            for fd, _ in fds:
                os.close(fd)
            assert_same(images[0], flat)
            assert_clean(images[0])
            assert_clean(images[1], leaks=True)
        assert block.run("commit", images) is None
        assert_same(images[1], flat)
        assert_clean(images[1], leaks=True)


@test
def ended_at_once_when_it_is_not_wanted():
    """SIGTERM, as holmd sends it: QEMU ends too, and is collected."""
    for form in ("raw", "qcow2"):
        with Folder() as f:
            source, target = (f(f"source.{form}"), form), (f("target.raw"), "raw")
            make(*source, 64 * MIB)
            write(*source, "write -P 5 0 64M")
            make(*target, 64 * MIB)
            fds = [os.open(source[0], os.O_RDONLY), os.open(target[0], os.O_RDWR)]
            with block.Block("copy", [(fds[0], form)], (fds[1], "raw"), bwlimit=MIB) as b:
                while not b.progress:
                    b.next_frame()
                below = procs.descendants(b.process.pid)
                assert bool(below) == (form == "qcow2"), below
                b.process.send_signal(signal.SIGTERM)
                b.process.wait(60)
                assert not [p for p in below if procs.is_alive(p)]
            for fd in fds:
                os.close(fd)


def confined(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        s = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    with open(f"/proc/{pid}/limits", encoding="utf-8") as file:
        core = [line.split()[4:6] for line in file if line.startswith("Max core file size")]
    return (set(s["Uid"].split()), s["CapEff"], s["CapPrm"], s["NoNewPrivs"], s["Seccomp"], core) == \
        ({str(block.NOBODY)}, "0" * 16, "0" * 16, "1", "2", [["0", "0"]])


@test
def both_processes_are_confined():
    """holm-block and its QEMU, in the middle of the work: no capability, no new one, a filter, no core; of the host's files
    QEMU has only those that it was given."""
    with Folder() as f:
        source, target = (f("source.qcow2"), "qcow2"), (f("target.qcow2"), "qcow2")
        make(*source, 16 * MIB)
        write(*source, "write -P 5 0 16M")
        make(*target, 16 * MIB)
        fds = [os.open(source[0], os.O_RDONLY), os.open(target[0], os.O_RDWR)]
        with block.Block("copy", [(fds[0], "qcow2")], (fds[1], "qcow2"), bwlimit=MIB) as b:
            while not b.progress:
                b.next_frame()
            below = procs.descendants(b.process.pid)
            assert [procs.name(p) for p in below] == ["qemu-system-x86"] or [procs.name(p) for p in below] == ["qemu-system-x86_64"], below
            for pid in [b.process.pid, *below]:
                assert confined(pid), pid
            files = {os.readlink(f"/proc/{below[0]}/fd/{n}") for n in os.listdir(f"/proc/{below[0]}/fd")}
            assert {p for p in files if p.startswith("/")} == {source[0], target[0], "/dev/null"}, files
        for fd in fds:
            os.close(fd)


def mounted(folder, size):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)


@test
def a_full_disk_is_said_and_loses_nothing():
    with Folder() as f:
        os.mkdir(f("small"))
        mounted(f("small"), "6M")
        try:
            for form in ("raw", "qcow2"):
                source = (f(f"source.{form}"), form)
                make(*source, 32 * MIB)
                write(*source, "write -P 5 0 16M")
                for wanted in ("raw", "qcow2"):
                    target = (f(f"small/target.{wanted}"), wanted)
                    make(*target, 32 * MIB)
                    found = block.run("copy", [source], target)
                    assert found and found[:2] == (errno.ENOSPC, "storage.full"), (form, wanted, found)
                    os.unlink(target[0])
            base, top, flat = (f("small/base.qcow2"), "qcow2"), (f("top.qcow2"), "qcow2"), (f("flat.raw"), "raw")
            make(*base, 32 * MIB)
            write(*base, "write -P 1 0 1M")
            make(*top, 32 * MIB, base)
            write(*top, "write -P 2 512k 16M")
            img("convert", "-O", "raw", top[0], flat[0])
            found = block.run("commit", [top, base])
            assert found and found[:2] == (errno.ENOSPC, "storage.full"), found
            assert_same(top, flat)
            assert_clean(base, leaks=True)
            subprocess.run(["mount", "-o", "remount,size=64M", f("small")], check=True)
            assert block.run("commit", [top, base]) is None
            assert_same(base, flat)
        finally:
            subprocess.run(["umount", f("small")], check=True)


def patch(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


@test
def no_name_in_an_image_is_followed():
    """Headers that name other files: a backing file is not opened, for what an image stands on is said; a data file is
    refused. The named file is a FIFO: who opened it for writing would succeed only if somebody had opened it for reading."""
    with Folder() as f:
        os.chmod(TMP, 0o755)
        os.chmod(f.path, 0o755)
        trap = f("trap")
        os.mkfifo(trap)
        os.chmod(trap, 0o666)
        source, other, target = (f("source.qcow2"), "qcow2"), f("other.raw"), (f("target.raw"), "raw")
        make(other, "raw", MIB)
        make(*source, MIB, (other, "raw"))
        os.unlink(other)
        os.symlink(trap, other)
        write_data = f("plain.qcow2")
        make(write_data, "qcow2", MIB)
        write(write_data, "qcow2", "write -P 7 0 64k")
        make(*target, MIB)
        assert block.run("copy", [source], target) is None  # it stands on nothing, whatever it says
        with open(target[0], "rb") as file:
            assert file.read() == bytes(MIB)
        with open(f("data.qcow2"), "wb"):
            pass
        img("create", "-q", "-f", "qcow2", "-o", f"data_file={f('data.raw')},data_file_raw=on", f("data.qcow2"), MIB)
        os.unlink(f("data.raw"))
        os.symlink(trap, f("data.raw"))
        found = block.run("copy", [(f("data.qcow2"), "qcow2")], target)
        assert found and found[1] == "image.external", found
        found = block.run("commit", [(f("data.qcow2"), "qcow2"), (write_data, "qcow2")])
        assert found and found[1] == "image.external", found
        try:
            os.close(os.open(trap, os.O_WRONLY | os.O_NONBLOCK))
            raise AssertionError("somebody has opened the file that an image names")
        except OSError as e:
            assert e.errno == errno.ENXIO, e


@test
def broken_images_are_errors():
    """Tables that point anywhere, lengths that are too large: an error, never a hang, and no process that died badly."""
    draw = random.Random(11)
    with Folder() as f:
        good = f("good.qcow2")
        make(good, "qcow2", 4 * MIB)
        scatter(good, "qcow2", 4 * MIB, draw)
        n_refused = 0
        for _ in range(12):
            bad, target = (f("bad.qcow2"), "qcow2"), (f("target.qcow2"), "qcow2")
            shutil.copy(good, bad[0])
            for _ in range(draw.randrange(1, 6)):
                place = draw.choice([range(4, 112), range(3 * 65536, 3 * 65536 + 64), range(4 * 65536, 4 * 65536 + 512)])
                patch(bad[0], draw.choice(place), bytes([draw.randrange(256)]))
            make(*target, 4 * MIB)
            found = block.run("copy", [bad], target)
            n_refused += found is not None
            assert not found or found[1].split(".")[0] in ("image", "block", "volume", "storage"), found
        assert n_refused > 2, n_refused


@test
def what_is_no_request_is_refused():
    with Folder() as f:
        raw, qcow2, small = (f("a.raw"), "raw"), (f("a.qcow2"), "qcow2"), (f("small.raw"), "raw")
        make(*raw, MIB)
        make(*qcow2, MIB)
        make(*small, 65536)
        for args, code in [
                (("commit", [raw, qcow2]), "block.request"), (("commit", [qcow2]), "block.request"),
                (("copy", [raw]), "block.request"), (("copy", [raw, qcow2], raw), "image.chain"),
                (("copy", [raw], small), "image.size"), (("copy", [qcow2], small), "image.size"),
                (("copy", [("/dev/null", "raw")], raw), "volume.type"), (("copy", [(raw[0], "qcow2")], raw), "image.header"),
                (("resize", [raw]), "block.verb"), (("copy", [(raw[0], "vmdk")], raw), "block.request")]:
            found = block.run(*args)
            assert found and found[1] == code, (args, found)


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(TMP)
        if block.executable.cache_info().currsize:
            shutil.rmtree(os.path.dirname(block.executable()))
