"""Who owns what stays as it is whatever a worker is cut off from, and beside older versions."""

import asyncio

import pytest

from replicator.core.leases.lease_owners import OLDER_SECONDS
from replicator.core.telemetry_events import LeaseLapsed
from tests.scale.fleet import LEASE_SECONDS, Fleet
from tests.scale.servers import (
    HANGING_LEASES,
    LATE_RELEASES,
    LOST_REQUESTS,
    REFUSED_RELEASES,
    REFUSED_TAKES,
    Bill,
)
from tests.support.mappings import mapping, target
from tests.support.virtual_time import in_virtual_time

LOOK_SECONDS = 5.0
SHARDS = 120
TAKEN_OVER_SECONDS = LEASE_SECONDS + 2 * LOOK_SECONDS + 10


async def balanced_fleet(*, older: int = 0, newer: int = 0) -> Fleet:
    fleet = Fleet(SHARDS)
    for number in range(older + newer):
        fleet.start(older=number < older)
    await settles(fleet)
    return fleet


async def settles(fleet: Fleet) -> None:
    """All have their shares, and the last hand-overs are over."""
    await fleet.seconds_until(lambda: fleet.balanced, at_most=120)
    await asyncio.sleep(60)
    assert fleet.balanced


async def rests(fleet: Fleet, seconds: float) -> None:
    """Nothing is lost, nothing moves."""
    moves, lapsed = fleet.reading.moves, fleet.observed[LeaseLapsed]
    await asyncio.sleep(seconds)
    assert (fleet.reading.moves, fleet.observed[LeaseLapsed]) == (moves, lapsed)
    assert fleet.balanced


async def is_replaced(fleet: Fleet, name: str, *, within: float = TAKEN_OVER_SECONDS) -> None:
    """All that it read is read by others, within the bound."""
    seconds = await fleet.seconds_until(
        lambda: fleet.all_read and name not in fleet.reading.readers.values(),
        at_most=2 * within,
    )
    assert seconds <= within


@pytest.mark.wide
@in_virtual_time
async def test_older_and_newer_workers_share_and_take_nothing_from_who_lives():
    fleet = await balanced_fleet(older=3)
    before = fleet.reading.moves
    newer = [fleet.start() for _ in range(3)]
    await settles(fleet)
    assert fleet.reading.moves - before <= 1.2 * SHARDS / 2
    await rests(fleet, 10 * LEASE_SECONDS)

    older = next(name for name in fleet.processes if name not in newer)
    for name in (older, newer[0]):
        fleet.kill(name)
        await is_replaced(fleet, name)
        await settles(fleet)
    await rests(fleet, 10 * LEASE_SECONDS)
    assert fleet.reading.overlaps == 0


@pytest.mark.wide
@in_virtual_time
async def test_an_older_worker_that_joins_newer_ones_steals_nothing():
    """It judges their leases by counters, which they move for it from then on."""
    fleet = await balanced_fleet(newer=3)
    await asyncio.sleep(10 * LEASE_SECONDS)
    lapsed, before = fleet.observed[LeaseLapsed], fleet.reading.moves

    fleet.start(older=True)
    await settles(fleet)

    assert fleet.observed[LeaseLapsed] == lapsed
    assert fleet.reading.moves - before <= 1.2 * SHARDS / 4
    await rests(fleet, 10 * LEASE_SECONDS)
    assert fleet.reading.overlaps == 0


@in_virtual_time
async def test_leases_are_renewed_one_by_one_until_older_workers_are_long_gone():
    fleet = await balanced_fleet(older=1, newer=3)
    await fleet.stop(next(iter(fleet.processes)))
    await settles(fleet)
    await asyncio.sleep(OLDER_SECONDS + LEASE_SECONDS)
    fleet.servers.bill = bill = Bill()

    await asyncio.sleep(100)

    assert bill.calls["leases renew"] + bill.calls["leases save"] <= 3 * 1.1 * 100
    assert bill.calls["leases all"] == bill.calls["leases some"] == 0


@in_virtual_time
async def test_an_owner_whose_heartbeat_stands_while_it_works_keeps_what_it_has():
    fleet = await balanced_fleet(newer=4)
    name, process = next(iter(fleet.processes.items()))

    process.cut_off.add("seen")

    await rests(fleet, 10 * LEASE_SECONDS)
    assert name in fleet.reading.readers.values()
    fleet.kill(name)
    await is_replaced(fleet, name)


@pytest.mark.parametrize("server", ["leases", "postgres"])
@in_virtual_time
async def test_a_worker_that_is_cut_off_gives_way_or_keeps_reading_and_never_beside_another(
    server: str,
):
    """Without the lease table it stops by itself, before others may begin; PostgreSQL fences."""
    fleet = await balanced_fleet(newer=4)
    name, process = next(iter(fleet.processes.items()))

    process.cut_off.add(server)

    if server == "leases":
        await is_replaced(fleet, name)
        assert fleet.reading.overlaps == 0
        process.cut_off.clear()
        await settles(fleet)
    await rests(fleet, 5 * LEASE_SECONDS)


@pytest.mark.parametrize("phase", [0.0, 1.1, 2.2, 3.3, 4.4])
@pytest.mark.parametrize("server", ["leases", HANGING_LEASES])
@in_virtual_time
async def test_who_does_not_reach_the_lease_table_stops_at_the_latest_when_others_may_begin(
    server: str, phase: float
):
    """At whatever moment between two beats and two writes, whether its calls fail or hang; while
    they hang it beats for half the time of a lease.
    """
    fleet = Fleet(30)
    names = [fleet.start() for _ in range(3)]
    await fleet.seconds_until(lambda: fleet.balanced, at_most=120)
    await asyncio.sleep(10 + phase)

    fleet.processes[names[0]].cut_off.add(server)

    seconds = await fleet.seconds_until(
        lambda: fleet.all_read and names[0] not in fleet.reading.readers.values(), at_most=120
    )
    assert seconds <= TAKEN_OVER_SECONDS + LEASE_SECONDS / 2
    assert fleet.reading.overlaps == 0


@in_virtual_time
async def test_postgresql_that_is_away_for_all_moves_nothing_when_it_is_back():
    """Nobody could beat and nobody could look: that time says nothing."""
    fleet = await balanced_fleet(newer=4)
    for process in fleet.processes.values():
        process.cut_off.add("seen")
    await asyncio.sleep(LOOK_SECONDS + 1)  # each has heard the last beat
    for process in fleet.processes.values():
        process.cut_off.add("postgres")
    await asyncio.sleep(10 * LEASE_SECONDS)
    for process in fleet.processes.values():
        process.cut_off.remove("postgres")
    await asyncio.sleep(LOOK_SECONDS + 3)  # some look before the others are heard
    for process in fleet.processes.values():
        process.cut_off.clear()

    await rests(fleet, 5 * LEASE_SECONDS)


@pytest.mark.parametrize("seed", range(4))
@in_virtual_time
async def test_workers_that_come_back_take_nothing_from_each_other(seed: int):
    """Each takes leases at once, and was last heard of for longer than a lease ago."""
    fleet = Fleet(80, seed=seed)
    names = [fleet.start() for _ in range(8)]
    await settles(fleet)
    back = names[:4]
    for name in back:
        fleet.processes[name].cut_off.add("leases")
    await fleet.seconds_until(lambda: not {*back} & {*fleet.reading.readers.values()}, at_most=60)
    await asyncio.sleep(LEASE_SECONDS)
    lapsed = fleet.observed[LeaseLapsed]
    for name in back:
        fleet.processes[name].cut_off.clear()

    await settles(fleet)

    assert fleet.observed[LeaseLapsed] == lapsed
    assert fleet.reading.overlaps == 0


@in_virtual_time
async def test_who_gives_a_lease_back_does_not_take_it_before_that_is_written():
    """The call that gives it back may be under way for longer than two looks are apart."""
    fleet = await balanced_fleet(newer=2)
    for process in fleet.processes.values():
        process.cut_off.add(LATE_RELEASES)
    lapsed = fleet.observed[LeaseLapsed]

    fleet.start()
    await settles(fleet)

    assert fleet.observed[LeaseLapsed] == lapsed
    assert fleet.reading.overlaps == 0


@pytest.mark.parametrize("lost", ["asked", LOST_REQUESTS])
@in_virtual_time
async def test_a_worker_whose_first_requests_no_owner_hears_has_its_share_all_the_same(lost: str):
    """The leases say who asks, and all shards are busy: no lease is written but with a position."""
    fleet = await balanced_fleet(newer=3)
    moving = asyncio.create_task(fleet.move_positions(busy=1.0))
    newest = fleet.processes[fleet.start()]
    newest.cut_off.add(lost)
    await asyncio.sleep(12)
    newest.cut_off.clear()

    await settles(fleet)

    moving.cancel()
    assert not any(row.wanted_by for row in fleet.leases.rows.values())


@in_virtual_time
async def test_workers_begin_and_take_over_although_half_of_that_is_refused():
    """Each look takes what is not refused, and not only what comes before the first refusal.

    Of twelve seeds the slowest reads all after 57 s and has taken over after 38; where a look ends
    with its first refusal, the fastest of five needs 103 and 50.
    """
    fleet = Fleet(SHARDS)
    names = [fleet.start() for _ in range(3)]
    for process in fleet.processes.values():
        process.cut_off.add(REFUSED_TAKES)

    assert await fleet.seconds_until(lambda: fleet.all_read, at_most=600) <= 80
    fleet.kill(names[0])
    await is_replaced(fleet, names[0], within=TAKEN_OVER_SECONDS + LOOK_SECONDS)


@in_virtual_time
async def test_what_a_worker_cannot_give_back_and_may_not_read_is_given_back_later():
    """Its heartbeat vouches for it, and nobody else may take it."""
    fleet = await balanced_fleet(newer=3)
    process = next(iter(fleet.processes.values()))
    process.cut_off.add(REFUSED_RELEASES)
    table = process.worker.tables["orders"]
    table.mapping = mapping(target("public.older"))  # another one is registered
    await asyncio.sleep(2 * LOOK_SECONDS)

    process.cut_off.clear()

    assert await fleet.seconds_until(lambda: fleet.all_read, at_most=600) <= TAKEN_OVER_SECONDS
