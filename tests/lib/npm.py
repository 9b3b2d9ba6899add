"""Packages of npm for tests, from the cache of tools/npm-cache."""
import functools
import shutil
import subprocess

from lib import facts
from lib.tap import skip


@functools.cache
def modules(package):
    """The folder node_modules in which NAME@VERSION is, or the test is skipped."""
    if not shutil.which("npm"):
        skip("npm is not installed")
    done = subprocess.run([f"{facts.TOP}/tools/npm-cache", package], capture_output=True, text=True, check=False)
    if done.returncode:
        skip("npm's registry cannot be reached: " + done.stderr.strip().split("\n")[-1][:100])
    return done.stdout.strip() + "/node_modules"
