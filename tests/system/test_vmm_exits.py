#!/usr/bin/python3
"""The processor's side of holm-vmm with the bare guest on this host's KVM: ports, memory, interrupts of each kind, a second
processor, and what leaves the kernel for each of them."""
import json
import socket
import subprocess

from lib.tap import main, test
from lib.vmm import Running, command, need_kvm, run

OFTEN = 200  # as in the guest


def says(letters, *options, text):
    need_kvm()
    done = run(letters, *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, text, ""), done


@test
def ports_of_each_width_and_where_nobody_is():
    says("Po", text="a string\nports\n")


@test
def memory_of_devices_of_each_width_and_where_nobody_is():
    says("Ao", text="memory\n")


@test
def the_serial_port_interrupts_by_a_pin():
    says("IIo", text="serial interrupt\n" * 2)


@test
def the_local_timer_interrupts():
    says("TTo", text="timer\n" * 2)


@test
def messages_interrupt_and_can_be_masked():
    says("MKMo", "--rng", "host", text="messages\nmasked\nunmasked\nmessages\n")


@test(limit=60)
def a_second_processor_starts_and_both_call_each_other():
    says("CCo", "--cpus", "2", text="second processor\ncalls\n" * 2)
    says("hCo", "--cpus", "3", "--rng", "host", text="hello\nsecond processor\ncalls\n")


@test(limit=60)
def a_reset_stops_the_second_processor():
    """Else it would be found running, and its start be ignored."""
    need_kvm()
    with Running("Cb", "--cpus", "2") as guest:
        guest.wait_text(b"second processor\ncalls\n" * 5)


class Ordered:
    """The guest asleep between bytes on its console, and its control connection."""

    def __init__(self, letters, *options):
        self.control, control_end = socket.socketpair()
        self.console, console_end = socket.socketpair()
        argv = command(letters, "--control", f"fd={control_end.fileno()}", *options)
        argv[argv.index("stdio")] = f"fd={console_end.fileno()}"
        self.process = subprocess.Popen(argv, pass_fds=(control_end.fileno(), console_end.fileno()))
        control_end.close()
        console_end.close()
        self.control.settimeout(30)
        self.console.settimeout(30)
        self.lines = self.control.makefile("r", encoding="utf-8")
        self.text = b""  # of the console, not looked at yet

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.lines.close()
        self.control.close()
        self.console.close()

    def wait_text(self, text):
        while text not in self.text:
            part = self.console.recv(100)
            assert part, self.text
            self.text += part
        self.text = self.text.split(text, 1)[1]

    def ask(self, verb):
        self.control.sendall(json.dumps({"id": 1, "verb": verb}).encode() + b"\n")
        while "event" in (answer := json.loads(self.lines.readline())):
            pass
        return answer["ok"]

    def exits_of(self, byte):
        before = self.ask("stats")["exits"]
        self.console.sendall(byte)
        self.wait_text(byte)
        return self.ask("stats")["exits"] - before


@test(limit=60)
def the_power_button_interrupts_by_a_pin():
    need_kvm()
    with Ordered("GGo") as guest:
        for _ in range(2):
            guest.wait_text(b"waiting\n")
            guest.ask("power-button")
            guest.wait_text(b"pressed\n")
        assert guest.process.wait(30) == 0


@test(limit=60)
def only_what_must_leaves_the_kernel():
    """Exits that reach the program, counted by itself: one for each access to a port or a device's registers; none for
    doorbells, messages, the interrupt controllers and sleep."""
    need_kvm()
    with Ordered("Eo", "--rng", "host") as guest:
        guest.wait_text(b"ready\n")
        nothing = guest.exits_of(b"n")
        assert nothing == 3, nothing  # which interrupt, the byte, the answer
        for byte, each in (b"p", 1), (b"m", 1), (b"d", 0), (b"i", 0), (b"a", 0):
            found = guest.exits_of(byte)
            assert found == nothing + each * OFTEN, (byte, found)
        guest.console.sendall(b".")
        assert guest.process.wait(30) == 0


@test(limit=60)
def a_paused_guest_misses_no_interrupt():
    need_kvm()
    with Ordered("Eo", "--rng", "host") as guest:
        guest.wait_text(b"ready\n")
        guest.ask("pause")
        before = guest.ask("stats")["exits"]
        guest.console.sendall(b"i")
        assert guest.ask("status")["state"] == "paused" and guest.ask("stats")["exits"] == before
        guest.ask("resume")
        guest.wait_text(b"i")
        guest.console.sendall(b".")
        assert guest.process.wait(30) == 0


if __name__ == "__main__":
    main()
