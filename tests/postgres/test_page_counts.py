"""Counts of a segment of a snapshot: each item once, in however many parts a page was written."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import pytest

from replicator.clock import SystemClock
from replicator.core.planning.row_guard import Applied
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.snapshot.scan_responses import ScanPage
from replicator.core.snapshot.snapshot_state import SegmentAdvance, SegmentClaim
from replicator.core.telemetry_events import unobserved
from replicator.engine.snapshot.plan_and_apply_page import PagePipeline
from replicator.engine.stream.read_and_commit_progress import ReadAndCommitProgress
from replicator.errors import BatchTooSlow, SinkUnavailable
from replicator.postgres.write.plan_writer import SegmentSink
from tests.postgres.loaded import Loaded, registered
from tests.support.builders import table_mapping, target

ITEMS = 8


@dataclass
class Slow:
    """A server that is too slow for more than two rows, and gone after some transactions."""

    sink: SegmentSink
    transactions: int

    async def apply(
        self, plan: WritePlan, *, claim: SegmentClaim, advance: SegmentAdvance
    ) -> Applied:
        if plan.rows > 2:
            raise BatchTooSlow("too slow")
        if not self.transactions:
            raise SinkUnavailable("it is gone")
        self.transactions -= 1
        return await self.sink.apply(plan, claim=claim, advance=advance)

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = (), /) -> Refusals:
        raise AssertionError


@pytest.fixture
async def table(migrated_database: str) -> AsyncIterator[Loaded]:
    loaded = await registered(migrated_database, table_mapping(target()))
    yield loaded
    await loaded.database.close()


async def write(table: Loaded, claim: SegmentClaim, page: ScanPage, *, transactions: int) -> None:
    clock = SystemClock()
    slow = Slow(SegmentSink(table.database, table.mapping), transactions)
    pages = PagePipeline(table.name, table.mapping, slow, unobserved, clock)
    read_progress = ReadAndCommitProgress(clock.monotonic())
    stopping = asyncio.Event()
    await pages.process(page, claim, stopping, attempting=lambda: None, read_progress=read_progress)


async def test_a_page_whose_writing_was_cut_off_between_its_parts_is_counted_once(table: Loaded):
    snapshot = await table.begin()
    images = [
        memoryview(f'{{"pk": {{"S": "{n}"}}, "n": {{"N": "{n}"}}}}'.encode()) for n in range(ITEMS)
    ]
    page = ScanPage(images, None, 3.0)
    with pytest.raises(SinkUnavailable):
        await write(table, await table.claim(snapshot), page, transactions=3)
    [running] = await table.known()
    assert (running.items, running.read_units) == (0, 0.0)

    await write(table, await table.claim(snapshot), page, transactions=ITEMS)

    [complete] = await table.known()
    [segment] = complete.scan
    assert (segment.items, segment.rows, segment.read_units) == (ITEMS, ITEMS, 3.0)
    assert await table.sql("select count(*) from public.t") == [(ITEMS,)]
    assert complete.complete
