"""What the end of holmd forgot, or took away too early. Each daemon's log is looked at for complaints of the sanitizers
when it ends (lib/holm.py)."""
import socket
import threading

from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for


@test
def a_local_client_that_is_still_there():
    """Its peer leaked; one that waited for an answer was told through memory that was gone."""
    with Node() as node:
        idle = socket.socket(socket.AF_UNIX)
        idle.connect(node.path("run/holm.sock"))
        wait_for(lambda: node.cli("status", is_checked=False) is not None, 10)
        busy = threading.Thread(target=lambda: node.cli("audit", "verify", is_checked=False))
        busy.start()
        node.stop()
        busy.join(20)
        assert not busy.is_alive()
        idle.settimeout(10)
        assert idle.recv(1) == b""
        idle.close()


@test
def a_resize_that_the_end_interrupts():
    """Looking for the true size began when nobody was left to wait for it."""
    with Node() as node:
        node.create(100, scsi0="local:0.01")
        upid = node.api.put(node.vm(100, "/resize"), disk="scsi0", size="+1M")
        assert ":resize:100:" in upid
        node.stop()


if __name__ == "__main__":
    main()
