"""Snapshots of a guest's disks: what is in the files, what the guest reads, what clients are told."""
import os
import subprocess

from lib.console import Console
from lib.guests import DEMO, install_demo, volume_path
from lib.tap import main, test
from lib.terminal import Terminal
from lib.wait import wait_for

VM = 100


def qemu_io(path, command, *options):
    done = subprocess.run(["qemu-io", *options, "-c", command, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def put(node, volume, byte):
    qemu_io(volume_path(node, volume), f"write -P {byte} 0 64k")


def holds(node, volume, byte):
    return "verification failed" not in qemu_io(volume_path(node, volume), f"read -P {byte} 0 64k", "-r")


def files(node):
    folder = node.path(f"var/storage/local/images/{VM}")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def tree(node):
    return {s["name"]: s.get("parent") for s in node.api.get(node.vm(VM, "/snapshot"))}


def disk(node):
    return node.api.get(node.vm(VM, "/config"))["scsi0"].split(",")[0]


@test(limit=240)
def stopped_guest(node):
    install_demo(node)
    node.create(VM, **{**DEMO, "scsihw": "virtio-scsi-pci", "scsi0": "local:0.03125,format=qcow2", "name": "one"})
    volume = disk(node)
    put(node, volume, 1)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "first", "description": "as it was"})
    assert tree(node) == {"first": None, "current": "first"}
    assert disk(node) == volume, "the disk keeps its name"
    put(node, volume, 2)
    node.api.put(node.vm(VM, "/config"), name="two")
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "second"})
    put(node, volume, 3)
    assert tree(node) == {"first": None, "second": "first", "current": "second"}
    node.api.run("POST", node.vm(VM, "/snapshot/first/rollback"), {})
    assert holds(node, volume, 1) and node.api.get(node.vm(VM, "/config"))["name"] == "one"
    put(node, volume, 4)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "third"})
    assert tree(node) == {"first": None, "second": "first", "third": "first", "current": "third"}
    the_guest_reads_it(node, "04")
    node.api.run("POST", node.vm(VM, "/snapshot/second/rollback"), {})
    assert holds(node, volume, 2)
    the_guest_reads_it(node, "02")
    what_is_told(node)
    for name in ("first", "third", "second"):
        node.api.run("DELETE", node.vm(VM, f"/snapshot/{name}"))
        assert holds(node, volume, 2)
    assert tree(node) == {"current": None}
    assert files(node) == [os.path.basename(volume.split(":")[1])]
    the_guest_reads_it(node, "02")
    node.remove(VM)
    assert not files(node), files(node)


def the_guest_reads_it(node, byte):
    node.api.run("POST", node.vm(VM, "/status/start"))
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        shell.login()
        assert shell.run("od -An -tx1 -N2 /dev/sda").split() == [byte, byte]
    node.api.run("POST", node.vm(VM, "/status/stop"))


def what_is_told(node):
    with open(node.path(f"etc/nodes/{node.name}/qemu-server/{VM}.conf"), encoding="utf-8") as f:
        head, *sections = f.read().split("\n[")
    assert "\nparent: second" in head, head
    assert [s.split("]")[0] for s in sections] == ["first", "second", "third"]
    assert sections[0].startswith("first]\n#as it was\n") and "\nsnaptime: " in sections[0], sections[0]
    config = node.api.get(node.vm(VM, "/snapshot/first/config"))
    assert config["name"] == "one" and config["description"] == "as it was" and config["snaptime"] > 1700000000
    assert node.api.get(node.vm(VM, "/config"), snapshot="second")["parent"] == "first"
    node.api.put(node.vm(VM, "/snapshot/first/config"), description="long ago")
    assert [s["description"] for s in node.api.get(node.vm(VM, "/snapshot")) if s["name"] == "first"] == ["long ago"]
    assert node.api.get(node.vm(VM, "/snapshot/first")) == [{"cmd": "config"}, {"cmd": "rollback"}]


def write(shell, byte, name="vda"):
    shell.run(f"head -c 65536 /dev/zero | tr '\\0' '\\{byte:03o}' > /dev/{name}; sync")


def read(shell, name="vda"):
    return int(shell.run(f"echo 3 > /proc/sys/vm/drop_caches; od -An -tx1 -N1 /dev/{name}"), 16)


@test(limit=300)
def running_guest(node):
    install_demo(node)
    node.create(VM, **{**DEMO, "virtio0": "local:0.03125,format=qcow2", "virtio1": "local:0.03125,format=qcow2"})
    volumes = [node.api.get(node.vm(VM, "/config"))[k].split(",")[0] for k in ("virtio0", "virtio1")]
    node.api.run("POST", node.vm(VM, "/status/start"))
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        shell.login()
        for number, name in enumerate(("one", "two", "three"), 1):
            write(shell, number)
            write(shell, number + 10, "vdb")
            node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": name})
        write(shell, 4)
        assert read(shell) == 4
    node.restart(is_killed=True)
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        shell.n = 1000  # the console tells its history first
        shell.run("true")
        write(shell, 5)
        node.api.run("DELETE", node.vm(VM, "/snapshot/two"))
        assert len(files(node)) == 6, files(node)  # one, three and the image of each disk
        write(shell, 14, "vdb")
        assert read(shell) == 5 and read(shell, "vdb") == 14
    node.api.run("POST", node.vm(VM, "/snapshot/three/rollback"), {})
    assert node.api.get(node.vm(VM, "/status/current"))["status"] == "stopped"
    assert holds(node, volumes[0], 3) and holds(node, volumes[1], 13)
    node.api.run("POST", node.vm(VM, "/snapshot/one/rollback"), {"start": 1})
    wait_for(lambda: node.api.get(node.vm(VM, "/status/current")).get("qmpstatus") == "running", 60, "the guest to start")
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        shell.login()
        assert read(shell) == 1 and read(shell, "vdb") == 11
        write(shell, 6)
        for name in ("three", "one"):
            upid = node.api.run("DELETE", node.vm(VM, f"/snapshot/{name}"))
            assert "WARNING" not in str(node.api.task_log(upid)), node.api.task_log(upid)
            assert read(shell) == 6 and read(shell, "vdb") == 11
        write(shell, 16, "vdb")
        assert files(node) == sorted(os.path.basename(v.split(":")[1]) for v in volumes), files(node)
    node.api.run("POST", node.vm(VM, "/status/stop"))
    assert holds(node, volumes[0], 6) and holds(node, volumes[1], 16)
    for path in files(node):
        checked = subprocess.run(["qemu-img", "check", "-q", node.path(f"var/storage/local/images/{VM}/{path}")], check=False)
        assert checked.returncode == 0, path
    node.remove(VM)
    assert not files(node), files(node)


@test(limit=300)
def with_memory(node):
    """What the guest had in memory, and its programs, go on where they were; its disk is as it was then."""
    install_demo(node)
    node.create(VM, **{**DEMO, "virtio0": "local:0.03125,format=qcow2"})
    node.api.run("POST", node.vm(VM, "/status/start"))
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        shell.login()
        shell.run("memo=before; echo kept > /tmp/kept")
        write(shell, 1)
        node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "ram", "vmstate": 1}, timeout=120)
        shell.run("memo=after; echo lost > /tmp/kept")
        write(shell, 2)
        assert shell.run("echo $memo").strip() == "after" and read(shell) == 2
    listed = {s["name"]: s for s in node.api.get(node.vm(VM, "/snapshot"))}
    assert listed["ram"]["vmstate"] == 1, listed
    state = node.api.get(node.vm(VM, "/snapshot/ram/config"))["vmstate"]
    assert os.path.getsize(volume_path(node, state)) > 16 << 20
    node.api.run("POST", node.vm(VM, "/snapshot/ram/rollback"), {}, timeout=120)
    wait_for(lambda: node.api.get(node.vm(VM, "/status/current")).get("qmpstatus") == "running", 60, "the guest to go on")
    with Console(node.api, node.vm(VM)) as console:
        shell = Terminal(console)
        shell.n = 2000
        console.type("\n")
        assert shell.run("echo $memo; cat /tmp/kept").split() == ["before", "kept"]
        assert read(shell) == 1
    node.api.run("POST", node.vm(VM, "/status/stop"))
    node.api.run("DELETE", node.vm(VM, "/snapshot/ram"))
    assert len(files(node)) == 1, files(node)
    node.remove(VM)


@test
def memory_of_a_paused_guest(node):
    """It goes on, as others do: without a program, with as much memory as QEMU reads in several pieces."""
    node.create(VM, memory=1024, boot="order=scsi0", scsi0="local:0.03125,format=qcow2")
    node.api.run("POST", node.vm(VM, "/status/start"))
    node.api.run("POST", node.vm(VM, "/status/suspend"))
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "still", "vmstate": 1})
    for _ in range(3):
        node.api.run("POST", node.vm(VM, "/snapshot/still/rollback"), {})
        wait_for(lambda: node.api.get(node.vm(VM, "/status/current")).get("qmpstatus") == "running", 30, "the guest to go on")
    node.api.run("POST", node.vm(VM, "/status/stop"))
    node.remove(VM)


@test
def refusals(node):
    node.create(VM, **{**DEMO, "scsi0": "local:0.03125,format=qcow2", "scsi1": "local:0.0625,format=raw"})
    for name in ("current", "pending", "Pending"):  # sections of the text copy
        node.api.refused("POST", node.vm(VM, "/snapshot"), {"snapname": name}, 400, param="snapname")
    node.api.refused("POST", node.vm(VM, "/snapshot/none/rollback"), {}, 500)
    node.api.refused("DELETE", node.vm(VM, "/snapshot/none"), {}, 500)
    node.api.refused("GET", node.vm(VM, "/snapshot/none/config"), {}, 500)
    before = files(node)
    upid = node.api.post(node.vm(VM, "/snapshot"), snapname="both")
    status = node.api.wait_task(upid)
    assert "by reference" in status, status
    assert files(node) == before and tree(node) == {"current": None}
    node.remove(VM)


@test
def one_volume_in_two_drives(node):
    """It is frozen and taken back once; the guest keeps its own description."""
    node.create(VM, **{**DEMO, "scsi0": "local:0.03125,format=qcow2", "description": "mine"})
    volume = disk(node)
    put(node, volume, 1)
    node.api.put(node.vm(VM, "/config"), scsi1=volume)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "one"})
    assert len(files(node)) == 2, files(node)
    put(node, volume, 2)
    node.api.run("POST", node.vm(VM, "/snapshot/one/rollback"), {})
    assert holds(node, volume, 1) and len(files(node)) == 2, files(node)
    assert node.api.get(node.vm(VM, "/config"))["description"] == "mine"
    node.api.run("DELETE", node.vm(VM, "/snapshot/one"))
    assert holds(node, volume, 1) and len(files(node)) == 1, files(node)
    node.remove(VM)


@test
def held_volumes(node):
    """What a snapshot has is not removed with the key that names it."""
    node.create(VM, **{**DEMO, "scsi0": "local:0.03125,format=qcow2"})
    put(node, disk(node), 1)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "has"})
    assert node.api.get(node.vm(VM, "/feature"), feature="snapshot")["hasFeature"] == 1
    assert node.api.get(node.vm(VM, "/feature"), feature="clone")["hasFeature"] == 0
    before = files(node)
    node.api.refused("PUT", node.vm(VM, "/unlink"), {"idlist": "scsi0", "force": 1}, 500, "snapshot")
    node.api.put(node.vm(VM, "/config"), delete="scsi0")
    assert node.api.get(node.vm(VM, "/config"))["unused0"].startswith("local:")
    node.api.refused("PUT", node.vm(VM, "/config"), {"delete": "unused0"}, 500, "snapshot")
    assert files(node) == before
    node.api.run("POST", node.vm(VM, "/snapshot/has/rollback"), {})
    assert holds(node, disk(node), 1) and "unused0" not in node.api.get(node.vm(VM, "/config"))
    node.api.run("DELETE", node.vm(VM, "/snapshot/has"))
    assert len(files(node)) == 1
    node.remove(VM)


if __name__ == "__main__":
    main()
