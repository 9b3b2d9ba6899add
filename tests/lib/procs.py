"""Processes of a test, found through /proc. The harness is a child subreaper, so whatever a daemon under test leaves
behind stays a descendant of the harness: clean-up needs no guess by name."""
import ctypes
import errno
import os
import signal

from lib.wait import wait_for

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def stat(pid):
    """(ppid, state, start time in ticks) or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[0], int(fields[19])


def is_alive(pid):
    """A zombie counts as dead."""
    s = stat(pid)
    return bool(s) and s[1] not in "ZX"


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def name(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return ""


def descendants(root_pid):
    children = {}
    for entry in os.listdir("/proc"):
        s = stat(entry) if entry.isdigit() else None
        if s:
            children.setdefault(s[0], []).append(int(entry))
    found, queue = [], [root_pid]
    while queue:
        for pid in children.get(queue.pop(), []):
            found.append(pid)
            queue.append(pid)
    return found


def reap(except_pids=()):
    """Collects dead adopted children; those of Popen objects (except_pids) are theirs to wait for."""
    for pid in descendants(os.getpid()):
        s = stat(pid)
        if s and s[0] == os.getpid() and s[1] == "Z" and pid not in except_pids:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def of_root(root):
    """Live descendants of the harness that belong to a daemon's root."""
    return [p for p in descendants(os.getpid()) if is_alive(p) and belongs(p, root)]


def find(root, program):
    """Those of a root that run `program` (first 15 characters of the name)."""
    return [p for p in of_root(root) if name(p) == program[:15]]


def belongs(pid, root):
    """By command line, directories or open files; a child of such a process belongs too."""
    if root in cmdline(pid):
        return True
    links = ["cwd", "root"]
    try:
        links += [f"fd/{n}" for n in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    for link in links:
        try:
            if os.readlink(f"/proc/{pid}/{link}").startswith(root + "/"):
                return True
        except OSError:
            continue
    s = stat(pid)
    return bool(s) and s[0] != os.getpid() and belongs(s[0], root)


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_all(pids, except_pids=()):
    for pid in pids:
        kill(pid)
    wait_for(lambda: reap(except_pids) or not any(is_alive(p) for p in pids), 10, f"{pids} to die")


def remove_cgroup(folder):
    """True when it is gone, False while the kernel says it is busy."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError as e:
        if e.errno != errno.EBUSY:
            raise
        return False
    return True


def fds(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def status_number(pid, field):
    """Of /proc/PID/status; memory is in KiB there."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field + ":"))


def memory_kib(pid, field="Rss"):
    """Rss or Pss of a process from smaps_rollup."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
            for line in f:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0
