"""Every screen in every language at the width of a desk and of a phone: none is wider than its window. In the
pseudo-language, whose texts are longer and in brackets, what is not in brackets must be data: something that a reply of the
API said, or a number, a date, a unit."""
import functools
import re

from lib.tap import main, test
from ui.scene import Scene, check_console, end_with, show, sign_in, visit

GUEST_TABS = ["summary", "console", "hardware", "cloudinit", "options", "snapshots", "agent", "tasks", "permissions"]
NODE_TABS = ["summary", "network", "disks", "system", "logs", "tasks"]
ACCESS_TABS = ["users", "groups", "roles", "permissions", "tokens", "realms", "pools"]
VIEWS = ["/", "/guests", "/guests/new", *(f"/guests/100/{tab}" for tab in GUEST_TABS), "/storage", "/storage/n1/local", "/nodes",
         *(f"/nodes/n1/{tab}" for tab in NODE_TABS), *(f"/access/{tab}" for tab in ACCESS_TABS), "/account", "/tasks", "/audit", "/settings"]
# Keeps what the API has said: data need not be translated.
LISTEN = """(() => {
    window.said = [];
    const ask = window.fetch;
    window.fetch = async (...args) => {
        const reply = await ask(...args);
        reply.clone().text().then(text => window.said.push(text)).catch(() => 0);
        return reply;
    };
    const Socket = window.WebSocket;
    window.WebSocket = class extends Socket {
        constructor(...args) {
            super(...args);
            this.addEventListener('message', e => window.said.push(typeof e.data === 'string' ? e.data : new TextDecoder().decode(e.data)));
        }
    };
})()"""
RAW = """(() => {
    const out = [];
    const walker = document.createTreeWalker(document.querySelector('#app'), NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode())
        if (node.parentElement.checkVisibility() && !node.parentElement.closest('code, pre, kbd, .mono, .xterm, option, [translate=no]'))
            out.push(node.data);
    for (const e of document.querySelectorAll('#app [aria-label], #app [placeholder], #app [title]'))
        out.push(e.ariaLabel || '', e.getAttribute('placeholder') || '', e.getAttribute('title') || '');
    return {texts: out, said: window.said.join(' ')};
})()"""
# Words of Intl's formats, units, proper names.
FREE = set("""holm ctrl escape english deutsch français admin second seconds minute minutes hour hours yesterday week weeks month months year
    years seabios other january february march april june july august september october november december https http linux windows proxmox""".split())

# Names that are the same in every language.
NAMES = {"Standard VGA", "/etc/hosts", "qmstart, qmclone, …"}


@functools.cache
def scene():
    s = Scene()
    s.node.create(100, name="web-1", memory=64, tags="prod;web", description="front of the shop")
    s.node.create(101, name="a-guest-with-a-rather-long-name-that-somebody-gave-it", memory=64)
    s.node.api.run("POST", s.node.vm(100, "/snapshot"), {"snapname": "before", "description": "the upgrade"})
    return s


def untranslated(page):
    found = page.evaluate(RAW)
    said = found["said"].lower()
    bad = set()
    for text in found["texts"]:
        left = re.sub(r"\[[^\[\]]*~+\]", " ", text)
        words = {w for w in re.findall(r"[a-zA-Zäöüéè]{4,}", left.lower())}
        if text.strip() not in NAMES and any(w not in FREE and w not in said for w in words):
            bad.add(text.strip()[:100])
    return bad


def signed_in(s):
    page = s.page("/")
    page.call("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)
    sign_in(page)
    return page


def in_language(lang):
    s = scene()
    page = signed_in(s)
    page.evaluate(f"localStorage.setItem('holm.language', '\"{lang}\"')")
    bad = []
    for mode in ("light", "phone"):
        show(page, mode, s.base + "/", None)
        for path in VIEWS:
            visit(page, path)
            wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            if wide > 0:
                bad.append(f"{path} ({mode}) is {wide} px too wide")
            if lang == "xx":
                bad += [f"{path} ({mode}): {text!r}" for text in sorted(untranslated(page))]
    check_console(page, allowed=["is not installed on this node"])  # LVM, ZFS
    page.close()
    assert not bad, "\n" + "\n".join(bad)


@test(limit=120)
def german():
    in_language("de")


@test(limit=120)
def french():
    in_language("fr")


@test(limit=120)
def chinese():
    in_language("zh")


@test(limit=120)
def nothing_is_left_in_english():
    in_language("xx")


if __name__ == "__main__":
    end_with(scene)
    main()
