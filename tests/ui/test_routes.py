"""Everything that the API offers for guests, storage, access, nodes and tasks has its place in the page: each route of
api/*.json is called somewhere in web/src, or stands below with the reason why not."""
import glob
import json
import re

from lib import facts
from lib.tap import main, test

# What is there for programs: names, or beginnings with a star.
LEFT_OUT = {
    "index of what lies below it": ["GET /access", "GET /cluster", "GET /cluster/bulk-action*", "GET /cluster/qemu", "GET /cluster/jobs",
                                    "GET /nodes/{}", "GET /nodes/{}/qemu/{}", "GET /nodes/{}/qemu/{}/status", "GET /nodes/{}/qemu/{}/agent",
                                    "GET /nodes/{}/qemu/{}/snapshot/{}", "GET /nodes/{}/storage/{}", "GET /nodes/{}/tasks/{}", "GET /nodes/{}/hardware",
                                    "GET /nodes/{}/disks", "GET /nodes/{}/capabilities*", "GET /nodes/{}/scan", "GET /nodes/{}/apt",
                                    "GET /nodes/{}/certificates", "GET /nodes/{}/services/{}", "GET /nodes/{}/hardware/pci/{}"],
    "another one does it": ["POST /cluster/bulk-action/guest/*", "GET /cluster/qemu/cpu-flags", "POST /nodes/{}/storage/{}/upload",
                            "PUT /nodes/{}/qemu/{}/unlink", "GET /access/users/{}/token", "GET /access/users/{}/tfa",
                            "GET /nodes/{}/services/{}/state", "GET /nodes/{}/qemu/{}/feature"],
    "for other programs": ["POST /access/vncticket", "POST /nodes/{}/qemu/{}/spiceproxy", "GET /nodes/{}/subscription",
                           "GET /nodes/{}/qemu/{}/agent/get-memory-block*", "POST /nodes/{}/qemu/{}/agent/ping"],
    "of jobs, which are not there yet": ["GET /cluster/jobs/schedule-analyze"],
    "the stream of events tells it": ["GET /nodes", "GET /nodes/{}/qemu", "GET /nodes/{}/lxc", "GET /cluster/status", "GET /nodes/{}/qemu/{}/status/current"],
}

PREFIXES = {"guestPath": "/nodes/{}/qemu/{}", "nodePath": "/nodes/{}", "storagePath": "/nodes/{}/storage/{}",
            "volumePath": "/nodes/{}/storage/{}/content/{}", "taskPath": "/nodes/{}/tasks/{}"}
VERBS = {"get": "GET", "post": "POST", "put": "PUT", "del": "DELETE"}


def routes():
    for path in sorted(glob.glob(f"{facts.TOP}/api/*.json")):
        with open(path, encoding="utf-8") as f:
            yield from _routes_in(json.load(f))


def _routes_in(value):
    if isinstance(value, dict):
        if "method" in value and "handler" in value and "path" in value:
            yield value["method"], re.sub(r"\{[^}]*\}", "{}", value["path"])
        for one in value.values():
            yield from _routes_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from _routes_in(one)


def without_braces(text):
    """`a${f({x})}b` to a⟨f({x})⟩b: nested braces are one expression."""
    out, i = "", 0
    while i < len(text):
        if text.startswith("${", i):
            depth, j = 1, i + 2
            while j < len(text) and depth:
                depth += {"{": 1, "}": -1}.get(text[j], 0)
                j += 1
            out += "⟨" + text[i + 2:j - 1] + "⟩"
            i = j
        else:
            out += text[i]
            i += 1
    return out


def normalize(text):
    """A path as routes() names it; what begins with an unknown expression begins with "…"."""
    def one(m):
        name = re.match(r"(\w+)\(", m.group(1))
        return PREFIXES.get(name.group(1) if name else "", "…" if m.start() == 0 else "{}")
    text = re.sub("⟨([^⟩]*)⟩", one, without_braces(text)).split("?")[0]
    if "/api2/json" in text:
        text = text[text.index("/api2/json") + len("/api2/json"):]
    return "…" + text[2:] if text.startswith("{}") else text


def calls():
    """(verb or "", path) of every string in web/src that may be a path."""
    found = set()
    for path in glob.glob(f"{facts.TOP}/web/src/**/*.ts*", recursive=True):
        with open(path, encoding="utf-8") as f:
            code = f.read()
        for m in re.finditer(r"(?:\b(get|post|put|del)(?:<[^()]*>)?\(|\b[a-zA-Z]*\('(GET|POST|PUT|DELETE)', )?(`[^`]*`|'/[^']*')", code):
            text = normalize(m.group(3)[1:-1])
            if "/" in text:
                found.add((VERBS.get(m.group(1), m.group(2) or ""), text))
        for m in re.finditer(r"\b(get|post|put|del)(?:<[^()]*>)?\((\w+)\(", code):  # get(guestPath(g))
            if m.group(2) in PREFIXES:
                found.add((VERBS[m.group(1)], PREFIXES[m.group(2)]))
    return found


def is_called(method, path, found, words):
    """A last part that is put in ("…/status/{}") is one of the words that stand in quotes somewhere."""
    above, _, last = path.rpartition("/")
    ways = [path] + ([above + "/{}"] if last in words else [])
    for verb, text in found:
        if verb not in ("", method):
            continue
        if any(text == way or text.startswith("…/") and way.endswith(text[1:]) for way in ways):
            return True
    return False


def quoted_words():
    found = set()
    for path in glob.glob(f"{facts.TOP}/web/src/**/*.ts*", recursive=True):
        with open(path, encoding="utf-8") as f:
            found |= set(re.findall(r"'([a-z][a-z-]+)'", f.read()))
    return found


def is_left_out(route):
    names = [n for list_ in LEFT_OUT.values() for n in list_]
    return any(route == n or n.endswith("*") and route.startswith(n[:-1]) for n in names)


@test
def each_route_has_a_place():
    found, words = calls(), quoted_words()
    all_routes = list(routes())
    missing = [f"{m} {p}" for m, p in all_routes if not is_left_out(f"{m} {p}") and not is_called(m, p, found, words)]
    print(f"{len(all_routes)} routes, {len(missing)} without a place")
    assert not missing, "\n".join(missing)


@test
def what_is_left_out_is_left_out():
    known = {f"{m} {p}" for m, p in routes()}
    gone = [n for list_ in LEFT_OUT.values() for n in list_ if not any(k == n or n.endswith("*") and k.startswith(n[:-1]) for k in known)]
    assert not gone, gone


if __name__ == "__main__":
    main()
