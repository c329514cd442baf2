"""Ports: interfaces of the engine to the world, each kept by a real part and by a fake."""

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Sequence,
    Set,
)
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from replicator.core.leases.lease_owners import WorkerSign
from replicator.core.leases.lease_plan import Lease
from replicator.core.mapping.child_tables import ChildTable
from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.planning.row_guard import Applied
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.snapshot.export_manifest import DataFile, ExportSummary
from replicator.core.snapshot.export_windows import Recovery, Window
from replicator.core.snapshot.scan_responses import FoundItems, ScanPage, Segment
from replicator.core.snapshot.snapshot_state import (
    SegmentAdvance,
    SegmentClaim,
    SnapshotFacts,
    SnapshotOrigin,
    SnapshotReason,
    StaleRowsPage,
    WantedExports,
)
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream.shard_lineage import ShardName
from replicator.core.stream.table_and_shard_facts import (
    Belief,
    DeadLetterCounts,
    Halting,
    ListedShard,
    PolledShard,
    ShardFacts,
    StreamOver,
    TableFacts,
)
from replicator.core.stream_record import Image, Page, Position
from replicator.core.table_spec import InitialLoad
from replicator.core.telemetry_events import GapKind
from replicator.core.values.row_builder import Row
from replicator.core.verify.key_sketch import KeyBuckets, KeyPage
from replicator.core.verify.row_diff import Expectation, FoundRow


class Source(Protocol):
    """The calls of a stream: SourceUnavailable, IteratorExpired, PositionTrimmed, ShardVanished."""

    def listed_shards(
        self, stream_arn: str, *, first: bool = False
    ) -> AsyncIterator[list[ListedShard]]:
        """The stream's shards, page by page. `first`: nothing of the stream is on record."""
        ...

    async def children(self, stream_arn: str, shard_id: str) -> list[ListedShard]:
        """The children of an ended shard, as far as known."""
        ...

    async def iterator(
        self,
        stream_arn: str,
        shard_id: str,
        *,
        after: Position | None,
        since: datetime | None = None,
    ) -> str:
        """An iterator after a position, or at the oldest record left.

        At the first one since that time, where the source can begin at a time.
        """
        ...

    async def read(self, iterator: str) -> Page:
        """The next page."""
        ...


class Items(Protocol):
    """The items of one table: SourceThrottled, SourceUnavailable, StreamVanished."""

    async def scan(self, segment: Segment, *, after: str | None, items_max: int) -> ScanPage:
        """The next page of a segment."""
        ...

    async def get(self, keys: Sequence[Image]) -> FoundItems:
        """The items that exist of the given keys, a hundred at most."""
        ...


class Sink(Protocol):
    """Applies plans of one table."""

    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        """Commit a plan and the new position, or nothing."""
        ...

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = (), /) -> Refusals:
        """Targets that refuse a plan of one record; `others` of the batch may pass."""
        ...


class Claims(Protocol):
    """Claims of shards, behind whose fence all changes of a shard are written."""

    async def claim(
        self, source: str, stream_arn: str, shard_id: str, *, mapping_fingerprint: str
    ) -> Claim:
        """Fence off every other worker and learn the true position."""
        ...

    async def looked(self, claim: Claim, *, at: datetime, head: bool) -> None:
        """Note an answer without records behind the claim's position."""
        ...

    async def finish(self, claim: Claim, *, position: Position | None) -> None:
        """Mark the shard as done: all of the records are committed."""
        ...

    async def leave(self, claim: Claim) -> None:
        """Give the shard up: no worker holds the shard from now on."""
        ...

    async def switched(self, claim: Claim) -> bool:
        """True when a change of the table's mode, mapping or state ended the claim, and no
        other worker.
        """
        ...


class ShardStore(Protocol):
    """Facts of the control schema, read and added to."""

    async def tables(self, sources: Collection[str] | None = None) -> dict[str, TableFacts]:
        """The given tables that are registered, or all."""
        ...

    async def shards(self, sources: Sequence[str]) -> list[ShardFacts]:
        """Every shard known of the given tables."""
        ...

    async def shards_named(self, stream_arn: str, names: Collection[str]) -> list[ShardFacts]:
        """The shards of a stream, of the given ids, that are on record."""
        ...

    async def are_on_record(self, names: Collection[ShardName]) -> bool:
        """True when each of the shards is on record."""
        ...

    async def ended_before(self, source: str, at: datetime) -> list[ShardFacts]:
        """The finished shards of a table that ended before a time, with parents and children."""
        ...

    async def polled_shards(self, sources: Sequence[str]) -> list[PolledShard]:
        """The shards of `open_shards`, each with the facts alone that workers poll."""
        ...

    async def open_shards(self, sources: Sequence[str]) -> list[ShardFacts]:
        """The shards of the tables that are not done; of those that are, at least the ones that
        ended a moment ago, and one of each current stream.
        """
        ...

    async def start(self, source: str, *, initial_load: InitialLoad, at: datetime) -> None:
        """Keep the start instant."""
        ...

    async def add_shards(
        self, source: str, stream_arn: str, listed: Sequence[ListedShard], *, beside: Set[str]
    ) -> None:
        """Add what a listing shows; Fenced when a shard of `beside` is not on record any more."""
        ...

    async def forget_shard(self, stream_arn: str, shard_id: str) -> None:
        """Drop the row of a shard that finished long ago."""
        ...


class Heartbeats(Protocol):
    """The rows by which workers tell each other that they live."""

    async def seen(
        self,
        worker_id: str,
        *,
        version: str,
        leases: int,
        beat: int,
        looking: bool,
        load: float,
    ) -> None:
        """Say that the worker lives. `looking`: the looks make progress; `load`: records a minute
        of its shards."""
        ...

    async def gone(self, worker_id: str) -> None:
        """Take the worker off the list."""
        ...

    async def workers(self) -> list[WorkerSign]:
        """The workers on record, also dead ones."""
        ...

    async def asked(self, workers: Collection[str]) -> None:
        """Tell workers that leases of theirs are asked for."""
        ...


class ListingTurns(Protocol):
    """Choice of the worker that lists the stream of a table."""

    async def begin(self, source: str, *, every_seconds: float, young_seconds: float = 0.0) -> bool:
        """True when the worker is to list the stream now: not where a good listing is younger than
        `young_seconds`."""
        ...

    async def keep(self, source: str) -> None:
        """Say that the listing goes on."""
        ...

    async def leave(self) -> None:
        """Give all listings of the worker up."""
        ...

    async def end(self, source: str, *, proved: bool, calls: int | None = None) -> None:
        """End the listing. `proved`: every listed shard is on record; `calls`: of DescribeStream,
        that it took."""
        ...


class GapsAndHalts(Protocol):
    """Records of gaps and halts, which stop shards and tables until a person acts."""

    async def halt(self, source: str, *, reason: str, remedy: str, seen: Belief | None) -> Halting:
        """Stop a table until a person resumes it; "stale" where the table has changed since
        `seen`."""
        ...

    async def add_gap(self, claim: Claim, *, kind: GapKind, detail: str) -> None:
        """Record a gap of a shard, which stops the shard until the gap is accepted; Fenced."""
        ...

    async def start_stream(
        self,
        source: str,
        stream_arn: str,
        *,
        label_at: datetime,
        detail: str,
        after: StreamOver | None = None,
    ) -> str | None:
        """Note a stream, end older ones and record the gap; the detail, for a new one.

        Fenced where `after` is not current.
        """
        ...

    async def add_break(
        self, source: str, stream_arn: str, *, detail: str, created_at: datetime | None = None
    ) -> bool:
        """Record a gap of changes that never reached the stream on record; False for a known one.

        The break lasts until `end_break`, and is one gap. With `created_at` the gap is recorded
        once, and only where the table was created after the stream was first seen.
        """
        ...

    async def end_break(self, source: str, stream_arn: str) -> bool:
        """Note that the changes reach the stream; False where nothing else was on record."""
        ...

    async def accept_gaps(
        self, source: str, *, who: str, why: str, gap_id: int | None = None
    ) -> int:
        """Accept that records are lost."""
        ...

    async def close_gone_shard(self, claim: Claim) -> None:
        """End a shard whose accepted gap leaves nothing to read; Fenced."""
        ...

    async def close_never_owed(self, claim: Claim) -> None:
        """End a trimmed shard that only a child named; Fenced."""
        ...

    async def dead_letters(self, source: str) -> DeadLetterCounts:
        """Number of a table's dead letters."""
        ...

    async def forget_dead_letters(self, source: str, *, retention_days: int) -> None:
        """Drop dead letters that were closed long ago."""
        ...


@dataclass(frozen=True, slots=True)
class ControlPorts:
    """The control schema for a worker and the shards."""

    claims: Claims
    positions: ShardStore
    listings: ListingTurns
    gaps_and_halts: GapsAndHalts
    heartbeats: Heartbeats


class Moves(Protocol):
    """Moves of tables from one source of the changes to another."""

    async def move(self, source: str, *, before: str, stream_arn: str, at: datetime) -> str | None:
        """Make a stream of another source the current one, and ask for a load of the table; what
        was done, None where the current one is another than `before`.
        """
        ...


class Snapshots(Protocol):
    """Facts of snapshots, and the steps of one."""

    async def facts(self, sources: Collection[str] | None = None) -> dict[str, list[SnapshotFacts]]:
        """By table, of the given ones or all: unfinished snapshots, and the newest."""
        ...

    async def ask(
        self,
        source: str,
        reason: SnapshotReason,
        *,
        who: str,
        why: str | None,
        origin: SnapshotOrigin = "scan",
    ) -> int:
        """Ask for a snapshot; open gaps are accepted, and healed at the snapshot's end."""
        ...

    async def begin(
        self,
        snapshot: SnapshotFacts,
        targets: Sequence[TargetMapping],
        *,
        segments: int,
        items_estimated: int | None,
        instead: str | None = None,
    ) -> bool:
        """Tell every writer of the table, then lay out the segments."""
        ...

    async def abandon(self, snapshot: SnapshotFacts) -> bool:
        """End a snapshot under way and leave `guard`; written rows stay."""
        ...

    async def finish(self, snapshot: SnapshotFacts) -> bool:
        """Leave `guard` when every segment is done."""
        ...

    async def refuse_sweep(self, snapshot_id: int, detail: str) -> None:
        """Wait for a person before stale rows are deleted."""
        ...


class SegmentClaims(Protocol):
    """Claims of the segments of snapshots, behind whose fence a segment's pages are written."""

    async def claim(
        self, source: str, snapshot_id: int, number: int, *, mapping_fingerprint: str
    ) -> SegmentClaim:
        """Fence off every other worker and learn where the segment stands."""
        ...

    async def leave(self, claim: SegmentClaim) -> None:
        """Give the segment up: no worker holds the segment from now on."""
        ...

    async def switched(self, claim: SegmentClaim) -> bool:
        """True when a change of the table's mode, mapping or state ended the claim, and no
        other worker.
        """
        ...


class SegmentSink(Protocol):
    """Applies plans of pages and sweeps of one table."""

    async def apply(
        self, plan: WritePlan, *, claim: SegmentClaim, advance: SegmentAdvance
    ) -> Applied:
        """Commit what is still wanted of a plan and move the segment, or nothing."""
        ...

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = (), /) -> Refusals:
        """Targets that refuse a plan of one item; `others` of the page may pass."""
        ...


class Exports(Protocol):
    """Exports of one table to S3: SourceUnavailable, SourceDenied; ExportUnfit."""

    async def recovery(self) -> Recovery | None:
        """Times that the table can be exported of; None: point-in-time recovery is off."""
        ...

    async def now(self) -> datetime:
        """The source's time."""
        ...

    async def table_arn(self) -> str:
        """The table's ARN."""
        ...

    async def ask(self, wanted: datetime | Window, *, token: str) -> str:
        """Ask for an export of the table at a time, or of a window's changes; returns the ARN."""
        ...

    async def complete(self, arn: str) -> tuple[str, str] | None:
        """Bucket and key of a complete export's summary; None before completion."""
        ...

    async def summary(self, bucket: str, key: str) -> ExportSummary:
        """The verified summary of an export; ExportUnfit."""
        ...

    async def files(self, summary: ExportSummary) -> list[DataFile]:
        """The data files of an export, verified."""
        ...

    async def verify(self, bucket: str, file: DataFile, *, live: Callable[[], None]) -> None:
        """Read a file to the end, and compare checksum and number of lines."""
        ...

    def lines(self, bucket: str, file: DataFile) -> AsyncGenerator[list[bytes]]:
        """The lines of a file, some at a time."""
        ...


class ExportRecords(Protocol):
    """Facts of the exports of snapshots; Fenced where another worker has them made."""

    async def wanted(self, snapshot_id: int) -> WantedExports:
        """Everything on record of a snapshot's exports."""
        ...

    async def guarded(self, claim: SegmentClaim, at: datetime) -> None:
        """Keep the source's time of a moment after the COMMIT of the guard."""
        ...

    async def want(
        self, claim: SegmentClaim, windows: Sequence[Window | datetime | None], arn: str | None
    ) -> None:
        """Put the exports on record before any is asked for."""
        ...

    async def asked(self, claim: SegmentClaim, phase: int, arn: str) -> None:
        """Keep the ARN of an export that was asked for."""
        ...

    async def complete(
        self, claim: SegmentClaim, phase: int, summary: ExportSummary, key: str
    ) -> None:
        """Keep where the verified manifest of an export is."""
        ...

    async def tell(self, claim: SegmentClaim, detail: str) -> None:
        """Say what the snapshot waits for."""
        ...

    async def lay_out(self, claim: SegmentClaim) -> None:
        """End the segment that had the exports made, and add those that load the files."""
        ...

    async def refuse(self, claim: SegmentClaim, detail: str) -> None:
        """Wait for a person: the export cannot be loaded."""
        ...


class StaleRowFinder(Protocol):
    """Rows that no snapshot has seen."""

    async def find(
        self, target: str, snapshot_id: int, after: str | None, *, rows_max: int
    ) -> StaleRowsPage:
        """The next rows of a target behind a position."""
        ...


class Leases(Protocol):
    """The lease table, which says which worker should read which shard."""

    def key(self, stream_arn: str, shard_id: str) -> str:
        """The lease key of a shard."""
        ...

    async def all(self) -> list[Lease]:
        """Every lease of the deployment."""
        ...

    async def some(self, keys: Collection[str]) -> list[Lease]:
        """The given leases that exist."""
        ...

    async def create(self, key: str, *, checkpoint: str, parent_id: str | None) -> None:
        """Add a free lease."""
        ...

    async def take(self, lease: Lease) -> Lease:
        """Take the lease for this worker."""
        ...

    async def renew(self, key: str) -> Lease:
        """Renew the lease."""
        ...

    async def save(self, key: str, checkpoint: str) -> Lease:
        """Move the checkpoint."""
        ...

    async def release(self, key: str, *, checkpoint: str | None = None) -> None:
        """Give the lease back, with the last checkpoint where one is given."""
        ...

    async def ask(self, lease: Lease) -> bool:
        """Ask the owner to hand the lease over; False where another worker has asked before."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the lease."""
        ...


class Rows(Protocol):
    """The rows of targets: SinkUnavailable, SinkBusy, SchemaMismatch."""

    async def compare(
        self, target: TargetMapping, expected: Sequence[Expectation]
    ) -> list[FoundRow | None]:
        """The row for each expectation, in order; keys must differ."""
        ...

    async def key_hashes(self, target: TargetMapping, *, after: Row | None) -> KeyPage:
        """The next rows in the order of the keys, soft deleted ones left out."""
        ...

    async def keys_in(
        self, target: TargetMapping, buckets: KeyBuckets, *, after: Row | None
    ) -> KeyPage:
        """`key_hashes`, with the keys of rows that fall into the buckets."""
        ...

    async def orphans(
        self, target: TargetMapping, child: ChildTable, *, after: Row | None
    ) -> KeyPage:
        """The next keys of parents of child rows, and keys of parents without a row."""
        ...

    async def dead_lettered(
        self, target: TargetMapping, item_keys: Collection[str]
    ) -> Collection[str]:
        """The items that have an open dead letter of the target, by the keys as JSON."""
        ...
