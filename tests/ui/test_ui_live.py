"""News as they happen: a change reaches its cell by the event stream; a daemon that goes away and comes back, killed or
not, is noticed and caught up with; without WebSockets lists are polled; the session is renewed before it ends; rights that
change are followed."""
import functools
import statistics

from lib.tap import main, test
from ui.scene import Scene, check_console, end_with, press, sign_in, sign_out, visit

GUESTS = {100: "web-1", 101: "web-2", 102: "db"}
CELL = "(document.querySelector('#guests-%d')?.innerText ?? '')"
# When the cell changed, in the browser's own time; the change is asked for in the browser too, so that one clock counts.
WATCH = """(vmid, method, path, values, word) => new Promise((done, failed) => {
    const csrf = JSON.parse(localStorage.getItem('holm.session')).csrf;
    const begun = performance.now();
    const watcher = new MutationObserver(() => {
        if (document.querySelector(`#guests-${vmid}`)?.innerText.includes(word)) { watcher.disconnect(); done(performance.now() - begun); }
    });
    watcher.observe(document.querySelector('tbody'), {subtree: true, childList: true, characterData: true, attributes: true});
    fetch('/api2/json' + path, {method, headers: {CSRFPreventionToken: csrf, 'Content-Type': 'application/x-www-form-urlencoded'},
                                body: new URLSearchParams(values)}).then(r => { if (!r.ok) failed(new Error(r.statusText)); });
    setTimeout(() => failed(new Error('no change was seen')), 10000);
})"""


@functools.cache
def scene():
    s = Scene()
    for vmid, name in GUESTS.items():
        s.node.create(vmid, name=name, memory=64)
    return s


def path_of(s, vmid):
    return f"/nodes/{s.node.name}/qemu/{vmid}/config"


def open_list(s):
    page = s.signed_in("/guests")
    page.until(f"document.querySelectorAll('tbody tr[id]').length == {len(GUESTS)}")
    return page


@test(limit=120)
def a_change_reaches_its_cell():
    s = scene()
    page = open_list(s)
    took = []
    for i in range(12):
        name = f"web-{i}-news"
        took.append(page.run(WATCH, 101, "PUT", path_of(s, 101), {"name": name}, name))
    took.sort()
    print(f"from the request to the changed cell: median {statistics.median(took):.0f} ms, longest {took[-1]:.0f} ms")
    assert statistics.median(took) <= 200, took
    s.node.api.put(s.node.vm(101, "/config"), name="web-2")
    page.until((CELL % 101) + ".includes('web-2')")
    assert not [u for m, p in page.events if m == "Network.requestWillBeSent" for u in [p["request"]["url"]] if "cluster/resources" in u]
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=120)
def a_pause_is_seen_and_can_be_ended():
    s = scene()
    s.node.api.run("POST", s.node.vm(101, "/status/start"))
    page = open_list(s)
    page.until((CELL % 101) + ".includes('Running')")
    took = page.run(WATCH, 101, "POST", f"/nodes/{s.node.name}/qemu/101/status/suspend", {}, "Paused")
    print(f"from the request to the changed state: {took:.0f} ms")
    assert s.node.api.get(s.node.vm(101, "/status/current"))["status"] == "running"
    press(page, ".chip", "Paused 1")
    page.until("location.search.includes('state=paused') && document.querySelectorAll('tbody tr[id]').length == 1")
    visit(page, "/guests/101")
    page.until("document.querySelector('.view-head .state')?.innerText == 'Paused'")
    page.until("document.querySelector('.warnings')?.innerText.includes('Resume')")
    page.until("document.querySelector('.view-head button')?.innerText.includes('Resume')")
    press(page, ".view-head button", "Resume")
    page.until("document.querySelector('.view-head .state').innerText == 'Running' && !document.querySelector('.warnings')")
    s.node.api.run("POST", s.node.vm(101, "/status/stop"))
    page.until("document.querySelector('.view-head .state').innerText == 'Stopped'")
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=120)
def the_daemon_goes_away_and_comes_back():
    s = scene()
    page = open_list(s)
    for is_killed in (False, True):
        if is_killed:
            s.node.kill9()
        else:
            s.node.stop()
        page.until("!!document.querySelector('.offline')", 40)
        s.node.start()
        s.node.api.put(s.node.vm(102, "/config"), name=f"db-{is_killed}")
        page.until((CELL % 102) + f".includes('db-{is_killed}')", 60)
        page.until("!document.querySelector('.offline')")
    page.becomes("document.querySelectorAll('tbody tr[id]').length", len(GUESTS))
    s.node.api.put(s.node.vm(102, "/config"), name="db")
    page.until((CELL % 102) + ".includes('db')")  # pushed again, not looked for
    sign_out(page)
    page.close()


@test(limit=60)
def without_websockets_lists_are_polled():
    s = scene()
    page = s.page("/guests")
    page.call("Page.addScriptToEvaluateOnNewDocument", source="""window.WebSocket = class {
        constructor() { setTimeout(() => this.onclose?.({code: 1006})); }
        close() {}
    };""")
    page.open(s.base + "/guests")
    sign_in(page)
    page.until(f"document.querySelectorAll('tbody tr[id]').length == {len(GUESTS)}")
    s.node.api.put(s.node.vm(100, "/config"), name="polled")
    page.until((CELL % 100) + ".includes('polled')", 30)
    s.node.api.put(s.node.vm(100, "/config"), name="web-1")
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=60)
def the_session_is_renewed():
    s = scene()
    page = open_list(s)
    mark = len(page.statuses("/access/ticket"))
    page.evaluate("localStorage.setItem('holm.session', JSON.stringify({...JSON.parse(localStorage.getItem('holm.session')), at: 0}))")
    page.open(s.base + "/guests")  # what was signed in long ago
    page.until("JSON.parse(localStorage.getItem('holm.session')).at > 0")
    page.wait(lambda: page.statuses("/access/ticket")[mark:], 20, "the renewal to be seen")
    assert page.statuses("/access/ticket")[mark:] == [200]
    assert page.run("""async (path) => (await fetch('/api2/json' + path, {method: 'PUT', body: new URLSearchParams({description: 'renewed'}),
        headers: {CSRFPreventionToken: JSON.parse(localStorage.getItem('holm.session')).csrf}})).status""", path_of(s, 100)) == 200
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=60)
def rights_that_change_are_followed():
    s = scene()
    s.node.create_user("half@pve")
    s.node.api.put("/access/acl", path="/vms/101", roles="PVEVMUser", users="half@pve")
    page = s.signed_in("/guests", "half")
    page.until("document.querySelectorAll('tbody tr[id]').length == 1")
    s.node.api.put("/access/acl", path="/vms/102", roles="PVEVMUser", users="half@pve")
    page.until("document.querySelectorAll('tbody tr[id]').length == 2")
    s.node.api.put("/access/acl", path="/vms/101", roles="PVEVMUser", users="half@pve", delete=1)
    page.until((CELL % 101) + " == '' && document.querySelectorAll('tbody tr[id]').length == 1")
    s.node.api.put("/access/users/half@pve", enable=0)
    page.until("!!document.querySelector('input[name=password]')", 30)  # and out
    page.close()


if __name__ == "__main__":
    end_with(scene)
    main()
