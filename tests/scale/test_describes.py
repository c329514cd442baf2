"""The calls of DescribeStream of all workers together stay within what AWS allows an account."""

import asyncio

import pytest

from replicator.core.stream.describe_stream_quota import (
    CHILDREN,
    FIRST_LISTING,
    LISTING,
    OTHERS_SECONDS,
    Purpose,
)
from replicator.engine.stream.shard_discovery import CHILDREN_SECONDS_MAX
from replicator.sources.dynamodb.describe_stream_pace import REFUSED_SECONDS, DescribeStreamPace
from tests.scale.fleet import Fleet
from tests.scale.servers import DESCRIBES_A_SECOND, LATENCY_SECONDS, Bill
from tests.support.fakes import FakeTurns
from tests.support.virtual_time import in_virtual_time

STEADY_A_SECOND = 5
LOOK_SECONDS = 5.0


@in_virtual_time
async def test_two_hundred_tables_are_read_as_soon_as_ten_calls_a_second_let_them():
    fleet = Fleet(200, tables=200)
    fleet.start()

    seconds = await fleet.seconds_until(lambda: fleet.all_read, at_most=60)

    assert seconds <= 20
    assert fleet.servers.bill.described_max <= DESCRIBES_A_SECOND
    assert fleet.servers.bill.calls["streams throttled"] == 0


@pytest.mark.parametrize(
    ("workers", "seed"),
    [
        pytest.param(workers, seed, marks=() if (workers, seed) == (2, 0) else pytest.mark.wide)
        for workers in (2, 6)
        for seed in range(3)
    ],
)
@in_virtual_time
async def test_workers_that_list_many_tables_first_make_ten_calls_in_any_second(
    workers: int, seed: int
):
    """Their calls are on their ways for longer or shorter, from the turns to the source."""
    fleet = Fleet(300, tables=300, seed=seed)
    for _ in range(workers):
        fleet.start()

    seconds = await fleet.seconds_until(lambda: fleet.all_read, at_most=120)

    assert fleet.servers.bill.described_max == DESCRIBES_A_SECOND
    assert fleet.servers.bill.calls["streams throttled"] == 0
    assert seconds <= 300 / DESCRIBES_A_SECOND * OTHERS_SECONDS + LOOK_SECONDS


@pytest.mark.wide
@pytest.mark.parametrize(("shards", "workers"), [(100, 2), (300, 8)])
@in_virtual_time
async def test_many_workers_list_many_tables_within_half_of_what_an_account_may(
    shards: int, workers: int
):
    fleet = Fleet(shards, tables=100)
    for _ in range(workers):
        fleet.start()
    await fleet.seconds_until(lambda: fleet.all_read, at_most=60)
    rolling = asyncio.create_task(fleet.roll_over(every_seconds=300.0))
    await asyncio.sleep(30)
    fleet.servers.bill = bill = Bill()

    await asyncio.sleep(120)
    for _ in range(workers // 2):
        fleet.start()
    await asyncio.sleep(60)

    rolling.cancel()
    assert bill.calls["streams DescribeStream"] >= 3 * 180
    assert bill.described_max <= STEADY_A_SECOND
    assert fleet.reading.unread_seconds_max <= 10


@in_virtual_time
async def test_tables_that_are_on_record_are_read_before_they_are_listed():
    fleet = Fleet(100, tables=100)
    name = fleet.start()
    await fleet.seconds_until(lambda: fleet.all_read, at_most=60)
    await fleet.stop(name)

    fleet.start()

    assert await fleet.seconds_until(lambda: fleet.all_read, at_most=60) <= 2


@in_virtual_time
async def test_a_listing_that_takes_minutes_is_begun_by_no_other_worker(
    monkeypatch: pytest.MonkeyPatch,
):
    """It says that it goes on while it waits for answers, and for its turns."""
    monkeypatch.setitem(LATENCY_SECONDS, "streams", 90.0)
    fleet = Fleet(20)
    for _ in range(3):
        fleet.start()

    await fleet.seconds_until(lambda: fleet.all_read, at_most=400)

    assert fleet.all_read
    assert fleet.servers.bill.calls["streams DescribeStream"] == 1


@pytest.mark.parametrize("purpose", [FIRST_LISTING, CHILDREN, LISTING])
@in_virtual_time
async def test_a_process_that_runs_late_sends_no_more_than_is_allowed(purpose: Purpose):
    """Each call arrives when it likes between its turn and its answer."""
    pace, loop = DescribeStreamPace(), asyncio.get_running_loop()
    arrivals: list[float] = []

    async def call(number: int) -> None:
        async with pace.turn(purpose):
            late = (number * 7919 % 100) / 100
            await asyncio.sleep(late)
            arrivals.append(loop.time())
            await asyncio.sleep(1 - late)

    async with asyncio.TaskGroup() as tasks:
        for number in range(60):
            tasks.create_task(call(number))

    arrivals.sort()
    calls_max = purpose.calls_max
    assert all(b - a > 1 for a, b in zip(arrivals, arrivals[calls_max:], strict=False))


@in_virtual_time
async def test_who_lists_for_the_first_time_goes_before_who_lists_again():
    pace, order = DescribeStreamPace(), list[str]()

    async def call(name: str, purpose: Purpose) -> None:
        async with pace.turn(purpose):
            order.append(name)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(call("again", LISTING))
        tasks.create_task(call("children", CHILDREN))
        tasks.create_task(call("first", FIRST_LISTING))

    assert order.index("first") < order.index("children") <= STEADY_A_SECOND + 2


@in_virtual_time
async def test_a_refusal_holds_all_calls_of_the_process_and_longer_each_time():
    pace, loop = DescribeStreamPace(), asyncio.get_running_loop()
    pauses = []
    for _ in range(3):
        pace.refused()
        began = loop.time()
        async with pace.turn(FIRST_LISTING):
            pauses.append(loop.time() - began)

    assert pauses[0] < pauses[1] < pauses[2]


@in_virtual_time
async def test_a_call_that_is_cancelled_while_it_waits_holds_nobody_up():
    pace = DescribeStreamPace()

    async def call() -> None:
        async with pace.turn(LISTING):
            pass

    waiting = [asyncio.create_task(call()) for _ in range(12)]
    await asyncio.sleep(0.5)
    for task in waiting[5:10]:
        task.cancel()
    done, left = await asyncio.wait(waiting, timeout=10)

    assert not left
    assert sum(task.cancelled() for task in done) == 5


@in_virtual_time
async def test_listings_that_give_way_take_their_turns_as_they_came():
    """One that asks by chance would wait for minutes, and be begun again by others."""
    fleet, loop = Fleet(1), asyncio.get_running_loop()
    turns = FakeTurns(fleet.postgres, fleet.servers.reached_by(set()).postgres_call)
    paces = [DescribeStreamPace(turns.take) for _ in range(2)]
    waits: list[float] = []

    async def list_again_and_again(number: int) -> None:
        while True:
            began = loop.time()
            async with paces[number % 2].turn(LISTING):
                waits.append(loop.time() - began)
            await asyncio.sleep(30)

    tasks = [asyncio.create_task(list_again_and_again(number)) for number in range(300)]
    await asyncio.sleep(600)
    for task in tasks:
        task.cancel()

    assert len(waits) > 600 * 0.75 * STEADY_A_SECOND
    assert max(waits) <= 2 * 300 / STEADY_A_SECOND


@in_virtual_time
async def test_calls_that_are_refused_together_lengthen_the_pauses_once():
    pace, loop = DescribeStreamPace(), asyncio.get_running_loop()
    for _ in range(10):
        pace.refused()
    began = loop.time()

    async with pace.turn(FIRST_LISTING):
        pass

    assert loop.time() - began <= 2 * REFUSED_SECONDS


@in_virtual_time
async def test_the_end_of_a_shard_does_not_wait_for_minutes_for_its_children(
    monkeypatch: pytest.MonkeyPatch,
):
    fleet = Fleet(1)
    name = fleet.start()
    await fleet.seconds_until(lambda: fleet.all_read, at_most=60)
    (table,) = fleet.processes[name].worker.tables.values()
    [(shard_id, arn)], loop = fleet.open.items(), asyncio.get_running_loop()
    monkeypatch.setitem(LATENCY_SECONDS, "streams", 90.0)
    began = loop.time()

    assert await table.discovery.add_children(arn, shard_id) == ()

    assert loop.time() - began <= CHILDREN_SECONDS_MAX + 1
