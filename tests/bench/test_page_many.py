"""The page with 10,000 guests: frames while the list scrolls, sorting and searching it, and the memory of a tab that listens
for long.

HOLM_HEAP_S: seconds that the last of these takes; 600 for ten minutes."""
import functools
import os
import statistics
import time

from bench.figures import least, note, within
from bench.many import FIRST, define
from lib.holm import is_sanitized
from lib.tap import main, test
from ui.scene import Scene, check_console, end_with, type_into

COUNT = 2000 if is_sanitized() else 10000
HEAP_S = int(os.environ.get("HOLM_HEAP_S", "30"))
SPEEDS = {"a wheel": 1500, "a drag of the scroll bar": 20000}  # pixels a second
FRAME_MS = 50
ANSWER_MS = 100
FRAMES = """(() => {
    window.frames = [];
    let last = performance.now();
    requestAnimationFrame(function look(now) { window.frames.push(now - last); last = now; requestAnimationFrame(look); });
})()"""
# Waits without letting a frame go by.
UNTIL = "(async (isDone) => { const end = performance.now() + 5000; while (!isDone() && performance.now() < end) await new Promise((done) => { const c = new MessageChannel(); c.port1.onmessage = done; c.port2.postMessage(0); }); })"
# From a click to the first row that is another one.
CLICK = """(async (selector) => {
    const first = () => document.querySelector('tbody tr[id]')?.id, old = first(), begun = performance.now();
    document.querySelector(selector).click();
    await UNTIL(() => first() !== old);
    return performance.now() - begun;
})""".replace("UNTIL", UNTIL)
SEARCH = """(async (text) => {
    const field = document.querySelector('input[type=search]'), count = () => document.querySelector('.chip .num').innerText, old = count();
    const begun = performance.now();
    field.value = text;
    field.dispatchEvent(new Event('input', {bubbles: true}));
    await UNTIL(() => count() !== old);
    return performance.now() - begun;
})""".replace("UNTIL", UNTIL)


@functools.cache
def scene():
    s = Scene()
    define(s.node, COUNT, cores=2, memory=1024, net0="virtio", tags="prod")
    return s


@functools.cache
def listed():
    page = scene().signed_in("/guests")
    all_there(page)
    return page


def all_there(page):
    page.until(f"document.querySelector('table')?.ariaRowCount == '{COUNT + 1}'", 60)


@test(limit=240)
def the_list_is_there():
    s, page = scene(), listed()

    def measure():
        page.open(s.base + "/guests")
        all_there(page)
        return page.evaluate("performance.now()")
    note(f"page, {COUNT} guests: all listed", "ms", [measure() for _ in range(3)])


def cost(page):
    """Milliseconds of the processor that the page's thread took, and how often it was laid out."""
    values = {m["name"]: m["value"] for m in page.call("Performance.getMetrics")["metrics"]}
    return values["TaskDuration"] * 1000, values["LayoutCount"]


def scroll(page, speed):
    """Two seconds of it: milliseconds of the processor for each step that draws other rows, the longest frame."""
    page.evaluate("document.querySelector('.table-box').scrollTop = 0")
    page.pump(0.2)
    page.evaluate("window.frames.length = 0")
    before, layouts = cost(page)
    page.call("Input.synthesizeScrollGesture", 90, x=700, y=500, yDistance=-2 * speed, speed=speed, gestureSourceType="mouse")
    after, more = cost(page)
    frames = page.evaluate("window.frames")
    print(f"    {len(frames)} frames, median {statistics.median(frames):.0f} ms, longest {max(frames):.0f} ms")
    return (after - before) / max(1, more - layouts), round(max(frames), 1)


@test(limit=240)
def scrolling():
    page = listed()
    page.call("Performance.enable", timeDomain="threadTicks")
    page.evaluate(FRAMES)
    for name, speed in SPEEDS.items():
        steps = []

        def measure(speed=speed, steps=steps):
            step, longest = scroll(page, speed)
            steps.append(step)
            return longest
        least(f"page, {COUNT} guests: longest frame, {name}", "ms", FRAME_MS, measure, times=6)
        note(f"page, {COUNT} guests: processor a step, {name}", "ms", steps)
        within("a step", "ms", min(steps), 30)
        assert int(page.evaluate("document.querySelector('tbody tr[id]').ariaRowIndex")) > 40


@test(limit=240)
def sorting_and_searching():
    page = listed()
    page.evaluate("document.querySelector('.table-box').scrollTop = 0")
    for column in ("ID", "Name"):
        n = page.evaluate(f"[...document.querySelectorAll('th')].findIndex(x => x.innerText.trim() == '{column}') + 1")
        page.evaluate(f"document.querySelector('th:nth-child({n}) button').click()")
        least(f"page, {COUNT} guests: sorted by {column}", "ms", ANSWER_MS, lambda n=n: page.evaluate(f"{CLICK}('th:nth-child({n}) button')", 60), times=6)
    texts = iter(["guest-101", "tag:prod -live", "id:10100-10200"] * 2)
    least(f"page, {COUNT} guests: searched", "ms", ANSWER_MS, lambda: page.evaluate(f"{SEARCH}({next(texts)!r})", 60), times=6)
    type_into(page, "input[type=search]", "")
    all_there(page)


def heap(page):
    """MiB after three collections: what only weak references hold goes with the second."""
    for _ in range(3):
        page.call("HeapProfiler.collectGarbage")
    return page.call("Runtime.getHeapUsage")["usedSize"] / 2**20


def change_for(s, page, seconds):
    """Renames, as fast as one client can; the rows come and go in the order of the list."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        s.node.api.put(s.node.vm(FIRST + n % 500, "/config"), name=f"guest-{n % 7}-{n % 500}")
        n += 1
        if n % 50 == 0:
            page.pump(0.01)
    return n


@test(limit=240 + 2 * HEAP_S)
def memory_stays_flat():
    s, page = scene(), listed()
    change_for(s, page, min(10, HEAP_S / 3))
    before = heap(page)
    changes = change_for(s, page, HEAP_S)
    after = heap(page)
    print(f"bench page, JavaScript heap: {before:.1f} MiB, {after:.1f} MiB after {changes} changes in {HEAP_S} s")
    assert after < before * 1.05 + 1, (before, after)
    check_console(page)


if __name__ == "__main__":
    end_with(scene)
    main()
