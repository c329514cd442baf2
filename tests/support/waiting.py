"""The only places where a test lets time pass: until something is so, or at a load's pace.

Time that passes has no meaning of its own. What must have happened is a condition; where a moment
shall be any moment, it is told by the progress of a load: see `Load.grows`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.support.bounds import USUAL_SECONDS

POLL_SECONDS = 0.05
POLL_SECONDS_MAX = 0.5
POLL_PART = 0.1
"""Of what was waited so far: each look costs CPU time, which those need who are waited for."""

Found = TypeVar("Found")


class NotInTime(AssertionError):
    """What was waited for did not happen within its bound."""


async def eventually(
    condition: Callable[[], Awaitable[Found]],
    *,
    what: str,
    seconds: float = USUAL_SECONDS,
    show: Callable[[], str] = lambda: "",
) -> Found:
    """The first answer that is true; NotInTime with `what` and `show()` at the deadline."""
    began = time.monotonic()
    while not (answer := await condition()):
        waited = time.monotonic() - began
        if waited > seconds:
            raise NotInTime(f"not within {seconds:g} s: {what}\n{show()}")
        await asyncio.sleep(until_next_look(waited))
    return answer


def becomes_true(condition: Callable[[], object]) -> bool:
    """Wait, with nothing beside it; False at the deadline."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > USUAL_SECONDS:
            return False
        time.sleep(until_next_look(waited))
    return True


def until_next_look(waited_seconds: float) -> float:
    """How much later a thing may be found: a tenth of the wait, or next to nothing."""
    return min(max(POLL_SECONDS, waited_seconds * POLL_PART), POLL_SECONDS_MAX)


async def pace(pause_seconds: float = POLL_SECONDS) -> None:
    """The pause between two pieces of a load: it says how dense the load is, and nothing else."""
    await asyncio.sleep(pause_seconds)
