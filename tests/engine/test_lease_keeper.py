"""One worker's leases: how often they are written, and when it stops to believe in them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from replicator.core.leases.lease_plan import TRIM_HORIZON, Lease
from replicator.core.stream_record import Position
from replicator.engine.worker.lease_keeper import WRITES_SAVED_UP, LeaseKeeper
from replicator.errors import CoordinationUnavailable
from tests.support.builders import STREAM, shard_name
from tests.support.fake_leases import FakeLeases, LeaseTable
from tests.support.virtual_time import in_virtual_time, running_clock

LEASE_SECONDS = 20.0
Result = TypeVar("Result")


class Keeper:
    """A worker that holds some leases."""

    def __init__(self, lease_seconds: float = LEASE_SECONDS) -> None:
        self.table = LeaseTable()
        self.calls: Counter[str] = Counter()
        self.away = False
        self.leases = FakeLeases(self.table, self.send, "me")
        self.holding = LeaseKeeper(
            self.leases, lambda _: None, running_clock(), lease_seconds=lease_seconds
        )

    async def send(self, name: str, work: Callable[[], Result]) -> Result:
        self.calls[name] += 1
        if self.away:
            message = "the lease table is out of reach"
            raise CoordinationUnavailable(message)
        return work()

    async def takes(self, count: int) -> list[str]:
        keys = [self.leases.key(STREAM, shard_name(number)) for number in range(count)]
        for number, key in enumerate(keys):
            self.table.rows[key] = Lease(key, None, 0, TRIM_HORIZON)
            await self.holding.take(
                self.table.rows[key], table="t", stream_arn=STREAM, shard_id=shard_name(number)
            )
        return keys

    async def renews(self, seconds: int, *, commits: bool = False) -> None:
        for second in range(seconds):
            await asyncio.sleep(1)
            for key in list(self.holding.held) if commits else ():
                self.holding.moved(key, Position(second + 1))
            await self.holding.renew_all()


@in_virtual_time
async def test_a_worker_writes_one_lease_a_second_each_in_its_turn():
    keeper = Keeper()
    await keeper.takes(100)

    await keeper.renews(200, commits=True)

    assert keeper.calls["save"] + keeper.calls["renew"] <= 200 + WRITES_SAVED_UP
    counters = [row.counter for row in keeper.table.rows.values()]
    assert min(counters) >= 2
    assert {row.checkpoint for row in keeper.table.rows.values()} != {TRIM_HORIZON}


@in_virtual_time
async def test_every_lease_is_renewed_in_time_beside_an_older_version():
    keeper = Keeper()
    await keeper.takes(100)
    keeper.holding.renews_each(since=0.0)

    before = {key: row.counter for key, row in keeper.table.rows.items()}
    for _ in range(10):
        await keeper.renews(int(LEASE_SECONDS / 2))
        after = {key: row.counter for key, row in keeper.table.rows.items()}
        assert all(after[key] > counter for key, counter in before.items())
        before = after


@in_virtual_time
async def test_who_slept_gives_up_everything_and_writes_nothing():
    """Some of it may be another worker's: one lease that is ours still proves nothing of others."""
    keeper = Keeper()
    await keeper.takes(3)
    await asyncio.sleep(LEASE_SECONDS + 1)

    await keeper.holding.renew_all()

    assert keeper.holding.held == {}
    assert keeper.calls["renew"] == 0


@in_virtual_time
async def test_the_beat_stands_while_the_lease_table_is_out_of_reach_and_leases_are_given_up():
    keeper = Keeper()
    [key] = await keeper.takes(1)
    first = keeper.holding.beat()
    assert keeper.holding.beat() > first
    keeper.away = True
    await keeper.renews(10)

    stands = keeper.holding.beat()
    await keeper.renews(int(LEASE_SECONDS))

    assert keeper.holding.beat() == stands
    assert key not in keeper.holding.held
    assert keeper.holding.beat() == stands


@in_virtual_time
async def test_who_beats_no_more_gives_up_by_the_last_beat_that_others_saw_not_by_a_later_write():
    keeper, clock = Keeper(), running_clock()
    [key] = await keeper.takes(1)
    keeper.holding.beat_told(keeper.holding.beat(), at=clock.monotonic())
    await asyncio.sleep(1)
    await keeper.holding.confirm(key)
    keeper.away = True
    await keeper.holding.confirm(key)
    assert keeper.holding.seconds_left() == LEASE_SECONDS

    keeper.holding.beat_told(keeper.holding.beat(), at=clock.monotonic())

    assert keeper.holding.seconds_left() == LEASE_SECONDS - 1
    await asyncio.sleep(LEASE_SECONDS - 1)
    assert keeper.holding.too_old() == [key]


@in_virtual_time
async def test_what_is_taken_after_a_while_without_the_lease_table_is_kept():
    """The beat stood until now, and others hear of the next one in a moment."""
    keeper, clock = Keeper(), running_clock()
    [key] = await keeper.takes(1)
    keeper.holding.beat_told(keeper.holding.beat(), at=clock.monotonic())
    keeper.away = True
    await keeper.renews(int(LEASE_SECONDS) + 1)
    keeper.holding.beat_told(keeper.holding.beat(), at=clock.monotonic())
    assert keeper.holding.held == {}
    keeper.away = False

    await keeper.takes(1)

    assert keeper.holding.seconds_left() == LEASE_SECONDS
    assert list(keeper.holding.held) == [key]


@pytest.mark.parametrize("commits", [False, True])
@in_virtual_time
async def test_an_owner_sees_who_asks_in_whatever_it_writes(commits: bool):
    """A busy lease is never written but with its checkpoint."""
    keeper = Keeper()
    (key,) = await keeper.takes(1)
    keeper.table.rows[key] = replace(keeper.table.rows[key], wanted_by="other")

    await keeper.renews(6, commits=commits)

    assert keeper.holding.wanted == {key}


@in_virtual_time
async def test_what_was_stolen_is_lost_when_it_is_confirmed():
    keeper = Keeper()
    mine, stolen = await keeper.takes(2)
    keeper.table.steal(stolen, "thief")

    assert await keeper.holding.confirm(mine)
    assert not await keeper.holding.confirm(stolen)
    keeper.away = True
    assert await keeper.holding.confirm(mine)


@pytest.mark.parametrize("lease_seconds", [0.5, 1.0, 2.0, 5.0])
@in_virtual_time
async def test_a_short_lease_is_kept_however_few_writes_a_worker_may_make(lease_seconds: float):
    keeper = Keeper(lease_seconds)
    [key] = await keeper.takes(1)
    beats = set[int]()

    for _ in range(1000):
        await asyncio.sleep(lease_seconds / 8)
        await keeper.holding.renew_all()
        assert keeper.holding.too_old() == []
        beats.add(keeper.holding.beat())

    assert list(keeper.holding.held) == [key]
    assert len(beats) == 1000, "the heartbeat moves at every look"
