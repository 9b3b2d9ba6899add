"""A full or failing storage at the n-th access of each operation on disks, and too little room for it: the task says what
was wrong, records and files are what they were, and the operation works when there is room."""
import os
import re

from lib import smallfs
from lib.disk_ops import OPERATIONS, SNAPPED, Node, World, settled
from lib.faults import Faults
from lib.tap import main, test
from lib.wait import wait_for

IS_ALL = bool(os.environ.get("HOLM_ALL"))
PLACES = 2  # of each operation in a short run, other ones for each of them
CAUSES = ("no space", "space left", "needed", "input/output error", "full")


def make_ready(world, operation):
    if operation.before and "two" not in world.names(SNAPPED):
        operation.before(world)


def works(world, operation, what):
    """It does what it should, and is taken back."""
    make_ready(world, operation)
    end = operation.run(world)
    assert end == "OK", f"{what}: {end}"
    settled(world.node, what)
    world.check(what)
    if operation.back:
        operation.back(world)


def names(world):
    """Of files; layers have numbers of their own each time."""
    return sorted(re.sub(r"/(snap-.*)-\d+\.", r"/\1.", name) for name in world.files())


def rehearse(world, operation, faults):
    """What it does to the storages."""
    make_ready(world, operation)
    faults.arm(0, "EIO")
    assert operation.run(world) == "OK", operation.name
    settled(world.node, operation.name)
    hits = faults.hits()
    faults.disarm()
    if operation.back:
        operation.back(world)
    return hits


def chosen(hits, shift):
    if IS_ALL:
        return range(1, len(hits) + 1)
    step = -(-len(hits) // PLACES)
    return range(1 + shift % step, len(hits) + 1, step)


def unchanged(world, operation, before, what, is_strict):
    """After a failure. A disk that grew all the same keeps its size; the daemon looks and writes that down."""
    def is_good():
        return world.state() == before or not is_strict and not raises(world.check_sizes, what)
    if operation.is_final:
        wait_for(is_good, 20, f"{what}: {difference(before, world.state())}")
        world.check(what)
    else:
        now = world.state()
        assert now == before, f"{what}: changed: {difference(before, now)}"


def raises(function, *args):
    try:
        function(*args)
    except AssertionError:
        return True
    return False


def difference(before, now):
    records = {v: (before[0].get(v), now[0].get(v)) for v in {*before[0], *now[0]} if before[0].get(v) != now[0].get(v)}
    return records, sorted(k for k in {*before[1], *now[1]} if before[1].get(k) != now[1].get(k))


def fail(world, operation, what, arm, disarm, is_strict=False):
    """Whether it failed. is_strict: then all of it was taken back."""
    make_ready(world, operation)
    before = world.state()
    arm()
    end = operation.run(world)
    settled(world.node, what)
    disarm()
    if end == "OK" or end.startswith("WARNINGS"):
        if operation.back:
            operation.back(world)
        return end != "OK"
    assert any(cause in end.lower() for cause in CAUSES), f"{what}: not a cause: {end}"
    unchanged(world, operation, before, what, is_strict)
    return True


@test(limit=1500 if IS_ALL else 240)
def at_the_nth_access():
    node = Node()
    top = os.path.join(node.base, "small")
    os.mkdir(top)
    with node:
        world = World(node, top).make()
        faults = Faults(node, "/small/")
        # A template is a matter of its record alone.
        for shift, operation in enumerate(o for o in OPERATIONS if o.name != "template"):
            make_ready(world, operation)
            files = names(world)
            hits = rehearse(world, operation, faults)
            assert hits, f"{operation.name} does not touch its storages"
            places = chosen(hits, shift)
            n_failed = 0
            # The daemon looks at its storages now and then, which may be what failed: then at further places.
            for nth in [*places, *set(range(1, len(hits) + 1)).difference(places)]:
                if nth not in places and n_failed:
                    break
                error = ("EIO", "ENOSPC")[nth % 2]
                n_failed += fail(world, operation, f"{operation.name}: {error} at {nth}, {hits[nth - 1]}",
                                 lambda nth=nth, error=error: faults.arm(nth, error), faults.disarm)
            assert n_failed, f"{operation.name}: never failed"
            works(world, operation, operation.name)
            make_ready(world, operation)
            assert names(world) == files, f"{operation.name}: {names(world)}, not {files}"
            print(f"{operation.name}: failed at {n_failed} of {len(places)} places, {len(hits)} there are")


ROOM = (0, 200 << 10, 1 << 20, 3 << 20) if IS_ALL else (0,)


@test(limit=600 if IS_ALL else 240)
def without_room():
    """A file system that is full and stays full while what was begun is taken back."""
    node = Node()
    top = os.path.join(node.base, "small")
    os.mkdir(top)
    smallfs.ext4(top, 96)
    with node:
        world = World(node, top).make()
        ended = {}
        for operation in OPERATIONS:
            make_ready(world, operation)
            files = names(world)
            ended[operation.name] = [fail(world, operation, f"{operation.name}: {room} bytes", lambda room=room: smallfs.leave(top, room),
                                          lambda: smallfs.leave(top, None), is_strict=True) for room in ROOM]
            works(world, operation, operation.name)
            make_ready(world, operation)
            assert names(world) == files, f"{operation.name}: {names(world)}, not {files}"
        print(ended)
        # An empty file, a longer header or a later end of one, and other names need no room.
        need = {o.name for o in OPERATIONS} - {"create-raw", "resize-qcow2", "resize-raw", "template"}
        assert {name for name, failed in ended.items() if failed[0]} >= need, ended


if __name__ == "__main__":
    main()
