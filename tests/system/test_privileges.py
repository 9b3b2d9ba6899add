"""What each process of Holm holds, as the kernel tells it, against the table in doc/threat-model.md."""
import os
import re
import threading

from lib import facts, procs
from lib.holm import PASSWORD, Node, is_sanitized
from lib.tap import main, test
from lib.wait import wait_for

# linux/capability.h
CAPS = """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot
sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog
wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore""".split()


def table():
    """{process: (user, capabilities, no_new_privs, seccomp)} from the page."""
    with open(f"{facts.TOP}/doc/threat-model.md", encoding="utf-8") as f:
        rows = re.findall(r"^\| `([^`]+)` \| (root|holm|guest) \| ([a-z_, ]+) \| (yes|no) \| (yes|no) \|$", f.read(), re.M)
    return {name: (user, set() if caps == "none" else set(caps.split(", ")), nnp == "yes", seccomp == "yes")
            for name, user, caps, nnp, seccomp in rows}


def status(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def caps(hexadecimal):
    value = int(hexadecimal, 16)
    return {name for i, name in enumerate(CAPS) if value >> i & 1} | {f"bit {i}" for i in range(len(CAPS), 64) if value >> i & 1}


def held(pid):
    """The same form as a row of the table; effective, permitted and bounding sets must be one."""
    s = status(pid)
    uids, gids = set(s["Uid"].split()), set(s["Gid"].split())
    assert len(uids) == 1 and len(gids) == 1, (uids, gids)
    sets = caps(s["CapEff"]), caps(s["CapPrm"]), caps(s["CapBnd"])
    assert sets[0] == sets[1] == sets[2], sets
    assert int(s["CapInh"], 16) == int(s["CapAmb"], 16) == 0, s
    return int(uids.pop()), sets[0], s["NoNewPrivs"] == "1", s["Seccomp"] == "2"


def user_is(uid, user):
    return (uid == 0) == (user == "root")


def differs(name, pid):
    """What is other than the table says, or None."""
    user, wanted, nnp, seccomp = table()[name]
    # What this machine itself does not have, it cannot give.
    wanted = wanted & caps(status(os.getpid())["CapBnd"])
    uid, has, has_nnp, has_seccomp = held(pid)
    if not user_is(uid, user) or has != wanted or has_nnp != nnp or has_seccomp != seccomp:
        return f"{name} {pid}: uid {uid}, {sorted(has)}, no_new_privs {has_nnp}, seccomp {has_seccomp}"
    return None


def core_limit(pid):
    with open(f"/proc/{pid}/limits", encoding="utf-8") as f:
        return re.search(r"^Max core file size +(\S+) +(\S+)", f.read(), re.M).groups()


@test(limit=90)
def processes_hold_what_the_page_says():
    names = set(table())
    assert names == {"holmd", "holm-front", "holm-worker", "holm-fetch", "holm-block", "holm-guest", "qemu-system-x86_64",
                     "swtpm"}, names
    with Node() as node:
        node.create(100, memory=64, tpmstate0="local:1,version=v2.0")
        node.api.run("POST", node.vm(100, "/status/start"))
        seen = {"holmd": [node.process.pid]}
        for name in names - {"holmd", "holm-worker", "holm-fetch", "holm-block"}:  # short-lived: test_download, test_block
            seen[name] = node.processes(name)
            assert seen[name], name
        for name, pids in seen.items():
            for pid in pids:
                assert not differs(name, pid), differs(name, pid)
                assert core_limit(pid) == ("0", "0"), (name, core_limit(pid))
        users = {name: {held(p)[0] for p in pids} for name, pids in seen.items()}
        assert users["holm-guest"] == users["qemu-system-x86_64"] == users["swtpm"] and not users["holm-guest"] & users["holm-front"], users


@test(limit=60)
def fronts_have_small_limits(node):
    for pid in node.processes("holm-front"):
        with open(f"/proc/{pid}/limits", encoding="utf-8") as f:
            rows = {m[1]: (m[2], m[3]) for m in re.finditer(r"^Max (.*?) {2,}(\S+) +(\S+)", f.read(), re.M)}
        assert rows["processes"] == ("0", "0") and rows["core file size"] == ("0", "0"), rows
        soft, hard = map(int, rows["open files"])
        assert 1000 < soft == hard < 2048, rows
        if not is_sanitized():
            assert rows["data size"] == (str(512 << 20),) * 2, rows
        # Its root is an empty folder of this instance, and nothing below it is open.
        assert os.readlink(f"/proc/{pid}/root") == node.path("run/empty") and os.listdir(f"/proc/{pid}/root") == []
        open_files = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
        assert all(re.match(r"socket:|pipe:|anon_inode:|/dev/null$", p) or p == node.log_path for p in open_files), open_files


@test(limit=60)
def two_guests_are_two_users():
    with Node() as node:
        for vmid in (100, 101):
            node.create(vmid, memory=64)
            node.api.run("POST", node.vm(vmid, "/status/start"))
        assert len({held(p)[0] for p in node.processes("qemu-system-x86_64")}) == 2


@test(limit=60)
def worker_is_confined_when_it_hashes():
    """A worker lives for the time of one password; it is looked at while somebody logs in again and again."""
    with Node() as node:
        is_over = threading.Event()

        def log_in():
            while not is_over.is_set():
                node.nobody().call("POST", "/access/ticket", {"username": "admin@pve", "password": PASSWORD})
        people = threading.Thread(target=log_in)
        people.start()
        last = []

        def is_as_promised():
            for pid in node.processes("holm-worker"):
                try:
                    last[:] = [differs("holm-worker", pid)]
                    if last == [None] and core_limit(pid) == ("0", "0"):
                        return True
                except (OSError, KeyError, AssertionError, AttributeError):
                    continue  # it ended, or has just begun
            return False
        try:
            wait_for(is_as_promised, 20, f"a worker that is confined; last: {last}", 0.001)
        finally:
            is_over.set()
            people.join()


@test(limit=60)
def daemon_works_without_the_rest():
    """A guest's life touches files, users, groups and processes: each needs one of the capabilities that are left."""
    with Node() as node:
        node.create(100, memory=64, scsi0="local:1")
        node.api.run("POST", node.vm(100, "/status/start"))
        node.api.run("POST", node.vm(100, "/status/stop"))
        node.remove(100)
        assert node.images() == [] and not node.orphans()


if __name__ == "__main__":
    main()
