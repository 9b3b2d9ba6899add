"""Waiting for a condition with a deadline; the only place where tests sleep."""
import os
import time


def slow(seconds):
    """A limit, stretched by HOLM_SLOW (sanitizer builds, busy machines)."""
    return seconds * float(os.environ.get("HOLM_SLOW", "1"))


def wait_for(condition, timeout=10, what=None, step=0.02):
    """Polls until condition() is true and returns its value; AssertionError at the deadline."""
    deadline = time.monotonic() + slow(timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or getattr(condition, '__name__', 'condition')}")
        time.sleep(step)
