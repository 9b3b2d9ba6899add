"""A full or failing storage at the n-th access of each operation on disks, and too little room for it: the task says what
was wrong, records and files are what they were, and the operation works when there is room."""
import os

from lib import smallfs
from lib.disk_ops import OPERATIONS, SNAPPED, Node, World, settled
from lib.faults import Faults
from lib.tap import main, test
from lib.wait import wait_for

IS_ALL = bool(os.environ.get("HOLM_ALL"))
PLACES = 4  # of each operation in a short run, spread over all there are, other ones for each operation
CAUSES = ("no space", "space left", "needed", "input/output error", "full")


def rehearse(world, operation, faults):
    """How often it touches the storages. Twice: the first time makes folders that stay."""
    for _ in range(2):
        if operation.before:
            operation.before(world)
        faults.arm(0, "EIO")
        end = operation.run(world)
        assert end == "OK", (operation.name, end)
        settled(world.node, operation.name)
        hits = faults.hits()
        faults.disarm()
        if operation.back:
            operation.back(world)
    return hits


def chosen(hits, shift):
    if IS_ALL:
        return range(1, len(hits) + 1)
    step = max(1, len(hits) // PLACES)
    # The last ones, too: they are the furthest from the beginning to come back from.
    return sorted({*range(1 + shift % step, len(hits) + 1, step), len(hits)})


def unchanged(world, operation, before, what):
    """After a failure; what is for ever from its first write on is whole in another way."""
    now = world.state()
    if now == before:
        return
    assert operation.is_final, f"{what}: changed: {difference(before, now)}"
    wait_for(lambda: not raises(world.check_sizes, what), 20, f"{what}: sizes that agree")
    world.check(what)


def raises(function, *args):
    try:
        function(*args)
    except AssertionError:
        return True
    return False


def difference(before, now):
    records = {v: (before[0].get(v), now[0].get(v)) for v in {*before[0], *now[0]} if before[0].get(v) != now[0].get(v)}
    return records, sorted(k for k in {*before[1], *now[1]} if before[1].get(k) != now[1].get(k))


def fail_once(world, operation, faults, nth, error, hit):
    what = f"{operation.name}: {error} at {nth}, {hit}"
    if operation.before and "two" not in world.names(SNAPPED):
        operation.before(world)
    before = world.state()
    faults.arm(nth, error)
    end = operation.run(world)
    settled(world.node, what)
    is_met = len(faults.hits()) >= nth
    faults.disarm()
    if end == "OK" or end.startswith("WARNINGS"):
        world.check(what)
        if operation.back:
            operation.back(world)
        return False
    assert is_met, f"{what}: failed without a fault: {end}"
    assert any(cause in end.lower() for cause in CAUSES), f"{what}: not a cause: {end}"
    unchanged(world, operation, before, what)
    return True


@test(limit=900 if IS_ALL else 200)
def at_the_nth_access():
    node = Node()
    top = os.path.join(node.base, "small")
    os.mkdir(top)
    with node:
        world = World(node, top).make()
        faults = Faults(node, "/small/")
        for shift, operation in enumerate(OPERATIONS):
            hits = rehearse(world, operation, faults)
            assert hits, f"{operation.name} does not touch its storages"
            places = chosen(hits, shift)
            n_failed = sum(fail_once(world, operation, faults, nth, ("EIO", "ENOSPC")[nth % 2], hits[nth - 1]) for nth in places)
            assert n_failed, f"{operation.name}: never failed"
            world.check(operation.name)
            rehearse(world, operation, faults)
            print(f"{operation.name}: failed at {n_failed} of {len(places)} places, {len(hits)} there are")


if __name__ == "__main__":
    main()
