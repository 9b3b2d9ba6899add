"""Packages of npm for tests, from the cache of tools/npm-cache."""
import functools
import shutil
import subprocess

from lib import facts
from lib.tap import skip


@functools.cache
def _find(package):
    """(folder, why there is none)"""
    if not shutil.which("npm"):
        return None, "npm is not installed"
    done = subprocess.run([f"{facts.TOP}/tools/npm-cache", package], capture_output=True, text=True, check=False)
    if done.returncode:
        return None, "npm's registry cannot be reached: " + done.stderr.strip().split("\n")[-1][:100]
    return done.stdout.strip() + "/node_modules", None


def fetch(*packages):
    """While there is a network: for programs that enter a namespace without one."""
    for package in packages:
        _find(package)


def modules(package):
    """The folder node_modules in which NAME@VERSION is, or the test is skipped."""
    folder, problem = _find(package)
    if problem:
        skip(problem)
    return folder
