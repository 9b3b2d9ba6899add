#!/usr/bin/python3
"""The installed service under systemd: `meson install` into DESTDIR, a systemd container whose /usr is the host's with
the installed files over it, holmd.service started, restarted and killed there while a guest runs.

The container has no packages of its own, so nothing is downloaded. Its name and files belong to this process alone.
"""
import json
import os
import shutil
import subprocess
import tempfile

from lib import facts, procs
from lib.tap import main, skip, test
from lib.wait import slow, wait_for

BUILD = os.path.abspath(os.environ.get("HOLM_BUILD_RELEASE") or os.environ.get("HOLM_BUILD", f"{facts.TOP}/build"))
NODE = "unithost"
ETC = ["ld.so.cache", "ld.so.conf", "ld.so.conf.d", "nsswitch.conf", "alternatives", "ssl", "group"]
CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.uts.name = {node}
lxc.rootfs.path = dir:{base}/root
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
lxc.cgroup.relative = 1
lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed
lxc.mount.entry = overlay usr overlay lowerdir={base}/dest/usr:/usr,ro 0 0
lxc.tty.max = 0
lxc.tty.dir =
lxc.init.cmd = /lib/systemd/systemd
"""


def run(argv, timeout=60, is_checked=True, env=None):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=slow(timeout), env={**os.environ, **(env or {})}, check=False)
    if is_checked and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout.strip()


def install(dest):
    run(["/usr/bin/meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"], env={"DESTDIR": dest})


def pivots():
    """Empty control groups that liblxc leaves behind."""
    return {os.path.join(top, d) for top, dirs, _ in os.walk("/sys/fs/cgroup") for d in dirs if d == "lxc.pivot"}


class Machine:
    """A booted container; close() ends it and removes every trace."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="holm-units-")
        os.chmod(self.base, 0o755)
        self.name = f"holm-units-{os.getpid()}"
        self.where = ["-n", self.name, "-P", self.base + "/lxc"]
        self.pivots_before = pivots()

    def prepare(self):
        root, dest = self.base + "/root", self.base + "/dest"
        for folder in ("usr", "etc", "var/lib", "var/log", "run", "proc", "sys", "dev", "tmp", "root"):
            os.makedirs(f"{root}/{folder}")
        os.makedirs(self.base + "/lxc")
        for link in ("bin", "sbin", "lib", "lib64"):
            os.symlink(f"usr/{link}", f"{root}/{link}")
        for name in ETC:
            run(["cp", "-a", f"/etc/{name}", f"{root}/etc/"])
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n")
        self.write("etc/hostname", NODE + "\n")
        self.write("etc/hosts", f"127.0.0.1 localhost {NODE}\n")
        self.write("etc/machine-id", "")
        install(dest)
        shutil.copytree(dest + "/etc", root + "/etc", dirs_exist_ok=True)
        with open(self.base + "/config", "w", encoding="utf-8") as f:
            f.write(CONFIG.format(base=self.base, node=NODE))

    def write(self, path, text):
        with open(f"{self.base}/root/{path}", "w", encoding="utf-8") as f:
            f.write(text)

    def boot(self):
        """Starts it; skips the test where the kernel or the host cannot."""
        log = self.base + "/lxc.log"
        done = subprocess.run(["lxc-start", *self.where, "-f", self.base + "/config", "-d", "-o", log], timeout=slow(30),
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            with open(log, encoding="utf-8", errors="replace") as f:
                skip("LXC cannot start a container here: " + (f.read().strip().splitlines() or ["no log"])[-1][-150:])
        wait_for(lambda: self.sh("systemctl is-system-running", is_checked=False) in ("running", "degraded"), 30, "systemd")

    def sh(self, command, **options):
        return run(["lxc-attach", *self.where, "--clear-env", "-v", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "--", "sh", "-c",
                    command], **options)

    def property(self, name):
        return self.sh(f"systemctl show -P {name} holmd")

    def api(self, method, path, *data):
        pairs = " ".join(f"-d {d}" for d in data)
        text = self.sh(f"holm --root /var/lib/holm api {method} {path} {pairs} -o json")
        return json.loads(text) if text else None

    def api_answers(self):
        return "version" in self.sh("holm --root /var/lib/holm api GET /version -o json", is_checked=False)

    def guest(self):
        return self.api("GET", f"/nodes/{NODE}/qemu/100/status/current")["status"]

    def qemu(self):
        """(pid, start time) of the one QEMU in the container."""
        pids = self.sh("pidof qemu-system-x86_64 || true").split()
        assert len(pids) <= 1, f"more than one QEMU: {pids}"
        return (pids[0], self.sh(f"cut -d' ' -f22 /proc/{pids[0]}/stat")) if pids else None

    def journal(self):
        return self.sh("journalctl -u holmd --no-pager -n 30 || true", is_checked=False)

    def close(self):
        run(["lxc-stop", *self.where, "-k"], is_checked=False)
        shutil.rmtree(self.base, ignore_errors=True)
        for path in pivots() - self.pivots_before:
            try:
                os.rmdir(path)
            except OSError:
                pass

    def __enter__(self):
        try:
            self.prepare()
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, _value, _trace):
        if kind:
            print(self.journal())
        self.close()


@test(limit=30)
def install_honours_destdir():
    dest = tempfile.mkdtemp(prefix="holm-units-")
    try:
        install(dest)
        found = {os.path.relpath(os.path.join(top, f), dest) for top, _, names in os.walk(dest) for f in names}
    finally:
        shutil.rmtree(dest)
    wanted = {"usr/sbin/holmd", "usr/bin/holm", "usr/libexec/holm/holm-front", "usr/libexec/holm/holm-guest",
              "usr/libexec/holm/holm-worker", "usr/lib/systemd/system/holmd.service", "usr/lib/sysusers.d/holm.conf",
              "etc/default/holm", "usr/share/doc/holm/install.md"}
    assert wanted <= found, f"missing: {sorted(wanted - found)}"
    strays = [f for f in found if f.endswith((".a", ".h")) or "test" in os.path.basename(f)]
    assert not strays, f"installed, but of no use there: {strays}"


@test(limit=150)
def service_starts_restarts_and_leaves_guests_alone():
    with Machine() as m:
        assert m.sh("systemd-analyze verify holmd.service 2>&1 | grep -i holm || true") == ""
        assert m.sh("id -un holm", is_checked=False) == "holm", "sysusers made no user"
        m.sh("systemctl start holmd")
        assert m.property("ActiveState") == "active"
        wait_for(m.api_answers, 5, "the API after systemd called the service started")

        m.api("POST", f"/nodes/{NODE}/qemu", "vmid=100", "memory=64", "serial0=socket", "vga=serial0")
        m.api("POST", f"/nodes/{NODE}/qemu/100/status/start")
        wait_for(lambda: m.guest() == "running", 30, "the guest to run")
        before, daemon = m.qemu(), m.property("MainPID")
        assert before, "no QEMU runs"

        m.sh("systemctl restart holmd")
        wait_for(m.api_answers, 15, "the API after a restart")
        assert m.property("MainPID") != daemon, "the daemon was not restarted"
        assert m.qemu() == before, f"QEMU was {before}, is {m.qemu()}"
        assert m.guest() == "running"

        daemon = m.property("MainPID")
        m.sh(f"kill -9 {daemon}")
        wait_for(lambda: m.property("MainPID") not in (daemon, "0") and m.api_answers(), 15, "systemd to restart holmd")
        assert m.qemu() == before, f"QEMU was {before}, is {m.qemu()}"
        assert m.guest() == "running"

        m.sh("systemctl stop holmd")
        assert m.qemu() == before, "stopping the service stopped a guest"
        m.sh("systemctl start holmd")
        wait_for(m.api_answers, 15, "the API after stop and start")
        m.api("POST", f"/nodes/{NODE}/qemu/100/status/stop")
        wait_for(lambda: m.qemu() is None, 15, "QEMU to end")
        assert m.guest() == "stopped"


if __name__ == "__main__":
    procs.become_subreaper()
    main()
