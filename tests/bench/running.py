"""Guests that count as running without a hypervisor each: holmd, its monitors and its files are real, and tests/bench/
standin.c takes QEMU's place. What it answers is asked of the installed QEMU first."""
import json
import os
import shutil
import subprocess
import tempfile

from lib.holm import Node

QEMU = "/usr/bin/qemu-system-x86_64"


def ask_qemu(folder):
    """The greeting, and what a guest with one disk and no balloon answers, as the text inside the braces."""
    disk = f"{folder}/disk"
    with open(disk, "wb") as f:
        f.truncate(1 << 20)
    argv = [QEMU, "-machine", "q35", "-nodefaults", "-S", "-display", "none", "-m", "16", "-qmp", "stdio",
            "-blockdev", f"driver=file,filename={disk},node-name=file0", "-blockdev", "driver=raw,file=file0,node-name=scsi0",
            "-device", "virtio-scsi-pci,id=bus0", "-device", "scsi-hd,bus=bus0.0,drive=scsi0,id=disk0"]
    commands = ["qmp_capabilities", "query-blockstats", "query-balloon", "quit"]
    text = "".join(json.dumps({"execute": c, "id": c}) + "\n" for c in commands)
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    answers = {"greeting": lines[0]}
    for line in lines[1:]:
        answer = json.loads(line)
        name = answer.pop("id", None)
        if name:
            answers[name] = json.dumps(answer)[1:-1]
    assert '"rd_bytes"' in answers["query-blockstats"], done.stdout
    answers["version"] = subprocess.run([QEMU, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    return answers


class Running(Node):
    """A node whose QEMU is the stand-in."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hs", dir="/tmp")
        os.chmod(self.folder, 0o755)
        super().__init__()
        program = f"{self.folder}/standin"
        for name, answer in ask_qemu(self.folder).items():
            with open(f"{program}.{name}", "w", encoding="utf-8") as f:
                f.write(answer)
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "standin.c")
        subprocess.run(["gcc", "-O1", f'-DANSWERS="{program}"', source, "-o", program], check=True)
        bind = f'mount --bind {program} {QEMU} && exec "$@"'
        self.prefix = ["unshare", "--mount", "--", "sh", "-c", bind, "sh"]

    def close(self, is_checked=True):
        try:
            super().close(is_checked)
        finally:
            shutil.rmtree(self.folder)
