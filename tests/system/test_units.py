#!/usr/bin/python3
"""The installed service under systemd: `meson install` into DESTDIR, a systemd container whose /usr is the host's with
the installed files over it, holmd.service started, restarted and killed there while a guest runs.

The container has no packages of its own, so nothing is downloaded. Its name and files belong to this process alone.
"""
import os
import shutil
import tempfile

from lib import procs
from lib.installed import Installed, install
from lib.machine import NODE
from lib.tap import main, test
from lib.wait import wait_for


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


@test(limit=300)
def service_starts_restarts_and_leaves_guests_alone():
    with Installed() as m:
        assert m.sh("systemd-analyze verify holmd.service 2>&1 | grep -i holm || true") == ""
        assert m.sh("id -un holm", is_checked=False) == "holm", "sysusers made no user"
        m.sh("systemctl start holmd")
        assert m.property("ActiveState") == "active"
        wait_for(m.api_answers, 30, "the API after systemd called the service started")

        m.task("POST", f"/nodes/{NODE}/qemu", "vmid=100", "memory=64", "serial0=socket", "vga=serial0")
        m.api("POST", f"/nodes/{NODE}/qemu/100/status/start")
        wait_for(lambda: m.guest() == "running", 30, "the guest to run")
        before, daemon = m.qemu(), m.property("MainPID")
        assert before, "no QEMU runs"

        m.sh("systemctl restart holmd")
        wait_for(m.api_answers, 60, "the API after a restart")
        assert m.property("MainPID") != daemon, "the daemon was not restarted"
        assert m.qemu() == before, f"QEMU was {before}, is {m.qemu()}"
        assert m.guest() == "running"

        daemon = m.property("MainPID")
        m.sh(f"kill -9 {daemon}")
        wait_for(lambda: m.property("MainPID") not in (daemon, "0") and m.api_answers(), 60, "systemd to restart holmd")
        assert m.qemu() == before, f"QEMU was {before}, is {m.qemu()}"
        assert m.guest() == "running"

        m.sh("systemctl stop holmd")
        assert m.qemu() == before, "stopping the service stopped a guest"
        m.sh("systemctl start holmd")
        wait_for(m.api_answers, 60, "the API after stop and start")
        m.api("POST", f"/nodes/{NODE}/qemu/100/status/stop")
        wait_for(lambda: m.qemu() is None, 60, "QEMU to end")
        assert m.guest() == "stopped"


if __name__ == "__main__":
    procs.become_subreaper()
    main()
