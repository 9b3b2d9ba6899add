"""Uploads in pieces that can be taken up again: the whole life, what is refused, who sees what, and the end of those
that nobody finishes."""
import hashlib
import os

from lib import uploads
from lib.holm import Node
from lib.tap import main, test
from lib.uploads import PATH, begin, begin_piece, file, parts, put, sha256
from lib.wait import wait_for

DATA = os.urandom(300_000)
EMPTY = sha256(b"")


def one(node, upload, client=None):
    return (client or node.api).get(f"{PATH}/{upload}")


def finish(node, upload, **params):
    return node.api.outcome("POST", f"{PATH}/{upload}/finish", params)


@test
def life(node):
    made = begin(node, "a.iso", len(DATA))
    upload = made["id"]
    assert made["received"] == 0 and made["size"] == len(DATA) and made["sha256"] == EMPTY, made
    assert made["volid"] == "local:iso/a.iso" and made["user"] == node.api.user, made
    assert list(parts(node)) == [upload] and os.stat(parts(node)[upload]).st_size == 0
    assert os.stat(parts(node)[upload]).st_mode & 0o077 == 0, "a part that others can read"
    reply = put(node, upload, 0, DATA[:100_001])
    assert reply.status == 200 and reply.data["received"] == 100_001, reply.text
    assert reply.data["sha256"] == sha256(DATA[:100_001]), "of odd lengths too"
    assert one(node, upload)["received"] == 100_001
    assert [u["id"] for u in node.api.get(PATH)] == [upload]
    assert node.api.get("/nodes/{node}/storage/local/content", content="iso") == [], "a part is no volume"
    node.restart()
    assert put(node, upload, 100_001, DATA[100_001:100_032]).data["sha256"] == sha256(DATA[:100_032]), "after a restart"
    assert put(node, upload, 100_032, DATA[100_032:]).data["received"] == len(DATA)
    assert finish(node, upload, **{"checksum": sha256(DATA), "checksum-algorithm": "sha256"}) == "OK"
    assert file(node, "a.iso") == DATA and parts(node) == {} and node.api.get(PATH) == []
    assert [v["size"] for v in node.api.get("/nodes/{node}/storage/local/content", content="iso")] == [len(DATA)]
    for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/finish")):
        node.api.refused(method, f"{PATH}/{upload}{rest}", status=404, text="no such upload")
    assert put(node, upload, 0, b"x").status == 404


@test
def an_empty_file_and_one_in_the_place_of_another(node):
    for name, content in (("b.iso", "iso"), ("b.raw", "import"), ("b", "boot"), ("b.tar.gz", "vztmpl")):
        for data in (b"", b"new" * 7):
            upload = begin(node, name, len(data), content=content)["id"]
            if data:
                assert put(node, upload, 0, data).status == 200
            assert finish(node, upload) == "OK", (name, data)
            assert file(node, name, content) == data, name
    assert os.stat(os.path.join(uploads.folder(node, "boot"), "b")).st_mode & 0o777 == 0o644, "guests' users open it"
    node.api.put("/nodes/{node}/storage/local/content/local:iso/b.iso", protected=1)
    node.api.refused("POST", PATH, {"content": "iso", "filename": "b.iso", "size": 1}, text="protected")
    assert node.api.get(PATH) == [] and parts(node) == {}


@test
def protected_meanwhile(node):
    node.api.outcome("POST", f"{PATH}/{begin(node, 'p.iso', 0)['id']}/finish")
    upload = begin(node, "p.iso", 3)["id"]
    assert put(node, upload, 0, b"new").status == 200
    node.api.put("/nodes/{node}/storage/local/content/local:iso/p.iso", protected=1)
    assert "protected" in finish(node, upload)
    assert file(node, "p.iso") == b"" and one(node, upload)["received"] == 3, "the part is still there"
    node.api.put("/nodes/{node}/storage/local/content/local:iso/p.iso", protected=0)
    assert finish(node, upload) == "OK" and file(node, "p.iso") == b"new"


@test
def refusals(node):
    good = {"content": "iso", "filename": "r.iso", "size": 5}
    for change, param in (({"filename": "../r.iso"}, "filename"), ({"filename": "r.exe"}, "filename"),
                          ({"filename": ".upload-" + "0" * 32 + ".part"}, "filename"), ({"filename": "a/r.iso"}, "filename"),
                          ({"filename": "r" * 240 + ".iso"}, "filename"), ({"content": "images"}, "content"),
                          ({"size": -1}, "size"), ({"size": (16 << 40) + 1}, "size"),
                          ({"checksum": "00", "checksum-algorithm": "md5"}, "checksum"),
                          ({"checksum": "0" * 32}, "checksum-algorithm"),
                          ({"checksum-algorithm": "md5"}, "checksum")):
        node.api.refused("POST", PATH, {**good, **change}, 400, param=param)
    node.api.refused("POST", PATH, {**good, "size": 16 << 40}, text="is full")
    node.api.refused("POST", PATH.replace("local", "none"), good, text="does not exist")
    node.api.refused("GET", PATH.replace("local", "none"), text="does not exist")
    assert parts(node) == {} and node.api.get(PATH) == []
    upload = begin(node, "r.iso", 5)["id"]
    for offset, data, status in ((1, b"x", 409), (0, b"sixsix", 500), (-1, b"x", 400)):
        reply = put(node, upload, offset, data)
        assert reply.status == status, (offset, data, reply.text)
    assert "0 of 5 bytes" in put(node, upload, 3, b"x").message
    empty = node.api.http.put(node.api.url(f"{PATH}/{upload}"), params={"offset": 0}, timeout=60,
                              headers={"Content-Type": "application/octet-stream", "Content-Length": "0"})
    assert empty.status_code == 411, empty.text
    assert put(node, upload, 0, b"x", headers={"Content-Type": "text/plain"}).status == 506
    assert put(node, upload, 0, b"x", headers={"Content-Type": "application/x-www-form-urlencoded"}).status == 501
    assert put(node, upload[:-1], 0, b"x").status == 400, "no id"
    assert put(node, "f" * 32, 0, b"x").status == 404
    assert os.stat(parts(node)[upload]).st_size == 0, "what was too much takes no space"
    node.api.refused("POST", f"{PATH}/{upload}/finish", status=409, text="0 of 5 bytes")
    node.api.refused("POST", f"{PATH}/{upload}/finish", {"checksum": "xyz", "checksum-algorithm": "md5"}, 400)
    assert put(node, upload, 0, b"12345").status == 200
    assert put(node, upload, 5, b"x").status == 409, "it is complete"
    node.api.delete(f"{PATH}/{upload}")
    assert parts(node) == {} and node.api.get(PATH) == []


@test
def checksums(node):
    for algorithm in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        right = hashlib.new(algorithm, DATA).hexdigest()
        wrong = hashlib.new(algorithm, DATA[1:]).hexdigest()
        for at_begin, at_end in ((right, None), (None, right.upper()), (wrong, right), (right, wrong)):
            def given(value):
                return {"checksum": value, "checksum-algorithm": algorithm} if value else {}
            upload = begin(node, "c.iso", len(DATA), **given(at_begin))["id"]
            assert put(node, upload, 0, DATA).status == 200
            end = finish(node, upload, **given(at_end))
            if wrong in (at_begin, at_end):
                assert "checksum does not match" in end, (algorithm, end)
                assert file(node, "c.iso") is None, "nothing of it stays"
            else:
                assert end == "OK" and file(node, "c.iso") == DATA, (algorithm, end)
                os.unlink(os.path.join(uploads.folder(node), "c.iso"))
            assert parts(node) == {} and node.api.get(PATH) == []


@test
def a_cut_off_piece_counts_as_far_as_it_came(node):
    upload = begin(node, "d.iso", len(DATA))["id"]
    s = begin_piece(node, upload, 0, len(DATA), DATA[:50_000])
    wait_for(lambda: os.stat(parts(node)[upload]).st_size == 50_000, 20, "the bytes to arrive")
    assert one(node, upload)["busy"] == 1
    assert put(node, upload, 0, DATA).status == 409, "a second writer"
    for method, rest in (("DELETE", ""), ("POST", "/finish")):
        node.api.refused(method, f"{PATH}/{upload}{rest}", status=409, text="somebody is sending")
    s.close()
    wait_for(lambda: "busy" not in one(node, upload), 20, "the cut to be noticed")
    row = one(node, upload)
    assert row["received"] == 50_000 and row["sha256"] == sha256(DATA[:50_000]), row
    assert put(node, upload, 50_000, DATA[50_000:]).status == 200
    assert finish(node, upload) == "OK" and file(node, "d.iso") == DATA


@test
def a_part_that_is_a_link_is_not_followed(node):
    secret = node.base + "/secret"
    with open(secret, "wb") as f:
        f.write(b"12")
    upload = begin(node, "l.iso", 5)["id"]
    assert put(node, upload, 0, b"12").status == 200
    part = parts(node)[upload]
    os.unlink(part)
    assert put(node, upload, 2, b"345").status == 404, "somebody removed it"
    os.symlink(secret, part)
    for end in (put(node, upload, 2, b"345").message, put(node, upload, 2, b"345").message):
        assert "not a regular file" in end, end
    os.unlink(part)
    os.link(secret, part)  # shorter than what was received, once it is cut
    os.truncate(secret, 1)
    assert "shorter" in put(node, upload, 2, b"345").message
    node.api.delete(f"{PATH}/{upload}")
    with open(secret, "rb") as f:
        assert f.read() == b"1" and file(node, "l.iso") is None


@test
def rights(node):
    size = {"content": "iso", "filename": "s.iso", "size": 5}
    nobody = node.restricted("up-none@pve")
    nobody.refused("POST", PATH, size, 403)
    nobody.refused("GET", PATH, status=403)
    mine = node.restricted("up-a@pve", **{"/storage/local": "PVEDatastoreUser"})
    other = node.restricted("up-b@pve", **{"/storage/local": "PVEDatastoreUser"})
    admin = node.restricted("up-c@pve", **{"/storage/local": "PVEDatastoreAdmin"})
    for client in (mine, other):
        client.refused("POST", PATH, size, 403, text="AllocateTemplate")
    node.api.post("/access/roles", roleid="Uploader", privs="Datastore.AllocateTemplate")
    for user in ("up-a@pve", "up-b@pve"):
        node.api.put("/access/acl", path="/storage/local", users=user, roles="Uploader")
    upload = begin(node, "s.iso", 5, mine)["id"]
    assert [u["id"] for u in mine.get(PATH)] == [upload] and other.get(PATH) == []
    assert [u["user"] for u in admin.get(PATH)] == ["up-a@pve"]
    assert put(node, upload, 0, b"12345", other).status == 404
    for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/finish")):
        nobody.refused(method, f"{PATH}/{upload}{rest}", status=403)
        other.refused(method, f"{PATH}/{upload}{rest}", status=404, text="no such upload")
    assert put(node, upload, 0, b"12345", nobody).status == 403
    assert put(node, upload, 0, b"12345", headers={"CSRFPreventionToken": "x"}).status == 401, "a page of another site"
    assert put(node, upload, 0, b"12", mine).status == 200 and put(node, upload, 2, b"345", admin).status == 200
    s = begin_piece(node, begin(node, "t.iso", 5)["id"], 0, 5, b"1")
    s.close()
    assert mine.outcome("POST", f"{PATH}/{upload}/finish") == "OK" and file(node, "s.iso") == b"12345"
    for row in node.api.get(PATH):
        wait_for(lambda: "busy" not in one(node, row["id"]), 20, "the cut to be noticed")
        node.api.delete(f"{PATH}/{row['id']}")
    records = [r for r in node.api.get("/cluster/audit", limit=500) if r.get("path", "").endswith(upload)]
    taken = {r["user"].split("!")[0] for r in records if r["method"] == "PUT" and r["status"] == 200}
    assert taken == {"up-a@pve", "up-c@pve"}, records


@test
def so_many_and_no_more(node):
    made = [begin(node, f"m{i}.iso", 1)["id"] for i in range(16)]
    reply = node.api.refused("POST", PATH, {"content": "iso", "filename": "m.iso", "size": 1}, text="too many")
    assert "a day" in reply.body["hint"], reply.body
    assert len(parts(node)) == 16
    for upload in made:
        node.api.delete(f"{PATH}/{upload}")
    assert parts(node) == {}


@test
def they_end_with_their_storage(node):
    where = node.base + "/second"
    node.api.post("/storage", storage="second", type="dir", path=where, content="iso")
    path = PATH.replace("local", "second")
    upload = node.api.post(path, content="iso", filename="x.iso", size=4)["id"]
    part = f"{where}/template/iso/.upload-{upload}.part"
    assert os.path.exists(part)
    node.api.put("/storage/second", content="vztmpl")
    assert node.api.get(path)[0]["id"] == upload, "another configuration changes nothing of it"
    node.api.delete("/storage/second")
    wait_for(lambda: not os.path.exists(part), 20, "the part to go with its storage")
    node.api.post("/storage", storage="second", type="dir", path=where, content="iso")
    wait_for(lambda: node.api.get(path) == [], 20, "and its row")
    node.api.delete("/storage/second")


@test(limit=120)
def a_day_after_the_last_piece(node):
    with Node() as own:
        old, new = begin(own, "old.iso", 10)["id"], begin(own, "new.iso", 10)["id"]
        own.restart(HOLM_CLOCK_OFFSET=str(20 * 3600))
        later = own.client()
        assert put(own, new, 0, b"12345", later).status == 200, "begins its day anew"
        own.restart(HOLM_CLOCK_OFFSET=str(25 * 3600))
        later = own.client()
        wait_for(lambda: list(parts(own)) == [new], 20, "the old part to go")
        wait_for(lambda: [u["id"] for u in later.get(PATH)] == [new], 20, "and its row")
        assert put(own, old, 0, b"1", later).status == 404
        assert put(own, new, 5, b"67890", later).status == 200
        assert later.outcome("POST", f"{PATH}/{new}/finish") == "OK" and file(own, "new.iso") == b"1234567890"


if __name__ == "__main__":
    main()
