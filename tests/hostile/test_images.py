"""qcow2 images that strangers made. Those with a name each have one thing that is wrong, or odd; the others are drawn: sound
images with a few fields or bytes changed (the seed is printed; HOLM_SEED gives another one). What our readers say is held
against qemu-img, which knows nothing of Holm; what is let in must read as qemu-img reads it, what is not must leave nothing."""
import json
import os
import random
import resource
import shutil
import subprocess
import tempfile

from lib import block, qcow2
from lib.guests import volume_path
from lib.holm import build_dir
from lib.honest import Watch
from lib.qcow2 import COMPRESSED, COPIED, ZERO, Image
from lib.tap import main, test

ALL = bool(os.environ.get("HOLM_ALL"))
SEED = int(os.environ.get("HOLM_SEED", "1"))
DRAWN = 1500 if ALL else 400
COPIES = 150 if ALL else 12  # of those that are taken: copied, and compared
BY_API = 60 if ALL else 6
PROBE_KIB = 400 << 10
VM = 100
MIB = 1 << 20

# Why an image is refused that qemu-img opens. Everything else that is refused, qemu-img refuses.
STRICTER = {
    "names a data file without saying so": "qemu-img ignores that name",
    "header extensions": "qemu-img reads on beyond the first 4 KiB, where they are never",
    "header length": "qemu-img takes lengths that are no multiple of 8, and beyond 4 KiB",
    "size of the refcount table": "images that are only read need none",
    "place of the refcount table": "the same; beyond the file's end it reads as zeros",
    "place of the L1 table": "beyond the file's end it reads as zeros",
    "place of the snapshot table": "the same",
    "virtual size": "sizes that are no multiple of 512 cannot be a disk's",
    "refers to another file": "its own bytes alone are imported",
    "is encrypted": "not supported",
    "marked corrupt": "to be repaired first, by somebody who looks at what is left",
    "is not complete": "qemu-img takes what is beyond the end for zeros: a download that was cut off",
    "is where something else is": "a few kilobytes would read as terabytes",
    "between two clusters": "qemu-img finds it when it reads there",
    "a compressed cluster": "reserved bits, or its place: qemu-img finds that when it reads there",
    "a cluster of zeros": "the same",
    "a cluster's parts": "the same",
    "reserved bits": "qemu-img does not look at them",
    "a cluster without a place": "nor at this one",
    "unpacks to more": "a bomb",
    "more than": "the memory of our reader is bounded",
}

SOUND = {
    "version 2": {"version": 2, "zeros": ()}, "version 3": {}, "clusters of 512 bytes": {"cluster_bits": 9, "size": 1 << 18},
    "clusters of 2 MiB": {"cluster_bits": 21, "size": 64 * MIB, "compressed": {5: 3}},
    "extended L2": {"is_extended": True}, "many clusters": {"data": {i: i + 1 for i in range(60)}, "compressed": {}, "zeros": ()},
    "empty": {"data": {}, "compressed": {}, "zeros": ()},
    "small": {"size": 512, "data": {0: 1}, "compressed": {}, "zeros": ()},
    "extensions": {"extensions": ((qcow2.FEATURE_NAMES, bytes(48)), (0x12345678, b"somebody's own"))},
}


def sound(kind="version 3", **more):
    return Image(**{"data": {0: 0x11, 3: 0x22, 40: 0x33}, "compressed": {5: 0x44, 6: 0x55}, "zeros": (7,), **SOUND[kind], **more})


def entry(image, number, value):
    """The guest's cluster of this number is `value` in its table."""
    image.put64(image.table(number) + 8 * number, value)
    return image


def l1(image, which, value):
    image.put64(image.l1 + 8 * which, value)
    return image


def table_bomb():
    """64 TiB of data in a file of two megabytes: every L1 entry is the same L2 table, and all of its entries one cluster."""
    image = Image(size=64 << 40, data={0: 1})
    for i in range(8192):
        image.put64(image.l2[0] + 8 * i, image.data[0])
    for i in range(image.get("l1_size")):
        image.put64(image.l1 + 8 * i, image.l2[0])
    return image


def stream_bomb():
    """The same with one compressed cluster, 512 GiB."""
    image = Image(size=512 << 30, cluster_bits=21, compressed={0: 1})
    value = image.get64(image.l2[0])
    for i in range(image.per_l2):
        image.put64(image.l2[0] + 8 * i, value)
    return image


def cut(image, n):
    del image.bytes[n:]
    return image


def snapshots(n, extra):
    """A table of n snapshots that each claim so much more data."""
    image = sound()
    at = image.take(1)
    for i in range(min(n, 256)):
        image.bytes[at + 40 * i + 36:at + 40 * i + 40] = extra.to_bytes(4, "big")
    return image.patch("n_snapshots", n).patch("snapshots_offset", at)


def garbage(image):
    image.bytes[image.packed[5]:image.packed[5] + 8] = b"\xff" * 8
    return image


def bitmaps():
    body = bytes.fromhex("ffffffff 00000000 ffffffffffffffff 00000000ffff0000".replace(" ", ""))
    return sound(extensions=((qcow2.BITMAPS, body),)).patch("autoclear", 1)


def backing(name, **more):
    return sound(backing=name, **more)


def named():
    """name: (image or bytes, the code it is refused with; "": it is taken)."""
    i, far = sound(), 0x00ffffffffff0000
    rows = {f"sound: {kind}": (sound(kind), "") for kind in SOUND}
    rows |= {
        "no bytes": (b"", "image.header"), "one byte": (b"Q", "image.header"), "magic": (b"QFI\xfb", "image.header"),
        "71 bytes": (bytes(i.bytes[:71]), "image.header"), "a header alone": (bytes(i.bytes[:104]), "image.header"),
        "text": (b"no image at all" * 100, "image.header"),
        "version 1": (sound().patch("version", 1), "image.header"), "version 4": (sound().patch("version", 4), "image.header"),
        "unknown feature": (sound().patch("incompatible", 32), "image.feature"),
        "unknown compatible feature": (sound().patch("compatible", 1 << 40), ""),
        "dirty": (sound().patch("incompatible", qcow2.DIRTY), ""),
        "corrupt": (sound().patch("incompatible", qcow2.CORRUPT), "image.corrupt"),
        "zstd without its type": (sound().patch("incompatible", qcow2.COMPRESSION), "image.header"),
        "encrypted by AES": (sound().patch("crypt_method", 1), "image.encrypted"),
        "encrypted by LUKS": (sound().patch("crypt_method", 2), "image.encrypted"),
        "data file": (sound(extensions=((qcow2.DATA_FILE_NAME, b"/etc/shadow"),)).patch("incompatible", qcow2.DATA_FILE),
                      "image.external"),
        "data file without the bit": (sound(extensions=((qcow2.DATA_FILE_NAME, b"/etc/shadow"),)), "image.header"),
        "clusters of 256 bytes": (sound().patch("cluster_bits", 8), "image.header"),
        "clusters of 4 MiB": (sound().patch("cluster_bits", 22), "image.header"),
        "8 EiB": (sound().patch("size", (1 << 63) - 512), "image.header"),
        "16 EiB": (sound().patch("size", (1 << 64) - 512), "image.header"),
        "2 PiB of nothing": (Image(size=1 << 51), "image.size"),
        "an odd size": (sound().patch("size", 1000), "image.header"),
        "no size": (sound().patch("size", 0), "image.size"),
        "an L1 table of 2^32 entries": (sound().patch("l1_size", 0xffffffff), "image.header"),
        "the most of an L1 table, not there": (sound().patch("l1_size", 4 << 20), "image.tables"),
        "refcount table of 2^32 clusters": (sound().patch("reftable_clusters", 0xffffffff), "image.header"),
        "refcounts of 128 bits": (sound().patch("refcount_order", 7), "image.header"),
        "a header of 4 GiB": (sound().patch("header_length", 0xfffffff8), "image.header"),
        "an extension of 4 GiB": (patched(sound(), 104, b"\x12\x34\x56\x78\xff\xff\xff\xf8"), "image.header"),
        "extensions without end": (patched(sound(), 104, b"\x12\x34\x56\x78\0\0\0\0" * 500), "image.header"),
        "L1 in the header": (sound().patch("l1_offset", 0), "image.header"),
        "L1 is the refcount table": (same_place(sound()), "image.tables"),
        "L1 between clusters": (sound().patch("l1_offset", i.l1 + 512), "image.header"),
        "L1 beyond the end": (sound().patch("l1_offset", 1 << 40), "image.header"),
        "L2 is L1": (l1(sound(), 0, i.l1 | COPIED), "image.tables"), "L2 is the header": (l1(sound(), 0, 512), "image.tables"),
        "L2 beyond the end": (l1(sound(), 0, far), "image.tables"),
        "L2 between clusters": (l1(sound(), 0, i.l2[0] + 1024), "image.tables"),
        "two L2 are one": (l1(sound(size=1 << 30), 1, i.l2[0]), "image.tables"),
        "data is its own table": (entry(sound(), 0, i.l2[0]), "image.tables"),
        "data is L1": (entry(sound(), 0, i.l1), "image.tables"),
        "data twice": (entry(sound(), 1, i.data[3]), "image.tables"),
        "data beyond the end": (entry(sound(), 1, far), "image.tables"),
        "data between clusters": (entry(sound(), 0, i.data[0] + 512), "image.tables"),
        "data is a refcount block": (entry(sound(), 1, i.refblock), "image.tables"),
        "reserved bits": (entry(sound(), 0, i.data[0] | 1 << 57), "image.tables"),
        "zeros in version 2": (entry(sound("version 2"), 1, ZERO), "image.tables"),
        "compressed beyond the end": (entry(sound(), 1, COMPRESSED | 1 << 40), "image.tables"),
        "compressed in the header": (entry(sound(), 1, COMPRESSED | 8), "image.tables"),
        "both data and zeros": (extended_both(), "image.tables"),
        "a bomb of tables": (table_bomb(), "image.tables"), "a bomb of one stream": (stream_bomb(), "image.bomb"),
        "a compressed cluster of garbage": (garbage(sound()), "block."),
        "cut off in the data": (cut(sound("many clusters"), 30 << 16), "image."),
        "cut off behind L1": (cut(sound(), i.l1 + 65536), "image."),
        "refcount blocks everywhere": (blocks_everywhere(), "image.tables"),
        "refcounts of nothing": (patched(sound(), i.refblock, bytes(64)), ""),
        "65536 snapshots": (snapshots(65536, 0), ""), "more snapshots": (snapshots(65537, 0), "image.header"),
        "a snapshot of 4 GiB": (snapshots(1, 0xfffffff0), "block."),
        "snapshots beyond the end": (sound().patch("n_snapshots", 1).patch("snapshots_offset", 1 << 40), "image.header"),
        "bitmaps of nowhere": (bitmaps(), "block."),
        "backing without a name": (backing(b""), "image.external"),
        "backing in the tables": (sound().patch("backing_offset", 3 << 16).patch("backing_size", 8), "image.header"),
        "backing of 4 GiB": (backing(b"x").patch("backing_size", 0xffffffff), "image.header"),
    }
    names = [b"/etc/passwd", b"../../../../etc/passwd", b"json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}", b"nbd://127.0.0.1/x",
             b"fat:/etc", b"a\0b", b"x.qcow2", b"x" * 1023, b"\xff\xfe%s%n", b"/dev/fd/3"]
    rows |= {f"backing {name[:20]!r}": (backing(name, version=2 + n % 2, zeros=()), "image.external") for n, name in enumerate(names)}
    return rows


def patched(image, at, data):
    image.bytes[at:at + len(data)] = data
    return image


def same_place(image):
    return image.patch("l1_offset", image.reftable)


def blocks_everywhere():
    image = sound()
    for i in range(8192):
        image.put64(image.reftable + 8 * i, image.refblock)
    return image


def extended_both():
    image = sound("extended L2")
    image.put64(image.l2[0] + 8, 1 << 32 | 1)
    return image


# ---- drawn ones ----

def interesting(draw, image):
    places = [image.l1, image.reftable, image.refblock, *image.l2.values(), *image.data.values(), *image.packed.values()]
    value = draw.choice([0, 1, 511, 512, 65536, len(image.bytes), len(image.bytes) - 1, 1 << 32, 1 << 62, (1 << 63) - 512, (1 << 64) - 1,
                         draw.choice(places), draw.choice(places), draw.getrandbits(64), draw.choice(places) | COPIED,
                         draw.choice(places) | COMPRESSED, 1 << draw.randrange(64)])
    return value


def change_field(draw, image):
    name = draw.choice([n for n in qcow2.HEADER if n != "magic"])
    n = qcow2.HEADER[name][1]
    value = draw.choice([interesting(draw, image), image.get(name) + draw.choice([-1, 1, 8]), draw.randrange(40)])
    image.patch(name, value & ((1 << 8 * n) - 1))


def change_entry(draw, image):
    tables = [image.l1, image.l1, image.reftable, *image.l2.values()]
    at = draw.choice(tables) + 8 * draw.choice([0, 1, draw.randrange(8), draw.randrange(image.cluster // 8)])
    image.put64(at, interesting(draw, image))


def change_bytes(draw, image):
    limit = draw.choice([128, 4096, len(image.bytes)])
    at = draw.randrange(min(limit, len(image.bytes)))
    image.bytes[at] = draw.randrange(256)


def change_length(draw, image):
    if draw.random() < 0.7:
        cut(image, draw.choice([0, 4, 72, 104, 512, draw.randrange(len(image.bytes)), len(image.bytes) - 512]))
        image.bytes += bytes(-len(image.bytes) % 8)
    else:
        image.take(1)


def drawn(number):
    draw = random.Random(f"{SEED} {number}")
    image = sound(draw.choice(list(SOUND)))
    kinds = [change_field, change_entry, change_bytes]
    for _ in range(draw.choice([0, 1, 1, 1, 2, 3])):
        draw.choice(kinds)(draw, image)
    if draw.random() < 0.1:
        change_length(draw, image)
    return image


# ---- what is said of them ----

def limits():
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * MIB, 256 * MIB))
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))


def qemu_img(*args):
    """The result; everything that qemu-img does to a hostile image is limited."""
    return subprocess.run(["qemu-img", *args], capture_output=True, text=True, errors="replace", preexec_fn=limits, check=False)


def probe(paths):
    """What our readers say, and their peak of memory in KiB."""
    with subprocess.Popen([f"{build_dir()}/tests/image-probe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60))) as p:
        said = []
        for path in paths:
            p.stdin.write(path + "\n")
            p.stdin.flush()
            said.append(json.loads(p.stdout.readline()))
        with open(f"/proc/{p.pid}/status", encoding="ascii") as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
        p.stdin.close()
        assert p.wait() == 0
    return said, peak


def compare(name, ours, path):
    """A reason for which the two differ, or None."""
    found = qemu_img("info", "-U", "-f", "qcow2", "--output=json", path)
    if found.returncode:
        # It opens more than we look at; then it refuses when it copies, too.
        return None if ours["refused_by"] else "qemu-img: " + found.stderr.split(": ", 2)[-1].strip().split("\n")[0][:60]
    theirs = json.loads(found.stdout)
    special = theirs["format-specific"]["data"]
    if ours["refused_by"] in ("", "use", "tables"):
        expected = {"size": theirs["virtual-size"], "cluster_bits": theirs["cluster-size"].bit_length() - 1,
                    "version": 2 if special["compat"] == "0.10" else 3, "backing": "backing-filename" in theirs,
                    "data_file": "data-file" in special, "encrypted": theirs.get("encrypted", False),
                    "dirty": theirs["dirty-flag"], "corrupt": special.get("corrupt", False),
                    "snapshots": len(theirs.get("snapshots", []))}
        # An empty name is none to qemu-img.
        wrong = {k: (ours[k], v) for k, v in expected.items() if ours[k] != v and not (k == "backing" and ours[k])}
        assert not wrong, f"{name}: ours and qemu-img's: {wrong}"
    if not ours["refused_by"]:
        return None
    reason = next((r for r in STRICTER if r in ours["text"]), None)
    assert reason, f"{name}: qemu-img opens it, we say: {ours['text']}"
    return "we: " + reason


def report(reasons):
    for reason in sorted(set(reasons)):
        print(f"#   {reasons.count(reason):4} {reason}")


def content(path, form="qcow2"):
    """What an image reads as, by qemu-img alone; None if it cannot be read."""
    out = path + ".bytes"
    r = qemu_img("convert", "-f", form, "-O", "raw", path, out)
    try:
        with open(out, "rb") as f:
            return f.read() if r.returncode == 0 else None
    except FileNotFoundError:
        return None
    finally:
        if os.path.exists(out):
            os.unlink(out)


def import_alone(folder, path, size):
    """The answer of holm-block, and what it wrote."""
    target = os.path.join(folder, "target.raw")
    with open(target, "wb") as f:
        f.truncate(size)
    answer = block.run("import", [(path, "qcow2")], (target, "raw"))
    with open(target, "rb") as f:
        data = f.read()
    os.unlink(target)
    return answer, data


class Folder:
    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="holm-images-", dir="/var/tmp")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def save(self, name, image):
        path = os.path.join(self.path, name)
        if isinstance(image, Image):
            return image.save(path)
        with open(path, "wb") as f:
            f.write(image)
        return path


@test(limit=1500)
def readers_and_qemu_img():
    """Nothing is taken for something else than qemu-img takes it for."""
    print(f"# seed {SEED}, {DRAWN} images", flush=True)
    with Folder() as folder:
        rows = {name: folder.save(f"n{n}", image) for n, (name, (image, _)) in enumerate(named().items())}
        rows |= {f"seed {SEED} number {n}": folder.save(f"d{n}", drawn(n)) for n in range(DRAWN)}
        said, peak = probe(rows.values())
        assert peak < PROBE_KIB, f"{peak} KiB"
        reasons, taken, left = [], [], []
        for (name, path), ours in zip(rows.items(), said):
            reason = compare(name, ours, path)
            if reason:
                reasons.append(reason)
            if not ours["refused_by"]:
                (left if reason else taken).append((name, path, ours["size"]))
        refused = sum(bool(s["refused_by"]) for s in said)
        print(f"# {len(rows)} images: {refused} refused, {len(taken)} taken, {len(left)} left to QEMU; differences:")
        report(reasons)
        assert refused > len(rows) / 4 and len(taken) > len(rows) / 8
        copies(folder.path, taken, left)


def copies(folder, taken, left):
    """What the sandboxed QEMU writes is what qemu-img reads; what qemu-img cannot open, it cannot either."""
    small = [t for t in taken if t[2] and t[2] <= 64 * MIB]
    for name, path, size in random.Random(SEED).sample(small, min(COPIES, len(small))):
        expected = content(path)
        answer, data = import_alone(folder, path, size)
        assert (answer is None) == (expected is not None), f"{name}: {answer}"
        assert answer or data == expected, f"{name}: other bytes than qemu-img's"
    for name, path, size in left[:COPIES // 4]:
        answer, _ = import_alone(folder, path, size)
        assert answer and answer[1] and answer[2], f"{name}: {answer}"


# ---- through the API ----

def state_of(node):
    """Files of the storage and their allocated bytes, besides the images that we put there ourselves."""
    top = node.path("var/storage/local")
    return sorted((os.path.relpath(os.path.join(d, f), top), os.stat(os.path.join(d, f)).st_blocks)
                  for d, _, names in os.walk(top) for f in names if os.path.basename(d) != "import")


def attempt(node, source, **more):
    """None when the guest was made, else what was said."""
    options = "".join(f",{k}={v}" for k, v in more.items())
    reply = node.api.call("POST", "/nodes/{node}/qemu", {"vmid": VM, "scsi0": f"local:0,import-from={source}{options}"})
    if reply.status != 200:
        return f"{reply.message.strip()} {reply.errors or ''}".strip()
    end = node.api.wait_task(reply.data)
    return None if end == "OK" else end


def one(node, name, path, code, refused_text, form="raw"):
    before = state_of(node)
    said = attempt(node, "local:import/" + os.path.basename(path), format=form)
    if code:
        assert said and "\n" not in said.strip(), f"{name}: {said}"
        assert not refused_text or refused_text in said, f"{name}: {said}, not {refused_text}"
        assert state_of(node) == before and node.api.get("/nodes/{node}/qemu") == [], f"{name}: something is left"
        return
    assert said is None, f"{name}: {said}"
    image = volume_path(node, node.api.get(node.vm(VM, "/config"))["scsi0"])
    with open(image, "rb") as f:
        assert f.read() == content(path), f"{name}: other bytes than qemu-img's"
    node.remove(VM)
    assert state_of(node) == before


@test(limit=600)
def imports(node):
    """All that have a name, and some that are drawn, by import-from: one clear error, and nothing is left."""
    folder = node.path("var/storage/local/import")
    os.makedirs(folder, exist_ok=True)
    node.api.get("/nodes/{node}/storage/local/content", content="import")
    watch = Watch(node)
    rows = [(name, image, code) for name, (image, code) in named().items()]
    rows += [(f"seed {SEED} number {n}", drawn(n), None) for n in range(BY_API)]
    for n, (name, image, code) in enumerate(rows):
        path = os.path.join(folder, f"i{n}.qcow2")
        with open(path, "wb") as f:
            f.write(image.bytes if isinstance(image, Image) else image)
        ours = probe([path])[0][0]
        if code is None:
            code = ours["code"] if ours["refused_by"] else "" if content(path) is not None and ours["size"] else "image.size"
        # What our readers take may still be too large, or broken where only QEMU looks.
        assert ours["code"].startswith(code) or (not ours["code"] and code in ("block.", "image.size")), (name, ours, code)
        # A file system may not have such large files; a qcow2 image of that size is small.
        one(node, name, path, code, ours["text"], "raw" if ours["size"] < 1 << 40 else "qcow2")
        os.unlink(path)
    watch.check_processes()
    watch.check_memory()
    assert watch.count_fds() <= watch.fds + 2
    assert not node.processes("holm-block")


@test(limit=240)
def uploads(node):
    """What is uploaded is not looked into; what is listed of it is its header's size, or none."""
    rows = named()
    for name in ("sound: version 3", "a bomb of tables", "cut off in the data", "backing b'/etc/passwd'", "no bytes", "text"):
        image, code = rows[name]
        data = bytes(image.bytes if isinstance(image, Image) else image)
        reply = node.api.call("POST", "/nodes/{node}/storage/local/upload", {"content": "import"}, files={"filename": ("u.qcow2", data)})
        assert reply.status == 200 and node.api.wait_task(reply.data) == "OK", (name, reply.message)
        path = node.path("var/storage/local/import/u.qcow2")
        listed = node.api.get("/nodes/{node}/storage/local/content", content="import")
        size = next(v["size"] for v in listed if v["volid"] == "local:import/u.qcow2")
        ours = probe([path])[0][0]
        assert size == (0 if ours["refused_by"] == "header" else ours["size"]), (name, size)
        one(node, name, path, code, "")
        node.api.run("DELETE", "/nodes/{node}/storage/local/content/local:import/u.qcow2")


# ---- a guest's own image, written over by a QEMU that was broken ----

OPENING = [("POST", "/status/start", {}), ("POST", "/clone", {"newid": 101, "full": 1})]
MOVING = [("POST", "/move_disk", {"disk": "scsi0", "storage": "local", "format": "raw"})]


def refusals_of(node, what, calls):
    """Each operation on a stopped guest whose image leads elsewhere: refused, with that said."""
    for method, path, params in calls:
        reply = node.api.call(method, node.vm(VM, path), params)
        said = reply.message if reply.status != 200 else node.api.wait_task(reply.data)
        assert what in said, (path, said)


@test(limit=240)
def images_of_guests(node):
    node.create(VM, scsi0="local:0.00390625,format=qcow2", memory=64)
    path = volume_path(node, node.api.get(node.vm(VM, "/config"))["scsi0"])
    before = state_of(node)
    for image, what in ((backing(b"/etc/passwd"), "another file"), (named()["data file"][0], "data file"),
                        (sound().patch("incompatible", qcow2.CORRUPT), "corrupt"), (sound().patch("version", 9), "version"),
                        (b"", "qcow2")):
        with open(path, "wb") as f:
            f.write(image.bytes if isinstance(image, Image) else image)
        refusals_of(node, what, OPENING + MOVING)
    # Tables that go in circles: no more than the disk's size comes out of them, and it is what qemu-img reads.
    loop = entry(entry(sound(), 1, sound().l2[0]), 2, sound().data[3])
    with open(path, "wb") as f:
        f.write(loop.bytes)
    node.api.run("POST", node.vm(VM, "/clone"), {"newid": 101, "full": 1, "format": "raw"})
    with open(volume_path(node, node.api.get(node.vm(101, "/config"))["scsi0"]), "rb") as f:
        assert f.read() == content(path)
    node.remove(101)
    assert [n for n, _ in state_of(node)] == [n for n, _ in before], (before, state_of(node))
    # A snapshot opens nothing; what it is of is refused as before.
    with open(path, "wb") as f:
        f.write(backing(b"/etc/passwd").bytes)
    node.api.run("POST", node.vm(VM, "/snapshot"), {"snapname": "before"})
    refusals_of(node, "another file", OPENING)
    node.remove(VM)


@test(limit=240)
def raw_stays_raw(node):
    """Whatever a guest writes to its first sector: it is started, copied and moved as the bytes that it is."""
    node.create(VM, scsi0="local:0.00390625,format=raw", memory=64)
    path = volume_path(node, node.api.get(node.vm(VM, "/config"))["scsi0"])
    with open(path, "r+b") as f:
        f.write(backing(b"/etc/passwd").bytes)
    with open(path, "rb") as f:
        written = f.read()
    node.api.run("POST", node.vm(VM, "/clone"), {"newid": 101, "full": 1, "format": "qcow2"})
    assert content(volume_path(node, node.api.get(node.vm(101, "/config"))["scsi0"])) == written
    for form in ("qcow2", "raw"):
        node.api.run("POST", node.vm(VM, "/move_disk"), {"disk": "scsi0", "storage": "local", "format": form, "delete": 1})
        path = volume_path(node, node.api.get(node.vm(VM, "/config"))["scsi0"])
        assert path.endswith(form) and content(path, form) == written, form
    node.api.run("POST", node.vm(VM, "/status/start"))
    said = qemu_img("info", "-U", "-f", "raw", path)
    assert said.returncode == 0 and "4 MiB" in said.stdout, said
    with open(f"/proc/{node.processes('qemu-system-x86_64')[0]}/cmdline", encoding="utf-8") as f:
        nodes = [a for a in f.read().split("\0") if a.startswith("{") and '"driver":"raw"' in a]
    assert len(nodes) == 1, nodes
    node.remove(VM)
    node.remove(101)


if __name__ == "__main__":
    main()
