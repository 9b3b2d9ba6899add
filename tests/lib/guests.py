"""Guests for tests: the demo kernel (tools/demo-guest) and a disk whose boot sector talks on the serial port."""
import atexit
import functools
import os
import re
import shutil
import subprocess
import tempfile

from lib import facts

KERNEL, INITRD = "local:boot/vmlinuz", "local:boot/initrd.img"
DEMO = {"kernel": KERNEL, "initrd": INITRD, "cmdline": "console=ttyS0", "serial0": "socket", "memory": 256}


@functools.cache
def demo_folder():
    """Folder with vmlinuz and initrd.img, removed at exit; the tool keeps its own cache."""
    folder = tempfile.mkdtemp(prefix="hd", dir="/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([f"{facts.TOP}/tools/demo-guest", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


@functools.cache
def agent_folder():
    """The same with a guest agent in it (tools/agent-guest)."""
    folder = tempfile.mkdtemp(prefix="ha", dir="/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([f"{facts.TOP}/tools/agent-guest", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def install_agent(node):
    """Puts the kernel and an initrd with a guest agent into storage local of a node."""
    install_demo(node, agent_folder())


def install_demo(node, folder=None):
    """Puts kernel and initrd into storage local of a node."""
    target = node.path("var/storage/local/boot")
    os.makedirs(target, exist_ok=True)
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile(os.path.join(folder or demo_folder(), name), os.path.join(target, name))


def fetch_modules(*names):
    """Modules for the demo's kernel, while there is a network: for programs that enter a namespace without one."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([f"{facts.TOP}/tools/guest-modules", os.path.join(demo_folder(), "vmlinuz"), folder, *names], check=False)


def add_to_initrd(target, modules=(), programs=()):
    """Appends an archive to an initrd: modules of the demo's kernel in /more, loaded in the order of /more/order, and
    programs of this host in /more/bin, with their libraries in /more/lib."""
    with tempfile.TemporaryDirectory() as folder:
        more = f"{folder}/more"
        for name in ("bin", "lib"):
            os.makedirs(f"{more}/{name}")
        if modules:
            subprocess.run([f"{facts.TOP}/tools/guest-modules", os.path.join(demo_folder(), "vmlinuz"), more, *modules], check=True)
        for program in programs:
            path = shutil.which(program)
            shutil.copy(path, f"{more}/bin")
            needed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
            for library in re.findall(r"(/\S+) \(0x", needed):
                shutil.copy(library, f"{more}/lib")
        names = [os.path.relpath(os.path.join(top, n), folder) for top, folders, files in os.walk(folder) for n in folders + files]
        archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=folder, input="\n".join(sorted(names)).encode(),
                                 capture_output=True, check=True).stdout
    with open(target, "ab") as f:
        f.write(bytes(-f.tell() % 4) + archive)


@functools.cache
def boot_sector(name="bootdisk", suite="clients"):
    """512 bytes: tests/SUITE/NAME.S assembled."""
    with tempfile.TemporaryDirectory() as folder:
        source, obj, flat = f"{facts.TOP}/tests/{suite}/{name}.S", f"{folder}/b.o", f"{folder}/b.bin"
        subprocess.run(["gcc", "-m32", "-c", source, "-o", obj], check=True)
        subprocess.run(["objcopy", "-O", "binary", "-j", ".text", obj, flat], check=True)
        with open(flat, "rb") as f:
            data = f.read()
    assert len(data) == 512 and data[510:] == b"\x55\xaa"
    return data


def volume_path(node, value):
    """Path of the volume of a drive's value 'local:100/vm-100-disk-0.raw,size=1G'."""
    volume = value.split(",")[0].removeprefix("file=").removeprefix("local:")
    return node.path("var/storage/local/images", volume)


def write_boot_sector(node, value, name="bootdisk"):
    with open(volume_path(node, value), "r+b") as f:
        f.write(boot_sector(name))
