"""A worker frozen at the worst moments: it is replaced within a bound and writes nothing later.

The bound from freeze to the heir's claim: lease and a planning interval until the lease is taken,
two seconds of patience with its open transaction, and at most two more until that is ended.
"""

import signal

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import STATEMENT, Replica, Shard
from tests.support.bounds import scaled
from tests.support.daemon import Worker
from tests.support.proxy import proxy

pytestmark = pytest.mark.faults

BOUND_SECONDS = scaled(60)
"""The stated bound is a few seconds; this is for a machine that has no time for anybody."""


async def replaced_and_harmless(it: Replica, frozen: Worker, before: Shard) -> None:
    """The heir claims while the freeze lasts; the frozen worker wakes to nothing."""
    heir = await it.deployment.start_ready()
    await it.claimed_by_another(heir, 0, before, seconds=BOUND_SECONDS)

    frozen.signal(signal.SIGCONT)

    async def knows() -> bool:
        return bool(
            await frozen.total("replicator_fenced_total")
            + await frozen.total("replicator_leases_lost_total")
        )

    await frozen.until(knows, what="the frozen worker knows that it was replaced")
    log = await it.log()
    log.nothing_unfenced()
    log.written_by_claimants()


@pytest.mark.parametrize("pool_size", [4, pytest.param(1, marks=pytest.mark.wide)])
async def test_frozen_inside_its_transaction_it_is_ended_and_writes_nothing(
    new_replica: NewReplica, pool_size: int
):
    """With a pool of one the claim that waits has all of it."""
    async with new_replica() as it:
        it.deployment.settings["target"]["pool_size"] = pool_size
        worker = await it.deployment.start_ready()
        async with it.stuck_inside(worker) as before:
            worker.signal(signal.SIGSTOP)
            await replaced_and_harmless(it, worker, before)

        await it.equal(*it.deployment.workers)
        (await it.log()).obeys()


@pytest.mark.parametrize(
    ("kind", "pool_size"),
    [
        ("E", 4),
        pytest.param("S", 4, marks=pytest.mark.wide),
        pytest.param("E", 1, marks=pytest.mark.wide),
    ],
)
async def test_frozen_while_sending_it_is_ended_although_no_timer_of_the_server_runs(
    new_replica: NewReplica, migrated_database: str, kind: str, pool_size: int
):
    """Before Sync the statement is executed and its locks are held by an `active` session.

    With a pool of one the claim that waits has all of it.
    """
    async with proxy(migrated_database) as between, new_replica(worker_dsn=between.dsn) as it:
        it.deployment.settings["target"]["pool_size"] = pool_size
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        before = await it.shard(0)
        assert before is not None
        held = between.plan("hold", kind=kind, statement=STATEMENT)
        it.load.write(20)

        async def reached() -> bool:
            return held.met.is_set()

        await worker.until(reached, what="half of the statement is sent")
        worker.signal(signal.SIGSTOP)
        await replaced_and_harmless(it, worker, before)
        held.released.set()

        await it.equal(*it.deployment.workers)
        (await it.log()).obeys()
