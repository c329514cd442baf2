"""A page of a scan becomes a plan; a plan becomes one transaction that moves the segment."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from replicator.clock import Clock
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_snapshot_page import (
    outcomes_of_page,
    plan_changes,
    plan_page,
    records_of_page,
)
from replicator.core.planning.row_guard import Applied, reasons
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.snapshot.export_lines import ChangesPage
from replicator.core.snapshot.scan_responses import ScanPage
from replicator.core.snapshot.snapshot_state import SegmentAdvance, SegmentClaim
from replicator.core.stream_record import LetterId, StreamRecord
from replicator.core.telemetry_events import (
    BatchApplied,
    ChangesSuperseded,
    Observe,
    RecordRejected,
    WriteBlocked,
)
from replicator.engine.ports import SegmentSink
from replicator.engine.retry_and_halve import apply_in_halves, apply_until_taken
from replicator.engine.stream.read_and_commit_progress import ReadAndCommitProgress
from replicator.errors import BatchRejected, ReplicatorError, SchemaMismatch, TargetLocked

PART_OF_A_PAGE = SegmentAdvance(position=None, items=0, rows=0, read_units=0.0, ended=False)


@dataclass(frozen=True, slots=True)
class _Step:
    """Write of one transaction."""

    records: Sequence[StreamRecord]
    plan: WritePlan
    advance: SegmentAdvance


class PagePipeline:
    """Applies pages of one table's scans and exports."""

    def __init__(
        self, table: str, mapping: TableMapping, sink: SegmentSink, observe: Observe, clock: Clock
    ) -> None:
        self._table = table
        self._mapping = mapping
        self._sink = sink
        self._observe = observe
        self._clock = clock
        self.rejected = 0
        """Dead letters written since the start."""

    async def process(
        self,
        page: ScanPage | ChangesPage,
        claim: SegmentClaim,
        stopping: asyncio.Event,
        *,
        attempting: Callable[[], None],
        read_progress: ReadAndCommitProgress,
    ) -> SegmentClaim:
        """Commit a page; returns the claim behind the page.

        A page that is too slow, or holds an item that PostgreSQL refuses, is written in several
        transactions, and the last one moves the segment: a crash in between writes the page once
        more. The last one counts for all of them, so that nothing is counted twice.
        """
        records: Sequence[StreamRecord]
        if isinstance(page, ChangesPage):
            records, make_plan = page.records, plan_changes
        else:
            records = records_of_page(page.images, self._mapping.source_key)
            make_plan = plan_page
        rows = 0

        async def commit(
            part: Sequence[StreamRecord], claim: SegmentClaim, refused: Refusals | None = None
        ) -> SegmentClaim:
            nonlocal rows
            plan = make_plan(
                part, self._mapping, read_at=self._clock.now().timestamp(), refused=refused
            )
            if not part or part[-1] is records[-1]:
                advance = SegmentAdvance(
                    position=page.last_key,
                    items=len(records),
                    rows=rows + plan.rows,
                    read_units=page.read_units,
                    ended=page.last_key is None,
                )
            else:
                advance = PART_OF_A_PAGE
            claim = await self._commit(
                _Step(part, plan, advance), claim, stopping, attempting, read_progress
            )
            rows += plan.rows
            return claim

        async def set_aside(
            part: Sequence[StreamRecord], claim: SegmentClaim, error: BatchRejected
        ) -> SegmentClaim:
            plan = make_plan(part, self._mapping, read_at=self._clock.now().timestamp())
            others = (
                make_plan([other], self._mapping, read_at=self._clock.now().timestamp())
                for other in records
                if other is not part[0]
            )
            refused = await self._sink.refusals(plan, others)
            if not refused:
                message = f"PostgreSQL refuses a transaction, but none of its rows: {error}"
                raise SchemaMismatch(message, remedy="run `replicator check`") from error
            return await commit(part, claim, refused)

        read_progress.holds(now=self._clock.monotonic())
        claim = await apply_in_halves(records, claim, apply=commit, set_aside=set_aside)
        read_progress.committed()
        return claim

    async def sweep(
        self,
        plan: WritePlan,
        claim: SegmentClaim,
        advance: SegmentAdvance,
        stopping: asyncio.Event,
        *,
        attempting: Callable[[], None],
        read_progress: ReadAndCommitProgress,
    ) -> SegmentClaim:
        """Commit the deletion of stale rows."""
        read_progress.holds(now=self._clock.monotonic())
        claim = await self._commit(
            _Step((), plan, advance), claim, stopping, attempting, read_progress
        )
        read_progress.committed()
        return claim

    async def _commit(
        self,
        step: _Step,
        claim: SegmentClaim,
        stopping: asyncio.Event,
        attempting: Callable[[], None],
        read_progress: ReadAndCommitProgress,
    ) -> SegmentClaim:
        def failed(error: ReplicatorError) -> None:
            read_progress.apply_failed(error)
            if isinstance(error, TargetLocked):
                self._observe(WriteBlocked(self._table, claim.name, error))

        started = self._clock.monotonic()
        applied = await apply_until_taken(
            lambda: self._sink.apply(step.plan, claim=claim, advance=step.advance),
            stopping,
            attempting=attempting,
            failed=failed,
            single=len(step.records) <= 1,
        )
        read_progress.moved(now=self._clock.monotonic())
        self._report(step, claim, applied, apply_seconds=self._clock.monotonic() - started)
        position = step.advance.position
        return replace(
            claim,
            steps=claim.steps + 1,
            position=claim.position if position is None else position,
            open_letters=claim.open_letters or bool(step.plan.dead_letters),
        )

    def _report(
        self, step: _Step, claim: SegmentClaim, applied: Applied, *, apply_seconds: float
    ) -> None:
        plan = step.plan
        self._observe(
            BatchApplied(
                table=self._table,
                shard_id=claim.name,
                records=outcomes_of_page(step.records, plan, applied.rejections),
                rows=applied.rows,
                unmapped=plan.unmapped,
                unmapped_types=plan.unmapped_types,
                apply_seconds=apply_seconds,
                replication_seconds=(),
                last_created_at=None,
                unmatched=plan.unmatched,
                candidates=plan.candidates,
            )
        )
        if applied.rejections:
            self._observe(ChangesSuperseded(self._table, reasons(applied.rejections)))
        self.rejected += len(plan.dead_letters)
        for letter in plan.dead_letters:
            self._observe(
                RecordRejected(self._table, letter.target, claim.name, LetterId(0), letter.reason)
            )
