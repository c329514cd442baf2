"""What a fleet of workers promises, at a size that every run of the tests affords."""

import asyncio
from datetime import datetime

import pytest

from replicator.core.telemetry_events import LeaseLapsed
from tests.scale.__main__ import Result, run
from tests.scale.fleet import EVEN, LEASE_SECONDS, Fleet
from tests.support.virtual_time import in_virtual_time

LOOK_SECONDS = 5.0
SHARDS, WORKERS = 120, 6


@pytest.fixture(scope="module")
def result() -> Result:
    """Virtual time: the same on every machine."""
    return run(SHARDS, WORKERS, steady_seconds=60.0)


def test_a_fleet_that_starts_reads_every_shard_and_shares_them(result: Result):
    assert result.owned_seconds <= 3 * LOOK_SECONDS
    assert result.balanced_seconds <= 60


def test_one_more_worker_has_its_share_within_a_minute_and_little_else_moves(result: Result):
    assert result.join_seconds <= 60
    assert result.join_moves_per_share <= 1.2


def test_the_shards_of_dead_workers_are_read_again_by_more_than_one(result: Result):
    """Two times the mean is one worker that takes them all; in many runs it is 1.2 to 1.6."""
    assert result.take_over_seconds <= LEASE_SECONDS + 2 * LOOK_SECONDS + 10
    assert result.most_after_take_over < 1.9


def test_a_rolling_deploy_moves_each_shard_about_once_and_leaves_none_unread(result: Result):
    assert result.deploy_moves <= 1.5
    assert result.deploy_unread_seconds <= 10
    assert result.stop_seconds <= 10


def test_the_load_is_shared_evenly_while_shards_end_and_begin(result: Result):
    assert max(result.load_learnt, result.load_at_rest) <= EVEN
    assert result.rest_moves <= 0.1
    assert result.rest_unread_seconds <= 10


def test_what_workers_read_that_are_cut_off_from_dynamodb_is_read_by_others(result: Result):
    assert result.cut_off_seconds <= LEASE_SECONDS + 2 * LOOK_SECONDS + 10


def test_no_two_workers_read_one_shard_for_a_moment(result: Result):
    """Through the start, one more, some cut off and back, one slow, a third killed, a deploy."""
    assert result.overlaps == 0


def test_a_slow_worker_keeps_what_it_has(result: Result):
    assert result.slow_moves <= 0.1


def test_a_stream_is_listed_by_one_worker_for_all(result: Result):
    """Every half minute, by whichever worker: not once for each of them."""
    assert result.steady.calls["streams DescribeStream"] <= 2 * 3
    assert result.steady.calls["streams throttled"] == 0


@in_virtual_time
async def test_what_is_given_back_is_read_soon_although_a_worker_cannot_take_it():
    """A worker that lives and cannot reach the lease table has the least, so that all is its."""
    fleet = Fleet(SHARDS)
    names = [fleet.start() for _ in range(4)]
    await fleet.seconds_until(lambda: fleet.balanced, at_most=120)
    fleet.processes[names[0]].cut_off.add("leases")
    await asyncio.sleep(LEASE_SECONDS)
    await fleet.seconds_until(lambda: fleet.all_read, at_most=120)

    await fleet.stop(names[1])

    assert await fleet.seconds_until(lambda: fleet.all_read, at_most=120) <= 2 * LOOK_SECONDS


@in_virtual_time
async def test_who_lists_dies_and_another_lists_instead():
    fleet = Fleet(500)
    for _ in range(3):
        fleet.start()
    await fleet.seconds_until(lambda: fleet.all_read, at_most=60)
    await fleet.seconds_until(lambda: lister(fleet) is not None, at_most=120)
    before = fleet.postgres.data.listings["orders"].listed_at

    fleet.kill(str(lister(fleet)))

    seconds = await fleet.seconds_until(lambda: listed_since(fleet, before), at_most=200)
    assert seconds <= 90


def lister(fleet: Fleet) -> str | None:
    return fleet.postgres.data.listings["orders"].by


def listed_since(fleet: Fleet, before: datetime | None) -> bool:
    at = fleet.postgres.data.listings["orders"].listed_at
    return at is not None and at != before


@in_virtual_time
async def test_one_worker_takes_keeps_and_gives_back_a_thousand_shards():
    """One lease after another, a server at 15 ms: 30 s to begin, 15 to end, some lost for ever."""
    fleet = Fleet(1_000)
    name = fleet.start()

    begun = await fleet.seconds_until(lambda: len(fleet.reading.readers) >= 100, at_most=60)
    owned = await fleet.seconds_until(lambda: fleet.all_read, at_most=60)
    await asyncio.sleep(2 * LEASE_SECONDS)

    assert begun <= LOOK_SECONDS
    assert owned <= LOOK_SECONDS
    assert fleet.observed[LeaseLapsed] == 0
    assert fleet.reading.moves == 1_000
    assert await fleet.stop(name) <= 2
    assert {row.owner for row in fleet.leases.rows.values()} == {None}
