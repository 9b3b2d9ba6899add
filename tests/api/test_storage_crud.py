"""Storages made, changed and removed through the API; notes and protection of volumes; empty images; templates."""
import os
import subprocess

from lib.holm import Node
from lib.tap import main, test
from lib.wait import wait_for

CONTENT = "/nodes/{node}/storage/%s/content"


def make(node, storage, **params):
    path = os.path.join(node.base, storage)
    node.api.post("/storage", {"storage": storage, "type": "dir", "path": path, **params})
    return path


def put_file(folder, name, data=b"x"):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


@test
def storage_life(node):
    path = os.path.join(node.base, "one")
    reply = node.api.post("/storage", {"storage": "one", "type": "dir", "path": path, "content": "iso,images", "shared": 1})
    assert reply == {"storage": "one", "type": "dir"}, reply
    assert os.path.isdir(path), "the folder is made"
    row = node.api.get("/storage/one")
    assert row["path"] == path and row["content"] == "images,iso" and row["shared"] == 1 and row["digest"], row
    wait_for(lambda: node.api.get("/nodes/{node}/storage/one/status")["active"] == 1, 10, "the storage to be active")
    node.api.refused("POST", "/storage", {"storage": "one", "type": "dir", "path": path}, text="already defined")
    node.api.put("/storage/one", content="iso", nodes="n1", digest=row["digest"])
    changed = node.api.get("/storage/one")
    assert changed["content"] == "iso" and changed["nodes"] == "n1" and changed["path"] == path, changed
    node.api.refused("PUT", "/storage/one", {"content": "images", "digest": row["digest"]}, text="detected modified")
    node.api.put("/storage/one", delete="nodes,shared")
    assert not {"nodes", "shared"} & set(node.api.get("/storage/one"))
    node.api.delete("/storage/one")
    node.api.refused("GET", "/storage/one", text="storage 'one' does not exist")
    node.api.refused("DELETE", "/storage/one", text="storage 'one' does not exist")
    node.api.refused("PUT", "/storage/one", {"content": "iso"}, text="storage 'one' does not exist")
    assert os.path.isdir(path), "what is in it stays"


@test
def places_that_are_no_storage(node):
    os.symlink(node.root, os.path.join(node.base, "link"))
    wrong = ["relative", "/", "/proc/x", "/sys", "/dev/shm/x", "/a/../b", "/tmp/./x", node.root, node.path("etc"),
             node.path("var/state"), node.path("var/storage"), node.base, os.path.join(node.base, "link"),
             os.path.join(node.base, "link/var/state/new")]
    for path in wrong:
        before = sorted(os.listdir(node.base))
        node.api.refused("POST", "/storage", {"storage": "wrong", "type": "dir", "path": path})
        assert sorted(os.listdir(node.base)) == before, path
    inside = node.path("var/storage/second")
    node.api.post("/storage", storage="second", type="dir", path=inside)
    node.api.delete("/storage/second")
    os.unlink(os.path.join(node.base, "link"))


@test
def what_has_no_effect_is_refused_by_name(node):
    base = {"storage": "odd", "type": "dir", "path": os.path.join(node.base, "odd")}
    odd = {"bwlimit": "restore=10", "content-dirs": "iso=x", "max-protected-backups": 3, "server": "10.0.0.1", "pool": "tank",
           "vgname": "vg0", "username": "u", "password": "secret word", "nocow": 1, "saferemove": 1, "prune-backups": "keep-last=3",
           "preallocation": "metadata", "format": "vmdk", "is_mountpoint": "/elsewhere", "content": "nonsense"}
    for key, value in odd.items():
        node.api.refused("POST", "/storage", {**base, key: value}, text=None)
    for key in ("server", "pool", "nocow"):
        node.api.refused("POST", "/storage", {**base, key: odd[key]}, 400, param=key)
    for kind in ("nfs", "zfspool", "lvmthin", "pbs"):
        node.api.refused("POST", "/storage", {**base, "type": kind}, 400, param="type")
    node.api.refused("POST", "/storage", {"storage": "odd", "type": "dir"}, 400, param="path")
    node.api.refused("POST", "/storage", {**base, "storage": "o d"}, 400, param="storage")
    node.api.refused("PUT", "/storage/local", {"bwlimit": "clone=x"}, 400)
    node.api.refused("PUT", "/storage/local", {"delete": "path"}, 400, param="delete")
    assert [s["storage"] for s in node.api.get("/storage")] == ["local"]
    assert not os.path.exists(base["path"]), "a refused storage makes no folder"


@test
def settings_act(node):
    path = os.path.join(node.base, "missing")
    node.api.refused("POST", "/storage", {"storage": "strict", "type": "dir", "path": path, "create-base-path": 0})
    assert not os.path.exists(path)
    os.mkdir(path)
    node.api.post("/storage", {"storage": "strict", "type": "dir", "path": path, "create-base-path": 0, "create-subdirs": 0,
                               "prune-backups": "keep-all=1", "format": "qcow2", "content": "images,iso"})
    create = {"filename": "vm-700-disk-0", "vmid": 700, "size": "4M"}
    node.api.refused("POST", CONTENT % "strict", create, text="create-subdirs")
    os.mkdir(path + "/images")
    assert node.api.post(CONTENT % "strict", create) == "strict:700/vm-700-disk-0.qcow2", "its format is the default one"
    node.create(701, scsi0="strict:1")
    assert ".qcow2" in node.api.get(node.vm(701, "/config"))["scsi0"]
    node.remove(701)
    node.api.put("/storage/strict", disable=1)
    node.api.refused("GET", CONTENT % "strict", text="disabled")
    assert node.api.get("/nodes/{node}/storage", storage="strict")[0]["enabled"] == 0
    node.api.put("/storage/strict", disable=0, nodes="other")
    node.api.refused("GET", CONTENT % "strict", text="not available on node")
    assert "strict" not in [s["storage"] for s in node.api.get("/nodes/{node}/storage")]
    node.api.delete("/storage/strict")


@test(limit=60)
def an_unmounted_folder_is_not_used():
    node = Node()
    node.prefix = []  # it must see what is mounted later
    with node:
        path = os.path.join(node.base, "disk")
        os.mkdir(path)
        node.api.refused("POST", "/storage", {"storage": "disk", "type": "dir", "path": path, "is_mountpoint": "yes"},
                         text="nothing is mounted")
        assert os.listdir(path) == []
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", path], check=True)
        try:
            node.api.post("/storage", storage="disk", type="dir", path=path, is_mountpoint="yes")
            wait_for(lambda: node.api.get("/nodes/{node}/storage/disk/status")["active"] == 1, 10, "the disk to be used")
            assert node.api.get("/nodes/{node}/storage/disk/status")["total"] == 8 << 20
        finally:
            subprocess.run(["umount", path], check=True)
        assert node.api.get("/nodes/{node}/storage/disk/status")["active"] == 0
        node.api.refused("POST", CONTENT % "disk", {"filename": "vm-700-disk-0.raw", "vmid": 700, "size": "4M"},
                         text="nothing is mounted")
        assert os.listdir(path) == [], "nothing was written beneath the mount point"
        node.api.delete("/storage/disk")


@test
def a_storage_in_use_stays(node):
    make(node, "used", content="images")
    node.create(710, scsi0="used:1,format=raw")
    node.api.refused("DELETE", "/storage/used", text="used by guest 710")
    node.api.put(node.vm(710, "/config"), delete="scsi0")  # unused0 now
    node.api.refused("DELETE", "/storage/used", text="used by guest 710")
    node.remove(710)
    node.create(711, description="used: for notes")
    node.api.delete("/storage/used")
    node.remove(711)


@test
def rights_go_with_the_storage(node):
    make(node, "gone")
    node.api.post("/pools", poolid="keep")
    node.api.put("/pools", poolid="keep", storage="gone")
    client = node.restricted("gone@pve", **{"/storage/gone": "PVEDatastoreAdmin"})
    assert client.get("/storage/gone")["storage"] == "gone"
    node.api.delete("/storage/gone")
    assert "/storage/gone" not in [a["path"] for a in node.api.get("/access/acl")]
    make(node, "gone")
    client.refused("GET", "/storage/gone", status=403)
    assert node.api.get("/pools", poolid="keep")[0]["members"] == []
    node.api.delete("/storage/gone")
    node.api.delete("/pools", poolid="keep")
    client.refused("POST", "/storage", {"storage": "mine", "type": "dir", "path": "/tmp/mine"}, 403)


@test
def storages_outlive_a_restart(node):
    path = make(node, "kept", content="iso")
    node.restart()
    assert node.api.get("/storage/kept")["path"] == path
    os.rename(path, path + ".away")
    node.api.put("/storage/kept", **{"create-base-path": 0})
    wait_for(lambda: [s for s in node.api.get("/nodes/{node}/storage") if s["storage"] == "kept"][0]["active"] == 0, 20,
             "a missing folder to be noticed")
    os.rename(path + ".away", path)
    wait_for(lambda: [s for s in node.api.get("/nodes/{node}/storage") if s["storage"] == "kept"][0]["active"] == 1, 20,
             "the folder to be found again")
    node.api.delete("/storage/kept")


@test
def empty_images(node):
    create = {"filename": "vm-720-disk-7.raw", "vmid": 720, "size": "5M"}
    volume = node.api.post(CONTENT % "local", create)
    assert volume == "local:720/vm-720-disk-7.raw"
    data = node.api.get(CONTENT % "local" + "/" + volume)
    assert data["size"] == 5 << 20 and data["format"] == "raw" and os.path.getsize(data["path"]) == 5 << 20, data
    node.api.refused("POST", CONTENT % "local", create, text="exists already")
    for name in ("disk.raw", "vm-721-disk-0.raw", "../vm-720-x.raw", "vm-720-disk-1.vmdk"):
        node.api.refused("POST", CONTENT % "local", {**create, "filename": name}, 400, param="filename")
    node.api.refused("POST", CONTENT % "local", {**create, "size": "x"}, 400, param="size")
    node.api.refused("POST", CONTENT % "local", {**create, "filename": "vm-720-disk-8.raw", "format": "qcow2"}, 400, param="format")
    assert node.api.delete(CONTENT % "local" + "/" + volume, delay=10) is None, "it ended within the delay"
    node.api.refused("GET", CONTENT % "local" + "/" + volume, text="does not exist")
    assert node.images() == []


@test
def notes_and_protection(node):
    put_file(node.path("var/storage/local/template/iso"), "note.iso")
    url = CONTENT % "local" + "/local:iso/note.iso"
    node.api.put(url, notes="first line\nsecond: ü", protected=1)
    data = node.api.get(url)
    assert data["notes"] == "first line\nsecond: ü" and data["protected"] == 1 and data["format"] == "iso", data
    row = [r for r in node.api.get(CONTENT % "local", content="iso") if r["volid"] == "local:iso/note.iso"][0]
    assert row["notes"] == data["notes"] and row["protected"] == 1, row
    assert "protected" in node.api.outcome("DELETE", url, {})
    assert node.api.get(url), "still there"
    node.api.put(url, protected=0)
    data = node.api.get(url)
    assert "protected" not in data and data["notes"].startswith("first"), data
    node.api.put(url, notes="")
    assert "notes" not in node.api.get(url)
    node.api.refused("PUT", url, {"notes": "x" * 2049}, 400, param="notes")
    node.api.refused("PUT", CONTENT % "local" + "/local:iso/none.iso", {"notes": "x"}, text="does not exist")
    node.api.run("DELETE", url)
    node.api.refused("GET", url, text="does not exist")
    assert "does not exist" in node.api.outcome("DELETE", url, {})


@test
def names_of_volumes(node):
    for name in ("local:iso/../x.iso", "other:iso/x.iso", "local:nonsense/x", "local:"):
        node.api.refused("GET", CONTENT % "local" + "/" + name, status=400)
    node.api.refused("GET", CONTENT % "none" + "/iso/x.iso", text="storage 'none' does not exist")
    put_file(node.path("var/storage/local/template/iso"), "short.iso")
    assert node.api.get(CONTENT % "local" + "/iso/short.iso")["size"] == 1
    node.create(730, ide2="local:iso/short.iso,media=cdrom")
    node.api.refused("DELETE", CONTENT % "local" + "/iso/short.iso", text="used by guest 730")
    node.remove(730)
    node.api.run("DELETE", CONTENT % "local" + "/iso/short.iso")


@test
def rights_on_volumes(node):
    put_file(node.path("var/storage/local/template/iso"), "seen.iso")
    node.create(740, scsi0="local:1,format=raw")
    iso, disk = CONTENT % "local" + "/iso/seen.iso", CONTENT % "local" + "/740/vm-740-disk-0.raw"
    nobody, auditor = node.restricted("v0@pve"), node.restricted("v1@pve", **{"/storage/local": "PVEDatastoreUser"})
    owner = node.restricted("v2@pve", **{"/storage/local": "PVEDatastoreUser", "/vms/740": "PVEVMAdmin"})
    admin = node.restricted("v3@pve", **{"/storage/local": "PVEDatastoreAdmin"})
    nobody.refused("GET", iso, status=403)
    assert auditor.get(iso)["format"] == "iso"
    auditor.refused("GET", disk, status=403)
    assert owner.get(disk)["size"] == 1 << 30
    assert admin.get(disk)["size"] == 1 << 30
    for client in (nobody, auditor, owner):
        client.refused("PUT", iso, {"notes": "x"}, 403)
        client.refused("DELETE", iso, status=403)
    admin.put(iso, notes="x")
    admin.run("DELETE", iso)
    node.remove(740)


@test
def pruning_keeps_all(node):
    path = "/nodes/{node}/storage/local/prunebackups"
    assert node.api.get(path) == []
    put_file(node.path("var/storage/local/dump"), "vzdump-qemu-100-2024_01_02-03_04_05.vma.zst")
    put_file(node.path("var/storage/local/dump"), "mine.tar")
    rows = {r["volid"]: r for r in node.api.get(path, {"prune-backups": "keep-all=1"})}
    assert rows["local:backup/vzdump-qemu-100-2024_01_02-03_04_05.vma.zst"]["vmid"] == 100, rows
    assert rows["local:backup/mine.tar"]["mark"] == "renamed", rows
    assert len(node.api.get(path, {"type": "lxc"})) == 0 and len(node.api.get(path, {"vmid": 100})) == 1
    node.api.refused("GET", path, {"prune-backups": "keep-last=1"}, 400, param="prune-backups")
    node.api.refused("GET", "/nodes/{node}/storage/none/prunebackups", text="does not exist")


@test
def templates_are_the_administrators_list(node):
    assert node.api.get("/nodes/{node}/aplinfo") == []
    with open(node.path("etc/templates.list"), "w", encoding="utf-8") as f:
        f.write("# comment\ndebian-12_12.2-1_amd64.tar.zst http://127.0.0.1:9/x sha256:" + "0" * 64 + " A small Debian\n"
                "bad name\n../evil.tar.gz http://a/ -\nx.tar.gz ftp://a/ -\nalpine.tar.xz https://a.example/b -\n")
    rows = node.api.get("/nodes/{node}/aplinfo")
    assert [r["template"] for r in rows] == ["debian-12_12.2-1_amd64.tar.zst", "alpine.tar.xz"], rows
    assert rows[0]["version"] == "12.2-1" and rows[0]["architecture"] == "amd64" and rows[0]["headline"] == "A small Debian"
    assert rows[0]["sha256sum"] == "0" * 64 and rows[1]["package"] == "alpine", rows
    node.api.refused("POST", "/nodes/{node}/aplinfo", {"storage": "local", "template": "none"}, 400, param="template")
    node.restricted("apl@pve").refused("POST", "/nodes/{node}/aplinfo", {"storage": "local", "template": "x"}, 403)
    node.api.refused("GET", "/nodes/other/aplinfo")


@test
def uploads_take_no_file_of_the_host(node):
    reply = node.api.http.post(node.api.url(f"/nodes/{node.name}/storage/local/upload"), timeout=30, files={
        "content": (None, "iso"), "tmpfilename": (None, "/var/tmp/pveupload-0123456789abcdef"), "filename": ("x.iso", b"x")})
    assert reply.status_code == 400, reply.text


@test
def command_line(node):
    path = os.path.join(node.base, "cli")
    node.cli("storage", "create", "cli", "--path", path, "--content", "iso", "--is-mountpoint", "no")
    assert node.cli_json("storage", "show", "cli")["path"] == path
    node.cli("storage", "set", "cli", "--content", "iso,import", "--delete", "is_mountpoint")
    assert node.cli_json("storage", "show", "cli")["content"] == "iso,import"
    failed = node.cli("storage", "download", "cli", "--url", "http://127.0.0.1:1/x", "--name", "x.iso", "--content", "iso", is_checked=False)
    assert failed.returncode != 0 and "download failed" in failed.stderr, failed
    assert node.cli("storage", "info", "http://127.0.0.1:1/x", is_checked=False).returncode != 0
    assert os.listdir(os.path.join(path, "template/iso")) == []
    node.cli("storage", "delete", "cli", "-y")
    assert node.cli("storage", "show", "cli", is_checked=False).returncode != 0


if __name__ == "__main__":
    main()
