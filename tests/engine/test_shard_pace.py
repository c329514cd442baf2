"""Reads of a Kinesis shard, by all the tables that share the shard, in the pace that AWS allows."""

import asyncio
from random import Random

import pytest

from replicator.sources.kinesis.streams import BYTES_PER_SECOND, RECORDS_PER_PAGE, ShardPace
from tests.support.virtual_time import in_virtual_time

READS_PER_SECOND = 5
ROUNDING = 1e-6


class Shard:
    """Answers any read after a while, and notes when each was asked for and how much it gave."""

    def __init__(self, pace: ShardPace, name: str = "shard-0", *, latency: float = 0.0) -> None:
        self.pace = pace
        self.name = name
        self.latency = latency
        self.asked: list[float] = []
        self.limits: list[int] = []
        self.data_bytes = 0

    async def read(self, *, records: int, data_bytes: int) -> None:
        self.limits.append(await self.pace.turn(self.name))
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.latency)
        self.data_bytes += data_bytes
        self.pace.took(self.name, records=records, data_bytes=data_bytes)

    async def reads(self, times: int, *, records: int = 1, data_bytes: int = 0) -> None:
        for _ in range(times):
            await self.read(records=records, data_bytes=data_bytes)

    def most_in_a_second(self) -> int:
        windows = [
            [at for at in self.asked if first <= at < first + 1 - ROUNDING] for first in self.asked
        ]
        return max(map(len, windows))


@pytest.mark.parametrize("latency", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("tables", [1, 2, 7])
@in_virtual_time
async def test_a_shard_is_read_five_times_in_a_second_by_all_its_readers_together(
    latency: float, tables: int
):
    shard = Shard(ShardPace(), latency=latency)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(tables):
            tasks.create_task(shard.reads(20))

    of_one = 2 if latency == 0.5 else READS_PER_SECOND
    assert shard.most_in_a_second() == min(READS_PER_SECOND, tables * of_one)


@pytest.mark.parametrize("answer", [100_000, 400_000, 1_000_000, 10_000_000])
@in_virtual_time
async def test_a_shard_gives_two_megabytes_a_second_and_no_reader_is_slower_than_that(answer: int):
    shard, times = Shard(ShardPace()), 30
    await shard.reads(times, data_bytes=answer)

    took = shard.asked[-1] - shard.asked[0]
    before_the_last = answer * (times - 1)
    assert took == pytest.approx(max(before_the_last / BYTES_PER_SECOND, 0.2 * (times - 1)))


@in_virtual_time
async def test_big_answers_of_several_readers_are_paid_for_by_all_of_them():
    pace, chance = ShardPace(), Random(4)
    shard = Shard(pace, latency=0.03)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(shard.reads(40, data_bytes=chance.randint(300_000, 3_000_000)))

    took = shard.asked[-1] - shard.asked[0]
    largest = 3_000_000
    assert shard.data_bytes - largest <= took * BYTES_PER_SECOND
    assert shard.most_in_a_second() <= READS_PER_SECOND


@in_virtual_time
async def test_readers_take_turns():
    pace = ShardPace()
    order: list[str] = []

    async def read(name: str) -> None:
        for _ in range(5):
            await pace.turn("shard-0")
            order.append(name)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for name in ("one", "other"):
            tasks.create_task(read(name))

    assert order == ["one", "other"] * 5


@in_virtual_time
async def test_shards_do_not_wait_for_each_other_and_one_that_ended_is_forgotten():
    pace = ShardPace()
    shards = [Shard(pace, f"shard-{number}") for number in range(50)]
    async with asyncio.TaskGroup() as tasks:
        for shard in shards:
            tasks.create_task(shard.reads(1, data_bytes=10_000_000))
    assert {tuple(shard.asked) for shard in shards} == {(0.0,)}

    pace.forget("shard-0")
    pace.took("shard-0", records=1, data_bytes=10_000_000)
    await shards[0].reads(1)

    assert shards[0].asked == [0.0, 0.0]


@in_virtual_time
async def test_of_large_records_fewer_are_asked_for_so_that_a_page_has_a_megabyte():
    shard = Shard(ShardPace())
    for records, data_bytes in ((100, 10_000_000), (10, 20_000), (1000, 200_000), (1, 10_000_000)):
        await shard.read(records=records, data_bytes=data_bytes)
    await shard.read(records=0, data_bytes=0)
    await shard.read(records=0, data_bytes=0)

    assert shard.limits == [100, 10, 500, RECORDS_PER_PAGE, 1, 1]
