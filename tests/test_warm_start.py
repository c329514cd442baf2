"""A fork of the launcher ends as an interpreter does, only sooner, and has the time for it."""

import re
import subprocess
import sys
from importlib import import_module

import pytest

from tests.support import bounds
from tests.support.bounds import USUAL_SECONDS
from tests.support.warm_start import (
    AT_THE_END,
    ROOT,
    allow_more_time_at_the_end,
    environment,
)

PROGRAM = """
import atexit, sys, threading
from tests.support.warm_start import end_process

async def forgotten():
    pass

class Cycle:
    def __init__(self):
        self.itself, self.never_awaited = self, forgotten()

def late():
    threading.main_thread().join()
    print("a thread is waited for", flush=True)

atexit.register(print, "what is registered runs")
threading.Thread(target=late).start()
Cycle()
print("what is written arrives", end="")
"""


def said(end: str) -> tuple[int, str, list[str]]:
    """Exit code, standard output and warnings, without their places, of the program."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + end],
        cwd=ROOT,
        env=environment() | {"PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        timeout=USUAL_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, re.findall(r"\w+Warning: .*", done.stderr)


@pytest.mark.parametrize("code", [0, 3])
def test_a_fork_says_at_its_end_what_an_interpreter_says(code: int):
    usual = said(f"sys.exit({code})")

    assert usual[0] == code
    assert "a thread is waited for\nwhat is registered runs\n" in usual[1]
    assert usual[2][0] == "RuntimeWarning: coroutine 'forgotten' was never awaited"
    assert said(f"end_process({code})") == usual


def test_limits_of_the_product_s_end_are_as_much_longer_as_the_machine_is_slower(
    monkeypatch: pytest.MonkeyPatch,
):
    limits = [(import_module(module), name) for module, name in AT_THE_END]
    for module, name in limits:
        monkeypatch.setattr(module, name, 2.0)
    monkeypatch.setattr(bounds, "SLOWNESS", 3.0)

    allow_more_time_at_the_end()

    assert [getattr(module, name) for module, name in limits] == [6.0] * len(AT_THE_END)
