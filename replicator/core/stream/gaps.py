"""Proves that no owed record was trimmed before it was read, or tells the gap. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from replicator.core.observations import GapKind
from replicator.core.stream.lineage import by_name
from replicator.core.stream.shards import Mode, ShardFacts

RETENTION = timedelta(hours=24)
"""DynamoDB Streams keeps a record for 24 hours (Developer Guide, Streams.html)."""
MARGIN = timedelta(minutes=15)
"""For clocks that differ and creation times that are rounded down or go back."""


NOT_OWED = timedelta(hours=1)
"""What is so near to being trimmed when a shard is found is read if it is there, not promised."""


def is_proved_complete(
    *,
    answered_at: datetime,
    safe_at: datetime | None,
    found_at: datetime,
    accepted_at: datetime | None = None,
) -> bool:
    """True when an answer that was there at that time cannot have skipped a record we owe.

    Every unread record is younger than `safe_at`, or its loss was accepted, or it was about to be
    trimmed when the shard was found; so none can have been trimmed while less than the retention
    has passed. The time of the request would prove too much: whoever sleeps for a day between
    looking at the clock and sending gets an answer of a day later.
    """
    base = found_at - RETENTION + NOT_OWED
    for instant in (safe_at, accepted_at):
        if instant is not None and instant > base:
            base = instant
    return answered_at - base < RETENTION - MARGIN


def kind_of_gap(*, position: int | None, known: int | None) -> GapKind:
    """Certain only when unread records were seen; an idle shard's gap is at most possible."""
    unread_seen = known is not None and (position is None or known > position)
    return "certain" if unread_seen else "possible"


def headroom_seconds(*, now: datetime, safe_at: datetime) -> float:
    """Seconds until the oldest unread record may be trimmed; 0 when it may be already."""
    return max(0.0, (RETENTION - (now - safe_at)).total_seconds())


def how_to_mend(source: str, mode: Mode) -> str:
    """The commands that load a table anew or accept its gaps; who copies one says why.

    What AWS Lambda writes no worker can load.
    """
    accept = f'replicator gaps accept --table {source} --why "..."'
    if mode == "lambda":
        return accept
    load = f'replicator snapshot --table {source} --why "..."'
    return f"`{load}` loads it anew, `{accept}` leaves what is lost as it is"


@dataclass(frozen=True, slots=True)
class Unread:
    """The creation time of the oldest change that may be unread; None: it may be of any age."""

    since: datetime | None


def unread(shards: Iterable[ShardFacts]) -> Unread | None:
    """How old the oldest change is that may be unread; None when nothing is left to read.

    A child that was never read holds nothing older than what its parent still owes, or owed.
    """
    known = by_name(shards)
    waiting = [shard for shard in known.values() if not shard.finished]
    if not waiting:
        return None
    bases: list[datetime] = []
    for shard in waiting:
        parent = known.get((shard.stream_arn, shard.parent_id or ""))
        base = shard.safe_at or (parent.safe_at if parent is not None else None)
        if base is not None:
            bases.append(base)
        elif parent is None or parent.finished:
            return Unread(None)
    return Unread(min(bases, default=None))


def lost_from(since: datetime) -> datetime:
    """When the stream may drop a change of that time."""
    return since + RETENTION
