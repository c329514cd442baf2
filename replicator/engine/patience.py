"""Asks again what failed and may succeed a little later."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from replicator.engine.waiting import Backoff, stopped_within
from replicator.errors import (
    BatchTooSlow,
    Disposition,
    ReplicatorError,
    SinkBusy,
    SourceDenied,
)

T = TypeVar("T")
ATTEMPTS_MAX = 8
_WORTH_IT = (Disposition.RETRY, Disposition.RELEASE)


async def patiently(ask: Callable[[], Awaitable[T]], *, attempts_max: int = ATTEMPTS_MAX) -> T:
    """The answer; the last failure when none came. For what changes nothing, or may be repeated."""
    backoff = Backoff(base=0.1, cap=5.0)
    while True:
        try:
            return await ask()
        except ReplicatorError as error:
            hopeless = error.disposition not in _WORTH_IT or isinstance(error, SourceDenied)
            if hopeless or backoff.attempts + 1 >= attempts_max:
                raise
        await asyncio.sleep(backoff.next_seconds())


async def until_taken(
    apply: Callable[[], Awaitable[T]],
    stopping: asyncio.Event,
    *,
    attempting: Callable[[], None],
) -> T:
    """Apply until a busy server takes it; SinkBusy once asked to stop, BatchTooSlow at once.

    `attempting` hears of every attempt.
    """
    backoff = Backoff(base=0.05, cap=5.0)
    while True:
        attempting()
        try:
            return await apply()
        except BatchTooSlow:
            raise
        except SinkBusy:
            if await stopped_within(stopping, backoff.next_seconds()):
                raise
