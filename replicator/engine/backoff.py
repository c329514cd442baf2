"""Calls repeated with growing delays, and waits that end early when asked to stop."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from replicator.errors import Disposition, ReplicatorError, SourceDenied

T = TypeVar("T")
ATTEMPTS_MAX = 8
_WORTH_REPEATING = (Disposition.RETRY, Disposition.RELEASE)


async def stopped_within(stopping: asyncio.Event, seconds: float) -> bool:
    """Wait; True as soon as we are asked to stop."""
    if seconds <= 0:
        await asyncio.sleep(0)
        return stopping.is_set()
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return False
    return True


def delay_seconds(attempt: int, *, base: float, cap: float, chance: float) -> float:
    """Full jitter: between nothing and twice as much as before, up to the cap."""
    return chance * min(cap, base * 2.0 ** min(attempt, 30))


@dataclass(slots=True)
class Backoff:
    """The delays of one thing that is tried again and again."""

    base: float = 0.1
    cap: float = 10.0
    attempts: int = 0

    def next_seconds(self) -> float:
        """Seconds to wait before the next attempt."""
        self.attempts += 1
        chance = random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, protects nothing)
        return delay_seconds(self.attempts, base=self.base, cap=self.cap, chance=chance)

    def succeeded(self) -> None:
        """Start again at the shortest delay."""
        self.attempts = 0


async def with_retries(ask: Callable[[], Awaitable[T]], *, attempts_max: int = ATTEMPTS_MAX) -> T:
    """The answer; the last failure when none came. For what changes nothing, or may be repeated."""
    backoff = Backoff(base=0.1, cap=5.0)
    while True:
        try:
            return await ask()
        except ReplicatorError as error:
            hopeless = error.disposition not in _WORTH_REPEATING or isinstance(error, SourceDenied)
            if hopeless or backoff.attempts + 1 >= attempts_max:
                raise
        await asyncio.sleep(backoff.next_seconds())
