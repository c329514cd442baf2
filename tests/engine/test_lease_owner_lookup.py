"""One worker's looks at the owner of a lease, of which those during an outage tell nothing."""

import asyncio

import pytest

from replicator.core.leases.lease_plan import TRIM_HORIZON, Lease, plan_leases
from replicator.engine.worker.lease_keeper import LeaseKeeper
from replicator.engine.worker.lease_owner_lookup import LeaseOwnerLookup
from replicator.errors import SinkUnavailable
from tests.support.builders import STREAM, shard_name
from tests.support.fake_leases import FakeLeases, LeaseTable
from tests.support.fake_postgres import FakePostgres
from tests.support.fakes import FakeHeartbeats
from tests.support.faults import FailBefore, Wire, at_once
from tests.support.virtual_time import in_virtual_time, running_clock

LEASE_SECONDS = 20.0
LOOK_SECONDS = 5.0
LOOKS_AWAY = 40


class Observer:
    """A worker that looks at one shard, which another worker has claimed and leased."""

    def __init__(self) -> None:
        clock, table, server = running_clock(), LeaseTable(), FakePostgres(running_clock())
        leases = FakeLeases(table, at_once, "observer")
        self.key = leases.key(STREAM, shard_name(0))
        table.rows[self.key] = Lease(self.key, "owner", 1, TRIM_HORIZON)
        self.wire = Wire()
        """The way of the looks to PostgreSQL."""
        self._heartbeats = FakeHeartbeats(server, at_once)
        self._beat = 0
        self._ownership = LeaseOwnerLookup(
            leases,
            FakeHeartbeats(server, self.wire),
            LeaseKeeper(leases, lambda _: None, clock, lease_seconds=LEASE_SECONDS),
            clock,
            worker_id="observer",
            lease_seconds=LEASE_SECONDS,
            plan_seconds=LOOK_SECONDS,
        )

    async def owner_beats(self) -> None:
        self._beat += 1
        await self._heartbeats.seen("owner", version="1", leases=1, beat=self._beat)

    async def would_take(self) -> bool:
        """Look, and plan: True when the worker would take the owner's lease."""
        view = await self._ownership.look({self.key: "owner"})
        plan = plan_leases(
            view.seen,
            view.sightings,
            wanted={self.key},
            held=(),
            worker_id="observer",
            workers=view.living,
            now=view.at,
            lease_seconds=LEASE_SECONDS,
            plan_seconds=LOOK_SECONDS,
            believed=view.believed,
            settled=view.settled,
            asked=view.asked,
        )
        return plan.take != ()


async def observer_of_a_beating_owner() -> Observer:
    observer = Observer()
    for _ in range(3):
        await observer.owner_beats()
        assert not await observer.would_take()
        await asyncio.sleep(LOOK_SECONDS)
    return observer


@in_virtual_time
async def test_an_outage_of_postgresql_takes_no_lease_of_an_owner_that_is_heard_late():
    observer = await observer_of_a_beating_owner()
    away = FailBefore(SinkUnavailable("PostgreSQL is away"))
    observer.wire.strike("workers", away, times=LOOKS_AWAY)
    for _ in range(LOOKS_AWAY):
        with pytest.raises(SinkUnavailable):
            await observer.would_take()
        await asyncio.sleep(LOOK_SECONDS)

    for _ in range(2):  # the owner has not reached PostgreSQL again yet
        assert not await observer.would_take()
        await asyncio.sleep(LOOK_SECONDS)
    await observer.owner_beats()

    assert not await observer.would_take()


@in_virtual_time
async def test_an_owner_whose_beat_stands_while_the_looks_succeed_loses_its_lease():
    observer = await observer_of_a_beating_owner()
    looks = 0

    while not await observer.would_take():
        looks += 1
        await asyncio.sleep(LOOK_SECONDS)

    assert LEASE_SECONDS < (looks + 1) * LOOK_SECONDS <= LEASE_SECONDS + 2 * LOOK_SECONDS
