"""Realm pam with real PAM and accounts of its own: holmd runs in a private mount namespace whose /etc is a copy, so that
the accounts of the machine are neither used nor changed."""
import hashlib
import os
import re
import shutil
import subprocess
import threading
import time

from lib import facts, procs
from lib.holm import PASSWORD, Node, is_sanitized
from lib.tap import main, test
from lib.wait import slow, wait_for

HOST_PASSWORD = "of the host, 9 words"
# Files of the machine that no test may change.
HOST_FILES = ("/etc/passwd", "/etc/shadow", "/etc/pam.d/common-auth")


def digest_of(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def crypted(password):
    done = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class PamNode(Node):
    def __init__(self):
        super().__init__()
        self.etc = self.base + "/etc"
        shutil.copytree("/etc", self.etc, symlinks=True, ignore_dangling_symlinks=True)
        self.prefix = ["unshare", "-m", "--propagation", "private", "sh", "-c",
                       'mount --bind "$0" /etc && exec "$@"', self.etc]
        self.uid = 40000
        self.hash = crypted(HOST_PASSWORD)
        self.gate, self.asked = self.base + "/gate", self.base + "/asked"
        with open(self.base + "/hook", "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\necho $PAM_TYPE $PAM_USER $PAM_RHOST >>{self.asked}\n"
                    f"while [ ! -e {self.gate} ]; do sleep 0.05; done\n")
        os.chmod(self.base + "/hook", 0o755)
        self.service()
        self.edit("shadow", "root", f"root:{self.hash}:19000:0:99999:7:::")

    def service(self, first=""):
        """The service as it is installed, with a line before it."""
        with open(facts.TOP + "/src/pam/holm.pam", encoding="utf-8") as f:
            text = f.read()
        with open(self.etc + "/pam.d/holm", "w", encoding="utf-8") as f:
            f.write(first + "\n" + text)

    def hooked(self, is_open=False):
        """Each login tells the hook about itself and waits for the gate to open."""
        for path in (self.gate, self.asked):
            if os.path.exists(path):
                os.unlink(path)
        if is_open:
            self.open_gate()
        self.service(f"auth required pam_exec.so quiet {self.base}/hook")

    def open_gate(self):
        with open(self.gate, "w", encoding="utf-8"):
            pass

    def said(self):
        if not os.path.exists(self.asked):
            return []
        with open(self.asked, encoding="utf-8") as f:
            return f.read().splitlines()

    def edit(self, file, name, line):
        path = f"{self.etc}/{file}"
        with open(path, encoding="utf-8") as f:
            lines = [old for old in f.read().splitlines() if not old.startswith(name + ":")]
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join([*lines, line]) + "\n")

    def account(self, name, shadow="{hash}:19000:0:99999:7:::", is_known=True):
        """An account of the "host" with HOST_PASSWORD, and by default a user of Holm."""
        self.uid += 1
        self.edit("passwd", name, f"{name}:x:{self.uid}:{self.uid}::/nonexistent:/usr/sbin/nologin")
        self.edit("shadow", name, f"{name}:{shadow.format(hash=self.hash)}")
        if is_known:
            self.api.post("/access/users", userid=name + "@pam")

    def log_in(self, user, password):
        """(reply, seconds it took)"""
        began = time.monotonic()
        reply = self.nobody().call("POST", "/access/ticket", {"username": user, "password": password})
        return reply, time.monotonic() - began

    def log_in_all(self, pairs):
        """All at once; replies in the order of the pairs."""
        logins = [Login(self, *pair) for pair in pairs]
        return [login.result() for login in logins]

    def talkers(self):
        """holm-pam processes that holmd started."""
        return [p for p in procs.descendants(self.process.pid) if procs.name(p) == "holm-pam" and procs.is_alive(p)]


class Login:
    """A login in a thread."""

    def __init__(self, node, user, password):
        self.answer = None
        self.thread = threading.Thread(target=self.run, args=(node, user, password))
        self.thread.start()

    def run(self, *args):
        self.answer = PamNode.log_in(*args)

    def result(self):
        self.thread.join(slow(40))
        assert self.answer, "a login does not end"
        return self.answer


class _Shared:
    node = None
    files = {}


def pam():
    """The file's daemon; closed by the last test."""
    if not _Shared.node:
        _Shared.files = {path: digest_of(path) for path in HOST_FILES}
        _Shared.node = PamNode().start()
    return _Shared.node


def assert_refused(answer, what=""):
    reply, seconds = answer
    assert reply.status == 401 and reply.reason == "authentication failure", f"{what}: {reply.status} {reply.text}"
    assert reply.data is None and reply.message == "authentication failure\n" and not reply.errors, reply.text
    assert seconds >= 2.9, f"{what}: refused after {seconds} s"


@test
def right_password_of_the_host_logs_in():
    node = pam()
    node.account("alice")
    for user in ("root@pam", "alice@pam"):
        reply, seconds = node.log_in(user, HOST_PASSWORD)
        assert reply.status == 200 and reply.data["username"] == user, reply.text
        assert seconds < slow(3 if is_sanitized() else 1), seconds
    root = node.client("root@pam", HOST_PASSWORD)
    root.post("/access/groups", groupid="by-root")
    assert root.get("/access/permissions")["/"]["Sys.Modify"] == 1
    reply = node.nobody().call("POST", "/access/ticket", {"username": "alice", "realm": "pam", "password": HOST_PASSWORD})
    assert reply.data["username"] == "alice@pam", reply.text


@test(limit=60)
def refusals_look_alike():
    node = pam()
    node.account("bob")
    node.account("stranger", is_known=False)
    node.account("locked", "!{hash}:19000:0:99999:7:::")
    node.account("expired", "{hash}:19000:0:99999:7::1:")
    node.account("aged", "{hash}:0:0:99999:7:::")
    node.account("blank", ":19000:0:99999:7:::")
    node.account("off")
    node.api.put("/access/users/off@pam", enable=0)
    node.api.post("/access/users", userid="ghost@pam")
    node.api.post("/access/users", userid="-rf@pam")
    cases = {
        ("bob@pam", "wrong"): "refuses the password",
        ("root@pam", "wrong"): "refuses the password",
        ("stranger@pam", HOST_PASSWORD): "no such user",
        ("ghost@pam", HOST_PASSWORD): "refuses the password",
        ("locked@pam", HOST_PASSWORD): "refuses the password",
        ("expired@pam", HOST_PASSWORD): "refuses the account",
        ("aged@pam", HOST_PASSWORD): "must be changed",
        ("blank@pam", "anything"): "refuses the password",
        ("off@pam", HOST_PASSWORD): "disabled",
        ("-rf@pam", HOST_PASSWORD): "not the name of an account",
        ("bob@pam", "x" * 600): "too long",
    }
    answers = node.log_in_all(cases)
    for (user, _), answer in zip(cases, answers):
        assert_refused(answer, user)
    log = [line for line in node.log().splitlines() if "authentication failure" in line]
    for (user, _), reason in cases.items():
        assert any(f"user={user} " in line and reason in line for line in log), (user, reason, log)
    # Who can tell them apart by the clock? All end when the wait is over, however long they took.
    spread = max(s for _, s in answers) - min(s for _, s in answers)
    assert spread < slow(1.5), spread
    assert node.log_in("bob@pam", HOST_PASSWORD)[0].status == 200


@test(limit=60)
def pam_is_told_the_address_and_never_asked_about_strangers():
    node = pam()
    node.account("carol")
    node.account("unknown", is_known=False)
    node.hooked(is_open=True)
    answers = node.log_in_all([("carol@pam", HOST_PASSWORD), ("unknown@pam", HOST_PASSWORD), ("carol@pve", HOST_PASSWORD)])
    node.service()
    assert [reply.status for reply, _ in answers] == [200, 401, 401]
    assert node.said() == ["auth carol 127.0.0.1"], node.said()


@test(limit=60)
def passwords_of_the_host_are_changed():
    node = pam()
    node.account("dave")
    node.account("erin")
    node.api.post("/access/users", userid="nowhere@pam")
    dave = node.client("dave@pam", HOST_PASSWORD)
    change = {"userid": "dave@pam", "password": "a second one, longer"}
    dave.refused("PUT", "/access/password", change, 400, param="confirmation-password")
    dave.refused("PUT", "/access/password", {**change, "confirmation-password": "not the right one"}, 401)
    assert node.log_in("dave@pam", HOST_PASSWORD)[0].status == 200
    dave.put("/access/password", {**change, "confirmation-password": HOST_PASSWORD})
    assert_refused(node.log_in("dave@pam", HOST_PASSWORD))
    assert node.log_in("dave@pam", "a second one, longer")[0].status == 200
    # Another's account of the host is root@pam's alone to change, whatever else somebody may.
    for client, password in ((node.api, PASSWORD), (dave, "a second one, longer")):
        client.refused("PUT", "/access/password", {"userid": "erin@pam", "password": "taken over", "confirmation-password":
                                                   password}, 403)
    node.api.refused("PUT", "/access/password", {"userid": "root@pam", "password": "taken over",
                                                 "confirmation-password": PASSWORD}, 403)
    root = node.client("root@pam", HOST_PASSWORD)
    root.put("/access/password", userid="erin@pam", password="from above 1")
    assert node.log_in("erin@pam", "from above 1")[0].status == 200
    root.refused("PUT", "/access/password", {"userid": "nowhere@pam", "password": "for nobody"}, 500, "did not change")
    node.cli("user", "password", "erin@pam", "--password-file", "-", stdin="from the shell\n")
    assert node.log_in("erin@pam", "from the shell")[0].status == 200


@test(limit=90)
def a_module_that_hangs_is_cut_off_and_nobody_else_waits():
    node = pam()
    node.account("frank")
    node.service("auth required pam_exec.so quiet /bin/sleep 600.0625")
    hung = Login(node, "frank@pam", HOST_PASSWORD)
    wait_for(lambda: sleepers(node), 10, "the module to hang")
    seen = 0
    while hung.thread.is_alive():
        began = time.monotonic()
        node.api.get("/version")
        assert node.log_in("admin@pve", PASSWORD)[0].status == 200
        assert time.monotonic() - began < slow(3), "others waited"
        seen += 1
        time.sleep(0.2)
    answer = hung.result()
    node.service()
    assert_refused(answer)
    assert 9.5 < answer[1] < slow(13), answer[1]
    assert seen > 5, seen
    wait_for(lambda: not sleepers(node) and not node.talkers(), 5, "what the module started to end")
    assert not left_behind()
    assert "user=frank@pam msg=" in node.log() and "did not answer in time" in node.log()
    assert node.log_in("frank@pam", HOST_PASSWORD)[0].status == 200


def left_behind():
    """Dead or alive, and nobody's child but init's, which is this program's part here. Not every init collects them."""
    return [p for p in procs.descendants(os.getpid()) if procs.name(p).startswith("holm-pam") and procs.stat(p)[0] == os.getpid()]


def sleepers(node):
    return [p for p in procs.descendants(os.getpid()) if "600.0625" in procs.cmdline(p) and procs.is_alive(p)]


@test(limit=60)
def two_talk_and_the_third_waits():
    """One place is for accounts that have logged in from this address before, one for all others."""
    node = pam()
    node.account("grace")
    node.account("george")
    assert node.log_in("grace@pam", HOST_PASSWORD)[0].status == 200
    node.hooked()
    logins = [Login(node, user, HOST_PASSWORD) for user in ("grace@pam", "grace@pam", "george@pam")]
    wait_for(lambda: len(node.said()) == 2, 10, "two conversations to begin")
    for _ in range(20):
        assert node.api.get("/version")
        assert len(node.said()) == 2 and len(node.talkers()) == 2, (node.said(), node.talkers())
    assert not secret_is_seen(HOST_PASSWORD)
    node.open_gate()
    answers = [login.result() for login in logins]
    node.service()
    assert [reply.status for reply, _ in answers] == [200] * 3, answers
    assert len(node.said()) == 3, node.said()
    assert not left_behind()


def secret_is_seen(secret):
    """In the arguments or the environment of any process of this machine."""
    mine = str(os.getpid())
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    if pid != mine and secret.encode() in f.read():
                        return pid, name
            except OSError:
                continue
    return None


# The numbers of linux/capability.h: chown, dac_override, dac_read_search, fowner, fsetid, setgid, setuid, audit_write.
KEPT_CAPABILITIES = sum(1 << bit for bit in (0, 1, 2, 3, 4, 6, 7, 29))


@test
def modules_run_confined():
    node = pam()
    node.account("judy")
    with open(node.base + "/look", "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\n{{ echo Shell: $$; cat /proc/self/status /proc/self/net/dev; env; ls /proc/self/fd; }} >{node.base}/seen\n")
    os.chmod(node.base + "/look", 0o755)
    node.service(f"auth required pam_exec.so quiet {node.base}/look")
    reply, _ = node.log_in("judy@pam", HOST_PASSWORD)
    node.service()
    assert reply.status == 200, reply.text
    with open(node.base + "/seen", encoding="utf-8") as f:
        text = f.read()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line and "=" not in line)
    assert int(fields["Shell"]) < 10, "not in a PID namespace of its own"
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert int(fields[name], 16) & ~KEPT_CAPABILITIES == 0, (name, fields[name])
    assert fields["NoNewPrivs"].strip() == "1", fields
    assert re.findall(r"^ *([a-z][a-z0-9]*):(?: +\d+){16}$", text, re.M) == ["lo"], text
    assert "PWD=/\n" in text, text
    names = {line.split("=")[0] for line in text.splitlines() if re.match(r"[A-Za-z_]+=", line)}
    assert names - {"PATH", "LANG", "PWD", "_", "SHLVL", "OLDPWD"} <= {n for n in names if n.startswith("PAM_")}, names
    descriptors = {int(line) for line in text.splitlines() if line.isdigit()}
    assert descriptors <= {0, 1, 2, 3}, descriptors  # the last is ls's own


@test(limit=60)
def many_waiting_are_refused_not_kept():
    node = pam()
    node.account("heidi")
    assert node.log_in("heidi@pam", HOST_PASSWORD)[0].status == 200
    node.hooked()
    logins = [Login(node, "heidi@pam", HOST_PASSWORD) for _ in range(20)]
    wait_for(lambda: sum(not login.thread.is_alive() for login in logins) >= 2, 10, "the surplus to be refused")
    assert node.api.get("/version")
    node.open_gate()
    statuses = sorted(login.result()[0].status for login in logins)
    node.service()
    assert statuses == [200] * 17 + [429] * 3, statuses  # one talks and sixteen of one address wait


@test(limit=60)
def a_host_without_the_service_says_so():
    node = pam()
    os.unlink(node.etc + "/pam.d/holm")
    answers = node.log_in_all([("root@pam", HOST_PASSWORD)] * 2)
    node.service()
    for answer in answers:
        assert_refused(answer)
    lines = [line for line in node.log().splitlines() if "PAM has no service 'holm'" in line and "holm.pam" in line]
    assert len(lines) == 1, lines
    assert node.log_in("root@pam", HOST_PASSWORD)[0].status == 200


@test(limit=60)
def daemon_ends_while_a_module_hangs():
    node = pam()
    node.account("ivan")
    node.account("karl")
    assert node.log_in("ivan@pam", HOST_PASSWORD)[0].status == 200
    for end in (node.stop, node.kill9):
        node.service("auth required pam_exec.so quiet /bin/sleep 600.0625")
        logins = [threading.Thread(target=try_login, args=(node, user)) for user in ("ivan@pam", "ivan@pam", "karl@pam")]
        for thread in logins:
            thread.start()
        wait_for(lambda: len(sleepers(node)) == 2, 10, "the module to hang")
        began = time.monotonic()
        end()
        assert time.monotonic() - began < slow(6), "holmd waited for PAM"
        wait_for(lambda: not sleepers(node), 5, "what the module started to end")
        assert end == node.kill9 or not left_behind()
        for thread in logins:
            thread.join()
        node.service()
        node.start()
    assert node.log_in("ivan@pam", HOST_PASSWORD)[0].status == 200


def try_login(node, user):
    try:
        node.log_in(user, HOST_PASSWORD)
    except OSError:  # the daemon ends meanwhile
        pass


@test
def nothing_of_it_stays():
    node = pam()
    assert HOST_PASSWORD not in node.log() and "a second one, longer" not in node.log()
    for top, _, names in os.walk(node.root):
        for name in names:
            path = os.path.join(top, name)
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    assert HOST_PASSWORD.encode() not in f.read(), path
    assert not node.talkers()
    node.close()
    assert {path: digest_of(path) for path in HOST_FILES} == _Shared.files, "the host's own files were changed"


if __name__ == "__main__":
    try:
        main()
    finally:
        if _Shared.node and not _Shared.node.is_dead():
            _Shared.node.close(is_checked=False)
