"""A network namespace for the whole test process: what it starts from now on (holmd, guests, tools/orphans) sees only the
interfaces made in there, and all of it is gone with the process."""
import ctypes
import json
import subprocess

CLONE_NEWNET = 0x40000000


def enter():
    """Before any thread is started: the namespace is that of the calling thread and what comes from it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    ip("link", "set", "lo", "up")


def run(*argv, is_checked=True):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True)
    if is_checked and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: {done.stderr}")
    return done.stdout


def ip(*args, is_checked=True):
    return run("ip", *args, is_checked=is_checked)


def links():
    """{name: what `ip -j -d link` says of it} of every interface but lo."""
    return {x["ifname"]: x for x in json.loads(ip("-j", "-d", "-s", "link", "show") or "[]") if x["ifname"] != "lo"}


def addresses(name):
    """Addresses with prefix that were given to an interface."""
    found = json.loads(ip("-j", "address", "show", "dev", name))
    return sorted(f"{a['local']}/{a['prefixlen']}" for x in found for a in x.get("addr_info", []) if a.get("scope") != "link")


def nft():
    return run("nft", "list", "ruleset")


def forwards():
    with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as f:
        return f.read().strip() == "1"
