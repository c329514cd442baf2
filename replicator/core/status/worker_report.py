"""Evidence that a worker has to show for the work, and the document it is kept as. Pure.

Every fact is an age in seconds at the moment of writing: a reader adds the time since, by the
clock of the server that keeps the document, and clocks of two machines are never compared.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

FORM = 1
"""Version of the document; another one is of a version of replicator that tells other things."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed, so long ago."""

    what: str
    seconds: float
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class LateShard:
    """A shard, or segment of a snapshot, not read lately, or of which a page waits for its COMMIT.

    `read_seconds`: since the last answer of the source, or since the work began. `pending_seconds`:
    since the reading of the oldest uncommitted record; `pending_at`: the time of creation, where
    known. `read_failed`: the last read failed; reads that wait for a COMMIT do not fail.
    """

    stream_arn: str
    shard_id: str
    read_seconds: float
    pending_seconds: float | None = None
    pending_at: datetime | None = None
    failure: str | None = None
    remedy: str | None = None
    read_failed: bool = False


@dataclass(frozen=True, slots=True)
class TableReport:
    """A worker's work on one table.

    `late` holds the shards with a fault. `revision`: the newest registered number of the worker's
    mapping; None: never registered. `listed_seconds`: since the last listing of the source; None:
    never. `read_seconds`: since the last answer for the worst of the shards; None: without shards.
    """

    fingerprint: str
    revision: int | None = None
    listed_seconds: float | None = None
    read_seconds: float | None = None
    late: tuple[LateShard, ...] = ()
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """The last failure of each task that serves the table."""
    late_parts: tuple[LateShard, ...] = ()
    """Segments of the snapshot with a fault."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One worker. `looked_seconds`: since the last poll of tables, leases and workers; None: never.

    `now`: the clock, which follows the source's. `idle_seconds_max`: the longest pause between two
    reads. `listing_seconds`: the pause between two listings of a stream. `failures`: the last one
    of each task that serves all tables.
    """

    now: datetime
    looked_seconds: float | None = None
    idle_seconds_max: float = 1.0
    listing_seconds: float = 0.0
    tables: Mapping[str, TableReport] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)


def report_document(report: WorkerReport) -> dict[str, Any]:
    """The report as JSON."""
    document = asdict(report)
    document["form"] = FORM
    document["now"] = report.now.isoformat()
    for table in document["tables"].values():
        for shard in (*table["late"], *table["late_parts"]):
            at = shard["pending_at"]
            shard["pending_at"] = None if at is None else at.isoformat()
    return document


def report_of(document: Mapping[str, Any]) -> WorkerReport | None:
    """The report that a document holds; None for one that holds none, or tells other things."""
    if document.get("form") != FORM:
        return None
    return WorkerReport(
        now=datetime.fromisoformat(document["now"]),
        looked_seconds=document["looked_seconds"],
        idle_seconds_max=document["idle_seconds_max"],
        listing_seconds=document.get("listing_seconds", 0.0),
        tables={name: _table(told) for name, told in document["tables"].items()},
        failures=_failures(document["failures"]),
    )


def _table(told: Mapping[str, Any]) -> TableReport:
    return TableReport(
        fingerprint=told["fingerprint"],
        revision=told["revision"],
        listed_seconds=told["listed_seconds"],
        read_seconds=told["read_seconds"],
        late=tuple(_late(shard) for shard in told["late"]),
        failures=_failures(told["failures"]),
        late_parts=tuple(_late(part) for part in told.get("late_parts", ())),
    )


def _late(told: Mapping[str, Any]) -> LateShard:
    at = told["pending_at"]
    return LateShard(**{**told, "pending_at": None if at is None else datetime.fromisoformat(at)})


def _failures(told: Mapping[str, Any]) -> dict[str, Failure]:
    return {task: Failure(**failure) for task, failure in told.items()}
