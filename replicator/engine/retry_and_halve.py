"""Attempts to apply a batch: repeated while a server is busy, halved if too slow or refused."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from replicator.core.stream_record import StreamRecord
from replicator.core.telemetry_events import unobserved
from replicator.engine.backoff import Backoff, stopped_within
from replicator.errors import (
    OWN_LIMIT,
    BatchRejected,
    BatchTooSlow,
    RecordTooSlow,
    ReplicatorError,
    SinkBusy,
)

T = TypeVar("T")
SINGLE_ATTEMPTS_MAX = 10


async def apply_until_taken(
    apply: Callable[[], Awaitable[T]],
    stopping: asyncio.Event,
    *,
    attempting: Callable[[], None],
    failed: Callable[[ReplicatorError], None] = unobserved,
    single: bool = False,
) -> T:
    """Apply until a busy server takes the batch; SinkBusy once asked to stop, BatchTooSlow at once.

    A batch that cannot be halved (`single`) and meets a time limit of others is tried
    SINGLE_ATTEMPTS_MAX times: RecordTooSlow then. `attempting` hears of every attempt, `failed` of
    every one that will be repeated.
    """
    backoff = Backoff(base=0.05, cap=5.0)
    while True:
        attempting()
        try:
            return await apply()
        except BatchTooSlow as error:
            if not single or error.limit == OWN_LIMIT:
                raise
            if backoff.attempts + 1 >= SINGLE_ATTEMPTS_MAX:
                message = f"a single record takes longer than {error.limit} allows: {error}"
                raise RecordTooSlow(message, remedy=error.remedy) from error
            failed(error)
            if await stopped_within(stopping, backoff.next_seconds()):
                raise
        except SinkBusy as error:
            failed(error)
            if await stopped_within(stopping, backoff.next_seconds()):
                raise


AnyClaim = TypeVar("AnyClaim")
Records = Sequence[StreamRecord]


def _unbounded() -> int:
    return sys.maxsize


async def apply_in_halves(
    records: Records,
    claim: AnyClaim,
    *,
    apply: Callable[[Records, AnyClaim], Awaitable[AnyClaim]],
    set_aside: Callable[[Records, AnyClaim, BatchRejected], Awaitable[AnyClaim]],
    most: Callable[[], int] = _unbounded,
) -> AnyClaim:
    """Apply records in order, as many at once as will go; returns the claim after the last.

    More than `most` says at that moment are not tried. A single record that PostgreSQL refuses is
    dead-lettered; BatchTooSlow when even one is too slow.
    """
    if len(records) <= max(1, most()):
        try:
            return await apply(records, claim)
        except BatchTooSlow:
            if len(records) <= 1:
                raise
        except BatchRejected as error:
            if len(records) <= 1:
                return await set_aside(records, claim, error)
    middle = len(records) // 2
    for half in (records[:middle], records[middle:]):
        claim = await apply_in_halves(half, claim, apply=apply, set_aside=set_aside, most=most)
    return claim
