"""What lists show: to every principal of the matrix exactly what the evaluator says he may see."""
import sqlite3
import time

from access import visible as ev
from access.ground import Ground
from access.principals import GUEST, OTHER, PLAIN, POOL, TARGET, TOP, Forms
from access.world import Entry, need
from lib.tap import main, test

LONE = 970  # a guest in no pool
WORKER = "worker@pve"


def add_storage(node, name):
    """A second storage: written into the state while the daemon is down."""
    node.stop()
    with sqlite3.connect(node.path("var/state/holm.db")) as db:
        value = db.execute("SELECT value FROM kv WHERE key='shared/storage/local'").fetchone()[0]
        db.execute("UPDATE meta SET value=value+1 WHERE name='revision'")
        db.execute("INSERT INTO kv(key,value,revision) SELECT ?,?,value FROM meta WHERE name='revision'",
                   (f"shared/storage/{name}", value.replace("var/storage/local", f"var/storage/{name}")))
    db.close()
    node.start()


def lay_out(ground):
    for group in ("closed", "team", "others"):
        ground.group(group)
    ground.grant("/", "closed", "NoAccess")
    ground.user(TARGET, ["team"])
    ground.user("far@pve", ["others"])
    ground.token(TARGET, "spare", 1)
    for vmid in (GUEST, PLAIN, OTHER, LONE):
        ground.guest(vmid, memory=64)
    ground.world.storages = {"local", "other"}
    ground.pool("elsewhere", [OTHER], ["other"])
    ground.pool(TOP)
    ground.pool(POOL, [GUEST, PLAIN], ["local"])


def work(ground):
    """Tasks of a user, of his tokens, and of the administrator: {upid: who}."""
    ground.user(WORKER)
    sep, full = ground.token(WORKER, "sep", 1), ground.token(WORKER, "full", 0)
    for who in (WORKER, sep):
        ground.grant(f"/vms/{PLAIN}", who, "PVEVMAdmin")
    for who in (WORKER, sep, full, "admin@pve"):
        reply = ground.call(who, "POST", f"/nodes/{{node}}/qemu/{PLAIN}/config", {"name": "x"})
        assert reply.status == 200, reply
        assert ground.node.api.wait_task(reply.data) == "OK"
    tasks = ground.do("GET", "/nodes/{node}/tasks", limit=0)
    return [WORKER, sep, full], {t["upid"]: t["user"] + ("!" + t["tokenid"] if "tokenid" in t else "") for t in tasks}


def ids(rows, key):
    """As a set; a list that shows something twice is wrong too."""
    values = [r[key] for r in rows]
    assert len(values) == len(set(values)), f"{key} twice in {values}"
    return set(values)


def kinds(rows, kind, key):
    return ids([r for r in rows if r["type"] == kind], key)


class Eyes:
    """One principal looks at every list; what he sees otherwise than he should."""

    def __init__(self, ground, tasks):
        self.ground, self.world, self.tasks = ground, ground.world, tasks

    def get(self, who, path, **params):
        reply = self.ground.call(who, "GET", path, params)
        assert reply.status == 200, f"GET {path} by {who}: {reply}"
        return reply.data

    def resources(self, who):
        rows, w = self.get(who, "/cluster/resources"), self.world
        node = [r for r in rows if r["type"] == "node"]
        yield "resources: guests", kinds(rows, "qemu", "vmid"), ev.visible_guests(w, who)
        yield "resources: storages", kinds(rows, "storage", "storage"), ev.visible_storages(w, who, ["Datastore.Audit"])
        yield "resources: pools", kinds(rows, "pool", "pool"), ev.visible_pools(w, who)
        yield "resources: node", [bool(r.get("maxmem")) for r in node], [self.audits_node(who)]

    def audits_node(self, who):
        return need(self.world, who, "/nodes/n1", ["Sys.Audit"]) is None

    def objects(self, who):
        w = self.world
        guests, storages = ev.visible_guests(w, who), ev.visible_storages(w, who)
        yield "qemu", ids(self.get(who, "/nodes/{node}/qemu"), "vmid"), guests
        yield "storage", ids(self.get(who, "/storage"), "storage"), storages
        yield "storage of the node", ids(self.get(who, "/nodes/{node}/storage"), "storage"), storages
        yield "pools", ids(self.get(who, "/pools"), "poolid"), ev.visible_pools(w, who)
        yield "nodes", [bool(r.get("maxmem")) for r in self.get(who, "/nodes")], [self.audits_node(who)]

    def access(self, who):
        w = self.world
        acl = {Entry(r["path"], r["type"], r["ugid"], r["roleid"], bool(r["propagate"])) for r in self.get(who, "/access/acl")}
        yield "users", ids(self.get(who, "/access/users", full=1), "userid"), ev.visible_users(w, who)
        yield "groups", ids(self.get(who, "/access/groups"), "groupid"), ev.visible_groups(w, who)
        yield "acl", acl, ev.visible_acl(w, who)
        yield "roles", ids(self.get(who, "/access/roles"), "roleid"), set(w.roles)
        yield "realms", ids(self.get(who, "/access/domains"), "realm"), {"pam", "pve"}
        yield "permissions", self.get(who, "/access/permissions"), ev.effective(w, who, ev.listed_paths(w))

    def history(self, who):
        w, tasks = self.world, self.tasks
        yield ("tasks of the node", ids(self.get(who, "/nodes/{node}/tasks", limit=0), "upid"),
               ev.visible_tasks(w, who, tasks, "/nodes/n1"))
        yield "tasks of the cluster", ids(self.get(who, "/cluster/tasks"), "upid"), ev.visible_tasks(w, who, tasks, "/")

    def look(self, form, role, who):
        wrong = []
        for lists in (self.resources, self.objects, self.access, self.history):
            for name, got, expected in lists(who):
                if got != expected:
                    detail = (f"{sorted(map(str, got - expected))} too many, {sorted(map(str, expected - got))} missing"
                              if isinstance(got, set) else f"{got}, not {expected}")
                    wrong.append(f"{name} of {who} ({role} {form}): {detail[:600]}")
        return wrong


@test(limit=200)
def everybody_sees_his_own(node):
    began = time.monotonic()
    add_storage(node, "other")
    ground = Ground(node)
    lay_out(ground)
    forms = [f for f in Forms(ground).make() if f[2] and not f[0].startswith("user ")]
    workers, tasks = work(ground)
    forms += [("worker", "-", w) for w in workers]
    assert set(tasks.values()) >= {*workers, "admin@pve"}, tasks
    eyes = Eyes(ground, tasks)
    wrong = [line for lines in ground.many([lambda f=f: eyes.look(*f) for f in forms], 3) for line in lines]
    print(f"lists: 16 lists x {len(forms)} users and tokens, {len(wrong)} differences, {time.monotonic() - began:.0f} s")
    assert not wrong, f"{len(wrong)} differences:\n" + "\n".join(wrong[:30])
    own = ev.visible_tasks(ground.world, WORKER, tasks, "/")
    assert len(own) == 3 and len(ev.visible_tasks(ground.world, workers[1], tasks, "/")) == 1, own


if __name__ == "__main__":
    main()
