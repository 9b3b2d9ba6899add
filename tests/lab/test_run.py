"""The lab's own runner, without a machine: hangs are noticed and cost one counted retry, statuses become results."""
import argparse
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import tempfile

from lib.tap import main, test

HERE = os.path.dirname(os.path.abspath(__file__))


def load(name):
    """tests/lab/run is a program without an ending."""
    loader = importlib.machinery.SourceFileLoader(name, f"{HERE}/{name}")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


run = load("run")


class FakeOuter:
    """Does what `script` says: a list of statuses by job, None for a hang; (status, seconds) when it stood still."""
    script, boots, never_boots, states, longest_silence = {}, 0, False, [], 0

    def __init__(self, _parts, folder, _tsc_khz):
        self.folder = folder

    def boot(self, cache):
        FakeOuter.boots += 1
        FakeOuter.states.append(cache)
        if FakeOuter.never_boots:
            raise run.Hung("silent")

    def share(self, path, where):
        self.path = path if where == "/share" else self.path

    def job(self, name, _limit, _program):
        with open(f"{self.path}/out/{name}.log", "w", encoding="utf-8") as f:
            f.write(f"words of {name}\n")
        status = FakeOuter.script[name].pop(0)
        status, self.longest_silence = status if isinstance(status, tuple) else (status, 2)
        if status is None:
            raise run.Hung("silent")
        return status, 1

    def close(self):
        pass


def run_jobs(retry_late=False, **script):
    """What came of jobs that end so; (statuses by name, counts, machines booted, retries)."""
    FakeOuter.script, FakeOuter.boots, FakeOuter.states = {n: list(s) for n, s in script.items()}, 0, []
    with tempfile.TemporaryDirectory() as work:
        for folder in ("share/out", "share/bin", "logs", "jobs"):
            os.makedirs(f"{work}/{folder}")
        with open(f"{work}/share/bin/tsc-khz", "w", encoding="ascii") as f:
            f.write("#!/bin/sh\necho 2000000\n")
        os.chmod(f"{work}/share/bin/tsc-khz", 0o755)
        jobs = []
        for name in script:
            with open(f"{work}/jobs/{name}.sh", "w", encoding="ascii") as f:
                f.write("# limit: 7\n# set: short\n")
            jobs.append(run.Job(f"{work}/jobs/{name}.sh"))
        assert all(j.limit == 7 and j.set == "short" for j in jobs)
        report = run.Report(False)
        run.Outer = FakeOuter
        options = argparse.Namespace(folder=None, cold=False, retry_late=retry_late)
        runner = run.Run({"outer": "/nowhere/outer"}, f"{work}/share", f"{work}/logs", options)
        with contextlib.redirect_stdout(io.StringIO()):
            runner.run(jobs, report)
        logs = set(os.listdir(f"{work}/logs"))
        assert logs >= {f"{n}.log" for n in script}, logs
        assert len(logs) == len(script) + runner.retries, logs
        return {j.name: j.status for j in jobs}, report.total(), FakeOuter.boots, runner.retries


@test
def one_machine_for_all_jobs():
    assert run_jobs(a=[0], b=[1], c=[77], d=[124]) == ({"a": 0, "b": 1, "c": 77, "d": 124}, "1 passed, 2 failed, 1 skipped", 1, 0)


@test
def a_hang_costs_one_retry_in_a_fresh_machine():
    assert run_jobs(a=[0], b=[None, 0], c=[0]) == ({"a": 0, "b": 0, "c": 0}, "3 passed, 0 failed", 2, 1)


@test
def after_a_hang_the_machine_boots_without_its_saved_state():
    run_jobs(a=[0], b=[None, 0])
    assert FakeOuter.states == ["/nowhere", None], FakeOuter.states


@test
def a_late_job_is_tried_again_only_if_the_machine_stood_still():
    assert run_jobs(a=[75], b=[124], c=[0]) == ({"a": 75, "b": 124, "c": 0}, "1 passed, 2 failed", 1, 0)
    assert run_jobs(a=[(75, 30), 0], b=[(137, 30), 0]) == ({"a": 0, "b": 0}, "2 passed, 0 failed", 3, 2)
    assert run_jobs(a=[(75, 30), (75, 30)], b=[0]) == ({"a": 75, "b": 0}, "1 passed, 1 failed", 2, 1)


@test
def a_late_job_is_tried_again_once_if_that_is_asked_for():
    assert run_jobs(True, a=[75, 0], b=[124, 124]) == ({"a": 0, "b": 124}, "1 passed, 1 failed", 3, 2)


@test
def a_hang_and_a_late_job_are_two_faults():
    assert run_jobs(True, a=[None, 75, 0], b=[124, (75, 30), 0]) == ({"a": 0, "b": 0}, "2 passed, 0 failed", 5, 4)
    assert run_jobs(True, a=[75, None, 75], b=[None, 75, None]) == ({"a": 75, "b": 124}, "0 passed, 2 failed", 5, 4)
    assert run_jobs(a=[None, 75]) == ({"a": 75}, "0 passed, 1 failed", 2, 1)


@test
def a_wrong_result_is_never_tried_again():
    assert run_jobs(True, a=[1, 0]) == ({"a": 1}, "0 passed, 1 failed", 1, 0)
    assert run_jobs(a=[(1, 30), 0], b=[(77, 30)]) == ({"a": 1, "b": 77}, "0 passed, 1 failed, 1 skipped", 1, 0)


@test
def two_hangs_fail_the_job_and_the_rest_goes_on():
    assert run_jobs(a=[None, None], b=[0]) == ({"a": 124, "b": 0}, "1 passed, 1 failed", 3, 1)


@test
def a_machine_that_never_boots_fails_every_job():
    FakeOuter.never_boots = True
    try:
        assert run_jobs(a=[0]) == ({"a": 124}, "0 passed, 1 failed", 2, 1)
    finally:
        FakeOuter.never_boots = False


class Machine(run.Outer):
    """A shell script in the place of QEMU."""

    def __init__(self, folder, script):
        super().__init__({}, folder, 0)
        self.script = script

    def argv(self):
        return ["sh", "-c", self.script]


def hangs(script):
    """Whether a job in that machine ends with Hung."""
    with tempfile.TemporaryDirectory() as folder:
        with Machine(folder, script) as machine:
            try:
                machine.boot()
                return machine.job("a", 5, "/share/jobs/a.sh")
            except run.Hung as error:
                return str(error)


@test
def an_agent_that_works():
    assert hangs("echo ready; read x; echo did 0; echo tick; read x; echo start a; echo done a 3 2") == (3, 2)


@test
def a_machine_that_ends_or_is_silent_is_noticed():
    import outer
    outer.SILENCE_LIMIT = 2
    assert "ended with 5" in hangs("echo ready; read x; exit 5")
    assert "silent" in hangs("echo ready; read x; echo did 0; read x; echo start a; exec sleep 100")
    assert "no 'done'" in hangs_at_limit()


@test
def a_silent_machine_is_looked_at_and_woken():
    import outer
    before, outer.STOOD_STILL = outer.STOOD_STILL, 1
    try:
        with tempfile.TemporaryDirectory() as folder:
            with Machine(folder, "echo ready; read x; echo did 0; read x; echo start a; read x; echo done a 0 3") as machine:
                assert machine.boot().job("a", 5, "/share/jobs/a.sh") == (0, 3)
                assert machine.longest_silence >= 1
            with open(f"{folder}/silence.log", encoding="utf-8") as f:
                text = f.read()
            assert "(sh) S user" in text and text.count("(sh) ") == 2 and text.count("QEMU does not answer") == 2, text
    finally:
        outer.STOOD_STILL = before


def hangs_at_limit():
    """A machine that ticks on, while its job goes far beyond its limit."""
    import outer
    before, outer.OVERTIME = outer.OVERTIME, -4
    try:
        return hangs("echo ready; read x; echo did 0; read x; while echo tick; do sleep 0.2; done")
    finally:
        outer.OVERTIME = before


if __name__ == "__main__":
    main()
