"""Random small worlds: what GET /access/permissions says of everybody in them, against the evaluator.

Users, groups, tokens, roles and entries are new in each world (names begin with its number); pools, guests and the
storage are common and change places every few worlds. The seed is printed (HOLM_SEED sets it); of a world that differs
as few entries are shown as are needed.
"""
import itertools
import os
import random
from dataclasses import dataclass, field

from access.ground import Ground
from access.visible import listed_paths
from access.world import User, World, all_privileges, builtin_roles, is_token, privileges
from lib.tap import main, test

WORLDS, PER_LAYOUT = 300, 25
GUESTS = [5001, 5002, 5003]
POOLS = ["pa", "pa/pb", "pa/pb/pc", "qa"]
PATHS = ["/", "/access", "/access/groups", "/access/groups/g", "/nodes", "/nodes/n1", "/sdn/zones/z/v/7", "/mapping/pci/x",
         "/pool", *[f"/pool/{p}" for p in POOLS], "/storage", "/storage/local", "/vms", *[f"/vms/{v}" for v in GUESTS]]
COMMON = ["/", "/vms", "/vms/5001", "/vms/5002", "/pool", "/pool/pa", "/pool/pa/pb", "/storage/local"]
# Paths that are asked for by name: no entry names some of them.
ASKED = [*PATHS, "/vms/777", "/storage/none", "/pool/pa/pb/none", "/access/realm/pve", "/nodes/n2/deep/er"]


@dataclass
class Spec:
    """A world before it has names on the node."""
    users: dict = field(default_factory=dict)  # name -> groups
    groups: list = field(default_factory=list)
    tokens: dict = field(default_factory=dict)  # full id -> is separated
    roles: dict = field(default_factory=dict)
    entries: list = field(default_factory=list)  # (path, name, role, propagate)

    def subjects(self):
        return [*self.users, *self.tokens]


def random_spec(rng, tag, with_root):
    s = Spec(groups=[f"{tag}-g{i}" for i in range(rng.randint(1, 3))])
    for i in range(rng.randint(1, 2)):
        s.users[f"{tag}-u{i}@pve"] = {g for g in s.groups if rng.random() < 0.6}
    for owner in [*s.users, *(["root@pam"] if with_root else [])]:
        s.tokens[f"{owner}!{tag}-t"] = rng.random() < 0.75
    for i in range(2):
        s.roles[f"{tag}-r{i}"] = frozenset(rng.sample(all_privileges(), rng.randint(0, 12)))
    own_roles = list(s.roles)
    names = [*s.users, *s.groups, *s.tokens]
    seen = set()
    for _ in range(rng.randint(2, 14)):
        role = rng.choice(own_roles) if rng.random() < 0.4 else "NoAccess" if rng.random() < 0.2 else \
            rng.choice(sorted(builtin_roles()))
        entry = (rng.choice(COMMON if rng.random() < 0.7 else PATHS), rng.choice(names), role)
        if entry not in seen:
            seen.add(entry)
            s.entries.append((*entry, rng.random() < 0.7))
    return s


def without(spec, entry):
    return Spec(spec.users, spec.groups, spec.tokens, spec.roles, [e for e in spec.entries if e != entry])


def renamed(spec, old, new):
    def n(text):
        return text.replace(f"{old}-", f"{new}-")
    return Spec({n(u): {n(g) for g in gs} for u, gs in spec.users.items()}, [n(g) for g in spec.groups],
                {n(t): v for t, v in spec.tokens.items()}, {n(r): p for r, p in spec.roles.items()},
                [(path, n(who), n(role), p) for path, who, role, p in spec.entries])


def world_of(spec, layout):
    w = World()
    w.users = {"root@pam": User(), **{u: User(set(g)) for u, g in spec.users.items()}}
    w.groups, w.tokens = set(spec.groups), dict(spec.tokens)
    w.roles = {**builtin_roles(), **spec.roles}
    w.pools, w.pool_of_guest, w.pools_of_storage = layout
    for path, name, role, propagate in spec.entries:
        w.grant(path, name, role, propagate)
    return w


def load(ground, spec):
    """Makes it on the node."""
    for g in spec.groups:
        ground.do("POST", "/access/groups", groupid=g)
    for user, groups in spec.users.items():
        ground.do("POST", "/access/users", userid=user, groups=",".join(groups))
    for full, privsep in spec.tokens.items():
        user, name = full.split("!")
        ground.secrets[full] = ground.do("POST", f"/access/users/{user}/token/{name}", privsep=int(privsep))["value"]
    for role, privs in spec.roles.items():
        ground.do("POST", "/access/roles", roleid=role, privs=",".join(privs))
    for path, name, role, propagate in spec.entries:
        kind = "tokens" if is_token(name) else "users" if "@" in name else "groups"
        ground.do("PUT", "/access/acl", path=path, roles=role, propagate=int(propagate), **{kind: name})


def differences(ground, spec, layout, rng):
    """What the node says otherwise than the evaluator."""
    world = world_of(spec, layout)
    found = []
    for who in spec.subjects():
        got = ground.do("GET", "/access/permissions", userid=who)
        # The worlds before this one named other paths too: what is inherited there must be right as well.
        for path in sorted(listed_paths(world) | set(got)):
            want = {p: int(v) for p, v in privileges(world, who, path).items()}
            if got.get(path, {}) != want:
                found.append((who, path, diff(want, got.get(path, {}))))
        for path in rng.sample(ASKED, 2):
            want = {p: int(v) for p, v in privileges(world, who, path).items()}
            got = ground.call(who, "GET", "/access/permissions", {"path": path}).data[path]
            if got != want:
                found.append((who, path, diff(want, got)))
    return found


def diff(want, got):
    return {p: (want.get(p), got.get(p)) for p in set(want) | set(got) if want.get(p) != got.get(p)}


class Shrink:
    """The same world with fewer entries, made anew under other names each time."""

    def __init__(self, ground, layout, rng):
        self.ground, self.layout, self.rng, self.n = ground, layout, rng, itertools.count()

    def fails(self, spec, tag):
        new = renamed(spec, tag, f"s{next(self.n)}")
        load(self.ground, new)
        return bool(differences(self.ground, new, self.layout, self.rng))

    def run(self, spec, tag):
        is_smaller = True
        while is_smaller:
            is_smaller = False
            for entry in list(spec.entries):
                if self.fails(without(spec, entry), tag):
                    spec, is_smaller = without(spec, entry), True
        return spec


def arrange(ground, rng):
    """Puts guests and the storage into other pools; what the evaluator needs to know of it."""
    of_guest, of_storage = {}, set()
    for v in GUESTS:
        pool = rng.choice([None, *POOLS])
        now = ground.world.pool_of_guest.pop(v, None)
        if now:
            ground.do("PUT", "/pools", poolid=now, vms=v, delete=1)
        if pool:
            ground.do("PUT", "/pools", poolid=pool, vms=v)
            of_guest[v] = ground.world.pool_of_guest[v] = pool
    for pool in ground.world.pools_of_storage.pop("local", ()):
        ground.do("PUT", "/pools", poolid=pool, storage="local", delete=1)
    of_storage = set(rng.sample(POOLS, rng.randint(0, 3)))
    for pool in of_storage:
        ground.do("PUT", "/pools", poolid=pool, storage="local")
    ground.world.pools_of_storage["local"] = of_storage
    return set(POOLS), of_guest, {"local": of_storage}


@test(limit=180)
def random_worlds(node):
    seed = int(os.environ.get("HOLM_SEED", "20261121"))
    ground = Ground(node)
    for v in GUESTS:
        node.create(v, memory=16)
    for p in POOLS:
        ground.do("POST", "/pools", poolid=p)
    n_entries = n_subjects = 0
    for i in range(WORLDS):
        rng = random.Random(seed * 1000 + i)
        if i % PER_LAYOUT == 0:
            layout = arrange(ground, rng)
        spec = random_spec(rng, f"w{i}", with_root=i % 5 == 0)
        load(ground, spec)
        n_entries, n_subjects = n_entries + len(spec.entries), n_subjects + len(spec.subjects())
        found = differences(ground, spec, layout, rng)
        if found:
            small = Shrink(ground, layout, rng).run(spec, f"w{i}")
            lines = [f"{p} {who} {role} {'propagating' if on else 'here'}" for p, who, role, on in small.entries]
            raise AssertionError(f"seed {seed}, world {i}: {found[:3]}\npools {layout}\nusers {small.users}\n"
                                 f"tokens {small.tokens}\nroles {small.roles}\n" + "\n".join(lines))
    print(f"worlds: seed {seed}, {WORLDS} worlds, {n_subjects} users and tokens, {n_entries} entries: no difference")
    assert n_entries > 5 * WORLDS


if __name__ == "__main__":
    main()
