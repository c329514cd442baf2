"""`make mutants`: each mutant is put into a copy of the source, and its tests must turn red.

Not collected by itself: it would take minutes.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from tests.mutants.faults import MUTANTS
from tests.mutants.mutant import Mutant
from tests.support.bounds import scaled
from tests.support.warm_start import ROOT
from tests.support.wide import EXAMPLES

COPIED = ("replicator", "tests", "migrations", "docs", "deploy", "requirements")
MINUTES_MAX = 5
TEST_SECONDS_MAX = 120
"""For each test, which waits for longer only where a fault keeps what it waits for away."""
FAILED = 1
"""Pytest's exit code for tests that failed; anything else says that they could not be run."""

pytestmark = pytest.mark.timeout(scaled(MINUTES_MAX * 60 + 60))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source to put faults into, which keeps what was compiled of it."""
    place = tmp_path_factory.mktemp("source")
    for name in COPIED:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    (place / ".emulators").symlink_to(ROOT / ".emulators")
    return place


@dataclass(frozen=True, slots=True)
class Ended:
    """How a pytest ended; `code` None: not at all, and it was killed."""

    code: int | None
    said: str


def ended(source: Path, tests: list[str], dsn: str) -> Ended:
    """Run tests on the copy. Where a fault lets a test wait for ever, its own limit fails it.

    The output is a file: processes that a failing test leaves behind would keep a pipe open.
    """
    options = ["-q", "-x", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"]
    limit = f"--timeout={scaled(TEST_SECONDS_MAX):.0f}"
    with TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, limit, *tests],
            cwd=source,
            env=os.environ
            | {"PYTHONDONTWRITEBYTECODE": "", "REPLICATOR_TEST_POSTGRES_DSN": dsn, EXAMPLES: "all"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: int | None = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(scaled(MINUTES_MAX * 60))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return Ended(code, output.read()[-5000:])


@contextmanager
def harmed(source: Path, mutant: Mutant) -> Iterator[None]:
    """The mutant is in the source; afterwards the file is as it was, and as old."""
    path = source / mutant.file
    text = path.read_text()
    assert text.count(mutant.text) == 1, f"{mutant.file} holds the text no more, or twice"
    path.write_text(text.replace(mutant.text, mutant.instead))
    try:
        yield
    finally:
        shutil.copy2(ROOT / mutant.file, path)


@pytest.mark.parametrize(
    "file", sorted({mutant.noticed_by.partition("::")[0] for mutant in MUTANTS})
)
def test_without_a_mutant_its_tests_are_green(source: Path, postgres_server: str, file: str):
    tests = {mutant.noticed_by for mutant in MUTANTS}
    done = ended(
        source, sorted(each for each in tests if each.partition("::")[0] == file), postgres_server
    )

    assert done.code == 0, done.said


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_is_noticed(source: Path, postgres_server: str, mutant: Mutant):
    with harmed(source, mutant):
        done = ended(source, [mutant.noticed_by], postgres_server)

    assert done.code != 0, f"it survives {mutant.noticed_by}"
    assert done.code == FAILED, done.said
