"""The long proofs: many kills, many freezes, many shards; and how long a takeover took."""

import asyncio
import os
from collections.abc import Sequence
from random import Random

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.faults.takeovers import Death, death, report
from tests.faults.test_lineage import obeys
from tests.support.bounds import lease, scaled
from tests.support.daemon import Worker, brought_about

pytestmark = [pytest.mark.faults, pytest.mark.long, pytest.mark.crowd]

LEASE_SECONDS = lease(1.0)
KILLS = int(os.environ.get("REPLICATOR_TEST_KILLS", "100"))
FREEZES = int(os.environ.get("REPLICATOR_TEST_FREEZES", "20"))


async def taken_over(it: Replica, victim: str, heirs: Sequence[Worker]) -> None:
    """Wait until nothing is owned by the victim."""

    async def gone() -> bool:
        return victim not in {
            shard.owner for shard in (await it.shards()).values() if shard.state == "active"
        }

    what = "everything of the victim is taken over"
    await brought_about(gone, what=what, by=heirs)


async def worker_id(worker: Worker) -> str:
    await worker.url()
    return str(worker.entries("started")[0]["worker"])


async def all_have_work(it: Replica, workers: Sequence[Worker]) -> None:
    names = {await worker_id(worker) for worker in workers}

    async def own() -> bool:
        return names <= {shard.owner for shard in (await it.shards()).values()}

    what = "every worker owns a shard"
    await brought_about(own, what=what, by=workers)


def started(workers: Sequence[Worker], *, but: Worker | None = None) -> list[str]:
    """The ids of those that have got so far as to say them."""
    return [
        entry["worker"]
        for worker in workers
        if worker is not but
        for entry in worker.entries("started")
    ]


async def test_a_hundred_kills_among_three_workers_under_load(new_replica: NewReplica):
    chance = Random(100)
    async with new_replica(shards=6, lease_seconds=LEASE_SECONDS) as it:
        workers = [await it.deployment.start_ready() for _ in range(3)]
        deaths: list[Death] = []
        async with it.load.going_on(a_second=150):
            for number in range(KILLS):
                if number % 2:  # in between, kills come faster than processes start
                    await all_have_work(it, workers)
                victim = workers.pop(chance.randrange(3))
                name = await worker_id(victim)
                await it.load.grows(chance.uniform(0, 75))
                victim.kill()
                left = await death(it, name, started(workers))
                workers.append(it.deployment.start())
                await taken_over(it, name, workers)
                deaths += [] if left is None else [left]
                if number % 5 == 0:
                    it.table.roll_over(chance.choice(it.table.open_shards()))
        await it.equal(*workers)
        await report(it, "kill -9", deaths)
        for worker in workers:  # a process that is only starting ends as the signal says
            await worker.url()
        assert [await worker.stop() for worker in workers] == [0, 0, 0]
        await obeys(it)
        assert it.load.written > 5_000


async def test_twenty_freezes_longer_than_the_lease_write_nothing(new_replica: NewReplica):
    chance = Random(20)
    async with new_replica(shards=6, lease_seconds=LEASE_SECONDS) as it:
        workers = [await it.deployment.start_ready() for _ in range(3)]
        deaths: list[Death] = []
        async with it.load.going_on(a_second=150):
            for _ in range(FREEZES):
                victim = chance.choice(workers)
                name = await worker_id(victim)
                await it.load.grows(chance.uniform(0, 150))
                with victim.frozen():
                    left = await death(it, name, started(workers, but=victim))
                    await taken_over(it, name, workers)
                    deaths += [] if left is None else [left]
                    claimed = (await it.log()).shards[-1].id
                    await it.load.grows(chance.uniform(0, 150))

                async def back(name: str = name) -> bool:
                    return name in {shard.owner for shard in (await it.shards()).values()}

                await victim.until(back, what="the frozen worker has work again")
                log = await it.log()
                epochs = {(c.shard, c.epoch) for c in log.shards if c.id <= claimed}
                late = [
                    c
                    for c in log.shards
                    if c.id > claimed
                    and c.moved
                    and name in c.session
                    and (c.shard, c.epoch) in epochs
                ]
                assert late == []
        await it.equal(*workers)
        await report(it, "SIGSTOP", deaths)
        assert [await worker.stop() for worker in workers] == [0, 0, 0]
        await obeys(it)


async def test_sigterm_under_load_ends_in_ten_seconds_and_the_next_starts_at_once(
    new_replica: NewReplica,
):
    lease_seconds = lease(60)  # nobody waits for one to expire
    async with new_replica(shards=6, lease_seconds=lease_seconds) as it:
        worker = await it.deployment.start_ready()
        async with it.load.going_on(a_second=1000):
            await it.applied(worker, "key-000001")

            assert await worker.stop(seconds=scaled(10)) == 0

            heir = it.deployment.start()
            it.load.put("for the heir")
            await it.applied(heir, "for the heir", seconds=lease_seconds / 2)
        await it.equal(heir)
        assert await heir.stop(seconds=scaled(10)) == 0
        await obeys(it)


async def test_two_hundred_shards_over_four_generations(new_replica: NewReplica):
    changes, generations = 200_000, 4
    async with new_replica(shards=14, lease_seconds=lease(5.0)) as it:
        it.deployment.settings["poll"]["idle_seconds_max"] = 2.0
        workers = [await it.deployment.start_ready() for _ in range(3)]
        for generation in range(generations):
            for _ in range(100):
                it.load.write(changes // generations // 100)
                await asyncio.sleep(0)  # the server answers in between
            if generation < generations - 1:
                for shard in it.table.open_shards():
                    it.table.split(shard)
        await it.equal(*workers, seconds=scaled(1200))

        assert len(it.table.shard_ids()) >= 200
        assert len(await it.shards()) == len(it.table.shard_ids())
        assert [await worker.stop() for worker in workers] == [0, 0, 0]
        await obeys(it)
