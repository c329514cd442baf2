"""Snapshots: loads of a whole table beside the running stream, and the state of the segments. Pure.

Theory of operation
-------------------
The problem: a table of a terabyte is scanned for hours while it changes. A page of the scan is
old the moment it is read; an item may be deleted after the page was read, or move ahead of the
scan; rows of items that no longer exist must go, and rows that the stream has just written must
stay.

The idea: scan and stream write at the same time, and the row guard keeps the order.

1. A snapshot is asked for (`asked`): by `initial_load`, a gap, a changed mapping, a person.
2. `begin` sets the table's mode to `guard` and raises the epochs of all the shards in one
   transaction: from its COMMIT on every writer writes versions with the snapshot's id. Only then
   does the first Scan call leave. So a change that is older than the scan's pages is in the
   pages, and a newer one carries a version.
3. The scan's segments are units of work like shards: leased, claimed, moved by
   compare-and-set in the transaction that writes the page. A page's row is written only if
   nothing has been seen of the key since the snapshot began (`row_guard_sql`).
4. When the scan is complete, sweeps go through each target in the order of its key and delete
   rows that neither scan nor stream has seen: stale rows. A sweep writes a version for the key
   first, and deletes only where that version was new (`postgres/read/find_stale_rows`, guard
   `sweep`).
5. `finish` leaves `guard` in one transaction when every segment is done.

An export to S3 may take the place of the scan (`origin`): it is asked for behind the same COMMIT,
of a time that lies `export_windows.MARGIN` behind it, so that it holds all that carries no version.
Its files are divided among segments. Incremental exports load what changed in a gap: each item's
last change in each window, newest window first, and the first that is written wins (guard `heal`).
They know deletions, so that no row is deleted as stale; what they do not name has not changed.

The invariants: no Scan call before the COMMIT of `guard`, and no export that is older than it; no
tombstone is removed while a snapshot runs; an item that was rejected marks the key as seen, so that
the old row is not deleted as stale; rows kept by `on_delete: ignore` are never deleted as stale; a
sweep that would delete nearly everything waits for a person (`is_suspicious`), since it is likelier
that the scan read another table.

Broken without it: `delete … where not exists (version)` waits on a row lock and then deletes the
row that was written meanwhile; a writer that still believes in mode `fence` deletes a row without
a tombstone, and the page that was read before brings the item back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from replicator.core.stream.table_and_shard_facts import TableFacts

SnapshotReason = Literal["initial", "gap", "asked", "mapping", "repair"]
SnapshotState = Literal["asked", "running", "refused", "done", "cancelled"]
SegmentState = Literal["waiting", "active", "done"]
SnapshotOrigin = Literal["scan", "export", "changes"]
"""Origin of the items: a scan, an export of the whole table to S3, or incremental exports of
what changed in a gap."""
SWEEP_PHASE = 1_000_000
"""Sweeps come after all that is loaded."""

SWEPT_MAX = ((100, 0.5), (1000, 0.25), (10_000, 0.1))
"""A sweep of more rows than the number waits for a person where above the share, too."""


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """A segment of a snapshot; `target` None: of the load, else the sweep of that target.

    The segments of a phase begin when all earlier phases are done. The first phase of an
    export is the making, and each following one loads the files of one export.
    """

    snapshot_id: int
    number: int
    target: str | None
    parts: int
    state: SegmentState
    owner: str | None
    items: int
    rows: int
    read_units: float
    phase: int = 0

    @property
    def name(self) -> str:
        """Name of the segment in leases and logs, in place of a shard id."""
        return segment_name(self.snapshot_id, self.number)


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """A snapshot that was asked for, runs or has ended."""

    id: int
    source: str
    reason: SnapshotReason
    state: SnapshotState
    forced: bool
    who: str
    why: str | None
    detail: str | None
    items_estimated: int | None
    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    segments: tuple[SegmentFacts, ...] = ()
    origin: SnapshotOrigin = "scan"
    lost_since: datetime | None = None
    """Time before which every change is applied, but for losses in gaps; None: not known."""

    @property
    def unfinished(self) -> bool:
        """True while some step of the snapshot is still to be done."""
        return self.state in ("asked", "running", "refused")

    @property
    def scan(self) -> tuple[SegmentFacts, ...]:
        """The segments of the scan."""
        return tuple(segment for segment in self.segments if segment.target is None)

    @property
    def items(self) -> int:
        """Number of items that the scan has read."""
        return sum(segment.items for segment in self.scan)

    @property
    def read_units(self) -> float:
        """Read units that the scan has used."""
        return sum(segment.read_units for segment in self.scan)

    @property
    def swept(self) -> int:
        """Number of stale rows deleted."""
        return sum(segment.rows for segment in self.segments if segment.target is not None)

    @property
    def complete(self) -> bool:
        """True when every segment is done, so that the table may leave `guard`."""
        return bool(self.segments) and all(s.state == "done" for s in self.segments)

    def ready(self) -> list[SegmentFacts]:
        """The segments that may be claimed: sweeps come after the whole scan."""
        if self.state != "running" or self.reason == "repair":
            return []  # a repair is made by whoever began it
        scanned = all(segment.state == "done" for segment in self.scan)
        left = [segment for segment in self.segments if segment.state != "done"]
        phase = min((segment.phase for segment in left), default=0)
        return [
            segment
            for segment in left
            if segment.phase == phase and (segment.target is None or scanned)
        ]


@dataclass(frozen=True, slots=True)
class SegmentClaim:
    """The right to write one segment of a snapshot, until the next claim."""

    source: str
    stream_arn: str
    snapshot_id: int
    number: int
    parts: int
    target: str | None
    epoch: int
    claim_id: UUID
    steps: int
    position: str | None
    forced: bool
    open_letters: bool
    origin: SnapshotOrigin = "scan"
    phase: int = 0
    share: int = 0
    """Place of the segment among those of the phase, for the division of files."""

    @property
    def name(self) -> str:
        """Name of the segment in dead letters and logs, in place of a shard id."""
        return segment_name(self.snapshot_id, self.number)


@dataclass(frozen=True, slots=True)
class SegmentAdvance:
    """Progress of a segment in one transaction; `ended`: the last one."""

    position: str | None
    items: int
    rows: int
    read_units: float
    ended: bool


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """One export of a snapshot as the control schema has it.

    `since` None: of the whole table, `until` is the time then. `until` None too: made by
    others. `arn` None: not asked for yet; `bucket` None: not complete and verified yet.
    """

    phase: int
    since: datetime | None
    until: datetime | None
    client_token: str
    arn: str | None
    bucket: str | None
    summary_key: str | None
    items: int | None


@dataclass(frozen=True, slots=True)
class WantedExports:
    """The exports of a snapshot, and the preconditions.

    `guarded_at`: a moment after the COMMIT of `guard` by the source's clock; None: not known yet.
    """

    guarded_at: datetime | None
    given_export: str | None
    origin: SnapshotOrigin
    cuts: tuple[datetime, ...]
    """For each shard that lost changes in the gaps, the time before which all are applied; empty:
    not known."""
    exports: tuple[ExportRecord, ...]


@dataclass(frozen=True, slots=True)
class StaleRowsPage:
    """Some rows of a target: how many, the keys of the stale ones, and the last key."""

    rows: int
    stale_rows: list[tuple[str | bytes | None, ...]]
    last: str | None


def segment_name(snapshot_id: int, number: int) -> str:
    """A segment of a snapshot where a shard would have the id."""
    return f"snapshot-{snapshot_id}-{number}"


def is_segment_name(name: str) -> bool:
    """True for the lease of a snapshot segment; shard ids begin otherwise."""
    return name.startswith("snapshot-")


def is_initial_due(table: TableFacts, snapshots: Sequence[SnapshotFacts]) -> bool:
    """True for a table that begins with a snapshot or an export and was never loaded."""
    begun = table.start_at is not None or table.ordering.poller == "lambda"
    return table.initial_load in ("snapshot", "export") and begun and not snapshots


def is_suspicious(*, rows: int, stale: int) -> bool:
    """True when a sweep would delete so many rows that the scan may have read the wrong table."""
    if not stale:
        return False
    return stale == rows or any(
        stale > number and stale > rows * share for number, share in SWEPT_MAX
    )
