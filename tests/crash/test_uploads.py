"""Uploads in pieces: kill -9 of holmd at every named point that one passes, a worker that is killed, and a full disk."""
import os
import subprocess
from collections import Counter

import requests

from lib import procs
from lib.client import ApiError
from lib.holm import Node
from lib.tap import main, skip, test
from lib.uploads import PATH, begin, begin_piece, file, parts, put, sha256
from lib.wait import wait_for

DATA = os.urandom(50_000)
NAME = "crash.iso"
POINTS = ("state.", "storage.part.")  # those that are an upload's
HITS = 4  # the first of each: a row is written for the beginning, for each piece and for the end


def read_hits(path):
    with open(path, encoding="utf-8") as f:
        return Counter(p for p in f.read().split() if p.startswith(POINTS))


def upload_all(node):
    """Takes up what is there, or begins; to the end. The daemon may die at any moment: None then."""
    try:
        rows = node.api.get(PATH)
        row = rows[0] if rows else begin(node, NAME, len(DATA))
        assert row["sha256"] == sha256(DATA[:row["received"]]), row
        for middle in (20_001, len(DATA)):
            if row["received"] < middle:
                reply = put(node, row["id"], row["received"], DATA[row["received"]:middle])
                assert reply.status == 200, reply.text
                row = reply.data
        return node.api.outcome("POST", f"{PATH}/{row['id']}/finish")
    except (requests.ConnectionError, requests.Timeout):
        return None


def remove(node):
    node.api.outcome("DELETE", f"/nodes/{{node}}/storage/local/content/local:iso/{NAME}")


def check(node, point):
    """The file is there whole or not at all; each part has a row and each row a part."""
    assert file(node, NAME) in (None, DATA), f"{point}: half a file"
    rows = node.api.get(PATH)
    assert {r["id"] for r in rows} == set(parts(node)) and len(rows) <= 1, f"{point}: {rows}, {parts(node)}"
    return rows


@test(limit=300)
def killed_at_each_point():
    with Node() as node:
        log = node.base + "/points"
        node.restart(HOLM_FP_LOG=log)
        before = read_hits(log)
        assert upload_all(node) == "OK"
        hits = read_hits(log)
        assert {"storage.part.created", "storage.part.renaming", "storage.part.renamed"} <= set(hits), hits
        n_finished = 0
        for point, n in [(p, before[p] + 1 + n) for p in sorted(hits) for n in range(min(hits[p] - before[p], HITS))]:
            remove(node)
            node.restart(HOLM_FP=f"{point}=kill@{n}")
            end = upload_all(node)
            if end is None:
                node.wait_dead()
            node.restart(is_killed=True)
            rows = check(node, f"{point}@{n}")
            n_finished += not rows and file(node, NAME) == DATA
            if file(node, NAME) is None:
                assert upload_all(node) == "OK", point
            assert file(node, NAME) == DATA and check(node, point) == []
        assert n_finished, "no kill came after the file had its name"


@test(limit=60)
def a_worker_is_killed(node):
    upload = begin(node, "worker.iso", len(DATA))["id"]
    assert put(node, upload, 0, DATA[:1000]).status == 200
    with begin_piece(node, upload, 1000, len(DATA) - 1000, DATA[1000:20_000]):
        wait_for(lambda: os.stat(parts(node)[upload]).st_size == 20_000, 30, "the bytes to arrive")
        for worker in procs.find(node.root, "holm-worker"):
            procs.kill(worker)
    wait_for(lambda: os.stat(parts(node)[upload]).st_size == 1000, 30, "a piece that failed to take no space")
    wait_for(lambda: "busy" not in node.api.get(f"{PATH}/{upload}"), 30, "the end of the piece")
    assert node.api.get(f"{PATH}/{upload}")["received"] == 1000
    assert put(node, upload, 1000, DATA[1000:]).status == 200
    assert node.api.outcome("POST", f"{PATH}/{upload}/finish") == "OK" and file(node, "worker.iso") == DATA


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True)


@test(limit=120)
def a_full_disk_in_the_middle():
    if os.geteuid() != 0:
        skip("needs root")
    node = Node()
    small = os.path.join(node.base, "small")
    os.makedirs(small)
    run("mount", "-t", "tmpfs", "-o", "size=6M", "tmpfs", small)  # before holmd, which has mounts of its own
    try:
        with node.start():
            fill_it(node, small)
    finally:
        run("umount", small)


def fill_it(node, small):
    data = os.urandom(4 << 20)
    path = PATH.replace("local", "small")
    node.api.post("/storage", storage="small", type="dir", path=small, content="iso")
    node.api.refused("POST", path, {"content": "iso", "filename": "x.iso", "size": 7 << 20}, text="is full")
    upload = node.api.post(path, content="iso", filename="x.iso", size=len(data))["id"]
    part = f"{small}/template/iso/.upload-{upload}.part"

    def send(offset, piece):
        return node.api.http.put(node.api.url(f"{path}/{upload}"), params={"offset": offset}, data=piece,
                                 headers={"Content-Type": "application/octet-stream"}, timeout=60)
    assert send(0, data[:1 << 20]).status_code == 200
    with open(small + "/filler", "wb") as f:
        f.write(bytes(3 << 20))
    reply = send(1 << 20, data[1 << 20:])
    assert reply.status_code == 500 and "is full" in reply.text, reply.text
    wait_for(lambda: os.stat(part).st_size == 1 << 20, 20, "the piece to be cut off")
    row = node.api.get(f"{path}/{upload}")
    assert row["received"] == 1 << 20 and row["sha256"] == sha256(data[:1 << 20]), row
    os.unlink(small + "/filler")
    assert send(1 << 20, data[1 << 20:]).status_code == 200
    assert node.api.outcome("POST", f"{path}/{upload}/finish") == "OK"
    with open(f"{small}/template/iso/x.iso", "rb") as f:
        assert f.read() == data
    try:
        node.api.delete("/storage/small")
    except ApiError as e:
        raise AssertionError(f"the storage is still in use: {e}") from e


if __name__ == "__main__":
    main()
