#!/usr/bin/python3
"""The Debian packages: made from the tree, clean for lintian, and installed, upgraded, removed and purged in a small Debian
with systemd while a guest runs.

The root of that Debian is made once (tools/container-root) and never written: the container has an overlay on it.
"""
import glob
import os
import shutil
import subprocess
import tempfile

from lib import facts, procs
from lib.machine import NODE, Machine, run
from lib.tap import main, skip, test
from lib.wait import wait_for

BUILD = os.path.abspath(os.environ.get("HOLM_BUILD_RELEASE") or os.environ.get("HOLM_BUILD", f"{facts.TOP}/build"))
FIRST, SECOND = "0.1.0-1", "0.1.0-1.1"


def make_packages(out, version):
    with open(BUILD + "/src/daemon/holmd", "rb") as f:
        if b"__asan_init" in f.read():
            skip("a build with sanitizers makes no package: HOLM_BUILD_RELEASE names another")
    run([f"{facts.TOP}/tools/deb", "--build", BUILD, "--version", version, out], timeout=240)
    return sorted(glob.glob(f"{out}/*_{version}_*.deb"))


class Made:
    """Both versions, made once."""
    folder = None

    @classmethod
    def packages(cls, version):
        if not cls.folder:
            cls.folder = tempfile.mkdtemp(prefix="holm-deb-")
        return sorted(glob.glob(f"{cls.folder}/*_{version}_*.deb")) or make_packages(cls.folder, version)

    @classmethod
    def done(cls):
        if cls.folder:
            shutil.rmtree(cls.folder)


class Clean(Machine):
    """A Debian that has never seen Holm."""

    def prepare(self):
        made = subprocess.run([f"{facts.TOP}/tools/container-root"], capture_output=True, text=True, check=False)
        if made.returncode:
            skip("no root for a container can be made: " + (made.stderr.strip().splitlines() or ["no reason"])[-1][:100])
        upper = self.base + "/upper"
        for folder in (upper + "/etc", upper + "/root/packages"):
            os.makedirs(folder)
        os.symlink(upper, self.base + "/root")
        self.write("etc/hostname", NODE + "\n")
        self.write("etc/hosts", f"127.0.0.1 localhost {NODE}\n")
        self.write("etc/machine-id", "")
        self.write_config("lxc.rootfs.path = overlay:" + made.stdout.strip() + ":{base}/upper\n")

    def install(self, version):
        names = []
        for path in Made.packages(version):
            shutil.copy(path, f"{self.base}/root/root/packages/")
            names.append("/root/packages/" + os.path.basename(path))
        return self.sh("dpkg -i " + " ".join(names), timeout=60)

    def exists(self, path):
        return self.sh(f"test -e {path} && echo yes || true") == "yes"


@test(limit=300)
def packages_have_what_they_should():
    holm, compat = Made.packages(FIRST)[::-1]
    assert os.path.basename(holm) == f"holm_{FIRST}_amd64.deb" and os.path.basename(compat) == f"holm-compat_{FIRST}_all.deb"
    files = {line.split()[5].removeprefix(".") for line in run(["dpkg-deb", "-c", holm]).splitlines()}
    wanted = {"/usr/sbin/holmd", "/usr/bin/holm", "/usr/libexec/holm/holm-front", "/lib/systemd/system/holmd.service",
              "/etc/default/holm", "/etc/pam.d/holm", "/usr/share/man/man1/holm-vm.1.gz", "/usr/share/man/man8/holmd.8.gz",
              "/usr/share/man/man8/holm-vmm.8.gz", "/usr/libexec/holm/holm-vmm", "/usr/share/holm/images.list",
              "/usr/share/bash-completion/completions/holm", "/usr/share/zsh/vendor-completions/_holm"}
    assert wanted <= files, f"missing: {wanted - files}"
    assert not [f for f in files if os.path.basename(f) in ("qm", "pvesh", "pvesm", "pveum")], "it shadows Proxmox VE's tools"
    fields = run(["dpkg-deb", "-f", holm])
    assert "libssl3" in fields and "qemu-system-x86" in fields and "libevent-core" in fields, fields
    conffiles = subprocess.run(["dpkg-deb", "--ctrl-tarfile", holm], capture_output=True, check=True).stdout
    assert b"/etc/default/holm" in conffiles and b"/etc/pam.d/holm" in conffiles
    linked = run(["dpkg-deb", "-c", compat])
    assert all(f"./usr/bin/{tool} -> holm" in linked for tool in ("qm", "pvesh", "pvesm", "pveum")), linked
    assert "qemu-server" in run(["dpkg-deb", "-f", compat, "Conflicts"])


@test(limit=120)
def lintian_finds_no_error():
    done = subprocess.run(["lintian", "--fail-on", "error", "--tag-display-limit", "0", *Made.packages(FIRST)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[:2000] + done.stderr[:500]


@test(limit=600)
def installed_upgraded_and_removed_beside_a_guest():
    with Clean() as m:
        m.install(FIRST)
        assert m.sh("id -un holm") == "holm" and m.property("UnitFileState") == "enabled"
        wait_for(m.api_answers, 60, "the API after the installation")
        m.sh("echo '# mine' >>/etc/default/holm")
        m.task("POST", f"/nodes/{NODE}/qemu", "vmid=100", "memory=64", "scsi0=local:1")
        m.sh("qm start 100")
        assert m.guest() == "running"
        guest, daemon = m.qemu(), m.property("MainPID")
        assert guest, "no QEMU runs"

        m.install(SECOND)
        wait_for(m.api_answers, 60, "the API after the upgrade")
        assert m.sh("dpkg-query -W -f '${Version}' holm") == SECOND
        assert m.property("MainPID") not in ("0", daemon), "the upgrade did not restart the daemon"
        assert m.qemu() == guest and m.guest() == "running", f"QEMU was {guest}, is {m.qemu()}"
        assert m.sh("tail -n 1 /etc/default/holm") == "# mine", "settings were lost"

        m.sh("dpkg --remove holm-compat holm", timeout=60)
        assert m.property("MainPID") == "0" and not m.exists("/usr/sbin/holmd") and not m.exists("/usr/bin/qm")
        assert m.qemu() == guest, "the removal stopped a guest"
        assert m.exists("/etc/default/holm") and m.exists("/var/lib/holm/var/state")

        m.install(SECOND)
        wait_for(m.api_answers, 60, "the API after the second installation")
        assert m.qemu() == guest and m.guest() == "running"
        m.api("POST", f"/nodes/{NODE}/qemu/100/status/stop")
        wait_for(lambda: m.qemu() is None, 15, "QEMU to end")

        m.sh("dpkg --purge holm-compat holm </dev/null", timeout=60)
        assert not m.exists("/etc/default/holm") and m.exists("/var/lib/holm/var/state"), "a purge deleted guests"
        m.install(SECOND)
        wait_for(m.api_answers, 60, "the API after a purge")
        assert m.guest() == "stopped"
        m.sh("touch /var/lib/holm/DELETE-ON-PURGE && dpkg --purge holm-compat holm", timeout=60)
        assert not m.exists("/var/lib/holm")


if __name__ == "__main__":
    procs.become_subreaper()
    try:
        main()
    finally:
        Made.done()
