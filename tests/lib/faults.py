"""File accesses of a daemon that fail on purpose: the shim tests/lib/faultfs.c, given at its start or armed while it runs."""
import glob
import os

from lib.holm import build_dir, is_sanitized


def shim():
    found = glob.glob(f"{build_dir()}/tests/**/*faultfs*.so", recursive=True)
    assert found, f"no faultfs shim below {build_dir()}/tests"
    return found[0]


def faulty(fault):
    """Environment of a daemon under the shim; a sanitizer's runtime must come first."""
    asan = os.popen("gcc -print-file-name=libasan.so").read().strip() if is_sanitized() else ""
    return {"LD_PRELOAD": f"{asan} {shim()}".strip(), "HOLM_FAULT": fault}


class Faults:
    """Of paths that contain a text, changed while the daemon runs; restarts it."""

    def __init__(self, node, substring):
        self.spec, self.log, self.substring = node.base + "/faults", node.base + "/hits", substring
        self.disarm()
        node.restart(**{**faulty("@" + self.spec), "HOLM_FAULT_LOG": self.log})

    def arm(self, nth, error):
        """The n-th access from now on fails; 0: they are only counted."""
        self._write(f"any:{nth}:once:{error}:{self.substring}")

    def disarm(self):
        self._write("")

    def _write(self, text):
        with open(self.spec + ".new", "w", encoding="ascii") as f:
            f.write(text + "\n")
        os.rename(self.spec + ".new", self.spec)
        if os.path.exists(self.log):
            os.unlink(self.log)

    def hits(self):
        """Of each access since then: what it was and where."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as f:
            return f.read().splitlines()
