#!/usr/bin/python3
"""The tab key in a real bash and a real zsh on a terminal. `holm` there is a script that answers completions with the
real program and otherwise prints the line that would have run."""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

from lib.holm import program
from lib.tap import main, skip, test
from lib.wait import slow

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "PS1='ready> '; bind 'set bell-style none'; bind 'set show-all-if-ambiguous on'"),
    "zsh": (["zsh", "-f", "-i"], "PS1='ready> '; unsetopt beep promptcr promptsp; autoload -Uz compinit; compinit -D -u"),
}


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, node, name):
        if not shutil.which(name):
            skip(f"{name} is not installed")
        self.bin = node.base + "/bin"
        os.makedirs(self.bin, exist_ok=True)
        # A new file each time: one that another shell still runs cannot be written to.
        with open(self.bin + "/new", "w", encoding="utf-8") as f:
            f.write(f'#!/bin/sh\n[ "$1" = completion ] && exec {program("holm")} "$@"\necho "GOT[$*]"\n')
        os.chmod(self.bin + "/new", 0o755)
        os.replace(self.bin + "/new", self.bin + "/holm")
        argv, setup = SHELLS[name]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(node.base)
            os.execvpe(argv[0], argv, {"PATH": self.bin + ":/usr/bin:/bin", "HOLM_ROOT": node.root, "TERM": "dumb",
                                       "HOME": node.base, "LC_ALL": "C.UTF-8", "COLUMNS": "200"})
        self.seen = ""
        self.say(f"{setup}; source <(holm completion {name}); echo set-$((40 + 2))\n", "set-42")
        self.say("\n", "ready> ")

    def say(self, text, until):
        """Types; what the terminal shows until the pattern comes."""
        os.write(self.fd, text.encode())
        return self.read(until)

    def read(self, until):
        end = time.monotonic() + slow(10)
        while not re.search(until, self.seen):
            left = end - time.monotonic()
            assert left > 0, f"no {until!r} in {self.seen[-600:]!r}"
            if select.select([self.fd], [], [], left)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
        found = re.search(until, self.seen)
        shown, self.seen = self.seen[:found.end()], self.seen[found.end():]
        return shown

    def completed(self, line):
        """The arguments of the command after the tab key and return."""
        got = re.search(r"GOT\[(.*?)\s*\]", self.say(line + "\t\n", r"GOT\[.*?\]"))[1]
        self.read("ready> ")
        return got

    def offered(self, line, last):
        """What is listed; the line is given up after it."""
        shown = self.say(line + "\t\t", last)
        os.write(self.fd, b"\x03")
        self.read("ready> ")
        return shown

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def drive(node, name):
    with Shell(node, name) as s:
        got = s.completed("holm stor")
        assert got == "storage", got
        assert s.completed("holm vm sho") == "vm show"
        assert s.completed("holm tfa add tot") == "tfa add totp"
        assert s.completed("holm vm list --outp") == "vm list --output"
        assert s.completed("holm vm list --output ndj") == "vm list --output ndjson"
        assert s.completed("holm vm list --output=ndj") == "vm list --output=ndjson"
        assert s.completed("holm vm list -o cs") == "vm list -o csv"
        assert s.completed("holm vm show tab-fi") == "vm show tab-first", "names of guests"
        assert s.completed("holm vm start tab-first 99") == "vm start tab-first 998", "numbers of guests"
        assert s.completed("holm storage status lo") == "storage status local"
        assert s.completed("holm user show admin@p") == "user show admin@pve"
        assert s.completed("holm vm create --pool tab-po") == "vm create --pool tab-pool"
        assert s.completed("holm role show PVEVMU") == "role show PVEVMUser"
        assert s.completed("holm storage upload tab-im") == "storage upload tab-image.iso", "local files"
        assert s.completed("holm vm nosuchver") == "vm nosuchver"
        shown = s.offered("holm vm re", "resume")
        assert "reboot" in shown and "reset" in shown and "delete" not in shown


def with_guests(node):
    if not node.api.get("/pools"):
        node.api.post("/pools", poolid="tab-pool")
        node.create(998, name="tab-first")
        node.create(887, name="other")
        with open(node.base + "/tab-image.iso", "w", encoding="utf-8") as f:
            f.write("x")


@test(limit=60)
def bash_completes(node):
    with_guests(node)
    drive(node, "bash")


@test(limit=60)
def zsh_completes(node):
    with_guests(node)
    drive(node, "zsh")


def words(node, *given):
    done = node.cli("completion", "words", "--", *given)
    assert not done.stderr, done.stderr
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


@test
def offers_what_the_table_has(node):
    assert set(words(node, "")) >= {"vm", "task", "user", "storage", "completion", "help"}
    assert words(node, "vm", "st") == ["start", "stop"]
    assert "--dry-run" in words(node, "vm", "create", "--") and "--dry-run" not in words(node, "vm", "list", "--")
    assert words(node, "vm", "set", "1", "--onboot", "") == ["yes", "no"]
    assert words(node, "help", "vm", "pend") == ["pending"]
    assert words(node, "storage", "upload", "") == [""]
    assert words(node, "vm", "list", "--", "-") == [], "after -- there are no options"


@test
def offers_nothing_that_a_shell_would_run(node):
    node.api.post("/pools", poolid="pool-x", comment="$(touch /tmp/holm-no) `x` \033[31m")
    shown = node.cli("completion", "words", "--", "pool", "show", "pool-").stdout
    assert shown.startswith("pool-x\t") and "\033" not in shown
    plain = re.compile(r"[\w.@:+/-]*\t")
    for given in (["vm", "show", ""], ["user", "show", ""], ["acl", "add", "/", "--token", ""], ["task", "show", ""]):
        done = node.cli("completion", "words", "--", *given)
        assert all(plain.match(line) for line in done.stdout.splitlines()), done.stdout


@test
def is_silent_and_quick_without_an_answer(node):
    began = time.monotonic()
    done = subprocess.run([program("holm"), "--root", node.base + "/nowhere", "completion", "words", "--", "vm", "show", ""],
                          capture_output=True, text=True, timeout=slow(20), check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done
    os.kill(node.process.pid, signal.SIGSTOP)
    try:
        assert words(node, "vm", "show", "") == []
    finally:
        os.kill(node.process.pid, signal.SIGCONT)
    assert time.monotonic() - began < slow(5), "a shell waited too long"


if __name__ == "__main__":
    main()
