"""Who may do what in Proxmox VE: an evaluator that shares nothing with the product but the names.

It reads tests/data/pve-api.json (the permission expression of every method) and tests/data/pve-roles-privs.json (what
the built-in roles hold). What Proxmox VE checks inside its handlers stands in rules.py, written by hand, and what lists
show in visible.py. `decide()` answers for one request in a `World` (world.py).
"""
import functools
import re
from dataclasses import dataclass

from access.rules import IN_CODE, userid_group
from access.world import ROOT, first, is_token, need, need_modify, need_root, normalize, owner
from lib import facts


def _fill(template, params):
    missing = [n for n in re.findall(r"{([^}]+)}", template) if n not in params]
    return None if missing else normalize(re.sub(r"{([^}]+)}", lambda m: str(params[m[1]]), template))


def evaluate(world, who, expression, params):
    """One expression of the API description."""
    kind, rest = expression[0], expression[1:]
    if kind == "and":
        return first(*[functools.partial(evaluate, world, who, e, params) for e in rest])
    if kind == "or":
        reason = ""
        for e in rest:
            reason = evaluate(world, who, e, params)
            if reason is None:
                return None
        return reason if rest[-1][0] == "and" else ""  # an "and" says why it fails here too, the others are silent
    if kind == "perm":
        options = dict(zip(rest[2::2], rest[3::2]))
        path = _fill(rest[0], params)
        if path is None or (options.get("require_param") and options["require_param"] not in params):
            return ""
        return need(world, who, path, rest[1], bool(options.get("any")))
    if kind == "userid-param":
        if rest[0] == "self":
            return None if params.get("userid") == who else ""
        return need(world, who, "/access/realm/" + params["userid"].rsplit("@", 1)[1], [rest[0]])
    if kind == "userid-group":
        options = dict(zip(rest[1::2], rest[2::2]))
        return userid_group(world, who, rest[0], options.get("groups_param"), params)
    if kind == "perm-modify":
        return need_modify(world, who, _fill(rest[0], params))
    raise AssertionError(f"unknown expression {expression}")


# Routes that PVE does not have, as if its description had them.
_AUDIT = {"permissions": {"check": ["perm", "/", ["Sys.Audit"]]}}
OWN_ROUTES = {
    "DELETE /access/ticket": {"permissions": {"user": "world"}, "allowtoken": 0},
    "PUT /access/ticket": {"permissions": {"user": "all"}, "allowtoken": 0},
    "GET /cluster/audit": _AUDIT,
    "GET /cluster/audit/verify": _AUDIT,
    "GET /cluster/events": {"permissions": {"user": "all"}, "allowtoken": 1},
    "GET /nodes/{node}/images": {"permissions": {"user": "all"}, "allowtoken": 1},
    "POST /nodes/{node}/images": {"permissions": {"check": ["perm", "/storage/{storage}", ["Datastore.AllocateTemplate"]]}, "allowtoken": 1},
    **{of: {"permissions": {"check": ["perm", "/storage/{storage}", ["Datastore.AllocateTemplate"]]}, "allowtoken": 1}
       for of in ("GET /nodes/{node}/storage/{storage}/uploads", "POST /nodes/{node}/storage/{storage}/uploads",
                  "GET /nodes/{node}/storage/{storage}/uploads/{id}", "PUT /nodes/{node}/storage/{storage}/uploads/{id}",
                  "DELETE /nodes/{node}/storage/{storage}/uploads/{id}",
                  "POST /nodes/{node}/storage/{storage}/uploads/{id}/finish")},
    "GET /nodes/{node}/dhcp-leases": {"permissions": {"check": ["perm", "/nodes/{node}", ["Sys.Audit"]]}, "allowtoken": 1},
}


def known_facts(method, template):
    return facts.method_facts(method, template) or OWN_ROUTES.get(f"{method} {template}")


@dataclass
class Decision:
    """status: 200 (allowed, whatever comes of it), 401 or 403; reason: what the text of a 403 has in parentheses, ""
    for nothing."""
    status: int
    reason: str = None


def decide(world, who, method, template, params, is_ticket=True):
    """who: "" for nobody, a user with a ticket, or a token."""
    known = known_facts(method, template)
    assert known, f"no facts of {method} {template}"
    permission = known.get("permissions") or {}
    is_world = permission.get("user") == "world"
    is_active = who and (who == ROOT or owner(who) in world.users and world.users[owner(who)].is_active)
    if not is_active and not (is_world and not is_token(who)):
        return Decision(401)
    if is_token(who) and not known.get("allowtoken", 1):
        return Decision(403, f"URI '{_fill(template, params)}' not available with API token, need proper ticket.")
    if is_world:
        return Decision(200)
    reason = need_root(who) if not permission else None
    if permission.get("check") and permission.get("user") != "all":  # "all" passes before the check is looked at
        reason = evaluate(world, who, permission["check"], params)
    if reason is None:
        reason = IN_CODE.get(f"{method} {template}", lambda *_: None)(world, who, params)
    return Decision(200) if reason is None else Decision(403, reason)
