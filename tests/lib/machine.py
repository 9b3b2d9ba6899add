"""A container with systemd, for tests of the installed Holm: LXC, no network, holmd.service in it."""
import json
import os
import shutil
import subprocess
import tempfile

from lib.tap import skip
from lib.wait import slow, wait_for

NODE = "unithost"
CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.uts.name = {node}
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
lxc.cgroup.relative = 1
lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed
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


def pivots():
    """Empty control groups that liblxc leaves behind."""
    return {os.path.join(top, d) for top, dirs, _ in os.walk("/sys/fs/cgroup") for d in dirs if d == "lxc.pivot"}


class Machine:
    """A booted container; close() ends it and removes every trace. A subclass prepares base/root and base/config."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="holm-machine-")
        os.chmod(self.base, 0o755)
        self.name = f"holm-machine-{os.getpid()}"
        self.where = ["-n", self.name, "-P", self.base + "/lxc"]
        self.pivots_before = pivots()

    def write_config(self, more):
        """The container's configuration; more: lines on its root."""
        os.makedirs(self.base + "/lxc")
        with open(self.base + "/config", "w", encoding="utf-8") as f:
            f.write(CONFIG.format(node=NODE) + more.format(base=self.base))

    def prepare(self):
        raise NotImplementedError

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

    def task(self, method, path, *data):
        """A call that begins a task, which must end well."""
        where = f"/nodes/{NODE}/tasks/{self.api(method, path, *data)}/status"
        done = wait_for(lambda: s if (s := self.api("GET", where))["status"] == "stopped" else None, 60, f"{path} to be done")
        assert done["exitstatus"] == "OK", done

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
