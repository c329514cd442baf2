"""Waits that end early when asked to stop, and calls repeated with growing delays."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

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


async def for_each(
    things: Collection[T], act: Callable[[T], Awaitable[object]], *, at_once: int
) -> None:
    """Act on each thing, on so many at a time; the first failure ends it all."""
    left = iter(things)

    async def work() -> None:
        for thing in left:
            await act(thing)

    async with one_failure() as tasks:
        for number in range(min(at_once, len(things))):
            tasks.create_task(work(), name=f"act {number}")


async def unless_stopped(stopping: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None when we are asked to stop before it ends, which cancels it."""
    async with one_failure() as tasks:
        working = tasks.create_task(work, name="work")
        waiting = tasks.create_task(stopping.wait(), name="wait for stop")
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        working.cancel()
    return None if working.cancelled() else working.result()


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


@asynccontextmanager
async def one_failure() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises the first failure itself, not a group of one."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        raise first_failure(group) from None


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first leaf of an exception group."""
    failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
