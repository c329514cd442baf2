"""One segment of a snapshot from claim to end: pages are read ahead, written, and moved past."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from replicator.clock import Clock
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_row_deletions import plan_sweep
from replicator.core.snapshot.export_lines import ChangesPage
from replicator.core.snapshot.scan_responses import ScanPage, Segment, may_exist
from replicator.core.snapshot.snapshot_state import (
    SegmentAdvance,
    SegmentClaim,
    SegmentFacts,
    is_suspicious,
)
from replicator.core.snapshot.stale_row_sample import Sample
from replicator.core.telemetry_events import (
    ClaimSwitched,
    ExportRefused,
    Observe,
    SegmentEnded,
    SweepRefused,
    WriteFenced,
)
from replicator.core.values.row_builder import Row
from replicator.engine.dead_letter_limit import check_dead_letters
from replicator.engine.ports import (
    ExportRecords,
    Exports,
    GapsAndHalts,
    SegmentClaims,
    Snapshots,
    StaleRowFinder,
)
from replicator.engine.snapshot.export_load import ExportFiles, ExportMaking
from replicator.engine.snapshot.plan_and_apply_page import PagePipeline
from replicator.engine.snapshot.read_rate_limit import PacedItems
from replicator.engine.stream.read_and_commit_progress import ReadAndCommitProgress
from replicator.engine.stream.shard_replicator import Ending, was_switched
from replicator.engine.task_groups import one_failure
from replicator.errors import ExportUnfit, Fenced, ReplicatorError

_AnyPage = ScanPage | ChangesPage
_Pages = asyncio.Queue[_AnyPage | ReplicatorError]
ROWS_LOOKED_AT_MAX = 5000
"""Rows of a sweep's target that are read at a time."""
STALE_ROWS_ASKED_FOR = 500
"""Stale rows, from all over the target, whose items are read: an item that exists all the same was
moved by a changed mapping."""
KEYS_PER_GET = 100


@dataclass(frozen=True, slots=True)
class SnapshotParts:
    """Parts for working on the segments of one table's snapshots."""

    table: str
    mapping: TableMapping
    claims: SegmentClaims
    snapshots: Snapshots
    gaps_and_halts: GapsAndHalts
    items: PacedItems
    pages: PagePipeline
    exports: Callable[[], Awaitable[Exports]]
    """Opens the exports of the table when they are needed first: few tables need any."""
    export_records: ExportRecords
    stale_rows: StaleRowFinder
    look_at_table: Callable[[], Awaitable[object]]
    """Called before a segment is worked on; KeyChanged where the table was created again with
    another key, NotPublished while its changes reach no stream."""
    observe: Observe
    clock: Clock


class SegmentRunner:
    """Works on one segment: of a scan, the making of exports, files of one, the sweep of a
    target."""

    def __init__(self, parts: SnapshotParts, segment: SegmentFacts) -> None:
        self._parts = parts
        self._segment = segment
        self._rejected = parts.pages.rejected
        self.alive_at = parts.clock.monotonic()
        """Monotonic time of the last request or transaction."""
        self.read_progress = ReadAndCommitProgress(self.alive_at)

    async def run(self, stopping: asyncio.Event) -> Ending:
        """Claim the segment and work to the end, or until asked to stop."""
        parts = self._parts
        self.read_progress.begins()
        claim = await parts.claims.claim(
            parts.table,
            self._segment.snapshot_id,
            self._segment.number,
            mapping_fingerprint=parts.mapping.fingerprint,
        )
        self.alive_at = parts.clock.monotonic()
        try:
            await parts.look_at_table()
            if claim.target is not None:
                return await self._sweep(claim, claim.target, stopping)
            if claim.origin == "scan":
                return await self._load(claim, self._scanned(claim), stopping)
            return await self._export(claim, stopping)
        except Fenced:
            if await was_switched(parts.claims.switched(claim)):
                parts.observe(ClaimSwitched(parts.table, claim.name))
                return Ending.SWITCHED
            parts.observe(WriteFenced(parts.table, claim.name))
            raise

    def _live(self) -> None:
        self.alive_at = self.read_progress.read_at = self._parts.clock.monotonic()

    async def _export(self, claim: SegmentClaim, stopping: asyncio.Event) -> Ending:
        """Have the exports made, or load files of one; a person decides where one is unfit."""
        parts = self._parts
        exports, records = await parts.exports(), parts.export_records
        try:
            if claim.phase > 0:
                files = ExportFiles(exports, records, claim, self._live)
                return await self._load(claim, files.pages(), stopping)
            if await ExportMaking(exports, records, claim, self._live).run(stopping):
                parts.observe(SegmentEnded(parts.table, claim.name, None))
                return Ending.DONE
        except ExportUnfit as error:
            detail = f"{error}; {error.remedy}" if error.remedy else str(error)
            await records.refuse(claim, detail)
            parts.observe(ExportRefused(parts.table, claim.snapshot_id, detail))
            return Ending.STOPPED
        await parts.claims.leave(claim)
        return Ending.STOPPED

    async def _load(
        self, claim: SegmentClaim, read: AsyncGenerator[_AnyPage], stopping: asyncio.Event
    ) -> Ending:
        pages: _Pages = asyncio.Queue(maxsize=1)
        async with one_failure() as tasks:
            reading = tasks.create_task(self._read(read, pages), name=f"read {claim.name}")
            waiting = tasks.create_task(stopping.wait(), name="wait for stop")
            try:
                return await self._write(claim, pages, waiting, stopping)
            finally:
                reading.cancel()
                waiting.cancel()

    async def _read(self, read: AsyncGenerator[_AnyPage], pages: _Pages) -> None:
        """One page ahead of what is written; a failure waits behind the earlier pages."""
        try:
            async with aclosing(read):
                async for page in read:
                    self._live()
                    await pages.put(page)
        except ReplicatorError as error:
            await pages.put(error)

    async def _scanned(self, claim: SegmentClaim) -> AsyncGenerator[_AnyPage]:
        segment = Segment(claim.number, claim.parts)
        after = claim.position
        while True:
            page = await self._parts.items.scan(segment, after=after)
            yield page
            after = page.last_key
            if after is None:
                return

    async def _write(
        self,
        claim: SegmentClaim,
        pages: _Pages,
        waiting: "asyncio.Task[bool]",
        stopping: asyncio.Event,
    ) -> Ending:
        parts = self._parts
        while (page := await _next(pages, waiting)) is not None:
            if isinstance(page, ReplicatorError):
                raise page
            claim = await parts.pages.process(
                page, claim, stopping, attempting=self._live, read_progress=self.read_progress
            )
            await self._check_dead_letters()
            self._live()
            if page.last_key is None:
                parts.observe(SegmentEnded(parts.table, claim.name, None))
                return Ending.DONE
        await parts.claims.leave(claim)
        return Ending.STOPPED

    async def _check_dead_letters(self) -> None:
        parts = self._parts
        if parts.pages.rejected > self._rejected:
            self._rejected = parts.pages.rejected
            await check_dead_letters(parts.gaps_and_halts, parts.mapping.spec)

    async def _sweep(self, claim: SegmentClaim, target: str, stopping: asyncio.Event) -> Ending:
        """Delete what neither the scan nor the stream has seen since the snapshot began."""
        parts = self._parts
        if claim.steps == 0 and not claim.forced and not await self._may_sweep(claim, target):
            return Ending.STOPPED
        while not stopping.is_set():
            found = await parts.stale_rows.find(
                target, claim.snapshot_id, claim.position, rows_max=ROWS_LOOKED_AT_MAX
            )
            plan = plan_sweep(parts.mapping, target, found.stale_rows, at=parts.clock.now())
            advance = SegmentAdvance(
                position=found.last,
                items=found.rows,
                rows=len(found.stale_rows),
                read_units=0.0,
                ended=found.last is None,
            )
            claim = await parts.pages.sweep(
                plan,
                claim,
                advance,
                stopping,
                attempting=self._live,
                read_progress=self.read_progress,
            )
            self._live()
            if found.last is None:
                parts.observe(SegmentEnded(parts.table, claim.name, target))
                return Ending.DONE
        await parts.claims.leave(claim)
        return Ending.STOPPED

    async def _may_sweep(self, claim: SegmentClaim, target: str) -> bool:
        """Count before anything is deleted; a person decides on a suspicious number."""
        parts = self._parts
        rows = stale = 0
        some = Sample[Row](STALE_ROWS_ASKED_FOR)
        position: str | None = None
        while True:
            found = await parts.stale_rows.find(
                target, claim.snapshot_id, position, rows_max=ROWS_LOOKED_AT_MAX
            )
            self._live()
            if found.last is None:
                break
            some.add(found.stale_rows)
            rows, stale, position = rows + found.rows, stale + len(found.stale_rows), found.last
        if not is_suspicious(rows=rows, stale=stale):
            return True
        lost = round(stale * await self._share_gone(target, some.members))
        if not is_suspicious(rows=rows, stale=lost):
            return True
        detail = (
            f"the scan did not find the items of {lost} of the {rows} rows of {target}: is this "
            "the right table?"
        )
        await parts.snapshots.refuse_sweep(claim.snapshot_id, detail)
        parts.observe(SweepRefused(parts.table, claim.snapshot_id, detail))
        return False

    async def _share_gone(self, target: str, keys: Sequence[Row]) -> float:
        """Share of the given rows that have no item any more.

        The items of the others belong elsewhere now, as the mapping was changed: the same scan
        wrote them into other targets.
        """
        parts = self._parts
        [mapping] = [each for each in parts.mapping.targets if each.name == target]
        source_key = parts.mapping.source_key
        asked = [mapping.item_keys(key) for key in keys]
        may_be = [keys for keys in asked if may_exist(keys, source_key)]
        found = 0
        for start in range(0, len(may_be), KEYS_PER_GET):
            found += len(await parts.items.get(may_be[start : start + KEYS_PER_GET]))
            self._live()
        return 1 - found / len(asked)


async def _next(pages: _Pages, waiting: "asyncio.Task[bool]") -> _AnyPage | ReplicatorError | None:
    """The next page; None when asked to stop first."""
    async with one_failure() as tasks:
        getting = tasks.create_task(pages.get(), name="next page")
        await asyncio.wait({getting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            getting.cancel()
            return None
        return getting.result()
