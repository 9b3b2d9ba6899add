"""A small test runner: each tests/SUITE/test_*.py is a program that registers functions and ends with main().

    @test(limit=20)
    def name(node): ...

A parameter called `node` gets the file's one shared daemon (lib.holm.Node), started when first asked for and checked at
the end. Prints one line a test and `N passed, N failed, N skipped` last; tests/run reads those lines. No pytest: the
runner is to be understood in a minute.
"""
import argparse
import inspect
import os
import resource
import signal
import sys
import time
import traceback

_tests = []


class Skip(Exception):
    """The test cannot run here; the reason must be listed in tests/skips."""


def skip(reason):
    raise Skip(reason)


def test(function=None, limit=90):
    """Registers a test with a time limit in seconds."""
    def register(f):
        _tests.append((f, limit))
        return f
    return register(function) if function else register


class TimeLimit(BaseException):
    """Not an Exception: no `except Exception` of a test may swallow it."""


def _on_alarm(_signum, _frame):
    raise TimeLimit("time limit reached")


class _Shared:
    node = None

    def get(self):
        from lib.holm import Node
        if self.node and self.node.is_dead():
            self.node.close(is_checked=False)
            self.node = None
        if not self.node:
            self.node = Node().start()
        return self.node


def _scale():
    return float(os.environ.get("HOLM_SLOW", "1"))


def _run_one(name, function, limit, counts):
    began = time.monotonic()
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.setitimer(signal.ITIMER_REAL, limit * _scale())
    try:
        function()
        result, detail = "ok", ""
    except Skip as e:
        result, detail = "skip", " " + str(e)
    except KeyboardInterrupt:
        raise
    except BaseException as e:  # a test may end in any way; it must not end the file
        result, detail = "FAIL", " " + (str(e).split("\n")[0] or type(e).__name__)
        signal.setitimer(signal.ITIMER_REAL, 0)
        traceback.print_exc(file=sys.stdout)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    counts[result] += 1
    print(f"{result} {name} {time.monotonic() - began:.2f}s{detail}", flush=True)
    return result


def _check_replies():
    complaints = sys.modules["lib.client"].COMPLAINTS.values()
    assert not complaints, f"{len(complaints)} kinds of wrong reply:\n  " + "\n  ".join(sorted(complaints))


def _cpu_seconds():
    """Of this program and of what it waited for."""
    return sum(r.ru_utime + r.ru_stime for r in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def main():
    """Runs the tests whose name contains an argument (all without); exits non-zero on failure."""
    began = time.monotonic()
    stem = os.path.basename(sys.argv[0]).removesuffix(".py").removeprefix("test_")
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", help="build directory; default $HOLM_BUILD")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.build:
        os.environ["HOLM_BUILD"] = options.build
    wanted = options.names
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    shared = _Shared()
    for function, limit in _tests:
        if wanted and not any(w in function.__name__ for w in wanted):
            continue
        needs_node = "node" in inspect.signature(function).parameters
        call = (lambda f=function: f(shared.get())) if needs_node else function
        if _run_one(f"{stem}.{function.__name__}", call, limit, counts) == "FAIL" and shared.node and needs_node:
            print(shared.node.log_tail())
    if shared.node:
        _run_one(f"{stem}.daemon_is_clean", shared.node.close, 60, counts)
    if "lib.client" in sys.modules:
        _run_one(f"{stem}.replies_follow_pve", _check_replies, 10, counts)
    print(f"# {time.monotonic() - began:.1f} s, {_cpu_seconds():.1f} s of CPU")
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped", flush=True)
    sys.exit(1 if counts["FAIL"] else 0)
