#!/usr/bin/python3
"""holm storage upload over everything that breaks off: the client, the daemon, its worker; and what is never mixed."""
import os
import pty
import re
import signal
import subprocess
import time

import requests

from lib import procs
from lib.holm import Node, program
from lib.tap import main, test
from lib.uploads import PATH, begin, begin_piece, file, parts, put, sha256
from lib.wait import slow, wait_for

MIB = 1 << 20
PIECE = 32 * MIB


def make_file(node, name, size):
    """Bytes of which no two places are the same."""
    data = os.urandom(MIB) * (size // MIB) + os.urandom(size % MIB)
    data = b"".join(i.to_bytes(8, "big") + data[i * MIB + 8:(i + 1) * MIB] for i in range(size // MIB)) + data[size // MIB * MIB:]
    path = os.path.join(node.base, name)
    with open(path, "wb") as f:
        f.write(data)
    return path, data


def start(node, *args):
    argv = [program("holm"), "--root", node.root, "storage", "upload", *map(str, args)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process, code=0):
    _, err = process.communicate(timeout=slow(100))
    assert process.returncode == code, (process.returncode, err)
    return err


def writers(node):
    """Workers that have a part open."""
    found = []
    for pid in procs.find(node.root, "holm-worker"):
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        found += [pid] if any(link.endswith(".part") for link in links) else []
    return found


def hold_worker(node):
    """Stops the worker that receives, so that what follows happens in the middle of a piece. Its pid."""
    found = []
    wait_for(lambda: found.extend(writers(node)) or found, 60, "a worker", step=0.001)
    os.kill(found[0], signal.SIGSTOP)
    return found[0]


def answers(node):
    try:
        return node.api.get("/version")
    except requests.ConnectionError:
        return None


def received(node, client=None):
    return [u["received"] for u in (client or node.api).get(PATH) if "busy" not in u]


@test(limit=120)
def the_client_is_killed(node):
    path, data = make_file(node, "killed.iso", 2 * PIECE + 12345)
    first = start(node, path)
    wait_for(lambda: any(u["received"] >= PIECE for u in node.api.get(PATH)), 60, "a piece to be there", step=0.002)
    first.kill()
    first.wait()
    wait_for(lambda: received(node), 30, "the cut to be noticed")
    before = received(node)[0]
    assert before >= PIECE and file(node, "killed.iso") is None
    part = parts(node)
    again = node.cli("storage", "upload", path, timeout=100)
    assert again.returncode == 0 and file(node, "killed.iso") == data
    assert len(part) == 1 and parts(node) == {} and node.api.get(PATH) == []


@test(limit=120)
def another_files_bytes_are_never_mixed(node):
    path, data = make_file(node, "mixed.iso", 3 * MIB)
    for change in (0, 1 * MIB, 2 * MIB - 1):  # a part of another file with the same name and size
        other = bytearray(data)
        other[change] ^= 1
        upload = begin(node, "mixed.iso", len(data))["id"]
        assert put(node, upload, 0, bytes(other[:2 * MIB])).status == 200
        assert node.cli("storage", "upload", path, timeout=60).returncode == 0
        assert file(node, "mixed.iso") == data
        assert list(parts(node)) == [upload], "it was left alone"
        assert "mixed.iso" in node.cli("storage", "uploads", "local").stdout
        node.cli("storage", "upload-delete", "local", upload, "-y")
        assert parts(node) == {}
    upload = begin(node, "mixed.iso", len(data))["id"]
    assert put(node, upload, 0, data[:2 * MIB]).status == 200
    n_before = len(node.api.get("/cluster/audit", limit=500))
    node.cli("storage", "upload", path, timeout=60)
    new = node.api.get("/cluster/audit", limit=len(node.api.get("/cluster/audit", limit=500)) - n_before)
    sent = [r for r in new if r.get("method") == "PUT"]
    assert [r["params"]["offset"] for r in sent] == [str(2 * MIB)], "only what was missing was sent"
    assert file(node, "mixed.iso") == data and parts(node) == {}


@test
def checksums_and_refusals(node):
    path, data = make_file(node, "sums.iso", 100_000)
    args = ("storage", "upload", path, "--checksum-algorithm", "sha256", "--checksum")
    wrong = node.cli(*args, sha256(b"other"), is_checked=False)
    assert wrong.returncode == 7 and "checksum does not match" in wrong.stderr, wrong.stderr
    assert file(node, "sums.iso") is None and parts(node) == {}
    node.cli(*args, sha256(data))
    assert file(node, "sums.iso") == data
    empty, _ = make_file(node, "empty.iso", 0)
    node.cli("storage", "upload", empty)
    assert file(node, "empty.iso") == b""
    assert node.cli("storage", "upload", path, "--storage", "none", is_checked=False).returncode == 3
    assert node.cli("storage", "upload", path, "--name", "x.exe", "--content", "iso", is_checked=False).returncode == 64


@test(limit=200)
def the_daemon_is_killed_and_comes_again():
    with Node() as node:
        path, data = make_file(node, "again.iso", PIECE + 777)
        client = start(node, path)
        worker = hold_worker(node)
        node.kill9()
        procs.kill(worker)
        node.start()
        worker = hold_worker(node)  # the client came back by itself; once more
        node.kill9()
        node.start()
        procs.kill(worker)  # one that outlived its daemon holds the part until it ends
        assert "the connection is lost" in end(client)
        assert file(node, "again.iso") == data and parts(node) == {} and node.api.get(PATH) == []
        assert node.api.get("/nodes/{node}/storage/local/content", content="iso")[0]["size"] == len(data)


@test(limit=120)
def the_front_is_killed():
    with Node() as node:
        path, data = make_file(node, "front.iso", 3 * MIB)
        upload = begin(node, "front.iso", len(data))["id"]
        with begin_piece(node, upload, 0, len(data), data[:MIB]):
            wait_for(lambda: os.stat(parts(node)[upload]).st_size == MIB, 30, "the bytes to arrive")
            for front in procs.find(node.root, "holm-front"):
                procs.kill(front)
        wait_for(lambda: answers(node), 30, "another front")
        wait_for(lambda: node.api.get(f"{PATH}/{upload}").get("busy") is None, 30, "the cut to be noticed")
        row = node.api.get(f"{PATH}/{upload}")
        assert row["received"] == MIB and row["sha256"] == sha256(data[:MIB]), row
        node.cli("storage", "upload", path)
        assert file(node, "front.iso") == data and parts(node) == {}


@test(limit=60)
def progress_on_a_terminal(node):
    path, _ = make_file(node, "seen.iso", PIECE)
    ours, theirs = pty.openpty()
    client = subprocess.Popen([program("holm"), "--root", node.root, "storage", "upload", path],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    begun = time.monotonic()
    worker = hold_worker(node)
    wait_for(lambda: time.monotonic() - begun > 1.5, 30, "a rate to be told")
    os.kill(worker, signal.SIGCONT)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert client.wait(slow(60)) == 0, seen
    assert re.search(rb"%  [0-9.]+ [KM]iB of 32 MiB, [0-9.]+ .?i?B/s, \d\d:\d\d:\d\d left", seen), seen


if __name__ == "__main__":
    main()
