"""faultfs: a program that knows nothing of it fails at the call that was named, and calls are counted."""
import os
import subprocess
import sys
import tempfile

LIB = sys.argv[1]


def run(fault, folder, count=4):
    log = os.path.join(folder, "log")
    if os.path.exists(log):
        os.unlink(log)
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "LD_PRELOAD": LIB, "HOLM_FAULT": fault, "HOLM_FAULT_LOG": log}
    out = os.path.join(folder, "target")
    done = subprocess.run(["dd", "if=/dev/zero", "of=" + out, "bs=512", f"count={count}", "conv=fsync"],
                          env=env, capture_output=True, text=True)
    lines = open(log).read().splitlines() if os.path.exists(log) else []
    return done.returncode, done.stderr, lines


def main():
    with tempfile.TemporaryDirectory() as folder:
        code, err, lines = run("write:0:EIO:target", folder)
        assert code == 0 and len(lines) == 4, (code, err, lines)
        assert lines[3] == f"write 4 {folder}/target", lines
        code, err, lines = run("write:3:ENOSPC:target", folder)
        assert code == 1 and "No space left on device" in err and len(lines) == 3, (code, err, lines)
        assert os.path.getsize(os.path.join(folder, "target")) == 1024
        code, err, lines = run("write:3:ENOSPC:elsewhere", folder)
        assert code == 0 and not lines, (code, err, lines)
        code, err, lines = run("fsync:1:once:5:target", folder)
        assert code == 1 and "Input/output error" in err, (code, err)
        code, err, lines = run("open:1:sticky:EACCES:target", folder)
        assert code == 1 and "Permission denied" in err, (code, err)
        code, err, lines = run("nonsense", folder)
        assert code != 0 and "not understood" in err, (code, err)


main()
