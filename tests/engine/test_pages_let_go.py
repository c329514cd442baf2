"""A page is in memory while it has a slot, or is small: not while it waits at the source, nor once
committed.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from replicator.core.planning.row_guard import Applied
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream_record import Page, StreamRecord
from replicator.core.telemetry_events import unobserved
from replicator.engine.ports import ControlPorts
from replicator.engine.stream.page_budget import KEPT_BYTES_OF_A_SLOT, PageBudget, PageSlots
from replicator.engine.stream.plan_and_apply_batch import BatchPipeline
from replicator.engine.stream.shard_replicator import ShardReplicator, ShardTask, SharedParts
from tests.support.builders import claim, record, table_mapping
from tests.support.virtual_time import VirtualClock, in_virtual_time, running_clock, until

LARGE = 100 * KEPT_BYTES_OF_A_SLOT


class PagesOfOneShard:
    """Two pages, each served as soon as it is due, again and again until the next is asked for."""

    def __init__(self, *, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self.due = 0
        """Pages that may be served."""
        self.served = 0
        self._images: list[weakref.ref[memoryview]] = []

    async def iterator(self, *_: Any, **__: Any) -> str:
        return "0"

    async def read(self, iterator: str) -> Page:
        number = int(iterator)
        if number >= self.due:
            return Page([], iterator)
        self.served += 1
        return Page([self._record(number)], str(number + 1), self._size_bytes)

    def _record(self, number: int) -> StreamRecord:
        made = record(number + 1, "a", at=running_clock().now(), n={"N": str(number)})
        assert made.new_image is not None
        self._images.append(weakref.ref(made.new_image))
        return made

    @property
    def held(self) -> int:
        """Pages that anything still refers to."""
        return sum(image() is not None for image in self._images)


class Database:
    """Grants every claim, and takes every batch."""

    def __init__(self) -> None:
        self.applied = 0

    async def claim(self, *_: Any, **__: Any) -> Claim:
        return claim()

    async def looked(self, *_: Any, **__: Any) -> None:
        return

    async def leave(self, _: Claim) -> None:
        return

    async def apply(self, _: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        assert advance.expected == claim.position
        self.applied += 1
        return Applied({})

    async def refusals(self, plan: WritePlan, _others: Iterable[WritePlan] = (), /) -> Refusals:
        raise NotImplementedError


@asynccontextmanager
async def without_a_slot(
    pages: PagesOfOneShard, database: Database
) -> AsyncIterator[tuple[PageSlots, asyncio.Event]]:
    """An idle shard that gets a page while another table holds the only slot: the room of that, and
    what stops the shard.
    """
    budget, stopping = PageBudget(1), asyncio.Event()
    room, other = budget.room(1), budget.room(1)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_replicate(pages, database, room, stopping))
        await asyncio.sleep(10)
        assert other.take_at_once()
        pages.due = 1
        await until(lambda: pages.served == 1)
        await asyncio.sleep(1)
        assert database.applied == 0
        yield other, stopping
        stopping.set()


@in_virtual_time
async def test_a_page_that_waits_for_a_slot_or_is_committed_is_let_go():
    pages, database = PagesOfOneShard(size_bytes=LARGE), Database()

    async with without_a_slot(pages, database) as (other, _):
        assert pages.held == 0, "it was put back, and will be read again"

        other.give_back()
        await until(lambda: database.applied == 1)
        await asyncio.sleep(0.1)
        assert pages.held == 0, "it is committed, and the next one has not come"


@in_virtual_time
async def test_shards_that_wake_at_once_read_their_pages_once_as_far_as_memory_allows():
    """Sixteen idle shards of one table, which may hold one page."""
    database, budget, stopping = Database(), PageBudget(4), asyncio.Event()
    room, other = budget.room(1), budget.room(1)
    small = [PagesOfOneShard(size_bytes=4 * KEPT_BYTES_OF_A_SLOT // 15) for _ in range(15)]
    shards = [*small, PagesOfOneShard(size_bytes=LARGE)]

    async with asyncio.TaskGroup() as tasks:
        for pages in shards:
            tasks.create_task(_replicate(pages, database, room, stopping))
        await asyncio.sleep(10)
        assert room.take_at_once()
        for pages in shards:
            pages.due = 1
        await asyncio.sleep(3)
        assert [pages.served for pages in shards] == [1] * 16
        assert [pages.held for pages in shards] == [1] * 15 + [0]

        room.give_back()
        await until(lambda: database.applied == 16)
        assert [pages.served for pages in shards] == [1] * 15 + [2]
        await asyncio.sleep(0.1)
        assert [pages.held for pages in shards] == [0] * 16
        with other.kept(4 * KEPT_BYTES_OF_A_SLOT) as whole:
            assert whole, "nothing of the memory is left taken"

        stopping.set()


@in_virtual_time
async def test_a_kept_page_is_let_go_where_its_shard_is_asked_to_stop():
    pages, database = PagesOfOneShard(size_bytes=KEPT_BYTES_OF_A_SLOT), Database()

    async with without_a_slot(pages, database) as (other, stopping):
        assert pages.held == 1
        with other.kept(1) as more:
            assert not more
        stopping.set()
        await until(lambda: pages.held == 0)

        assert (pages.served, database.applied) == (1, 0)
        with other.kept(KEPT_BYTES_OF_A_SLOT) as whole:
            assert whole


def _replicate(
    pages: Any, database: Any, room: Any, stopping: asyncio.Event
) -> Coroutine[Any, Any, object]:
    mapping, clock = table_mapping(), running_clock()
    assert isinstance(clock, VirtualClock)

    async def no_children(_arn: str, _shard: str) -> tuple[str, ...]:
        return ()

    task = ShardTask(
        table="orders",
        stream_arn="arn",
        shard_id="shard",
        mapping_fingerprint="",
        idle_seconds_max=0.3,
        spec=mapping.spec,
        checkpointed=None,
    )
    pipeline = BatchPipeline("orders", mapping, database, unobserved, clock)
    return ShardReplicator(
        task,
        shared=SharedParts(pages, pipeline, room, no_children),
        control=ControlPorts(database, database, database, database, database),
        observe=unobserved,
        clock=clock,
        moved=unobserved,
    ).run(stopping)
