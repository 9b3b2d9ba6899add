"""The outer machine (L1) of the lab: a QEMU under TCG whose emulated CPU has SVM, with the agent of guest/agent in it.

    with Outer(parts, folder) as outer:
        outer.share("share", path, "/share")
        for status, seconds in outer.jobs([...])

The agent's line is QEMU's standard input and output. The machine ends with its Outer, and with the process that made it.
"""
import ctypes
import glob
import hashlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time

MEMORY_MB = 3584
# What takes the kernel time under TCG and shows nothing here is left out.
CMDLINE = ("console=ttyS0 panic=-1 reboot=t quiet mitigations=off tsc=reliable no_timer_check nokaslr cryptomgr.notests "
           "random.trust_cpu=1")
# On a busy machine; a healthy agent speaks every two seconds.
BOOT_LIMIT, SILENCE_LIMIT, RESUME_LIMIT = 180, 90, 60
STOOD_STILL = 20  # silent for so long, it is looked at, and nothing in it was in time
OVERTIME = 60  # beyond a job's limit, at which the agent ends it
SHARES = 2
VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
PR_SET_PDEATHSIG = 1


class Hung(Exception):
    """The machine does not answer, or is gone."""
    whom = "outer machine"


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Outer:
    def __init__(self, parts, folder, tsc_khz):
        """parts: folders by name, of tests/lab/image; folder: for sockets and logs, made new; tsc_khz: what tsc-khz says.

        A kernel that measures the counter on a busy host may be six times off, and its clock with it."""
        self.parts, self.folder, self.tsc_khz = parts, folder, tsc_khz
        self.children, self.shares, self.buffer = [], 0, b""
        self.qemu = self.qmp = None
        self.longest_silence = 0  # seconds between two lines of the agent, since the last job began
        self.began, self.is_up = time.monotonic(), False
        os.makedirs(folder, exist_ok=True)

    def argv(self):
        argv = ["qemu-system-x86_64", "-name", "holm-lab", "-accel", "tcg,thread=multi,tb-size=1024",
                "-M", "q35,memory-backend=mem", "-cpu", "EPYC-Rome", "-smp", "2", "-m", str(MEMORY_MB),
                "-object", f"memory-backend-memfd,id=mem,size={MEMORY_MB}M,share=on",
                "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-kernel", self.parts["kernel"] + "/vmlinux", "-initrd", self.parts["initrd-outer"] + "/initrd.img",
                "-append", f"{CMDLINE} tsc_early_khz={self.tsc_khz}",
                "-serial", f"file:{self.folder}/console.log", "-chardev", "stdio,id=agent,signal=off", "-serial", "chardev:agent",
                "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off", "-device", "virtio-rng-pci"]
        disks = [(self.parts["outer"] + "/root.img", "on"), (self.parts["inner"] + "/root.img", "on"),
                 (self.folder + "/scratch.img", "off")]
        for n, (path, readonly) in enumerate(disks):
            argv += ["-drive", f"file={path},if=none,id=d{n},format=raw,readonly={readonly},cache=unsafe,discard=unmap",
                     "-device", f"virtio-blk-pci,drive=d{n}"]
        for n in range(SHARES):
            argv += ["-device", f"pcie-root-port,id=port{n},chassis={n + 1},slot={n + 1}"]
        return argv

    def start(self, *more):
        with open(self.folder + "/scratch.img", "wb") as f:
            f.truncate(16 << 30)
        with open(self.folder + "/qemu.log", "wb") as log:
            self.qemu = subprocess.Popen([*self.argv(), *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                         preexec_fn=die_with_parent)
        os.set_blocking(self.qemu.stdout.fileno(), False)

    def boot(self, cache=None):
        """Starts it and waits for the agent. cache: a folder for the state of a machine that has booted, to go on from."""
        state = cache and self.state_file(cache)
        if not state or not self.resume(state):
            self.start()
            self.expect("ready", BOOT_LIMIT)
            if state:
                self.save(state)
        self.is_up = True
        self.ask(f"time {time.time():.3f}")
        return self

    # --- a start from the state of a machine that has booted ---

    def state_file(self, cache):
        """Its name stands for all that the state depends on: what boots, QEMU, the processor and its clock."""
        argv = " ".join(a.replace(self.folder, "") for a in self.argv()).replace(f"tsc_early_khz={self.tsc_khz}", "")
        version = subprocess.check_output(["qemu-system-x86_64", "--version"], text=True)
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            model = next((line for line in f if line.startswith("model name")), "")
        key = hashlib.sha256(f"{argv} {version} {model} {round(self.tsc_khz / 1000)}".encode()).hexdigest()[:16]
        return f"{cache}/state-{key}/state"

    def resume(self, state):
        """Goes on from a saved state; False if there is none, or if it is no good: then it is removed."""
        if not os.path.exists(state):
            return False
        try:
            self.start("-incoming", f"exec:cat {state}")
            self.wait_status(RESUME_LIMIT)
            self.command("cont")
            self.ask("time 0", RESUME_LIMIT)
            os.utime(f"{os.path.dirname(state)}.used")
            return True
        except (Hung, OSError) as error:
            print(f"lab: the saved machine does not go on ({error}); booting", flush=True)
            self.end_qemu()
            shutil.rmtree(os.path.dirname(state), ignore_errors=True)
            return False

    def wait_status(self, limit):
        """Until the state is read: the machine is then paused, as it was when it was saved."""
        deadline = time.monotonic() + limit
        while not os.path.exists(self.folder + "/qmp") or self.command("query-status")["status"] == "inmigrate":
            if self.qemu.poll() is not None or time.monotonic() > deadline:
                raise Hung("its state is not read")
            time.sleep(0.02)

    def save(self, state):
        """Keeps the machine's state, and lets it run on."""
        os.makedirs(os.path.dirname(state), exist_ok=True)
        part = f"{state}.{os.getpid()}"
        self.command("stop")
        self.command("migrate-set-parameters", **{"max-bandwidth": 1 << 30})
        self.command("migrate", uri=f"exec:cat >{part}")
        deadline = time.monotonic() + RESUME_LIMIT
        while (status := self.command("query-migrate").get("status")) not in ("completed", "failed"):
            if time.monotonic() > deadline:
                raise Hung("its state is not written")
            time.sleep(0.05)
        if status == "completed":
            os.rename(part, state)
            with open(f"{os.path.dirname(state)}.used", "w", encoding="ascii"):
                pass
        elif os.path.exists(part):
            os.unlink(part)
        self.command("cont")

    # --- the agent's line ---

    def say(self, text):
        try:
            self.qemu.stdin.write(text.encode() + b"\n")
            self.qemu.stdin.flush()
        except BrokenPipeError as error:
            raise Hung("QEMU is gone") from error

    def read_line(self, limit):
        """The agent's next line, or Hung after so many seconds."""
        began = time.monotonic()
        is_looked_at = limit <= STOOD_STILL or not self.is_up
        with selectors.DefaultSelector() as selector:
            selector.register(self.qemu.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                wait = began + (limit if is_looked_at else STOOD_STILL) - time.monotonic()
                if not selector.select(max(0, wait)):
                    if is_looked_at:
                        raise Hung(f"silent for {limit} s")
                    self.look()
                    is_looked_at = True
                    continue
                data = self.qemu.stdout.read(4096)
                if not data:
                    raise Hung(f"QEMU ended with {self.qemu.wait(30)}")
                self.buffer += data
        self.longest_silence = max(self.longest_silence, time.monotonic() - began)
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode(errors="replace").strip().split()

    def look(self):
        """Writes to silence.log what a silent machine does: the registers and the time of QEMU's threads, twice. Between
        them a byte on the agent's line, whose interrupt gets a processor on that has lost the one of its timer."""
        with open(self.folder + "/silence.log", "a", encoding="utf-8") as log:
            for n in range(2):
                log.write(f"--- {time.strftime('%H:%M:%S')} of {time.monotonic() - self.began:.0f} s\n{self.threads()}")
                try:
                    log.write(self.command("human-monitor-command", **{"command-line": "info registers -a"}))
                except Hung as error:
                    log.write(f"QEMU does not answer: {error}\n")
                if n == 0:
                    self.say("")
                    time.sleep(2)

    def threads(self):
        """The name, state and times of QEMU's threads, one a line."""
        text = ""
        for path in sorted(glob.glob(f"/proc/{self.qemu.pid}/task/*/stat")):
            with open(path, encoding="ascii", errors="replace") as f:
                name, _, rest = f.read().partition(") ")
                words = rest.split()
                text += f"{name}) {words[0]} user {words[11]} system {words[12]}\n"
        return text

    def expect(self, verb, limit):
        """Reads until a line begins with the verb; the rest of it."""
        deadline = time.monotonic() + limit
        while True:
            words = self.read_line(SILENCE_LIMIT if self.is_up else limit)  # it says nothing while it boots
            if words and words[0] == verb:
                return words[1:]
            if time.monotonic() > deadline:
                raise Hung(f"no '{verb}' within {limit} s")

    def ask(self, text, limit=60):
        self.say(text)
        if self.expect("did", limit) != ["0"]:
            raise Hung(f"the agent cannot: {text}")

    # --- what is given to it ---

    def command(self, execute, **arguments):
        """A command of QMP; what it returns. A QEMU that is gone or does not answer is a hang."""
        try:
            return self.exchange(execute, arguments)
        except (OSError, ValueError) as error:
            raise Hung(f"{execute}: {error}") from error

    def exchange(self, execute, arguments):
        if not self.qmp:
            line = socket.socket(socket.AF_UNIX)
            line.settimeout(60)
            line.connect(self.folder + "/qmp")
            self.qmp, self.qmp_file = line, line.makefile("rw", encoding="utf-8")
            self.qmp_file.readline()
            self.exchange("qmp_capabilities", {})
        self.qmp_file.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
        self.qmp_file.flush()
        while True:
            answer = json.loads(self.qmp_file.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise Hung(f"{execute}: {answer['error']['desc']}")

    def share(self, path, where):
        """Mounts a folder of this machine in the outer one."""
        tag, n = f"share{self.shares}", self.shares
        self.shares += 1
        path_socket = f"{self.folder}/{tag}"
        program = next(p for p in VIRTIOFSD if os.path.exists(p))
        with open(f"{path_socket}.log", "wb") as log:
            daemon = subprocess.Popen([program, f"--socket-path={path_socket}", "-o", f"source={path}", "-o", "cache=auto",
                                       "-o", "sandbox=chroot"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                      preexec_fn=die_with_parent)
        self.children.append(daemon)
        deadline = time.monotonic() + 30
        while not os.path.exists(path_socket):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise Hung(f"virtiofsd does not start, see {path_socket}.log")
            time.sleep(0.01)
        self.command("chardev-add", id=tag, backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": path_socket}}, "server": False}})
        self.command("device_add", driver="vhost-user-fs-pci", id=f"fs{n}", chardev=tag, tag=tag, bus=f"port{n}")
        self.ask(f"mount {tag} {where}")

    def job(self, name, limit, command):
        """Runs a job; (exit status, seconds). Hung when the machine stops or goes far beyond the job's limit."""
        self.longest_silence = 0
        self.say(f"run {name} {limit} {command}")
        _, status, seconds = self.expect("done", limit + OVERTIME)
        return int(status), int(seconds)

    def end_qemu(self):
        if self.qmp:
            self.qmp_file.close()
            self.qmp.close()
        if self.qemu:
            self.qemu.kill()
            self.qemu.wait()
            self.qemu.stdout.close()
            try:
                self.qemu.stdin.close()
            except BrokenPipeError:
                pass
        self.qmp = self.qemu = None
        self.buffer = b""

    def close(self):
        self.end_qemu()
        for child in self.children:
            child.kill()
            child.wait()
        for name in ("scratch.img", "qmp"):
            if os.path.exists(f"{self.folder}/{name}"):
                os.unlink(f"{self.folder}/{name}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
