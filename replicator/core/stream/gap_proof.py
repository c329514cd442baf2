"""Proves that no owed record was trimmed before it was read, or tells the gap. Pure.

Theory of operation
-------------------
The problem: DynamoDB Streams drops a record 24 hours after the creation, and drops it silently.
An iterator after a sequence number that is gone may return the next surviving record without an
error. So a worker that was away for a day can read on as if nothing had happened, and lose
changes that nobody ever hears of.

The idea: completeness is proved from times, not from errors. For each shard PostgreSQL holds
`safe_at`: every change that was created before it is applied, or was never owed. `safe_at` moves
with the newest creation time of a committed batch and, at the head of the shard, with the time of
the first of five empty answers. A child shard inherits the parent's `safe_at`. An unread record
is therefore younger than `safe_at`, and cannot have been trimmed before `safe_at` + 24 h. An
answer that was there earlier than that, less a margin, skips nothing: `is_proved_complete`.

The rules:
  * The time that counts is the time at which the answer was there, by the source's clock (its
    `Date` header): a process that sleeps between looking at a clock and sending the request would
    prove too much with the earlier time.
  * The proof is made after the answer and before the records are applied.
  * `found_at`: records that were within an hour of being trimmed when the shard was first listed
    are read if they are there, and not owed. Otherwise every table would begin with a gap.
  * `accepted_at`: a person (or `on_gap`) accepted that everything before may be lost.
  * `MARGIN` absorbs clocks that differ and creation times that are rounded.
  * A gap is `certain` only if unread records were known to exist; an idle shard's gap is
    `possible`.

The invariant: no record is skipped that is not applied, accepted as lost, or was never owed.

Broken without it: checking before the request passes, the worker pauses for twenty minutes, and
the read after it skips records; trusting an error "trimmed" misses every loss that raises none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from shlex import quote

from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.shard_lineage import by_name
from replicator.core.stream.table_and_shard_facts import ShardFacts
from replicator.core.stream_record import Position
from replicator.core.telemetry_events import GapKind

MARGIN = timedelta(minutes=15)
"""Margin of the proof: clocks differ, and creation times are rounded down or go back."""


NOT_OWED = timedelta(hours=1)
"""Records nearer to being trimmed at the discovery of a shard are read if present, not owed."""


def is_proved_complete(
    *,
    answered_at: datetime,
    safe_at: datetime | None,
    found_at: datetime,
    retention: timedelta,
    accepted_at: datetime | None = None,
) -> bool:
    """True when an answer that was there at that time cannot have skipped an owed record.

    Every unread record is younger than `safe_at`, or the loss was accepted, or the record was about
    to be trimmed when the shard was found; so no owed record can have been trimmed while less than
    the retention has passed. The time of the request would prove too much: a process that sleeps
    for a day between reading the clock and sending gets an answer of a day later.
    """
    base = found_at - retention + NOT_OWED
    for instant in (safe_at, accepted_at):
        if instant is not None and instant > base:
            base = instant
    return answered_at - base < retention - MARGIN


def kind_of_gap(*, position: Position | None, known: Position | None) -> GapKind:
    """Certain only when unread records were seen; an idle shard's gap is at most possible."""
    unread_seen = known is not None and (position is None or known > position)
    return "certain" if unread_seen else "possible"


def older_stream(stream_arn: str, current: str) -> str:
    """The detail of the gap before a stream that is older than the predecessor."""
    return (
        f"the source has the stream {stream_arn} now; the one on record, {current}, is over and "
        "has the newer label. That is so after a failover to a replica, or where the region, the "
        "account or the table of the configuration was changed: what changed between the two may "
        "be in neither. Accepting it makes that stream the current one"
    )


def headroom_seconds(*, now: datetime, safe_at: datetime, retention: timedelta) -> float:
    """Seconds until the oldest unread record may be trimmed; 0 when possible already."""
    return max(0.0, (retention - (now - safe_at)).total_seconds())


def how_to_mend(source: str, ordering: OrderingMode) -> str:
    """The commands that load a table again or accept the gaps; the person adds the reason.

    No worker can load a table of AWS Lambda.
    """
    accept = f'replicator gaps accept --table {quote(source)} --why "..."'
    if ordering.poller == "lambda":
        return accept
    load = f'replicator snapshot --table {quote(source)} --why "..."'
    return f"`{load}` loads it again, `{accept}` leaves what is lost as it is"


@dataclass(frozen=True, slots=True)
class Unread:
    """The creation time of the oldest change that may be unread; None: of any age."""

    since: datetime | None


def unread(shards: Iterable[ShardFacts]) -> Unread | None:
    """Creation time of the oldest change that may be unread; None when nothing is left to read.

    A child that was never read holds nothing older than what the parent still owes, or owed.
    """
    known = by_name(shards)
    waiting = [shard for shard in known.values() if not shard.finished]
    if not waiting:
        return None
    bases: list[datetime] = []
    for shard in waiting:
        parents = [known.get((shard.stream_arn, parent)) for parent in shard.parents]
        inherited = [parent.safe_at for parent in parents if parent is not None]
        safe = [at for at in inherited if at is not None]
        base = shard.safe_at or (min(safe) if safe and len(safe) == len(parents) else None)
        if base is not None:
            bases.append(base)
        elif all(parent is None or parent.finished for parent in parents):
            return Unread(None)
    return Unread(min(bases, default=None))


def lost_from(since: datetime, *, retention: timedelta) -> datetime:
    """The time from which the stream may drop a change of that creation time."""
    return since + retention
