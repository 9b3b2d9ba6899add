"""A terminal on a guest through termproxy and vncwebsocket, as the xterm.js page does it."""
import ssl
import time
import urllib.parse

import websocket

from lib import facts
from lib.wait import slow


class Console:
    """with Console(client, "/nodes/{node}/qemu/100") as c: c.expect("login:"); c.type("root\\n")"""

    def __init__(self, client, guest, serial=None, base=None):
        self.client, self.guest = client, guest.replace("{node}", client.node)
        self.text = ""
        self.answer = client.post(guest + "/termproxy", {"serial": serial} if serial else {})
        self.ws = self.connect(self.answer, base)
        self.ws.send_binary(f"{self.answer['user']}:{self.answer['ticket']}\n".encode())
        first = self._receive(10)
        assert first.startswith(b"OK"), f"termproxy answered {first!r}"
        self.text = first[2:].decode("utf-8", "replace")

    def connect(self, answer, base=None):
        query = urllib.parse.urlencode({"port": answer["port"], "vncticket": answer["ticket"]})
        url = f"{(base or self.client.base).replace('https', 'wss')}/api2/json{self.guest}/vncwebsocket?{query}"
        headers = [f"{k}: {v}" for k, v in self.client.http.headers.items() if k in ("Authorization", "Cookie")]
        path = f"{self.guest}/vncwebsocket"
        try:
            ws = websocket.create_connection(url, subprotocols=["binary"], header=headers, timeout=slow(20),
                                             sslopt={"cert_reqs": ssl.CERT_NONE, "check_hostname": False},
                                             suppress_origin=True)
        except websocket.WebSocketBadStatusException as e:
            facts.record("GET", path, e.status_code, [])
            raise
        facts.record("GET", path, 200, [])
        return ws

    def _receive(self, timeout):
        self.ws.settimeout(slow(timeout))
        data = self.ws.recv()
        return data if isinstance(data, bytes) else data.encode()

    def expect(self, wanted, timeout=60):
        """Reads until `wanted` has been seen; returns the text up to its end and forgets it."""
        deadline = time.monotonic() + slow(timeout)
        while wanted not in self.text:
            left = deadline - time.monotonic()
            try:
                # A short one: the server's pings start the limit of a receive again.
                data = self._receive(min(left, 1)) if left > 0 else None
            except websocket.WebSocketTimeoutException:
                continue
            if data is None:
                raise AssertionError(f"console never showed {wanted!r}; last: {self.text[-400:]!r}")
            if not data:
                raise AssertionError(f"console ended before {wanted!r}; last: {self.text[-400:]!r}")
            self.text += data.decode("utf-8", "replace")
        seen, _, self.text = self.text.partition(wanted)
        return seen + wanted

    def type(self, text):
        data = text.encode()
        self.ws.send_binary(b"0:%d:%s" % (len(data), data))

    def resize(self, columns, rows):
        self.ws.send_binary(b"1:%d:%d:" % (columns, rows))

    def keep_alive(self):
        self.ws.send_binary(b"2")

    def close(self):
        self.ws.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
