"""Workers come and go: a fair share each, few moves, and what nobody owns is seen by all."""

from collections import Counter

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.support import endpoints
from tests.support.bounds import kept_lease
from tests.support.daemon import Worker
from tests.support.stream_builders import item

pytestmark = [pytest.mark.faults, pytest.mark.crowd]

LEASE_SECONDS = kept_lease(4.0)
"""Whoever counts moves must not lose leases to a machine that has no time to renew them."""


async def owned(it: Replica) -> Counter[str | None]:
    return Counter(shard.owner for shard in (await it.shards()).values() if shard.state != "done")


async def balanced(it: Replica, workers: int, *, shards: int, show: Worker) -> None:
    """Wait for it, and until nobody asks any more: who was asked before hands one over still."""

    async def fair() -> bool:
        counts = await owned(it)
        return (
            counts.total() == shards
            and None not in counts
            and len(counts) == workers
            and max(counts.values()) - min(counts.values()) <= 1
            and not await asked(it)
        )

    await show.until(fair, what=f"{shards} shards are shared by {workers}")


async def asked(it: Replica) -> bool:
    """Whether a lease is wanted by another worker than its owner."""
    async with endpoints.dynamodb_client(it.lease_endpoint) as client:
        rows = (await client.scan(TableName=it.lease_table))["Items"]
    return any("wantedBy" in row for row in rows)


async def claims(it: Replica) -> int:
    return sum(shard.epoch for shard in (await it.shards()).values())


async def stays(it: Replica) -> None:
    """Nothing moves for several planning intervals."""
    before = await claims(it)
    await it.looks(it.deployment.workers[0], 12)  # of up to three workers: four each
    assert await claims(it) == before


async def test_a_second_worker_gets_half_and_gives_it_back(new_replica: NewReplica):
    async with new_replica(shards=6, lease_seconds=LEASE_SECONDS) as it:
        first = await it.deployment.start_ready()
        await balanced(it, 1, shards=6, show=first)
        before = await claims(it)
        second = await it.deployment.start_ready()
        await balanced(it, 2, shards=6, show=second)

        await stays(it)
        assert await claims(it) - before <= 3 + 1
        it.load.write(60)
        await it.equal(first, second)
        assert await second.stop() == 0
        await balanced(it, 1, shards=6, show=first)
        assert await first.stop() == 0
        (await it.log()).obeys()


@pytest.mark.long
async def test_one_two_five_and_one_again_share_fairly_without_ping_pong(new_replica: NewReplica):
    async with new_replica(shards=12, lease_seconds=LEASE_SECONDS) as it:
        workers = [await it.deployment.start_ready()]
        async with it.load.going_on(a_second=50):
            await balanced(it, 1, shards=12, show=workers[0])
            for count, moves in ((2, 6), (5, 7)):
                before = await claims(it)
                while len(workers) < count:
                    workers.append(it.deployment.start())
                await balanced(it, count, shards=12, show=workers[0])
                await stays(it)
                assert await claims(it) - before <= 2 * moves
            before = await claims(it)
            assert [await worker.stop() for worker in workers[1:]] == [0] * 4
            await balanced(it, 1, shards=12, show=workers[0])
            assert await claims(it) - before <= 2 * 10
        await it.equal(workers[0])
        assert await workers[0].stop() == 0
        (await it.log()).obeys()


@pytest.mark.wide
async def test_finished_shards_are_cleaned_after_two_days_and_never_read_again(
    new_replica: NewReplica, lease_endpoint: str
):
    async def leased() -> set[str]:
        async with endpoints.dynamodb_client(lease_endpoint) as client:
            leases = (await client.scan(TableName=it.lease_table))["Items"]
        return {row["leaseKey"]["S"].rpartition(":")[2] for row in leases}

    async with new_replica() as it:
        parent = it.table.shard_id(0)
        it.load.write(20)
        child = it.table.shard_id(it.table.roll_over(0))
        it.load.write(20)
        assert (await it.deployment.run_until_caught_up()).code == 0
        await it.execute("update replicator.shard set done_at = done_at - interval '49 hours'")

        it.load.put("still listed")
        assert (await it.deployment.run_until_caught_up()).code == 0
        assert set(await it.shards()) == {parent, child}
        assert await leased() == {child}

        it.table.forget(0)
        it.load.put("listed no more")
        assert (await it.deployment.run_until_caught_up()).code == 0
        assert set(await it.shards()) == await leased() == {child}

        it.load.put("once more")
        assert (await it.deployment.run_until_caught_up()).code == 0
        assert set(await it.shards()) == {child}
        await it.equal()
        (await it.log()).nothing_twice()


async def test_shards_that_nobody_owns_are_seen_by_every_worker(new_replica: NewReplica):
    async with new_replica(shards=4) as it:
        first = await it.deployment.start_ready()
        it.load.write(40)
        await it.equal(first)
        assert await first.stop() == 0
        it.streams.fail("UpdateItem", table=it.lease_table, times=None)
        for number in range(40):
            it.table.put(item(f"unread {number}", n=1000 + number, payload=""))
        workers = [await it.deployment.start_ready(), await it.deployment.start_ready()]

        for worker in workers:

            async def seen(worker: Worker = worker) -> bool:
                table = await worker.shown_table("orders")
                return table["shards"]["unowned"] == 4 and table["lag_seconds"] > 1

            await worker.until(seen, what="four shards are unowned, and late")
            assert await worker.counted("replicator_shards", table="orders", state="unowned") == 4
        it.streams.heal()
        await it.equal(*workers)
