"""Version, next id, and what a reply looks like (clients.md R1-R6, R9, R10, R20 are what these rows protect)."""
import re

from lib.tap import main, test


@test
def version_is_pve_9_2(node):
    data = node.api.get("/version")
    assert data["release"] == "9.2", data
    assert re.fullmatch(r"9\.2\.\d+", data["version"]), data
    assert re.fullmatch(r"[0-9a-f]{8,64}", data["repoid"]), data


@test
def version_needs_a_login(node):
    node.nobody().refused("GET", "/version", status=401)


@test
def version_of_a_node(node):
    assert node.api.get("/nodes/{node}/version")["release"] == "9.2"
    node.api.refused("GET", "/nodes/elsewhere/version")


@test
def nextid_is_a_string(node):
    first = node.api.get("/cluster/nextid")
    assert isinstance(first, str) and first == "100", first
    assert node.api.get("/cluster/nextid", vmid=4711) == "4711"


@test
def nextid_skips_and_refuses_used_ids(node):
    node.create(100)
    try:
        assert node.api.get("/cluster/nextid") == "101"
        node.api.refused("GET", "/cluster/nextid", {"vmid": 100}, 400, "VM 100 already exists", "vmid")
        node.api.refused("GET", "/cluster/nextid", {"vmid": "x"}, 400, "type check ('integer') failed - got 'x'", "vmid")
        node.api.refused("GET", "/cluster/nextid", {"vmid": 99}, 400, "value must have a minimum value of 100", "vmid")
    finally:
        node.remove(100)


if __name__ == "__main__":
    main()
