"""The catalogue of cloud images: what comes with Holm, what the administrator adds, and downloads that the checksums of
another server decide on. The servers are this test's own, in a network namespace of their own."""
import gzip
import hashlib
import http.server
import os
import subprocess
import threading

from lib import netns
from lib.holm import Node
from lib.tap import main, test

DATA = os.urandom(200_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
WRONG = "0" * 64
FILES = {}
ASKED = []


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        ASKED.append(self.path)
        data = FILES.get(self.path)
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")


class Box:
    one = None

    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.node = Node().start()
        self.api = self.node.api

    def catalogue(self, *lines):
        with open(self.node.path("etc/images.list"), "w", encoding="utf-8") as f:
            f.write("".join(line.replace("@", self.base) + "\n" for line in lines))

    def left(self):
        """What was downloaded, removed, by its name."""
        folder = self.node.path("var/storage/local/import")
        found = {}
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            with open(os.path.join(folder, name), "rb") as f:
                found[name] = f.read()
            os.unlink(os.path.join(folder, name))
        return found

    def get(self, name, **more):
        return self.api.outcome("POST", "/nodes/{node}/images", {"image": name, "storage": "local", **more})


def box():
    if not Box.one:
        Box.one = Box()
    ASKED.clear()
    FILES.clear()
    return Box.one


@test(limit=60)
def what_comes_with_it():
    b = box()
    rows = {r["name"]: r for r in b.api.get("/nodes/{node}/images")}
    assert {"debian-12", "ubuntu-24.04", "alma-9", "fedora-42", "opensuse-15.6"} <= set(rows), rows
    assert list(rows) == sorted(rows)
    for r in rows.values():
        assert r["url"].startswith("https://") and r["checksum-url"].startswith("https://") and r["source"] == "holm", r
    b.catalogue("# mine", "debian-12 raw @/d.raw sha512 @/S", "", "zz qcow2 @/z.img sha256 @/S")
    more = {r["name"]: r for r in b.api.get("/nodes/{node}/images")}
    assert set(more) == set(rows) | {"zz"} and more["debian-12"]["source"] == more["zz"]["source"] == "own"
    assert more["debian-12"]["format"] == "raw" and more["debian-12"]["checksum-algorithm"] == "sha512"
    listed = b.node.cli("image", "list").stdout
    assert "ubuntu-24.04" in listed and f"{b.base}/z.img" in listed, listed


@test(limit=60)
def an_error_is_told_with_its_line():
    b = box()
    for text, said in (("x qcow2 @/x sha256", "line 3: five words"), ("x qcow2 @/x md5 @/S", "line 3: the algorithm"),
                       ("../x raw @/x sha256 @/S", "line 3: a name has"), ("x raw file:///etc/shadow sha256 @/S", "line 3: the third")):
        b.catalogue("# mine", "good raw @/x sha256 @/S", text)
        b.api.refused("GET", "/nodes/{node}/images", text=said)
        b.api.refused("POST", "/nodes/{node}/images", {"image": "good", "storage": "local"}, text="etc/images.list, " + said)
    with open(b.node.path("etc/images.list"), "wb") as f:
        f.write(b"# long\n" * 50_000)
    assert b.api.call("GET", "/nodes/{node}/images").status >= 400
    assert not ASKED


@test(limit=120)
def downloads():
    b = box()
    FILES.update({"/x.img": DATA, "/S": f"{WRONG}  other.img\n{DIGEST} *x.img\n".encode(), "/T": f"SHA256 (x.img) = {DIGEST}\n".encode(),
                  "/p.raw.gz": gzip.compress(DATA)})
    FILES["/p.raw.gz.sha256"] = hashlib.sha256(FILES["/p.raw.gz"]).hexdigest().encode() + b"  p-1.2.raw.gz\n"
    b.catalogue("gnu qcow2 @/x.img sha256 @/S", "bsd raw @/x.img sha256 @/T", "one raw @/p.raw.gz sha256 @/p.raw.gz.sha256")
    for name, file in (("gnu", "gnu.qcow2"), ("bsd", "bsd.raw"), ("one", "one.raw")):
        assert b.get(name) == "OK", name
        assert b.left() == {file: DATA}
    # Once more, by the program: what is there is replaced, for its checksum is known.
    b.get("gnu")
    said = b.node.cli("image", "get", "gnu", "--storage", "local")
    assert "checksum verified" in said.stdout + said.stderr, said
    assert b.left() == {"gnu.qcow2": DATA}


@test(limit=120)
def refusals():
    b = box()
    FILES.update({"/x.img": DATA, "/none": b"nothing of use\n", "/two": f"{DIGEST}  x.img\n{WRONG}  x.img\n".encode(),
                  "/wrong": f"{WRONG}  x.img\n".encode(), "/huge": b"#\n" * 600_000, "/bytes": os.urandom(5000),
                  "/gone": f"{DIGEST}  gone.img\n".encode()})
    b.catalogue(*(f"{name} raw @/x.img sha256 @/{name}" for name in ("none", "two", "wrong", "huge", "bytes", "absent")),
                "gone raw @/gone.img sha256 @/gone", "closed raw @/x.img sha256 http://127.0.0.1:1/S")
    for name, said in (("none", "no sha256 checksum"), ("two", "two checksums"), ("wrong", "checksum mismatch"),
                       ("huge", "more than the"), ("bytes", "no sha256 checksum"), ("absent", "404"), ("gone", "404"),
                       ("closed", "checksums of 'closed'")):
        end = b.get(name)
        assert end != "OK" and said in end, (name, end)
        assert b.left() == {}
    # Without the checksum of its maker nothing of an image is fetched.
    assert ASKED.count("/x.img") == 1, ASKED
    b.api.refused("POST", "/nodes/{node}/images", {"image": "unknown", "storage": "local"}, 400, param="image")
    b.api.refused("POST", "/nodes/elsewhere/images", {"image": "none", "storage": "local"})
    b.api.post("/storage", storage="only", type="dir", path=os.path.join(b.node.base, "only"), content="images")
    FILES["/S"] = f"{DIGEST}  x.img\n".encode()
    b.catalogue("x raw @/x.img sha256 @/S")
    assert "not configured for content-type 'import'" in b.get("x", storage="only")
    reader = b.node.restricted("r@pve", **{"/storage/local": "PVEDatastoreUser"})
    assert [r["name"] for r in reader.get("/nodes/{node}/images") if r["source"] == "own"] == ["x"]
    reader.refused("POST", "/nodes/{node}/images", {"image": "x", "storage": "local"}, 403)
    # Whoever may not change the host does not have it talk to itself.
    admin = b.node.restricted("d@pve", **{"/storage/local": "PVEDatastoreAdmin"})
    end = admin.outcome("POST", "/nodes/{node}/images", {"image": "x", "storage": "local"})
    assert end != "OK" and b.left() == {}, end


@test(limit=120)
def from_the_catalogue_to_a_guest():
    b = box()
    path = os.path.join(b.node.base, "cloud.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "16M"], check=True)
    subprocess.run(["qemu-io", "-c", "write -P 5 1M 64k", path], check=True, stdout=subprocess.DEVNULL)
    with open(path, "rb") as f:
        FILES["/cloud.img"] = f.read()
    FILES["/S"] = f"{hashlib.sha512(FILES['/cloud.img']).hexdigest()}  cloud.img\n".encode()
    b.catalogue("cloud qcow2 @/cloud.img sha512 @/S")
    b.node.cli("image", "get", "cloud", "--storage", "local")
    b.node.cli("vm", "create", 100, "--scsi0", "local:0,import-from=local:import/cloud.qcow2")
    disk = b.api.get(b.node.vm(100, "/config"))["scsi0"]
    assert disk == "local:100/vm-100-disk-0.qcow2,size=16M", disk
    subprocess.run(["qemu-img", "compare", "-q", path, b.node.path("var/storage/local/images/100/vm-100-disk-0.qcow2")], check=True)
    b.node.remove(100)


@test(limit=60)
def the_end():
    """The daemon's log is clean."""
    b = box()
    b.node.close()
    b.server.shutdown()
    b.server.server_close()


if __name__ == "__main__":
    netns.enter()
    main()
