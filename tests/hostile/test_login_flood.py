"""Failed logins by the thousand, from as many addresses: replies that are held back cost the others nothing, and neither
do guesses at passwords."""
import multiprocessing
import resource
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

from requests.adapters import HTTPAdapter

from lib import honest, procs
from lib.client import Client
from lib.holm import PASSWORD, is_sanitized
from lib.tap import main, test
from lib.wait import slow, wait_for

CONNECTIONS = 1600
# src/front/caps.h: places, held replies, those on their last bytes; and what the process needs for itself.
FRONT_DESCRIPTORS = 500 + 512 + 128 + 40


def address(i):
    return f"127.{100 + i // 60000}.{i // 240 % 250}.{i % 240 + 1}"


def ask(context, port, i):
    """One connection from its own address: a login of its own account, or a token that nobody has."""
    s = socket.socket()
    s.settimeout(30)
    s.bind((address(i), 0))
    s.connect(("127.0.0.1", port))
    s = context.wrap_socket(s)
    if i % 4 == 0:
        body = f"username=f{i}%40pve&password=guess"
        head = f"POST /api2/json/access/ticket HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    else:
        head = f"GET /api2/json/version HTTP/1.1\r\nHost: x\r\nAuthorization: PVEAPIToken=f{i}@pve!x=none\r\n\r\n"
    s.sendall(head.encode())
    return s


def flood(port, connections, results):
    """A process of its own: the honest client's times are not to suffer from its Python. Reports the statuses."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, connections + 200), limit))
    context = ssl._create_unverified_context()
    waiting, statuses = [], {}
    for i in range(connections):
        try:
            waiting.append(ask(context, port, i))
        except OSError:
            statuses["refused"] = statuses.get("refused", 0) + 1
    for s in waiting:
        try:
            status = s.recv(12)[9:12].decode() or "closed"
        except OSError:
            status = "closed"
        statuses[status] = statuses.get(status, 0) + 1
        s.close()
    results.put(statuses)


def percentile(times, percent):
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)]


@test(limit=180)
def held_replies_take_nobodys_place(node):
    fronts = node.processes("holm-front")
    node.api.get("/version")
    memory = sum(map(procs.memory_kib, fronts)) + procs.memory_kib(node.process.pid)
    results = multiprocessing.get_context("fork").Queue()
    process = multiprocessing.get_context("fork").Process(target=flood, args=(node.port, CONNECTIONS, results))
    process.start()
    times, descriptors, fresh = [], 0, []
    while process.is_alive() and results.empty():
        began = time.monotonic()
        node.api.get("/cluster/resources")
        times.append(time.monotonic() - began)
        descriptors = max(descriptors, sum(map(procs.fds, fronts)))
        if len(times) % 50 == 0:  # and a new connection finds a place
            began = time.monotonic()
            client = node.nobody()
            client.get("/access/domains")
            fresh.append(time.monotonic() - began)
    statuses = results.get(timeout=60)
    process.join()
    p99 = percentile(times, 99)
    print(f"{len(times)} requests, median {percentile(times, 50) * 1000:.1f} ms, p99 {p99 * 1000:.0f} ms, new connections "
          f"{max(fresh) * 1000:.0f} ms at most; {descriptors} descriptors; flood got {statuses}")
    assert max(fresh) < slow(2), fresh
    assert statuses.get("401", 0) >= CONNECTIONS // 2, statuses
    assert set(statuses) <= {"401", "429", "closed", "refused"}, statuses
    assert descriptors > 200, f"only {descriptors}: the flood was none"
    assert descriptors <= FRONT_DESCRIPTORS * len(fronts), descriptors
    after = sum(map(procs.memory_kib, fronts)) + procs.memory_kib(node.process.pid)
    assert is_sanitized() or after - memory < 64 * 1024, f"{memory} KiB before, {after} after"
    wait_for(lambda: sum(map(procs.fds, fronts)) < 60 * len(fronts), 30, "held replies to go", step=0.2)
    honest.check_pace(node, p99)


class SourceAddress(HTTPAdapter):
    def __init__(self, source):
        self.source = source
        super().__init__()

    def init_poolmanager(self, *args, **kw):
        super().init_poolmanager(*args, source_address=(self.source, 0), **kw)


def login(node, source, user, password):
    client = Client(node.url, node.name)
    client.http.mount("https://", SourceAddress(source))
    return client.call("POST", "/access/ticket", {"username": user, "password": password})


@test(limit=120)
def strangers_do_not_take_the_workers(node):
    """While strangers' logins fill their share and its queue, whoever was here before logs in."""
    node.api.post("/access/users", userid="regular@pve", password=PASSWORD)
    assert login(node, "127.7.0.1", "regular@pve", PASSWORD).status == 200
    with ThreadPoolExecutor(99) as pool:
        strangers = [pool.submit(login, node, f"127.7.1.{i}", f"flood{i}@pve", "guess") for i in range(1, 100)]
        times, most_workers = [], 0
        while not all(s.done() for s in strangers):
            began = time.monotonic()
            assert login(node, "127.7.0.1", "regular@pve", PASSWORD).status == 200
            times.append(time.monotonic() - began)
            most_workers = max(most_workers, len(node.processes("holm-worker")))
        statuses = [s.result().status for s in strangers]
    print(f"{len(times)} logins, slowest {max(times):.2f} s; strangers got {({c: statuses.count(c) for c in set(statuses)})}")
    assert set(statuses) <= {401, 429} and statuses.count(401) >= 60, statuses
    assert most_workers <= 4, most_workers
    assert max(times) < slow(3), f"a known user waited {max(times):.1f} s for a login"


if __name__ == "__main__":
    main()
