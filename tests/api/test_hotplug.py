"""CPUs, memory and USB of a running guest: what the guest says itself, and what happens when it says no."""
import re

from lib.console import Console
from lib.guests import DEMO, install_demo
from lib.terminal import Terminal
from lib.tap import main, test
from lib.wait import wait_for

VM = 100
ALL = "disk,network,cpu,memory,usb"


def config(node, vmid=VM):
    return node.api.get(node.vm(vmid, "/config"))


def as_root(node, vmid, *params, is_checked=True):
    """Keys that are root@pam's: over the local socket."""
    args = [word for p in params for word in ("-d", p)]
    return node.cli("api", "PUT", f"/nodes/{node.name}/qemu/{vmid}/config", *args, is_checked=is_checked)


def pending(node, vmid=VM):
    return {row["key"]: row for row in node.api.get(node.vm(vmid, "/pending")) if "pending" in row or "delete" in row}


def put(node, **keys):
    return node.api.put(node.vm(VM, "/config"), **keys)


def monitor(node, command):
    return node.api.post(node.vm(VM, "/monitor"), command=command)


def online(shell):
    """Online CPUs; those that came are brought online by hand, as udev would."""
    shell.run("for f in /sys/devices/system/cpu/cpu*/online; do grep -q 1 $f || echo 1 >$f; done")
    return int(shell.run("grep -c ^processor /proc/cpuinfo"))


def memory_mib(shell):
    return int(shell.run("awk '/^MemTotal/ {print int($2/1024)}' /proc/meminfo"))


@test(limit=300)
def guest_sees_it(node):
    """One guest, one console: CPUs, memory and the pointer come and go, and stay when the guest wants it so."""
    install_demo(node)
    node.create(VM, **{**DEMO, "cmdline": "console=ttyS0 memhp_default_state=online_movable", "memory": 1024, "numa": 1,
                       "cores": 4, "vcpus": 2, "hotplug": ALL})
    node.api.run("POST", node.vm(VM, "/status/start"))
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        shell.login()
        cpus(node, shell)
        memory(node, shell)
        refusals(node, shell)
        usb(node)
    adoption(node)
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        shell.n = 1000  # the history has the marks below
        assert online(shell) == 4
    node.remove(VM)


def problem(node, key, value, text):
    """Refused by what runs, and still wished for."""
    reply = node.api.refused("PUT", node.vm(VM, "/config"), {key: value}, 400, param=key)
    assert "hotplug problem" in reply.errors[key] and text in reply.errors[key], reply.errors
    assert str(pending(node)[key]["pending"]) == str(value)
    put(node, revert=key)


def cpus(node, shell):
    assert online(shell) == 2
    put(node, vcpus=3)
    assert not pending(node) and config(node)["vcpus"] == 3, pending(node)
    wait_for(lambda: online(shell) == 3, 20)
    # QEMU cannot let a CPU go without KVM, which there is not: it is not even asked to.
    problem(node, "vcpus", 2, "with KVM only")
    assert config(node)["vcpus"] == 3 and online(shell) == 3
    problem(node, "vcpus", 6, "more vcpus than maxcpus")
    assert config(node)["vcpus"] == 4  # what it got to
    wait_for(lambda: online(shell) == 4, 20)
    put(node, delete="vcpus")  # all of them, as now
    assert "vcpus" not in config(node) and not pending(node)


def memory(node, shell):
    before = memory_mib(shell)
    put(node, memory=2048)
    assert not pending(node), pending(node)
    wait_for(lambda: memory_mib(shell) >= before + 1024 - 32, 20)
    assert node.api.get(node.vm(VM, "/status/current"))["maxmem"] == 2048 << 20
    put(node, memory=1536)
    wait_for(lambda: not pending(node) or put(node, memory=1536), 60)
    wait_for(lambda: memory_mib(shell) < before + 600, 20)
    assert str(config(node)["memory"]) == "1536"


def refusals(node, shell):
    """The guest keeps what it has: the reply says so, the wish stays pending, nothing else is lost."""
    path = node.vm(VM, "/config")
    node.api.refused("PUT", path, {"memory": 1700}, 400, "modules")
    node.api.refused("PUT", path, {"memory": 512}, 400, "at least 1024")
    node.api.refused("PUT", path, {"numa": 0}, 400, "NUMA needs to be enabled")
    shell.run("echo 0 >/sys/firmware/acpi/hotplug/memory/enabled")
    problem(node, "memory", 1024, "dimm0")
    assert str(config(node)["memory"]) == "1536" and not pending(node)
    # Without the feature a change waits, and nothing is said.
    put(node, hotplug="disk,network,usb")
    put(node, vcpus=2, memory=2048)
    assert set(pending(node)) == {"vcpus", "memory"}
    put(node, revert="vcpus,memory")
    put(node, hotplug=ALL)


def usb(node):
    assert "QEMU USB Tablet" in monitor(node, "info usb")
    put(node, tablet=0)
    assert not pending(node) and "Tablet" not in monitor(node, "info usb")
    put(node, delete="tablet")
    assert not pending(node) and "QEMU USB Tablet" in monitor(node, "info usb")
    path = node.vm(VM, "/config")
    # A device of the host is root's to give, and his only.
    node.api.refused("PUT", path, {"usb0": "host=ffff:ffff"}, 403)
    done = as_root(node, VM, "usb0=host=ffff:ffff", is_checked=False)
    assert "no USB device ffff:ffff is plugged into this host" in done.stderr + done.stdout, done
    assert pending(node)["usb0"]["pending"] == "host=ffff:ffff"
    node.api.refused("PUT", path, {"revert": "usb0"}, 403)
    as_root(node, VM, "revert=usb0")
    assert not pending(node)
    for value, text in (("spice", "spice"), ("mapping=stick", "mapping"), ("usb3=1", "either 'host' or 'mapping'")):
        node.api.refused("PUT", path, {"usb0": value}, 400, text)
    user = node.restricted("plugger@pve", **{f"/vms/{VM}": "PVEVMAdmin"})
    user.refused("PUT", path, {"usb0": "host=ffff:ffff"}, 403)
    user.refused("PUT", path, {"usb0": "mapping=stick"}, 403, "/mapping/usb/stick")
    user.put(path, tablet=1)


def adoption(node):
    """The next holmd finds the numbers that are, even if the last one could not write them down."""
    node.restart(is_killed=True)
    wait_for(lambda: node.guest_state(VM) == "running", 20)
    assert str(config(node)["memory"]) == "1536" and not pending(node), (config(node), pending(node))


@test(limit=120)
def missing_device_is_a_warning(node):
    """A stick that was pulled out keeps no guest from starting; what cannot be is refused."""
    install_demo(node)
    node.create(110, **DEMO, smp=2, cdrom="none")
    as_root(node, 110, "usb0=host=ffff:ffff")
    now = config(node, 110)
    assert now["ide2"] == "none,media=cdrom" and "cdrom" not in now and now["smp"] == 2, now
    upid = node.api.post(node.vm(110, "/status/start"))
    assert "WARNINGS" in node.api.wait_task(upid)
    log = "\n".join(row["t"] for row in node.api.get(f"/nodes/{node.name}/tasks/{upid}/log", limit=100))
    assert re.search("no USB device ffff:ffff is plugged into this host", log), log
    status = node.api.get(node.vm(110, "/status/current"))
    assert status["cpus"] == 2, status
    path = node.vm(110, "/config")
    node.api.refused("PUT", path, {"cdrom": "none", "ide2": "none,media=cdrom"}, 400, param="cdrom")
    node.api.put(path, delete="cdrom")
    assert "ide2" in pending(node, 110)
    node.api.run("POST", node.vm(110, "/status/stop"))
    node.api.refused("PUT", path, {"ostype": "win7"}, 400, "usb0")
    node.api.refused("PUT", path, {"delete": "usb0"}, 403)
    as_root(node, 110, "delete=usb0")
    node.api.put(path, hotplug="0")
    for bad in ("cpu,cpu", "cpus", "cpu;memory", "1,cpu", ""):
        node.api.refused("PUT", path, {"hotplug": bad}, 400, param="hotplug")
    node.api.refused("PUT", path, {"hotplug": "memory"}, 400, "NUMA needs to be enabled")
    node.remove(110)


main()
