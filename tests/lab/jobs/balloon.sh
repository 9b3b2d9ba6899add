# The balloon of holm-vmm with a Debian kernel's driver: memory that the guest gives goes back to the host and returns when
# it is wanted again, statistics are plausible, and what the guest frees by itself is given back too.
# limit: 400
# set: short
# needs: holm-vmm
. /share/jobs/lib.sh
need_holm_vmm
cat >"$WORK/balloon.py" <<'PY'
import json, os, socket, subprocess, sys, time

MIB, BEGAN = 1 << 20, time.monotonic()
vmm, kernel, initrd, cmdline, log = sys.argv[1:]


class Machine:
    def __init__(self, balloon):
        self.ours, theirs = socket.socketpair()
        self.log = open(log, "wb")
        self.process = subprocess.Popen(
            [vmm, "run", "--kernel", kernel, "--initrd", initrd, "--cmdline", cmdline, "--memory", "512M", "--console", "stdio",
             "--control", f"fd={theirs.fileno()}", "--balloon", balloon],
            stdin=subprocess.PIPE, stdout=self.log, stderr=subprocess.STDOUT, pass_fds=[theirs.fileno()])
        theirs.close()
        self.ours.settimeout(60)
        self.lines, self.n = self.ours.makefile("rb"), 0
        self.wait("the guest says INIT_REACHED", lambda: b"INIT_REACHED" in self.said(), 120)

    def said(self):
        with open(log, "rb") as f:
            return f.read()

    def wait(self, what, condition, limit=90):
        end = time.monotonic() + limit * int(os.environ["SLOW"])
        while not condition():
            assert self.process.poll() is None, f"holm-vmm ended: {self.said()[-1000:]!r}"
            if time.monotonic() > end:
                print(f"LATE {what}; RSS {self.rss() // MIB} MiB, {self.stats()}, {self.said()[-500:]!r}", file=sys.stderr)
                sys.exit(75)
            time.sleep(0.3)

    def verb(self, name, **args):
        self.n += 1
        self.ours.sendall(json.dumps({"id": self.n, "verb": name, **args}).encode() + b"\n")
        while True:
            answer = json.loads(self.lines.readline())
            if answer.get("id") == self.n:
                return answer["ok"]

    def stats(self):
        return self.verb("balloon-stats")

    def counters(self):
        return next(d["counters"] for d in self.verb("stats")["devices"] if d["kind"] == "balloon")

    def run(self, command):
        """In the guest's shell; until it is done."""
        self.n += 1
        self.process.stdin.write(f"{command}; echo done=$(({self.n} + 1000000))\n".encode())
        self.process.stdin.flush()
        self.wait(command, lambda: f"done={self.n + 1000000}".encode() in self.said())

    def rss(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))

    def show(self, what):
        print(f"at {time.monotonic() - BEGAN:.0f} s: {what}: RSS {self.rss() // MIB} MiB, guest keeps {self.stats()['actual-bytes'] // MIB} MiB", flush=True)

    def end(self):
        self.process.stdin.write(b"poweroff -f\n")
        self.process.stdin.flush()
        assert self.process.wait(60) == 0


def inflation():
    m = Machine("on,stats=1,reporting=off")
    m.show("booted")
    m.wait("statistics", lambda: "free-bytes" in m.stats())
    before = m.stats()
    print("statistics:", before)
    assert 400 * MIB < before["total-bytes"] <= 512 * MIB
    assert before["free-bytes"] < before["total-bytes"] and before["available-bytes"] < before["total-bytes"]
    assert before["minor-faults"] > 0
    m.run("dd if=/dev/zero of=/tmp/f bs=1M count=200")
    m.wait("statistics with the file", lambda: m.stats()["free-bytes"] < before["free-bytes"] - 150 * MIB)
    m.run("rm /tmp/f")
    m.wait("statistics without it", lambda: m.stats()["free-bytes"] > before["free-bytes"] - 50 * MIB)
    m.show("touched")
    touched = m.rss()
    assert touched > 200 * MIB
    m.verb("balloon", bytes=192 * MIB)
    m.wait("the guest gives 320 MiB", lambda: m.stats()["actual-bytes"] == 192 * MIB)
    m.show("inflated")
    assert m.rss() < 210 * MIB and m.rss() < touched - 100 * MIB
    counters = m.counters()
    print("counters:", counters)
    assert counters["inflated-pages"] >= 320 * MIB // 4096 and counters["reported-bytes"] == 0
    m.wait("statistics that say so", lambda: m.stats()["free-bytes"] < before["free-bytes"] - 250 * MIB)
    m.verb("balloon", bytes=512 * MIB)
    m.wait("the guest has it back", lambda: m.stats()["actual-bytes"] == 512 * MIB)
    small = m.rss()
    m.run("dd if=/dev/zero of=/tmp/f bs=1M count=250")
    m.show("deflated and touched")
    assert m.rss() > small + 150 * MIB
    m.end()


def reports():
    m = Machine("on,target=448M")
    m.wait("the target of the start", lambda: m.stats()["actual-bytes"] == 448 * MIB)
    m.run("dd if=/dev/zero of=/tmp/f bs=1M count=200")
    full = m.rss()
    m.show("a file of 200 MiB")
    m.run("rm /tmp/f")
    m.wait("freed memory comes back", lambda: m.rss() < full - 150 * MIB)
    m.show("file removed")
    counters = m.counters()
    print("counters:", counters)
    assert counters["reported-bytes"] > 150 * MIB
    m.run("dd if=/dev/urandom of=/tmp/f bs=1M count=50; sha256sum /tmp/f > /tmp/s; sha256sum -c /tmp/s && echo INTACT")
    assert b"/tmp/f: OK" in m.said()
    m.end()


inflation()
reports()
PY
python3 "$WORK/balloon.py" "$HOLM_VMM" $LAB/vmlinux $LAB/initrd.img "$LEAN LAB_END=stay" "$WORK/console.log"
