"""A container with systemd in which Holm is installed by `meson install`: its /usr is the host's with the installed files
over it. It has no packages of its own, so nothing is downloaded."""
import os
import shutil

from lib import facts
from lib.machine import NODE, Machine, run

BUILD = os.path.abspath(os.environ.get("HOLM_BUILD_RELEASE") or os.environ.get("HOLM_BUILD", f"{facts.TOP}/build"))
ETC = ["ld.so.cache", "ld.so.conf", "ld.so.conf.d", "nsswitch.conf", "alternatives", "ssl", "group"]
ROOT = """\
lxc.rootfs.path = dir:{base}/root
lxc.mount.entry = overlay usr overlay lowerdir={base}/dest/usr:/usr,ro 0 0
"""


def install(dest):
    run(["/usr/bin/meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"], env={"DESTDIR": dest})


class Installed(Machine):
    """The host's /usr with the installed files over it."""

    def prepare(self):
        root, dest = self.base + "/root", self.base + "/dest"
        for folder in ("usr", "etc", "var/lib", "var/log", "run", "proc", "sys", "dev", "tmp", "root"):
            os.makedirs(f"{root}/{folder}")
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
        self.write_config(ROOT)
