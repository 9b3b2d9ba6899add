"""LXD, Debian's package, as the peer of lists: its daemon with a folder of its own, in namespaces of its own (no network;
its mounts go with it), answering on its unix socket."""
import http.client
import json
import os
import shutil
import subprocess
import tempfile

from bench import figures
from lib.wait import slow, wait_for


class OverSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("lxd", timeout=slow(60))
        self.path = path

    def connect(self):
        self.sock = figures.unix(self.path)


class Lxd:
    """A daemon with a pool `default` of type dir; ended and removed on exit."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="lxd", dir="/tmp")
        self.socket = f"{self.folder}/d/unix.socket"
        os.mkdir(f"{self.folder}/d")
        with open(f"{self.folder}/log", "wb") as log:
            self.process = subprocess.Popen(["unshare", "--mount", "--net", "--", "lxd", "--group", "root"], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, "LXD_DIR": f"{self.folder}/d"})
        self.http = OverSocket(self.socket)

    def __enter__(self):
        try:
            wait_for(self.answers, 60, "LXD to answer")
            self.ask("POST", "/1.0/storage-pools", {"name": "default", "driver": "dir"})
            root = {"type": "disk", "path": "/", "pool": "default"}
            self.ask("PUT", "/1.0/profiles/default", {"config": {}, "description": "", "devices": {"root": root}})
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.http.close()
        self.process.terminate()
        try:
            self.process.wait(slow(20))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)

    def answers(self):
        if self.process.poll() is not None:
            with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as f:
                raise AssertionError(f"lxd ended with {self.process.returncode}: {f.read()[-2000:]}")
        try:
            return self.ask("GET", "/1.0")["api_version"] == "1.0"
        except OSError:
            self.http.close()
            return False

    def ask(self, method, path, body=None):
        """The metadata of the answer, of a finished operation where it is one."""
        self.http.request(method, path, json.dumps(body) if body is not None else None)
        answer = json.loads(self.http.getresponse().read())
        assert answer["type"] != "error", f"{method} {path}: {answer['error']}"
        if answer["type"] == "async":
            done = self.ask("GET", answer["operation"] + "/wait")
            assert done["status"] == "Success", done
        return answer["metadata"]

    def define(self, name):
        """An empty container that does not run."""
        self.ask("POST", "/1.0/instances", {"name": name, "source": {"type": "none"}})

    def line(self):
        return figures.Line(figures.unix(self.socket))
