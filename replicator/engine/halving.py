"""What is too slow or refused is halved down to the record that is to blame."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from replicator.core.records import StreamRecord
from replicator.errors import BatchTooSlow, RowRejected

Claim = TypeVar("Claim")
Records = Sequence[StreamRecord]


def _unbounded() -> int:
    return sys.maxsize


async def in_parts(
    records: Records,
    claim: Claim,
    *,
    apply: Callable[[Records, Claim], Awaitable[Claim]],
    set_aside: Callable[[Records, Claim, RowRejected], Awaitable[Claim]],
    most: Callable[[], int] = _unbounded,
) -> Claim:
    """Apply records in order, as many at once as will go; returns the claim after the last.

    More than `most` says at that moment are not tried. A single record that PostgreSQL refuses is
    set aside; BatchTooSlow when even one is too slow.
    """
    if len(records) <= max(1, most()):
        try:
            return await apply(records, claim)
        except BatchTooSlow:
            if len(records) <= 1:
                raise
        except RowRejected as error:
            if len(records) <= 1:
                return await set_aside(records, claim, error)
    middle = len(records) // 2
    for half in (records[:middle], records[middle:]):
        claim = await in_parts(half, claim, apply=apply, set_aside=set_aside, most=most)
    return claim
