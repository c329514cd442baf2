"""Batches are as large as a slow server lets them be, and not tried larger again and again."""

import asyncio
from collections.abc import Iterable
from datetime import datetime

from replicator.core.planning.row_guard import Applied
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.stream.batch_size import BatchSize
from replicator.core.stream.claims import Advance, Claim
from replicator.engine.stream.plan_and_apply_batch import Batch, BatchPipeline
from replicator.errors import BatchTooSlow, SinkBusy
from tests.support.builders import NOON, claim, record, table_mapping


class SlowServer:
    """Takes its time for every record, and ends statements that take too long; it is its clock."""

    def __init__(self, *, record_seconds: float, timeout_seconds: float = 30.0) -> None:
        self.record_seconds = record_seconds
        self.timeout_seconds = timeout_seconds
        self.locked = False
        self.tried: list[int] = []
        self.position = 0
        self._seconds = 0.0

    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        records = len(plan.ranks)
        self.tried.append(records)
        if self.locked:
            self.locked = False
            message = "a row is locked"
            raise SinkBusy(message)
        seconds = records * self.record_seconds
        self._seconds += min(seconds, self.timeout_seconds)
        if seconds > self.timeout_seconds:
            message = "the statement timeout ended the batch"
            raise BatchTooSlow(message)
        assert advance.expected == claim.position
        self.position = advance.position
        return Applied({})

    async def refusals(self, plan: WritePlan, _others: Iterable[WritePlan] = (), /) -> Refusals:
        raise NotImplementedError

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return self._seconds


class Shard:
    """Batches that follow each other, planned or not."""

    def __init__(self, server: SlowServer) -> None:
        size = BatchSize(100, records_max=100, target_seconds=1.0)
        mapping = table_mapping()
        self.pipeline = BatchPipeline("t", mapping, server, lambda _: None, server, size=size)
        self.claim = claim(position=0)

    async def process(self, records: int) -> None:
        first = (self.claim.position or 0) + 1
        numbers = range(first, first + records)
        changes = [record(number, f"{number}", n={"N": "1"}) for number in numbers]
        batch = self.pipeline.planned(Batch(changes, changes[-1].position, NOON), self.claim)
        self.claim = await self.pipeline.process(batch, self.claim, asyncio.Event())


async def test_what_a_timeout_taught_is_not_tried_again():
    server = SlowServer(record_seconds=0.5, timeout_seconds=20.0)
    shard = Shard(server)

    await shard.process(100)
    await shard.process(100)

    assert [size for size in server.tried if size > 40] == [100, 50]
    assert server.position == 200
    assert server.tried[-1] <= 2


async def test_batches_come_to_take_the_time_that_they_should():
    server = SlowServer(record_seconds=0.02)
    shard = Shard(server)

    for _ in range(5):
        await shard.process(100)

    assert server.tried[-2:] == [50, 50]


async def test_batches_grow_again_when_the_server_is_quick_again():
    server = SlowServer(record_seconds=0.1)
    shard = Shard(server)
    await shard.process(100)
    server.record_seconds = 0.001

    for _ in range(3):
        await shard.process(100)

    assert server.tried[-1] == 100


async def test_a_batch_that_waited_for_a_lock_too_long_is_tried_again_whole_before_smaller_ones():
    server = SlowServer(record_seconds=0.0001)
    server.locked = True
    shard = Shard(server)

    await shard.process(100)
    await shard.process(30)

    assert server.tried == [100, 100, 30]
    assert server.position == 130
