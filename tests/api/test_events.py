"""/cluster/events: the rows of the lists, their changes, cursors, permissions that come and go, slow and many clients."""
import contextlib
import os
import socket
import time

import websocket

from lib.events import Ended, Events
from lib.holm import is_sanitized
from lib.procs import status_number
from lib.tap import main, test
from lib.wait import slow, wait_for

METRICS = {"cpu", "mem", "uptime", "netin", "netout", "diskread", "diskwrite", "disk"}
BASE = 700


def without_metrics(row):
    return {k: v for k, v in row.items() if k not in METRICS}


def differences(ev, client):
    kinds = {"qemu": "guest", "node": "node", "storage": "storage"}
    shown = {(kinds[r["type"]], r["id"]): r for r in client.get("/cluster/resources") if r["type"] in kinds}
    told = {(k, i): r for k in kinds.values() for i, r in ev.model[k].items()}
    out = [f"{key} is only in one of them" for key in set(shown) ^ set(told)]
    for key in set(shown) & set(told):
        if without_metrics(shown[key]) != without_metrics(told[key]) or set(shown[key]) != set(told[key]):
            out.append(f"{key}: shown {shown[key]}, told {told[key]}")
    for task in client.get("/cluster/tasks"):
        if ev.model["task"].get(task["upid"]) != task:
            out.append(f"shown {task}, told {ev.model['task'].get(task['upid'])}")
    return out


def check_against_lists(ev, client):
    """The model becomes what GET shows; metrics differ from moment to moment."""
    def is_equal():
        ev.next(0.05)
        return not differences(ev, client)
    try:
        wait_for(is_equal, 10)
    except AssertionError:
        raise AssertionError("; ".join(differences(ev, client))) from None


@test
def a_snapshot_is_what_the_lists_show(node):
    node.create(BASE, name="first", tags="a;b")
    with Events(node.api) as ev:
        ev.settle()
        assert ev.hellos == [False], ev.hellos
        assert ev.lines[0]["node"] == node.name and ev.lines[0]["type"] == "hello", ev.lines[0]
        assert "cursor" not in ev.lines[0], "before the rows there is nothing to go on from"
        assert ev.guest(BASE)["name"] == "first" and ev.guest(BASE)["status"] == "stopped", ev.guest(BASE)
        check_against_lists(ev, node.api)


@test
def a_guest_is_followed_from_its_creation_to_its_end(node):
    vmid = BASE + 1
    with Events(node.api) as ev:
        ev.settle()
        node.create(vmid, memory=64, name="one")
        ev.until(lambda m: ev.guest(vmid) and "lock" not in ev.guest(vmid), what="the new guest")
        seen = len(ev.lines)
        upid = node.api.run("POST", node.vm(vmid, "/status/start"))
        ev.until(lambda m: ev.guest(vmid)["status"] == "running", what="it runs")
        ev.until(lambda m: m["task"].get(upid, {}).get("status") == "OK", what="the end of the task")
        task = [m for m in ev.lines[seen:] if m.get("id") == upid]
        assert task[0]["type"] == "row" and "status" not in task[0]["row"], f"a task begins without a status: {task}"
        assert [m["type"] for m in task] == ["row", "delta"], task
        changes = [m for m in ev.lines[seen:] if m.get("id") == f"qemu/{vmid}"]
        assert all(m["type"] == "delta" for m in changes), f"a row instead of a change: {changes}"
        node.api.put(node.vm(vmid, "/config"), name="two", tags="x")
        ev.until(lambda m: ev.guest(vmid)["name"] == "two" and ev.guest(vmid).get("tags") == "x", what="its new name")
        node.api.put(node.vm(vmid, "/config"), delete="tags")
        ev.until(lambda m: "tags" not in ev.guest(vmid), what="a key that went")
        node.api.run("POST", node.vm(vmid, "/status/stop"))
        ev.until(lambda m: ev.guest(vmid)["status"] == "stopped", what="it stopped")
        assert ev.guest(vmid)["cpu"] == ev.guest(vmid)["mem"] == ev.guest(vmid)["uptime"] == 0, ev.guest(vmid)
        node.remove(vmid)
        ev.until(lambda m: not ev.guest(vmid), what="its end")
        ev.settle()
        assert ev.hellos == [False], "nothing was told twice"
        check_against_lists(ev, node.api)


@test
def a_pause_is_told_and_its_end(node):
    vmid = BASE + 1
    node.create(vmid, memory=64)
    node.api.run("POST", node.vm(vmid, "/status/start"))
    with Events(node.api) as ev:
        ev.settle()
        assert "qmpstatus" not in ev.guest(vmid), ev.guest(vmid)
        for end in ("resume", "stop"):
            node.api.run("POST", node.vm(vmid, "/status/suspend"))
            asked = time.monotonic()
            ev.until(lambda m: ev.guest(vmid).get("qmpstatus") == "paused", what="the pause")
            assert time.monotonic() - asked < slow(0.15), "not told when it happened, found when looked for"
            assert ev.guest(vmid)["status"] == "running", ev.guest(vmid)
            check_against_lists(ev, node.api)
            node.api.run("POST", node.vm(vmid, f"/status/{end}"))
            ev.until(lambda m: "qmpstatus" not in ev.guest(vmid), what="its end")
        assert ev.guest(vmid)["status"] == "stopped", ev.guest(vmid)
        check_against_lists(ev, node.api)
    node.remove(vmid)


@test
def metrics_only_for_who_asks(node):
    vmid = BASE + 2
    node.create(vmid, memory=64)
    node.api.run("POST", node.vm(vmid, "/status/start"))
    with Events(node.api) as plain, Events(node.api, metrics=1) as ev:
        plain.settle()
        ev.settle()
        first = ev.guest(vmid)["uptime"]
        ev.until(lambda m: ev.guest(vmid)["uptime"] > first, what="its uptime grows")
        node.api.put(node.vm(vmid, "/config"), name="mark")
        plain.until(lambda m: plain.guest(vmid)["name"] == "mark", what="its name")
        of_guest = [m for m in plain.lines if m["type"] == "delta" and m["id"] == f"qemu/{vmid}"]
        assert all(set(m["set"]) - METRICS or m.get("unset") for m in of_guest), f"a metric alone: {of_guest}"
        quiet = [m for m in plain.lines if m["type"] == "delta" and m["kind"] == "node"]
        assert not quiet, quiet
    node.remove(vmid)


@test
def resumed_without_loss_or_repetition(node):
    vmid = BASE + 3
    node.create(vmid)
    node.create(vmid + 2)
    with Events(node.api) as watcher:  # the ring goes on with others listening
        with Events(node.api) as ev:
            ev.settle()
            model, cursor = ev.model, ev.cursor
        node.create(vmid + 1, name="late")
        for i in range(5):
            node.api.put(node.vm(vmid, "/config"), name=f"n{i}")
        node.remove(vmid + 2)
        watcher.until(lambda m: not watcher.guest(vmid + 2) and (watcher.guest(vmid) or {}).get("name") == "n4")
        with Events(node.api, model=model, cursor=cursor) as ev:
            ev.settle()
            assert ev.hellos == [True], ev.hellos
            ids = [m["id"] for m in ev.lines if m["type"] == "row"]
            assert len(ids) == len(set(ids)) and f"qemu/{vmid}" not in ids, f"told again: {ids}"
            names = [m["set"]["name"] for m in ev.lines if m["type"] == "delta" and "name" in m["set"]
                     and m["id"] == f"qemu/{vmid}"]
            assert names == [f"n{i}" for i in range(5)], names
            check_against_lists(ev, node.api)
            again = ev.cursor
        with Events(node.api, model=model, cursor=again) as ev:
            ev.settle()
            assert [m["type"] for m in ev.lines] == ["hello", "ping"], ev.lines
    node.remove(vmid)
    node.remove(vmid + 1)


@test
def cursors_that_do_not_resume(node):
    with Events(node.api) as ev:
        cursor = ev.settle().cursor
        for text in ("", "x", "0" * 16 + cursor[16:], cursor[:-1] + ("0" if cursor[-1] != "0" else "1"), cursor + "0",
                     cursor[:17] + "ffffff" + cursor[cursor.rindex("-"):], "-" * 80):
            with Events(node.api, cursor=text) as other:
                other.settle()
                assert other.hellos == [False], f"{text!r} resumed"
                check_against_lists(other, node.api)
        token = node.restricted("cur@pve", **{"/": "Administrator"})
        with Events(token, cursor=cursor) as other:
            other.settle()
            assert other.hellos == [False], "the cursor of another user"
    node.api.refused("GET", "/cluster/events", {"cursor": "x"}, 426)


@test(limit=60)
def the_ring_forgets_and_a_slow_client_begins_anew(node):
    """A client that does not read costs the daemon nothing, and gets the present when it does."""
    vmid = BASE + 5
    node.create(vmid)
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
    with Events(node.api, sockopt=small) as slow_one, Events(node.api) as ev:
        slow_one.settle()
        ev.settle()
        before = memory_of(node)
        tags = [f"tag{i:04d}" for i in range(3400)]
        for i in range(450):  # 23 KB of each: beyond the ring and what the kernel holds for a socket
            name = f"n{i}"
            node.api.put(node.vm(vmid, "/config"), tags=";".join(tags[i:i + 2500]), name=name)
            ev.until(lambda m, name=name: ev.guest(vmid)["name"] == name)
        grown = memory_of(node) - before
        assert is_sanitized() or grown < 32 * 1024, f"the daemon grew by {grown} KiB"
        cursor = slow_one.cursor
        slow_one.until(lambda m: slow_one.guest(vmid)["name"] == name, timeout=60)
        slow_one.settle()
        assert slow_one.hellos == [False, False], slow_one.hellos
        check_against_lists(slow_one, node.api)
        with Events(node.api, cursor=cursor) as late:
            late.settle()
            assert late.hellos == [False], "a cursor from before the ring's beginning"
    node.remove(vmid)


def memory_of(node):
    return status_number(node.process.pid, "VmRSS")


@test
def a_user_is_told_what_the_lists_show_him(node):
    for vmid in (BASE + 10, BASE + 11):
        node.create(vmid)
    of_one = node.restricted("one@pve", **{f"/vms/{BASE + 10}": "PVEVMUser"})
    of_none = node.restricted("none@pve")
    with Events(of_one) as ev, Events(of_none) as nobody:
        ev.settle()
        nobody.settle()
        assert set(ev.model["guest"]) == {f"qemu/{BASE + 10}"} and not ev.model["storage"] and not ev.model["task"]
        assert not nobody.model["guest"] and not nobody.model["storage"] and not nobody.model["task"], nobody.model
        assert set(nobody.model["node"][f"node/{node.name}"]) == {"id", "type", "node", "status", "level"}
        check_against_lists(ev, of_one)
        check_against_lists(nobody, of_none)
        node.api.put(node.vm(BASE + 11, "/config"), name="hidden")
        node.api.put(node.vm(BASE + 10, "/config"), name="shown")
        ev.until(lambda m: ev.guest(BASE + 10)["name"] == "shown")
        assert "hidden" not in str(ev.lines) and f"qemu/{BASE + 11}" not in str(ev.lines), ev.lines
        # Comes, changes, goes.
        node.api.put("/access/acl", path=f"/vms/{BASE + 11}", roles="PVEVMUser", users="one@pve")
        ev.until(lambda m: ev.guest(BASE + 11), what="the guest that became visible")
        assert ev.guest(BASE + 11)["name"] == "hidden"
        node.api.put(node.vm(BASE + 11, "/config"), name="open")
        ev.until(lambda m: ev.guest(BASE + 11)["name"] == "open")
        node.api.put("/access/acl", path=f"/vms/{BASE + 11}", roles="PVEVMUser", users="one@pve", delete=1)
        ev.until(lambda m: not ev.guest(BASE + 11), what="the guest that went out of sight")
        node.api.put(node.vm(BASE + 11, "/config"), name="hidden-again")
        # By a pool, and the node's own numbers.
        node.api.post("/pools", poolid="evp")
        node.api.put("/access/acl", path="/pool/evp", roles="PVEVMUser", users="one@pve")
        node.api.put("/pools", poolid="evp", vms=BASE + 11)
        ev.until(lambda m: (ev.guest(BASE + 11) or {}).get("pool") == "evp", what="the guest of a pool")
        node.api.put("/pools", poolid="evp", vms=BASE + 11, delete=1)
        ev.until(lambda m: not ev.guest(BASE + 11), what="the guest that left the pool")
        node.api.put("/access/acl", path="/", roles="PVEAuditor", users="one@pve")
        ev.until(lambda m: "maxmem" in m["node"][f"node/{node.name}"], what="the whole node")
        ev.until(lambda m: m["storage"] and m["task"], what="storages and tasks")
        ev.settle()
        check_against_lists(ev, of_one)
        node.api.put("/access/acl", path="/", roles="PVEAuditor", users="one@pve", delete=1)
        ev.until(lambda m: not m["storage"] and not m["task"] and not ev.guest(BASE + 11))
        ev.until(lambda m: "maxmem" not in m["node"][f"node/{node.name}"], what="less of the node")
        ev.settle()
        check_against_lists(ev, of_one)
        assert "hidden-again" not in str(nobody.lines) and not nobody.model["guest"], nobody.lines
    node.api.delete("/pools", poolid="evp")
    for vmid in (BASE + 10, BASE + 11):
        node.remove(vmid)


@test
def a_cursor_from_before_a_change_of_access(node):
    vmid = BASE + 12
    node.create(vmid)
    client = node.restricted("acc@pve", **{f"/vms/{vmid}": "PVEVMUser"})
    with Events(node.api):
        with Events(client) as ev:
            model, cursor = ev.settle().model, ev.cursor
        assert f"qemu/{vmid}" in model["guest"]
        node.api.put("/access/acl", path=f"/vms/{vmid}", roles="PVEVMUser", users="acc@pve", delete=1)
        with Events(client, model=model, cursor=cursor) as ev:
            ev.settle()
            assert ev.hellos == [False] and not ev.model["guest"], ev.model["guest"]
    node.remove(vmid)


@test
def storages_come_and_go(node):
    path = node.base + "/second"
    os.makedirs(path)
    with Events(node.api) as ev:
        ev.settle()
        node.api.post("/storage", storage="second", type="dir", path=path, content="iso")
        id = f"storage/{node.name}/second"
        ev.until(lambda m: m["storage"].get(id, {}).get("status") == "available", what="the new storage")
        node.api.put("/storage/second", content="iso,vztmpl")
        ev.until(lambda m: "vztmpl" in m["storage"][id]["content"])
        node.api.put("/storage/second", disable=1)
        ev.until(lambda m: id not in m["storage"], what="one that is disabled")
        node.api.delete("/storage/second")


def refusal(client, **more):
    try:
        Events(client, **more).close()
    except websocket.WebSocketBadStatusException as e:
        return e.status_code
    return 101


@test
def login_and_origin(node):
    assert refusal(node.nobody()) == 401
    host = node.url.removeprefix("https://")
    assert refusal(node.api, headers=["Origin: https://evil.example"]) == 403, "a page of another site, by cookie"
    assert refusal(node.api, headers=[f"Origin: https://{host}"]) == 101
    assert refusal(node.api, metrics="x") == 400
    token = node.restricted("org@pve")
    assert refusal(token, headers=["Origin: https://evil.example"]) == 101, "a token is no cookie"


@test
def ends_with_the_right_to_it(node):
    node.api.post("/access/users", userid="gone@pve", password="kR7-password")
    client = node.restricted("gone@pve")
    with Events(client) as ev:
        ev.settle()
        node.api.put("/access/users/gone@pve", enable=0)
        assert ended(ev) == 1008


def ended(ev, timeout=20):
    try:
        deadline = time.monotonic() + slow(timeout)
        while time.monotonic() < deadline:
            ev.next(1)
    except Ended as e:
        return e.code
    raise AssertionError("the stream did not end")


@test
def who_talks_is_disconnected(node):
    with Events(node.api) as ev:
        ev.settle()
        ev.ws.ping()  # WebSocket's own is no message
        node.api.post("/pools", poolid="talk")
        ev.settle()
        ev.ws.send("subscribe")
        assert ended(ev) == 1000
    node.api.delete("/pools", poolid="talk")


@test
def leaves_no_record_in_the_audit_log(node):
    with Events(node.api) as ev:
        ev.settle()
    assert not [r for r in node.api.get("/cluster/audit", limit=500) if "/cluster/events" in str(r)]


@test
def a_restarted_daemon_tells_everything(node):
    with Events(node.api) as ev:
        model, cursor = ev.settle().model, ev.cursor
    node.restart()
    with Events(node.api, model=model, cursor=cursor) as ev:
        ev.settle()
        assert ev.hellos == [False], "the cursor of another life"
        check_against_lists(ev, node.api)


def stream_of_an_old_ticket(node):
    """With a ticket whose two hours are over in some seconds: as few as this machine starts a daemon in."""
    for left in (3, 12, 40):
        client = node.client()
        node.restart(HOLM_CLOCK_OFFSET=str(7200 - left))
        with contextlib.suppress(websocket.WebSocketBadStatusException, Ended):
            return Events(client).settle()
        node.restart()
    raise AssertionError("no daemon started in time")


@test(limit=90)
def a_ticket_that_ends(node):
    """After two hours the stream says so, and another ticket goes on where it was."""
    other = node.restricted("stay@pve")
    try:
        with stream_of_an_old_ticket(node) as ev, Events(other) as token:
            token.settle()
            assert ended(ev, 45) == 1000
            assert ev.lines[-1] == {"type": "bye", "reason": "the ticket has expired"}, ev.lines[-1]
            fresh = node.client()
            with Events(fresh, model=ev.model, cursor=ev.cursor) as again:
                again.settle()
                assert again.hellos == [True], again.hellos
            fresh.post("/pools", poolid="ticket")  # a change: something to tell
            token.settle()
            fresh.delete("/pools", poolid="ticket")
    finally:
        node.restart()


@test
def two_hundred_clients(node):
    """All are told, and the daemon stays small."""
    vmid = BASE + 20
    node.create(vmid)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Events(node.api))
        first.settle()
        before = memory_of(node)
        clients = [stack.enter_context(Events(node.api)) for _ in range(199)]
        for c in clients:
            c.settle()
        node.api.put(node.vm(vmid, "/config"), name="seen-by-all")
        for c in [first, *clients]:
            c.until(lambda m, c=c: c.guest(vmid)["name"] == "seen-by-all")
        grown = memory_of(node) - before
        assert is_sanitized() or grown < 200 * 64, f"200 clients cost {grown} KiB"
        more = [stack.enter_context(Events(node.api)) for _ in range(56)]
        assert refusal(node.api) == 429, "more than 256 streams of one user"
        more[0].close()
        wait_for(lambda: refusal(node.api) == 101, what="a place that became free")
    node.remove(vmid)


if __name__ == "__main__":
    main()
