"""One libFuzzer harness for so many seconds of CPU time, and what it did with them.

Its own limits of time go by the wall clock, which says nothing where others have the machine: they are wide, and an
input that it calls slow is run again alone."""

import glob
import os
import re
import resource
import signal
import subprocess
import threading

TICKS = os.sysconf("SC_CLK_TCK")
SLOW = 2  # seconds of CPU time, with those that the program takes to start
GRACE = 60  # seconds of CPU time in which it says its last figures


def cpu_seconds(pid):
    """User and system time of the whole process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    except (OSError, IndexError):
        return None


class Run:
    """runs, cpu and edges in all; first: edges of the corpus it began with; last_new: CPU seconds at the last new
    edge; is_ok: no finding."""

    def __init__(self, name):
        self.name = name
        self.runs = self.edges = self.first = 0
        self.cpu = self.last_new = 0.0
        self.is_ok = False

    def line(self, text, pid):
        self.cpu = cpu_seconds(pid) or self.cpu
        m = re.match(r"#(\d+)\t(\w+)\s+cov: (\d+)", text)
        if m:
            self.runs = int(m[1])
            if m[2] == "INITED":
                self.first = int(m[3])
            elif int(m[3]) > self.edges and self.first:
                self.last_new = self.cpu
            self.edges = max(self.edges, int(m[3]))
        m = re.match(r"stat::number_of_executed_units:\s+(\d+)", text)
        self.runs = int(m[1]) if m else self.runs

    def describe(self):
        return (f"{self.name}: {self.runs} runs, {self.cpu:.0f} s of CPU time, {self.edges} edges ({self.first} before), "
                f"last new edge at {self.last_new:.0f} s")


def end_in_time(child, seconds, is_over):
    """Asks it to end when its time is over: then it tells its figures, which a limit of the kernel would not let it."""
    while not is_over.wait(1):
        used = cpu_seconds(child.pid)
        if used is not None and used >= seconds:
            child.send_signal(signal.SIGUSR1)
            return


def is_slow(harness, path):
    """Whether an input really takes long; one that does not is removed."""
    child = subprocess.Popen([harness, path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    usage = os.wait4(child.pid, 0)[2]
    child.returncode = 0
    if usage.ru_utime + usage.ru_stime > SLOW:
        return True
    os.unlink(path)
    return False


def run(name, harness, corpora, seconds, log, artifacts):
    """corpora: folders, what is found goes into the first. The Run at the end."""
    result = Run(name)
    argv = [harness, "-timeout=1200", "-rss_limit_mb=4096", "-print_final_stats=1",
            f"-artifact_prefix={artifacts}", f"-max_total_time={seconds * 24}", *corpora]
    is_over = threading.Event()

    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (seconds + GRACE, seconds + GRACE + 5))

    with open(log, "w", encoding="utf-8") as out, subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", preexec_fn=limit) as child:
        threading.Thread(target=end_in_time, args=(child, seconds, is_over), daemon=True).start()
        is_reported = False
        for text in child.stdout:
            result.line(text, child.pid)
            is_reported = is_reported or text.startswith("SUMMARY: ")
            out.write(f"{result.cpu:8.1f} {text}")
            out.flush()
        is_over.set()
    slow = [path for path in glob.glob(f"{artifacts}slow-unit-*") if is_slow(harness, path)]
    result.is_ok = not slow and child.returncode in (0, -signal.SIGXCPU) and not is_reported
    return result
