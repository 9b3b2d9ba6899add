"""Folders below a storage that turn into symbolic links and back, as fast as the kernel can swap them, while uploads,
lists, new disks and removals go on. The links lead out of the storage, to files that must not be opened, changed or
shown. The storage's own folder is the administrator's and stays."""
import ctypes
import os
import shutil
import threading
import time

from lib.canary import Canary
from lib.holm import Node
from lib.honest import Beside
from lib.tap import main, test
from lib.wait import wait_for

RENAME_EXCHANGE = 2
AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)
VMID = 100


class Swapper:
    """Exchanges a folder and a link to another place, one atomic step each way, until stopped; the folder is put back."""

    def __init__(self, path, target):
        self.path, self.link = path, path + ".swap"
        os.symlink(target, self.link)
        self.swaps = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _exchange(self):
        # ENOENT: an empty folder was tidied away meanwhile.
        if _libc.renameat2(AT_FDCWD, self.path.encode(), AT_FDCWD, self.link.encode(), RENAME_EXCHANGE) == 0:
            self.swaps += 1

    def _run(self):
        while not self.stopping.wait(0.0005):
            self._exchange()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        if os.path.islink(self.path):
            self._exchange()
        if os.path.islink(self.link):
            os.unlink(self.link)


def upload(node, name, data=b"mine"):
    return node.api.call("POST", "/nodes/{node}/storage/local/upload", {"content": "iso"},
                         files={"filename": (name, data)}).status


def work(node, n, results):
    """One round of everything that goes through names of the storage."""
    def note(what, is_ok):
        results.setdefault((what, bool(is_ok)), []).append(n)
    note("upload", upload(node, f"up{n % 5}.iso") == 200)
    for content in ("iso", "images"):
        reply = node.api.call("GET", "/nodes/{node}/storage/local/content", {"content": content})
        note("list", reply.status == 200)
        assert "canary" not in reply.text, reply.text[:500]
    note("create", node.api.outcome("POST", node.vm(VMID, "/config"), {"scsi1": "local:1,format=qcow2"}) == "OK")
    note("attach", node.api.outcome("POST", node.vm(VMID, "/config"), {"ide2": "local:iso/canary.iso,media=cdrom"}) == "OK")
    note("remove", node.api.outcome("POST", node.vm(VMID, "/config"), {"delete": "scsi1,unused0,ide2"}) == "OK")


def while_swapping(folder, target):
    """Works while `folder` below the storage is sometimes a link to `target` of a canary."""
    with Node() as node:
        node.create(VMID, memory=32, scsi0="local:1,format=raw")
        assert upload(node, "first.iso") == 200
        path = node.path("var/storage/local", folder)
        assert os.path.isdir(path), path
        results = {}
        with Canary(node.base + "/outside") as canary:
            where = canary.folder + target
            with Beside(node, settles=False) as honest:
                with Swapper(path, where) as swapper:
                    end, n = time.monotonic() + 6, 0
                    while time.monotonic() < end:
                        work(node, n, results)
                        n += 1
                    honest.enough()
                print(f"{folder}: {swapper.swaps} swaps, {n} rounds: " +
                      ", ".join(f"{what} {'ok' if ok else 'refused'} {len(v)}" for (what, ok), v in sorted(results.items())))
                assert swapper.swaps > 200
            canary.check()
            assert canary.secret not in node.log()
            # Some went through and some met the link, or the race was not one.
            assert any(ok for _, ok in results) and any(not ok for _, ok in results), results.keys()
            # With the link there for good, nothing goes through it either.
            real = path + ".real"
            os.rename(path, real)
            os.symlink(where, path)
            for n in range(3):
                work(node, n, {})
            node.api.call("DELETE", node.vm(VMID), {"purge": 1})
            wait_for(lambda: not [t for t in node.api.get("/cluster/tasks") if not t.get("endtime")], 20, "the tasks to end")
            canary.check()
            os.unlink(path)
            os.rename(real, path)
        shutil.rmtree(node.base + "/outside")


@test(limit=120)
def folder_of_images_swaps():
    while_swapping(f"images/{VMID}", "/100")


@test(limit=120)
def folder_of_all_images_swaps():
    while_swapping("images", "")


@test(limit=120)
def folder_of_isos_swaps():
    while_swapping("template/iso", "")


@test(limit=60)
def links_in_the_place_of_volumes():
    """A volume's name that is a link, a folder or a pipe: not listed, not attached, not followed by an upload."""
    with Node() as node:
        node.create(VMID, memory=32, scsi0="local:1,format=raw")
        assert upload(node, "first.iso") == 200
        isos, images = node.path("var/storage/local/template/iso"), node.path(f"var/storage/local/images/{VMID}")
        with Canary(node.base + "/outside") as canary:
            os.symlink(canary.folder + "/canary.iso", isos + "/link.iso")
            os.symlink(canary.folder + "/new.iso", isos + "/dangling.iso")
            os.symlink(canary.folder + "/vm-100-disk-0.raw", f"{images}/vm-{VMID}-disk-1.raw")
            os.mkfifo(isos + "/pipe.iso")
            os.mkdir(isos + "/folder.iso")
            listed = {v["volid"] for v in node.api.get("/nodes/{node}/storage/local/content")}
            assert listed == {"local:iso/first.iso", f"local:{VMID}/vm-{VMID}-disk-0.raw"}, listed
            for name in ("link", "dangling", "pipe", "folder"):
                assert node.api.outcome("POST", node.vm(VMID, "/config"), {"ide2": f"local:iso/{name}.iso,media=cdrom"}) != "OK", name
            assert node.api.outcome("POST", node.vm(VMID, "/config"), {"scsi1": f"local:{VMID}/vm-{VMID}-disk-1.raw"}) != "OK"
            for name in ("link", "dangling"):
                upload(node, f"{name}.iso", b"mine")  # may replace the link itself, never what it names
            canary.check()
            node.api.outcome("DELETE", node.vm(VMID), {"purge": 1})
            canary.check()


if __name__ == "__main__":
    main()
