"""The page's own unit tests (web/test) with node's runner, and its types."""
import os
import re
import subprocess

from lib import facts
from lib.tap import main, skip, test
from lib.wait import slow

WEB = f"{facts.TOP}/web"


def node(*argv):
    return subprocess.run(argv, cwd=WEB, capture_output=True, text=True, check=False, timeout=slow(60))


def need_packages():
    done = subprocess.run([f"{facts.TOP}/tools/web"], capture_output=True, text=True, check=False, timeout=slow(100))
    assert done.returncode == 0, done.stdout + done.stderr
    if not os.path.exists(f"{WEB}/node_modules/.holm-lock"):
        skip(done.stderr.strip().split("\n")[-1])


@test(limit=120)
def unit_tests():
    need_packages()
    done = node("node", "build.mjs", "--test")
    assert done.returncode == 0, done.stderr
    done = node("node", "--test", "--test-reporter=tap", "dist-test/")
    counts = {k: int(v) for k, v in re.findall(r"^# (tests|pass|fail) (\d+)$", done.stdout, re.M)}
    assert done.returncode == 0 and counts["fail"] == 0 and counts["pass"] >= 20, done.stdout[-5000:] + done.stderr
    print(f"{counts['pass']} unit tests")


@test(limit=120)
def types_are_right():
    need_packages()
    done = node("node_modules/.bin/tsc", "--noEmit")
    assert done.returncode == 0, done.stdout[-3000:]


if __name__ == "__main__":
    main()
