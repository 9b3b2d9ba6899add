"""A disk that UEFI firmware boots: tests/clients/efiguest.c as /EFI/BOOT/BOOTX64.EFI of a small FAT16 file system."""
import functools
import struct
import subprocess
import tempfile

from lib import facts

SECTOR, CLUSTERS, ROOT_ENTRIES = 512, 8000, 64


@functools.cache
def program():
    """The program as PE32+, made by gcc and ld."""
    with tempfile.TemporaryDirectory() as folder:
        obj, out = f"{folder}/e.o", f"{folder}/e.efi"
        subprocess.run(["gcc", "-c", "-O1", "-ffreestanding", "-fno-ident", "-fno-stack-protector", "-fpic", "-mno-red-zone",
                        "-fno-asynchronous-unwind-tables", "-fcf-protection=none", f"{facts.TOP}/tests/clients/efiguest.c",
                        "-o", obj], check=True)
        subprocess.run(["ld", "-m", "i386pep", "--subsystem", "10", "-e", "efi_main", "--image-base", "0", "-o", out, obj],
                       check=True)
        with open(out, "rb") as f:
            data = bytearray(f.read())
    # The code runs wherever it is put: without this bit the firmware may move it.
    header, = struct.unpack_from("<I", data, 0x3c)
    flags, = struct.unpack_from("<H", data, header + 22)
    struct.pack_into("<H", data, header + 22, flags & ~1)
    return bytes(data)


def entry(name, attribute, cluster, size):
    return struct.pack("<11sB14xHI", name, attribute, cluster, size)


def image():
    """One sector a cluster; clusters 2 and 3 are the folders EFI and BOOT, the program follows."""
    data = program()
    count = (len(data) + SECTOR - 1) // SECTOR
    fat_sectors = (2 * (CLUSTERS + 2) + SECTOR - 1) // SECTOR
    boot = struct.pack("<3s8sHBHBHHBHHHIIBBBI11s8s", b"\xeb\x3c\x90", b"HOLMTEST", SECTOR, 1, 1, 2, ROOT_ENTRIES,
                       1 + 2 * fat_sectors + ROOT_ENTRIES // 16 + CLUSTERS, 0xf8, fat_sectors, 32, 2, 0, 0, 0x80, 0, 0x29, 1,
                       b"HOLM TEST  ", b"FAT16   ").ljust(510, b"\0") + b"\x55\xaa"
    chain = [0xfff8, 0xffff, 0xffff, 0xffff, *range(5, 4 + count), 0xffff]
    fat = struct.pack(f"<{len(chain)}H", *chain).ljust(fat_sectors * SECTOR, b"\0")
    root = entry(b"EFI        ", 0x10, 2, 0).ljust(ROOT_ENTRIES * 32, b"\0")
    efi = (entry(b".          ", 0x10, 2, 0) + entry(b"..         ", 0x10, 0, 0) + entry(b"BOOT       ", 0x10, 3, 0))
    folder = (entry(b".          ", 0x10, 3, 0) + entry(b"..         ", 0x10, 2, 0)
              + entry(b"BOOTX64 EFI", 0x20, 4, len(data)))
    return boot + fat + fat + root + efi.ljust(SECTOR, b"\0") + folder.ljust(SECTOR, b"\0") + data
