"""holm-front processes that come to an end, and the moment when the next one answers."""
import os
import select
import time

from lib import inject, raw
from lib.wait import wait_for


def death_of(pidfd, timeout=5):
    """Waits for it; returns when it was seen."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    assert poller.poll(timeout * 1000), "it lives on"
    return time.monotonic()


def answer_of(node):
    """One try of a request on a new connection: the status, or None."""
    try:
        got = raw.exchange(node, b"GET /api2/json/access/ticket HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 2)
    except OSError:
        return None
    return raw.statuses(got)[0] if raw.statuses(got) else None


def kill_by_call(node, pid, number, *args):
    """Returns when it was dead."""
    before = node.log().count("signal 31")
    pidfd = os.pidfd_open(pid)
    inject.call(pid, number, *args)
    dead = death_of(pidfd)
    os.close(pidfd)
    wait_for(lambda: node.log().count("signal 31") == before + 1, 5, "holmd to see SIGSYS: " + node.log_tail(4), 0.002)
    return dead
