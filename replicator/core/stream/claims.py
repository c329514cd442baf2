"""Claims of shards, the rights to write their changes, and the movement of a claimed position."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.shard_load import UNMEASURED, ShardLoad
from replicator.core.stream.source_kind import kind_of
from replicator.core.stream_record import Position


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write one shard's changes, until the next claim."""

    source: str
    stream_arn: str
    shard_id: str
    epoch: int
    claim_id: UUID
    """Random id, never used twice, as an epoch is after a failover that lost a claim."""
    position: Position | None
    known: Position | None
    safe_at: datetime | None
    found_at: datetime
    gap_accepted_at: datetime | None
    owed: bool
    """False where only a child has named the shard, and nothing of the shard was ever read."""
    ordering: OrderingMode
    skip_before: datetime | None
    """`initial_load: none`: older records are skipped."""
    snapshot_id: int | None
    """The snapshot that runs beside the claim: written rows are marked as seen by the snapshot."""
    open_letters: bool
    """Some dead letter of the table is open: batches must look for dead letters to supersede."""
    read_from: datetime | None = None
    """Earliest time to read from, where the source can begin at a time: nothing before concerns the
    table."""
    retention: timedelta | None = None
    """Time for which the stream keeps records, as the stream itself says; None: it is not asked."""
    load: ShardLoad = UNMEASURED

    @property
    def kept_for(self) -> timedelta:
        """Time for which the stream keeps records."""
        return self.retention or kind_of(self.stream_arn).retention


@dataclass(frozen=True, slots=True)
class Advance:
    """Movement of a shard's position by a batch; `expected` is where the position must stand
    before.
    """

    expected: Position | None
    position: Position
    known: Position
    created_at: datetime | None
    polled_at: datetime
    load: float = 0.0
    """The shard's records a minute, averaged."""
