"""Until when the stream keeps what a stopped table has not read. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from replicator.core.gaps import RETENTION
from replicator.core.lineage import by_name
from replicator.core.shards import ShardFacts


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
