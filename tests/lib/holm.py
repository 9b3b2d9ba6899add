"""A holmd under test: own root below /tmp, own port, own administrator; started from the build directory HOLM_BUILD.

    with Node() as n:
        n.api.post("/nodes/{node}/qemu", vmid=100)

close() fails when the daemon's log holds a sanitizer report or a failed assertion. Processes are ended by pid only:
the daemon's and whatever became a descendant of the harness.
"""
import functools
import glob
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from lib import facts, procs
from lib.client import ApiError, Client
from lib.wait import slow, wait_for

PASSWORD = "correct horse 7"
# What a log must never hold.
POISON = re.compile(r"ERROR: (Address|Leak|Thread)Sanitizer|runtime error:|Assertion .* failed|WARNING: ThreadSanitizer")


def build_dir():
    return os.path.abspath(os.environ.get("HOLM_BUILD", os.path.join(facts.TOP, "build")))


def program(name, folder=None):
    """Path of a built program: src/FOLDER/NAME of the build tree."""
    folder = folder or {"holmd": "daemon", "holm": "cli", "holm-front": "front", "holm-worker": "worker"}[name]
    return os.path.join(build_dir(), "src", folder, name)


@functools.cache
def is_sanitized():
    """A build with AddressSanitizer keeps freed memory for a while: its sizes say nothing."""
    with open(program("holmd"), "rb") as f:
        return b"__asan_init" in f.read()


TOKENS = itertools.count(1)  # the names of tokens differ by it


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# No test's daemon changes the settings of the host that it runs on.
CLOSED_ETC = ["unshare", "-m", "--propagation", "slave", "sh", "-c",
              'mount --bind /etc /etc && mount -o remount,bind,ro /etc && exec "$@"', "sh"]


class Node:
    def __init__(self, name="n1", env=None, preload=None, options=()):
        procs.become_subreaper()
        self.name = name
        self.base = tempfile.mkdtemp(prefix="h", dir="/tmp")
        os.chmod(self.base, 0o755)
        self.root = self.base + "/r"
        self.log_path = self.base + "/log"
        self.port = free_port()
        self.env = dict(env or {})
        self.preload = preload
        self.prefix = CLOSED_ETC  # a program that runs holmd
        self.options = list(options)  # further ones of holmd
        self.process = None
        self.starts = 0
        self._api = self._users = None

    # --- life of the daemon ---

    def launch(self, **env):
        """Starts holmd without waiting for it."""
        environment = {**os.environ, **self.env, **env}
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:log_path=stderr")
        argv = [*self.prefix, program("holmd"), "--root", self.root, "--listen", f"127.0.0.1:{self.port}", "--node", self.name,
                *self.options]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.starts += 1
        return self

    def start(self, **env):
        """Starts holmd and waits until it answers; on the first start makes the administrator."""
        self.launch(**env)
        self.wait_ready()
        if self.starts == 1:
            self.create_user("admin@pve", "Administrator")
        return self

    def wait_ready(self, timeout=60):
        def is_ready():
            if self.process.poll() is not None:
                raise AssertionError(f"holmd ended with {self.process.returncode}: {self.log_tail(15)}")
            return self.accepts() and self.cli("api", "GET", "/version", "-o", "json", is_checked=False).returncode == 0
        wait_for(is_ready, timeout, "holmd to answer")

    def accepts(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def is_dead(self):
        return self.process is None or self.process.poll() is not None

    def wait_dead(self, timeout=60):
        wait_for(self.is_dead, timeout, "holmd to end")
        return self.process.returncode

    def stop(self):
        """An orderly end (SIGTERM); guests go on."""
        if not self.is_dead():
            self.process.send_signal(signal.SIGTERM)
            self.wait_dead()

    def kill9(self):
        if not self.is_dead():
            self.process.kill()
            self.wait_dead()

    def restart(self, is_killed=False, **env):
        if is_killed:
            self.kill9()
        else:
            self.stop()
        return self.start(**env)

    def close(self, is_checked=True):
        """Ends everything, removes the root; fails on what the log must not hold."""
        try:
            self.stop()
        finally:
            mine = (self.process.pid,) if self.process else ()
            procs.kill_all(procs.of_root(self.root), mine)
            log = self.log()
            self.remove_cgroups()
            shutil.rmtree(self.base, ignore_errors=True)
        found = POISON.search(log)
        if is_checked and found:
            raise AssertionError("daemon log: " + log[max(0, found.start() - 200):found.start() + 3000])

    def remove_cgroups(self):
        """Of guests that outlived the daemon, as they should, and that kill_all ended."""
        try:
            with open(self.path("var/instance"), encoding="ascii") as f:
                name = f"holm-{int(f.read()):04x}"
        except FileNotFoundError:
            return
        for folder in glob.glob(f"/sys/fs/cgroup/**/{name}", recursive=True):
            for top, _, _ in os.walk(folder, topdown=False):
                # The kernel empties a cgroup a moment after its last process is gone.
                wait_for(lambda top=top: procs.remove_cgroup(top), 5, f"{top} to be empty")

    def __enter__(self):
        return self.start() if not self.process else self

    def __exit__(self, kind, _value, _trace):
        if kind:
            print(self.log_tail())
        self.close(is_checked=kind is None)

    # --- what it left ---

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def log_tail(self, lines=25):
        return "\n".join("    | " + line for line in self.log().splitlines()[-lines:])

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def conf(self, vmid):
        """The text copy of a guest's configuration, or None."""
        for top, _, names in os.walk(self.path("etc")):
            if f"{vmid}.conf" in names:
                with open(os.path.join(top, f"{vmid}.conf"), encoding="utf-8") as f:
                    return f.read()
        return None

    def images(self):
        """Every volume file of storage `local`, relative to images/."""
        top = self.path("var/storage/local/images")
        return sorted(os.path.relpath(os.path.join(d, f), top) for d, _, names in os.walk(top) for f in names)

    def processes(self, name):
        return procs.find(self.root, name)

    def orphans(self):
        """Output of tools/orphans; empty when all is clean."""
        argv = [os.path.join(facts.TOP, "tools/orphans"), self.root]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert done.returncode in (0, 1), f"tools/orphans: {done.stdout}"
        return done.stdout

    # --- clients ---

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def cli(self, *args, is_checked=True, stdin=None, timeout=30):
        argv = [program("holm"), "--root", self.root, *map(str, args)]
        done = subprocess.run(argv, input=stdin or "", capture_output=True, text=True, timeout=slow(timeout))
        if is_checked and done.returncode != 0:
            raise AssertionError(f"holm {' '.join(map(str, args))}: exit {done.returncode}: {done.stderr}")
        return done

    def cli_json(self, *args):
        return json.loads(self.cli(*args, "-o", "json").stdout)

    def create_user(self, user, role=None):
        """Through the local socket, as the administrator of the machine would."""
        path = self.base + "/password"
        with open(path, "w", encoding="utf-8") as f:
            f.write(PASSWORD + "\n")
        self.cli("user", "create", user, "--password-file", path, *(["--role", role] if role else []))

    def client(self, user="admin@pve", password=PASSWORD, token=None):
        return Client(self.url, self.name, None if token else user, password, token)

    @property
    def api(self):
        """The administrator's session; kept over restarts (tickets outlive them)."""
        if not self._api:
            self._api = self.client()
        return self._api

    def nobody(self):
        return Client(self.url, self.name)

    def restricted(self, user, **roles_by_path):
        """A session of a new user with roles on paths: restricted("ro@pve", **{"/vms/100": "PVEVMUser"}). A token with
        the user's own rights is used: logins are slow on purpose."""
        try:
            self.api.post("/access/users", userid=user)
        except ApiError as e:
            if "already exists" not in str(e):
                raise
        for path, role in roles_by_path.items():
            self.api.put("/access/acl", path=path, roles=role, users=user)
        token = self.api.post(f"/access/users/{user}/token/t{next(TOKENS)}", privsep=0)
        return self.client(token=(token["full-tokenid"], token["value"]))

    # --- guests ---

    def create(self, vmid, **config):
        return self.api.run("POST", "/nodes/{node}/qemu", {"vmid": vmid, **config})

    def remove(self, vmid):
        if self.guest_state(vmid) == "running":
            self.api.run("POST", f"/nodes/{{node}}/qemu/{vmid}/status/stop")
        return self.api.run("DELETE", f"/nodes/{{node}}/qemu/{vmid}")

    def guest_state(self, vmid):
        return self.api.get(f"/nodes/{{node}}/qemu/{vmid}/status/current")["status"]

    def vm(self, vmid, rest=""):
        return f"/nodes/{{node}}/qemu/{vmid}{rest}"
