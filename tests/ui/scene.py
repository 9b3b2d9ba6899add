"""What the tests of the page share: the built page, a holmd that serves it, Debian's chromium, and hands: typing, pressing,
looking. A screen's test begins with

    with Scene() as s:
        page = s.signed_in("/storage")

`shoot` writes a screenshot of a screen in light, dark and phone width to BUILD/screenshots, and fails where a screen is
wider than its window or axe-core finds something that people with other senses or hands would stumble over.
"""
import atexit
import functools
import json
import os
import subprocess
import tempfile

from lib import facts
from lib.browser import Browser, spki_of
from lib.holm import PASSWORD, Node, build_dir
from lib.npm import modules
from lib.tap import skip, test

AXE = "axe-core@4.14.1"
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
SHOTS = build_dir() + "/screenshots"
MODES = {"light": ("light", 1280, 800), "dark": ("dark", 1280, 800), "phone": ("light", 390, 844)}
TYPE = """(selector, value) => {
    const e = document.querySelector(selector);
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(e), 'value').set.call(e, value);
    e.dispatchEvent(new Event('input', {bubbles: true}));
}"""
PRESS = """(selector, text) => {
    const e = [...document.querySelectorAll(selector)].find(x => !x.disabled && (x.textContent + ' ' + x.ariaLabel).includes(text));
    if (!e) throw new Error('nothing to press: ' + selector + ' ' + text);
    e.click();
}"""


KEYS = {"Enter": ("\r", 13), "Escape": ("", 27), "Tab": ("", 9), "ArrowDown": ("", 40), "ArrowUp": ("", 38), "ArrowLeft": ("", 37),
        "ArrowRight": ("", 39), "F6": ("", 117), "Backspace": ("", 8), "Home": ("", 36), "End": ("", 35)}


@functools.cache
def site():
    """The built page; a folder that lives as long as this program."""
    folder = tempfile.TemporaryDirectory(dir="/tmp", prefix="hw")
    out = folder.name + "/web"
    done = subprocess.run([f"{facts.TOP}/tools/web", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if not os.path.exists(out + "/index.html"):
        skip(done.stderr.strip().split("\n")[-1])
    os.chmod(folder.name, 0o755)
    return folder, out


@functools.cache
def axe():
    """axe-core's text."""
    with open(modules(AXE) + "/axe-core/axe.min.js", encoding="utf-8") as f:
        return f.read()


class Scene:
    """A daemon with the page, and a browser. node_options: further ones of Node()."""

    def __init__(self, **node_options):
        self._open(Node(**node_options))

    def _open(self, node, hosts=()):
        """node: not started yet. hosts: further names and addresses that lead to it."""
        os.makedirs(SHOTS, exist_ok=True)
        self.node = node
        node.options += ["--web", site()[1]]
        node.start()
        self.base = f"https://holm.test:{node.port}"
        self.browser = Browser(dict.fromkeys(["holm.test", *hosts], "127.0.0.1"), trusted=[spki_of(node.port)])
        self.is_closed = False
        atexit.register(self.close)  # when single tests are run, the one that ends it is not

    def page(self, path="/"):
        page = self.browser.page()
        page.call("Log.enable")
        # Nothing of the test before, also when that failed.
        page.call("Network.clearBrowserCookies")
        page.call("Storage.clearDataForOrigin", origin=self.base, storageTypes="local_storage")
        page.open(self.base + path)
        return page

    def signed_in(self, path="/", user="admin"):
        page = self.page(path)
        sign_in(page, user)
        return page

    def close(self):
        if self.is_closed:
            return
        self.is_closed = True
        self.browser.close()
        self.node.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def shoot(self, page, name, path=None, ready=None, modes=("light", "dark", "phone")):
        """A screen in each mode, into SHOTS/NAME-MODE.png. path: where it is; None: as it is now, without a reload.
        ready: a JavaScript expression that is true when there is something to see."""
        found = []
        for i, mode in enumerate(modes):
            # What a phone is, the page looks up when it is loaded; dark it becomes as it is.
            is_new = i == 0 or "phone" in (mode, modes[i - 1])
            show(page, mode, self.base + path if path and is_new else None, ready)
            wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} in {mode} is {wide} px too wide"
            page.screenshot(f"{SHOTS}/{name}-{mode}.png")
            if mode != "phone":
                found += [f"{name} {mode}: {x}" for x in complaints(page)]
        show(page, "light", None, None)
        assert not found, "\n".join(found)


def end_with(scene):
    """The last test of a program: what the daemon has logged and lost is looked at when it ends. scene: gives the Scene."""
    @test(limit=60)
    def ends():
        scene().close()
        site()[0].cleanup()


def complaints(page):
    """What axe finds on the page as it is."""
    page.evaluate("window.axe || (() => {" + axe() + "})();0")
    result = page.evaluate(f"axe.run({{runOnly: {json.dumps(AXE_RULES)}}})", 60)
    assert len(result["passes"]) > 5, result
    return [f"{v['id']}: {n['html'][:150]}: {n['failureSummary'][:250]}" for v in result["violations"] for n in v["nodes"][:2]]


def sign_in(page, user="admin", password=PASSWORD):
    page.until("!!document.querySelector('input[name=password]')")
    page.run(TYPE, "input[name=username]", f"{user}@pve")
    page.run(TYPE, "input[name=password]", password)
    page.run(PRESS, "button[type=submit]", "")
    if password == PASSWORD:
        page.until("!!document.querySelector('.shell, div.bare')")


def sign_out(page):
    page.until("!!document.querySelector('.menu-item')")
    page.was_left = True  # what was asked just before comes too late
    mark = page.loads
    page.run(PRESS, ".menu-item", "Sign out")
    page.wait(lambda: page.loads > mark, 20, "the page to load anew")
    page.until("!!document.querySelector('input[name=password]')")


def text(page, selector="body"):
    return page.evaluate(f"document.querySelector({selector!r})?.innerText ?? ''")


# What a page is told about a guest that it has just made or changed, or is destroying, when it asks a moment too late; the
# console is opened before the guest's process is there, and tries again.
RACES = ["not running", "vncwebsocket", "does not exist", "already exists", "is locked", "a template to a template"]

# What calls and the event stream are told when the session has ended.
OUT = ["401", "HTTP Authentication failed"]


def check_console(page, allowed=()):
    """No exception, no error in the console, nothing refused by the policy. allowed: parts of messages that may be there."""
    page.pump(0.2)
    bad = [p["exceptionDetails"]["text"] for m, p in page.events if m == "Runtime.exceptionThrown"]
    bad += [p["entry"]["text"] for m, p in page.events if m == "Log.entryAdded" and p["entry"]["level"] == "error"]
    bad = [b for b in bad if not any(a in b for a in (*allowed, *RACES, *(OUT if page.was_left else [])))]
    assert not bad, bad


def show(page, mode, url, ready):
    scheme, width, height = MODES[mode]
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mode == "phone")
    page.call("Emulation.setTouchEmulationEnabled", enabled=mode == "phone")
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    if url:
        page.open(url)
    if ready:
        page.until(f"!!({ready})")
    settled(page)


def visit(page, path):
    """Another view, as a link would lead to it: without a reload."""
    page.evaluate(f"history.pushState(null, '', {json.dumps(path)}); dispatchEvent(new PopStateEvent('popstate'))")
    settled(page)


def settled(page):
    """Until a view is drawn and waits for nothing."""
    page.until("!!document.querySelector('.view, .signin, .bare') && !document.querySelector('.loading')")
    page.evaluate("document.fonts.ready.then(() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(true)))))")


def type_into(page, selector, value):
    """Sets a field's value as typing does."""
    page.until(f"!!document.querySelector({json.dumps(selector)})")
    page.run(TYPE, selector, value)


def files_into(page, selector, *paths):
    """Chooses files, as the browser's dialog does."""
    page.until(f"!!document.querySelector('{selector}')")
    found = page.call("Runtime.evaluate", expression=f"document.querySelector('{selector}')", returnByValue=False)
    page.call("DOM.setFileInputFiles", files=list(paths), objectId=found["result"]["objectId"])


def choose(page, selector, value):
    """Chooses of a <select>, by value."""
    page.until(f"[...(document.querySelector({json.dumps(selector)})?.options ?? [])].some(o => o.value === {json.dumps(value)})")
    page.run("""(selector, value) => {
        const e = document.querySelector(selector);
        e.value = value;
        e.dispatchEvent(new Event('change', {bubbles: true}));
    }""", selector, value)


def press(page, selector, text=""):
    """Clicks the first element of these that holds the text or is labelled with it, once there is one that can be."""
    page.until(f"[...document.querySelectorAll({json.dumps(selector)})].some(x => !x.disabled && (x.textContent + ' ' + x.ariaLabel).includes({json.dumps(text)}))")
    page.run(PRESS, selector, text)


def key(page, name, modifiers=0):
    """A real key press, to whatever has the focus. modifiers: 1 Alt, 2 Ctrl, 4 Meta, 8 Shift."""
    # The numbers of punctuation marks are those of other keys: "$" would be Home.
    text, number = KEYS.get(name, (name, ord(name.upper()) if len(name) == 1 and (name.isalnum() or name == " ") else 0))
    code = name if name in KEYS else f"Digit{name}" if name.isdigit() else f"Key{name.upper()}" if name.isalpha() else "Space" if name == " " else ""
    for kind in ("keyDown", "keyUp"):
        extra = {"text": text} if kind == "keyDown" and text and not modifiers & 7 else {}
        page.call("Input.dispatchKeyEvent", type=kind, key=name, code=code, windowsVirtualKeyCode=number, modifiers=modifiers, **extra)


def type_keys(page, text):
    """Real key presses of a text."""
    for char in text:
        key(page, "Enter" if char == "\n" else char)
