"""The page in a browser, with 200 guests and nothing in its cache: how soon there is something to see, and the first rows; how
long a change takes from the request that makes it to the cell that shows it."""
import statistics

from bench.figures import note, within
from lib.tap import main, test
from ui.scene import Scene, site

GUESTS, LOADS, CHANGES = 200, 9, 21
FIRST = 100
USABLE = """(look => requestAnimationFrame(look))(function look() {
    if (document.querySelector('tbody tr[id]')) window.usable = performance.now();
    else requestAnimationFrame(look);
})"""
# One clock: the change is asked for in the browser, too.
CHANGE = """(vmid, path, tags) => new Promise((done, failed) => {
    const csrf = JSON.parse(localStorage.getItem('holm.session')).csrf;
    const begun = performance.now();
    const watcher = new MutationObserver(() => {
        if (document.querySelector(`#guests-${vmid}`)?.innerText.includes(tags)) { watcher.disconnect(); done(performance.now() - begun); }
    });
    watcher.observe(document.querySelector('tbody'), {subtree: true, childList: true, characterData: true, attributes: true});
    fetch('/api2/json' + path, {method: 'PUT', headers: {CSRFPreventionToken: csrf}, body: new URLSearchParams({tags})})
        .then(r => { if (!r.ok) failed(new Error(r.statusText)); });
    setTimeout(() => failed(new Error('no change was seen')), 10000);
})"""


@test(limit=200)
def first_paint_and_news():
    with Scene() as s:
        for vmid in range(FIRST, FIRST + GUESTS):
            s.node.create(vmid, name=f"guest-{vmid}", memory=64, tags="prod;web")
        page = s.signed_in("/guests")
        page.call("Network.setCacheDisabled", cacheDisabled=True)
        page.call("Page.addScriptToEvaluateOnNewDocument", source=USABLE)
        paints, rows = [], []
        for _ in range(LOADS):
            page.open(s.base + "/guests")
            page.until("window.usable > 0")
            paints.append(page.until("performance.getEntriesByName('first-contentful-paint')[0]?.startTime"))
            rows.append(page.evaluate("window.usable"))
        note(f"page, {GUESTS} guests: first contentful paint", "ms", paints)
        note(f"page, {GUESTS} guests: first rows", "ms", rows)
        path = f"/nodes/{s.node.name}/qemu/{FIRST}/config"
        cells = [page.run(CHANGE, FIRST, path, f"news-{i}") for i in range(CHANGES)]
        note("page: from the request to the changed cell", "ms", cells)
        page.close()
        within("first paint", "ms", statistics.median(paints), 300)
        within("first rows", "ms", statistics.median(rows), 600)
        within("the cell", "ms", statistics.median(cells), 200)
    site()[0].cleanup()


if __name__ == "__main__":
    main()
