"""How long tests wait before they call it a hang: every bound, on the machine that runs them.

A bound is written as the seconds that suffice, many times over, on the machine of
docs/benchmarks.md, and passes through `scaled`, which multiplies it by how much slower this
machine is. That is measured once, when a session of tests first imports this module: as many
processes as there are cores import the product and compute a fixed amount, all at once, so that
slow cores, a quota and other work on the machine all show. An environment variable hands the
result to xdist's workers and to every pytest that a test starts, and sets it by hand:
`REPLICATOR_TEST_SLOWNESS=3 make test`.

A bound catches a hang, it measures no speed: other work may begin after the measurement, so each
is a multiple of what is usual, and most waits have no bound of their own but `USUAL_SECONDS`.
Before a wait fails it asks `slower_by`, which measures once more. What shall happen within less, as
it is promised, has a bound of its own, in a file that tests/test_bounds.py names with the reason;
what the product does after a time of its own is waited for with `after=` that time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from tests.support.warm_start import ROOT, environment

VARIABLE = "REPLICATOR_TEST_SLOWNESS"
SLOWNESS_MAX = 10.0
LEASE_SLOWNESS_MAX = 3.0
"""A lease is renewed four times within its length: with even more, tests only take longer."""
UNIT_SECONDS = 1.2
"""How long the unit takes on the machine of docs/benchmarks.md, with nothing beside it."""
IMPORT = "import replicator.app.daemon.run"
UNIT = f"""
import hashlib
{IMPORT}
number, digest = 0, b""
for step in range(4_000_000):
    number += step * step % 7
for _ in range(5_000):
    digest = hashlib.sha256(digest + bytes(4_000)).digest()
"""


def cores() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0))


def measured() -> float:
    """How many times longer than there the unit takes here and now."""
    _wait_for([_started(IMPORT)])  # compiles what is not compiled yet
    began = time.monotonic()
    _wait_for([_started(UNIT) for _ in range(cores())])
    return (time.monotonic() - began) / UNIT_SECONDS


def _started(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment())


def _wait_for(processes: list[subprocess.Popen[bytes]]) -> None:
    codes = [process.wait() for process in processes]
    assert not any(codes), f"the unit of work ended with {codes}"


def settled(given: str | None, measure: Callable[[], float] = measured) -> float:
    """The slowness that was given, else what is measured, at most SLOWNESS_MAX; at least 1."""
    found = float(given) if given else min(measure(), SLOWNESS_MAX)
    return round(max(found, 1.0), 2)


SLOWNESS = settled(os.environ.get(VARIABLE))
os.environ[VARIABLE] = str(SLOWNESS)


def slower_by(measure: Callable[[], float] = measured) -> float:
    """How many times slower this machine is now than `SLOWNESS` says; at least 1."""
    return max(1.0, settled(None, measure) / SLOWNESS)


def scaled(seconds: float) -> float:
    """Seconds on the machine of docs/benchmarks.md, as seconds on this one."""
    return seconds * SLOWNESS


def lease(seconds: float) -> float:
    """A lease length there, as one that is renewed in time here; takeovers take as much longer."""
    return seconds * min(SLOWNESS, LEASE_SLOWNESS_MAX)


def kept_lease(seconds: float) -> float:
    """A lease length there, as one that its owner keeps here: for tests where none is to expire."""
    return scaled(seconds)


def amount(count: int, *, least: int) -> int:
    """So much generated work there, as work that takes about as long here; never below `least`."""
    return max(least, round(count / SLOWNESS))


def machine() -> str:
    """One line about the machine, for a failure to show."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"this machine is taken for {SLOWNESS:g} times slower than that of docs/benchmarks.md"
        f" ({VARIABLE}); load average now {load} on {cores()} cores"
    )


USUAL_SECONDS = scaled(240)
"""For whatever a process, a server or a command does in the course of a test."""
TEST_SECONDS = scaled(1200)
"""For a test: some waits, one after another."""
LONG_TEST_SECONDS = scaled(5400)
"""For a test that is marked `long`."""
