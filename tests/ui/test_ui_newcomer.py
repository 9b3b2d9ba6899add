"""Somebody's first hour with the page: from the sign-in of an empty system to guests that boot, are snapshot, copied and
destroyed again, all of it by what the page offers and the mouse reaches; the same beginning as an auditor; and the essential
of it without a mouse."""
import functools
import tempfile

from lib.guests import boot_sector, demo_folder, install_demo
from lib.holm import PASSWORD
from lib.tap import main, test
from lib.wait import wait_for
from ui.look_console import connected, lines, screen, sees, shell_answers, shows
from ui.scene import Scene, check_console, end_with, files_into, key, settled, text, type_keys

CTRL, SHIFT = 2, 8
MIB = 1 << 20
# Where an element is that can be seen, is not covered and not disabled; null until there is one.
FIND = """(selector, wanted) => {
    for (const e of document.querySelectorAll(selector)) {
        if (e.disabled || !e.checkVisibility({visibilityProperty: true}) || !`${e.innerText} ${e.ariaLabel}`.includes(wanted)) continue;
        e.scrollIntoView({block: 'nearest', inline: 'nearest', behavior: 'instant'});
        const box = e.getBoundingClientRect(), x = box.x + Math.min(box.width / 2, 60), y = box.y + box.height / 2;
        const top = document.elementFromPoint(x, y);
        if (top && (e === top || e.contains(top) || top.contains(e) && top.tagName !== 'DIALOG')) return [x, y];
    }
    return null;
}"""


@functools.cache
def scene():
    s = Scene()
    s.node.create_user("auditor@pve", "PVEAuditor")
    return s


@functools.cache
def disk_file():
    """An image whose boot sector greets on the screen and answers keys."""
    folder = tempfile.TemporaryDirectory(dir="/tmp", prefix="hn")
    with open(folder.name + "/greeter.raw", "wb") as f:
        f.write(boot_sector("screen"))
        f.truncate(MIB)
    return folder, folder.name + "/greeter.raw"


def click(page, selector, wanted="", timeout=20):
    """A real click on the first of these with this text."""
    x, y = wait_for(lambda: page.run(FIND, selector, wanted), timeout, f"{wanted!r} to click of {selector} at {page.url()}")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def menu(page, label, item):
    click(page, ".view button[popovertarget], .selection button[popovertarget]", label)
    click(page, ".menu:popover-open .menu-item", item)


def fill(page, selector, value):
    """What somebody types into a field, over what is in it."""
    click(page, selector)
    page.evaluate("document.activeElement.select()")
    type_keys(page, value)


def at(page, path, timeout=30):
    page.until(f"location.pathname == {path!r}", timeout)


def has(page, wanted, selector=".view", timeout=20):
    page.until(f"document.querySelector({selector!r})?.innerText.includes({wanted!r})", timeout)


def type_sign_in(page, user):
    """The field of the name has the focus already."""
    page.until("document.activeElement?.name == 'username'")
    type_keys(page, f"{user}@pve")
    key(page, "Tab")
    page.until("document.activeElement?.name == 'password'")
    type_keys(page, PASSWORD)
    key(page, "Enter")
    page.until("!!document.querySelector('.shell')")


def guests(s):
    return {g["vmid"]: g for g in s.node.api.get("/cluster/resources", type="vm")}


def bring_images(page):
    """The first step of the welcome: files of one's own."""
    click(page, ".welcome a", "Get an image")
    has(page, "Drop", timeout=20)
    files_into(page, ".drop input", f"{demo_folder()}/vmlinuz", f"{demo_folder()}/initrd.img", disk_file()[1])
    page.until("document.querySelectorAll('dialog .file-row').length == 3")
    page.becomes("[...document.querySelectorAll('dialog .file-row select')].map(e => e.value)", ["boot", "boot", "import"])
    click(page, "dialog button[type=submit]", "Upload")
    page.until("document.querySelectorAll('.upload.done').length == 3", 30)


def review_and_create(page, vmid):
    click(page, ".create-foot button", "Review")
    page.until("!!document.querySelector('.plan li')")
    click(page, ".create-foot button.main", "Create")
    at(page, f"/guests/{vmid}/console", 60)


def make_from_kernel(page):
    click(page, ".rail a", "Overview")
    click(page, ".welcome a", "Create a guest")
    click(page, ".card", "Linux kernel")
    click(page, ".choice", "vmlinuz")
    click(page, ".create-foot button", "Next")
    fill(page, "input[name=name]", "first")
    click(page, ".create-steps a", "Hardware")
    fill(page, "input[name=memory]", "256")
    review_and_create(page, 100)


def make_from_image(page):
    click(page, ".rail a", "Guests")
    click(page, ".view-head button", "New guest")
    click(page, ".card", "Cloud image")
    click(page, ".choice", "greeter")
    click(page, ".create-steps a", "Basics")
    fill(page, "input[name=name]", "greeter")
    review_and_create(page, 101)


def snapshot_and_back(page, s):
    click(page, ".tabs a", "Snapshots")
    click(page, ".view button", "Take snapshot")
    page.until("document.activeElement?.closest('dialog')")
    type_keys(page, "fresh")
    click(page, "dialog .check", "memory")
    click(page, "dialog button[type=submit]", "Take")
    has(page, "fresh", ".snapshots", 60)
    has(page, "memory", ".snapshots")
    click(page, ".tabs a", "Console")
    connected(page)
    click(page, ".console-surface")
    type_keys(page, "x")
    shows(page, "key x")
    click(page, ".tabs a", "Options")
    click(page, ".config button", "Edit Tags")
    page.until("!!document.activeElement?.closest('dialog') && document.activeElement.matches('input')")
    type_keys(page, "changed\n")
    page.until("!document.querySelector('dialog') && document.querySelector('.config').innerText.includes('changed')")
    click(page, ".tabs a", "Snapshots")
    click(page, ".snapshot a", "fresh")
    has(page, "changed", "table.compare")
    click(page, "dialog button", "Close")
    click(page, ".snapshot button", "Roll back to fresh")
    click(page, "dialog button.danger", "Roll back")
    page.until("!document.querySelector('dialog')", 90)
    page.until("document.querySelector('h1')?.innerText.includes('Running')", 60)
    assert "tags" not in s.node.api.get(s.node.vm(101, "/config"))
    click(page, ".tabs a", "Console")
    connected(page)
    shows(page, "key w")
    assert "key x" not in screen(page), screen(page)


@test(limit=240)
def the_first_hour():
    s = scene()
    page = s.page("/")
    type_sign_in(page, "admin")
    has(page, "Welcome")
    s.shoot(page, "newcomer-dashboard-empty")
    bring_images(page)
    s.shoot(page, "newcomer-uploaded")
    make_from_kernel(page)
    connected(page)
    make_from_image(page)
    connected(page)
    shows(page, "The screen is up.")
    click(page, ".console-surface")
    type_keys(page, "w")
    shows(page, "key w")
    click(page, ".rail a", "Guests")
    click(page, "tbody tr[id] a", "first")
    at(page, "/guests/100")
    click(page, ".tabs a", "Console")
    connected(page)
    click(page, ".console-surface")
    shell_answers(page)
    click(page, ".rail a", "Guests")
    click(page, "tbody tr[id] a", "greeter")
    snapshot_and_back(page, s)
    menu(page, "More actions", "Clone")
    page.until("!!document.querySelector('dialog .plan li')")
    fill(page, "dialog input[name=name]", "copy")
    click(page, "dialog button.main", "Clone")
    at(page, "/guests/102", 60)
    s.shoot(page, "newcomer-copy", modes=("light",))
    click(page, ".rail a", "Overview")
    s.shoot(page, "newcomer-dashboard")
    click(page, ".rail a", "Guests")
    page.until("document.querySelectorAll('tbody tr[id]').length == 3")
    click(page, "thead input")
    click(page, ".selection button", "Stop now")
    click(page, "dialog button[type=submit]", "Go ahead with 2")
    page.until("document.querySelector('dialog .bulk-sum')?.innerText.includes('2 of')", 30)
    s.shoot(page, "newcomer-bulk", modes=("light",))
    click(page, "dialog .dialog-foot button", "Close")
    for vmid, name in ((100, "first"), (101, "greeter"), (102, "copy")):
        click(page, "tbody tr[id] a", name)
        at(page, f"/guests/{vmid}")
        menu(page, "More actions", "Destroy")
        page.until("document.querySelector('dialog button.danger')?.disabled && document.activeElement?.matches('dialog input')")
        type_keys(page, name)
        click(page, "dialog button.danger", "Destroy")
        at(page, "/guests", 30)
        page.until(f"!document.querySelector('#guests-{vmid}')")
    assert not guests(s)
    click(page, ".rail a", "Overview")
    has(page, "Welcome")
    # The wizard asks whether this machine has it.
    check_console(page, allowed=["engine vmm"])
    page.close()


def offered(page):
    """Buttons and links of a view that might change something: all but those that close, sort, search and choose columns."""
    return page.evaluate("[...document.querySelectorAll('.view button:not(th button, .chip, .task-row, [role=checkbox])')].map(e => e.innerText || e.ariaLabel)")


@test(limit=120)
def an_auditor_is_offered_nothing():
    s = scene()
    page = s.page("/")
    type_sign_in(page, "auditor")
    has(page, "Needs attention")
    assert "Welcome" not in text(page), text(page)
    assert offered(page) == [], offered(page)
    click(page, ".rail a", "Guests")
    has(page, "No guests yet")
    assert "New guest" not in text(page, ".view"), offered(page)
    click(page, ".rail a", "Storage")
    click(page, "tbody tr[id] a", "local")
    page.until("document.querySelectorAll('.tabs a').length > 1")
    assert "Upload" not in text(page, ".tabs") and "Download" not in text(page, ".tabs"), text(page, ".tabs")
    assert offered(page) == [], offered(page)
    install_demo(s.node)
    s.node.create(100, name="first", memory=64, kernel="local:boot/vmlinuz", serial0="socket")
    page.until("location.pathname.startsWith('/storage')")
    click(page, ".rail a", "Guests")
    click(page, "tbody tr[id] a", "first")
    for tab in page.evaluate("[...document.querySelectorAll('.tabs a')].map(e => e.innerText)"):
        assert tab != "Console"
        click(page, ".tabs a", tab)
        page.until(f"document.querySelector('.tabs [aria-current]').innerText == {tab!r}")
        settled(page)
        # The monitor takes "info" of an auditor, as Proxmox VE's does.
        assert not [b for b in offered(page) if b not in ("Hour", *(["Send"] if tab == "Monitor" else []))], (tab, offered(page))
    key(page, "k", CTRL)
    page.until("!!document.querySelector('dialog.palette')")
    type_keys(page, "first start")
    has(page, "Nothing found", "dialog.palette")
    key(page, "Escape")
    click(page, ".rail a", "Overview")
    s.node.remove(100)
    check_console(page)
    page.close()


def tab_to(page, what, most=40):
    """Tab after Tab, until an element has the focus of which this is true; the keyboard must get there."""
    for _ in range(most):
        if page.evaluate(f"(e => {what})(document.activeElement)"):
            return
        key(page, "Tab")
    raise AssertionError(f"not reached by Tab: {what}; at {page.evaluate('document.activeElement.outerHTML')[:200]}")


def command(page, words):
    """What Ctrl-K finds first."""
    key(page, "k", CTRL)
    page.until("document.activeElement?.closest('dialog.palette')")
    type_keys(page, words)
    page.until("!!document.querySelector('dialog.palette [aria-selected=true]')")
    key(page, "Enter")


@test(limit=180)
def without_a_mouse():
    s = scene()
    install_demo(s.node)
    page = s.page("/")
    type_sign_in(page, "admin")
    command(page, "new guest")
    at(page, "/guests/new")
    page.until("document.activeElement?.name == 'source'")
    for _ in range(2):
        key(page, "ArrowRight")
    page.until("document.querySelector('input[value=kernel]').checked && !!document.querySelector('.choice input')")
    tab_to(page, "e.value?.includes('boot/vmlinuz')")
    key(page, " ")
    key(page, "Enter")
    page.until("document.activeElement?.name == 'name'")
    type_keys(page, "first")
    key(page, "Enter", CTRL)
    page.until("!!document.querySelector('.plan li')")
    key(page, "Enter", CTRL)
    at(page, "/guests/100/console", 60)
    connected(page)
    page.until("document.activeElement?.className == 'xterm-helper-textarea'")
    shell_answers(page)
    key(page, "F6", CTRL | SHIFT)
    page.until("!!document.activeElement.closest('.console-tools')")
    command(page, "first snapshots")
    at(page, "/guests/100/snapshots")
    tab_to(page, "e.innerText == 'Take snapshot'")
    key(page, "Enter")
    page.until("document.activeElement?.matches('dialog input')")
    type_keys(page, "fresh\n")
    has(page, "fresh", ".snapshots", 30)
    page.until("!document.querySelector('dialog')")
    tab_to(page, "e.ariaLabel == 'More actions'", 60)
    key(page, "Enter")
    page.until("!!document.activeElement.closest('.menu:popover-open')")
    for _ in range(12):
        if page.evaluate("document.activeElement.innerText.includes('Stop now')"):
            break
        key(page, "ArrowDown")
    key(page, "Enter")
    page.until("!!document.activeElement.closest('dialog')")
    tab_to(page, "e.matches('dialog button.danger')")
    key(page, "Enter")
    page.until("document.querySelector('h1').innerText.includes('Stopped')", 30)
    page.until("!document.querySelector('dialog')")
    tab_to(page, "e.ariaLabel == 'More actions'", 60)
    key(page, "Enter")
    page.until("!!document.activeElement.closest('.menu:popover-open')")
    key(page, "ArrowUp")
    page.until("document.activeElement.innerText.includes('Destroy')")
    key(page, "Enter")
    page.until("document.activeElement?.matches('dialog input')")
    type_keys(page, "first\n")
    at(page, "/guests", 30)
    wait_for(lambda: not guests(s), 20, "no guest")
    check_console(page)
    page.close()


if __name__ == "__main__":
    end_with(scene)
    main()
