"""holm tfa against a real holmd: what it makes lets its user in, what it asks for, what it refuses."""
import os
import pty
import re
import subprocess
from urllib.parse import parse_qs, unquote, urlsplit
import base64

from lib.holm import program
from lib.otp import Authenticator, ask, answer, login
from lib.tap import main, test


def authenticator(uri):
    """One with the secret and the parameters of an otpauth URI."""
    parts = urlsplit(uri)
    assert parts.scheme == "otpauth" and parts.netloc == "totp", uri
    query = {k: v[0] for k, v in parse_qs(parts.query, strict_parsing=True).items()}
    made = Authenticator(int(query["period"]), int(query["digits"]), query["algorithm"])
    made.secret = base64.b32decode(query["secret"])
    made.label, made.issuer = unquote(parts.path.lstrip("/")), query["issuer"]
    return made


def add(node, *args):
    """tfa add totp as a script does it: reads the URI, writes the code."""
    argv = [program("holm"), "--root", node.root, "tfa", "add", "totp", *args, "--code-file", "-"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        made = authenticator(p.stdout.readline().strip())
        out, err = p.communicate(made.code() + "\n", timeout=30)
    assert p.returncode == 0, err
    return made, out


@test
def totp_by_a_script(node):
    node.create_user("cli-a@pve")
    made, out = add(node, "cli-a@pve", "--description", "my phone")
    assert made.label == "Holm:cli-a@pve" and made.issuer == "Holm" and len(made.secret) == 20
    rows = node.cli_json("tfa", "list", "cli-a@pve")
    assert [(r["userid"], r["type"], r["description"], r["enable"]) for r in rows] == [("cli-a@pve", "totp", "my phone", 1)]
    assert rows[0]["id"] in out
    assert login(node, "cli-a@pve", f"totp:{made.code()}")["ticket"]
    assert "cli-a@pve" in node.cli("tfa", "list").stdout and made.text not in node.cli("tfa", "list").stdout
    node.cli("tfa", "disable", "cli-a@pve", rows[0]["id"])
    assert node.client("cli-a@pve").get("/version")
    node.cli("tfa", "enable", "cli-a@pve", rows[0]["id"])
    ask(node, "cli-a@pve")
    assert node.cli("tfa", "delete", "cli-a@pve", rows[0]["id"], is_checked=False).returncode == 64, "asks first"
    node.cli("tfa", "delete", "cli-a@pve", rows[0]["id"], "-y")
    assert node.cli_json("tfa", "list", "cli-a@pve") == []


@test
def totp_from_a_file(node):
    node.create_user("cli-b@pve")
    phone = Authenticator(period=120)
    phone.wait_for_room()
    for name, text in (("uri", phone.uri), ("code", phone.code()), ("wrong", phone.wrong())):
        with open(f"{node.base}/{name}", "w", encoding="utf-8") as f:
            f.write(text + "\n")
    args = ["tfa", "add", "totp", "cli-b@pve", "--uri-file", node.base + "/uri", "--code-file"]
    refused = node.cli(*args, node.base + "/wrong", is_checked=False)
    assert refused.returncode != 0 and "failed to verify" in refused.stderr and phone.text not in refused.stderr
    node.cli(*args, node.base + "/code")
    assert login(node, "cli-b@pve", f"totp:{phone.code()}")["ticket"]


@test
def totp_at_a_terminal(node):
    node.create_user("cli-c@pve")
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(program("holm"), ["holm", "--root", node.root, "tfa", "add", "totp", "cli-c@pve"])
    text = b""
    while b"Code of the authenticator: " not in text:
        text += os.read(fd, 4096)
    made = authenticator(re.search(rb"otpauth://\S+", text)[0].decode())
    os.write(fd, made.code().encode() + b"\n")
    try:
        while os.read(fd, 4096):
            pass
    except OSError:  # the end of a terminal
        pass
    assert os.waitpid(pid, 0)[1] == 0, text
    assert login(node, "cli-c@pve", f"totp:{made.code()}")["ticket"]


@test
def recovery_and_unlock(node):
    node.create_user("cli-d@pve")
    codes = node.cli("tfa", "add", "recovery", "cli-d@pve").stdout.split()
    assert len(codes) == 10 and all(re.fullmatch(r"([0-9a-f]{4}-){3}[0-9a-f]{4}", c) for c in codes), codes
    assert login(node, "cli-d@pve", f"recovery:{codes[9]}")["ticket"]
    again = node.cli("tfa", "add", "recovery", "cli-d@pve", is_checked=False)
    assert again.returncode != 0 and "already has" in again.stderr
    assert node.cli("tfa", "unlock", "cli-d@pve").stdout == "0\n"
    assert node.cli("tfa", "unlock", "nobody@pve", is_checked=False).returncode != 0
    assert answer(node, "cli-d@pve", ask(node, "cli-d@pve"), f"recovery:{codes[9]}").status == 401


@test
def root_on_this_host(node):
    """The local socket is root: no password is asked for, and root's own second factors are his to change."""
    node.cli("tfa", "add", "recovery", "root@pam")
    assert [r["userid"] for r in node.cli_json("tfa", "list", "root@pam")] == ["root@pam"]
    node.cli("tfa", "delete", "root@pam", "recovery", "-y")


@test
def refusals(node):
    missing = node.cli("tfa", "add", "totp", "cli-x@pve", is_checked=False)
    assert missing.returncode == 64 and "--code-file" in missing.stderr and "otpauth" not in missing.stdout
    for args in (("--totp", "otpauth://x"), ("-d", "totp=otpauth://x")):
        on_line = node.cli("api", "POST", "/access/tfa/root@pam", *args, is_checked=False)
        assert on_line.returncode == 64, "a secret on a command line"
    assert node.cli("tfa", "add", "totp", "nobody@pve", "--code-file", "-", stdin="123456", is_checked=False).returncode != 0
    assert node.cli("tfa", "delete", "root@pam", "none", "-y", is_checked=False).returncode == 3


if __name__ == "__main__":
    main()
