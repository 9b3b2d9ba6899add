"""A viewer of a guest's screen: RFB 3.3 to 3.8 (RFC 6143) through vncproxy and vncwebsocket, as VNC pages do it."""
import ssl
import struct
import subprocess
import time
import urllib.parse

import websocket

from lib import facts
from lib.wait import slow

RAW, DESKTOP_SIZE = 0, -223
SECURITY_VNC = 2
FONT_FILE = "/usr/share/seabios/vgabios-stdvga.bin"
GLYPH_A = bytes.fromhex("000010386cc6c6fec6c6c6c600000000")
ROWS = 16  # of a character cell


class Refused(Exception):
    """The password was not accepted, or the connection ended before it was judged."""


def answer_to(challenge, password):
    """VNC's proof: DES of the challenge; the key is the password's first 8 bytes, the bits of each in reverse."""
    key = bytes(int(f"{b:08b}"[::-1], 2) for b in password.encode()[:8].ljust(8, b"\0"))
    done = subprocess.run(["openssl", "enc", "-des-ecb", "-nopad", "-K", key.hex(), "-provider", "legacy", "-provider",
                           "default"], input=challenge, capture_output=True, check=True)
    return done.stdout


def open_websocket(client, guest, answer, base=None, protocols=("binary",)):
    guest = guest.replace("{node}", client.node)
    query = urllib.parse.urlencode({"port": answer["port"], "vncticket": answer["ticket"]})
    url = f"{(base or client.base).replace('https', 'wss')}/api2/json{guest}/vncwebsocket?{query}"
    headers = [f"{k}: {v}" for k, v in client.http.headers.items() if k in ("Authorization", "Cookie")]
    try:
        ws = websocket.create_connection(url, subprotocols=list(protocols), header=headers, timeout=slow(20),
                                         sslopt={"cert_reqs": ssl.CERT_NONE, "check_hostname": False},
                                         suppress_origin=True)
    except websocket.WebSocketBadStatusException as e:
        facts.record("GET", f"{guest}/vncwebsocket", e.status_code, [])
        raise
    facts.record("GET", f"{guest}/vncwebsocket", 200, [])
    return ws


class Viewer:
    """with Viewer(client, "/nodes/{node}/qemu/100") as v: v.login(); v.expect("text"); v.type("x")"""

    def __init__(self, client, guest, version=b"RFB 003.008\n"):
        self.version = version
        self.answer = client.post(guest + "/vncproxy", {"websocket": 1})
        self.ws = open_websocket(client, guest, self.answer)
        self.pending = b""
        self.width = self.height = 0
        self.pixels = bytearray()
        self.name = None

    # --- bytes ---

    def _more(self, timeout):
        self.ws.settimeout(slow(timeout))
        opcode, data = self.ws.recv_data()
        assert opcode in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_CLOSE), f"frame of kind {opcode}"
        return data if opcode == websocket.ABNF.OPCODE_BINARY else b""

    def read(self, n, timeout=20):
        while len(self.pending) < n:
            data = self._more(timeout)
            if not data:
                raise EOFError(f"the console ended, {n} bytes were expected")
            self.pending += data
        taken, self.pending = self.pending[:n], self.pending[n:]
        return taken

    def send(self, data):
        self.ws.send_binary(data)

    # --- handshake ---

    def challenge(self):
        """Up to the server's challenge."""
        hello = self.read(12)
        assert hello == b"RFB 003.008\n", hello
        self.send(self.version)
        if self.version < b"RFB 003.007":
            assert struct.unpack(">I", self.read(4))[0] == SECURITY_VNC
        else:
            types = self.read(self.read(1)[0])
            assert types == bytes([SECURITY_VNC]), f"security types {types}"
            self.send(types)
        return self.read(16)

    def login(self, password=None):
        try:
            challenge = self.challenge()
            self.send(answer_to(challenge, password or self.answer["password"]))
            result = struct.unpack(">I", self.read(4))[0]
        except (EOFError, OSError, websocket.WebSocketConnectionClosedException) as e:
            raise Refused(str(e)) from None
        if result:
            raise Refused(f"security result {result}")
        self.send(b"\x00")  # not shared: must not throw out the others
        self.width, self.height = struct.unpack(">HH", self.read(4))
        self.read(16)
        self.name = self.read(struct.unpack(">I", self.read(4))[0]).decode()
        # 32 bits, little-endian, true colour, blue in the lowest byte
        self.send(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.send(struct.pack(">BxHii", 2, 2, RAW, DESKTOP_SIZE))
        self._resize(self.width, self.height)
        return self

    # --- picture ---

    def _resize(self, width, height):
        self.width, self.height = width, height
        self.pixels = bytearray(width * height)  # 1 = lit

    def _rectangle(self):
        x, y, w, h, encoding = struct.unpack(">HHHHi", self.read(12))
        if encoding == DESKTOP_SIZE:
            self._resize(w, h)
            return
        assert encoding == RAW, f"encoding {encoding} was not asked for"
        data = self.read(w * h * 4)
        for row in range(h):
            line = data[row * w * 4:(row + 1) * w * 4]
            lit = bytes(1 if sum(line[i:i + 3]) > 300 else 0 for i in range(0, len(line), 4))
            begin = (y + row) * self.width + x
            self.pixels[begin:begin + w] = lit

    def update(self, is_incremental=False, timeout=20):
        """Asks for the picture and waits for it."""
        self.send(struct.pack(">BBHHHH", 3, is_incremental, 0, 0, self.width, self.height))
        while True:
            kind = self.read(1, timeout)[0]
            if kind == 0:
                for _ in range(struct.unpack(">xH", self.read(3))[0]):
                    self._rectangle()
                return
            assert kind == 2, f"server message {kind}"  # a bell

    def text(self):
        """The characters on the screen, by the font of the VGA BIOS; a text mode's cells are 8 or 9 pixels wide."""
        return max((self._text(width) for width in (8, 9)), key=lambda t: sum(c.isalnum() for c in t))

    def _text(self, cell):
        lines = []
        for y in range(0, self.height - ROWS + 1, ROWS):
            line = ""
            for x in range(0, self.width - cell + 1, cell):
                at = [(y + r) * self.width + x for r in range(ROWS)]
                glyph = bytes(sum(self.pixels[i + b] << (7 - b) for b in range(8)) for i in at)
                line += glyphs().get(glyph, "\0")
            lines.append(line.rstrip())
        return "\n".join(lines)

    def expect(self, wanted, timeout=30):
        deadline = time.monotonic() + slow(timeout)
        while True:
            self.update()
            text = self.text()
            if wanted in text:
                return text
            if time.monotonic() > deadline:
                raise AssertionError(f"the screen never showed {wanted!r} but {text.strip()!r}")
            time.sleep(0.2)

    # --- input ---

    def type(self, text):
        for c in text:
            for is_down in (1, 0):
                self.send(struct.pack(">BBxxI", 4, is_down, 0xFF0D if c == "\n" else ord(c)))

    def point(self, x, y, buttons=0):
        self.send(struct.pack(">BBHH", 5, buttons, x, y))

    def is_open(self):
        """It still answers."""
        try:
            self.update(timeout=5)
        except (EOFError, OSError, websocket.WebSocketException):
            return False
        return True

    def close(self):
        self.ws.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


_glyphs = {}


def glyphs():
    """Cell of 16 bytes -> character, from the VGA BIOS that the guest itself uses."""
    if not _glyphs:
        with open(FONT_FILE, "rb") as f:
            data = f.read()
        begin = data.index(GLYPH_A) - ord("A") * ROWS
        for c in range(32, 127):
            _glyphs[data[begin + c * ROWS:begin + (c + 1) * ROWS]] = chr(c)
    return _glyphs
