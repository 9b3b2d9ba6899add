"""Every operation with disks, for each engine, on each kind of storage in each format: done, and what the disk holds then is
what was written to it, read by programs that are not Holm's; or refused, for the reason that is expected. The table is the
last thing that is printed; a cell that is not as expected fails.

A guest has a disk in each place that can do snapshots, another one a disk where that cannot be: an operation on a guest
gives a cell for each of its disks. Running guests have no operating system: the hypervisor's own monitor writes. The guests
of the engine vmm are stopped ones here, loaded as after a restore, for most hosts of tests cannot start them: what it does
with the disks of running guests is shown in the lab (tests/lab/jobs/engine.py).

By default moves go to one place from each, and one that is refused; with --all (HOLM_ALL=1) every pair of places.
"""
import json
import os
import re
import subprocess

from lib import btrfs
from lib.guests import DEMO
from lib.holm import Node
from lib.tap import Skip, main, test
from lib.wait import wait_for

MIB = 1 << 20
SIZE = 32
PIECES = 16
IS_ALL = bool(os.environ.get("HOLM_ALL"))
# name: (storage, format, may have snapshots)
PLACES = {"dir/raw": ("local", "raw", False), "dir/qcow2": ("local", "qcow2", True), "reflink/raw": ("reflink", "raw", True),
          "reflink/qcow2": ("reflink", "qcow2", True), "btrfs/raw": ("btrfs", "raw", True), "btrfs/qcow2": ("btrfs", "qcow2", True)}
KEYS = {place: f"scsi{i}" for i, place in enumerate(PLACES)}
EXTRA = "scsi9"  # a disk that comes and goes in an operation
OTHER, TEMPLATE, COPY = 10, 20, 30  # added to a guest's number: who gets a disk, its template, a clone
# Why something is refused, and how it is said.
REASONS = {"no reflink": "by reference", "raw only": "only raw|raw disks only", "running": "is running",
           "live": "a disk of a running guest cannot be moved"}
OPERATIONS = []
TABLE = {}


class Refused(Exception):
    """What Holm says."""


class Operation:
    def __init__(self, function, name, state, is_each, needs):
        self.function, self.name, self.state, self.is_each, self.needs = function, name, state, is_each, needs


def operation(name, *states, each=False, needs="nothing", **more):
    """is_each: it is about one disk. needs: 'snapshots', else the guest has no such thing."""
    def register(function):
        for state in states or ("stopped",):
            OPERATIONS.append(Operation(lambda *a: function(*a, **more), name, state, each, needs))
        return function
    return register


def tool(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


class Disk:
    """One of a guest, and what was written to it."""

    def __init__(self, guest, place, key=None, content=None):
        self.guest, self.place, self.key = guest, place, key or KEYS[place]
        self.content = dict(content or {})

    @property
    def format(self):
        return "qcow2" if self.volume().endswith(".qcow2") else "raw"

    def value(self):
        value = self.guest.config().get(self.key)
        assert value, f"{self.key} is not in the configuration"
        return value

    def volume(self):
        return self.value().split(",")[0]

    def size(self):
        number, unit = re.search(r"size=(\d+)([MG])", self.value()).groups()
        return int(number) * {"M": 1, "G": 1024}[unit]

    def path(self):
        return path_of(self.guest.node, self.volume())

    def write(self, *pieces):
        """(piece, byte) each."""
        commands = [f"write -P {byte} {piece}M 64k" for piece, byte in pieces]
        if self.guest.is_running:
            for command in commands:
                self.guest.hypervisor(self.key, command)
        else:
            is_ok, text = tool("qemu-io", "-f", self.format, *(w for c in commands for w in ("-c", c)), self.path())
            assert is_ok, text
        self.content.update(pieces)

    def wrong(self, content=None):
        """What is not as it should be, or None."""
        if self.guest.is_running:
            self.guest.hypervisor(self.key, "flush")
        return wrong_content(self.path(), self.format, self.content if content is None else content, self.size())


def path_of(node, volume):
    return node.api.get(f"/nodes/{{node}}/storage/{volume.split(':')[0]}/content/{volume}")["path"]


def wrong_content(path, form, content, size):
    reads = [f"read -P {content.get(i, 0)} {i}M 64k" for i in range(PIECES)] + [f"read -P 0 {size - 1}M 1M"]
    is_ok, text = tool("qemu-io", "-r", "-U", "-f", form, *(w for c in reads for w in ("-c", c)), path)
    if not is_ok or "failed" in text:
        return "content: " + "; ".join(line for line in text.splitlines() if "failed" in line or not is_ok)[:300]
    is_ok, text = tool("qemu-img", "info", "-U", "--output=json", "-f", form, path)
    if not is_ok or json.loads(text)["virtual-size"] != size * MIB:
        return f"size: {text}, not {size} MiB"
    is_ok, text = tool("qemu-img", "check", "-U", "-q", path) if form == "qcow2" else (True, "")
    return None if is_ok else f"qemu-img check: {text}"


class Guest:
    def __init__(self, node, engine, vmid, places):
        self.node, self.engine, self.vmid = node, engine, vmid
        self.disks = [Disk(self, place) for place in places]
        self.is_running, self.counter, self.problems = False, 0, {}

    def url(self, rest="", add=0):
        return self.node.vm(self.vmid + add, rest)

    def config(self):
        return self.node.api.get(self.url("/config"))

    def hypervisor(self, key, command):
        self.node.cli("api", "POST", f"/nodes/{self.node.name}/qemu/{self.vmid}/monitor", "-d", f'command=qemu-io -d {key} "{command}"')

    def run(self, method, path, **params):
        """Like a client that waits; a refusal of either kind is an exception, and so is a warning."""
        reply = self.node.api.call(method, path, params)
        if reply.status >= 400:
            raise Refused(f"{reply.message} {reply.errors or ''}".strip())
        if not isinstance(reply.data, str) or not reply.data.startswith("UPID:"):
            return
        status = self.node.api.wait_task(reply.data, 120)
        log = self.node.api.task_log(reply.data)
        if status != "OK":
            raise Refused(status if not status.startswith("WARNINGS") else f"{status}: {log}")

    def set(self, **keys):
        self.run("PUT", self.url("/config"), **keys)

    def snapshot(self, name, **more):
        self.run("POST", self.url("/snapshot"), snapname=name, **more)
        return {d.key: dict(d.content) for d in self.disks}

    def roll_back(self, name, saved):
        self.run("POST", self.url(f"/snapshot/{name}/rollback"))
        for d in self.disks:
            d.content = dict(saved[d.key])

    def drop(self, name):
        self.run("DELETE", self.url(f"/snapshot/{name}"))

    def write(self):
        """Something that was never there before, on every disk."""
        self.counter += 1
        for d in self.disks:
            d.write((self.counter % PIECES, self.counter % 250 + 1))

    def verify(self):
        for d in self.disks:
            self.note(d, d.wrong())

    def note(self, disk, problem):
        if problem:
            self.problems.setdefault(disk.place, problem)

    def start(self):
        self.run("POST", self.url("/status/start"))
        self.is_running = True
        wait_for(lambda: self.node.api.get(self.url("/status/current")).get("qmpstatus") == "running", 60)

    def stop(self):
        self.run("POST", self.url("/status/stop"))
        self.is_running = False

    def copy(self, add, saved=None, snapname=None, full=None, source=0, **more):
        """A clone, verified, with a write that the original does not see; removed by the caller."""
        options = {k: v for k, v in (("snapname", snapname), ("full", full)) if v is not None}
        self.run("POST", self.url("/clone", source), newid=self.vmid + add, **options, **more)
        made = Guest(self.node, self.engine, self.vmid + add, [])
        made.disks = [Disk(made, d.place, d.key, (saved or {}).get(d.key, d.content)) for d in self.disks]
        name = self.node.api.get(self.url("/config", source)).get("name", self.vmid + source)
        assert made.config()["name"] == f"Copy-of-VM-{name}", made.config()
        for d in made.disks:
            self.note(d, d.wrong())
            d.write((PIECES - 1, 99))
            self.note(d, d.wrong())
            self.note(d, None if d.volume().split(":")[1].startswith(f"{self.vmid + add}/") else "it is not the copy's")
        return made

    def remove(self, add):
        self.run("DELETE", self.url("", add))


class Extra(Disk):
    """A disk of one operation, in the place of another one."""

    def __init__(self, disk, value=None, **content):
        super().__init__(disk.guest, disk.place, EXTRA, content.get("content"))
        storage, form, _ = PLACES[disk.place]
        self.guest.set(**{EXTRA: value or f"{storage}:{SIZE / 1024},format={form}"})

    def check(self, place=None):
        storage, form, _ = PLACES[place or self.place]
        volume = self.volume()
        self.guest.note(self, None if volume.startswith(f"{storage}:") and self.format == form else f"it is at {volume}")
        self.guest.note(self, self.wrong())

    def remove(self):
        """As users do: away from the machine, then away."""
        path, volume = self.path(), self.volume()
        self.guest.set(delete=EXTRA)
        config = self.guest.config()
        (unused,) = [k for k, v in config.items() if re.fullmatch(r"unused\d+", k) and v == volume]
        assert EXTRA not in config and os.path.exists(path)
        self.guest.set(delete=unused)
        assert unused not in self.guest.config() and not os.path.exists(path), path


# ---- operations ----

@operation("create, delete", "stopped", "running", each=True)
def create(g, d):
    extra = Extra(d)
    extra.check()
    extra.write((1, 1))
    extra.check()
    extra.remove()


@operation("detach, attach", "stopped", "running", each=True)
def detach(g, d):
    """Its content is kept while it is unused."""
    extra = Extra(d)
    extra.write((2, 2))
    volume = extra.volume()
    g.set(delete=EXTRA)
    assert volume in g.config().values()
    g.set(**{EXTRA: volume})
    assert [k for k, v in g.config().items() if str(v).split(",")[0] == volume] == [EXTRA], g.config()
    extra.check()
    extra.remove()


@operation("resize", "stopped", "running", each=True)
def resize(g, d):
    before = d.size()
    g.run("PUT", g.url("/resize"), disk=d.key, size="+16M")
    assert d.size() == before + 16, d.value()
    g.note(d, d.wrong())


@operation("snapshot", "stopped", "running")
def snapshot(g):
    g.write()
    g.snapshot("one")
    g.verify()
    g.write()
    g.verify()
    g.drop("one")
    g.verify()


@operation("snapshot with memory", "running")
def with_memory(g):
    saved = g.snapshot("ram", vmstate=1)
    state = g.node.api.get(g.url("/snapshot/ram/config"))["vmstate"]
    assert os.path.exists(path_of(g.node, state))
    g.write()
    g.roll_back("ram", saved)
    wait_for(lambda: g.node.api.get(g.url("/status/current")).get("qmpstatus") == "running", 60)
    g.verify()
    g.drop("ram")
    g.verify()


@operation("rollback", "stopped", "running", needs="snapshots")
def rollback(g):
    """Back, and forth on another branch."""
    was_running = g.is_running
    one = g.snapshot("one")
    g.write()
    two = g.snapshot("two")
    g.write()
    g.roll_back("one", one)
    g.is_running = False
    g.verify()
    g.write()
    three = g.snapshot("three")
    g.roll_back("two", two)
    g.verify()
    g.roll_back("three", three)
    g.verify()
    if was_running:
        g.start()
    for name in ("one", "two", "three"):
        g.drop(name)
    g.verify()


def delete(g, which):
    """Of three: the others still hold what they held."""
    was_running, names, saved = g.is_running, ["first", "second", "third"], {}
    for name in names:
        g.write()
        saved[name] = g.snapshot(name)
    g.write()
    g.drop(names.pop(which))
    g.verify()
    g.write()
    g.verify()
    for name in names:
        g.roll_back(name, saved[name])
        g.is_running = False
        g.verify()
    if was_running:
        g.start()
    for name in names:
        g.drop(name)
    g.verify()


for number, text in enumerate(("oldest", "middle", "newest")):
    operation(f"delete the {text} snapshot", "stopped", "running", needs="snapshots", which=number)(delete)


@operation("full clone", "stopped", "running")
def full_clone(g):
    g.write()
    g.copy(COPY, full=1)
    g.remove(COPY)
    g.verify()


@operation("full clone of a snapshot", "stopped", "running", needs="snapshots")
def clone_of_snapshot(g):
    saved = g.snapshot("one")
    g.write()
    g.copy(COPY, saved, snapname="one", full=1)
    g.remove(COPY)
    g.drop("one")
    g.verify()


def refusal(call):
    try:
        call()
    except Refused as e:
        return e
    return None


@operation("template, linked clone")
def template(g):
    g.copy(TEMPLATE, full=1)
    held = {d.key: {**d.content, PIECES - 1: 99} for d in g.disks}
    g.run("POST", g.url("/template", TEMPLATE))
    linked = g.copy(COPY, held, source=TEMPLATE)
    template_disks = [Disk(Guest(g.node, g.engine, g.vmid + TEMPLATE, []), d.place, d.key, held[d.key]) for d in g.disks]
    for d, below in zip(linked.disks, template_disks):
        d.write((3, 77))
        g.note(d, below.wrong())
        used = os.stat(d.path()).st_blocks * 512
        g.note(d, None if used <= 2 * MIB or d.format == "raw" else f"a linked clone uses {used} bytes")
    if any(d.format == "qcow2" for d in linked.disks):
        why = refusal(lambda: g.remove(TEMPLATE))
        assert why and "stand on" in str(why), f"a template that others stand on: {why}"
    full = {d.key: d.content for d in linked.disks}
    linked_copy = Guest(g.node, g.engine, g.vmid + COPY, [])
    linked_copy.disks = [Disk(linked_copy, d.place, d.key, full[d.key]) for d in g.disks]
    for d in linked_copy.disks:
        g.note(d, d.wrong())
    g.remove(COPY)
    g.remove(TEMPLATE)


@operation("template, full clone")
def full_of_template(g):
    g.copy(TEMPLATE, full=1)
    held = {d.key: {**d.content, PIECES - 1: 99} for d in g.disks}
    g.run("POST", g.url("/template", TEMPLATE))
    full = g.copy(COPY, held, full=1, source=TEMPLATE)
    g.remove(TEMPLATE)
    for d in full.disks:
        g.note(d, d.wrong())
    g.remove(COPY)


def move(g, d, to):
    """There and, if that went well, away: the original is gone."""
    storage, form, _ = PLACES[to]
    extra = Extra(d)
    try:
        extra.write((4, 4))
        old = extra.path()
        g.run("POST", g.url("/move_disk"), disk=EXTRA, storage=storage, format=form, delete=1)
        extra.check(to)
        assert not os.path.exists(old), "the original is still there"
        extra.write((5, 5))
        extra.check(to)
    finally:
        extra.remove()


for target in PLACES:
    operation(f"move to {target}", "stopped", "running", each=True, to=target)(move)


@operation("give to another guest", "stopped", "running", each=True)
def reassign(g, d):
    extra = Extra(d)
    try:
        extra.write((6, 6))
        g.run("POST", g.url("/move_disk"), **{"disk": EXTRA, "target-vmid": g.vmid + OTHER})
        there = Disk(Guest(g.node, g.engine, g.vmid + OTHER, []), d.place, EXTRA, extra.content)
        g.note(d, there.wrong())
        assert EXTRA not in g.config()
        g.run("POST", g.url("/move_disk", OTHER), **{"disk": EXTRA, "target-vmid": g.vmid})
        extra.check()
    finally:
        extra.remove()


def import_from(g, d, form):
    storage, own, _ = PLACES[d.place]
    extra = Extra(d, f"{storage}:0,import-from=local:import/source.{form},format={own}", content={1: 11, 15: 12})
    extra.check()
    extra.remove()


for source in ("raw", "qcow2"):
    operation(f"import {source}", "stopped", "running", each=True, form=source)(import_from)


@operation("cloud-init drive", each=True)
def cloudinit(g, d):
    storage, _, _ = PLACES[d.place]
    g.set(**{EXTRA: f"{storage}:cloudinit", "ciuser": "me"})
    g.run("PUT", g.url("/cloudinit"))
    value = g.config()[EXTRA]
    assert value.startswith(f"{storage}:{g.vmid}/vm-{g.vmid}-cloudinit.raw,media=cdrom"), value
    path = path_of(g.node, value.split(",")[0])
    with open(path, "rb") as f:
        medium = f.read()
    assert medium[32808:32814] == b"cidata" and b"user: me" in medium, medium.rstrip(b"\0")[-300:]
    g.set(delete=f"{EXTRA},ciuser")
    assert not os.path.exists(path), "a drive that was taken away leaves its medium"


@operation("discard", "running", each=True)
def discard(g, d):
    extra = Extra(d, f"{PLACES[d.place][0]}:{SIZE / 1024},format={PLACES[d.place][1]},discard=on")
    path = extra.path()
    g.hypervisor(EXTRA, "write -P 7 16M 8M")
    g.hypervisor(EXTRA, "flush")
    os.sync()
    before = os.stat(path).st_blocks * 512
    g.hypervisor(EXTRA, "discard 16M 8M")
    g.hypervisor(EXTRA, "flush")
    os.sync()
    after = os.stat(path).st_blocks * 512
    g.note(d, None if before - after >= 7 * MIB else f"the file had {before} bytes, and has {after}")
    extra.check()
    extra.remove()


# ---- what is expected ----

def expected(engine, op, place):
    """'ok', 'refused: …' or 'n/a: …'."""
    _, form, has_snapshots = PLACES[place]
    if engine == "vmm" and form == "qcow2":
        return "refused: raw only" if op.name == "create, delete" and op.state == "stopped" else "n/a"
    if engine == "vmm" and op.state == "running":
        return "lab"
    if engine == "vmm" and op.name == "template, linked clone" and not has_snapshots:
        return "refused: no reflink"  # qemu takes an overlay
    if op.needs == "snapshots" and not has_snapshots:
        return "n/a"
    if op.name.startswith("snapshot") and not has_snapshots:
        return "refused: no reflink"
    if op.name == f"move to {place}":
        return "n/a"
    if engine == "vmm" and op.name.startswith("move to ") and op.name.endswith("qcow2"):
        return "refused: raw only"
    if op.state == "running" and op.name == "give to another guest":
        return "refused: running"
    return "ok"


def is_in_default_run(engine, op, place):
    """One move from each place, and one to each; what a guest of vmm cannot have."""
    if IS_ALL or not op.name.startswith("move to "):
        return True
    if engine == "vmm" and op.name == "move to dir/qcow2":
        return True
    names = list(PLACES)
    return names[(names.index(place) + 2) % len(names)] == op.name.removeprefix("move to ")


# ---- running them ----

def reason_of(text):
    return next((f"refused: {name}" for name, said in REASONS.items() if re.search(said, text)), f"refused: {text}")


def perform(g, op, disks):
    """Outcomes of the disks."""
    g.problems = {}
    try:
        op.function(g, *disks if op.is_each else ())
        outcome = "ok"
    except Refused as e:
        outcome = reason_of(str(e))
    except AssertionError as e:
        outcome = f"wrong: {e}"
    return {d.place: f"wrong: {g.problems[d.place]}" if d.place in g.problems else outcome for d in disks}


def is_clean(g):
    """The guest's disks, and nothing else of it."""
    config = g.config()
    named = {v.split(",")[0] for k, v in config.items() if re.fullmatch(r"(scsi|unused)\d+", k)}
    mine = {d.key for d in g.disks} == {k for k in config if re.fullmatch(r"(scsi|unused)\d+", k)}
    seen = set()
    for storage in {PLACES[p][0] for p in PLACES}:
        for v in g.node.api.get(f"/nodes/{{node}}/storage/{storage}/content", content="images"):
            if v["vmid"] in (g.vmid, g.vmid + OTHER, g.vmid + TEMPLATE, g.vmid + COPY):
                seen.add(v["volid"])
    names = [s["name"] for s in g.node.api.get(g.url("/snapshot"))]
    return mine and seen == named and names == ["current"], (sorted(seen ^ named), sorted(config), names)


def clean_up(g):
    """After an operation that went wrong: the others are to have their chance."""
    for add in (COPY, TEMPLATE):
        g.node.api.outcome("DELETE", g.url("", add))
    for s in g.node.api.get(g.url("/snapshot")):
        if s["name"] != "current":
            g.node.api.outcome("DELETE", g.url(f"/snapshot/{s['name']}"))
    g.node.api.outcome("PUT", g.url("/config"), {"delete": EXTRA})
    for key in [k for k in g.config() if k.startswith("unused")]:
        g.node.api.outcome("PUT", g.url("/config"), {"delete": key})
    is_running = g.node.api.get(g.url("/status/current"))["status"] == "running"
    if is_running != g.is_running:
        g.is_running = is_running
        (g.stop if is_running else g.start)()
    for d in g.disks:
        d.write(*((piece, 1) for piece in range(PIECES)))


def run_all(guests, state):
    for op in OPERATIONS:
        if op.state != state:
            continue
        for g in guests:
            wanted = [d for d in g.disks if expected(g.engine, op, d.place) not in ("n/a", "lab") and is_in_default_run(g.engine, op, d.place)]
            row = TABLE.setdefault((g.engine, op.name, state), {})
            for disks in [[d] for d in wanted] if op.is_each else [wanted] if wanted else []:
                row.update(perform(g, op, disks))
                is_ok, what = is_clean(g)
                if not is_ok:
                    if all(row[d.place] == "ok" for d in disks):
                        row.update({d.place: f"wrong: left over: {what}" for d in disks})
                    clean_up(g)


def show(places):
    """The table; what is not as expected."""
    wrong = []
    print("matrix: " + " " * 41 + "| " + " | ".join(f"{p:<20}" for p in places))
    for engine in ("qemu", "vmm"):
        for op in OPERATIONS:
            row = TABLE.get((engine, op.name, op.state), {})
            cells = {}
            for place in places:
                should = expected(engine, op, place)
                cells[place] = row.get(place, should if should in ("n/a", "lab") else "-" if not is_in_default_run(engine, op, place) else "missing")
                if cells[place] != should and cells[place] != "-":
                    wrong.append(f"{engine}, {op.name}, {op.state}, {place}: {cells[place]}, not {should}")
            short = " | ".join(f"{cells[p].split(chr(10))[0][:20]:<20}" for p in places)
            if set(cells.values()) - {"lab", "n/a", "-"}:
                print(f"matrix: {engine:4} {op.name:27} {op.state:7} | {short}".rstrip(), flush=True)
    print("matrix: vmm  running guests: tests/lab/jobs/engine.py")
    return wrong


def make_sources(node):
    """What is imported; two pieces of it are known."""
    folder = node.path("var/storage/local/import")
    os.makedirs(folder, exist_ok=True)
    for form in ("raw", "qcow2"):
        path = f"{folder}/source.{form}"
        for argv in (["qemu-img", "create", "-q", "-f", form, path, f"{SIZE}M"],
                     ["qemu-io", "-f", form, "-c", "write -P 11 1M 64k", "-c", "write -P 12 15M 64k", path]):
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def make_storages(node):
    for name, kind, path in (("reflink", "dir", "/mnt/dir"), ("btrfs", "btrfs", "/mnt/store")):
        node.api.post("/storage", storage=name, type=kind, path=path, content="images")


def make_guests(node, engine, first, places):
    """One with snapshots, one without; and those that get a disk."""
    guests = []
    for i, some in enumerate(([p for p in places if PLACES[p][2]], [p for p in places if not PLACES[p][2]])):
        some = [p for p in some if engine == "qemu" or PLACES[p][1] == "raw"]
        g = Guest(node, engine, first + i, some)
        config = {"memory": 64, "vga": "none", "serial0": "socket", "engine": "qemu"}
        if engine == "vmm":
            config["kernel"] = DEMO["kernel"]
        node.create(first + i, scsihw="virtio-scsi-pci", **config,
                    **{KEYS[p]: f"{PLACES[p][0]}:{SIZE / 1024},format={PLACES[p][1]}" for p in some})
        node.create(first + i + OTHER, scsihw="virtio-scsi-pci", **config)
        guests.append(g)
    return [g for g in guests if g.disks]


def load_as_vmm(node, guests):
    """Their records say that they are guests of vmm, as on a host that has hardware KVM."""
    node.stop()
    dump = json.loads(node.cli("state", "dump").stdout)
    for g in guests:
        for vmid in (g.vmid, g.vmid + OTHER):
            dump["keys"][f"shared/guest/{vmid}"].update(engine="vmm", machine="direct")
    path = node.base + "/dump"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(dump, f)
    node.cli("-y", "state", "load", path, timeout=60)
    node.start()


def qcow2_of_vmm(guests):
    """The cell that no disk can stand for."""
    for g in guests:
        for place in PLACES:
            if PLACES[place][1] == "qcow2":
                outcome = perform(g, OPERATIONS[0], [Disk(g, place)])
                TABLE.setdefault(("vmm", OPERATIONS[0].name, "stopped"), {}).update(outcome)


@test(limit=1500)
def disks():
    places = [p for p in PLACES if IS_ALL or not p.startswith("reflink/")]  # btrfs copies by reference, too
    try:
        btrfs.mount("/mnt", 768)
    except Skip as e:
        print(f"matrix: only folders, nothing copies by reference here: {e}")
        places = [p for p in places if p.startswith("dir/")]
    with Node() as node:
        if len(places) > 2:
            make_storages(node)
        make_sources(node)
        mine = make_guests(node, "qemu", 100, places)
        theirs = make_guests(node, "vmm", 200, places)
        load_as_vmm(node, theirs)
        qcow2_of_vmm(theirs)
        for guests in (mine, theirs):
            for g in guests:
                for _ in range(3):
                    g.write()
            run_all(guests, "stopped")
        for g in mine:
            g.start()
        run_all(mine, "running")
        wrong = show(places)
        assert not wrong, "\n".join([f"{len(wrong)} cells"] + wrong)


if __name__ == "__main__":
    main()
