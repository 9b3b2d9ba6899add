"""What the files of this folder share: a keep-alive connection that costs little itself, and the table of figures,
printed and kept in BUILD/bench.json."""
import json
import os
import socket
import ssl
import statistics
import time

from lib.holm import build_dir, is_sanitized

RESULTS = {}


def note(name, unit, values, peer_name=None, peer_values=(), remark=""):
    """One line of the table."""
    row = {"unit": unit, "median": round(statistics.median(values), 3), "min": round(min(values), 3),
           "max": round(max(values), 3), "n": len(values)}
    line = f"bench {name:<44} {row['median']:>9.2f} {unit:<4} ({row['min']:.2f}-{row['max']:.2f}, n={row['n']})"
    if peer_values:
        row["peer"] = {"name": peer_name, "median": round(statistics.median(peer_values), 3), "n": len(peer_values)}
        line += f"   {peer_name}: {row['peer']['median']:.2f} {unit}"
    RESULTS[name] = row
    print(line + remark)
    keep(f"{build_dir()}/bench.json")


def keep(path):
    """Beside what the other files of this folder found."""
    rows = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            rows = json.load(f)
    with open(path, "w", encoding="utf-8") as f:
        json.dump({**rows, **RESULTS}, f, indent=1)


def within(name, unit, median, bound):
    """A promise: fails beyond it, except with sanitizers, which would be what is measured."""
    assert median <= bound or is_sanitized(), f"{name}: {median:.2f} {unit}, the bound is {bound} {unit}"


def least(name, unit, bound, measure, times=3):
    """A promise about what Holm itself costs: others on the machine only add to it. A measurement beyond the bound is
    made again, so many times in all; the least counts, and the row says of how many."""
    values = [measure()]
    while min(values) > bound and len(values) < times and not is_sanitized():
        values.append(measure())
    note(name, unit, values, remark=f"   least of {len(values)}: {min(values):.2f}, bound {bound}")
    within(name, unit, min(values), bound)


def tls(port):
    raw = socket.create_connection(("127.0.0.1", port))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ssl._create_unverified_context().wrap_socket(raw)


def unix(path):
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(path)
    return raw


class Line:
    """One keep-alive connection. Bodies are read into one buffer that is kept, as a client that is in a hurry would."""

    def __init__(self, connected):
        self.socket = connected
        self.buffer = bytearray(1 << 16)

    def get(self, path, headers=""):
        """(milliseconds, status, body); the body is valid until the next call."""
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()
        began = time.perf_counter()
        self.socket.sendall(request)
        have, end = 0, -1
        while end < 0:
            have += self.more(have)
            end = self.buffer.find(b"\r\n\r\n", 0, have)
        head = bytes(self.buffer[:end]).lower()
        if b"content-length:" in head:
            body = self.counted(end + 4, have, int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        else:
            assert b"transfer-encoding: chunked" in head, head
            body = self.chunked(end + 4, have)
        return (time.perf_counter() - began) * 1000, int(head[9:12]), body

    def more(self, have):
        if have == len(self.buffer):
            self.buffer = self.buffer + bytes(len(self.buffer))  # somebody may still look at the old one
        n = self.socket.recv_into(memoryview(self.buffer)[have:])
        assert n, "the connection ended"
        return n

    def counted(self, at, have, length):
        while have < at + length:
            have += self.more(have)
        return memoryview(self.buffer).toreadonly()[at:at + length]

    def chunked(self, at, have):
        """What Go sends when it does not know the length before."""
        parts = []
        while True:
            while (line := self.buffer.find(b"\r\n", at, have)) < 0:
                have += self.more(have)
            length = int(self.buffer[at:line], 16)
            while have < line + 4 + length:
                have += self.more(have)
            if not length:
                return b"".join(parts)
            parts.append(bytes(self.buffer[line + 2:line + 2 + length]))
            at = line + 4 + length

    def close(self):
        self.socket.close()


def cpu_ms(pids):
    """Time on a processor of these processes so far, all threads that they ever had; waiting for one on a busy machine
    is not in it. The number names the clock of a process, see clock_getcpuclockid(3)."""
    return sum(time.clock_gettime_ns((~pid) << 3 | 2) for pid in pids) / 1e6


def rate(line, path, headers, seconds, pids):
    """Requests answered each second on one connection, milliseconds of processor that each cost pids, the last body."""
    n, began, spent = 0, time.perf_counter(), cpu_ms(pids)
    while (now := time.perf_counter()) - began < seconds:
        _, status, body = line.get(path, headers)
        assert status == 200, status
        n += 1
    return n / (now - began), (cpu_ms(pids) - spent) / n, bytes(body)
