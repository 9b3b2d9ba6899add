"""A recording reverse proxy: TLS in front, holmd behind. Foreign clients (proxmoxer, fence agents) are pointed at it.

Every /api2/json reply is checked against PVE's facts and recorded like those of the harness's own client; what is wrong
is collected in `complaints`. A WebSocket upgrade passes through untouched. Bytes are forwarded as they came: the proxy
parses copies. Runs on a thread of its own.
"""
import asyncio
import gzip
import os
import ssl
import subprocess
import threading
import zlib

from lib import facts
from lib.wait import wait_for

HEAD_LIMIT = 64 * 1024


def make_certificate(folder):
    """A self-made certificate and key in one PEM file."""
    pem = os.path.join(folder, "proxy.pem")
    key, cert = pem + ".key", pem + ".crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "1", "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    with open(pem, "w", encoding="utf-8") as out:
        for part in (key, cert):
            with open(part, encoding="utf-8") as f:
                out.write(f.read())
    return pem


class Message:
    """Start line, headers (lower-case names) and body of one HTTP message."""

    def __init__(self, head):
        self.raw = head
        lines = head.decode("latin-1").split("\r\n")
        self.start = lines[0].split(" ", 2)
        self.headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        self.body = b""

    def text(self):
        coding = self.headers.get("content-encoding", "")
        body = gzip.decompress(self.body) if coding == "gzip" else self.body
        body = zlib.decompress(body) if coding == "deflate" else body
        return body.decode("utf-8", "replace")

    def is_upgrade(self):
        return self.headers.get("upgrade", "").lower() == "websocket"


async def read_message(reader, is_reply=False):
    """One message, or None at the end of the stream. Replies without a length end with the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    m = Message(head)
    if "content-length" in m.headers:
        m.body = await reader.readexactly(int(m.headers["content-length"]))
    elif is_reply and m.start[1] not in ("101", "204", "304"):
        m.body = await reader.read()
    return m


async def copy_stream(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


class Proxy:
    """with Proxy(node) as p: … host p.address; p.complaints at the end."""

    def __init__(self, node):
        self.node = node
        self.complaints = []
        self.requests = []
        self.port = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _run(self):
        asyncio.set_event_loop(self.loop)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(make_certificate(self.node.base))
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context,
                                                                   limit=HEAD_LIMIT))
        self.port = server.sockets[0].getsockname()[1]
        self.loop.run_forever()

    async def _end(self):
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for t in tasks:
            t.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.loop.stop()

    async def _serve(self, reader, writer):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.node.port, ssl=context,
                                                                 limit=HEAD_LIMIT)
            await self._exchange(reader, writer, up_reader, up_writer)
            up_writer.close()
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader, writer, up_reader, up_writer):
        while request := await read_message(reader):
            up_writer.write(request.raw + request.body)
            await up_writer.drain()
            reply = await read_message(up_reader, is_reply=True)
            if not reply:
                return
            self._note(request, reply)
            writer.write(reply.raw + reply.body)
            await writer.drain()
            if reply.start[1] == "101":
                await asyncio.gather(copy_stream(reader, up_writer), copy_stream(up_reader, writer))
                return
            if reply.headers.get("connection", "").lower() == "close":
                return

    def _note(self, request, reply):
        method, target = request.start[0], request.start[1]
        path, _, query = target.partition("?")
        self.requests.append((method, path, int(reply.start[1])))
        if not path.startswith("/api2/json"):
            return
        path, status = path.removeprefix("/api2/json"), int(reply.start[1])
        complaints = []
        if status != 101:
            reason = reply.start[2] if len(reply.start) > 2 else ""
            complaints = facts.check_reply(method, path, status, reason, reply.headers.get("content-type"),
                                           reply.text(), "dry-run" in query or b"dry-run" in request.body)
        facts.record(method, path, status, complaints)
        self.complaints += [f"{method} {path} {status}: {c}" for c in complaints]

    def __enter__(self):
        self.thread.start()
        wait_for(lambda: self.port, 10, "the proxy to listen")
        return self

    def __exit__(self, kind, _value, _trace):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop)
        self.thread.join(5)
        if not kind:
            assert not self.complaints, "; ".join(self.complaints[:8])
