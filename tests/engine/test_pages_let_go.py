"""A page is in memory while it has a slot: not while it waits at the source, nor once committed."""

import asyncio
import weakref
from collections.abc import Coroutine, Iterable
from typing import Any

from replicator.core.observations import unobserved
from replicator.core.planning.row_guard_outcomes import Applied
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.records import Page, StreamRecord
from replicator.core.stream.stream_state import Advance, Claim
from replicator.engine.ports import ControlPorts
from replicator.engine.stream.pipeline import Pipeline
from replicator.engine.stream.read_ahead_limit import PageBudget
from replicator.engine.stream.shard import ShardReplicator, ShardTask, SharedParts
from tests.support.builders import claim, record, table_mapping
from tests.support.virtual_time import VirtualClock, in_virtual_time, running_clock, until


class PagesOfOneShard:
    """Two pages, each served as soon as it is due, again and again until the next is asked for."""

    def __init__(self) -> None:
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
        return Page([self._record(number)], str(number + 1))

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


@in_virtual_time
async def test_a_page_that_waits_for_a_slot_or_is_committed_is_let_go():
    pages, database, budget = PagesOfOneShard(), Database(), PageBudget(1)
    room, other = budget.room(1), budget.room(1)
    stopping = asyncio.Event()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_replicate(pages, database, room, stopping))
        await asyncio.sleep(10)
        assert other.take_at_once()

        pages.due = 1
        await until(lambda: pages.served == 1)
        await asyncio.sleep(1)
        assert database.applied == 0
        assert pages.held == 0, "it was put back, and will be read again"

        other.give_back()
        await until(lambda: database.applied == 1)
        await asyncio.sleep(0.1)
        assert pages.held == 0, "it is committed, and the next one has not come"

        stopping.set()


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
    pipeline = Pipeline("orders", mapping, database, unobserved, clock)
    return ShardReplicator(
        task,
        shared=SharedParts(pages, pipeline, room, no_children),
        control=ControlPorts(database, database, database, database),
        observe=unobserved,
        clock=clock,
        moved=unobserved,
    ).run(stopping)
