"""A page of another site in a real browser, while its user is logged in to Holm: forms, fetch, images, scripts, frames,
WebSockets, uploads and a name that was bound to Holm's address afterwards. Once with the cookie as Proxmox VE's page sets it
(SameSite=Lax), so that the browser keeps it back, and once with SameSite=None, so that it is really sent and only Holm's
own rules are left. Each time nothing may change; and the same actions from Holm's own page must work, or the test
would prove nothing."""
import functools
import http.server
import os
import shutil
import ssl
import subprocess
import tempfile
import threading
import urllib.parse

from lib.browser import Browser, ScriptError, spki_of, spki_of_pem
from lib.guests import write_boot_sector
from lib.holm import PASSWORD, Node
from lib.tap import main, test

VMID = 150
CONSOLE = """url => new Promise(done => {
    const ws = new WebSocket(url, 'binary');
    ws.onopen = () => { done('open'); ws.close(); };
    ws.onerror = () => done('refused');
})"""
LOGIN = """async (user, password, sameSite) => {
    const reply = await fetch('/api2/json/access/ticket',
                              {method: 'POST', body: new URLSearchParams({username: user, password: password})});
    const data = (await reply.json()).data;
    document.cookie = `PVEAuthCookie=${encodeURIComponent(data.ticket)}; path=/; secure; SameSite=${sameSite}`;
    return data.CSRFPreventionToken;
}"""
OWN_CALL = """async (method, path, csrf, params) => {
    const reply = await fetch('/api2/json' + path, {method: method, headers: {CSRFPreventionToken: csrf},
                                                    body: method == 'DELETE' ? undefined : new URLSearchParams(params)});
    return reply.status;
}"""
# What a page elsewhere can try, each settled whatever becomes of it: 'read' means that the page saw the reply.
FETCHES = """async (base, node) => {
    const iso = new FormData();
    iso.append('content', 'iso');
    iso.append('filename', new Blob(['evil']), 'evil.iso');
    const form = params => ({method: 'POST', body: new URLSearchParams(params)});
    const json = {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{"groupid":"evil-json"}'};
    const tries = {
        simple_post: ['/access/groups', {...form({groupid: 'evil-post'}), mode: 'no-cors'}],
        text_post: ['/access/groups', {method: 'POST', mode: 'no-cors', body: '{"groupid":"evil-text"}'}],
        upload: [`/nodes/${node}/storage/local/upload`, {method: 'POST', mode: 'no-cors', body: iso}],
        start: [`/nodes/${node}/qemu/VMID/status/stop`, {method: 'POST', mode: 'no-cors'}],
        cors_post: ['/access/groups', form({groupid: 'evil-cors'})],
        cors_json: ['/access/groups', json],
        cors_put: ['/access/groups/kept', {method: 'PUT', body: new URLSearchParams({comment: 'evil'})}],
        cors_delete: ['/access/groups/kept', {method: 'DELETE'}],
        cors_header: ['/access/users', {headers: {CSRFPreventionToken: 'x'}}],
        cors_get: ['/access/users', {}],
        method_in_query: ['/access/groups?_method=POST&groupid=evil-query', {mode: 'no-cors'}],
    };
    const result = {};
    await Promise.all(Object.entries(tries).map(async ([name, [path, options]]) => {
        try {
            const reply = await fetch(base + '/api2/json' + path, {credentials: 'include', ...options});
            result[name] = reply.type == 'opaque' ? 'opaque' : 'read ' + (await reply.text()).slice(0, 50);
        } catch (e) { result[name] = 'blocked'; }
    }));
    return result;
}""".replace("VMID", str(VMID))
TAGS = """async urls => {
    const load = (tag, url) => new Promise(done => {
        const e = document.createElement(tag);
        e.onload = () => done('loaded');
        e.onerror = () => done('error');
        if (tag == 'link') { e.rel = 'stylesheet'; e.href = url; } else e.src = url;
        document.body.append(e);
    });
    return Promise.all(urls.map(([tag, url]) => load(tag, url)));
}"""
FRAME = """url => new Promise(done => {
    const f = document.createElement('iframe');
    f.onload = () => done(true);
    f.src = url;
    document.body.append(f);
})"""
FORM = """(url, params, type) => {
    const f = document.createElement('form');
    f.method = 'POST'; f.action = url; f.enctype = type;
    for (const [k, v] of Object.entries(params)) {
        const i = document.createElement('input');
        i.name = k; i.value = v;
        f.append(i);
    }
    document.body.append(f);
    f.submit();
}"""


class OtherSite:
    """An HTTPS server with one empty page: the site of somebody else."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="he", dir="/tmp")
        pem = self.folder + "/pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=evil.test", "-days", "2", "-keyout", pem, "-out", self.folder + "/crt"],
                       check=True, stderr=subprocess.DEVNULL)
        with open(self.folder + "/crt", encoding="utf-8") as f:
            self.spki = spki_of_pem(f.read())
        with open(self.folder + "/index.html", "w", encoding="utf-8") as f:
            f.write("<!doctype html><title>other</title><body>other")

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=self.folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder + "/crt", pem)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"https://evil.test:{self.server.server_address[1]}/"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Scene:
    """Holm with a page and a running guest, another site, and a browser that knows both names."""

    def __init__(self):
        self.site = OtherSite()
        self.web = tempfile.mkdtemp(prefix="hw", dir="/tmp")
        os.chmod(self.web, 0o755)
        with open(self.web + "/index.html", "w", encoding="utf-8") as f:
            f.write("<!doctype html><title>Holm</title><body>Holm")
        self.node = Node(options=["--web", self.web]).start()
        self.base = f"https://holm.test:{self.node.port}"
        node = self.node
        node.create(VMID, memory=64, serial0="socket", scsi0="local:1,format=raw")
        write_boot_sector(node, node.api.get(node.vm(VMID, "/config"))["scsi0"])
        node.api.run("POST", node.vm(VMID, "/status/start"))
        node.api.post("/access/groups", groupid="kept", comment="before")
        names = {"holm.test": "127.0.0.1", "evil.test": "127.0.0.1", "rebound.test": "127.0.0.1", "third.test": "127.0.0.1"}
        self.browser = Browser(names, trusted=[spki_of(node.port), self.site.spki])

    def log_in(self, same_site):
        """Holm's own page, with the cookie set; returns page and CSRF token."""
        own = self.browser.page(self.base + "/")
        csrf = own.run(LOGIN, "admin@pve", PASSWORD, same_site)
        cookie = own.cookies(self.base)["PVEAuthCookie"]
        assert cookie["secure"] and cookie["sameSite"] == same_site, cookie
        return own, csrf

    def console_url(self):
        """Address of a console with a ticket that is good, which a stranger would have to steal first."""
        answer = self.node.api.post(self.node.vm(VMID, "/termproxy"))
        query = urllib.parse.urlencode({"port": answer["port"], "vncticket": answer["ticket"]})
        path = self.node.vm(VMID, "/vncwebsocket").replace("{node}", self.node.name)
        return f"{self.base.replace('https', 'wss')}/api2/json{path}?{query}"

    def state(self):
        """What a write would change."""
        get = self.node.api.get
        return {"groups": get("/access/groups"), "users": get("/access/users"), "acl": get("/access/acl"),
                "content": get("/nodes/{node}/storage/local/content"), "guest": self.node.guest_state(VMID),
                "tasks": [t["upid"] for t in get("/cluster/tasks") if t["type"] != "vncproxy"]}  # consoles are our own

    def close(self):
        self.browser.close()
        self.site.close()
        try:
            self.node.remove(VMID)
            self.node.close()
        finally:
            shutil.rmtree(self.web, ignore_errors=True)


@functools.cache
def scene():
    return Scene()


def own_page_works(s, own, csrf):
    call = functools.partial(own.run, OWN_CALL)
    assert call("POST", "/access/groups", csrf, {"groupid": "mine"}) == 200
    assert "mine" in [g["groupid"] for g in s.node.api.get("/access/groups")]
    assert call("DELETE", "/access/groups/mine", csrf, {}) == 200
    assert call("POST", "/access/groups", "", {"groupid": "mine"}) == 401  # 401: no CSRF token
    assert own.run(CONSOLE, s.console_url()) == "open"


def fetches_are_harmless(s, other, is_sent):
    mark = len(other.events)
    result = other.run(FETCHES, s.base, s.node.name, timeout=40)
    assert not [k for k, v in result.items() if v.startswith("read")], result
    # Not even an opaque reply comes through: Cross-Origin-Resource-Policy.
    assert set(result.values()) == {"blocked"}, result
    cookies = other.sent_cookies("/api2/json")
    assert any("PVEAuthCookie" in c for c in cookies) == is_sent, cookies
    urls = {p["requestId"]: p["request"]["url"] for m, p in other.events[mark:] if m == "Network.requestWillBeSent"}
    statuses = [p["statusCode"] for m, p in other.events[mark:] if m == "Network.responseReceivedExtraInfo"
                and "/api2/json" in urls.get(p["requestId"], "") and "/access/users" not in urls[p["requestId"]]
                and "_method" not in urls[p["requestId"]]]
    assert statuses and all(x in (401, 403, 501, 506) for x in statuses), statuses
    # 403 says that the cookie came and the origin was wrong.
    assert (403 in statuses) == is_sent, statuses


def forms_are_harmless(s, is_sent):
    rows = [("/access/groups", {"groupid": "evil-form"}, "application/x-www-form-urlencoded"),
            ("/access/groups", {'{"groupid":"evil-form","comment":"': '"}'}, "text/plain"),
            ("/nodes/n1/storage/local/upload", {"content": "iso", "filename": "x"}, "multipart/form-data"),
            (f"/nodes/n1/qemu/{VMID}/status/stop", {}, "application/x-www-form-urlencoded")]
    pages = []
    for path, params, kind in rows:
        pages.append(s.browser.page(s.site.url))
        pages[-1].run(FORM, f"{s.base}/api2/json{path}", params, kind)
    for page, (path, _, kind) in zip(pages, rows):
        page.wait(lambda p=page, u=path: p.statuses(u), 20, f"a reply to the form for {path}")
        got = page.statuses(path)
        assert all(x in (400, 401, 403, 506) for x in got), (path, kind, got)
        assert any("PVEAuthCookie" in c for c in page.sent_cookies(path)) == is_sent, path
        page.close()


def tags_show_nothing(s, other):
    url = s.base + "/api2/json/access/users"
    got = other.run(TAGS, [["img", url], ["script", url], ["link", url], ["script", s.base + "/index.html"]])
    assert got == ["error"] * 4, got
    framed = s.site.url.replace("evil", "third") + "index.html"
    other.run(FRAME, framed)
    assert not other.failed_loads(framed), "a page that allows it is not framed: the next lines would prove nothing"
    for path in ("/", "/index.html"):
        other.run(FRAME, s.base + path)
        assert "net::ERR_BLOCKED_BY_RESPONSE" in other.failed_loads(s.base + path), path


def sockets_are_refused(s, other, is_sent):
    assert other.run(CONSOLE, s.console_url()) == "refused"
    assert other.run(CONSOLE, s.base.replace("https", "wss") + "/api2/json/cluster/events") == "refused"
    errors = [p["errorMessage"] for m, p in other.events if m == "Network.webSocketFrameError"]
    # With the cookie it is the origin that is wrong; without it there is no ticket.
    assert len(errors) == 2 and ("403" in errors[0] if is_sent else "Authentication" in errors[0]), errors


def attack(same_site):
    s = scene()
    is_sent = same_site == "None"
    own, csrf = s.log_in(same_site)
    own_page_works(s, own, csrf)
    before = s.state()
    other = s.browser.page(s.site.url)
    fetches_are_harmless(s, other, is_sent)
    forms_are_harmless(s, is_sent)
    sockets_are_refused(s, other, is_sent)
    tags_show_nothing(s, other)
    after = s.state()
    assert after == before, {k: v for k, v in after.items() if v != before[k]}
    own_page_works(s, own, csrf)  # the session is as good as before


@test(limit=120)
def another_site_with_a_lax_cookie():
    attack("Lax")


@test(limit=120)
def another_site_with_a_cookie_that_is_always_sent():
    attack("None")


@test(limit=60)
def a_name_bound_to_holm_afterwards_has_no_session():
    """DNS rebinding: a stranger's name leads to Holm. The browser takes it for another site, so no cookie goes along."""
    s = scene()
    s.log_in("None")
    page = s.browser.page(f"https://rebound.test:{s.node.port}/")
    assert page.evaluate("document.title") == "Holm"
    assert page.run(OWN_CALL, "POST", "/access/groups", "x", {"groupid": "rebound"}) == 401
    assert page.run("async () => (await fetch('/api2/json/access/users')).status") == 401
    assert page.run(CONSOLE, s.console_url().replace("holm.test", "rebound.test")) == "refused"
    assert not any(page.sent_cookies("rebound.test"))


@test(limit=60)
def scripts_in_the_page_do_not_run():
    """A stranger's text that became part of the page would find no way to run or to call home."""
    s = scene()
    page = s.browser.page(s.base + "/")
    page.evaluate("""document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.hit=1">');
                     { const e = document.createElement('script'); e.textContent = 'window.hit=2'; document.body.append(e); }""")
    page.pump(0.5)
    assert page.evaluate("window.hit === undefined")
    try:
        page.evaluate(f"fetch('{s.site.url}').then(() => 1)")
    except ScriptError:
        return
    raise AssertionError("the page may speak with other sites")


@test(limit=60)
def all_is_closed_cleanly():
    scene().close()


if __name__ == "__main__":
    main()
