"""Shards are shared by their loads, whatever workers come, go, and know."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.scale.fleet import LEASE_SECONDS, CountingHeartbeats, Fleet
from tests.support.virtual_time import in_virtual_time

SHARDS, WORKERS = 150, 6
LOOK_SECONDS = 5.0
BUSY = 1_500_000.0
"""Records a minute."""
LEARNT_SECONDS = 300.0
"""The average begins at nothing, and so does the balance."""
NOISE_MOVES = SHARDS / 10
"""In twenty minutes. Of 60 runs with other noise each, half moved three shards or fewer, one moved
eight; a planner that answers each change moves as many at every look. That hysteresis is enough is
asserted of the planner alone, in tests/core/test_fair_shares.py.
"""


@asynccontextmanager
async def zipf_fleet(*, counting: int = 0) -> AsyncIterator[Fleet]:
    fleet = Fleet(SHARDS)
    fleet.busy(BUSY)
    measuring = asyncio.create_task(fleet.measure_loads())
    for number in range(WORKERS):
        fleet.start(heartbeats_type=CountingHeartbeats if number < counting else None)
    await fleet.seconds_until(lambda: fleet.all_read, at_most=60)
    await asyncio.sleep(LEARNT_SECONDS)
    yield fleet
    measuring.cancel()


@pytest.mark.parametrize("rest_seconds", [400, pytest.param(1200, marks=pytest.mark.wide)])
@in_virtual_time
async def test_a_zipf_load_is_shared_evenly_and_then_nothing_moves(rest_seconds: int):
    async with zipf_fleet() as fleet:
        assert fleet.even
        assert fleet.reading.moves <= 2 * SHARDS
        before = fleet.reading.moves

        await asyncio.sleep(rest_seconds)

        assert fleet.reading.moves - before <= NOISE_MOVES
        assert fleet.even
        assert fleet.reading.overlaps == 0


@in_virtual_time
async def test_a_worker_that_joins_has_its_share_of_the_load_within_a_minute():
    async with zipf_fleet() as fleet:
        before = fleet.reading.moves
        newest = fleet.start()
        mean = BUSY / (WORKERS + 1)

        seconds = await fleet.seconds_until(
            lambda: fleet.loads_of_workers()[newest] >= 0.7 * mean, at_most=300
        )

        assert seconds <= 60
        await fleet.seconds_until(lambda: fleet.even, at_most=300)
        await asyncio.sleep(60)
        assert fleet.even
        assert fleet.reading.moves - before <= 1.2 * SHARDS / (WORKERS + 1)


@in_virtual_time
async def test_the_load_of_dead_workers_is_spread():
    async with zipf_fleet() as fleet:
        for name in list(fleet.processes)[: WORKERS // 3]:
            fleet.kill(name)
        await asyncio.sleep(1)

        seconds = await fleet.seconds_until(lambda: fleet.all_read, at_most=200)

        assert seconds <= LEASE_SECONDS + 2 * LOOK_SECONDS + 10
        await fleet.seconds_until(lambda: fleet.even, at_most=300)
        assert fleet.even


@pytest.mark.wide
@in_virtual_time
async def test_beside_an_older_version_shards_are_counted_and_nothing_goes_to_and_fro():
    async with zipf_fleet(counting=2) as fleet:
        assert fleet.balanced
        before = fleet.reading.moves
        await asyncio.sleep(300)
        assert fleet.reading.moves == before

        for name in list(fleet.processes)[:2]:
            await fleet.stop(name)
            fleet.start()
        await asyncio.sleep(120)

        assert fleet.even


@in_virtual_time
async def test_of_fewer_than_two_shards_for_each_worker_all_have_theirs_soon():
    """Each shard is more than half of a share: askers must not all reach for the same one."""
    fleet = Fleet(50, seed=2)
    for _ in range(30):
        fleet.start()
        await asyncio.sleep(0.3)

    def is_shared() -> bool:
        return fleet.all_read and {*fleet.counts().values()} == {1, 2}

    assert await fleet.seconds_until(is_shared, at_most=200) <= 30
    moves = fleet.reading.moves
    await asyncio.sleep(60)
    assert fleet.reading.moves - moves <= 2
