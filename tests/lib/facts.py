"""What Proxmox VE's API promises (tests/data/pve-api.json) and a check of one reply against it.

Independent of the product's own schemas: only api/extensions.json is read from it, the list of what may go beyond.
Used by lib.client (every reply a test sees), lib.proxy (every reply a foreign client sees) and tools/api-coverage.
"""
import functools
import json
import os
import re
from urllib.parse import unquote

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# PVE answers these as number or string, by how the value was stored.
LOOSE_TYPE = {"memory": (int, str), "balloon": (int, str), "vmid": (int,)}

_TASK = ["node", "pid", "pstart", "starttime", "endtime", "type", "id", "user", "tokenid", "status", "saved"]
# What PVE answers though its schema does not say so: seen in its sources and relied on by its clients.
UNDOCUMENTED = {
    "GET /nodes/{node}/qemu/{vmid}/snapshot": ["digest", "running"],  # of the entry "current"
    "POST /access/ticket": ["cap", "NeedTFA"],
    "GET /access/domains": ["default"],
    "GET /cluster/tasks": _TASK,
    "GET /nodes/{node}/tasks": _TASK,
    "GET /nodes/{node}/tasks/{upid}/status": ["tokenid"],
    "GET /nodes": ["id", "type"],
    "GET /nodes/{node}/disks/list": ["type", "rpm", "wearout", "by_id_link"],
    "GET /nodes/{node}/status": ["mhz", "flags", "hvm", "user_hz"],
    "GET /nodes/{node}/qemu": ["disk"],
    "GET /nodes/{node}/qemu/{vmid}/status/current": ["disk"],
    "GET /nodes/{node}/storage/{storage}/content": ["content"],
    "GET /storage": ["type", "path", "content", "shared", "digest", "nodes", "disable", "prune-backups", "bwlimit"],
}
# Routes whose reply is of another type than the schema says.
REAL_TYPE = {
    "GET /cluster/nextid": {"type": "string"},
    # The schema misspells "recovery".
    "GET /access/users/{userid}/tfa": {"additionalProperties": 0, "type": "object", "properties": {
        "realm": {"type": "string", "optional": 1, "enum": ["oath", "yubico"]},
        "types": {"type": "array", "optional": 1,
                  "items": {"type": "string", "enum": ["totp", "u2f", "yubico", "webauthn", "recovery"]}},
        "user": {"type": "string", "optional": 1, "enum": ["oath", "u2f"]}}},
}


@functools.cache
def paths():
    with open(f"{TOP}/tests/data/pve-api.json", encoding="utf-8") as f:
        return json.load(f)["paths"]


@functools.cache
def extensions():
    """{"params": {"POST /x": [names]}, "returns": {"GET /x": [names]}, "routes": ["POST /x"]}; empty if absent."""
    try:
        with open(f"{TOP}/api/extensions.json", encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def beyond(kind, route):
    """Names that a route may have although PVE's schema lacks them; kind: "params" or "returns"."""
    undocumented = UNDOCUMENTED.get(route, []) if kind == "returns" else []
    return list(extensions().get(kind, {}).get(route, [])) + undocumented


@functools.cache
def _matchers():
    templates = set(paths()) | {r.split(" ", 1)[1] for r in extensions().get("routes", [])}
    ordered = sorted(templates, key=lambda t: [s.startswith("{") for s in t.split("/")])
    rows = []
    for t in ordered:
        # A volume id may hold slashes: it takes the rest of the path.
        pattern = re.sub(r"\\\{volume\\\}$", r"(?P<rest>.+)", re.escape(t))
        pattern = re.sub(r"\\\{[^}]*\\\}", r"[^/]+", pattern)
        rows.append((re.compile(pattern), t))
    return rows


def template_of(path):
    """'/nodes/n1/qemu/100/config' -> '/nodes/{node}/qemu/{vmid}/config', or None if PVE has no such path."""
    path = re.sub("/+", "/", unquote(path.split("?")[0])).rstrip("/") or "/"
    for pattern, template in _matchers():
        if pattern.fullmatch(path):
            return template
    return None


def method_facts(method, template):
    return paths().get(template, {}).get(method)


def _regex(pattern):
    return re.compile(pattern.replace("(?^:", "(?:").replace("(?^u:", "(?:").replace(r"\z", r"\Z"))


def _scalar(schema, value, where, out):
    kind = schema.get("type", "string")
    is_int = isinstance(value, int) and not isinstance(value, bool)
    loose = LOOSE_TYPE.get(where.rsplit(".", 1)[-1])
    if loose and isinstance(value, loose) and not isinstance(value, bool):
        return
    if kind == "integer" and not is_int:
        out.append(f"{where}: {value!r} is not an integer")
    elif kind == "number" and not (is_int or isinstance(value, float)):
        out.append(f"{where}: {value!r} is not a number")
    elif kind == "boolean" and not (is_int and value in (0, 1)):
        out.append(f"{where}: {value!r} is not 0 or 1")
    elif kind == "string" and not isinstance(value, str):
        out.append(f"{where}: {value!r} is not a string")
    elif kind == "null" and value is not None:
        out.append(f"{where}: {value!r} is not null")
    else:
        _bounds(schema, value, where, out)


def _bounds(schema, value, where, out):
    if "enum" in schema and value not in schema["enum"]:
        out.append(f"{where}: {value!r} is none of {schema['enum']}")
    if isinstance(value, (int, float)):
        if "minimum" in schema and value < float(schema["minimum"]):
            out.append(f"{where}: {value} is below {schema['minimum']}")
        if "maximum" in schema and value > float(schema["maximum"]):
            out.append(f"{where}: {value} is above {schema['maximum']}")
    if isinstance(value, str):
        if "maxLength" in schema and len(value) > int(schema["maxLength"]):
            out.append(f"{where}: longer than {schema['maxLength']}")
        if "pattern" in schema and not _regex(schema["pattern"]).fullmatch(value):
            out.append(f"{where}: {value!r} does not match {schema['pattern']}")


def property_schema(properties, name):
    """Schema of a member; 'net[n]' stands for net0, net1, …."""
    if name in properties:
        return properties[name]
    indexed = re.fullmatch(r"([a-z]+)\d+", name)
    return properties.get(f"{indexed[1]}[n]") if indexed else None


def _object(schema, value, where, extra, out):
    properties = schema.get("properties")
    others = schema.get("additionalProperties")
    if not properties and not isinstance(others, dict):
        return
    properties = properties or {}
    for name, member in value.items():
        known = property_schema(properties, name)
        if known is None and isinstance(others, dict):
            known = others
        if known is not None:
            _value(known, member, f"{where}.{name}", extra, out)
        elif name not in extra and others != 1:
            out.append(f"{where}.{name}: not in PVE's reply and not in api/extensions.json")
    for name, member in properties.items():
        is_optional = member.get("optional") or "[n]" in name or member.get("instance-types")
        if not is_optional and name not in value:
            out.append(f"{where}.{name}: missing")


def _value(schema, value, where, extra, out):
    if "oneOf" in schema:
        tries = []
        for one in schema["oneOf"]:
            tries.append([])
            _value(one, value, where, extra, tries[-1])
        if all(tries):
            out.extend(min(tries, key=len))
        return
    kind = schema.get("type") or ("object" if "properties" in schema else None)
    if kind == "object" and isinstance(value, dict):
        _object(schema, value, where, extra, out)
    elif kind == "array" and isinstance(value, list):
        for i, item in enumerate(value):
            if "items" in schema:
                _value(schema["items"], item, f"{where}[{i}]", extra, out)
    elif kind in ("object", "array"):
        out.append(f"{where}: {type(value).__name__} where {kind} is due")
    elif kind:
        _scalar(schema, value, where, out)


def _no_foreign_json(value, where, out):
    """PVE never sends true, false or a null member."""
    if value is None or isinstance(value, bool):
        out.append(f"{where}: {json.dumps(value)} is never sent")
    elif isinstance(value, dict):
        for k, v in value.items():
            _no_foreign_json(v, f"{where}.{k}", out)
    elif isinstance(value, list):
        for i, v in enumerate(value):
            _no_foreign_json(v, f"{where}[{i}]", out)


def _check_error(body, reason, out):
    message = body.get("message")
    if body.get("data") is not None:
        out.append("data is not null in an error")
    if not isinstance(message, str) or not message.strip():
        out.append("an error without message")
    elif reason.strip() != message.split("\n")[0].strip():
        out.append(f"reason phrase {reason!r} is not the message's first line {message!r}")
    errors = body.get("errors", {})
    if not isinstance(errors, dict) or not all(isinstance(v, str) for v in errors.values()):
        out.append("errors is not a map of strings")


def check_reply(method, path, status, reason, content_type, text, is_dry_run=False):
    """Complaints about one reply of /api2/json (list of strings). path is without /api2/json."""
    out = []
    if content_type != "application/json;charset=UTF-8":
        out.append(f"Content-Type is {content_type!r}")
    try:
        body = json.loads(text)
    except ValueError:
        return out + [f"body is not JSON: {text[:80]!r}"]
    if not isinstance(body, dict) or "data" not in body:
        return out + ["body has no key data"]
    if status >= 400:
        _check_error(body, reason, out)
        return out
    if body["data"] is not None:
        _no_foreign_json(body["data"], "data", out)
    template = template_of(path)
    facts = method_facts(method, template) if template else None
    if facts and "returns" in facts and not is_dry_run:
        extra = set(beyond("returns", f"{method} {template}"))
        schema = REAL_TYPE.get(f"{method} {template}", facts["returns"])
        if body["data"] is not None or not schema.get("optional"):
            _value(schema, body["data"], "data", extra, out)
    return out


def record(method, path, status, complaints):
    """Appends (method, template, status, ok) to $HOLM_RECORD; tools/api-coverage reads it."""
    target = os.environ.get("HOLM_RECORD")
    template = template_of(path)
    if not target or not template:
        return
    line = json.dumps({"method": method, "path": template, "status": status, "ok": not complaints})
    with open(target, "a", encoding="utf-8") as f:
        f.write(line + "\n")
