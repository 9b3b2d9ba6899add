"""A holmd on a host of its own: /etc, /var/log and whatever else a test wants to be different are folders of the test in
a private mount namespace. No file of the machine is changed."""
import json
import os
import shutil
import subprocess

from lib.holm import Node

CURSOR = "-- cursor: s=abc;i=2\n"
# A program of the host: notes how it was called, and says what it is told to. holmd starts no scripts.
PROGRAM = r"""
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
    FILE *asked = fopen(ASKED, "w");
    int has_cursor = 0;
    for (int i = 1; i < argc; i++) {
        fprintf(asked, "%s ", argv[i]);
        has_cursor |= strcmp(argv[i], "--show-cursor") == 0;
    }
    fclose(asked);
    fputs(TEXT, stdout);
    if (has_cursor)
        fputs(CURSOR, stdout);
    return STATUS;
}
"""


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


class HostNode(Node):
    """The "host" is base/etc and base/log."""

    def __init__(self):
        super().__init__()
        self.etc, self.log_folder = self.base + "/etc", self.base + "/varlog"
        shutil.copytree("/etc", self.etc, symlinks=True, ignore_dangling_symlinks=True)
        os.mkdir(self.log_folder)
        write(self.etc + "/resolv.conf", "# kept\nsearch old.example\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions rotate\n")
        write(self.etc + "/hosts", "127.0.0.1 localhost\n")
        self.binds = [(self.etc, "/etc"), (self.log_folder, "/var/log")]

    def launch(self, **env):
        mounts = [f"mount --bind {source} {target}" for source, target in self.binds]
        self.prefix = ["unshare", "-m", "--propagation", "private", "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh"]
        return super().launch(**env)

    def program(self, name, text, path, status=0):
        """A program of the host at path that notes its arguments in base/asked-NAME and writes text."""
        if os.path.lexists(path):
            os.unlink(path)
        defines = {"ASKED": f"{self.base}/asked-{name}", "TEXT": text, "CURSOR": CURSOR, "STATUS": status}
        subprocess.run(["gcc", "-x", "c", "-", "-o", path, *[f"-D{k}={json.dumps(v)}" for k, v in defines.items()]],
                       input=PROGRAM, text=True, check=True)

    def asked(self, name):
        return read(f"{self.base}/asked-{name}")

    def tree(self, folder, files):
        """Files below base/folder; a path that ends in a slash is a folder."""
        for path, text in files.items():
            path = f"{self.base}/{folder}/{path}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not path.endswith("/"):
                write(path, text + "\n")
