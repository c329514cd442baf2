"""Telemetry events: facts that the engine reports once, for metrics, log and status page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from replicator.core.stream_record import Event, LetterId, Position

Outcome = Literal["applied", "superseded", "filtered", "dead_letter", "duplicate"]
Operation = Literal["upsert", "delete", "append"]
RecordOutcome = tuple[Event | Literal["snapshot"], Outcome]
GapKind = Literal["possible", "certain"]
GuardReason = Literal["duplicate", "older", "older_generation", "suspicious", "snapshot"]
"""Reason for which the row guard supersedes a change: the row has the change already; a newer one;
one of a newer stream; one that counts as newer and was created earlier; a stream was quicker than a
scan."""


@dataclass(frozen=True, slots=True)
class BatchApplied:
    """One transaction was committed.

    `records` counts every record of the batch once; `replication_seconds` holds, for each second of
    creation time in the batch, the age at COMMIT and the number of records. `unmapped` counts
    what nothing takes, by target and attribute.
    """

    table: str
    shard_id: str
    records: Mapping[RecordOutcome, int]
    rows: Mapping[tuple[str, Operation], int]
    unmapped: Mapping[str, Mapping[str, int]]
    apply_seconds: float
    replication_seconds: tuple[tuple[float, int], ...]
    last_created_at: float | None
    unmatched: int = 0
    """Items that no target takes."""
    unmapped_types: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """DynamoDB's letters for the type of each."""
    candidates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For targets with `columns: auto` the attributes that could be columns, with the types."""


@dataclass(frozen=True, slots=True)
class RecordsRepeated:
    """The source delivered records again that were read before, and that were dropped."""

    table: str
    shard_id: str
    events: Mapping[Event, int]


@dataclass(frozen=True, slots=True)
class ChangesSuperseded:
    """The row guard found that rows have newer versions than changes of a batch, or equal ones."""

    table: str
    reasons: Mapping[GuardReason, int]


@dataclass(frozen=True, slots=True)
class StreamMoved:
    """The table is read from another source from now on, and is loaded again."""

    table: str
    detail: str


@dataclass(frozen=True, slots=True)
class PublishingUnwatched:
    """A table publishes its changes to its Kinesis stream again, after a time that no worker
    watched: nothing tells whether the table published its changes then."""

    table: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OrderUndecided:
    """Changes of an item had one creation time, and nothing told their order: the row may hold an
    older value.
    """

    table: str
    changes: int


@dataclass(frozen=True, slots=True)
class RecordRejected:
    """A record became a dead letter. `reason` names attribute and column, never a value."""

    table: str
    target: str
    shard_id: str
    letter_id: LetterId
    reason: str


@dataclass(frozen=True, slots=True)
class ShardClaimed:
    """The shard's position was claimed in PostgreSQL. `rewound`: to a position behind the
    checkpoint."""

    table: str
    shard_id: str
    epoch: int
    position: Position | None
    rewound: bool = False


@dataclass(frozen=True, slots=True)
class ShardEnded:
    """All records of the shard are committed; the children may start."""

    table: str
    shard_id: str
    children: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WriteFenced:
    """PostgreSQL refused a batch because another worker claimed the shard; nothing was written."""

    table: str
    shard_id: str


@dataclass(frozen=True, slots=True)
class ClaimSwitched:
    """PostgreSQL refused a batch because the table changed the mode, mapping or state meanwhile."""

    table: str
    shard_id: str


@dataclass(frozen=True, slots=True)
class LeaseTaken:
    """This worker has taken a lease; `previous_owner` None: the lease was free."""

    table: str
    shard_id: str
    previous_owner: str | None


@dataclass(frozen=True, slots=True)
class LeaseLapsed:
    """Another worker has the lease, or the own renewal is too old to be trusted."""

    table: str
    shard_id: str


@dataclass(frozen=True, slots=True)
class LeaseReleased:
    """The worker gave the lease back."""

    table: str
    shard_id: str


@dataclass(frozen=True, slots=True)
class GapFound:
    """Records may be lost, or are; `remedy` is the command that heals the gap."""

    table: str
    shard_id: str | None
    kind: GapKind
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class TableHalted:
    """A table stopped until a person acts; the others go on."""

    table: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class SourceAnswered:
    """One AWS call ended. `outcome` is "ok" or the error's code."""

    operation: str
    outcome: str


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A supervised task failed and will be tried again after `retry_seconds`."""

    task: str
    table: str | None
    error: BaseException
    retry_seconds: float


@dataclass(frozen=True, slots=True)
class TaskRecovered:
    """A supervised task succeeded that had failed in the attempt before."""

    task: str
    table: str | None


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """The source refused to have a shard read, or failed; `attempts`: how often, in a row."""

    table: str
    shard_id: str
    error: BaseException
    attempts: int


@dataclass(frozen=True, slots=True)
class ReadRecovered:
    """The source answers for a shard again."""

    table: str
    shard_id: str


@dataclass(frozen=True, slots=True)
class WriteBlocked:
    """A transaction waited in vain for the lock of another session, which the error names; tried
    again."""

    table: str
    shard_id: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class MappingSuperseded:
    """The registered mapping of a table is another than the worker's, which leaves the table
    alone."""

    table: str


@dataclass(frozen=True, slots=True)
class TableTakenUp:
    """A table that was left out when the worker started is fit now, and worked on."""

    table: str


@dataclass(frozen=True, slots=True)
class TaskStuck:
    """A supervised task made no progress for too long. `cancelled` False: the task cannot be
    ended."""

    task: str
    table: str | None
    silent_seconds: float
    cancelled: bool


@dataclass(frozen=True, slots=True)
class SnapshotBegun:
    """A table is being loaded beside the stream."""

    table: str
    snapshot_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class SnapshotProgressed:
    """Progress of a scan; `items_estimated` None: the source reports no count."""

    table: str
    snapshot_id: int
    items: int
    items_estimated: int | None


@dataclass(frozen=True, slots=True)
class SegmentEnded:
    """A segment of a snapshot is committed.

    `target`: the target whose stale rows were deleted; None for a segment of the load.
    """

    table: str
    part: str
    target: str | None


@dataclass(frozen=True, slots=True)
class SweepRefused:
    """A sweep would delete so many rows as stale that a person must decide."""

    table: str
    snapshot_id: int
    detail: str


@dataclass(frozen=True, slots=True)
class ExportRefused:
    """An export cannot be loaded, and a person must decide."""

    table: str
    snapshot_id: int
    detail: str


@dataclass(frozen=True, slots=True)
class SnapshotEnded:
    """The whole table is loaded; `swept` is the number of stale rows that were deleted."""

    table: str
    snapshot_id: int
    items: int
    swept: int


TelemetryEvent = (
    BatchApplied
    | RecordsRepeated
    | ChangesSuperseded
    | OrderUndecided
    | PublishingUnwatched
    | StreamMoved
    | RecordRejected
    | ShardClaimed
    | ShardEnded
    | WriteFenced
    | ClaimSwitched
    | LeaseTaken
    | LeaseLapsed
    | LeaseReleased
    | GapFound
    | TableHalted
    | SourceAnswered
    | TaskFailed
    | TaskRecovered
    | ReadFailed
    | ReadRecovered
    | WriteBlocked
    | MappingSuperseded
    | TableTakenUp
    | TaskStuck
    | SnapshotBegun
    | SnapshotProgressed
    | SegmentEnded
    | SweepRefused
    | ExportRefused
    | SnapshotEnded
)
Observe = Callable[[TelemetryEvent], None]


def unobserved(*_: object) -> None:
    """Ignore an event: the default of callers that report to nobody."""
