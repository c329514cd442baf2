"""A server beside its keeper: its last words are its own, and it has time to end."""

import signal
import sys
from pathlib import Path

import pytest

from replicator.demo.child_process import Leashed
from tests.support.bounds import USUAL_SECONDS
from tests.support.waiting import becomes_true

ENDS_LATE = """
import signal, sys
def end(*_):
    signal.alarm(6)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGALRM, lambda *_: sys.exit(print("closed in order", flush=True)))
print("ready", flush=True)
while True:
    signal.pause()
"""


def leashed(program: str, log: Path) -> Leashed:
    return Leashed([sys.executable, "-IS", "-c", program], log=log, environment={})


@pytest.mark.parametrize("attempt", range(3))
def test_a_server_that_ends_by_itself_has_the_last_word(tmp_path: Path, attempt: int):
    log = tmp_path / f"server-{attempt}.log"
    server = leashed("print('the port is taken'); raise SystemExit(3)", log)

    assert server.ended_within(USUAL_SECONDS)
    server.close()

    assert log.read_text() == "the port is taken\n"


def test_a_signal_reaches_the_server(tmp_path: Path):
    log = tmp_path / "server.log"
    server = leashed("import signal; signal.pause()", log)

    server.tell(signal.SIGINT)
    assert server.ended_within(USUAL_SECONDS)
    server.close()


@pytest.mark.wide  # it takes the six seconds that PostgreSQL may take
def test_a_server_that_waits_for_its_sessions_is_not_ended_by_force(tmp_path: Path):
    log = tmp_path / "server.log"
    server = leashed(ENDS_LATE, log)
    assert becomes_true(lambda: log.read_text() == "ready\n")

    server.close()

    assert log.read_text() == "ready\nclosed in order\n"
