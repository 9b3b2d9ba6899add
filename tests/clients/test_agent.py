"""Debian's qemu-guest-agent in a real guest, asked through the API as Ansible, CAPMOX and proxmoxer ask."""
import base64
import time

from lib.console import Console
from lib.guests import DEMO, install_agent
from lib.tap import main, test
from lib.wait import wait_for

VM = 100
OF = f"/nodes/{{node}}/qemu/{VM}/agent"


def boot(node):
    install_agent(node)
    node.create(VM, name="agent", agent="1", net0="virtio=BC:24:11:00:00:01", **DEMO)
    node.api.run("POST", node.vm(VM, "/status/start"))


def is_up(node):
    return node.api.call("POST", f"{OF}/ping").status == 200


def run_in_guest(node, *words, **more):
    """Exit status as the API tells it, once the program has ended."""
    pid = node.api.post(f"{OF}/exec", {"command": list(words), **more})["pid"]

    def ended():
        status = node.api.get(f"{OF}/exec-status", pid=pid)
        return status if status["exited"] else None
    return wait_for(ended, 20)


@test(limit=180)
def agent_answers(node):
    """One guest, everything the agent of a small Linux can tell and do."""
    boot(node)
    # Before the agent runs the answer is an error, not a long silence.
    begun = time.monotonic()
    node.api.refused("POST", f"{OF}/ping", {}, 500, "QEMU guest agent is not running")
    assert time.monotonic() - begun < 10
    wait_for(lambda: is_up(node), 90)
    assert node.api.post(f"{OF}/ping") == {"result": {}}
    info = node.api.get(f"{OF}/info")["result"]
    assert info["version"].startswith("7.2"), info["version"]
    assert node.api.get(f"{OF}/get-host-name")["result"]["host-name"] == "holm"
    assert "kernel-release" in node.api.get(f"{OF}/get-osinfo")["result"]
    assert abs(node.api.get(f"{OF}/get-time")["result"] / 1e9 - time.time()) < 3600
    assert "offset" in node.api.get(f"{OF}/get-timezone")["result"]
    assert node.api.get(f"{OF}/get-users")["result"] == []
    assert node.api.get(f"{OF}/get-vcpus")["result"][0]["logical-id"] == 0
    assert isinstance(node.api.get(f"{OF}/get-fsinfo")["result"], list)
    names = {i["name"]: i for i in node.api.get(f"{OF}/network-get-interfaces")["result"]}
    assert names["eth0"]["hardware-address"].lower() == "bc:24:11:00:00:01"
    assert node.api.post(f"{OF}/fsfreeze-status")["result"] == "thawed"
    assert node.api.post(OF, command="get-host-name") == node.api.get(f"{OF}/get-host-name")
    assert {"name": "exec"} in node.api.get(OF)
    # What the guest cannot do is its agent's own error.
    for name in ("get-memory-blocks", "get-memory-block-info"):
        reply = node.api.call("GET", f"{OF}/{name}")
        assert reply.status == 200 or "Agent error" in reply.message, reply.message
    programs(node)
    files(node)
    node.api.refused("POST", f"{OF}/set-user-password", {"username": "nobody-here", "password": "x" * 8}, 500,
                     "Agent error")
    frozen(node)
    survives_a_kill(node)
    # The agent shuts the guest down when the configuration says that there is one.
    log = node.api.task_log(node.api.run("POST", node.vm(VM, "/status/shutdown"), {"timeout": 60}, timeout=70))
    assert any("guest agent" in line for line in log), log
    assert node.guest_state(VM) == "stopped"
    node.api.refused("POST", f"{OF}/ping", {}, 500, f"VM {VM} is not running")
    node.remove(VM)


def programs(node):
    status = run_in_guest(node, "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert (status["exitcode"], status["out-data"], status["err-data"]) == (3, "out\n", "err\n"), status
    assert run_in_guest(node, "/bin/cat", **{"input-data": "given\n"})["out-data"] == "given\n"
    # Bytes are characters, as PVE gives them.
    assert run_in_guest(node, "/bin/echo", "ä")["out-data"].encode("latin-1").decode() == "ä\n"
    node.api.refused("POST", f"{OF}/exec", {"command": "/no/such"}, 500, "Agent error")
    node.api.refused("GET", f"{OF}/exec-status", {"pid": 99999}, 500, "Agent error")


def files(node):
    node.api.post(f"{OF}/file-write", file="/tmp/a", content="one\ntwo\n")
    assert node.api.get(f"{OF}/file-read", file="/tmp/a") == {"content": "one\ntwo\n"}
    node.api.post(f"{OF}/file-write", file="/tmp/b", content=base64.b64encode(b"\0\xff\n").decode(), encode=0)
    assert node.api.get(f"{OF}/file-read", file="/tmp/b")["content"] == "\0\xff\n"
    assert base64.b64decode(node.api.get(f"{OF}/file-read", file="/tmp/b", decode=0)["content"]) == b"\0\xff\n"
    assert node.api.get(f"{OF}/file-read", file="/tmp/a", count=3, offset=4) == {"content": "two", "truncated": 1}
    run_in_guest(node, "/bin/sh", "-c", "yes 0123456 | head -c 3000000 >/tmp/big")
    big = node.api.get(f"{OF}/file-read", file="/tmp/big")
    assert big["content"] == ("0123456\n" * 375000) and "truncated" not in big
    node.api.refused("GET", f"{OF}/file-read", {"file": "/no/such"}, 500, "Agent error")
    node.api.refused("GET", f"{OF}/file-read", {"file": "/tmp/a", "count": 16777217}, 400, param="count")
    node.api.refused("POST", f"{OF}/file-write", {"file": "/no/such/x", "content": "x"}, 500, "Agent error")


def frozen(node):
    """A guest without file systems that can freeze still answers."""
    reply = node.api.call("POST", f"{OF}/fsfreeze-freeze")
    assert reply.status == 200 or "Agent error" in reply.message, reply.message
    reply = node.api.call("POST", f"{OF}/fsfreeze-thaw")
    assert reply.status == 200 or "Agent error" in reply.message, reply.message
    assert node.api.post(f"{OF}/fsfreeze-status")["result"] == "thawed"


def survives_a_kill(node):
    """The channel belongs to the monitor: a new holmd asks the same agent."""
    node.restart(is_killed=True)
    wait_for(lambda: is_up(node), 30)
    assert run_in_guest(node, "/bin/echo", "again")["out-data"] == "again\n"


@test(limit=60)
def without_an_agent(node):
    node.create(101, memory=64)
    of = node.vm(101, "/agent")
    node.api.refused("POST", f"{of}/ping", {}, 500, "No QEMU guest agent configured")
    node.api.refused("GET", f"{of}/get-osinfo", {}, 500, "No QEMU guest agent configured")
    node.api.put(node.vm(101, "/config"), agent="enabled=1")
    node.api.refused("POST", f"{of}/ping", {}, 500, "VM 101 is not running")
    node.api.refused("POST", of, {"command": "format-disk"}, 400, param="command")
    node.api.refused("POST", f"{of}/ping".replace("101", "102"), {}, 500, "does not exist")
    node.remove(101)


@test(limit=60)
def agent_privileges(node):
    """Who may only look may ask, not act; each of the five privileges opens its own commands."""
    node.create(103, memory=64)
    asks = {"VM.GuestAgent.Audit": ("GET", "get-osinfo", {}), "VM.GuestAgent.FileRead": ("GET", "file-read", {"file": "/x"}),
            "VM.GuestAgent.FileWrite": ("POST", "file-write", {"file": "/x", "content": "x"}),
            "VM.GuestAgent.FileSystemMgmt": ("POST", "fstrim", {}),
            "VM.GuestAgent.Unrestricted": ("POST", "exec", {"command": "/bin/true"})}
    for i, mine in enumerate(asks):
        role = f"Agent{i}"
        node.api.post("/access/roles", roleid=role, privs=mine)
        user = node.restricted(f"agent{i}@pve", **{"/vms/103": role})
        for privilege, (method, name, params) in asks.items():
            is_allowed = mine in (privilege, "VM.GuestAgent.Unrestricted")
            user.refused(method, node.vm(103, f"/agent/{name}"), params, 500 if is_allowed else 403)
    node.remove(103)


main()
