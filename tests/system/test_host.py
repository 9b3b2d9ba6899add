#!/usr/bin/python3
"""Routes that change the host, under a real systemd: a container in which holmd is the installed service. Services are
stopped and started, holmd restarts itself while a guest runs, and the container is shut down in the end."""
import os

from lib import facts, procs
from lib.installed import Installed
from lib.machine import NODE, run
from lib.tap import main, test
from lib.wait import wait_for

UNIT = """[Service]
ExecStart=/usr/bin/sleep infinity
ExecReload=/bin/false
"""


def command(m, service, op):
    """Exit status of the task that the call started."""
    upid = m.api("POST", f"/nodes/{NODE}/services/{service}/{op}")
    assert f":srv{op}:{service}:" in upid, upid
    wait_for(lambda: m.api("GET", f"/nodes/{NODE}/tasks/{upid}/status")["status"] == "stopped", 60, f"{op} of {service}")
    return m.api("GET", f"/nodes/{NODE}/tasks/{upid}/status")["exitstatus"]


def state(m, service):
    row = m.api("GET", f"/nodes/{NODE}/services/{service}/state")
    return row["active-state"], row["state"], row["unit-state"]


def is_stopped(m):
    return "RUNNING" not in run(["lxc-info", *m.where, "-s"], is_checked=False)


def restart_itself(m):
    """The task; None if systemd was quicker than the answer, as it may be on a busy machine."""
    try:
        return m.api("POST", f"/nodes/{NODE}/services/holmd/restart")
    except AssertionError as e:
        assert "cli.unreachable" in str(e), e
        return None


@test(limit=240)
def services_and_power():
    with Installed() as m:
        m.sh("mkdir -p /etc/systemd/system")
        m.write("etc/systemd/system/cron.service", UNIT)
        m.sh("systemctl daemon-reload && systemctl start holmd")
        wait_for(m.api_answers, 30, "the API")

        assert state(m, "cron") == ("inactive", "dead", "static")
        assert command(m, "cron", "start") == "OK" and state(m, "cron") == ("active", "running", "static")
        first = m.sh("systemctl show -P MainPID cron")
        assert command(m, "cron", "restart") == "OK" and m.sh("systemctl show -P MainPID cron") != first
        assert command(m, "cron", "reload") != "OK"  # its reload fails, and that is said
        assert command(m, "cron", "stop") == "OK" and m.sh("systemctl is-active cron", is_checked=False) == "inactive"
        assert "systemctl start pvedaemon.service" in command(m, "pvedaemon", "start")
        assert state(m, "pvedaemon") == ("inactive", "dead", "not-found")
        known = {s["service"]: s for s in m.api("GET", f"/nodes/{NODE}/services")}
        assert known["holmd"]["active-state"] == "active" and "pvedaemon" not in known, known

        m.task("POST", f"/nodes/{NODE}/qemu", "vmid=100", "memory=64", "serial0=socket", "vga=serial0")
        m.api("POST", f"/nodes/{NODE}/qemu/100/status/start")
        wait_for(lambda: m.guest() == "running", 60, "the guest to run")
        guest, daemon = m.qemu(), m.property("MainPID")
        upid = restart_itself(m)
        wait_for(lambda: m.property("MainPID") not in (daemon, "0") and m.api_answers(), 60, "holmd to restart itself")
        upid = upid or m.api("GET", f"/nodes/{NODE}/tasks", "typefilter=srvrestart", "limit=1")[0]["upid"]
        assert m.api("GET", f"/nodes/{NODE}/tasks/{upid}/status")["exitstatus"] == "OK"
        assert m.qemu() == guest and m.guest() == "running"

        m.api("PUT", f"/nodes/{NODE}/qemu/100/config", "startup=down=5")
        assert not is_stopped(m)
        m.api("POST", f"/nodes/{NODE}/status", "command=shutdown")
        wait_for(lambda: is_stopped(m), 90, "the container to shut down")
        facts.record("POST", f"/nodes/{NODE}/status", 200, [])
        log = "".join(open(os.path.join(top, f), encoding="utf-8").read()
                      for top, _, names in os.walk(f"{m.base}/root/var/lib/holm/var/tasks") for f in names if ":stopall:" in f)
        assert "Stopping VM 100" in log and "TASK OK" in log, log


if __name__ == "__main__":
    procs.become_subreaper()
    main()
