"""The screen of a real guest by VNC: handshake, passwords, picture, keys, several viewers, and what must not listen."""
import functools
import os
import re
import time

import websocket

from lib import procs
from lib.console import Console
from lib.guests import write_boot_sector
from lib.rfb import Refused, Viewer, open_websocket
from lib.tap import main, test
from lib.wait import slow, wait_for

VM, LATE_VM = 200, 201
GREETING = "The screen is up."


def screen_guest(node):
    """A running guest whose boot sector talks on the screen and answers keys there."""
    try:
        if node.guest_state(VM) == "running":
            return node.vm(VM)
    except Exception as e:
        assert "does not exist" in str(e), e
        node.create(VM, memory=64, scsi0="local:1,format=raw", serial0="socket", name="screen")
        write_boot_sector(node, node.api.get(node.vm(VM, "/config"))["scsi0"], "screen")
    node.api.run("POST", node.vm(VM, "/status/start"))
    return node.vm(VM)


@functools.cache
def late_viewer(node):
    """Begun by the first test, looked at by a later one: a viewer who shows no password, a ticket, the time."""
    node.create(LATE_VM, memory=64)
    node.api.run("POST", node.vm(LATE_VM, "/status/start"))
    viewer = Viewer(node.api, node.vm(LATE_VM))
    viewer.challenge()
    return viewer, node.api.post(node.vm(LATE_VM, "/vncproxy")), time.monotonic()


def must_refuse(viewer, password=None):
    with viewer as v:
        try:
            v.login(password)
        except Refused:
            return
    raise AssertionError("the password was accepted")


def must_not_open(client, guest, answer):
    try:
        ws = open_websocket(client, guest, answer)
    except websocket.WebSocketBadStatusException as e:
        assert e.status_code in (401, 403), e
        return
    ws.close()
    raise AssertionError("the WebSocket was opened")


@test(limit=60)
def screen_shows_text_and_takes_keys(node):
    guest = screen_guest(node)
    with Viewer(node.api, guest) as v:
        late_viewer(node)
        assert v.ws.getsubprotocol() == "binary", v.ws.getsubprotocol()
        v.login()
        assert "screen" in v.name, v.name
        v.expect(GREETING, 30)
        v.type("q")
        v.expect("key q", 10)
        v.point(10, 10, 1)
        v.point(0, 0)
        assert v.is_open()


@test(limit=30)
def answer_is_as_documented(node):
    answer = node.api.post(screen_guest(node) + "/vncproxy", {"websocket": 1, "generate-password": 1})
    assert answer["user"] == "admin@pve" and 5900 <= int(answer["port"]) <= 5999, answer
    assert re.fullmatch(r"[!-`]{8}", answer["password"]), answer
    assert answer["ticket"].startswith(answer["password"] + ":PVEVNC:"), answer
    assert answer["cert"].startswith("-----BEGIN CERTIFICATE-----"), answer
    assert ":vncproxy:200:admin@pve:" in answer["upid"], answer
    assert node.api.wait_task(answer["upid"]) == "OK"
    other = node.api.post(screen_guest(node) + "/vncproxy")
    assert other["password"] != answer["password"] and other["ticket"] != answer["ticket"]
    question = {"authid": "admin@pve", "path": f"/vms/{VM}", "privs": "VM.Console", "port": other["port"]}
    node.api.post("/access/vncticket", {**question, "vncticket": other["ticket"]})
    node.api.refused("POST", "/access/vncticket", {**question, "vncticket": answer["ticket"]}, status=401)


@test(limit=60)
def old_clients_and_old_protocols(node):
    """The whole ticket as the password; RFB 3.3 and 3.7; a token instead of a login; a ticket without its prefix."""
    guest = screen_guest(node)
    with Viewer(node.api, guest) as v:
        v.login(v.answer["ticket"])
        v.expect(GREETING)
    for version in (b"RFB 003.003\n", b"RFB 003.007\n"):
        with Viewer(node.api, guest, version) as v:
            v.login()
            assert v.is_open()
    user = node.restricted("token-viewer@pve", **{f"/vms/{VM}": "PVEVMUser"})
    with Viewer(user, guest) as v:
        assert "!" in v.answer["user"], v.answer
        v.login()
        assert v.is_open()
    answer = node.api.post(guest + "/vncproxy", {"websocket": 1})
    ws = open_websocket(node.api, guest, {**answer, "ticket": answer["ticket"][9:]})
    assert ws.recv() == b"RFB 003.008\n"
    ws.close()


@test(limit=60)
def wrong_passwords_and_used_tickets(node):
    guest = screen_guest(node)
    must_refuse(Viewer(node.api, guest), "nonsense")
    other = node.api.post(guest + "/vncproxy")
    must_refuse(Viewer(node.api, guest), other["password"])  # of another ticket
    with Viewer(node.api, guest) as v:
        v.login()
        used = v.answer
        must_refuse(Viewer(node.api, guest), used["password"])
        must_not_open(node.api, guest, used)
        assert v.is_open()
    must_not_open(node.restricted("else@pve", **{f"/vms/{VM}": "PVEVMUser"}), guest, other)


@test(limit=60)
def two_viewers_at_once(node):
    guest = screen_guest(node)
    with Viewer(node.api, guest).login() as second:
        with Viewer(node.api, guest).login() as first:
            first.type("w")
            first.expect("key w", 10)
            second.expect("key w", 10)
        assert second.is_open()
        second.type("e")
        second.expect("key e", 10)


@test(limit=60)
def viewer_who_waits_at_the_door_holds_nobody_up(node):
    """Someone who shows no password keeps the next one waiting for a few seconds only, and is then sent away."""
    guest = screen_guest(node)
    staller = Viewer(node.api, guest)
    staller.challenge()
    began = time.monotonic()
    with Viewer(node.api, guest).login() as v:
        assert time.monotonic() - began < slow(10)
        assert v.is_open()
    must_refuse(staller)


@test(limit=60)
def crowd_is_bounded(node):
    """Sixteen consoles and viewers together; the next is closed, and there is room again afterwards."""
    guest = screen_guest(node)
    crowd = [Viewer(node.api, guest).login() for _ in range(15)]
    with Console(node.api, guest):
        must_refuse(Viewer(node.api, guest))
    assert crowd[0].is_open() and crowd[14].is_open()
    for v in crowd:
        v.close()

    def has_room():
        try:
            with Viewer(node.api, guest).login() as v:
                return v.is_open()
        except Refused:
            return False
    wait_for(has_room, 10, "room for a viewer")


def listening_inodes():
    found = set()
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="ascii") as f:
            found |= {line.split()[9] for line in f.readlines()[1:] if line.split()[3] == "0A"}
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
        found |= {line.split()[6] for line in f.readlines()[1:] if int(line.split()[3], 16) & 0x10000}
    return found


def link_of(pid, n):
    try:
        return os.readlink(f"/proc/{pid}/fd/{n}")
    except FileNotFoundError:
        return ""  # closed meanwhile


def sockets(pid):
    links = (link_of(pid, n) for n in os.listdir(f"/proc/{pid}/fd"))
    return {m[1] for m in map(re.compile(r"socket:\[(\d+)\]").fullmatch, links) if m}


@test(limit=30)
def nothing_listens(node):
    """QEMU has no listening socket, neither TCP nor unix, not even while it has a viewer; so nothing is to be found by a
    neighbour on the machine."""
    guest = screen_guest(node)
    pid = node.api.get(guest + "/status/current")["pid"]
    before = sockets(pid)
    with Viewer(node.api, guest).login() as v:
        assert v.is_open()
        assert len(sockets(pid) - before) == 1, "one connection more"
        assert not sockets(pid) & listening_inodes()
    wait_for(lambda: sockets(pid) == before, 10, "QEMU to close the viewer's connection")


@test(limit=60)
def rights_taken_away_end_the_view(node):
    guest = screen_guest(node)
    user = node.restricted("leaver@pve", **{f"/vms/{VM}": "PVEVMUser"})
    with Viewer(node.api, guest).login() as other, Viewer(user, guest).login() as v:
        assert v.is_open()
        node.api.put("/access/acl", path=f"/vms/{VM}", roles="PVEVMUser", users="leaver@pve", delete=1)
        wait_for(lambda: not v.is_open(), 5, "the view to end")
        assert other.is_open()


@test(limit=60)
def guests_without_a_screen_say_so(node):
    node.create(210, memory=64, vga="serial0", serial0="socket")
    node.create(211, memory=64, vga="none")
    node.api.refused("POST", node.vm(210, "/vncproxy"), text="not running")
    for vmid in (210, 211):
        node.api.run("POST", node.vm(vmid, "/status/start"))
    node.api.refused("POST", node.vm(210, "/vncproxy"), text="use termproxy")
    node.api.refused("POST", node.vm(211, "/vncproxy"), text="no graphical display")
    with Console(node.api, node.vm(210)) as c:
        c.expect("SeaBIOS", 20)
    node.api.refused("POST", node.vm(210, "/spiceproxy"), text="there is no SPICE here: use vncproxy")
    looker = node.restricted("looker@pve", **{"/vms/210": "PVEAuditor"})
    looker.refused("POST", node.vm(210, "/vncproxy"), status=403)
    looker.refused("POST", node.vm(210, "/spiceproxy"), status=403)
    node.remove(210)
    node.remove(211)


@test(limit=120)
def every_card_and_another_keyboard(node):
    """A German keyboard has Y where an American BIOS sees Z. Each kind of card shows a picture."""
    cards = ("std,memory=32", "cirrus", "virtio,memory=64", "vmware", "qxl,memory=32")
    for vmid, card in enumerate(cards, 212):
        node.create(vmid, memory=64, vga=card, keyboard="de", tablet=int(card != "vmware"), scsi0="local:1,format=raw",
                    machine="pc" if card == "cirrus" else "q35", ostype="win7" if card == "cirrus" else "l26")
        write_boot_sector(node, node.api.get(node.vm(vmid, "/config"))["scsi0"], "screen")
        node.api.run("POST", node.vm(vmid, "/status/start"))
    for vmid in range(212, 212 + len(cards)):
        with Viewer(node.api, node.vm(vmid)).login() as v:
            v.expect(GREETING, 60)
            v.type("z")
            v.expect("key y", 10)
        node.remove(vmid)


@test(limit=60)
def password_and_ticket_live_thirty_seconds(node):
    """Who has not shown the password by then is cut off, and an old ticket opens nothing."""
    late, old, began = late_viewer(node)
    try:
        late.read(1, timeout=40)
        raise AssertionError("bytes from QEMU for someone who showed no password")
    except (EOFError, OSError, websocket.WebSocketException):
        pass
    late.close()
    wait_for(lambda: time.monotonic() - began > 31, 35, "the ticket to be old")
    must_not_open(node.api, node.vm(LATE_VM), old)
    with Viewer(node.api, node.vm(LATE_VM)).login() as v:
        assert v.is_open()


@test(limit=60)
def daemon_dies_under_a_viewer(node):
    guest = screen_guest(node)
    pid = node.api.get(guest + "/status/current")["pid"]
    v = Viewer(node.api, guest).login()
    v.type("r")
    v.expect("key r", 10)
    node.kill9()
    wait_for(lambda: not node.accepts(), 10, "holmd's fronts to end")
    node.start()
    assert procs.is_alive(pid)
    wait_for(lambda: not v.is_open(), 10, "the view to end with its front")
    with Viewer(node.api, guest).login() as again:
        again.expect("key r", 10)
        again.type("t")
        again.expect("key t", 10)
    assert node.api.get(guest + "/status/current")["pid"] == pid


if __name__ == "__main__":
    main()
