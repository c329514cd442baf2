"""Telemetry events and statuses with everything that a test does not care about filled in."""

from dataclasses import replace
from typing import Any

from replicator.core.status.deployment_status import ShardStatus, Status, TableStatus, WorkerStatus
from replicator.core.status.table_progress import TableProgress
from replicator.core.telemetry_events import BatchApplied

_BATCH = BatchApplied(
    table="orders",
    shard_id="shardId-0001",
    records={("insert", "applied"): 2},
    rows={("public.orders", "upsert"): 2},
    unmapped={},
    apply_seconds=0.02,
    replication_seconds=((0.7, 2),),
    last_created_at=1_760_000_000.0,
)
_TABLE = TableStatus(
    source="orders",
    stream_arn="arn:aws:dynamodb:eu-west-1:1:table/orders/stream/2026-01-01T00:00:00.000",
    state="streaming",
    lag_seconds=0.0,
    retention_headroom_seconds=86_000.0,
    poll_age_seconds=0.4,
    shards={"active": 2, "done": 5},
    dead_letters={},
    proof=TableProgress(told_seconds=1.0, looked_seconds=1.0, listed_seconds=9.0, open_shards=2),
)


def batch(**changed: Any) -> BatchApplied:
    return replace(_BATCH, **changed)


def table(source: str = "orders", **changed: Any) -> TableStatus:
    return replace(_TABLE, source=source, **changed)


def shard(shard_id: str, **changed: Any) -> ShardStatus:
    whole = ShardStatus(str(_TABLE.stream_arn), shard_id, None, "active", "w", 0.0)
    return replace(whole, **changed)


def status(*tables: TableStatus, workers: tuple[WorkerStatus, ...] | None = None) -> Status:
    """Of tables that one worker works on, unless others are said."""
    return Status("payments-prod", tables, (worker(),) if workers is None else workers)


def worker(name: str = "worker-1", *, leases: int = 2, seen: float = 1.0) -> WorkerStatus:
    return WorkerStatus(name, leases, seen)
