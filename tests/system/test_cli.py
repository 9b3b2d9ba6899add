#!/usr/bin/python3
"""The command line against a real holmd: every noun once, the exit codes a script relies on, upload and dry run."""
import json
import os

from lib.tap import main, test
from lib.wait import wait_for


@test
def version_and_nodes(node):
    answer = node.cli_json("version")
    assert answer["server"]["version"].startswith("9."), answer
    assert [n["node"] for n in node.cli_json("node", "list")] == [node.name]
    assert node.cli_json("node", "version")["version"] == answer["server"]["version"]
    assert "memory.total" in node.cli("node", "status").stdout
    node.cli("node", "network")
    node.cli("node", "tasks")


@test
def life_of_a_vm(node):
    created = node.cli("vm", "create", 300, "--name", "cli-a", "--memory", 64, "--onboot", "no", "-d", "description=by hand")
    assert created.stdout == "300\n"
    config = node.cli_json("vm", "config", "cli-a")
    assert config["name"] == "cli-a" and str(config["memory"]) == "64" and config["description"].strip() == "by hand"
    assert node.api.get(node.vm(300, "/config"))["name"] == "cli-a", "the web sees the same"
    node.cli("vm", "set", "cli-a", "--memory", 96, "--delete", "description")
    config = node.cli_json("vm", "config", 300)
    assert str(config["memory"]) == "96" and "description" not in config
    assert "cli-a" in node.cli("vm", "list").stdout
    assert node.cli_json("vm", "show", "cli-a")["status"] == "stopped"
    node.cli("vm", "pending", "cli-a")
    second = int(node.cli("vm", "create", "--name", "cli-a").stdout)
    ambiguous = node.cli("vm", "show", "cli-a", is_checked=False)
    assert ambiguous.returncode == 64 and "300" in ambiguous.stderr and str(second) in ambiguous.stderr
    node.cli("vm", "delete", 300, second, "-y")
    assert "cli-a" not in node.cli("vm", "list").stdout


@test
def exit_codes(node):
    node.cli("vm", "create", 310)

    def code(*args):
        return node.cli(*args, is_checked=False).returncode
    assert code("vm", "create", 310) == 6
    assert code("vm", "config", 999999) == 3
    assert code("vm", "set", 310, "--memory", "much") == 64
    assert code("vm", "set", 310, "--no-such-key", "x") == 64
    assert code("vm", "delete", 310) == 64
    assert code("user", "show", "nobody@pve") == 3
    assert code("task", "show", f"UPID:{node.name}:00000001:00000002:60000000:qmstart:1:root@pam:") == 3
    assert code("api", "GET", "/no/such/path") == 1
    node.cli("vm", "delete", 310, "-y")
    assert code("vm", "delete", 310, "-y") == 3


@test
def dry_run_and_tasks(node):
    plan = node.cli_json("vm", "create", 320, "--scsi0", "local:1", "--dry-run")["plan"]
    assert plan and node.cli("vm", "config", 320, is_checked=False).returncode == 3
    assert plan[0]["step"] in node.cli("vm", "create", 320, "--scsi0", "local:1", "--dry-run").stdout
    upid = node.cli("vm", "create", 320, "--scsi0", "local:1", "--no-wait").stdout.strip()
    assert upid.startswith(f"UPID:{node.name}:")
    assert node.cli_json("task", "wait", upid)["exitstatus"] == "OK"
    assert "TASK OK" in node.cli("task", "log", upid).stdout
    assert upid in node.cli("task", "list", "--vmid", 320, "-o", "name").stdout.split()
    volumes = node.cli("storage", "content", "local", "--vmid", 320, "-o", "name").stdout.split()
    assert volumes == ["local:320/vm-320-disk-0.raw"], volumes
    node.cli("vm", "delete", 320, "-y")
    assert node.cli("storage", "content", "local", "--vmid", 320, "-o", "name").stdout == ""


@test
def upload(node):
    path = node.base + "/tiny.iso"
    data = os.urandom(200000)
    with open(path, "wb") as f:
        f.write(data)
    node.cli("storage", "upload", path)
    assert "local:iso/tiny.iso" in node.cli("storage", "content", "local", "-o", "name").stdout.split()
    with open(node.path("var/storage/local/template/iso/tiny.iso"), "rb") as f:
        assert f.read() == data
    assert "local" in node.cli("storage", "status").stdout
    assert node.cli("storage", "upload", path, "--name", "x.exe", "--content", "iso", is_checked=False).returncode != 0


@test
def users_roles_and_permissions(node):
    secret = node.base + "/secret"
    with open(secret, "w", encoding="utf-8") as f:
        f.write("long enough 9\n")
    node.cli("user", "create", "cli@pve", "--password-file", secret, "--role", "PVEAuditor", "--path", "/vms")
    assert ["/vms", "cli@pve"] in [[a["path"], a["ugid"]] for a in node.cli_json("acl", "list")]
    node.client("cli@pve", "long enough 9").get("/version")
    node.cli("user", "password", "cli@pve", "--password-file", "-", stdin="even longer 10\n")
    node.client("cli@pve", "even longer 10").get("/version")
    node.cli("role", "create", "cliop", "--privs", "VM.Audit")
    node.cli("role", "set", "cliop", "--privs", "VM.PowerMgmt", "--append")
    privs = {r["roleid"]: r["privs"] for r in node.cli_json("role", "list")}["cliop"]
    assert set(privs.split(",")) == {"VM.Audit", "VM.PowerMgmt"}
    node.cli("acl", "add", "/vms/100", "--user", "cli@pve", "--role", "cliop", "--no-propagate")
    node.cli("acl", "delete", "/vms/100", "--user", "cli@pve", "--role", "cliop", "-y")
    token = node.cli_json("token", "create", "cli@pve", "t1", "--privsep", "no")
    node.client(token=(token["full-tokenid"], token["value"])).get("/version")
    assert "t1" in node.cli("token", "list", "cli@pve").stdout
    node.cli("token", "delete", "cli@pve", "t1", "-y")
    node.cli("pool", "create", "clipool", "--comment", "x")
    node.cli("pool", "set", "clipool", "--storage", "local")
    assert "local" in node.cli("pool", "show", "clipool").stdout
    node.cli("pool", "set", "clipool", "--storage", "local", "--remove")
    node.cli("pool", "delete", "clipool", "-y")
    node.cli("role", "delete", "cliop", "-y")
    node.cli("user", "delete", "cli@pve", "-y")
    assert "cli@pve" not in node.cli("user", "list").stdout


@test
def groups_and_realms(node):
    node.cli("group", "create", "cligroup", "--comment", "a")
    node.cli("group", "set", "cligroup", "--comment", "b")
    assert node.cli_json("group", "show", "cligroup")["comment"] == "b"
    assert "cligroup" in node.cli("group", "list", "-o", "name").stdout.split()
    node.cli("realm", "create", "clirealm", "--comment", "a", "--default", "yes")
    assert node.cli_json("realm", "show", "clirealm")["default"] == 1
    node.cli("realm", "set", "clirealm", "--comment", "b", "--default", "no")
    row = {r["realm"]: r for r in node.cli_json("realm", "list")}["clirealm"]
    assert row["type"] == "pve" and row["comment"] == "b" and not row.get("default"), row
    node.cli("user", "create", "cli@clirealm", "--password-file", "-", "--groups", "cligroup", stdin="long enough 9\n")
    assert "cli@clirealm" in node.cli("group", "show", "cligroup").stdout
    failed = node.cli("realm", "delete", "clirealm", "-y", is_checked=False)
    assert failed.returncode != 0 and "still has 1 user" in failed.stderr, failed.stderr
    node.cli("user", "delete", "cli@clirealm", "-y")
    node.cli("realm", "delete", "clirealm", "-y")
    assert node.cli("realm", "delete", "pve", "-y", is_checked=False).returncode != 0
    node.cli("group", "delete", "cligroup", "-y")
    assert "cligroup" not in node.cli("group", "list").stdout


@test
def state_beside_a_running_daemon(node):
    dump = json.loads(node.cli("state", "dump").stdout)
    assert dump["format"] == 1 and dump["keys"]
    path = node.base + "/dump"
    node.cli("state", "dump", path)
    assert node.cli("state", "load", path, "-y", is_checked=False).returncode == 6


@test(limit=60)
def state_dump_and_load(node):
    node.cli("vm", "create", 330, "--name", "kept")
    path = node.base + "/kept"
    node.cli("state", "dump", path)
    node.cli("vm", "delete", 330, "-y")
    node.stop()
    assert node.cli("vm", "list", is_checked=False).returncode == 69
    node.cli("state", "load", path, "-y")
    node.start()
    wait_for(lambda: "kept" in node.cli("vm", "list").stdout, 10, "the guest to be back")
    node.cli("vm", "delete", 330, "-y")


if __name__ == "__main__":
    main()
