"""Downloads that somebody stops, and servers and names that are meaner than those of test_download.py. All of it happens in
a network namespace of its own: servers listen on 198.18.0.0/15 addresses of its loopback interface, so that they count as
foreign hosts, names come from a DNS server in there."""
import gzip
import os
import shutil
import socket
import struct
import tempfile
import threading

from lib import netns, procs
from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

URL = "/nodes/{node}/storage/local/download-url"
SERVER, DNS = "198.18.9.1", "127.53.9.1"
BODY = os.urandom(70_000)


def reply(body, *headers, length=None):
    head = ["HTTP/1.1 200 OK", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def redirect(target):
    return b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + target + b"\r\n\r\n"


ANSWERS = {
    "good": reply(BODY),
    "more": reply(BODY + b"x" * 500_000, length=len(BODY)),
    "twice": reply(BODY, "Content-Length: 5"),
    "negative": reply(BODY, length=-5),
    "huge": reply(BODY, length=1 << 70),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nx\r\n0\r\n\r\n",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    "old": b"HTTP/0.9 what\r\n\r\n" + BODY,
    "none": BODY,
    "part": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nhello",
    "hints": b"HTTP/1.1 100 Continue\r\n\r\n" * 20000 + reply(BODY),
    "cookie": b"HTTP/1.1 200 OK\r\nSet-Cookie: " + b"a" * 70000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "nested": reply(gzip.compress(gzip.compress(bytes(200 << 20), 9), 9)),
    "bomb": reply(gzip.compress(bytes(200 << 20), 9)),
    "to-unix": redirect(b"unix:/run/holm.sock"),
    "to-http-unix": redirect(b"http+unix://%2Frun%2Fholm.sock/x"),
    "to-file": redirect(b"FILE:///etc/passwd"),
    "to-lo": redirect(b"http://127.0.0.1/x"),
    "to-lo6": redirect(b"http://[::ffff:7f00:1]/x"),
    "to-link": redirect(b"http://[fe80::1%25lo]/x"),
    "to-other": redirect(b"//127.0.0.1:1/x"),
    "to-name": redirect(b"http://inside.test/x"),
    "to-late": redirect(b"http://late.test:%d/good"),
    "to-nothing": redirect(b""),
    "to-split": redirect(b"/x\rHost: y"),
    "loop": redirect(b"loop"),
}


class Server(threading.Thread):
    """Answers what ANSWERS says, and "slow" with a byte now and then until the test is over."""
    stop = threading.Event()
    seen = []

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server((SERVER, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client:
            words = client.recv(65536).split(b" ")
            if len(words) < 2:
                return
            path = words[1].decode().strip("/")
            self.seen.append(path)
            try:
                if path == "slow":
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")
                    while not self.stop.wait(0.5):
                        client.sendall(b"x" * 1024)
                else:
                    client.sendall(ANSWERS.get(path, b"").replace(b":%d/", b":%d/" % self.port))
            except OSError:
                pass


class Dns(threading.Thread):
    """Each name has a list of addresses, one an answer, the last one for ever."""
    names = {"web.test": [SERVER], "inside.test": ["127.0.0.1"], "late.test": [SERVER, "127.0.0.1"], "both.test": ["127.0.0.1", SERVER]}

    def __init__(self):
        super().__init__(daemon=True)
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((DNS, 53))
        self.start()

    def run(self):
        while True:
            try:
                packet, peer = self.socket.recvfrom(2048)
            except OSError:
                return
            at, labels = 12, []
            while packet[at]:
                labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1"))
                at += 1 + packet[at]
            kind, name = struct.unpack_from(">H", packet, at + 1)[0], ".".join(labels).lower()
            known = self.names.get(name, [])
            answer = b""
            if kind == 1 and known:
                self.asked.append(name)
                address = known.pop(0) if len(known) > 1 else known[0]
                answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
            head = packet[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, bool(answer), 0, 0)
            self.socket.sendto(head + packet[12:at + 5] + answer, peer)


class Lab:
    one = None

    def __init__(self):
        netns.enter()
        netns.ip("address", "add", SERVER + "/32", "dev", "lo")
        self.server, self.dns = Server(), Dns()
        self.folder = tempfile.mkdtemp(prefix="hd", dir="/tmp")
        with open(self.folder + "/resolv.conf", "w", encoding="ascii") as f:
            f.write(f"nameserver {DNS}\noptions timeout:1 attempts:1\n")
        self.node = Node()
        self.node.prefix = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"',
                            self.folder + "/resolv.conf"]
        self.node.start()
        self.node.api.post("/access/roles", roleid="Net", privs="Sys.AccessNetwork")
        self.user = self.node.restricted("fetcher@pve", **{"/storage/local": "PVEDatastoreAdmin", f"/nodes/{self.node.name}": "Net"})

    def url(self, path, host=SERVER):
        return f"http://{host}:{self.server.port}/{path}"

    def left(self):
        top = self.node.path("var/storage/local")
        return sorted(os.path.relpath(os.path.join(d, n), top) for d, _, names in os.walk(top) for n in names)

    def begin(self, path, name="x.iso", **more):
        return self.user.post(URL, url=self.url(path), content="iso", filename=name, **more)

    def get(self, url, **more):
        return self.user.outcome("POST", URL, {"url": url, "content": "iso", "filename": "x.iso", **more}, timeout=60)

    def fails(self, url, text="", **more):
        status = self.get(url, **more)
        assert status != "OK" and text in status, f"{url}: {status!r} without {text!r}"
        assert "signal" not in status and "worker" not in status, f"{url}: holm-fetch did not judge it: {status!r}"
        assert self.left() == [], self.left()

    def take(self):
        with open(self.node.path("var/storage/local/template/iso/x.iso"), "rb") as f:
            data = f.read()
        os.unlink(f.name)
        return data

    def fetchers(self):
        return [p for p in procs.descendants(self.node.process.pid) if procs.name(p) == "holm-fetch"]

    def stop(self, upid, client=None):
        """By the administrator, who may see anybody's tasks, or by its owner."""
        (client or self.user).delete(f"/nodes/{{node}}/tasks/{upid}")
        status = self.node.api.wait_task(upid, 30)
        assert "stopped by" in status or "aborted" in status, status


def lab():
    Lab.one = Lab.one or Lab()
    for name in Lab.one.left():  # of a test that failed
        os.unlink(Lab.one.node.path("var/storage/local", name))
    return Lab.one


@test(limit=90)
def a_download_is_stopped():
    """One that runs and one that waits for its turn; somebody else may not."""
    box = lab()
    other = box.node.restricted("other@pve", **{"/storage/local": "PVEDatastoreAdmin"})
    running = [box.begin("slow", f"{i}.iso") for i in range(4)]
    wait_for(lambda: len(box.server.seen) >= 4, 30, "four downloads to be under way")
    waiting = [box.begin("slow", f"{i}.iso") for i in range(4, 7)]
    for upid in (running[0], waiting[0]):
        other.refused("DELETE", f"/nodes/{{node}}/tasks/{upid}", {}, 403)
        assert box.user.task_status(upid)["status"] == "running"
    box.stop(waiting[1])
    box.stop(waiting[0], box.node.api)
    assert [u for u in running if box.user.task_status(u)["status"] != "running"] == [], "those were not meant"
    for upid in running + waiting[2:]:
        box.stop(upid)
    wait_for(lambda: not box.fetchers(), 20, "holm-fetch to end")
    assert box.left() == [], box.left()
    assert box.get(box.url("good")) == "OK", "the places are free again"
    assert box.take() == BODY


@test(limit=60)
def a_template_is_stopped():
    box = lab()
    with open(box.node.path("etc/templates.list"), "w", encoding="utf-8") as f:
        f.write(f"t_1_amd64.tar.gz {box.url('slow')} -\n")
    seen = len(box.server.seen)
    upid = box.node.api.post("/nodes/{node}/aplinfo", storage="local", template="t_1_amd64.tar.gz")
    wait_for(lambda: len(box.server.seen) > seen, 30, "the download to be under way")
    box.stop(upid, box.node.api)
    wait_for(lambda: not box.fetchers(), 20, "holm-fetch to end")
    assert box.left() == [], box.left()
    assert box.user.call("DELETE", f"/nodes/{{node}}/tasks/{upid}").status == 403, "not his"


@test(limit=60)
def stopped_before_it_began():
    """However early or late the stop comes: it ends once, and leaves nothing or all of it."""
    box = lab()
    for _ in range(12):
        upid = box.begin("good")
        box.user.call("DELETE", f"/nodes/{{node}}/tasks/{upid}")
        status = box.user.wait_task(upid, 30)
        if status == "OK":
            assert box.take() == BODY
        assert box.left() == [], (status, box.left())
    wait_for(lambda: not box.fetchers(), 20, "holm-fetch to end")


@test(limit=60)
def both_processes_are_killed():
    """The one that talks to the server, and the one that looks names up."""
    box = lab()
    for _ in range(3):
        upid = box.user.post(URL, url=box.url("slow"), content="iso", filename="x.iso")
        wait_for(lambda: len(box.fetchers()) == 2, 20, "both processes")
        for pid in box.fetchers():
            procs.kill(pid)
        assert box.user.wait_task(upid, 30) != "OK"
        wait_for(lambda: not box.fetchers(), 10, "both to be gone")
        assert box.left() == []


@test(limit=90)
def servers_that_lie():
    box = lab()
    assert box.get(box.url("more")) == "OK", "what was not announced is not read"
    assert box.take() == BODY
    for path in ("negative", "chunks", "chunk", "old", "none", "part", "hints", "cookie"):
        box.fails(box.url(path))
    assert box.get(box.url("nested"), compression="gz") == "OK", "unpacked once, and no more"
    assert box.take()[:2] == b"\x1f\x8b"
    box.fails(box.url("bomb"), "more than 256 times", compression="gz")
    for path in ("twice", "huge"):  # a length that is none: refused, or the body as it came
        status = box.get(box.url(path))
        assert status != "OK" or box.take() in (BODY, BODY[:5]), (path, status)
    assert box.left() == []


@test(limit=90)
def redirects_that_lead_inside():
    box = lab()
    listener = socket.create_server(("127.0.0.1", 80))
    listener.settimeout(0.1)
    for path in ("to-unix", "to-http-unix", "to-file"):
        box.fails(box.url(path), "redirects to what is not fetched")
    for path in ("to-lo", "to-lo6", "to-link", "to-other", "to-name"):
        box.fails(box.url(path))
    for path in ("to-nothing", "to-split", "loop"):
        box.fails(box.url(path))
    try:
        listener.accept()
        raise AssertionError("somebody came in")
    except TimeoutError:
        pass
    listener.close()


@test(limit=90)
def names_that_change():
    """The address that was asked about is the one that is connected to, at each hop anew."""
    box = lab()
    inside = socket.create_server(("127.0.0.1", box.server.port))
    inside.settimeout(0.1)
    assert box.get(box.url("good", "late.test")) == "OK", "the first answer"
    assert box.take() == BODY
    box.fails(box.url("good", "late.test"), "which is not fetched from")
    box.dns.names["late.test"] = [SERVER, "127.0.0.1"]
    box.fails(box.url("to-late", "late.test"), "which is not fetched from")
    box.fails(box.url("good", "both.test"), "which is not fetched from")
    try:
        inside.accept()
        raise AssertionError("somebody came in")
    except TimeoutError:
        pass
    inside.close()


@test(limit=90)
def names_of_an_odd_form():
    """Each is fetched or refused; none is looked up by a process that must not, which the kernel would end."""
    box = lab()
    for host in ("web.test.", "WEB.test", "web.test..", "+web.test", "-web.test", "*", "a,b", "web_.test", ".web.test", "%77eb.test",
                 "web%2etest", "web.test%00", "1.2.3", "1.2.3.4.5", "[::1%25lo]", "xn--", "a" * 64 + ".test", "a." * 120 + "test"):
        status = box.get(box.url("good", host))
        assert "signal" not in status and "worker" not in status, (host, status)
        if status == "OK":
            assert box.take() == BODY, host
        assert box.left() == [], host


@test(limit=30)
def the_end():
    box = lab()
    Server.stop.set()
    box.node.close()
    box.server.listener.close()
    box.dns.socket.close()
    shutil.rmtree(box.folder)


if __name__ == "__main__":
    main()
