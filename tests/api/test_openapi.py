"""The description of the API: how it is served, that it is valid OpenAPI, and that it is true of a running daemon."""
import gzip
import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import requests

from lib import facts
from lib.holm import build_dir
from lib.npm import modules
from lib.tap import main, test

VALIDATOR = "@seriousme/openapi-schema-validator@2.11.0"
URL = "/api2/openapi.json"
# A value that is well-formed for each name in a path, and names nothing.
NOTHING = {"vmid": "99999", "storage": "nostorage", "poolid": "nopool", "userid": "nobody@pve", "groupid": "nogroup",
           "roleid": "norole", "realm": "norealm", "tokenid": "notoken", "id": "noid", "iface": "noiface", "snapname": "nosnapshot",
           "service": "noservice", "pci-id-or-mapping": "nomapping", "volume": "nostorage:iso/none.iso", "cputype": "nomodel",
           "upid": "UPID:{node}:00000001:00000002:60000000:qmstart:99999:root@pam:"}


def document():
    with open(f"{build_dir()}/src/front/openapi.json", encoding="utf-8") as f:
        return json.load(f)


def operations(doc):
    for path, methods in doc["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def fetch(node, method="GET", **options):
    return requests.request(method, node.url + URL, verify=False, timeout=10, **options)


@test
def is_served_without_login_compressed_and_cacheable(node):
    plain = fetch(node, headers={"Accept-Encoding": "identity"})
    assert plain.status_code == 200 and plain.headers["Content-Type"] == "application/json", plain.headers
    assert plain.json() == document() and "Content-Encoding" not in plain.headers
    packed = fetch(node, headers={"Accept-Encoding": "gzip"}, stream=True)
    assert packed.headers["Content-Encoding"] == "gzip" and "Accept-Encoding" in packed.headers["Vary"]
    assert gzip.decompress(packed.raw.read(decode_content=False)) == plain.content
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert "no-store" not in plain.headers["Cache-Control"]
    same = fetch(node, headers={"If-None-Match": plain.headers["ETag"]})
    assert same.status_code == 304 and not same.content
    head = fetch(node, "HEAD", headers={"Accept-Encoding": "identity"})
    assert head.status_code == 200 and not head.content and int(head.headers["Content-Length"]) == len(plain.content)


@test
def takes_no_other_method(node):
    assert fetch(node, "POST").status_code == 501
    assert fetch(node, "DELETE").status_code == 501
    assert requests.get(node.url + URL + "x", verify=False, timeout=10).status_code == 501


@test(limit=90)
def is_valid_openapi():
    validate = [modules(VALIDATOR) + "/.bin/validate-api"]
    good = subprocess.run([*validate, f"{build_dir()}/src/front/openapi.json"], capture_output=True, text=True, check=False)
    assert good.returncode == 0 and json.loads(good.stdout)["valid"] is True, good.stdout[:2000] + good.stderr[:2000]
    broken = document()
    next(operations(broken))[2]["responses"] = {"teapot": {}}
    path = f"{build_dir()}/openapi-broken.json"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(broken, f)
    bad = subprocess.run([*validate, path], capture_output=True, text=True, check=False)
    os.unlink(path)
    assert '"valid": true' not in bad.stdout, "the validator takes anything"


@test
def references_patterns_and_names_hold_together():
    doc = document()
    text = json.dumps(doc)
    for ref in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        at = doc
        for part in ref.split("/"):
            at = at[part]
    ids = [o["operationId"] for _, _, o in operations(doc)]
    assert len(ids) == len(set(ids)), "an operationId comes twice"
    for _, path, operation in operations(doc):
        in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert in_path == set(re.findall(r"\{([\w-]+)\}", path)), path
        assert "Permission: " in operation["description"], path
    for name, s in doc["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(s)
        if "pattern" in s:
            re.compile(s["pattern"])
        assert not name.startswith("config.") or s["x-holm-class"] in ("acted", "advisory", "refused"), name


@test
def holds_every_route_and_marks_what_is_ours():
    with open(f"{build_dir()}/src/api/api-expanded.json", encoding="utf-8") as f:
        routes = {(r["method"], r["path"]) for r in json.load(f)["routes"]}
    doc = document()
    assert {(m, p) for m, p, _ in operations(doc)} == routes
    with open(f"{facts.TOP}/api/extensions.json", encoding="utf-8") as f:
        ours = json.load(f)
    assert {f"{m} {p}" for m, p, o in operations(doc) if o.get("x-holm")} == set(ours["routes"])
    login = doc["paths"]["/access/ticket"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert login["cookie"]["x-holm"] is True and "x-holm" not in login["username"]
    net = doc["paths"]["/nodes/{node}/qemu"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    names = [p for p in net["patternProperties"] if p.startswith("^net")]
    assert [bool(re.search(names[0], n)) for n in ("net0", "net9", "net31", "net32", "net01", "xnet0")] == [True] * 3 + [False] * 3


def needed(operation):
    """Names of required parameters outside the path."""
    names = {p["name"] for p in operation["parameters"] if p["in"] == "query" and p["required"]}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        names |= set(content["schema"].get("required", []))
    return names


def filled(path):
    return re.sub(r"\{([\w-]+)\}", lambda m: m[0] if m[1] == "node" else NOTHING[m[1]], path)


@test(limit=60)
def every_path_exists_and_wants_what_is_required(node):
    assert node.api.call("GET", "/cluster/nothing").status == 501, "this is how a missing path answers"
    count = 0
    for method, path, operation in operations(document()):
        content = operation.get("requestBody", {}).get("content", {})
        if "101" in operation["responses"] or {"multipart/form-data", "application/octet-stream"} & set(content):
            continue
        reply = node.api.call(method, filled(path))
        assert reply.status != 501, f"{method} {path}: {reply.reason}"
        names = needed(operation)
        missing = {n for n, text in reply.errors.items() if text == "property is missing and it is not optional"}
        assert missing == names, f"{method} {path}: required {names}, the daemon misses {missing}"
        assert not names or reply.status == 400, f"{method} {path}: {reply.status}"
        count += bool(names)
    assert count > 10, "hardly any operation requires anything"


@test
def methods_that_are_not_listed_answer_501(node):
    for path, methods in document()["paths"].items():
        for method in {"get", "post", "put", "delete"} - set(methods):
            if path.endswith("/upload") or (method == "get" and path.endswith("websocket")):
                continue
            reply = node.api.call(method.upper(), filled(path))
            assert reply.status == 501, f"{method} {path}: {reply.status} {reply.reason}"


@test
def login_is_needed_where_it_says_so(node):
    gets = [(path, o) for method, path, o in operations(document()) if method == "GET" and "101" not in o["responses"]]
    with ThreadPoolExecutor(32) as pool:  # each refusal is held back for seconds
        for (path, operation), status in zip(gets, pool.map(lambda g: node.nobody().call("GET", filled(g[0])).status, gets)):
            assert (status == 401) == bool(operation["security"]), f"{path}: {status}"


@test(limit=60)
def replies_are_as_described(node):
    doc = document()
    node.create(100, name="described", memory=64, net0="virtio", scsi0="local:1", tags="a;b", onboot=1)
    try:
        values = {**NOTHING, "vmid": "100", "storage": "local", "userid": "admin@pve", "roleid": "PVEVMUser", "realm": "pve"}
        count, wrong = 0, []
        for method, path, operation in operations(doc):
            if method != "GET" or needed(operation) or "101" in operation["responses"]:
                continue
            reply = node.api.call(method, re.sub(r"\{([\w-]+)\}", lambda m: m[0] if m[1] == "node" else values[m[1]], path))
            if reply.status != 200:
                continue
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            found = list(jsonschema.Draft202012Validator({**schema, "components": doc["components"]}).iter_errors(reply.body))
            wrong += [f"{path}: {f.json_path}: {f.message[:200]}" for f in found[:3]]
            count += 1
        assert not wrong, "\n".join(wrong)
        assert count > 25, f"only {count} replies were compared"
    finally:
        node.remove(100)


if __name__ == "__main__":
    main()
