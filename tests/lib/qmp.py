"""A connection of the test's own to a guest's QEMU: the key `args`, which is root's, opens it.

    with Qmp(node, 100) as q:          # before the guest starts: q.config(); afterwards it connects
        q.run("query-status")
"""
import json
import os
import socket

from lib.wait import slow, wait_for


class Qmp:
    def __init__(self, node, vmid):
        self.folder = node.base + "/qmp"
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o777)  # the guest has a user of its own
        self.path = f"{self.folder}/{vmid}"
        node.cli("api", "PUT", f"/nodes/{node.name}/qemu/{vmid}/config", "-d",
                 f"args=-qmp unix:{self.path},server=on,wait=off")
        self.file = self.sock = None

    def connect(self):
        wait_for(lambda: os.path.exists(self.path), 10, "QEMU's socket")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(slow(20))
        self.sock.connect(self.path)
        self.file = self.sock.makefile("rw", encoding="utf-8")
        assert "QMP" in json.loads(self.file.readline())
        self.run("qmp_capabilities")
        return self

    def run(self, command, **arguments):
        if not self.file:
            self.connect()
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            line = self.file.readline()
            assert line, "QEMU closed the connection"
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            assert "error" not in answer, f"{command} {arguments}: {answer['error']}"

    def get(self, path, name):
        """A property of an object."""
        return self.run("qom-get", path=path, property=name)

    def device(self, key, name):
        return self.get(f"/machine/peripheral/{key}", name)

    def close(self):
        if self.sock:
            self.file.close()
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
