#!/usr/bin/python3
"""Which engine a guest gets, and what is said where one cannot run. Guests of the engine vmm run in the lab (engine.sh): here
there is hardware KVM or not, and both have an answer."""
import os

from lib.tap import main, test


def has_hardware_kvm():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        flags = next((line.split() for line in f if line.startswith("flags")), [])
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and ("vmx" in flags or "svm" in flags)


def engine_of(node, vmid):
    return node.api.get(node.vm(vmid, "/config"))["engine"]


KERNEL = {"kernel": "local:boot/vmlinuz", "vga": "none"}


@test
def auto_takes_what_can_run_here(node):
    node.create(620)
    assert engine_of(node, 620) == "qemu"  # it has a screen
    node.create(621, **KERNEL)
    assert engine_of(node, 621) == ("vmm" if has_hardware_kvm() else "qemu")
    node.create(622, engine="qemu", **KERNEL)
    assert engine_of(node, 622) == "qemu"
    for vmid in (620, 621, 622):
        node.remove(vmid)


@test
def vmm_is_made_or_refused_with_a_hint(node):
    reply = node.api.call("POST", f"/nodes/{node.name}/qemu", {"vmid": 623, "engine": "vmm", **KERNEL})
    if has_hardware_kvm():
        assert reply.status == 200, reply.text
        node.api.wait_task(reply.data)
        assert engine_of(node, 623) == "vmm"
        node.remove(623)
    else:
        assert reply.status >= 400 and "needs hardware KVM" in reply.text and "engine=qemu" in reply.text, reply.text
        assert 623 not in [g["vmid"] for g in node.api.get(f"/nodes/{node.name}/qemu")]


@test
def the_engine_is_fixed(node):
    node.create(624)
    reply = node.api.call("PUT", node.vm(624, "/config"), {"engine": "vmm"})
    assert reply.status == 400 and "engine" in reply.text, reply.text
    assert engine_of(node, 624) == "qemu"
    reply = node.api.call("POST", f"/nodes/{node.name}/qemu", {"vmid": 625, "engine": "bochs"})
    assert reply.status == 400 and "engine" in reply.text, reply.text
    node.remove(624)


if __name__ == "__main__":
    main()
