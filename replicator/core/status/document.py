"""The state of a deployment as one fact, and the document that `status --json` prints from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from replicator.core.snapshot.status import SnapshotStatus, snapshot_document
from replicator.core.status.drift import Drifted
from replicator.core.verify.results import Verified

SCHEMA_VERSION = 1
TableState = Literal["snapshot", "streaming", "paused", "gap", "halted"]
ShardState = Literal["waiting", "active", "unowned", "done", "gap"]
TABLE_STATES: tuple[TableState, ...] = ("snapshot", "streaming", "paused", "gap", "halted")
SHARD_STATES: tuple[ShardState, ...] = ("waiting", "active", "unowned", "done", "gap")


@dataclass(frozen=True, slots=True)
class GapStatus:
    """A gap that nobody has accepted; `shard_id` None: the whole stream. `remedy` heals it."""

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
    """One shard on record. `lag_seconds` None: it is finished, or nothing is known."""

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
    """Open ones by target."""
    drift: Mapping[str, Drifted] = field(default_factory=dict)
    """Attributes that nothing takes, by target and attribute, within a day."""
    records_per_minute: int = 0
    """Records that all living workers handled within the last minute."""
    reason: str | None = None
    remedy: str | None = None
    gaps: tuple[GapStatus, ...] = ()
    newest_dead_letter: LetterStatus | None = None
    snapshot: SnapshotStatus | None = None
    """The one that is not over, or the last one."""
    last_applied_at: datetime | None = None
    """Creation time of the newest applied change."""
    lineage: tuple[ShardStatus, ...] = ()
    """Every shard on record; the document of all tables leaves it out."""
    verified: Verified | None = None
    """Result of the last `verify`; None before the first."""
    verified_seconds_ago: float | None = None
    needs_workers: bool = True
    """True when workers read the table's stream: not where AWS Lambda does, or before there is
    one.
    """


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker seen in the control schema. `holds`: shards it has claimed, by table."""

    id: str
    leases: int
    seen_seconds_ago: float
    holds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """Status of a deployment, tables with problems first."""

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
            {
                "id": worker.id,
                "leases": worker.leases,
                "seen_seconds_ago": worker.seen_seconds_ago,
                "holds": dict(worker.holds),
            }
            for worker in status.workers
        ],
    }


def lineage_document(table: TableStatus) -> dict[str, Any]:
    """The shards of one table, generation by generation, the newest generation first."""
    generations: dict[str, list[ShardStatus]] = {}
    for shard in table.lineage:
        generations.setdefault(shard.stream_arn, []).append(shard)
    newest_first = sorted(
        generations.items(), key=lambda generation: stream_label(generation[0]), reverse=True
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "source": table.source,
        "generations": [
            {"stream_arn": arn, "current": arn == table.stream_arn, "shards": [*map(_shard, found)]}
            for arn, found in newest_first
        ],
    }


def stream_label(stream_arn: str) -> str:
    """The last part of a stream's ARN: the time at which it was enabled."""
    return stream_arn.rpartition("/")[2]


def _shard(shard: ShardStatus) -> dict[str, Any]:
    return {
        "shard_id": shard.shard_id,
        "parent_id": shard.parent_id,
        "state": shard.state,
        "owner": shard.owner,
        "lag_seconds": shard.lag_seconds,
    }


def _gap(gap: GapStatus) -> dict[str, Any]:
    return {
        "id": gap.id,
        "kind": gap.kind,
        "shard_id": gap.shard_id,
        "detail": gap.detail,
        "found_at": gap.found_at.isoformat(),
        "remedy": gap.remedy,
    }


def _letter(letter: LetterStatus) -> dict[str, Any]:
    return {
        "id": letter.id,
        "target": letter.target,
        "reason": letter.reason,
        "first_seen": letter.first_seen.isoformat(),
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
        "records_per_minute": table.records_per_minute,
        "drift": {name: drifted.met for name, drifted in table.drift.items()},
        "drift_seen": {name: _drifted(drifted) for name, drifted in table.drift.items()},
        "snapshot": None if table.snapshot is None else snapshot_document(table.snapshot),
        "reason": table.reason,
        "remedy": table.remedy,
        "gaps": [_gap(gap) for gap in table.gaps],
        "newest_dead_letter": _letter(table.newest_dead_letter)
        if table.newest_dead_letter
        else None,
        "last_applied_at": table.last_applied_at.isoformat() if table.last_applied_at else None,
        "verified": _verified(table),
    }


def _drifted(drifted: Drifted) -> dict[str, Any]:
    return {"types": list(drifted.types), "first_seen": drifted.first_seen.isoformat()}


def _verified(table: TableStatus) -> dict[str, Any] | None:
    if table.verified is None:
        return None
    return {
        "seconds_ago": table.verified_seconds_ago,
        "unequal": table.verified.unequal,
        "in_flight": table.verified.in_flight,
        "sample": table.verified.sample,
    }
