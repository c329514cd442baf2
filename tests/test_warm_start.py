"""A fork of the launcher ends as an interpreter does, only sooner."""

import re
import subprocess
import sys

import pytest

from tests.support.bounds import USUAL_SECONDS
from tests.support.warm_start import ROOT, environment

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
