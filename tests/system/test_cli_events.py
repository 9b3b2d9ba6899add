#!/usr/bin/python3
"""holm events against a real holmd: what people see, what programs get, how it ends."""
import json
import re
import signal
import subprocess
import threading

from lib.holm import program
from lib.tap import main, test
from lib.wait import slow, wait_for

BASE = 760


class Following:
    """holm events in the background; its lines as they come."""

    def __init__(self, node, *args):
        self.process = subprocess.Popen([program("holm"), "--root", node.root, "events", *map(str, args)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def until(self, pattern, timeout=10):
        def found():
            return next((line for line in self.lines if re.search(pattern, line)), None)
        try:
            return wait_for(found, timeout)
        except AssertionError:
            raise AssertionError(f"no {pattern!r} in {self.lines[-10:]}, exit {self.process.poll()}") from None

    def end(self, number=signal.SIGINT):
        """The exit code and standard error."""
        if number:
            self.process.send_signal(number)
        code = self.process.wait(slow(10))
        self.reader.join(10)
        self.process.stdout.close()
        with self.process.stderr as f:
            return code, f.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def changed(node, vmid, **settings):
    node.api.put(node.vm(vmid, "/config"), **settings)


def marked(node, follower, vmid):
    """The follower hears of changes from here on; what is there has been told to it."""
    n = 0

    def has_come():
        nonlocal n
        n += 1
        changed(node, vmid, name=f"mark{n}")
        return any("mark" in line for line in follower.lines)
    wait_for(has_come, 10, "the first change", step=0.2)


@test
def people_see_changes(node):
    node.create(BASE, name="there-already", memory=64)
    node.create(BASE + 1)
    with Following(node) as f:
        marked(node, f, BASE + 1)
        assert re.fullmatch(r"TIME +KIND +ID +CHANGE", f.lines[0]), f.lines[0]
        assert "there-already" not in str(f.lines), "what was there is no change"
        changed(node, BASE, name="two", tags="x")
        line = f.until("name=two")
        assert re.match(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  guest +qemu/{BASE} +\S", line), line
        assert "tags=x" in line and "uptime" not in line and "cpu" not in line, line
        changed(node, BASE, delete="tags")
        f.until("no tags")
        node.create(BASE + 2, name="fresh")
        line = f.until(f"qemu/{BASE + 2} +new")
        assert "vmid=" not in line and "uptime=" not in line, line
        node.remove(BASE + 2)
        f.until(rf"qemu/{BASE + 2} +removed$")
        f.until(r"task +UPID:\S+:qmcreate:\S+ +new, .*type=qmcreate")
        f.until(r"task +UPID:\S+:qmcreate:\S+ +.*status=OK")
        assert f.end() == (0, ""), "Ctrl-C is how it ends"
    for number in (signal.SIGTERM, signal.SIGHUP):
        with Following(node, "-q") as f:
            marked(node, f, BASE + 1)
            assert not f.lines[0].startswith("TIME")
            assert f.end(number) == (0, "")


@test
def programs_get_the_lines(node):
    node.create(BASE + 4, name="json")
    with Following(node, "-o", "json") as f:
        f.until('"ping"')
        changed(node, BASE + 4, name="other")
        f.until('"other"')
        wait_for(lambda: '"ping"' in f.lines[-1], 10)
        assert f.end() == (0, "")
        lines = [json.loads(line) for line in f.lines]
    assert lines[0] == {"type": "hello", "node": node.name, "is_complete": False}, lines[0]
    assert {"row", "delta", "ping"} <= {m["type"] for m in lines}, lines
    row = next(m for m in lines if m.get("id") == f"qemu/{BASE + 4}")
    assert row["type"] == "row" and row["row"]["name"] == "json", row
    cursor = lines[-1]["cursor"]
    with Following(node, "-o", "ndjson", "--cursor", cursor) as f:
        f.until('"ping"')
        assert json.loads(f.lines[0])["is_complete"] is True, f.lines[0]
        assert not any('"row"' in line for line in f.lines), f.lines
        f.end()


@test
def of_some_kinds_with_metrics(node):
    node.create(BASE + 5, memory=64)
    node.api.run("POST", node.vm(BASE + 5, "/status/start"))
    with Following(node, "--kind", "task,node", "--metrics") as f, Following(node, "-o", "json", "--kind=node") as g:
        f.until(r"node +node/\S+ +cpu=[\d.]+%")
        g.until('"ping"')
        node.api.run("POST", node.vm(BASE + 5, "/status/stop"))
        f.until(":qmstop:")
        assert not [line for line in f.lines if "qemu/" in line], f.lines
        assert f.end() == (0, "") and g.end() == (0, "")
        assert {json.loads(line).get("kind") for line in g.lines} == {None, "node"}, g.lines
    with Following(node, "--kind", "guest") as f, Following(node, "--kind", "guest", "--metrics") as g:
        node.api.run("POST", node.vm(BASE + 5, "/status/start"))
        g.until(r"uptime=00:00:0[2-9]", 20)
        marked(node, f, BASE + 5)
        assert not [line for line in f.lines if "uptime" in line], f.lines
        f.end(), g.end()
    node.remove(BASE + 5)


@test
def wrong_usage(node):
    def refused(*args):
        done = node.cli("events", *args, is_checked=False)
        assert done.returncode == 64, f"{args}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr
    for kinds in ("vm", "", "guest,", ",guest", "guest,,task", "guest task", "x" * 100):
        assert "guest|node|storage|task" in refused("--kind", kinds), kinds
    refused("-o", "csv")
    refused("-o", "name")
    refused("-c", "id")
    refused("now")


@test
def completion_of_kinds(node):
    def words(*given):
        out = node.cli("completion", "words", "--", *given).stdout
        return [line.split("\t")[0] for line in out.splitlines()]
    assert words("eve") == ["events"]
    assert set(words("events", "--")) >= {"--kind", "--metrics", "--cursor"}
    assert words("events", "--kind", "") == ["guest", "node", "storage", "task"]
    assert words("events", "--kind", "guest,t") == ["guest,task"]
    assert words("events", "--kind=guest,t") == ["--kind=guest,task"]
    assert words("events", "--kind", "$(x),t") == []


@test
def a_cursor_that_is_too_old(node):
    node.create(BASE + 6)
    with Following(node, "--cursor", "x") as f:
        marked(node, f, BASE + 6)
        code, said = f.end()
        assert code == 0 and said == "warning: some changes were missed and are not shown\n", said


@test
def its_ends(node):
    """A reader that goes, a time that is over, a daemon that goes."""
    assert node.cli("events", "--timeout", 1, is_checked=False).returncode == 8
    with subprocess.Popen([program("holm"), "--root", node.root, "events", "-o", "json"], stdout=subprocess.PIPE) as p:
        head = subprocess.run(["head", "-n", "1"], stdin=p.stdout, capture_output=True, text=True, check=True)
        p.stdout.close()
        assert '"hello"' in head.stdout and p.wait(slow(5)) == 0, "its reader has gone"
    with Following(node) as f, Following(node, "-o", "json") as g:
        g.until('"ping"')
        node.restart()
        code, said = g.end(None)
        assert code == 69 and "closed the connection" in said, said
        code, said = f.end(None)
        assert code == 69 and said.startswith("error: "), said
    assert node.cli("events", "--timeout", 1, "--root", node.base + "/nowhere", is_checked=False).returncode == 69


if __name__ == "__main__":
    main()
