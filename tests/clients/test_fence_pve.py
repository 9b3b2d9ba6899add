"""Debian's fence agent for Proxmox VE, unmodified: it logs in like a browser of 2012, sends POST without a body, and takes
a guest's power away and gives it back."""
import subprocess

from lib.holm import PASSWORD
from lib.tap import main, test
from lib.wait import wait_for
from lib.wait import slow

VM = 300


def fence(node, action, *more, plug=VM, password=PASSWORD, where=("--pve-node-auto",)):
    argv = ["fence_pve", "--ip=127.0.0.1", f"--ipport={node.port}", "--username=admin@pve", f"--password={password}",
            "--ssl-insecure", f"--plug={plug}", f"--action={action}", *where, *more]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=slow(90), check=False)


def succeeds(node, action, *more, **kw):
    done = fence(node, action, *more, **kw)
    assert done.returncode == 0, f"{action}: exit {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def pid(node):
    """Of the hypervisor, which a guest that is just starting does not have yet."""
    return wait_for(lambda: node.api.get(node.vm(VM, "/status/current")).get("pid"), 20)


@test(limit=240)
def power_off_on_and_cycle(node):
    node.create(VM, name="fenced", memory=32)
    assert fence(node, "status").returncode == 2  # off, in the agents' convention
    succeeds(node, "on")
    assert node.guest_state(VM) == "running"
    assert "Status: ON" in succeeds(node, "status")
    assert "Status: ON" in succeeds(node, "status", where=(f"--pve-node={node.name}",))
    first = pid(node)
    succeeds(node, "reboot")  # off and on
    assert node.guest_state(VM) == "running" and pid(node) != first
    second = pid(node)
    succeeds(node, "reboot", "--method=cycle")  # a reset
    assert node.guest_state(VM) == "running" and pid(node) == second
    resets = [t for t in node.api.get("/nodes/{node}/tasks", vmid=VM) if t["type"] == "qmreset"]
    assert len(resets) == 1 and resets[0]["status"] == "OK", resets
    succeeds(node, "off")
    assert node.guest_state(VM) == "stopped"
    succeeds(node, "monitor")
    succeeds(node, "metadata")


@test(limit=120)
def what_is_refused(node):
    """A wrong password and a guest that is not there: the agent fails, and the guest runs on."""
    if not node.api.get("/nodes/{node}/qemu"):
        node.create(VM, name="fenced", memory=32)
    node.api.run("POST", node.vm(VM, "/status/start"))
    assert fence(node, "off", password="wrong").returncode == 1
    assert fence(node, "off", plug=999).returncode != 0
    assert node.guest_state(VM) == "running"
    node.api.run("POST", node.vm(VM, "/status/stop"))
    node.remove(VM)


main()
