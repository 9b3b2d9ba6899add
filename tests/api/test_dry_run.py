"""dry-run=1 answers with the plan, changes nothing, and the real run's journal is that plan.

The log of a journalled task names its steps as `step N NAME {args}`.
"""
import json
import re

from lib.tap import main, test


def steps_of(log):
    found = (re.match(r"step (\d+) (\S+) (\{.*\})$", line) for line in log)
    return [{"step": m[2], "args": json.loads(m[3])} for m in found if m]


def compare(node, method, path, params):
    """Plan, then real run: both must name the same steps with the same arguments."""
    images, before = node.images(), node.api.get("/cluster/resources", type="vm")
    plan = node.api.call(method, path, {**params, "dry-run": 1})
    assert plan.status == 200, plan.text
    assert node.images() == images and node.api.get("/cluster/resources", type="vm") == before, "dry-run changed something"
    upid = node.api.run(method, path, params)
    steps = steps_of(node.api.task_log(upid))
    assert steps == plan.data["plan"], f"plan {plan.data['plan']}\nreal {steps}"
    return steps


@test
def create_with_disks(node):
    steps = compare(node, "POST", "/nodes/{node}/qemu", {"vmid": 800, "scsi0": "local:1", "virtio1": "local:2,format=qcow2"})
    assert len(steps) >= 2, steps
    node.remove(800)


@test
def create_without_disks_then_delete(node):
    compare(node, "POST", "/nodes/{node}/qemu", {"vmid": 801, "cores": 2})
    compare(node, "DELETE", node.vm(801), {})


@test
def delete_with_disks(node):
    node.create(802, scsi0="local:1", scsi1="local:1")
    steps = compare(node, "DELETE", node.vm(802), {})
    assert len(steps) >= 2, steps
    assert node.images() == []


@test
def config_with_a_new_disk(node):
    node.create(803)
    compare(node, "POST", node.vm(803, "/config"), {"scsi0": "local:1", "cores": 2})
    node.remove(803)


@test
def put_config_only_plans(node):
    node.create(804)
    reply = node.api.call("PUT", node.vm(804, "/config"), {"cores": 2, "dry-run": 1})
    assert "plan" in reply.data, reply.text
    assert node.api.get(node.vm(804, "/config")).get("cores", 1) == 1
    node.remove(804)


@test
def dry_run_is_refused_like_the_real_thing(node):
    node.create(805)
    node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 805, "dry-run": 1}, 500, "already exists")
    node.api.refused("POST", "/nodes/{node}/qemu", {"vmid": 806, "cores": "x", "dry-run": 1}, 400, param="cores")
    client = node.restricted("dry@pve")
    client.refused("POST", "/nodes/{node}/qemu", {"vmid": 806, "dry-run": 1}, 403)
    client.refused("DELETE", node.vm(805), {"dry-run": 1}, 403)
    client.refused("PUT", node.vm(805, "/config"), {"cores": 2, "dry-run": 1}, 403)
    node.remove(805)


if __name__ == "__main__":
    main()
