#!/usr/bin/python3
"""The manual pages: clean for both formatters, and the same as what the programs say of themselves."""
import glob
import os
import re
import subprocess

from lib import facts
from lib.holm import build_dir, program
from lib.tap import main, test

MAN1 = f"{build_dir()}/src/cli/man1"
HOLMD = f"{build_dir()}/src/daemon/holmd.8"
VMM = f"{build_dir()}/src/cli/holm-vmm.8"
# mandoc wants a date in the title; ours has a version.
ALLOWED = "missing date"


def run(*argv, **options):
    env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "400", "MANROFFOPT": ""}
    return subprocess.run(argv, capture_output=True, text=True, env=env, check=False, **options)


def pages():
    found = sorted(glob.glob(MAN1 + "/*.1"))
    assert len(found) > 10, found
    return [*found, HOLMD, VMM]


def text(path):
    return re.sub(r".\x08", "", run("mandoc", "-Tutf8", "-Owidth=400", path).stdout)


def help_of(*args):
    done = run(program("holm"), *args, "--help")
    assert done.returncode == 0, done.stderr
    return done.stdout


@test(limit=60)
def formatters_have_no_complaint():
    for path in pages():
        lint = [line for line in run("mandoc", "-Tlint", "-Wwarning", path).stdout.splitlines() if ALLOWED not in line]
        assert not lint, lint[0]
        groff = run("groff", "-man", "-ww", "-Tutf8", "-z", path)
        assert groff.returncode == 0 and not groff.stderr, f"{path}: {groff.stderr[:300]}"


@test(limit=60)
def each_noun_has_a_page_with_all_that_help_says():
    nouns = re.findall(r"^  (\w+) +\S", help_of().split("\n\nfor every")[0], re.M)
    assert {f"holm-{n}.1" for n in nouns} | {"holm.1"} == set(os.listdir(MAN1))
    for noun in nouns:
        page, listing = text(f"{MAN1}/holm-{noun}.1"), help_of(noun)
        verbs = re.findall(r"^  ([a-z]+(?: [a-z]+)?)(?= )", listing, re.M) if "VERB --help" in listing else [""]
        assert verbs, listing
        for verb in verbs:
            said = help_of(noun, *verb.split())
            synopsis = re.search(r"^usage: (.*)$", said, re.M)[1]
            assert re.search(rf"^ +{re.escape(synopsis)}$", page, re.M), f"{noun}: no {synopsis!r}"
            part = page.split(synopsis + "\n", 1)[1]
            for option in re.findall(r"^  (--[a-z0-9-]+)", said.split("for every command:")[0], re.M):
                assert re.search(rf"^ +{option}\b", part, re.M), f"{noun} {verb}: no {option}"
            assert re.search(r"^example: (.*)$", said, re.M)[1].replace("…", "...") in part, f"{noun} {verb}: no example"


@test
def general_page_has_options_and_exit_codes():
    page = text(MAN1 + "/holm.1")
    for option in re.findall(r"^  (--[a-z-]+)", help_of(), re.M):
        assert re.search(rf"^ +{option}\b", page, re.M), option
    with open(f"{facts.TOP}/src/cli/cli_priv.h", encoding="utf-8") as f:
        codes = set(re.findall(r"^    EXIT_\w+ = (\d+),", f.read(), re.M))
    assert len(codes) > 10 and set(re.findall(r"^ +(\d+) +[A-Z]", page, re.M)) == codes


@test
def daemon_page_has_its_options():
    said, page = run(program("holmd"), "--help").stdout, text(HOLMD)
    options = re.findall(r"^  (--[a-z-]+)( [A-Z:]+)? +(\S.*)$", said, re.M)
    assert len(options) > 5, said
    for name, value, about in options:
        assert re.search(rf"^ +{name}{value}\s+{re.escape(about)}$", page, re.M), name
    assert run(program("holmd"), "--no-such-option").returncode == 64


@test
def hypervisor_page_has_its_options():
    said, page = run(f"{build_dir()}/src/vmm/holm-vmm", "run", "--help").stdout, text(VMM)
    options = re.findall(r"^  (--[a-z]+) (\S+)\n +(\S.*)$", said, re.M)
    assert len(options) > 8, said
    for name, value, about in options:
        assert re.search(rf"^ +{name} {re.escape(value)}\s+{re.escape(about)}$", page, re.M), name


if __name__ == "__main__":
    main()
