"""Every route of ours against its permission, as the facts and not our own table state it.

For each route with a plain ["perm", PATH, PRIVILEGES] check: nobody gets 401; a user without rights gets 403; a user with
all privileges but the needed ones gets 403; a user with just the needed ones does not get 403. Routes that are open to all
users: nobody gets 401. What PVE checks in its code is in test_acl.py.
"""
import glob
import json

from lib import facts
from lib.tap import main, test

# A value for each path parameter and required parameter; guest 950 exists and is stopped.
VALUES = {"vmid": "950", "storage": "local", "userid": "matrix@pve", "tokenid": "none", "groupid": "none", "roleid": "NoAccess",
          "poolid": "none", "realm": "pve", "upid": "UPID:n1:00000001:00000001:00000001:qmstart:950:admin@pve:", "port": "5900",
          "vncticket": "x", "path": "/vms/950", "roles": "NoAccess", "content": "iso", "snapname": "s", "privs": "VM.Audit"}


def routes():
    for path in sorted(glob.glob(f"{facts.TOP}/api/*.json")):
        if path.endswith("/extensions.json"):
            continue
        with open(path, encoding="utf-8") as f:
            for r in json.load(f).get("routes", []):
                known = facts.method_facts(r["method"], r["path"])
                if known:
                    yield r["method"], r["path"], known


def fill(node, template):
    return template.format(node=node.name, **{k: v for k, v in VALUES.items()}) if "{" in template else template


def required(known, template):
    properties = known.get("parameters", {}).get("properties", {}) or {}
    names = [n for n, s in properties.items() if not s.get("optional") and "{" + n + "}" not in template]
    return {n: VALUES.get(n, "none") for n in names}


def all_privileges():
    with open(f"{facts.TOP}/tests/data/pve-roles-privs.json", encoding="utf-8") as f:
        return json.load(f)["privileges"]


def plain_check(known):
    """(path, privileges, is any) of a check that is one "perm", or None."""
    check = known.get("permissions", {}).get("check")
    if not check or check[0] != "perm" or "require_param" in check:
        return None
    is_any = "any" in check and bool(check[check.index("any") + 1])
    return check[1], check[2], is_any


def is_world(known):
    return known.get("permissions", {}).get("user") == "world"


def call(node, client, method, template, known):
    """The request as its route wants it: a WebSocket, an upload, or plain."""
    params, headers, files = required(known, template), None, None
    if template.endswith("websocket"):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    if template.endswith("/upload"):
        files = {**{k: (None, v) for k, v in params.items() if k != "filename"}, "filename": ("m.iso", b"x")}
        params = None
    return client.call(method, fill(node, template), params, headers=headers, files=files)


@test(limit=120)
def nobody_gets_in(node):
    from concurrent.futures import ThreadPoolExecutor
    rows = [r for r in routes() if not is_world(r[2])]
    assert len(rows) > 30, len(rows)
    with ThreadPoolExecutor(16) as pool:  # each refusal is held back for three seconds
        replies = list(pool.map(lambda r: (r, call(node, node.nobody(), *r).status), rows))
    wrong = [(r[0], r[1], status) for r, status in replies if status != 401]
    assert not wrong, wrong


def user_with(node, name, path, privileges):
    node.api.post("/access/roles", roleid=f"Matrix{name}", privs=",".join(privileges))
    client = node.restricted(f"{name}@pve", **{path: f"Matrix{name}"})
    return client


def forget(node, name):
    node.api.delete(f"/access/users/{name}@pve")
    node.api.delete(f"/access/roles/Matrix{name}")


@test(limit=120)
def rights_decide(node):
    node.create(950)
    nothing = node.restricted("matrix@pve")
    wrong = []
    for method, template, known in routes():
        check = plain_check(known)
        if not check:
            continue
        path, needed, is_any = fill(node, check[0]), check[1], check[2]
        if call(node, nothing, method, template, known).status != 403:
            wrong.append((method, template, "no rights", "not 403"))
        others = user_with(node, "others", path, sorted(set(all_privileges()) - set(needed)))
        if call(node, others, method, template, known).status != 403:
            wrong.append((method, template, f"all but {needed}", "not 403"))
        forget(node, "others")
        for granted in ([[p] for p in needed] if is_any else [needed]):
            # What really happens is not wanted here: deletions and starts are planned or fail, config needs more.
            if method == "DELETE" or template.endswith("/config") and method != "GET":
                continue
            exact = user_with(node, "exact", path, granted)
            reply = call(node, exact, method, template, known)
            if reply.status in (401, 403) and "PVEVNC" not in reply.message:  # that is the console ticket's
                wrong.append((method, template, f"just {granted}", reply.message))
            forget(node, "exact")
    assert not wrong, "\n".join(map(str, wrong))
    for vmid in [v["vmid"] for v in node.api.get("/nodes/{node}/qemu")]:
        if node.guest_state(vmid) == "running":
            node.api.run("POST", node.vm(vmid, "/status/stop"))
        node.remove(vmid)


@test(limit=60)
def read_only_never_writes(node):
    """PVEAuditor on / may call every GET; every other method refuses and changes nothing."""
    node.create(951)
    client = node.restricted("audit@pve", **{"/": "PVEAuditor"})
    before = node.conf(951)
    for method, template, known in routes():
        if method == "GET" or is_world(known) or "/access/" in template and "{userid}" not in template:
            continue
        reply = client.call(method, fill(node, template).replace("950", "951"), required(known, template))
        assert reply.status >= 400, (method, template, reply.data)
    assert node.conf(951) == before
    node.remove(951)


if __name__ == "__main__":
    main()
