"""`replicator demo` from its start to its end: what it says, how it ends, what it leaves."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.bounds import USUAL_SECONDS, scaled
from tests.support.in_memory import new_files_in, place_in_memory
from tests.support.waiting import becomes_true
from tests.support.warm_start import environment

SECONDS_MAX = USUAL_SECONDS

LOSE_SOME = """
-- a person, a trigger or a bug that takes rows away where the daemon cannot see it
create function public.lose() returns trigger language plpgsql as
$$ begin delete from public.orders where order_id = new.order_id; return null; end $$;
create trigger lose after insert on orders
   for each row when (new.order_id like '%7') execute function public.lose();
-- those that are there: all may have been written when this begins
delete from public.orders where order_id like '%7';
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Where a demonstration puts its files: everybody may look inside, as into /tmp."""
    with new_files_in(place_in_memory() or Path("/tmp")):  # noqa: S108  # mkdtemp makes it safe
        directory = Path(tempfile.mkdtemp(prefix="replicator-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def started(place: Path, *arguments: str, **said: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "replicator", "demo", *arguments],
        env=environment() | {"TMPDIR": str(place)} | said,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def running(place: Path) -> list[tuple[int, str]]:
    """Processes whose command line names the place, as those of all parts do."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    rows = (line.strip().partition(" ") for line in listed.stdout.splitlines())
    return [(int(pid), command) for pid, _, command in rows if str(place) in command]


def line_with(process: subprocess.Popen[str], beginning: str) -> str:
    """Read on until a line begins so; the rest of that line."""
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return line.removeprefix(beginning).strip()
    said = process.stderr.read()
    raise AssertionError(f"it ended without a line that begins with {beginning!r}: {said}")


async def execute(dsn: str, statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


def test_it_ends_equal_and_leaves_nothing(place: Path):
    with started(place, "--seconds", "3") as demo:
        out, err = demo.communicate(timeout=SECONDS_MAX)

    assert demo.returncode == 0, out + err
    assert err == ""
    assert re.search(r"^Equal: [1-9]\d* items in DynamoDB, [1-9]\d* rows in PostgreSQL", out, re.M)
    assert re.search(r"^order_id +S +A-\d{4} +order_id +A-\d{4}", out, re.M)
    assert list(place.iterdir()) == []
    assert running(place) == []


@pytest.mark.wide
def test_rows_lost_behind_the_daemons_back_are_named_and_the_log_is_kept(place: Path):
    with started(place, "--seconds", f"{scaled(4):.0f}") as demo:
        asyncio.run(execute(line_with(demo, "PostgreSQL "), LOSE_SOME))
        out, err = demo.communicate(timeout=SECONDS_MAX)

    assert demo.returncode == 1, out + err
    assert "Not equal: " in out
    named = re.findall(r"^  (A-\d+): missing in PostgreSQL$", out, re.M)
    assert named
    assert all(key.endswith("7") for key in named)
    [kept] = place.iterdir()
    assert f"The daemon's log: {kept}" in out
    assert "shard claimed" in kept.read_text()
    assert running(place) == []


def test_it_ends_quietly_when_interrupted(place: Path):
    with started(place, "--seconds", "60") as demo:
        line_with(demo, "   0 s:")
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=SECONDS_MAX)

    assert demo.returncode == 130
    assert err == "Ended before its end; everything it started is gone.\n"
    assert list(place.iterdir()) == []
    assert running(place) == []


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.wide)]
)
def test_it_ends_quietly_when_told_to_while_servers_start(place: Path, number: signal.Signals):
    with started(place) as demo:
        assert becomes_true(lambda: bool(running(place)))
        demo.send_signal(number)
        _, err = demo.communicate(timeout=SECONDS_MAX)

    assert demo.returncode == 130
    assert err == "Ended before its end; everything it started is gone.\n"
    assert list(place.iterdir()) == []
    assert running(place) == []


@pytest.mark.wide
def test_a_daemon_that_dies_is_reported_with_its_log(place: Path):
    with started(place, "--seconds", "60") as demo:
        line_with(demo, "   0 s:")
        [daemon] = [
            pid
            for pid, command in running(place)
            if "replicator run" in command and "child_process.py" not in command
        ]
        os.kill(daemon, signal.SIGKILL)
        out, err = demo.communicate(timeout=SECONDS_MAX)

    assert demo.returncode == 4
    assert "the daemon ended" in err
    assert "Traceback" not in err
    [kept] = place.iterdir()
    assert f"The daemon's log: {kept}" in out
    assert running(place) == []


def test_a_missing_part_is_one_message_with_its_remedy(place: Path):
    with started(place, REPLICATOR_MINISTACK="/nowhere/ministack") as demo:
        _, err = demo.communicate(timeout=SECONDS_MAX)

    assert demo.returncode == 2
    assert "no DynamoDB emulator to start: /nowhere/ministack cannot be run" in err
    assert "name an executable ministack in REPLICATOR_MINISTACK" in err
    assert "Traceback" not in err
    assert list(place.iterdir()) == []
    assert running(place) == []
