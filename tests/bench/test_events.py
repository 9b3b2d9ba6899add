"""The event stream with 10,000 guests: a snapshot, and how long a change takes to its client, from the request that makes
it, with 100 other clients beside; what it costs holmd that they are there."""
import contextlib
import threading
import time

from bench.figures import cpu_ms, least, note
from bench.many import FIRST, define
from lib.events import Events
from lib.holm import Node, is_sanitized
from lib.procs import status_number
from lib.tap import main, test

COUNT = 2000 if is_sanitized() else 10000
OTHERS, CHANGES, SECONDS = 100, 40, 10


def read_all(clients, is_over):
    """What comes to the others is taken, as browsers would."""
    while not is_over.is_set():
        for c in clients:
            c.next(0.001)


@test(limit=240)
def ten_thousand():
    with Node() as node, contextlib.ExitStack() as stack:
        define(node, COUNT, has_disk=False, memory=1024, tags="bench;prod")
        began = time.monotonic()
        ev = stack.enter_context(Events(node.api))
        ev.settle(60)
        assert len(ev.model["guest"]) == COUNT
        note(f"events, {COUNT} guests: snapshot", "ms", [(time.monotonic() - began) * 1000])
        others = [stack.enter_context(Events(node.restricted("other@pve"))) for _ in range(OTHERS)]
        for c in others:
            c.settle()
        is_over = threading.Event()
        reader = threading.Thread(target=read_all, args=(others, is_over))
        reader.start()

        def measure():
            times = []
            for i in range(CHANGES):
                name = f"n{time.monotonic_ns()}"
                began = time.monotonic()
                node.api.put(node.vm(FIRST + i, "/config"), name=name)
                ev.until(lambda m, i=i, name=name: ev.guest(FIRST + i)["name"] == name)
                times.append((time.monotonic() - began) * 1000)
            note(f"events, {COUNT} guests, {OTHERS} others: request to event", "ms", times)
            return sorted(times)[-1]
        least("events: request to event, longest", "ms", 200, measure)
        before = cpu_ms([node.process.pid])
        time.sleep(SECONDS)  # the measurement: nothing is waited for
        note(f"events, {COUNT} guests, {OTHERS} clients: holmd", "%", [(cpu_ms([node.process.pid]) - before) / SECONDS / 10])
        note(f"events, {COUNT} guests, {OTHERS} clients: memory of holmd", "MiB", [status_number(node.process.pid, "VmRSS") / 1024])
        is_over.set()
        reader.join()


if __name__ == "__main__":
    main()
