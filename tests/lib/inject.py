"""Makes another process do a system call, as somebody would who took it over: by ptrace, as root. x86-64."""
import ctypes
import os
import platform
import signal

PTRACE_PEEKTEXT, PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_ATTACH, PTRACE_DETACH = 1, 12, 13, 16, 17
NAMES = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es "
         "fs gs").split()
SYSCALL = b"\x0f\x05"


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulong) for name in NAMES]


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def is_possible():
    return platform.machine() == "x86_64" and os.geteuid() == 0


def _ptrace(request, pid, address=None, data=None):
    ctypes.set_errno(0)
    result = _libc.ptrace(request, pid, address, data)
    if ctypes.get_errno():
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call(pid, number, *args):
    """Lets the process go on with this call in place of the one in which it waits; what follows is its own business."""
    _ptrace(PTRACE_ATTACH, pid)
    _, status = os.waitpid(pid, 0x40000000)  # __WALL
    assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP, status
    regs = Registers()
    _ptrace(PTRACE_GETREGS, pid, None, ctypes.addressof(regs))
    # It waits in the kernel: the instruction before the next one is the one that calls.
    at = regs.rip - len(SYSCALL)
    word = _ptrace(PTRACE_PEEKTEXT, pid, at) & 0xffff
    assert word.to_bytes(2, "little") == SYSCALL, hex(word)
    regs.rip, regs.rax, regs.orig_rax = at, number, ctypes.c_ulong(-1).value
    for name, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), args):
        setattr(regs, name, ctypes.c_ulong(value).value)
    _ptrace(PTRACE_SETREGS, pid, None, ctypes.addressof(regs))
    _ptrace(PTRACE_DETACH, pid)
