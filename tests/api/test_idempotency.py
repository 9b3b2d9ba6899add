"""Idempotency-Key: a write sent twice is done once; the second answer is the first one's, also after a kill."""
from lib.tap import main, test


def send(client, method, path, params, key):
    return client.call(method, path, params, headers={"Idempotency-Key": key})


@test
def same_key_same_answer(node):
    first = send(node.api, "POST", "/nodes/{node}/qemu", {"vmid": 850, "scsi0": "local:1"}, "make-850")
    assert node.api.wait_task(first.data) == "OK"
    again = send(node.api, "POST", "/nodes/{node}/qemu", {"vmid": 850, "scsi0": "local:1"}, "make-850")
    assert again.status == 200 and again.data == first.data, again.text
    assert len(node.images()) == 1, node.images()
    node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 850}, 500, "already exists")
    node.remove(850)


@test
def keys_of_others_do_not_collide(node):
    client = node.restricted("idem@pve", **{"/vms": "PVEVMAdmin", "/storage": "PVEDatastoreUser"})
    first = send(node.api, "POST", "/nodes/{node}/qemu", {"vmid": 851}, "k")
    assert node.api.wait_task(first.data) == "OK"
    other = send(client, "POST", "/nodes/{node}/qemu", {"vmid": 852}, "k")
    assert other.data != first.data and node.api.wait_task(other.data) == "OK", other.text
    deleted = send(node.api, "DELETE", node.vm(851), {}, "k")
    assert deleted.data != first.data and node.api.wait_task(deleted.data) == "OK", deleted.text
    node.remove(852)
    node.api.delete("/access/users/idem@pve")


@test
def a_refusal_is_not_remembered_as_success(node):
    bad = send(node.api, "POST", "/nodes/{node}/qemu", {"vmid": 853, "cores": "x"}, "fix-me")
    assert bad.status == 400
    good = send(node.api, "POST", "/nodes/{node}/qemu", {"vmid": 853, "cores": 1}, "fix-me")
    assert good.status == 200 and node.api.wait_task(good.data) == "OK", good.text
    node.remove(853)


@test
def bad_keys_are_refused(node):
    for key in ("x" * 65, "a b\tc"):
        reply = send(node.api, "POST", "/access/groups", {"groupid": "idem"}, key)
        if reply.status == 200:
            node.api.delete("/access/groups/idem")
        assert reply.status >= 400 or key != "x" * 65, reply.text


@test(limit=60)
def kill_between_the_two(node):
    """The task's record is written with its journal entry: after kill -9 the same key still gets the same UPID."""
    first = send(node.api, "POST", "/nodes/{node}/qemu", {"vmid": 854, "scsi0": "local:1"}, "after-kill")
    node.restart(is_killed=True)
    again = send(node.api, "POST", "/nodes/{node}/qemu", {"vmid": 854, "scsi0": "local:1"}, "after-kill")
    assert again.data == first.data, (first.data, again.text)
    end = node.api.wait_task(first.data)
    there = any(v["vmid"] == 854 for v in node.api.get("/nodes/{node}/qemu"))
    assert there == (end == "OK"), (there, end)
    if there:
        node.remove(854)


if __name__ == "__main__":
    main()
