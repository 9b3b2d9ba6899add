"""Hostile console clients: frames that break RFC 6455 or the limits end that connection and nothing else."""
import urllib.parse

from lib import procs
from lib.console import Console
from lib.guests import write_boot_sector
from lib.holm import is_sanitized
from lib.raw import UPGRADE, UPGRADE_KEY, auth, connect, exchange, frame, is_closed_by_server, statuses
from lib.tap import main, test
from lib.wait import wait_for

VMID = 120


def running_guest(node):
    if not any(v["vmid"] == VMID for v in node.api.get("/nodes/{node}/qemu")):
        node.create(VMID, memory=64, serial0="socket", scsi0="local:1,format=raw")
        write_boot_sector(node, node.api.get(node.vm(VMID, "/config"))["scsi0"])
        node.api.run("POST", node.vm(VMID, "/status/start"))


def target(node):
    answer = node.api.post(node.vm(VMID, "/termproxy"))
    query = urllib.parse.urlencode({"port": answer["port"], "vncticket": answer["ticket"]})
    return f"/api2/json/nodes/{node.name}/qemu/{VMID}/vncwebsocket?{query}", answer


def opened(node):
    """A raw TLS connection after a right handshake and a right hello."""
    path, answer = target(node)
    s = connect(node)
    s.sendall(f"GET {path} HTTP/1.1\r\n{auth(node)}{UPGRADE}\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += s.recv(1)
    assert got.startswith(b"HTTP/1.1 101"), got
    s.sendall(frame(2, f"{answer['user']}:{answer['ticket']}\n".encode()))
    return s


@test(limit=90)
def bad_frames_end_the_connection(node):
    running_guest(node)
    rows = {"unmasked": frame(2, b"0:1:a", is_masked=False), "reserved bit": frame(2, b"0:1:a", rsv=4),
            "unknown opcode": frame(11, b"x"), "fragment": frame(2, b"0:1:a", is_final=False) + frame(0, b"b", is_final=False),
            "long control frame": frame(9, b"p" * 126), "fragmented ping": frame(9, b"p", is_final=False),
            "length of 2^63": frame(2, b"", length=1 << 63), "200 KiB": frame(2, b"0" * 200000),
            "lone continuation": frame(0, b"x")}
    for what, data in rows.items():
        with opened(node) as s:
            try:
                s.sendall(data)
            except OSError:
                continue
            assert is_closed_by_server(s), f"{what}: the connection stays open"
    with Console(node.api, node.vm(VMID)) as c:
        c.type("k")
        c.expect("key k", 10)


@test(limit=60)
def nonsense_inside_good_frames_is_skipped(node):
    running_guest(node)
    with Console(node.api, node.vm(VMID)) as c:
        for data in (b"9:9:9", b"0:-1:x", b"0:99999999999999999999:x", b"1:0:0:", b"1:99999999:1:", b"2" * 1000, b"", b"\0" * 50,
                     b"0:"):
            c.ws.send_binary(data)
        c.close()
    with Console(node.api, node.vm(VMID)) as c:
        c.type("n")
        c.expect("key n", 10)


@test(limit=60)
def split_messages_are_joined(node):
    running_guest(node)
    with Console(node.api, node.vm(VMID)) as c:
        for part in (b"0", b":", b"1", b":", b"s", b"0:1:t2"):
            c.ws.send_binary(part)
        c.expect("key s", 10)
        c.expect("key t", 10)


@test(limit=60)
def upgrades_are_checked(node):
    running_guest(node)
    rows = {"version 12": UPGRADE.replace("13", "12"), "no key": UPGRADE.replace(UPGRADE_KEY, ""), "no upgrade": "",
            "foreign origin": UPGRADE + "Origin: https://evil.example\r\n"}
    for what, headers in rows.items():
        path, _ = target(node)
        codes = statuses(exchange(node, f"GET {path} HTTP/1.1\r\n{auth(node)}{headers}\r\n".encode()))
        assert 101 not in codes, what
    codes = statuses(exchange(node, f"GET /api2/json/version HTTP/1.1\r\n{auth(node)}{UPGRADE}\r\n".encode()))
    assert 101 not in codes


@test(limit=60)
def flood_of_console_input_does_not_grow_the_daemon(node):
    """20 MB of input for a guest that reads slowly: what nobody takes is held back, not stored."""
    running_guest(node)
    watched = [node.process.pid, *node.processes("holm-front"), *node.processes("holm-guest")]
    before = sum(procs.memory_kib(p) for p in watched)
    with opened(node) as s:
        s.settimeout(2)
        data = frame(2, b"0:60000:" + b"x" * 60000)
        try:
            for _ in range(350):
                s.sendall(data)
        except (TimeoutError, OSError):
            pass  # held back: the right answer
        grown = sum(procs.memory_kib(p) for p in watched) - before
        assert is_sanitized() or grown < 16 * 1024, f"{grown} KiB"
    assert node.api.get("/version")
    node.remove(VMID)  # it would answer for a long time


@test(limit=60)
def many_consoles_of_one_guest_are_capped(node):
    """A console costs descriptors in three processes: somewhere there is an end, and it is an error, not a crash."""
    running_guest(node)
    consoles = []
    try:
        for _ in range(80):
            consoles.append(opened(node))
    except AssertionError:
        pass
    finally:
        for s in consoles:
            s.close()
    node.api.get("/version")


    def opens_again():
        try:
            with Console(node.api, node.vm(VMID)) as c:
                c.type("c")
                c.expect("key c", 10)
            return True
        except AssertionError:
            return False
    wait_for(opens_again, 20, "a console to open again")
    wait_for(lambda: node.guest_state(VMID) == "running", 5)
    node.remove(VMID)


if __name__ == "__main__":
    main()
