"""The state of a deployment as one fact."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from replicator.core.snapshot.snapshot_progress import SnapshotStatus
from replicator.core.status.attribute_drift import Drifted
from replicator.core.status.table_progress import TableProgress
from replicator.core.status.worker_report import WorkerReport
from replicator.core.verify.results import Verified

SCHEMA_VERSION = 1
TableState = Literal["snapshot", "streaming", "paused", "gap", "halted"]
ShardState = Literal["waiting", "active", "unowned", "done", "gap"]
TABLE_STATES: tuple[TableState, ...] = ("snapshot", "streaming", "paused", "gap", "halted")
SHARD_STATES: tuple[ShardState, ...] = ("waiting", "active", "unowned", "done", "gap")


@dataclass(frozen=True, slots=True)
class GapStatus:
    """An open gap; `shard_id` None: of the whole stream. `remedy`: the command that heals it."""

    id: int
    kind: str
    shard_id: str | None
    detail: str
    found_at: datetime
    remedy: str


@dataclass(frozen=True, slots=True)
class LetterStatus:
    """The newest open dead letter of a table; the reason holds no value of an item."""

    id: int
    target: str
    reason: str
    first_seen: datetime


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """One shard. `lag_seconds` None: finished, or not known."""

    stream_arn: str
    shard_id: str
    parent_id: str | None
    state: ShardState
    owner: str | None
    lag_seconds: float | None


@dataclass(frozen=True, slots=True)
class TableStatus:
    """One source table. `lag_seconds` None: nothing is known yet (no shard was ever read)."""

    source: str
    stream_arn: str | None
    state: TableState
    lag_seconds: float | None
    retention_headroom_seconds: float | None
    poll_age_seconds: float | None
    shards: Mapping[ShardState, int]
    dead_letters: Mapping[str, int]
    """Open dead letters by target."""
    drift: Mapping[str, Drifted] = field(default_factory=dict)
    """Attributes that nothing takes, by target and attribute, within a day."""
    records_per_minute: int = 0
    """Records that all living workers handled within the last minute."""
    reason: str | None = None
    remedy: str | None = None
    gaps: tuple[GapStatus, ...] = ()
    newest_dead_letter: LetterStatus | None = None
    snapshot: SnapshotStatus | None = None
    """The snapshot that is not over, or the last one."""
    last_applied_at: datetime | None = None
    """Creation time of the newest applied change."""
    lineage: tuple[ShardStatus, ...] = ()
    """Shards on record that have not ended, also of an accepted gap."""
    verified: Verified | None = None
    """Result of the last `verify`; None before the first."""
    verified_seconds_ago: float | None = None
    needs_workers: bool = True
    """True when workers read the stream: not where AWS Lambda does, or nothing does yet."""
    stopped_seconds: float | None = None
    """Age of the halt, gap or pause that stops the table."""
    proof: TableProgress = field(default_factory=TableProgress)
    """Proof that the workers have to show."""
    configured: Literal["yes", "not registered", "not configured"] = "yes"
    """Side that lacks the table, configuration or control schema; None: both have one."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker seen in the control schema. `holds`: claimed shards, by table."""

    id: str
    leases: int
    seen_seconds_ago: float
    holds: Mapping[str, int] = field(default_factory=dict)
    report: WorkerReport | None = None
    """Evidence of the worker; None: missing, or in an unknown form."""
    told_seconds_ago: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Status of a deployment, tables with problems first."""

    deployment: str
    tables: tuple[TableStatus, ...]
    workers: tuple[WorkerStatus, ...]
    read_seconds_ago: float = 0.0
    """Age of the status since the answer of the control schema."""
    read_failure: str | None = None
    """Failure of the reads since that answer, once more than one has failed."""
    read_remedy: str | None = None
