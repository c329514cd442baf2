"""The only places where a test lets time pass: until something is so, or at a load's pace.

Time that passes has no meaning of its own. What must have happened is a condition; where a moment
shall be any moment, it is told by the progress of a load: see `Load.grows`.

A bound that is over is looked at once more before anything fails: where the machine is slower now
than when it was measured, the wait goes on for as much longer. See `Patience`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.support import bounds
from tests.support.bounds import USUAL_SECONDS

POLL_SECONDS = 0.05
POLL_SECONDS_MAX = 0.5
POLL_PART = 0.1
"""Of what was waited so far: each look costs CPU time, which those need who are waited for."""

Found = TypeVar("Found")


class NotInTime(AssertionError):
    """What was waited for did not happen within its bound."""


class Patience:
    """The bound of one wait, which begins now."""

    def __init__(self, seconds: float) -> None:
        self._given = self.seconds = seconds
        self._began = time.monotonic()

    @property
    def waited(self) -> float:
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        return max(0.0, self.seconds - self.waited)

    def ends(self) -> bool:
        """True once the bound is over, for the machine as it is now, which is measured then."""
        if self.left:
            return False
        self.seconds = max(self.seconds, self._given * bounds.slower_by())
        return not self.left


async def eventually(
    condition: Callable[[], Awaitable[Found]],
    *,
    what: str,
    seconds: float = USUAL_SECONDS,
    after: float = 0.0,
    show: Callable[[], str] = lambda: "",
) -> Found:
    """The first answer that is true; NotInTime with `what` and `show()` at the deadline.

    `after`: what the product itself waits before it does that, which is the same on any machine.
    """
    patience = Patience(after + seconds)
    while not (answer := await condition()):
        if not patience.left and await asyncio.to_thread(patience.ends):
            raise NotInTime(f"not within {patience.seconds:g} s: {what}\n{show()}")
        await asyncio.sleep(until_next_look(patience.waited))
    return answer


def becomes_true(condition: Callable[[], object]) -> bool:
    """Wait, with nothing beside it; False at the deadline."""
    patience = Patience(USUAL_SECONDS)
    while not condition():
        if patience.ends():
            return False
        time.sleep(until_next_look(patience.waited))
    return True


def until_next_look(waited_seconds: float) -> float:
    """How much later a thing may be found: a tenth of the wait, or next to nothing."""
    return min(max(POLL_SECONDS, waited_seconds * POLL_PART), POLL_SECONDS_MAX)


async def pace(pause_seconds: float = POLL_SECONDS) -> None:
    """The pause between two pieces of a load: it says how dense the load is, and nothing else."""
    await asyncio.sleep(pause_seconds)
