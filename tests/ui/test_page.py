"""The page in Debian's chromium against a real holmd: signing in, the list of guests, one guest, what an auditor is not
offered, every language, no error in the browser's console and nothing that the Content-Security-Policy refuses."""
import functools

from lib.tap import main, test
from ui.scene import OUT, PASSWORD, PRESS, SHOTS, TYPE, Scene, check_console, end_with, press, sign_in, sign_out, text

NAMES = ["web-1", "web-2", "web-3", "shop-db", "shop-cache", "mail", "git", "ci-runner-1", "ci-runner-2", "wiki", "monitoring", "vpn",
         "dns-1", "dns-2", "build-arm", "legacy-erp", "backup-target", "staging-web", "staging-db", "scratch"]
TAGS = {"web": "prod;web", "shop": "prod;shop", "ci": "ci", "staging": "staging", "dns": "prod;net"}
FIRST = 100
VIEWS = {"dashboard": "/", "guests": "/guests", "guest": "/guests/100", "hardware": "/guests/100/hardware",
         "options": "/guests/100/options", "snapshots": "/guests/100/snapshots", "tasks": "/tasks"}


@functools.cache
def scene():
    s = Scene()
    for i, name in enumerate(NAMES):
        tags = TAGS.get(name.split("-")[0])
        s.node.create(FIRST + i, name=name, memory=[64, 512, 1024, 2048][i % 4], **({"tags": tags} if tags else {}))
    for name in ("clean", "configured"):
        s.node.api.run("POST", s.node.vm(FIRST, "/snapshot"), {"snapname": name, "description": f"{name} state"})
    s.node.api.run("POST", s.node.vm(FIRST, "/status/start"))
    return s


@test(limit=240)
def sign_in_and_the_list_of_guests():
    s = scene()
    page = s.page("/guests?q=tag:prod")
    sign_in(page, password="wrong")
    page.until("!!document.querySelector('.error-box')")
    sign_in(page)
    page.becomes("location.href", s.base + "/guests?q=tag:prod")  # where one wanted to go
    page.until("document.querySelectorAll('tbody tr[id]').length == 7")
    page.run(TYPE, "input[type=search]", "tag:prod -web")
    page.until("document.querySelectorAll('tbody tr[id]').length == 4")
    page.run(TYPE, "input[type=search]", "")
    page.until(f"document.querySelectorAll('tbody tr[id]').length == {len(NAMES)}")
    page.says("#guests-100", "Running")
    page.says("#guests-101", "Stopped")
    s.node.api.put(s.node.vm(101, "/config"), name="renamed")
    page.until("document.querySelector('#guests-101')?.innerText.includes('renamed')", 30)
    s.node.api.put(s.node.vm(101, "/config"), name="web-2")
    assert "PVE:" not in page.evaluate("document.cookie + JSON.stringify({...localStorage})"), "a script can read the ticket"
    page.open(s.base + "/guests")
    page.until("!!document.querySelector('tbody tr[id]')")  # without signing in again
    sign_out(page)
    assert "__Host-HolmAuthCookie" not in page.cookies(s.base)
    check_console(page, allowed=OUT)
    page.close()


def begins_anew(page, act):
    """The page loads from the start. Nothing is asked of it meanwhile."""
    loads = page.loads
    act()
    page.wait(lambda: page.loads > loads, 20, "the page to load anew")


@test(limit=120)
def all_tabs_are_one_session():
    s = scene()
    s.node.create_user("second@pve", "PVEAuditor")
    name = "document.querySelector('.bar')?.innerText ?? ''"
    a = s.signed_in("/guests")
    b = s.browser.page()
    b.call("Log.enable")
    b.open(s.base + "/guests/101")
    b.until("document.querySelector('h1')?.innerText.includes('web-2')")
    begins_anew(a, lambda: press(a, ".menu-item", "Sign out"))
    b.until("!!document.querySelector('input[name=password]') && !document.querySelector('.shell')")
    sign_in(a)
    b.until(f"({name}).includes('admin@pve')")  # without a password
    assert b.url() == s.base + "/guests/101"
    begins_anew(a, lambda: press(a, ".menu-item", "Sign out"))
    b.until("!!document.querySelector('input[name=password]')")
    begins_anew(b, lambda: sign_in(a, "second"))
    b.until(f"({name}).includes('second@pve')")  # and nothing of the first user is left
    # The session ends, and somebody else goes on in this tab.
    b.evaluate("window.old = 'of the second user'")
    b.call("Network.clearBrowserCookies")
    press(b, ".rail a", "Access")
    b.until("document.querySelector('.signin')?.innerText.includes('session')")
    a.until("!!document.querySelector('input[name=password]')")
    b.run(TYPE, "input[name=username]", "admin@pve")
    b.run(TYPE, "input[name=password]", PASSWORD)
    begins_anew(b, lambda: press(b, "button[type=submit]"))
    b.until(f"({name}).includes('admin@pve')")
    assert b.evaluate("window.old === undefined")
    for page in (a, b):
        check_console(page, allowed=OUT)
        page.close()


@test(limit=120)
def an_auditor_is_offered_nothing():
    s = scene()
    s.node.create_user("auditor@pve", "PVEAuditor")
    page = s.signed_in("/guests/100", "auditor")
    page.until("document.querySelector('h1')?.innerText.includes('web-1')")
    assert not page.evaluate("[...document.querySelectorAll('.view button.button')].map(b => b.innerText + b.ariaLabel)")
    page.open(s.base + "/guests/100/options")
    page.until("document.querySelectorAll('.config li').length > 5")
    assert not page.evaluate("document.querySelectorAll('.config button').length")
    page.open(s.base + "/guests/100/snapshots")
    page.until("document.querySelectorAll('.snapshot').length == 3")
    assert not page.evaluate("document.querySelectorAll('.panel button').length")
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=240)
def a_guest_is_changed_and_snapped():
    s = scene()
    page = s.signed_in("/guests/102/options")
    page.until("!!document.querySelector('.config li')")
    page.run(PRESS, ".config button", "Edit Name")
    page.until("!!document.querySelector('dialog input')")
    page.run(TYPE, "dialog input", "not a name!")
    page.run(PRESS, "dialog button", "Save")
    page.until("!!document.querySelector('dialog .field-error')")  # at its field
    page.run(TYPE, "dialog input", "web-three")
    page.run(PRESS, "dialog button", "Save")
    page.until("document.querySelector('h1')?.innerText.includes('web-three')", 30)
    page.run(PRESS, ".tabs a", "Snapshots")
    page.until("!!document.querySelector('.panel button')")
    page.run(PRESS, ".panel button", "Take snapshot")
    page.until("!!document.querySelector('dialog input')")
    page.run(TYPE, "dialog input", "before")
    page.run(PRESS, "dialog button[type=submit]", "Take")
    page.until("document.querySelector('.snapshots')?.innerText.includes('before')", 60)
    page.run(PRESS, ".snapshot button", "Delete snapshot before")
    page.until("!!document.querySelector('dialog button.danger')")
    page.run(PRESS, "dialog button.danger", "Delete")
    page.until("document.querySelector('.snapshots')?.innerText.includes('before') === false", 60)
    assert [x["name"] for x in s.node.api.get(s.node.vm(102, "/snapshot"))] == ["current"]
    s.node.api.put(s.node.vm(102, "/config"), name="web-3")
    sign_out(page)
    check_console(page, allowed=["400"])
    page.close()


@test(limit=240)
def many_at_once_with_a_result_for_each():
    s = scene()
    page = s.signed_in("/guests?q=staging")
    page.until("document.querySelectorAll('tbody tr[id]').length == 2")
    page.run(PRESS, "thead input", "Select all")
    page.until("!!document.querySelector('.selection')")
    page.run(PRESS, ".selection button", "Start")
    page.until("document.querySelectorAll('dialog .items li').length == 2")
    page.run(PRESS, "dialog button.main", "Go ahead")
    page.until("[...document.querySelectorAll('dialog .items .state')].filter(x => x.innerText == 'OK').length == 2", 90)
    page.run(PRESS, "dialog .dialog-foot button", "Close")
    page.until("!document.querySelector('dialog')")
    page.until("[...document.querySelectorAll('tbody tr[id]')].every(r => r.innerText.includes('Running'))", 30)
    page.run(PRESS, ".selection button", "Stop now")
    page.run(PRESS, "dialog button.danger", "Go ahead")
    page.until("[...document.querySelectorAll('dialog .items .state')].filter(x => x.innerText == 'OK').length == 2", 90)
    page.run(PRESS, "dialog .dialog-foot button", "Close")
    page.evaluate("dispatchEvent(new KeyboardEvent('keydown', {key: 'k', ctrlKey: true}))")
    page.until("!!document.querySelector('.palette input')")
    page.run(TYPE, ".palette input", "staging-db")
    page.until("document.querySelectorAll('.palette [role=option]').length == 1")
    page.run(PRESS, ".palette [role=option]", "staging-db")
    page.until("document.querySelector('h1')?.innerText.includes('staging-db')")
    page.run(PRESS, ".task-row", "Start guest")
    page.until("document.querySelector('.drawer .log')?.innerText.length > 5")
    page.screenshot(f"{SHOTS}/task-light.png")
    page.until("location.href.includes('task=UPID')")
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=240)
def every_screen_in_every_mode():
    s = scene()
    page = s.page("/")
    page.until("!!document.querySelector('.signin input')")
    s.shoot(page, "signin", "/")
    sign_in(page)
    for name, path in VIEWS.items():
        s.shoot(page, name, path)
    for lang, word in (("de", "Gäste"), ("fr", "Invités"), ("zh", "客户机"), ("en", "Guests")):
        page.evaluate(f"localStorage.setItem('holm.language', '\"{lang}\"')")
        page.open(s.base + "/guests")
        page.until(f"document.querySelector('h1')?.innerText == '{word}'")
        assert page.evaluate("document.documentElement.lang") == lang
    sign_out(page)
    check_console(page)
    page.close()


@test(limit=240)
def two_hundred_guests():
    """Only rows in sight exist, and the last can be reached."""
    s = scene()
    for vmid in range(1000, 1200 - len(NAMES)):
        s.node.create(vmid, name=f"many-{vmid}", memory=64)
    page = s.signed_in("/guests")
    page.until("document.querySelectorAll('tbody tr[id]').length > 10")
    page.becomes("document.querySelector('table').ariaRowCount", "201")
    assert page.evaluate("document.querySelectorAll('tbody tr[id]').length") < 80
    page.evaluate("(e => { e.scrollTop = e.scrollHeight; })(document.querySelector('.table-box'))")
    page.until("[...document.querySelectorAll('tbody tr[id]')].at(-1)?.ariaRowIndex == '201'")
    page.until("(r => r.bottom <= innerHeight && r.height > 20)([...document.querySelectorAll('tbody tr[id]')].at(-1).getBoundingClientRect())")
    high = page.evaluate("document.querySelector('tbody tr[id]').getBoundingClientRect().height")
    total = page.evaluate("document.querySelector('tbody').getBoundingClientRect().height")
    assert abs(total - 200 * high) < 2, (total, high)  # rows are as high as the table counts
    page.evaluate("document.querySelector('table').focus()")
    for key in ("Home", "ArrowDown", "Enter"):
        page.call("Input.dispatchKeyEvent", type="keyDown", key=key)
    page.until("location.pathname.startsWith('/guests/')")
    sign_out(page)
    check_console(page)
    page.close()


if __name__ == "__main__":
    end_with(scene)
    main()
