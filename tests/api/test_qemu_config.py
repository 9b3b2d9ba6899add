"""Configuration of virtual machines: create, read, change, delete keys, digest, pending, exact texts."""
import re

from lib.tap import main, test
from lib.wait import wait_for


def config(node, vmid):
    return node.api.get(node.vm(vmid, "/config"))


@test
def created_as_asked(node):
    node.create(600, name="vm-1", memory=768, cores=2, sockets=1, net0="virtio", ostype="l26", description="a\nb ä",
                tags="x;y", onboot=1)
    c = config(node, 600)
    assert c["name"] == "vm-1" and int(c["memory"]) == 768 and c["cores"] == 2 and c["onboot"] == 1, c
    assert c["description"] == "a\nb ä" and c["tags"] == "x;y" and c["ostype"] == "l26", c
    assert re.fullmatch(r"virtio=([0-9A-F]{2}:){5}[0-9A-F]{2}", c["net0"]), c["net0"]
    assert re.fullmatch(r"[0-9a-f]{40}", c["digest"]), c
    assert "template" not in c and "vmid" not in c and "lock" not in c, c
    node.remove(600)


@test
def text_copy_is_pves_syntax(node):
    node.create(601, name="copy", memory=512, description="two\nlines")
    text = wait_for(lambda: node.conf(601), 5, "the text copy")
    assert text.startswith("#two\n#lines\n"), text
    assert "\nname: copy\n" in text and "\nmemory: 512\n" in text, text
    digest = config(node, 601)["digest"]
    node.api.put(node.vm(601, "/config"), cores=2)
    assert config(node, 601)["digest"] != digest
    node.api.put(node.vm(601, "/config"), delete="cores")
    assert config(node, 601)["digest"] == digest
    wait_for(lambda: node.conf(601) == text, 5, "the text copy to follow")
    node.remove(601)
    wait_for(lambda: node.conf(601) is None, 5, "the text copy to go")


@test
def put_is_synchronous_and_null(node):
    node.create(602)
    reply = node.api.call("PUT", node.vm(602, "/config"), {"cores": 3, "name": "changed"})
    assert reply.status == 200 and reply.data is None, reply.text
    assert config(node, 602)["cores"] == 3
    node.remove(602)


@test
def post_is_a_task(node):
    node.create(603)
    upid = node.api.run("POST", node.vm(603, "/config"), cores=4, scsi0="local:1")
    assert ":qmconfig:603:" in upid, upid
    c = config(node, 603)
    assert c["cores"] == 4 and re.fullmatch(r"local:603/vm-603-disk-0\.(raw|qcow2),size=1G", c["scsi0"]), c
    node.remove(603)
    assert node.images() == []


@test
def delete_removes_keys(node):
    node.create(604, cores=2, name="x", onboot=1)
    node.api.put(node.vm(604, "/config"), delete="cores,name")
    c = config(node, 604)
    assert "name" not in c and c.get("cores", 1) == 1 and c["onboot"] == 1, c
    node.api.put(node.vm(604, "/config"), {"delete": "onboot", "cores": 2})
    assert config(node, 604)["cores"] == 2
    node.api.refused("PUT", node.vm(604, "/config"), {"delete": "nonsense"})
    node.remove(604)


@test
def digest_guards_against_lost_updates(node):
    node.create(605)
    old = config(node, 605)["digest"]
    node.api.put(node.vm(605, "/config"), cores=2, digest=old)
    reply = node.api.refused("PUT", node.vm(605, "/config"), {"cores": 3, "digest": old}, 500)
    assert reply.message == "detected modified configuration - file changed by other user? Try again.\n", reply.message
    assert config(node, 605)["cores"] == 2
    node.api.refused("PUT", node.vm(605, "/config"), {"cores": 3, "digest": "x" * 41}, 400,
                     "value may only be 40 characters long", "digest")
    node.remove(605)


@test
def property_strings_stay_verbatim(node):
    mac = "BC:24:11:00:00:01"
    text = f"virtio={mac},firewall=0,link_down=1,mtu=1400"
    node.create(606, net0=text, scsi0="file=local:1,iothread=0,discard=on")
    assert config(node, 606)["net0"] == text, config(node, 606)["net0"]
    node.api.put(node.vm(606, "/config"), net0=f"model=virtio,macaddr={mac}")
    assert mac in config(node, 606)["net0"]
    node.remove(606)


@test
def size_is_kept_when_a_disk_is_rewritten(node):
    node.create(607, scsi0="local:1")
    volume = config(node, 607)["scsi0"].split(",")[0]
    node.api.put(node.vm(607, "/config"), scsi0=f"{volume},cache=writeback")
    value = config(node, 607)["scsi0"]
    assert value.startswith(volume) and "cache=writeback" in value and "size=1G" in value, value
    node.remove(607)


@test
def detached_disk_becomes_unused_and_is_then_deleted(node):
    node.create(608, scsi0="local:1")
    volume = config(node, 608)["scsi0"].split(",")[0]
    node.api.put(node.vm(608, "/config"), delete="scsi0")
    c = config(node, 608)
    assert "scsi0" not in c and c["unused0"] == volume, c
    assert len(node.images()) == 1
    node.api.run("POST", node.vm(608, "/config"), delete="unused0")
    assert "unused0" not in config(node, 608) and node.images() == []
    node.remove(608)


@test
def replaced_disk_becomes_unused(node):
    node.create(609, scsi0="local:1")
    first = config(node, 609)["scsi0"].split(",")[0]
    node.api.run("POST", node.vm(609, "/config"), scsi0="local:2")
    c = config(node, 609)
    assert c["unused0"] == first and "size=2G" in c["scsi0"] and first not in c["scsi0"], c
    node.remove(609)
    assert node.images() == []


@test
def pending_lists_every_key(node):
    node.create(610, cores=2, name="p")
    rows = {r["key"]: r for r in node.api.get(node.vm(610, "/pending"))}
    assert rows["name"] == {"key": "name", "value": "p"} and rows["cores"]["value"] in ("2", 2), rows
    assert not [r for r in rows.values() if "pending" in r or "delete" in r], rows
    node.api.refused("GET", node.vm(699, "/pending"), text="does not exist")
    node.remove(610)


@test
def missing_guest_has_pves_text(node):
    text = f"Configuration file 'nodes/{node.name}/qemu-server/699.conf' does not exist\n"
    for method, tail, more in (("GET", "/config", {}), ("PUT", "/config", {"cores": 1}), ("POST", "/config", {"cores": 1}),
                               ("GET", "/status/current", {}), ("DELETE", "", {}), ("POST", "/status/start", {}),
                               ("POST", "/status/stop", {})):
        reply = node.api.refused(method, node.vm(699, tail), more, 500)
        assert reply.message == text, (method, tail, reply.message)


@test
def exists_on_create(node):
    node.create(611)
    reply = node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 611}, 500)
    assert reply.message == f"unable to create VM 611 - VM 611 already exists on node '{node.name}'\n", reply.message
    node.remove(611)


@test
def two_creates_of_one_id_make_one_guest(node):
    from concurrent.futures import ThreadPoolExecutor
    clients = [node.client() for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda i: clients[i % 2].call("POST", "/nodes/{node}/qemu", {"vmid": 612, "scsi0": "local:1"}),
                                range(8)))
    ends = [node.api.wait_task(r.data) for r in replies if r.status == 200]
    assert ends.count("OK") == 1, ends
    assert len(node.images()) == 1, node.images()
    node.remove(612)


@test
def bounds_of_a_guest(node):
    rows = [({"vmid": 99}, "vmid"), ({"vmid": 1000000000}, "vmid"), ({"cores": 0}, "cores"), ({"name": "-x"}, "name"),
            ({"net99": "virtio"}, "net99"), ({"net0": "virtio=xyz"}, "net0"), ({"net0": "virtio=01:00:00:00:00:00"}, "net0"),
            ({"scsi0": "local:1,bogus=1"}, "scsi0"), ({"tags": "a b;$"}, "tags"), ({"boot": "order=nope99"}, "boot"),
            ({"vga": "cga"}, "vga"), ({"nonsense": 1}, "nonsense"), ({"description": "x" * 9000}, "description")]
    for more, param in rows:
        node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 613, **more}, 400, param=param)
    for vmid in ("0x64", "100.5", "", "1e3"):
        node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": vmid}, 400, param="vmid")


@test
def refused_keys_are_refused_not_ignored(node):
    """A key whose effect does not exist here must not be swallowed (security keys least of all)."""
    for key, value in (("hostpci0", "00:02.0"), ("amd-sev", "type=std"), ("ivshmem", "size=1"),
                       ("virtiofs0", "dirid=x")):
        node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 614, key: value}, 400, param=key)


@test
def newlines_cannot_smuggle_keys(node):
    node.create(615, description="x\nargs: -S\n[snap]\nlock: backup")
    c = config(node, 615)
    assert "args" not in c and "lock" not in c, c
    node.api.refused("PUT", node.vm(615, "/config"), {"name": "x\nargs: -S"}, 400, param="name")
    node.restart()
    assert config(node, 615)["description"] == "x\nargs: -S\n[snap]\nlock: backup"
    node.remove(615)


@test
def protection_stops_delete(node):
    node.create(616, protection=1, scsi0="local:0.03125", scsi1="local:0.03125")
    end = node.api.outcome("DELETE", node.vm(616))
    assert "protection" in end, end
    node.api.refused("PUT", node.vm(616, "/config"), {"delete": "scsi0"}, 500, text="can't remove drive 'scsi0' - protection mode enabled")
    node.api.refused("PUT", node.vm(616, "/unlink"), {"idlist": "scsi1", "force": 1}, 500, text="protection mode enabled")
    node.api.put(node.vm(616, "/config"), protection=0, scsi1="none,media=cdrom")
    assert "unused0" in config(node, 616)
    node.api.put(node.vm(616, "/config"), protection=1)
    node.api.refused("PUT", node.vm(616, "/config"), {"delete": "unused0"}, 500, text="unused disk 'unused0' - protection mode")
    assert {"scsi0", "unused0"} <= set(config(node, 616))
    node.api.put(node.vm(616, "/config"), protection=0)
    node.remove(616)


@test
def list_and_index(node):
    node.create(617, name="listed", cores=2)
    row = [v for v in node.api.get("/nodes/{node}/qemu") if v["vmid"] == 617][0]
    assert row["name"] == "listed" and row["status"] == "stopped" and row["cpus"] == 2, row
    assert {r["subdir"] for r in node.api.get(node.vm(617))} >= {"config", "status", "pending"}
    assert {r["subdir"] for r in node.api.get(node.vm(617, "/status"))} >= {"current", "start", "stop"}
    for path in ("/nodes/elsewhere/qemu", "/nodes/{node}/qemu/99", "/nodes/{node}/qemu/99/status"):
        node.api.refused("GET", path)
    node.remove(617)


@test
def what_is_wrong_with_a_key_stands_at_the_key(node):
    """Whether the schema, the engine or a storage says so, and whatever the status is."""
    node.create(619, memory=64)
    for key, value, status, text in (("watchdog", "model=foo", 400, "model"), ("rng0", "source=/dev/hwrng", 400, "source /dev/hwrng"),
                                     ("scsi1", "nope:1", 500, "storage 'nope' does not exist"), ("memory", "x", 400, "type check"),
                                     ("cpu", "foo", 400, "Built-in cputype 'foo' is not defined"), ("cpu", "cputype=EPYC-", 400, "Built-in"),
                                     ("cpu", "x86-64-v9,flags=+aes", 400, "Built-in")):
        for method, path, more in (("PUT", node.vm(619, "/config"), {}), ("POST", node.vm(619, "/config"), {}),
                                   ("POST", "/nodes/{node}/qemu", {"vmid": 620})):
            reply = node.api.refused(method, path, {**more, key: value}, status, text, key)
            assert set(reply.errors) == {key} and not reply.errors[key].startswith(key + ":"), reply.body
    assert not {"watchdog", "rng0", "scsi1", "cpu"} & set(config(node, 619)), config(node, 619)
    for model in ("host", "max", "kvm64", "x86-64-v2-AES", "EPYC-Rome-v2", "Denverton-v3", "cputype=qemu64,flags=+aes"):
        node.api.put(node.vm(619, "/config"), cpu=model)
    node.remove(619)


@test
def models_that_are_offered_are_accepted(node):
    node.create(619, memory=64)
    for model in node.api.get("/nodes/{node}/capabilities/qemu/cpu"):
        node.api.put(node.vm(619, "/config"), cpu=model["name"])
    node.remove(619)


@test
def cap_on_disks_of_one_guest(node):
    """scsi30 is the last; scsi31 does not exist."""
    node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 618, "scsi31": "local:1"}, 400, param="scsi31")


if __name__ == "__main__":
    main()
