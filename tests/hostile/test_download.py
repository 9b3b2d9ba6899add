"""Downloads from hostile servers: redirects, names that change their meaning, stalls, endless bodies, bombs, bad
certificates, kills in between. After each of them nothing lies in the storage.

The servers listen on 127.0.0.x of a network namespace that this process enters first; the administrator, who has
Sys.Modify, may reach them, the `guarded` user may not. Names come from a small DNS server of the test: holmd runs in a
mount namespace whose /etc/resolv.conf leads to it.
"""
import gzip
import hashlib
import http.server
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading

from lib import netns, procs
from lib.holm import Node, program
from lib.tap import main, test
from lib.wait import wait_for

URL = "/nodes/{node}/storage/%s/download-url"
QUERY = "/nodes/{node}/query-url-metadata"
DATA = os.urandom(300_000)
BOMB = gzip.compress(bytes(256 << 20), 9)
DNS_ADDRESS = "127.53.0.1"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stop = threading.Event()  # ends the endless ones
    seen = []

    def log_message(self, *_):
        pass

    def _reply(self, status=200, data=b"", length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def _endless(self, piece, pause):
        while not self.stop.wait(pause):
            self.wfile.write(piece)
            self.wfile.flush()

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.seen.append((self.client_address[0], self.headers.get("Host"), self.path))
        self.close_connection = True
        path, _, query = self.path.partition("?")
        try:
            getattr(self, "path_" + path.strip("/").split("/")[0].replace(".", "_"), self.path_none)(query)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def path_none(self, _):
        self._reply(404, b"nothing here")

    def path_good(self, _):
        self._reply(data=DATA, Content_Type="application/x-iso9660-image; x=y")

    def path_named(self, _):
        self._reply(data=DATA, Content_Disposition='attachment; filename="a b/../c.iso"')

    def path_to(self, query):
        self._reply(302, b"", Location=query)

    def path_loop(self, _):
        self._reply(302, b"", Location="/loop")

    def path_packed(self, _):
        self._reply(data=gzip.compress(DATA))

    def path_bomb(self, _):
        self._reply(data=BOMB)

    def path_short(self, _):
        self._reply(data=b"x" * 1000, length=100_000)

    def path_endless(self, _):
        self.send_response(200)
        self.end_headers()
        self._endless(b"e" * 65536, 0)

    def path_crawl(self, _):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self._endless(b"c", 0.2)

    def path_slow(self, _):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self._endless(b"X: y\r\n", 1)

    def path_headers(self, _):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self._endless(b"X: " + b"y" * 5000 + b"\r\n", 0)

    def path_garbage(self, _):
        self.wfile.write(os.urandom(5000))


class Dns(threading.Thread):
    """Answers A queries: each name has a list of addresses, one for each question, the last one for ever."""

    def __init__(self):
        super().__init__(daemon=True)
        self.names = {}
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((DNS_ADDRESS, 53))
        self.start()

    def run(self):
        while True:
            try:
                packet, peer = self.socket.recvfrom(2048)
            except OSError:
                return
            at, labels = 12, []
            while packet[at]:
                labels.append(packet[at + 1:at + 1 + packet[at]].decode())
                at += 1 + packet[at]
            kind = struct.unpack_from(">H", packet, at + 1)[0]
            name = ".".join(labels)
            addresses = self.names.get(name, [])
            answer = b""
            if kind == 1 and addresses:
                address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
                self.asked.append((name, address))
                answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
            head = packet[:2] + struct.pack(">HHHHH", 0x8180 if addresses else 0x8183, 1, bool(answer), 0, 0)
            self.socket.sendto(head + packet[12:at + 5] + answer, peer)


class Lab:
    """One daemon, web servers and a DNS server, made when first asked for."""
    one = None

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hd", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.certificates()
        self.http = self.serve("127.0.0.7", None)
        self.https = self.serve("127.0.0.7", "good")
        self.other = self.serve("127.0.0.7", "other")
        self.dns = Dns()
        self.dns.names = {"web.test": ["127.0.0.7"], "rebind.test": ["203.0.113.9", "127.0.0.7"],
                          "meta.test": ["169.254.169.254"]}
        with open(self.folder + "/resolv.conf", "w", encoding="ascii") as f:
            f.write(f"nameserver {DNS_ADDRESS}\noptions timeout:1 attempts:1\n")
        self.node = Node()
        self.node.prefix = ["unshare", "--mount", "sh", "-c",
                            'mount --bind "$0" /etc/resolv.conf && exec "$@"', self.folder + "/resolv.conf"]
        self.node.start()
        shutil.copy(self.folder + "/good.pem", self.node.path("etc/download-ca.pem"))
        self.guarded = self.node.restricted("guarded@pve", **{"/storage/local": "PVEDatastoreAdmin"})
        self.node.api.post("/access/roles", roleid="Net", privs="Sys.AccessNetwork")
        self.node.api.put("/access/acl", path=f"/nodes/{self.node.name}", roles="Net", users="guarded@pve")

    def certificates(self):
        for name in ("good", "other"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=web.test",
                            "-addext", "subjectAltName=DNS:web.test", "-keyout", f"{self.folder}/{name}.key",
                            "-out", f"{self.folder}/{name}.pem"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def serve(self, address, certificate):
        server = http.server.ThreadingHTTPServer((address, 0), Handler)
        server.daemon_threads = True
        server.handle_error = lambda *_: None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{self.folder}/{certificate}.pem", f"{self.folder}/{certificate}.key")
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def url(self, path, host="127.0.0.7", server=None):
        server = server or self.http
        scheme = "http" if server is self.http else "https"
        return f"{scheme}://{host}:{server.server_port}/{path}"

    def left(self, storage=None):
        top = storage or self.node.path("var/storage/local")
        return sorted(os.path.relpath(os.path.join(d, n), top) for d, _, names in os.walk(top) for n in names)

    def get(self, url, client=None, storage="local", timeout=60, **more):
        """Status of the task (or the refusal's text); whatever was fetched lies there as x.iso."""
        params = {"url": url, "content": "iso", "filename": "x.iso", **more}
        return (client or self.node.api).outcome("POST", URL % storage, params, timeout=timeout)

    def fails(self, url, text, **more):
        status = self.get(url, **more)
        assert status != "OK" and text in status, f"{url}: {status!r} without {text!r}"
        assert self.left() == [], self.left()

    def take(self):
        """What was downloaded, removed."""
        path = self.node.path("var/storage/local/template/iso/x.iso")
        with open(path, "rb") as f:
            data = f.read()
        os.unlink(path)
        assert self.left() == []
        return data

    def clean(self):
        """After a test that failed: the next one begins with nothing."""
        for name in self.left():
            os.unlink(self.node.path("var/storage/local", name))


def lab():
    if not Lab.one:
        Lab.one = Lab()
    Lab.one.clean()
    return Lab.one


def fetchers(node):
    """Pids of holm-fetch of this daemon: its children and theirs."""
    return [p for p in procs.descendants(node.process.pid) if procs.name(p) == "holm-fetch"]


@test(limit=60)
def a_good_download():
    box = lab()
    upid = box.node.api.post(URL % "local", url=box.url("good"), content="iso", filename="x.iso")
    assert ":download:x.iso:" in upid, upid
    assert box.node.api.wait_task(upid) == "OK"
    log = "\n".join(box.node.api.task_log(upid))
    assert "downloading http" in log and "finished" in log and f"{len(DATA)} bytes" in log, log
    status = box.node.api.outcome("POST", URL % "local", {"url": box.url("good"), "content": "iso", "filename": "x.iso"})
    assert "refusing to override existing file 'x.iso'" in status, status
    for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        sum_ = hashlib.new(name, DATA).hexdigest()
        assert box.get(box.url("good"), checksum=sum_.upper(), **{"checksum-algorithm": name}) == "OK"
    assert box.take() == DATA
    assert box.get(box.url("good", "web.test")) == "OK"
    assert box.take() == DATA
    assert box.get(box.url("packed"), compression="gz") == "OK"
    assert box.take() == DATA


@test
def what_is_refused_at_once():
    box = lab()
    api, base = box.node.api, {"url": box.url("good"), "content": "iso", "filename": "x.iso"}
    for url in ("file:///etc/passwd", "ftp://a/x", "gopher://127.0.0.1/x", "http://u:p@127.0.0.7/x", "http://a/\nb", "http://a b/",
                "http://" + "a" * 1001):
        api.refused("POST", URL % "local", {**base, "url": url}, 400, param="url")
        api.refused("GET", QUERY, {"url": url}, 400, param="url")
    for name in ("../x.iso", "x.exe", ".iso", "a/b.iso", "x y.iso"):
        api.refused("POST", URL % "local", {**base, "filename": name}, 400, param="filename")
    api.refused("POST", URL % "local", {**base, "checksum": "00"}, 400)
    api.refused("POST", URL % "local", {**base, "compression": "lzo"}, 400, param="compression")
    api.refused("POST", URL % "local", {**base, "content": "images"}, 400, param="content")
    api.refused("POST", URL % "none", base, text="does not exist")
    user = box.node.restricted("plain@pve", **{"/storage/local": "PVEDatastoreAdmin"})
    user.refused("POST", URL % "local", base, 403)
    user.refused("GET", QUERY, {"url": box.url("good")}, 403)
    assert box.left() == []


@test(limit=60)
def metadata():
    box = lab()
    data = box.node.api.get(QUERY, url=box.url("good/Some%20Name.iso?x=1"))
    assert data == {"size": len(DATA), "mimetype": "application/x-iso9660-image", "filename": "Some_20Name.iso"}, data
    assert box.node.api.get(QUERY, url=box.url("named"))["filename"] == "a_b_.._c.iso"
    box.node.api.refused("GET", QUERY, {"url": box.url("none")}, text="status 404")
    box.guarded.refused("GET", QUERY, {"url": box.url("good")}, text="which is not fetched from")


@test(limit=60)
def this_host_is_out_of_bounds():
    box = lab()
    seen = len(Handler.seen)
    port = box.http.server_port
    for host in ("127.0.0.7", "web.test", "127.7", "2130706439", "0x7f000007", "0177.0.0.7", "[::ffff:127.0.0.7]", "[::1]", "0.0.0.0",
                 "169.254.169.254", "meta.test", "localhost", "[64:ff9b::7f00:7]", "[::ffff:a9fe:a9fe]"):
        box.fails(f"http://{host}:{port}/good", "which is not fetched from", client=box.guarded)
    assert len(Handler.seen) == seen, Handler.seen[seen:]


@test(limit=60)
def a_name_that_changes_its_meaning():
    """First a public address, then one of this host: what was asked about is what is connected to."""
    box = lab()
    seen = len(Handler.seen)
    box.dns.names["rebind.test"] = ["127.0.0.7", "203.0.113.9"]
    box.fails(box.url("good", "rebind.test"), "which is not fetched from", client=box.guarded)
    box.dns.names["rebind.test"] = ["192.0.2.1", "127.0.0.7"]
    box.fails(box.url("good", "rebind.test"), "", client=box.guarded)
    assert len(Handler.seen) == seen, Handler.seen[seen:]
    assert ("rebind.test", "192.0.2.1") in box.dns.asked, "it was asked at all"
    assert box.guarded and box.get("http://none.test/x") != "OK"


@test(limit=60)
def redirects():
    box = lab()
    assert box.get(box.url("to?/good")) == "OK"
    assert box.take() == DATA
    box.fails(box.url("loop"), "more than 5 redirects")
    for target in ("file:///etc/passwd", "ftp://127.0.0.7/x", "gopher://127.0.0.7:1/x", "dict://127.0.0.7/x"):
        box.fails(box.url("to?" + target), "redirects to what is not fetched")
    chain = "to?" + "/to?" * 3 + "/good"
    assert box.get(box.url(chain)) == "OK"
    box.take()
    box.fails(box.url("to?" + box.url("good"), "web.test", box.https), "from https to http")
    box.fails(box.url("to?http://user:secret@127.0.0.7/good"), "redirects to what is not fetched")


@test(limit=60)
def a_redirect_into_this_host():
    """From a server that may be fetched from (an address of a network of its own) to loopback and metadata."""
    box = lab()
    with Outside(box) as base:
        assert box.get(base + "/good", client=box.guarded) == "OK"
        assert box.take() == DATA
        seen = len([s for s in Handler.seen if "127.0.0.7" in str(s[1])])
        for target in (box.url("good"), box.url("good", "web.test"), "http://169.254.169.254/latest/", "http://[::1]/x"):
            box.fails(base + "/to?" + target, "which is not fetched from", client=box.guarded)
        assert len([s for s in Handler.seen if "127.0.0.7" in str(s[1])]) == seen, "loopback was reached"
        assert box.get(base + "/to?" + box.url("good")) == "OK", "Sys.Modify may"
        box.take()


class Outside:
    """A server on an address that is neither loopback nor link-local: one that the test gives its namespace."""

    def __init__(self, box):
        self.box = box

    def __enter__(self):
        netns.ip("address", "add", "198.18.7.1/32", "dev", "lo")
        self.server = self.box.serve("198.18.7.1", None)
        return f"http://198.18.7.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        netns.ip("address", "del", "198.18.7.1/32", "dev", "lo")


@test(limit=60)
def wrong_contents():
    box = lab()
    box.fails(box.url("none"), "status 404")
    box.fails(box.url("good"), "checksum mismatch", checksum="0" * 64, **{"checksum-algorithm": "sha256"})
    box.fails(box.url("good"), "has 64 characters", checksum="00", **{"checksum-algorithm": "sha256"})
    box.fails(box.url("short"), "too early")
    box.fails(box.url("garbage"), "download failed")
    box.fails(box.url("headers"), "")
    box.fails(box.url("good"), "not what its compression says", compression="gz")
    box.fails(box.url("good"), "not what its compression says", compression="zst")
    box.fails(box.url("bomb"), "more than 256 times", compression="gz")


@test(limit=60)
def a_wrong_checksum_leaves_the_old_file():
    box = lab()
    assert box.get(box.url("good")) == "OK"
    status = box.get(box.url("named"), checksum="0" * 32, **{"checksum-algorithm": "md5"})
    assert "checksum mismatch" in status, status
    assert box.take() == DATA


@test(limit=60)
def an_endless_body_ends_at_the_storages_space():
    box = lab()
    path = box.node.base + "/small"
    os.mkdir(path)
    mount = ["nsenter", "-t", str(box.node.process.pid), "-m"]
    subprocess.run([*mount, "mount", "-t", "tmpfs", "-o", "size=24m", "none", path], check=True)
    box.node.api.post("/storage", storage="small", type="dir", path=path, content="iso")
    status = box.get(box.url("endless"), storage="small")
    assert "bytes that are allowed here" in status, status
    content = "/nodes/{node}/storage/small/content"
    assert box.node.api.get(content) == []
    used = box.node.api.get("/nodes/{node}/storage/small/status")["used"]
    assert used < 1 << 20, f"{used} bytes are still taken"
    # Somebody else takes the space meanwhile: a full disk, not a limit.
    upid = box.node.api.post(URL % "small", url=box.url("endless"), content="iso", filename="x.iso")
    subprocess.run([*mount, "dd", "if=/dev/zero", f"of={path}/fill", "bs=1M", "count=20"], check=False, stderr=subprocess.DEVNULL)
    assert "OK" != box.node.api.wait_task(upid, 30)
    assert box.node.api.get(content) == []
    box.node.api.delete("/storage/small")


@test(limit=120)
def servers_that_stall():
    box = lab()
    api = box.node.api
    upids = {path: api.post(URL % "local", url=box.url(path), content="iso", filename=f"{path}.iso") for path in ("crawl", "slow")}
    assert api.get("/version"), "nobody else waits"
    assert api.get(QUERY, url=box.url("good"))["size"] == len(DATA)
    for path, upid in upids.items():
        status = api.wait_task(upid, 60)
        assert "too slowly" in status, (path, status)
    assert box.left() == []


@test(limit=60)
def certificates():
    box = lab()
    assert box.get(box.url("good", "web.test", box.https)) == "OK"
    assert box.take() == DATA
    box.fails(box.url("good", "127.0.0.7", box.https), "not acceptable")  # another name
    box.fails(box.url("good", "web.test", box.other), "not acceptable")  # another authority
    assert box.get(box.url("good", "web.test", box.other), **{"verify-certificates": 0}) == "OK"
    assert box.take() == DATA
    plain = f"https://127.0.0.7:{box.http.server_port}/good"
    box.fails(plain, "")  # no TLS at all
    box.node.api.refused("GET", QUERY, {"url": box.url("good", "web.test", box.other)}, text="not acceptable")
    assert box.node.api.get(QUERY, {"url": box.url("good", "web.test", box.other), "verify-certificates": 0})["size"] == len(DATA)


@test(limit=60)
def the_program_has_nothing():
    """While it talks to a server: its user, its descriptors, its sandbox."""
    box = lab()
    upid = box.node.api.post(URL % "local", url=box.url("crawl"), content="iso", filename="x.iso")
    main_pid = wait_for(lambda: connected(fetchers(box.node)), 20, "holm-fetch to be connected")
    with open(f"/proc/{main_pid}/status", encoding="ascii") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert status["Uid"].split()[0] != "0" and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
    assert int(status["CapEff"], 16) == 0, status["CapEff"]
    files = [os.readlink(f"/proc/{main_pid}/fd/{n}") for n in os.listdir(f"/proc/{main_pid}/fd") if int(n) > 3]
    files = [f for f in files if f.startswith("/")]
    assert all("(deleted)" in f or f.endswith("download-ca.pem") for f in files), files
    os.kill(main_pid, signal.SIGKILL)
    assert "signal 9" in box.node.api.wait_task(upid, 20)
    wait_for(lambda: not fetchers(box.node), 10, "its resolver to end")
    assert box.left() == []


def connected(pids):
    for pid in pids:
        fds = []
        try:
            fds = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        with open(f"/proc/{pid}/net/tcp", encoding="ascii") as f:
            inodes = {line.split()[9] for line in f.readlines()[1:] if line.split()[3] == "01"}
        if any(f"socket:[{i}]" in fds for i in inodes):
            return pid
    return None


@test(limit=60)
def the_daemon_is_killed():
    box = lab()
    upid = box.node.api.post(URL % "local", url=box.url("crawl"), content="iso", filename="x.iso")
    pid = wait_for(lambda: connected(fetchers(box.node)), 20, "holm-fetch to be connected")
    box.node.restart(is_killed=True)
    wait_for(lambda: not procs.is_alive(pid), 10, "holm-fetch to go with its daemon")
    assert box.left() == []
    assert box.node.api.get(f"/nodes/{{node}}/tasks/{upid}/status")["status"] == "stopped"
    assert box.get(box.url("good")) == "OK"
    box.take()


@test(limit=60)
def an_orderly_end_does_not_wait():
    box = lab()
    box.node.api.post(URL % "local", url=box.url("crawl"), content="iso", filename="x.iso")
    wait_for(lambda: connected(fetchers(box.node)), 20, "holm-fetch to be connected")
    box.node.restart()
    assert box.left() == []


@test(limit=60)
def a_template_is_downloaded():
    box = lab()
    sum_ = hashlib.sha256(DATA).hexdigest()
    with open(box.node.path("etc/templates.list"), "w", encoding="utf-8") as f:
        f.write(f"t_1_amd64.tar.gz {box.url('good')} sha256:{sum_}\nwrong.tar.gz {box.url('named')} sha256:{'0' * 64}\n")
    box.node.api.run("POST", "/nodes/{node}/aplinfo", {"storage": "local", "template": "t_1_amd64.tar.gz"})
    assert box.left() == ["template/cache/t_1_amd64.tar.gz"]
    os.unlink(box.node.path("var/storage/local/template/cache/t_1_amd64.tar.gz"))
    status = box.node.api.outcome("POST", "/nodes/{node}/aplinfo", {"storage": "local", "template": "wrong.tar.gz"})
    assert "checksum mismatch" in status and box.left() == [], status


@test(limit=60)
def the_end():
    """The daemon's log is clean, and nothing of it is left."""
    box = lab()
    Handler.stop.set()
    box.node.close()
    assert program("holm-fetch", "fetch")
    for server in (box.http, box.https, box.other):
        server.shutdown()
        server.server_close()
    box.dns.socket.close()
    shutil.rmtree(box.folder)


if __name__ == "__main__":
    netns.enter()
    main()
