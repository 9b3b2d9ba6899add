#!/usr/bin/python3
"""qm, pvesh, pvesm and pveum: the command lines that scripts for Proxmox VE have, their output and exit codes."""
import json
import os
import re
import subprocess

import yaml

from lib.holm import PASSWORD, program
from lib.tap import main, test
from lib.wait import slow, wait_for

TOOLS = ("qm", "pvesh", "pvesm", "pveum")


def tool(node, name, *args, code=0, stdin=""):
    """Runs it under its own name; its output."""
    folder = node.base + "/pve"
    if not os.path.isdir(folder):
        os.mkdir(folder)
        for each in TOOLS:
            os.symlink(program("holm"), f"{folder}/{each}")
    done = subprocess.run([f"{folder}/{name}", *map(str, args)], input=stdin, capture_output=True, text=True, check=False,
                          timeout=slow(30), env={**os.environ, "HOLM_ROOT": node.root})
    assert done.returncode == code, f"{name} {args}: exit {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout if code == 0 else done.stderr


def pvesh(node, *args, **options):
    return json.loads(tool(node, "pvesh", *args, "--output-format", "json", **options))


@test(limit=60)
def qm_life_of_a_guest(node):
    assert tool(node, "qm", "list") == "", "no header without guests"
    tool(node, "qm", "create", 200, "--name", "compat", "--memory", 64, "-net0", "virtio", "--scsi0", "local:1", "--onboot")
    config = tool(node, "qm", "config", 200).splitlines()
    assert "name: compat" in config and "memory: 64" in config and "onboot: 1" in config, config
    assert any(line.startswith("scsi0: local:200/vm-200-disk-0") for line in config) and config == sorted(config)
    assert tool(node, "qm", "status", 200) == "status: stopped\n"
    tool(node, "qm", "start", 200)
    assert tool(node, "qm", "status", 200) == "status: running\n"
    assert "vmid: 200" in tool(node, "qm", "status", 200, "--verbose").splitlines()
    header, row = tool(node, "qm", "list").splitlines()
    assert header.split() == ["VMID", "NAME", "STATUS", "MEM(MB)", "BOOTDISK(GB)", "PID"]
    cells = row.split()
    assert cells[:5] == ["200", "compat", "running", "64", "1.00"] and int(cells[5]) > 1, row
    assert "already running" in tool(node, "qm", "start", 200, code=255)
    tool(node, "qm", "set", 200, "--memory=96", "-description", "two\nlines")
    pending = tool(node, "qm", "pending", 200).splitlines()
    assert "cur memory: 64" in pending and "new memory: 96" in pending, pending
    tool(node, "qm", "set", 200, "--lock", "backup")
    assert "locked" in tool(node, "qm", "set", 200, "--memory", 80, code=255)
    tool(node, "qm", "unlock", 200)
    assert "lock:" not in tool(node, "qm", "config", 200)
    assert "serial" in tool(node, "qm", "terminal", 200, code=255), "it has no serial port"
    tool(node, "qm", "suspend", 200)
    wait_for(lambda: "paused" in tool(node, "qm", "status", 200, "--verbose"), 10, "the guest to be paused")
    tool(node, "qm", "resume", 200)
    tool(node, "qm", "reset", 200)
    tool(node, "qm", "stop", 200)
    assert "memory: 96" in tool(node, "qm", "config", 200)
    tool(node, "qm", "destroy", 200, "--purge")
    assert "Configuration file" in tool(node, "qm", "status", 200, code=2)


@test
def qm_cloudinit(node):
    """sshkeys is a file, as the original has it; dump, pending, update."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me+you@host"
    path = node.base + "/keys.pub"
    with open(path, "w", encoding="utf-8") as f:
        f.write(key + "\n")
    tool(node, "qm", "create", 202, "--ide2", "local:cloudinit", "--sshkeys", path, "--ciuser", "me", "--cipassword", "secret")
    text = tool(node, "qm", "cloudinit", "dump", 202, "user")
    assert f"  - '{key}'\n" in text and "user: me\n" in text and "password: '**********'\n" in text, text
    tool(node, "qm", "set", 202, "--ipconfig0", "ip=dhcp")
    tool(node, "qm", "cloudinit", "update", 202)
    lines = tool(node, "qm", "cloudinit", "pending", 202).splitlines()
    assert "cur ciuser: me" in lines and "cur cipassword: **********" in lines and "cur ipconfig0: ip=dhcp" in lines, lines
    assert "keys.none" in tool(node, "qm", "set", 202, "--sshkeys", "/keys.none", code=255)
    done = node.cli("vm", "set", "202", "--sshkeys", path, "--ciuser", "you")
    assert "user: you\n" in node.cli("vm", "cloudinit", "dump", "202", "user").stdout, done.stdout
    assert "ciuser" in node.cli("vm", "cloudinit", "show", "202").stdout
    node.cli("vm", "cloudinit", "update", "202")
    tool(node, "qm", "destroy", 202)


@test
def qm_refuses_as_the_original_does(node):
    text = tool(node, "qm", "create", 201, "--memory", "much", code=255)
    assert text.startswith("400 Parameter verification failed.\nmemory: "), text
    assert "nosuch" in tool(node, "qm", "create", 201, "--nosuch", 1, code=255)
    assert "vmid" in tool(node, "qm", "start", code=255)
    assert "too many arguments" in tool(node, "qm", "start", 201, 202, code=255)
    assert "type check" in tool(node, "qm", "start", "web", code=255)
    text = tool(node, "qm", "frobnicate", 1, code=255)
    assert text.startswith("ERROR: unknown command 'qm frobnicate'") and "qm start vmid" in text, text
    assert "qm set vmid" in tool(node, "qm", "help")


@test
def what_has_no_route_is_one_clear_error(node):
    routes = set()
    with open(os.path.join(os.path.dirname(program("holm", "front")), "openapi.json"), encoding="utf-8") as f:
        for path, methods in json.load(f)["paths"].items():
            routes |= {f"{m.upper()} {path}" for m in methods}
    for words, route in ((("migrate", 201, "n2"), "POST /nodes/{node}/qemu/{vmid}/migrate"),):
        if route in routes:
            continue
        text = tool(node, "qm", *words, code=255)
        assert text.count("\n") == 1 and route in text and "Holm cannot do this" in text, text


@test
def pvesh_calls_and_formats(node):
    assert pvesh(node, "get", "/version")["release"] == "9.2"
    assert [n["node"] for n in pvesh(node, "get", "nodes/")] == [node.name]
    tool(node, "pvesh", "create", f"/nodes/{node.name}/qemu", "--vmid", 210, "--name", "by-pvesh", "--tags", "a;b")
    path = f"/nodes/{node.name}/qemu/210"
    tool(node, "pvesh", "set", path + "/config", "-memory", 48)
    config = pvesh(node, "get", path + "/config")
    assert config["name"] == "by-pvesh" and str(config["memory"]) == "48", config
    pretty = tool(node, "pvesh", "get", path + "/config", "--output-format", "json-pretty")
    assert json.loads(pretty) == config and pretty.startswith("{\n   \"")
    assert yaml.safe_load(tool(node, "pvesh", "get", path + "/config", "--output-format", "yaml")) == config
    guests = yaml.safe_load(tool(node, "pvesh", "get", f"/nodes/{node.name}/qemu", "--output-format", "yaml"))
    assert [g["name"] for g in guests] == ["by-pvesh"]
    assert "by-pvesh" in tool(node, "pvesh", "get", "--noborder", f"/nodes/{node.name}/qemu")
    assert "xml" in tool(node, "pvesh", "get", "/version", "--output-format", "xml", code=255)
    tool(node, "pvesh", "delete", path)
    assert "Configuration file" in tool(node, "pvesh", "get", path + "/config", code=2)
    assert "memory: " in tool(node, "pvesh", "create", f"/nodes/{node.name}/qemu", "--vmid", 210, "--memory", "x", code=255)
    tool(node, "pvesh", "get", "/no/such/path", code=255)


@test
def pvesh_ls_and_usage(node):
    lines = dict(reversed(line.split()) for line in tool(node, "pvesh", "ls", "/").splitlines())
    assert lines["nodes"] == "Dr---" and lines["version"] == "-r---" and lines["pools"][0] == "D", lines
    assert tool(node, "pvesh", "ls", "/nodes").split()[-1] == node.name
    below = dict(reversed(line.split()) for line in tool(node, "pvesh", "ls", f"/nodes/{node.name}").splitlines())
    assert below["qemu"] == "Dr-c-" and "storage" in below, below
    node.create(220)
    try:
        assert tool(node, "pvesh", "ls", f"/nodes/{node.name}/qemu").split()[-1] == "220"
    finally:
        node.remove(220)
    said = tool(node, "pvesh", "usage", "/nodes/x/qemu", "--command", "create", "--verbose")
    assert said.startswith("USAGE: pvesh create /nodes/x/qemu --vmid <integer> [OPTIONS]\n") and "--memory <string>" in said
    assert "pvesh set" not in said and "pvesh get" in tool(node, "pvesh", "usage", "/version")
    tool(node, "pvesh", "usage", "/no/such", code=255)


@test
def pvesm_lists_what_is_stored(node):
    status = json.loads(tool(node, "pvesm", "status", "--output-format", "json"))
    assert [s["storage"] for s in status] == ["local"]
    assert re.search(r"^local +dir ", tool(node, "pvesm", "status"), re.M)
    node.create(230, scsi0="local:1")
    try:
        assert "local:230/vm-230-disk-0.raw" in tool(node, "pvesm", "list", "local")
        assert "vm-230" in tool(node, "pvesm", "list", "local", "--vmid", 230)
        assert "vm-230" not in tool(node, "pvesm", "list", "local", "--vmid", 231)
    finally:
        node.remove(230)
    tool(node, "pvesm", "list", "nostorage", code=255)


@test(limit=60)
def pveum_users_and_rights(node):
    tool(node, "pveum", "group", "add", "ops", "--comment", "on call")
    tool(node, "pveum", "user", "add", "bob@pve", "--password", "secret words 9", "--groups", "ops")
    tool(node, "pveum", "useradd", "eve@pve")
    users = [u["userid"] for u in json.loads(tool(node, "pveum", "user", "list", "--output-format", "json"))]
    assert {"bob@pve", "eve@pve"} <= set(users)
    tool(node, "pveum", "usermod", "eve@pve", "-comment", "short form")
    tool(node, "pveum", "role", "add", "Watcher", "--privs", "VM.Audit Sys.Audit")
    tool(node, "pveum", "acl", "modify", "/", "--roles", "Watcher", "--groups", "ops")
    assert re.search(r"^/ +group +ops +Watcher", tool(node, "pveum", "acl", "list"), re.M)
    assert node.client("bob@pve", "secret words 9").get("/cluster/status")
    secret = json.loads(tool(node, "pveum", "user", "token", "add", "bob@pve", "ci", "--privsep", 0, "--output-format", "json"))
    assert node.client(token=("bob@pve!ci", secret["value"])).get("/version")
    assert "ci" in tool(node, "pveum", "user", "token", "list", "bob@pve")
    tool(node, "pveum", "user", "token", "remove", "bob@pve", "ci")
    tool(node, "pveum", "passwd", "bob@pve", stdin="another word 10\n")
    assert node.client("bob@pve", "another word 10").get("/version")
    ticket = tool(node, "pveum", "ticket", "admin@pve", stdin=PASSWORD + "\n").strip()
    assert ticket.startswith("PVE:admin@pve:"), ticket
    tool(node, "pveum", "acl", "delete", "/", "--roles", "Watcher", "--groups", "ops")
    assert "Watcher" not in tool(node, "pveum", "acl", "list")
    tool(node, "pveum", "realm", "add", "guests", "--type", "pve")
    assert "guests" in tool(node, "pveum", "realm", "list")
    tool(node, "pveum", "realm", "delete", "guests")
    for words in (("user", "delete", "bob@pve"), ("userdel", "eve@pve"), ("group", "delete", "ops"), ("role", "delete", "Watcher")):
        tool(node, "pveum", *words)
    assert "already exists" in tool(node, "pveum", "user", "add", "admin@pve", code=255)


@test
def without_a_daemon_it_says_so(node):
    done = subprocess.run([node.base + "/pve/qm", "list"], capture_output=True, text=True, check=False, timeout=slow(20),
                          env={**os.environ, "HOLM_ROOT": node.base + "/nowhere"})
    assert done.returncode == 255 and done.stderr.startswith("Holm is not running") and not done.stdout, done


if __name__ == "__main__":
    main()
