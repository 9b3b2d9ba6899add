"""Real guests and their consoles: the demo kernel by direct boot, a disk through SeaBIOS."""
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import websocket

from lib.client import ApiError
from lib.console import Console
from lib.guests import DEMO, install_demo, write_boot_sector
from lib.holm import Node
from lib.proxy import Proxy
from lib.tap import main, test
from lib.wait import wait_for


@test(limit=120)
def demo_guest_boots_and_obeys(node):
    install_demo(node)
    with Proxy(node) as proxy:
        node.create(100, name="demo", **DEMO)
        node.api.run("POST", node.vm(100, "/status/start"))
        with Console(node.api, node.vm(100), base=f"https://{proxy.address}") as c:
            c.expect("login:", 90)
            c.type("root\n")
            c.expect("# ", 20)
            c.resize(100, 30)
            c.keep_alive()
            c.type("echo sum=$((40+2))\n")
            c.expect("sum=42", 20)
        node.remove(100)


@test(limit=120)
def demo_guest_shuts_down_when_asked(node):
    install_demo(node)
    node.create(101, **DEMO)
    node.api.run("POST", node.vm(101, "/status/start"))
    with Console(node.api, node.vm(101)) as c:
        c.expect("login:", 90)
    node.api.run("POST", node.vm(101, "/status/shutdown"), {"timeout": 60}, timeout=70)
    assert node.guest_state(101) == "stopped"
    node.remove(101)


@test(limit=60)
def disk_boots_through_the_bios(node):
    for vmid, bus in ((110, "scsi0"), (111, "virtio0"), (112, "sata0"), (113, "ide0")):
        node.create(vmid, memory=64, serial0="socket", boot=f"order={bus}", **{bus: "local:1,format=raw"})
        write_boot_sector(node, node.api.get(node.vm(vmid, "/config"))[bus])
        node.api.run("POST", node.vm(vmid, "/status/start"))
        with Console(node.api, node.vm(vmid)) as c:
            c.expect("disk guest is up", 30)
            c.type("Z")
            c.expect("key Z", 10)
        node.remove(vmid)


@test(limit=60)
def console_history_and_second_reader(node):
    """What the guest wrote before anyone looked is shown; two consoles at once both see the answer."""
    node.create(114, memory=64, serial0="socket", scsi0="local:1,format=raw")
    write_boot_sector(node, node.api.get(node.vm(114, "/config"))["scsi0"])
    node.api.run("POST", node.vm(114, "/status/start"))
    with Console(node.api, node.vm(114), serial="serial0") as first:
        first.expect("disk guest is up", 30)
        with Console(node.api, node.vm(114)) as second:
            second.expect("disk guest is up", 10)
            second.type("A")
            first.expect("key A", 10)
            second.expect("key A", 10)
    node.remove(114)


def refused_upgrade(connect):
    try:
        ws = connect()
    except websocket.WebSocketBadStatusException as e:
        assert e.status_code >= 400, e
        return
    ws.close()
    raise AssertionError("the WebSocket was opened")


@test(limit=60)
def tickets_work_once_for_one_path_and_user(node):
    node.create(115, memory=64, serial0="socket")
    node.create(116, memory=64, serial0="socket")
    node.api.run("POST", node.vm(115, "/status/start"))
    node.api.run("POST", node.vm(116, "/status/start"))
    c = Console(node.api, node.vm(115))
    refused_upgrade(lambda: c.connect(c.answer))  # used
    c.close()
    fresh = node.api.post(node.vm(115, "/termproxy"))
    c.guest = f"/nodes/{node.name}/qemu/116"
    refused_upgrade(lambda: c.connect(fresh))  # another guest's
    c.guest = f"/nodes/{node.name}/qemu/115"
    c.client = node.restricted("other@pve", **{"/vms": "PVEVMUser"})
    refused_upgrade(lambda: c.connect(fresh))  # another user's
    c.client = node.nobody()
    refused_upgrade(lambda: c.connect(fresh))  # nobody's
    c.client = node.api
    refused_upgrade(lambda: c.connect({**fresh, "ticket": fresh["ticket"][:-3] + "AA="}))  # forged
    node.remove(115)
    node.remove(116)


@test(limit=60)
def wrong_hello_ends_the_console(node):
    node.create(117, memory=64, serial0="socket")
    node.api.run("POST", node.vm(117, "/status/start"))
    answer = node.api.post(node.vm(117, "/termproxy"))
    c = Console.__new__(Console)
    c.client, c.guest = node.api, f"/nodes/{node.name}/qemu/117"
    ws = c.connect(answer)
    ws.send_binary(b"admin@pve:nonsense\n")
    ws.settimeout(10)
    try:
        data = ws.recv()
    except (websocket.WebSocketException, ConnectionError):
        data = b""
    assert not data or not data.startswith(b"OK"), data
    ws.close()
    node.remove(117)


@test(limit=60)
def stopped_guest_has_no_console(node):
    node.create(118, memory=64, serial0="socket")
    reply = node.api.call("POST", node.vm(118, "/termproxy"))
    assert reply.status >= 400 and "not running" in reply.message, reply.text
    node.remove(118)


def held_while_starting(node, vmid):
    """Starts the guest and stops its holm-guest before it has told holmd that the guest runs. Returns its pid."""
    for _ in range(20):
        upid = node.api.post(node.vm(vmid, "/status/start"))
        wait_for(lambda: node.processes("holm-guest"), 10, "holm-guest to be started", step=0.001)
        pid = node.processes("holm-guest")[0]
        os.kill(pid, signal.SIGSTOP)
        if "pid" not in node.api.get(node.vm(vmid, "/status/current")):
            return pid
        os.kill(pid, signal.SIGCONT)
        node.api.wait_task(upid)
        node.api.run("POST", node.vm(vmid, "/status/stop"))
    raise AssertionError("the guest was always faster")


@test(limit=90)
def a_console_waits_for_a_guest_that_is_being_started():
    with Node() as node, ThreadPoolExecutor(2) as pool:
        node.create(118, memory=64, serial0="socket")
        pid = held_while_starting(node, 118)
        ask = [pool.submit(node.api.post, node.vm(118, f"/{kind}")) for kind in ("termproxy", "vncproxy")]
        for _ in range(5):
            node.api.get("/version")
        assert not any(a.done() for a in ask)
        os.kill(pid, signal.SIGCONT)
        assert all(a.result(20)["port"] for a in ask)
        node.api.run("POST", node.vm(118, "/status/stop"))
        # holmd ends while two of them wait: its own check for lost memory is in close()
        pid = held_while_starting(node, 118)
        ask = [pool.submit(node.api.post, node.vm(118, f"/{kind}")) for kind in ("termproxy", "vncproxy")]
        for _ in range(5):
            node.api.get("/version")
        node.stop()
        for a in ask:
            assert isinstance(a.exception(20), (ApiError, OSError)), a
        os.kill(pid, signal.SIGCONT)
        node.start()
        wait_for(lambda: node.guest_state(118) == "running", 20, "the guest to run on")
        node.remove(118)


if __name__ == "__main__":
    main()
