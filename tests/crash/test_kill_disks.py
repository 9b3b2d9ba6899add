"""kill -9 of holmd at the named points of each operation on disks: afterwards the records are those of before or of after
it, the images are whole, no file is left that nobody names, and the operation works."""
import os
from collections import Counter

from lib import btrfs
from lib.disk_ops import OPERATIONS, SNAPPED, Node, World, settled
from lib.tap import main, test
from lib.wait import wait_for

IS_ALL = bool(os.environ.get("HOLM_ALL"))
POINTS = 2  # of each operation in a short run
# What other tests kill everywhere, in all runs: creations (test_kill), moves (test_move_disk), imports (test_import).
KNOWN = {"create-qcow2", "create-raw", "move", "import"}
HITS = 4  # how many hits of one point are tried


def read_hits(path):
    try:
        with open(path, encoding="utf-8") as f:
            return Counter(f.read().split())
    except FileNotFoundError:
        return Counter()


def make_ready(world, operation):
    if operation.before and "two" not in world.names(SNAPPED):
        operation.before(world)


def cases(hits):
    """[(point, hit number)]"""
    found = []
    for name in sorted(hits):
        numbers = range(1, hits[name] + 1)
        found += [(name, n) for n in numbers[::max(1, -(-len(numbers) // HITS))]]
    return found


def rehearse(world, operation, log):
    """The points that it passes once the daemon has nothing else to do: hits from the call on."""
    make_ready(world, operation)
    world.node.restart(HOLM_FP_LOG=log)
    before = world.state()
    if os.path.exists(log):
        os.unlink(log)
    assert operation.run(world) == "OK", operation.name
    settled(world.node, operation.name)
    hits = read_hits(log)
    after = world.state()
    if operation.back:
        operation.back(world)
    return {name: n for name, n in hits.items() if is_its_own(name)}, before, after


def is_its_own(name):
    """The state's, the audit log's and the text copies' points belong to every change: test_kill has those."""
    return name.split(".")[0] not in ("state", "audit", "fs", "front", "access")


def names(state):
    return set(state[1])


def killed(world, operation, point, n):
    what = f"{operation.name}: {point}@{n}"
    make_ready(world, operation)
    before = world.state()
    world.node.restart(HOLM_FP=f"{point}=kill@{n}")
    end = operation.run(world)
    try:
        wait_for(world.node.is_dead, 20)
        is_killed = True
    except AssertionError:
        is_killed = False  # a point that is passed now and then
    world.node.restart()
    wait_for(lambda: "journal" not in world.node.orphans(), 20, f"{what}: the journal to be empty")
    settled(world.node, what)
    world.check(what)
    return is_killed, end, before, world.state()


def is_undone(operation, before, now):
    """The same names and records; images that only a finished merge makes shorter hold the same all the same."""
    return now[0] == before[0] and (names(now) == names(before) if operation.is_final else now == before)


def kill_in_each(node, top, kind, operations):
    with node:
        world = World(node, top, kind).make()
        for shift, operation in enumerate(operations):
            hits, _, _ = rehearse(world, operation, node.base + "/hits")
            found = cases(hits)
            assert found, f"{operation.name} passes no point"
            step = 1 if IS_ALL else -(-len(found) // POINTS)
            n_undone = n_done = 0
            for point, n in found[shift % step::step]:
                is_killed, _, before, now = killed(world, operation, point, n)
                assert is_killed or not IS_ALL, f"{operation.name}: {point}@{n} was not passed"
                if is_undone(operation, before, now):
                    n_undone += 1
                    continue
                n_done += 1
                assert now[0] != before[0] or operation.name in ("rollback", "cloudinit"), \
                    f"{operation.name}: {point}@{n}: the files changed, the records did not: {names(now) ^ names(before)}"
                if operation.back:
                    operation.back(world)
            make_ready(world, operation)
            assert operation.run(world) == "OK", operation.name
            settled(node, operation.name)
            world.check(operation.name)
            if operation.back:
                operation.back(world)
            leaks(world, operation)
            print(f"{operation.name}: undone {n_undone} times, finished {n_done} times, of {len(found)} places")


def leaks(world, operation):
    """One file for each disk, one more for each layer of the guest with snapshots, and the drive of cloud-init."""
    images = [n for n, what in world.files().items() if what != "folder" and n.split("/")[1] == "images"]
    layers = len(world.names(SNAPPED)) * len(world.disks(SNAPPED))
    wanted = sum(len(world.disks(v)) for v in world.vmids()) + layers + 1
    assert len(images) == wanted, f"{operation.name}: {wanted} files are named, there are {sorted(images)}"


@test(limit=2400 if IS_ALL else 400)
def in_a_folder():
    node = Node()
    top = os.path.join(node.base, "small")
    os.mkdir(top)
    kill_in_each(node, top, "dir", [o for o in OPERATIONS if IS_ALL or o.name not in KNOWN])


@test(limit=2400 if IS_ALL else 400)
def on_btrfs():
    """In a short run what differs most from a folder."""
    node = Node()
    top = os.path.join(node.base, "small")
    os.mkdir(top)
    btrfs.mount(top)  # before holmd, which has mounts of its own
    kill_in_each(node, top, "btrfs", [o for o in OPERATIONS if IS_ALL or o.name in ("snapshot", "rollback", "linked-clone")])


if __name__ == "__main__":
    main()
