"""Commands in a booted demo guest, over its serial console."""
from lib.console import Console


class Shell:
    """A root shell on a guest's serial console."""

    def __init__(self, node, vmid):
        self.console = Console(node.api, node.vm(vmid))

    def __enter__(self):
        self.console.type("\n")
        self.console.expect("login:", 90)
        self.console.type("root\n")
        self.console.expect("# ")
        # Without the kernel's messages: one in the midst of what a command says looks like a part of it.
        self.console.type("PS1=; stty -echo; dmesg -n 1; echo re''ady\n")
        self.console.expect("ready\r\n")
        return self

    def __exit__(self, *_):
        self.console.type("exit\n")
        self.console.close()

    def run(self, command, timeout=60):
        self.console.type(f"{command}; echo en''d=$?\n")
        seen = self.console.expect("end=", timeout)
        self.console.expect("\n")
        return seen.removesuffix("end=")

    def succeeds(self, command, timeout=60):
        self.console.type(f"{command} >/dev/null 2>&1; echo en''d=$?.\n")
        self.console.expect("end=", timeout)
        return self.console.expect(".").rstrip(".") == "0"
