"""Debian's Ansible, unmodified: modules and inventory plugin for Proxmox VE. A play (ansible.yml) asserts what each module
says; here it is seen that Holm did it. Long, for Ansible takes seconds to start: a suite of --all."""
import json
import os
import shutil
import subprocess
import tempfile

from lib import facts
from lib.holm import PASSWORD
from lib.tap import main, test
from lib.wait import slow

PLAY = f"{facts.TOP}/tests/tools/ansible.yml"
INVENTORY = """plugin: community.general.proxmox
url: {url}
user: admin@pve
password: {password}
validate_certs: false
want_facts: true
want_proxmox_nodes_ansible_host: false
groups:
  busy: proxmox_status == 'running'
"""


def run(folder, *argv):
    """A program of Ansible's with a home of its own, and Debian's Python before any other."""
    env = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": folder, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
           "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3", "no_proxy": "127.0.0.1"}
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, cwd=folder,
                          timeout=slow(600), check=False)
    is_ok = done.returncode == 0 and "Failed to parse" not in done.stderr
    assert is_ok, f"{argv[0]}: exit {done.returncode}: {done.stdout[-3000:]}{done.stderr[-2000:]}"
    return done.stdout


def in_folder(function):
    folder = tempfile.mkdtemp(prefix="han", dir="/tmp")
    try:
        return function(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@test(limit=620)
def modules(node):
    values = json.dumps({"host": f"127.0.0.1:{node.port}", "node": node.name, "password": PASSWORD})
    out = in_folder(lambda folder: run(folder, "ansible-playbook", "-i", "localhost,", "-e", values, PLAY))
    assert "failed=0" in out and "changed=13" in out, out[-1500:]
    types = [t["type"] for t in node.api.get("/nodes/{node}/tasks", vmid=400, limit=100)]
    for wanted in ("qmcreate", "qmconfig", "qmstart", "qmshutdown", "qmdestroy"):
        assert wanted in types, types
    assert node.images() == [] and not node.api.get("/nodes/{node}/qemu")
    assert not node.orphans(), node.orphans()


@test(limit=240)
def inventory(node):
    node.create(410, name="seen", memory=32, tags="blue;green", net0="virtio=BC:24:11:00:04:10")
    node.create(411, name="idle", memory=32)
    node.api.post("/pools", poolid="play")
    node.api.put("/pools/play", vms="410")
    node.api.run("POST", node.vm(410, "/status/start"))

    def ask(folder):
        path = os.path.join(folder, "holm.proxmox.yml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(INVENTORY.format(url=node.url, password=PASSWORD))
        return json.loads(run(folder, "ansible-inventory", "-i", path, "--list"))
    seen = in_folder(ask)
    hosts = seen["_meta"]["hostvars"]
    assert set(seen["proxmox_all_qemu"]["hosts"]) == {"seen", "idle"}, seen
    assert seen["proxmox_all_running"]["hosts"] == ["seen"] and seen["proxmox_all_stopped"]["hosts"] == ["idle"]
    assert seen["proxmox_pool_play"]["hosts"] == ["seen"] and seen["busy"]["hosts"] == ["seen"]
    assert seen["proxmox_nodes"]["hosts"] == [node.name]
    assert hosts["seen"]["proxmox_vmid"] == 410 and hosts["seen"]["proxmox_tags_parsed"] == ["blue", "green"]
    assert hosts["seen"]["proxmox_net0"]["virtio"] == "BC:24:11:00:04:10", hosts["seen"]
    node.remove(410)
    node.remove(411)
    node.api.delete("/pools/play")


main()
