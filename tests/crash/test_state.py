"""Damaged state files are refused with one clear sentence; nothing is changed; the good file works again."""
import os
import shutil

from lib.holm import Node
from lib.tap import main, test


def database(node):
    for top, _, names in os.walk(node.root):
        if "holm.db" in names:
            return os.path.join(top, "holm.db")
    raise AssertionError("no holm.db")


def refused(node, what):
    """holmd must end by itself, not by a signal, and say why in a line that names the file."""
    begin = len(node.log())
    node.launch()
    code = node.wait_dead(15)
    said = [line for line in node.log()[begin:].splitlines() if line.strip()]
    assert code > 0, f"{what}: ended with {code}: {said}"
    about = [line for line in said if "holm.db" in line or "state database" in line]
    assert about and len(said) <= 4, f"{what}: said {said}"


def damaged(node, what, damage):
    """Damages the stopped node's database, expects refusal, restores it."""
    path = database(node)
    good = node.base + "/good.db"
    shutil.copyfile(path, good)
    damage(path)
    with open(path, "rb") as f:
        left = f.read()
    refused(node, what)
    with open(path, "rb") as f:
        assert f.read() == left, f"{what}: the damaged file was changed"
    shutil.copyfile(good, path)


def prepared():
    node = Node().start()
    node.create(100, name="precious")
    node.stop()
    return node


def overwrite(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


@test(limit=60)
def truncated():
    with prepared() as node:
        size = os.path.getsize(database(node))
        for left in (size // 2, 4096, 100):
            damaged(node, f"truncated to {left}", lambda p, n=left: os.truncate(p, n))
        node.start()
        assert node.api.get(node.vm(100, "/config"))["name"] == "precious"


@test(limit=60)
def emptied_while_guests_are_defined():
    """An empty file is a valid new database; but the text copies say that something was here, and they must stay."""
    with prepared() as node:
        for left in (0, 1):
            path, good = database(node), node.base + "/good.db"
            shutil.copyfile(path, good)
            os.truncate(path, left)
            for attempt in ("first", "second"):  # an empty file may get its tables; it must not then pass for a good one
                refused(node, f"truncated to {left}, {attempt} start")
                assert node.conf(100), "the text copy is gone as well"
            shutil.copyfile(good, path)
        node.start()
        assert node.api.get(node.vm(100, "/config"))["name"] == "precious"


@test(limit=60)
def overwritten():
    with prepared() as node:
        damaged(node, "header", lambda p: overwrite(p, 0, b"garbage, not SQLite"))
        damaged(node, "schema page", lambda p: overwrite(p, 100, os.urandom(400)))
        damaged(node, "noise", lambda p: overwrite(p, 0, os.urandom(os.path.getsize(p))))
        node.start()
        assert node.api.get(node.vm(100, "/config"))["name"] == "precious"


@test(limit=60)
def from_a_newer_version():
    import sqlite3
    def newer(path):
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version=99")
        db.commit()
        db.close()
    with prepared() as node:
        damaged(node, "newer", newer)
        node.start()


@test(limit=60)
def nonsense_in_a_value():
    """One bad record must not take the others with it: refused clearly, or left out with a word in the log."""
    import sqlite3
    with prepared() as node:
        path = database(node)
        db = sqlite3.connect(path)
        rows = db.execute("SELECT key FROM kv WHERE key LIKE 'shared/%100%'").fetchall()
        assert rows, "no record of guest 100"
        db.execute("INSERT INTO kv(key,value,revision) SELECT replace(key,'100','101'),'{not json',revision FROM kv WHERE key=?",
                   rows[0])
        db.commit()
        db.close()
        node.launch()
        try:
            node.wait_ready()
        except AssertionError:
            assert node.process.returncode and node.process.returncode > 0, node.log_tail()
            return
        assert node.api.get(node.vm(100, "/config"))["name"] == "precious"
        assert "101" in node.log(), "not a word about the bad record"


@test(limit=30)
def second_daemon_is_refused():
    with Node() as node:
        other = Node()
        other.root = node.root
        other.launch()
        assert other.wait_dead(10) > 0
        assert "another holmd is using this root" in other.log(), other.log_tail()
        assert node.api.get("/version")
        shutil.rmtree(other.base)


if __name__ == "__main__":
    main()
