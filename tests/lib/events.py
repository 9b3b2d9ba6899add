"""A client of /cluster/events that keeps the model which a page would keep, by doc/events.md alone."""
import json
import ssl
import time
import urllib.parse

import websocket

from lib import facts
from lib.wait import slow

PATH = "/cluster/events"


class Ended(Exception):
    """The server closed; code is WebSocket's, or None."""

    def __init__(self, code):
        super().__init__(f"the stream ended with {code}")
        self.code = code


class Events:
    """with Events(client) as ev: ev.settle(); ev.model["guest"]["qemu/100"]["status"]"""

    def __init__(self, client, model=None, headers=(), sockopt=(), **params):
        query = urllib.parse.urlencode(params)
        url = f"{client.base.replace('https', 'wss')}/api2/json{PATH}{'?' + query if query else ''}"
        mine = [f"{k}: {v}" for k, v in client.http.headers.items() if k in ("Authorization", "Cookie")]
        try:
            self.ws = websocket.create_connection(url, header=mine + list(headers), timeout=slow(20),
                                                  sockopt=list(sockopt), suppress_origin=True,
                                                  sslopt={"cert_reqs": ssl.CERT_NONE, "check_hostname": False})
        except websocket.WebSocketBadStatusException as e:
            facts.record("GET", PATH, e.status_code, [])
            raise
        facts.record("GET", PATH, 200, [])
        self.model = model if model is not None else {k: {} for k in ("guest", "node", "storage", "task")}
        self.pending = b""
        self.cursor = None
        self.hellos = []
        self.lines = []  # all that came
        self.stale = None
        self.is_at_its_place = True  # the model is what it was at the cursor: what a delta takes away is there

    def _more(self, timeout):
        self.ws.settimeout(max(0.01, timeout))
        opcode, data = self.ws.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise Ended(int.from_bytes(data[:2], "big") if len(data) >= 2 else None)
        self.pending += data

    def next(self, timeout=20):
        """One line, applied; None at the limit."""
        deadline = time.monotonic() + slow(timeout)
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            try:
                self._more(left)
            except websocket.WebSocketTimeoutException:
                return None
            except (websocket.WebSocketConnectionClosedException, OSError):
                raise Ended(None) from None
        line, _, self.pending = self.pending.partition(b"\n")
        message = json.loads(line)
        self.lines.append(message)
        self._apply(message)
        return message

    def _apply(self, m):
        kind, what = m.get("kind"), m["type"]
        if what == "hello":
            assert not (self.hellos and m["is_complete"]), "complete in the middle of a stream"
            self.hellos.append(m["is_complete"])
            self.stale = None if m["is_complete"] else {(k, i) for k, rows in self.model.items() for i in rows}
        elif what == "row":
            self.model[kind][m["id"]] = dict(m["row"])  # lines stay as they came
            if self.stale:
                self.stale.discard((kind, m["id"]))
        elif what == "delta":
            row = self.model[kind][m["id"]]  # a delta of something unknown is a defect
            row.update(m["set"])
            for name in m.get("unset", []):
                if self.is_at_its_place or name in row:
                    del row[name]
        elif what == "removed":
            assert m["id"] in self.model[kind] or not self.is_at_its_place, f"{m['id']} was removed and never told"
            self.model[kind].pop(m["id"], None)
        elif what == "ping":
            self.cursor = m["cursor"]
            for k, i in self.stale or ():
                del self.model[k][i]
            self.stale = None
        else:
            assert what == "bye", m

    def settle(self, timeout=30):
        """Up to the next ping."""
        while True:
            m = self.next(timeout)
            assert m, f"no ping within {timeout} s; the last lines: {self.lines[-3:]}"
            if m["type"] == "ping":
                return self

    def until(self, condition, timeout=30, what=None):
        """Reads until condition(model) holds."""
        deadline = time.monotonic() + slow(timeout)
        while not condition(self.model):
            left = deadline - time.monotonic()
            m = self.next(left) if left > 0 else None
            assert m, f"not told within {timeout} s: {what or condition}; the last lines: {self.lines[-5:]}"
        return self

    def guest(self, vmid):
        return self.model["guest"].get(f"qemu/{vmid}")

    def close(self):
        self.ws.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ws.close(timeout=1)
