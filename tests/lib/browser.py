"""A real browser for tests: headless Chromium, driven over its DevTools protocol.

    with Browser({"holm.test": "127.0.0.1"}, trusted=[spki]) as b:
        page = b.page("https://holm.test:8006/")
        assert page.evaluate("document.title") == "Holm"

Names in `hosts` lead to the given addresses and every other name nowhere, so a page can be of any site. `trusted` are
public keys (spki_of) whose certificates are accepted whatever else is wrong with them; all others are checked. The
profile is a temporary folder; the browser ends with the object, by its pid.
"""
import base64
import ctypes
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.request

import websocket

from lib.wait import slow, wait_for

EVENTS_MAX = 5000
# HOLM_UI_LAG=400: answers and messages reach a page up to so many milliseconds late, each by another time, so that answers
# come in another order in each run; and its processor is a third as fast. Finds what a page shows, and a test takes for
# granted, before everything is there. With HOLM_SLOW=3.
LAG_MS = int(os.environ.get("HOLM_UI_LAG", "0"))
LAG = """{
    const fetchNow = window.fetch, some = () => Math.random() < 0.4 ? 0 : Math.random() * %d;
    const late = () => new Promise((done) => setTimeout(done, some()));
    window.fetch = async (...request) => { const reply = await fetchNow(...request); await late(); return reply; };
    const { get, set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, 'onmessage');
    Object.defineProperty(WebSocket.prototype, 'onmessage', { get, set(take) {
        let before = Promise.resolve();
        const hand = (e) => { before = Promise.all([before, late()]).then(() => { if (this.onmessage === hand) take.call(this, e); }); };
        set.call(this, take && hand);
    } });
}"""


def spki_of(port):
    """SHA-256 of the public key that a TLS server on 127.0.0.1 shows, as Chromium's pin option wants it."""
    return spki_of_pem(ssl.get_server_certificate(("127.0.0.1", port)))


def spki_of_pem(pem):
    key = subprocess.run(["openssl", "x509", "-noout", "-pubkey"], input=pem.encode(), stdout=subprocess.PIPE, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, stdout=subprocess.PIPE, check=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


PR_SET_PDEATHSIG = 1


def _end_with_parent():
    """A test that is killed leaves no browser behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class ScriptError(AssertionError):
    """A script of evaluate() threw."""


class Browser:
    def __init__(self, hosts=None, trusted=(), window=(1280, 800)):
        self.folder = tempfile.mkdtemp(prefix="hb", dir="/tmp")
        self._write_preferences()
        rules = [f"MAP {name} {address}" for name, address in (hosts or {}).items()]
        rules += ["EXCLUDE 127.0.0.1", "MAP * ~NOTFOUND"]
        argv = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
                "--no-proxy-server", f"--user-data-dir={self.folder}", "--remote-debugging-port=0",
                "--remote-debugging-address=127.0.0.1", f"--host-resolver-rules={', '.join(rules)}",
                f"--window-size={window[0]},{window[1]}"]
        if trusted:
            argv.append(f"--ignore-certificate-errors-spki-list={','.join(trusted)}")
        env = {**os.environ, "HOME": self.folder, "XDG_CONFIG_HOME": self.folder, "XDG_CACHE_HOME": self.folder}
        self.pages = []
        with open(self.folder + "/log", "wb") as log:
            self.process = subprocess.Popen(argv + ["about:blank"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=env, start_new_session=True, preexec_fn=_end_with_parent)
        try:
            self.port = wait_for(self._read_port, 60, "the browser to start")
        except AssertionError:
            self.close()
            raise

    def _write_preferences(self):
        """Cookies go to other sites' requests as their SameSite says: no stricter rule of the browser hides what a
        server does about it."""
        os.makedirs(self.folder + "/Default")
        with open(self.folder + "/Default/Preferences", "w", encoding="utf-8") as f:
            json.dump({"profile": {"block_third_party_cookies": False, "cookie_controls_mode": 0}}, f)

    def _read_port(self):
        if self.process.poll() is not None:
            with open(self.folder + "/log", encoding="utf-8", errors="replace") as f:
                raise AssertionError(f"the browser ended with {self.process.returncode}: {f.read()[-2000:]}")
        try:
            with open(self.folder + "/DevToolsActivePort", encoding="utf-8") as f:
                lines = f.read().split("\n")
        except FileNotFoundError:
            return None
        return int(lines[0]) if len(lines) > 1 else None

    def page(self, url="about:blank"):
        """A new tab, loaded."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=slow(30)) as reply:
            target = json.load(reply)
        page = Page(target["webSocketDebuggerUrl"])
        self.pages.append(page)
        page.call("Page.bringToFront")  # a tab that nobody sees is not painted
        if url != "about:blank":
            page.open(url)
        return page

    def close(self):
        for page in self.pages:
            page.close()
        if self.process.poll() is None:
            # The session that was made for it: its zygotes and renderers end with it.
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Page:
    """A tab. Events of the network, the page and the console are kept in `events` (method, params)."""

    def __init__(self, url):
        self.ws = websocket.create_connection(url, timeout=slow(30), suppress_origin=True)
        self.last_id = 0
        self.events = []  # the newest
        self.loads = 0
        self.was_left = False  # somebody has signed out
        for domain in ("Page", "Runtime", "Network"):
            self.call(domain + ".enable")
        if LAG_MS:
            self.call("Page.addScriptToEvaluateOnNewDocument", source=LAG % LAG_MS)
            self.call("Emulation.setCPUThrottlingRate", rate=3)

    def close(self):
        self.ws.close()

    def _receive(self, timeout):
        """One message; an event is kept, an answer returned; None at the timeout."""
        self.ws.settimeout(max(timeout, 0.01))
        try:
            message = json.loads(self.ws.recv())
        except websocket.WebSocketTimeoutException:
            return None
        if "id" in message:
            return message
        self.events.append((message["method"], message.get("params", {})))
        self.loads += message["method"] == "Page.loadEventFired"
        del self.events[:-EVENTS_MAX]
        return None

    def call(self, method, timeout=30, **params):
        """A command of the DevTools protocol; its result."""
        self.last_id += 1
        self.ws.send(json.dumps({"id": self.last_id, "method": method, "params": params}))
        deadline = time.monotonic() + slow(timeout)
        while time.monotonic() < deadline:
            message = self._receive(deadline - time.monotonic())
            if message and message["id"] == self.last_id:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error'].get('message')}")
                return message["result"]
        raise AssertionError(f"{method}: no answer within {timeout} s")

    def pump(self, seconds=0.05):
        """Takes in what events have come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._receive(end - time.monotonic())

    def wait(self, condition, timeout=20, what=None):
        """Until condition(), looking at events meanwhile."""
        def look():
            self.pump()
            return condition()
        return wait_for(look, timeout, what)

    def open(self, url, timeout=30):
        """Loads a page; what it answers may be an error page."""
        mark = self.loads
        result = self.call("Page.navigate", url=url)
        if "errorText" not in result:
            self.wait(lambda: self.loads > mark, timeout, f"{url} to load")
        return result.get("errorText")

    def evaluate(self, script, timeout=30):
        """Value of an expression, awaited when it is a promise. ScriptError when it throws."""
        result = self.call("Runtime.evaluate", timeout=timeout, expression=script, awaitPromise=True, returnByValue=True,
                           userGesture=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise ScriptError(details.get("exception", {}).get("description") or details.get("text"))
        return result["result"].get("value")

    def run(self, function, *args, timeout=30):
        """Calls a JavaScript function (its text) with JSON arguments."""
        return self.evaluate(f"({function})({', '.join(map(json.dumps, args))})", timeout)

    def _soon(self, script, is_right, timeout, what):
        """Until what an expression gives is right; its value. One that throws is not right yet: what it looks for may not
        be drawn, or another page is being loaded."""
        last = []

        def look():
            try:
                last[:] = [self.evaluate(script)]
                return is_right(last[0])
            except AssertionError as e:
                last[:] = [e]
                return False
        try:
            wait_for(look, timeout)
        except AssertionError:
            raise AssertionError(f"not within {timeout} s: {what}; it was {last[0]!r}") from None
        return last[0]

    def until(self, script, timeout=20):
        """Until an expression is true; its value."""
        return self._soon(script, bool, timeout, script)

    def becomes(self, script, value, timeout=20):
        """Until an expression has this value."""
        self._soon(script, lambda found: found == value, timeout, f"{script} == {value!r}")

    def says(self, selector, *texts, timeout=20):
        """Until the first element of a selector shows all these texts; what it shows."""
        return self._soon(f"document.querySelector({json.dumps(selector)}).innerText", lambda found: all(t in found for t in texts),
                          timeout, f"{selector} says {', '.join(texts)}")

    def url(self):
        return self.evaluate("location.href")

    def cookies(self, url):
        return {c["name"]: c for c in self.call("Network.getCookies", urls=[url])["cookies"]}

    def statuses(self, part):
        """Statuses of the replies whose URL contains a text, in order."""
        self.pump()
        return [p["response"]["status"] for m, p in self.events
                if m == "Network.responseReceived" and part in p["response"]["url"]]

    def sent_cookies(self, part):
        """For each request whose URL contains a text: the names of the cookies that went with it."""
        self.pump()
        urls = {p["requestId"]: p["request"]["url"] for m, p in self.events if m == "Network.requestWillBeSent"}
        return [[c["cookie"]["name"] for c in p["associatedCookies"] if not c["blockedReasons"]]
                for m, p in self.events if m == "Network.requestWillBeSentExtraInfo" and part in urls.get(p["requestId"], "")]

    def failed_loads(self, url):
        """Why requests for exactly this address brought nothing: the browser's words, in order."""
        self.pump()
        ids = {p["requestId"] for m, p in self.events if m == "Network.requestWillBeSent" and p["request"]["url"] == url}
        return [p["errorText"] for m, p in self.events if m == "Network.loadingFailed" and p["requestId"] in ids]

    def screenshot(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
