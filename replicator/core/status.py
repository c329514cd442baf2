"""The state of a deployment as one fact, and the document that `status --json` prints from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 1
TableState = Literal["snapshot", "streaming", "paused", "gap", "halted"]
ShardState = Literal["waiting", "active", "unowned", "done", "gap"]
TABLE_STATES: tuple[TableState, ...] = ("snapshot", "streaming", "paused", "gap", "halted")
SHARD_STATES: tuple[ShardState, ...] = ("waiting", "active", "unowned", "done", "gap")


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
    """Open ones by target."""
    drift: Mapping[str, int] = field(default_factory=dict)
    """Attributes that nothing takes, by target and attribute, since this worker started."""
    reason: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker seen in the control schema."""

    id: str
    leases: int
    seen_seconds_ago: float


@dataclass(frozen=True, slots=True)
class Status:
    """All of one deployment, tables in trouble first."""

    deployment: str
    tables: tuple[TableStatus, ...]
    workers: tuple[WorkerStatus, ...]


def document(status: Status) -> dict[str, Any]:
    """The promised JSON shape (contract section 9)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "deployment": status.deployment,
        "tables": [_table(table) for table in status.tables],
        "workers": [
            {"id": worker.id, "leases": worker.leases, "seen_seconds_ago": worker.seen_seconds_ago}
            for worker in status.workers
        ],
    }


def _table(table: TableStatus) -> dict[str, Any]:
    return {
        "source": table.source,
        "stream_arn": table.stream_arn,
        "state": table.state,
        "lag_seconds": table.lag_seconds,
        "retention_headroom_seconds": table.retention_headroom_seconds,
        "poll_age_seconds": table.poll_age_seconds,
        "shards": {state: table.shards.get(state, 0) for state in SHARD_STATES},
        "dead_letters": sum(table.dead_letters.values()),
        "drift": dict(table.drift),
        "reason": table.reason,
        "remedy": table.remedy,
    }
