"""One user or token for each built-in role and each form of granting it, and the objects that they are granted on."""
import time

from access.world import builtin_roles

GUEST, PLAIN, OTHER, NEW = 950, 951, 952, 960  # locked and protected; to be configured; elsewhere; not there
POOL, TOP = "top/mid", "top"
TARGET, KEEPER = "target@pve", "keeper@pve"
OBJECTS = [f"/vms/{GUEST}", f"/vms/{PLAIN}", f"/vms/{NEW}", "/storage/local", "/nodes/n1", f"/pool/{POOL}",
           "/access/groups/team", "/access/realm/pve"]
OTHERS = [f"/vms/{OTHER}", "/storage/other", "/nodes/n2", "/pool/elsewhere", "/access/groups/others", "/access/realm/pam"]
KINDS = ["/vms", "/storage", "/nodes", "/pool", "/access"]


class Forms:
    """Makes the principals; `all` is [(form, role, who)]."""

    def __init__(self, ground):
        self.ground, self.all = ground, []

    def add(self, form, role, who):
        self.all.append((form, role, who))

    def users(self, role, n):
        """The plain ones: users that differ in where they hold the role."""
        g = self.ground
        places = {"on /": ["/"], "on the object": OBJECTS, "on its kind": KINDS, "on another object": OTHERS,
                  "through a pool": [f"/pool/{POOL}"], "through a nested pool": [f"/pool/{TOP}"]}
        for i, (form, paths) in enumerate(places.items()):
            who = f"u{n}-{i}@pve"
            g.user(who)
            for path in paths:
                g.grant(path, who, role)
            self.add(form, role, who)
        g.user(f"u{n}-flat@pve")
        g.grant("/", f"u{n}-flat@pve", role, propagate=False)
        self.add("on /, not propagating", role, f"u{n}-flat@pve")
        for form, more in (("expired", {"expire": int(time.time()) - 60}), ("disabled", {"enable": 0})):
            who = f"u{n}-{form}@pve"
            g.user(who, **more)
            g.grant("/", who, role)
            self.add(f"user {form}", role, who)

    def groups(self, role, n):
        g = self.ground
        g.group(f"g{n}")
        g.grant("/", f"g{n}", role)
        for form, who, groups in (("through a group", f"g{n}@pve", [f"g{n}"]),
                                  ("group with NoAccess beside", f"g{n}-no@pve", [f"g{n}", "closed"])):
            g.user(who, groups)
            self.add(form, role, who)
        g.user(f"o{n}@pve", ["closed"])
        g.grant("/", f"o{n}@pve", role)
        self.add("own entry over a group's NoAccess", role, f"o{n}@pve")
        g.user(f"n{n}@pve")
        g.grant("/", f"n{n}@pve", role)
        g.grant("/vms", f"n{n}@pve", "NoAccess")
        self.add("NoAccess further down", role, f"n{n}@pve")

    def tokens(self, role, n):
        g = self.ground
        for form, name, privsep, of_user, of_token in (
                ("separated token, user has it too", "same", 1, "Administrator", role),
                ("separated token, user has less", "less", 1, role, "Administrator"),
                ("separated token, user has nothing", "none", 1, None, role),
                ("separated token without entries", "bare", 1, role, None),
                ("token without separation", "full", 0, role, None)):
            user = f"t{n}-{name}@pve"
            g.user(user)
            token = g.token(user, "key", privsep)
            if of_user:
                g.grant("/", user, of_user)
            if of_token:
                g.grant("/", token, of_token)
            self.add(form, role, token)

    def make(self):
        roles = sorted(builtin_roles())
        jobs = [lambda n=n, role=role, make=make: make(role, n)
                for n, role in enumerate(roles) for make in (self.users, self.groups, self.tokens)]
        self.ground.many(jobs, 6)
        self.ground.user("nothing@pve")
        self.add("nothing", "-", "nothing@pve")
        self.add("nobody", "-", "")
        return self.all
