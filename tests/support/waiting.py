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
    deadline = time.monotonic() + seconds
    while not (answer := await condition()):
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {seconds:g} s: {what}\n{show()}")
        await asyncio.sleep(POLL_SECONDS)
    return answer


def becomes_true(condition: Callable[[], object]) -> bool:
    """Wait, with nothing beside it; False at the deadline."""
    deadline = time.monotonic() + USUAL_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


async def pace(pause_seconds: float = POLL_SECONDS) -> None:
    """The pause between two pieces of a load: it says how dense the load is, and nothing else."""
    await asyncio.sleep(pause_seconds)
