"""Commands on a guest's text console."""
import re


class Terminal:
    """Commands on the guest's console; each ends with a mark that its own echo does not contain."""

    def __init__(self, console):
        self.console, self.n = console, 0

    def login(self):
        self.console.expect("login:", 90)
        self.console.type("root\n")
        self.console.expect("# ", 20)
        self.quiet()
        self.run("modprobe -a virtio_blk virtio_net virtio_scsi sd_mod; true")

    def quiet(self):
        """No echo, no prompt, no colours: what comes is what commands write."""
        self.console.type("export PS1= TERM=dumb; exec sh\n")
        self.console.type("stty -echo; dmesg -n 1; echo qui''et\n")
        self.console.expect("quiet\r\n", 20)

    def run(self, command):
        self.n += 1
        self.console.type(f"{{ {command}; }}; echo mark''{self.n}=$?\n")
        out = self.console.expect(f"mark{self.n}=", 30)
        out = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", out).replace("\r", "")
        return re.sub(r"^\d+\n", "", out)[:-len(f"mark{self.n}=")]

    def sectors(self, disk):
        out = self.run(f"cat /sys/block/{disk}/size 2>/dev/null")
        return int(out) if out.strip().isdigit() else None
