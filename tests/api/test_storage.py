"""Storages and volumes: views, sizes, ownership, uploads."""
import os

from lib.tap import main, test
from lib.wait import wait_for


@test
def local_is_defined_by_itself(node):
    row = [s for s in node.api.get("/storage") if s["storage"] == "local"][0]
    assert row["type"] == "dir" and "images" in row["content"].split(","), row
    assert node.api.get("/storage/local")["type"] == "dir"
    node.api.refused("GET", "/storage/none", text="storage 'none' does not exist")
    assert node.api.get("/storage", type="nfs") == []
    node.api.refused("GET", "/storage", {"type": "tape"}, 400, param="type")


@test
def status_adds_up(node):
    data = node.api.get("/nodes/{node}/storage/local/status")
    assert data["active"] == 1 and data["enabled"] == 1, data
    stat = os.statvfs(node.path("var/storage/local"))
    assert data["total"] == stat.f_blocks * stat.f_frsize, (data, stat)
    assert 0 < data["avail"] <= data["total"] and data["used"] <= data["total"], data
    node.api.refused("GET", "/nodes/{node}/storage/none/status", text="storage 'none' does not exist")


@test
def list_on_node(node):
    rows = node.api.get("/nodes/{node}/storage")
    assert [r["storage"] for r in rows] == ["local"] and rows[0]["total"] > 0, rows
    assert node.api.get("/nodes/{node}/storage", content="images")
    assert {r["subdir"] for r in node.api.get("/nodes/{node}/storage/local")} >= {"content", "status"}
    node.api.refused("GET", "/nodes/{node}/storage/none")
    node.api.refused("GET", "/nodes/{node}/storage", {"enabled": "perhaps"}, 400, param="enabled")


@test
def volumes_come_and_go_with_their_guest(node):
    node.create(400, scsi0="local:1,format=raw", scsi1="local:2,format=qcow2")
    config = node.api.get(node.vm(400, "/config"))
    assert config["scsi0"].endswith("size=1G") and config["scsi1"].endswith("size=2G"), config
    rows = {r["volid"]: r for r in node.api.get("/nodes/{node}/storage/local/content", vmid=400)}
    raw, qcow = rows[config["scsi0"].split(",")[0]], rows[config["scsi1"].split(",")[0]]
    assert raw["format"] == "raw" and raw["size"] == 1 << 30 and raw["vmid"] == 400, raw
    assert qcow["format"] == "qcow2" and qcow["size"] == 2 << 30, qcow
    assert len(node.images()) == 2, node.images()
    for name in node.images():
        assert os.stat(node.path("var/storage/local/images", name)).st_mode & 0o077 == 0, "a volume others can read"
    node.remove(400)
    assert node.images() == []
    assert node.api.get("/nodes/{node}/storage/local/content", vmid=400) == []


@test
def content_is_filtered_by_kind(node):
    assert node.api.get("/nodes/{node}/storage/local/content", content="iso") == []
    node.api.refused("GET", "/nodes/{node}/storage/local/content", {"content": "x y"})
    node.api.refused("GET", "/nodes/{node}/storage/none/content", text="storage 'none' does not exist")
    node.restricted("sc@pve").refused("GET", "/nodes/{node}/storage/local/content", status=403)


@test
def no_space_leaves_nothing(node):
    """A disk larger than any file may be: refused or a failed task, no volume and no guest stay."""
    for size in (99999999999, 20000000):
        assert node.api.outcome("POST", "/nodes/{node}/qemu", {"vmid": 401, "scsi0": f"local:{size},format=raw"}) != "OK"
    node.api.refused("GET", node.vm(401, "/config"), text="does not exist")
    assert node.images() == []


@test
def wrong_volumes_are_refused(node):
    for value in ("none:1", "local:", "local:x/../../etc/passwd", "/etc/passwd", "local:1,format=exe", "local:-1",
                  "local:0", "local:403/vm-403-disk-0.raw", "local:../x", "local:1,size=%00"):
        assert node.api.outcome("POST", "/nodes/{node}/qemu", {"vmid": 402, "scsi0": value}) != "OK", f"{value} was taken"
        node.api.refused("GET", node.vm(402, "/config"))
    assert node.images() == []


def upload(node, data, filename, content="iso", client=None, length=None):
    client = client or node.api
    fields = {"content": (None, content)}
    return client.http.post(client.url(f"/nodes/{node.name}/storage/local/upload"),
                            files={**fields, "filename": (filename, data)}, timeout=30)


@test
def upload_life(node):
    from lib import facts
    data = os.urandom(300_000)
    reply = upload(node, data, "Image 1.iso".replace(" ", "-"))
    path = "/nodes/n1/storage/local/upload"
    complaints = facts.check_reply("POST", path, reply.status_code, reply.reason, reply.headers["Content-Type"], reply.text)
    facts.record("POST", path, reply.status_code, complaints)
    assert reply.status_code == 200 and not complaints, (reply.text, complaints)
    assert node.api.wait_task(reply.json()["data"]) == "OK"
    row = node.api.get("/nodes/{node}/storage/local/content", content="iso")[0]
    assert row["volid"] == "local:iso/Image-1.iso" and row["size"] == len(data) and row["format"] == "iso", row
    with open(node.path("var/storage/local/template/iso/Image-1.iso"), "rb") as f:
        assert f.read() == data


@test
def upload_refusals(node):
    from lib import facts
    for name, content in (("../../evil.iso", "iso"), ("x.exe", "iso"), ("a/b.iso", "iso"), ("x.iso", "images"), ("", "iso")):
        reply = upload(node, b"x", name, content)
        facts.record("POST", "/nodes/n1/storage/local/upload", reply.status_code, [])
        if reply.status_code < 400:  # PVE takes the base name of a path; then nothing may lie outside
            node.api.wait_task(reply.json()["data"])
    for top, _, names in os.walk(node.root):
        assert "evil.iso" not in names or top.endswith("template/iso"), top
        assert "x.exe" not in names, top
    client = node.restricted("up@pve")
    assert upload(node, b"x" * 100, "n.iso", client=client).status_code == 403


@test
def broken_upload_leaves_nothing(node):
    import socket
    import ssl
    head = (f"POST /api2/json/nodes/{node.name}/storage/local/upload HTTP/1.1\r\nHost: x\r\n"
            f"Cookie: PVEAuthCookie={node.api.ticket}\r\nCSRFPreventionToken: {node.api.csrf}\r\n"
            "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 100000\r\n\r\n"
            "--B\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n"
            "--B\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"half.iso\"\r\n\r\nhalf")
    context = ssl._create_unverified_context()
    with context.wrap_socket(socket.create_connection(("127.0.0.1", node.port))) as s:
        s.sendall(head.encode())
    folder = node.path("var/storage/local")
    wait_for(lambda: not [f for _, _, names in os.walk(folder) for f in names if "half" in f or ".tmp" in f], 10,
             "the half upload to be gone")


if __name__ == "__main__":
    main()
