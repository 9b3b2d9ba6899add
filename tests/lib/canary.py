"""Files that nobody may touch, with texts found nowhere else, and the kernel's word on whether somebody did.

    with Canary(folder) as c:      # makes folder with some files
        ...
        assert not c.events()      # (name, what) of every open, read, write, creation, removal beneath
        assert c.secret not in reply
"""
import ctypes
import os
import secrets
import struct

EVENTS = {0x1: "read", 0x2: "written", 0x4: "attributes", 0x20: "opened", 0x40: "moved", 0x80: "moved", 0x100: "created", 0x200: "deleted",
          0x400: "deleted"}
IN_NONBLOCK = 0o4000
_libc = ctypes.CDLL(None, use_errno=True)


class Canary:
    def __init__(self, folder, names=("canary", "canary.iso", "canary.raw", "vm-100-disk-0.raw", "100/vm-100-disk-0.raw")):
        self.folder = folder
        self.secret = f"canary-{secrets.token_hex(8)}"
        for name in names:
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(self.secret + "\n")
        self.before = self.listing()
        self.fd = _libc.inotify_init1(IN_NONBLOCK)
        assert self.fd >= 0, "inotify"
        self.watched = {}
        for top, _, _ in os.walk(folder):
            wd = _libc.inotify_add_watch(self.fd, top.encode(), sum(EVENTS) & 0x7e7)
            assert wd >= 0, f"inotify of {top}"
            self.watched[wd] = top
        self.events()  # walking opened the folders
        with open(os.path.join(folder, names[0]), encoding="utf-8"):
            pass
        assert self.events(), "the kernel does not tell"

    def listing(self):
        return sorted((os.path.join(top, n), os.path.getsize(os.path.join(top, n))) for top, _, names in os.walk(self.folder) for n in names)

    def events(self):
        """What happened since the last time."""
        found = []
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return found
            at = 0
            while at < len(data):
                wd, mask, _, length = struct.unpack_from("iIII", data, at)
                name = data[at + 16:at + 16 + length].rstrip(b"\0").decode(errors="replace")
                found.append((os.path.join(self.watched.get(wd, "?"), name), "+".join(v for k, v in EVENTS.items() if mask & k)))
                at += 16 + length

    def check(self):
        """Nobody came near it."""
        touched = self.events()
        assert not touched, touched[:10]
        assert self.listing() == self.before
        self.events()  # the listing's own

    def close(self):
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
