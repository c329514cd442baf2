"""Facts of shards and of source tables: the source's listing and the control schema's rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.source_kind import kind_of
from replicator.core.stream_record import Position
from replicator.core.table_spec import InitialLoad

ShardRowState = Literal["waiting", "active", "done", "gap"]


@dataclass(frozen=True, slots=True)
class DeadLetterCounts:
    """Dead letters of one table. `last_hour`: added in the last hour, closed ones included."""

    open: int
    last_hour: int


@dataclass(frozen=True, slots=True)
class ToldByStream:
    """Facts that a stream tells of itself: for how long it keeps its records now, which can be
    changed at any time, and when it was created.
    """

    retention: timedelta
    created_at: datetime


class _HasParents(Protocol):
    @property
    def parent_id(self) -> str | None: ...
    @property
    def adjacent_parent_id(self) -> str | None: ...


def parents_of(shard: _HasParents) -> tuple[str, ...]:
    """Ids of a shard's parents: none, one, or two where it was made by a merge."""
    parent, adjacent = shard.parent_id, shard.adjacent_parent_id
    if adjacent is not None:
        return (adjacent,) if parent is None else (parent, adjacent)
    return () if parent is None else (parent,)


@dataclass(frozen=True, slots=True)
class ListedShard:
    """A shard as the source lists it; `closed` when it has an ending sequence number.

    `adjacent_parent_id`: the second parent of a shard that two were merged into.
    """

    shard_id: str
    parent_id: str | None
    closed: bool
    adjacent_parent_id: str | None = None

    @property
    def parents(self) -> tuple[str, ...]:
        """The shards that are read to the ends before this one."""
        return parents_of(self)


@dataclass(frozen=True, slots=True)
class PolledShard:
    """A shard as workers poll it: the facts that tell which worker may read the shard, and which
    should.

    No fact changes with a batch, but `load`, which is rounded so that it seldom does: workers keep
    the values that are derived from a shard for as long as the shard is unchanged.
    """

    source: str
    stream_arn: str
    shard_id: str
    parent_id: str | None
    adjacent_parent_id: str | None
    state: ShardRowState
    owner: str | None
    gap_accepted_at: datetime | None
    done_at: datetime | None
    load: float | None
    """Records a minute, averaged, in two digits; None: nobody has read the shard."""

    @property
    def parents(self) -> tuple[str, ...]:
        """The shards that are read to the ends before this one."""
        return parents_of(self)

    @property
    def finished(self) -> bool:
        """Nothing more of the shard will be read: the children may start."""
        return self.state == "done" or (self.state == "gap" and self.gap_accepted_at is not None)


@dataclass(frozen=True, slots=True)
class ShardFacts(PolledShard):
    """A shard as the control schema knows it: as polled, and how far it is read; `load` exact.

    `safe_at`: every change created before that time is applied, or was never owed.
    `known`: the newest position ever seen in a page, applied or not.
    `listed` False: only a child has named the shard.
    """

    listed: bool
    position: Position | None
    known: Position | None
    safe_at: datetime | None
    head_at: datetime | None
    polled_at: datetime | None
    found_at: datetime


@dataclass(frozen=True, slots=True)
class StreamOver:
    """Nothing of a table's current stream is left to read, as far as the observer knows.

    `stream_arn` None: the table had none. `read`: the shards; None: the source has dropped the
    stream.
    """

    stream_arn: str | None
    read: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class GapFacts:
    """A gap on record; `shard_id` None: the whole stream."""

    id: int
    source: str
    stream_arn: str
    shard_id: str | None
    kind: str
    detail: str
    found_at: datetime
    since: datetime | None = None
    """Time before which every change is applied; None: the beginning is not known."""
    cuts: Sequence[datetime] = ()
    """For each shard that lost changes, the time before which all are applied; the earliest is
    `since`."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A source table on record in the control schema."""

    source: str
    stream_arn: str | None
    ordering: OrderingMode
    snapshot_id: int | None
    """The snapshot that is under way."""
    mapping_fingerprint: str
    initial_load: InitialLoad | None
    start_at: datetime | None
    paused: bool
    halted: bool
    reason: str | None
    remedy: str | None
    gaps: tuple[GapFacts, ...]
    mapping_revision: int = 1
    """Number of registrations and changes of the mapping."""
    stopped_at: datetime | None = None
    """Beginning of the halt or pause."""
    listed_seconds: float | None = None
    """Age of the last listing of the stream of which every shard is on record, by any worker."""
    listing_calls: int = 1
    """Calls of DescribeStream that a listing of the stream takes."""
    retention: timedelta | None = None
    """Time for which the stream keeps records, as the stream itself says; None: it is not asked."""

    @property
    def kept_for(self) -> timedelta:
        """Time for which the stream keeps records."""
        return self.retention or kind_of(self.stream_arn).retention

    @property
    def stopped(self) -> bool:
        """No shard of the table may be worked on until a person acts."""
        return self.paused or self.halted or bool(self.gaps)


@dataclass(frozen=True, slots=True)
class Pause:
    """A table's pause as it is on record. `why` None: no reason was given."""

    who: str
    why: str | None


@dataclass(frozen=True, slots=True)
class Belief:
    """State of a table as known to a worker at the decision to halt the table."""

    stream_arn: str | None
    mapping_fingerprint: str


Halting = Literal["halted", "already", "stale"]
"""Outcome of an attempt to halt a table: halted now, halted before, or changed since the caller's
belief and left alone."""
