"""tools/orphans finds what is planted and nothing in a clean tree; otherwise the crash suite proves nothing."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from lib import facts
from lib.tap import main, test

CONFIG = "cores: 1\nscsi0: local:100/vm-100-disk-0.raw,size=1G\nide2: none,media=cdrom\n"


class Tree:
    """A root as a daemon would have it: one stopped guest with a disk."""

    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix="ho", dir="/tmp")
        self.children = []
        self.write("etc/nodes/n1/qemu-server/100.conf", CONFIG)
        self.write("var/storage/local/images/100/vm-100-disk-0.raw", "")
        os.makedirs(self.path("run/guest"))
        self.write("var/instance", "7\n")
        self.sql("CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL)")
        return self

    def __exit__(self, *_):
        for child in self.children:
            child.kill()
            child.wait()
        shutil.rmtree(self.root)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def sql(self, text):
        os.makedirs(self.path("var"), exist_ok=True)
        subprocess.run(["sqlite3", self.path("var/holm.db"), text], check=True)

    def process(self, name, folder="run/guest"):
        """A harmless process under a program's name that works in a folder of the tree."""
        program = self.path(name)
        shutil.copy("/bin/sleep", program)
        os.makedirs(self.path(folder), exist_ok=True)
        self.children.append(subprocess.Popen([program, "600"], cwd=self.path(folder)))
        return self.children[-1]

    def found(self):
        done = subprocess.run([f"{facts.TOP}/tools/orphans", self.root], capture_output=True, text=True, check=False)
        assert done.returncode == (1 if done.stdout else 0), (done.returncode, done.stdout, done.stderr)
        assert not done.stderr, done.stderr
        return done.stdout


def planted(wanted, plant):
    with Tree() as t:
        assert t.found() == "", t.found()
        plant(t)
        lines = t.found().splitlines()
        assert any(wanted in line for line in lines), f"{wanted!r} not found in {lines}"


@test
def clean_tree_has_none():
    with Tree() as t:
        assert t.found() == "", t.found()


@test
def volume_without_configuration():
    planted("volume without configuration: local:101/vm-101-disk-0.qcow2",
            lambda t: t.write("var/storage/local/images/101/vm-101-disk-0.qcow2", ""))


@test
def configuration_without_volume():
    planted("not there: local:100/vm-100-disk-1.raw",
            lambda t: t.write("etc/nodes/n1/qemu-server/100.conf", CONFIG + "scsi1: file=local:100/vm-100-disk-1.raw,size=1G\n"))


@test
def temporary_file():
    planted("temporary file", lambda t: t.write("etc/nodes/n1/qemu-server/.100.conf.12.0.tmp", ""))


@test
def journal_entry():
    planted("journal entry local/journal/UPID", lambda t: t.sql("INSERT INTO kv VALUES('local/journal/UPID:x','{}',2)"))


@test
def lock_flag():
    planted("lock 'create'", lambda t: t.write("etc/nodes/n1/qemu-server/100.conf", CONFIG + "lock: create\n"))


@test
def runtime_folder():
    planted("runtime folder of guest 100", lambda t: t.write("run/guest/100/lock", ""))


@test
def stale_socket():
    def plant(t):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(t.path("run/holmd.sock"))
    planted("stale socket", plant)


@test
def worker_without_daemon():
    planted("holm-worker has no daemon", lambda t: t.process("holm-worker"))


@test
def front_without_daemon():
    planted("holm-front has no daemon", lambda t: t.process("holm-front"))


@test
def monitor_of_a_removed_guest():
    planted("holm-guest of guest 102 without configuration", lambda t: t.process("holm-guest", "run/guest/102"))


@test
def qemu_without_monitor():
    planted("of guest 100 without monitor", lambda t: t.process("qemu-system-x86", "run/guest/100"))


@test
def empty_owner_folder():
    planted("is empty", lambda t: os.makedirs(t.path("var/storage/local/images/103")))


def cgroup_base():
    """A hierarchy where a folder can be made."""
    for top in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        if os.path.isdir(top) and os.access(top, os.W_OK):
            return top
    return None


@test
def cgroup_of_a_stopped_guest():
    group = f"{cgroup_base()}/holm-0007/guest-100"
    os.makedirs(group)
    try:
        with Tree() as t:
            assert f"cgroup {group}" in t.found(), t.found()
    finally:
        os.rmdir(group)
        os.rmdir(os.path.dirname(group))


@test
def cgroup_folder_of_an_ended_daemon():
    group = f"{cgroup_base()}/holm-0007"
    os.mkdir(group)
    try:
        with Tree() as t:
            assert f"cgroup {group} without daemon" in t.found(), t.found()
    finally:
        os.rmdir(group)


@test
def tap_of_a_stopped_guest():
    subprocess.run(["ip", "tuntap", "add", "dev", "h0007t100", "mode", "tap"], check=True)
    try:
        with Tree() as t:
            assert "tap h0007t100" in t.found(), t.found()
    finally:
        subprocess.run(["ip", "link", "del", "h0007t100"], check=True)


@test
def living_things_are_left_alone():
    """A guest with its monitor, and QEMU as the monitor's child, are no orphans."""
    with Tree() as t:
        monitor = t.path("holm-guest")
        shutil.copy("/bin/dash", monitor)
        qemu = t.path("qemu-system-x86")
        shutil.copy("/bin/sleep", qemu)
        os.makedirs(t.path("run/guest/100"))
        t.children.append(subprocess.Popen([monitor, "-c", f"{qemu} 600 & echo $!; wait"], cwd=t.path("run/guest/100"),
                                           stdout=subprocess.PIPE))
        child = int(t.children[-1].stdout.readline())
        try:
            assert t.found() == "", t.found()
        finally:
            os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
