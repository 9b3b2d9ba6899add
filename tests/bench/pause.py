"""What a guest that writes notices: tests/clients/writer.S tells of each write on QEMU's debug port, and a process of its
own watches how long nothing comes. Bare: the command line of a guest of Holm's once more, started by hand."""
import fcntl
import json
import multiprocessing
import os
import re
import select
import shutil
import socket
import subprocess
import time

from lib.guests import boot_sector
from lib.wait import wait_for

WRITE, READ = b"\xb8\x00\x43", b"\xb8\x00\x42"  # mov $0x4300, %ax: the firmware's function
ENOUGH = 30  # writes before it counts as writing


def _watch(path, pipe):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    gaps, last, n = [], time.monotonic_ns(), 0
    while True:
        ready = select.select([s, pipe], [], [])[0]
        now = time.monotonic_ns()
        if s in ready:
            data = s.recv(65536)
            if not data:
                return
            assert b"E" not in data, "a write failed"
            gaps.append((last, now))
            last, n = now, n + len(data)
        if pipe in ready:
            question = pipe.recv()
            if question is None:
                return
            begin, end = question
            pipe.send((max((b - a for a, b in gaps if b > begin and a < end), default=0) / 1e6, n))
            gaps = [g for g in gaps if g[1] > end]


class Writer:
    """The watcher of one guest's writes."""

    def __init__(self, path):
        wait_for(lambda: os.path.exists(path), 30, "QEMU's debug port")
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=_watch, args=(path, theirs), daemon=True)
        self.process.start()
        self.wait_writes()

    def ask(self, begin, end):
        self.pipe.send((begin, end))
        assert self.pipe.poll(60), "nobody watches the guest"
        return self.pipe.recv()

    def wait_writes(self):
        """Until it has written so many times more."""
        before = self.ask(0, 0)[1]
        wait_for(lambda: self.ask(0, 0)[1] >= before + ENOUGH, 60, "the guest to write")

    def longest(self, work):
        """Milliseconds between two writes, at most, while this was done."""
        self.wait_writes()
        begin = time.monotonic_ns()
        work()
        end = time.monotonic_ns()
        self.wait_writes()
        gap = self.ask(begin, end)[0]
        assert gap, "nothing was written meanwhile"
        return gap

    def pace(self):
        """Milliseconds that each of a hundred took."""
        before, began = self.ask(0, 0)[1], time.monotonic()
        wait_for(lambda: self.ask(0, 0)[1] >= before + 3 * ENOUGH, 60, "the guest to go on")
        return (time.monotonic() - began) * 1000 / (self.ask(0, 0)[1] - before)

    def close(self):
        self.pipe.send(None)
        self.process.join()


def install(image, folder, reads=False):
    """Makes an image of a guest's disk boot the writer, or, with one byte of it changed, a reader."""
    code = boot_sector("writer")
    assert code.count(WRITE) == 1
    path = f"{folder}/sector"
    with open(path, "wb") as f:
        f.write(code.replace(WRITE, READ) if reads else code)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -q -s {path} 0 512", image], check=True)


def debug_port(path):
    """Words of QEMU's command line."""
    return f"-chardev socket,id=writes,path={path},server=on,wait=off -device isa-debugcon,iobase=0xe9,chardev=writes"


class Bare:
    """The QEMU of process `pid` once more, with a copy of its only image, and a monitor that we speak to."""

    def __init__(self, pid, image, folder, port):
        os.makedirs(folder)
        self.folder, self.depth, ends = folder, 0, {}
        shutil.copyfile(image, self.image(0))
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            argv = f.read().decode().split("\0")[:-1]
        text = "\n".join(argv)
        monitor = int(re.search(r"socket,id=qmp,fd=(\d+)", text).group(1))
        self.other, wanted = [], sorted({int(n) for n in re.findall(r"(?:^|,)fd=(\d+)", text, re.M)})
        images = [int(n) for n in re.findall(r"^fd=(\d+),set=", text, re.M)]
        assert len(images) == 1, "one disk"
        for fd in wanted:
            ends[fd] = os.open(self.image(0), os.O_RDWR) if fd in images else self.twin(fd == monitor)
        argv = [re.sub(r"path=[^,]*", f"path={port}", a) if a.startswith("socket,id=writes") else a for a in argv]

        actions = []
        for fd, end in ends.items():  # away from the numbers that are wanted
            ends[fd] = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 500)
            os.close(end)
            actions.append((os.POSIX_SPAWN_DUP2, ends[fd], fd))
        self.pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
        for end in ends.values():
            os.close(end)
        self.file = self.qmp.makefile("rw", encoding="utf-8")
        assert "QMP" in json.loads(self.file.readline())
        for command in ("qmp_capabilities", "cont"):
            self.run(command)

    def twin(self, is_monitor):
        """The other end of a channel."""
        ours, theirs = socket.socketpair()
        if is_monitor:
            self.qmp = ours
        self.other.append(ours)
        return theirs.detach()

    def run(self, command, fd=None, **arguments):
        line = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        if fd is None:
            self.qmp.sendall(line)
        else:
            socket.send_fds(self.qmp, [line], [fd])
        while True:
            answer = json.loads(self.file.readline())
            if "return" in answer:
                return answer["return"]
            assert "error" not in answer, f"{command} {arguments}: {answer['error']}"

    def image(self, number):
        return os.path.join(self.folder, f"{number}.qcow2")

    def make_overlay(self):
        self.depth += 1
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", self.image(self.depth - 1), self.image(self.depth)],
                       check=True)

    def snapshot(self, node, options):
        """The shortest way to a snapshot by hand; its image is there already."""
        name, fd = f"bare{self.depth}", os.open(self.image(self.depth), os.O_RDWR)
        self.run("add-fd", fd=fd, **{"fdset-id": 9000 + self.depth})
        os.close(fd)
        file = {**options["file"], "filename": f"/dev/fdset/{9000 + self.depth}", "node-name": f"file-{name}"}
        self.run("blockdev-add", **{**options, "node-name": name, "backing": None, "file": file})
        self.run("transaction", actions=[{"type": "blockdev-snapshot", "data": {"node": node, "overlay": name}}])
        return name

    def close(self):
        self.run("quit")
        os.waitpid(self.pid, 0)
        self.file.close()
        for end in self.other:
            end.close()


def node_options(pid, key):
    """(name, options) of the node that the drive's device writes through."""
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        argv = f.read().decode().split("\0")
    nodes = [json.loads(a) for option, a in zip(argv, argv[1:]) if option == "-blockdev"]
    top = next(n for n in nodes if n["node-name"] == key)["file"]
    return top, next(n for n in nodes if n["node-name"] == top)
