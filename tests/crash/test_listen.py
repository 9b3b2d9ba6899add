"""The port after a crash: what a killed daemon's fronts still hold for a moment is waited for, what another program holds
is an error."""
import os
import socket

from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for


def taken(node):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", node.port))
    s.listen()
    return s


def hits(path):
    if not os.path.exists(path):
        return 0
    with open(path, encoding="ascii") as f:
        return f.read().split().count("front.port-taken")


@test(limit=60)
def a_port_that_becomes_free_is_waited_for():
    with Node() as node:
        node.stop()
        log = node.base + "/hits"
        with taken(node):
            node.launch(HOLM_FP_LOG=log)
            wait_for(lambda: hits(log) > 1, 20, "holmd to find the port taken, more than once")
        node.wait_ready()
        assert node.api.get("/version")


@test(limit=60)
def a_port_that_stays_taken_is_an_error():
    with Node() as node:
        node.stop()
        with taken(node):
            node.launch()
            assert node.wait_dead() == 1
        assert f"port {node.port} on 127.0.0.1 is in use by another program" in node.log(), node.log_tail()
        node.start()


@test(limit=90)
def a_killed_daemon_comes_back_at_once(node):
    """Without a pause between the end of one and the start of the next, again and again."""
    for _ in range(5):
        node.restart(is_killed=True)
    assert node.api.get("/version") and "in use by another" not in node.log()


if __name__ == "__main__":
    main()
