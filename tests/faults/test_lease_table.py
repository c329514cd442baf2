"""The lease table decides who works, never what is written: it may fail, vanish or lie."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.support import endpoints
from tests.support.bounds import USUAL_SECONDS, lease
from tests.support.daemon import Worker, plain_start

pytestmark = pytest.mark.faults

THROTTLED = "ProvisionedThroughputExceededException"
SKEWED = """
import datetime
import replicator.clock

_now = replicator.clock.SystemClock.now
replicator.clock.SystemClock.now = lambda self: _now(self) + datetime.timedelta(minutes={minutes})
"""


async def lease_rows(it: Replica, lease_endpoint: str) -> list[dict[str, Any]]:
    async with endpoints.dynamodb_client(lease_endpoint) as client:
        answer = await client.scan(TableName=it.lease_table, ConsistentRead=True)
    return list(answer["Items"])


async def each_has_one(it: Replica, workers: list[Worker]) -> None:
    """Both shards are shared by two workers, and no hand-over is under way."""

    async def shared() -> bool:
        owners = {shard.owner for shard in (await it.shards()).values()}
        return None not in owners and len(owners) == 2

    await workers[0].until(shared, what="each has a shard")


async def writes_more(it: Replica, *workers: Worker, seconds: float = USUAL_SECONDS) -> None:
    """A change written now arrives."""
    it.load.write(10)
    await it.equal(*workers, seconds=seconds)


async def test_throttled_for_many_leases_it_stops_writing_and_then_goes_on(
    new_replica: NewReplica,
):
    async with new_replica(shards=2) as it:
        workers = [await it.deployment.start_ready(), await it.deployment.start_ready()]
        await writes_more(it, *workers)
        await each_has_one(it, workers)  # one that is given back just then is not lost
        it.streams.fail("*", THROTTLED, table=it.lease_table, times=None)

        async def lost() -> bool:
            totals = [await worker.total("replicator_leases_lost_total") for worker in workers]
            return sum(totals) >= 2

        await workers[0].until(lost, what="both leases are believed lost")
        it.load.write(50)
        await it.looks(workers[0], 12)  # nobody may work meanwhile
        assert all(worker.code is None for worker in workers)
        it.streams.heal()

        await it.equal(*workers)
        assert [await worker.stop() for worker in workers] == [0, 0]
        (await it.log()).obeys()


async def test_a_lease_table_deleted_while_running_is_made_again_from_positions_in_postgresql(
    new_replica: NewReplica, lease_endpoint: str
):
    async with new_replica(shards=2) as it:
        worker = await it.deployment.start_ready()
        await writes_more(it, worker)
        async with endpoints.dynamodb_client(lease_endpoint) as client:
            await client.delete_table(TableName=it.lease_table)
        it.load.write(50)

        await it.equal(worker)

        async def rows_again() -> bool:
            try:
                return len(await lease_rows(it, lease_endpoint)) == 2
            except ClientError:  # it is not there yet
                return False

        await worker.until(rows_again, what="the lease table is there again")
        await writes_more(it, worker)
        assert await worker.stop() == 0
        (await it.log()).obeys()


async def test_a_lease_row_that_is_deleted_or_not_understood_stops_nothing(
    new_replica: NewReplica, lease_endpoint: str
):
    async with new_replica(shards=2) as it:
        worker = await it.deployment.start_ready()
        await writes_more(it, worker)
        async with endpoints.dynamodb_client(lease_endpoint) as client:
            for row in await lease_rows(it, lease_endpoint):
                await client.delete_item(
                    TableName=it.lease_table, Key={"leaseKey": row["leaseKey"]}
                )
            foreign = f"{it.deployment.settings['deployment']}:nonsense"
            await client.put_item(
                TableName=it.lease_table,
                Item={"leaseKey": {"S": foreign}, "leaseCounter": {"S": "many"}},
            )

        await writes_more(it, worker)

        async def rows_again() -> bool:
            return len(await lease_rows(it, lease_endpoint)) == 3

        await worker.until(rows_again, what="the leases are there again")
        await writes_more(it, worker)
        assert await worker.stop() == 0
        (await it.log()).obeys()


@pytest.mark.wide
async def test_clocks_twenty_minutes_apart_change_neither_expiry_nor_rows(
    new_replica: NewReplica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # whoever counts moves must not lose leases to a machine that has no time to renew them
    async with new_replica(shards=2, lease_seconds=lease(4.0)) as it:
        it.deployment.launch = plain_start
        workers = []
        for minutes in (-10, 10):
            place = tmp_path / f"clock{minutes}"
            place.mkdir()
            (place / "sitecustomize.py").write_text(SKEWED.format(minutes=minutes))
            monkeypatch.setenv("PYTHONPATH", str(place))
            workers.append(await it.deployment.start_ready())
        await writes_more(it, *workers)

        await each_has_one(it, workers)
        epochs = {name: shard.epoch for name, shard in (await it.shards()).items()}
        await writes_more(it, *workers)
        await it.looks(workers[0], 12)  # of two workers: longer than a lease
        assert {name: shard.epoch for name, shard in (await it.shards()).items()} == epochs

        workers[0].kill()
        await writes_more(it, workers[1])
        assert await it.gaps() == []
        assert await workers[1].stop() == 0
        (await it.log()).obeys()


async def test_a_checkpoint_ahead_of_postgresql_is_not_believed(
    new_replica: NewReplica, lease_endpoint: str
):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        await writes_more(it, worker)
        assert await worker.stop() == 0
        [row] = await lease_rows(it, lease_endpoint)
        row["checkpoint"]["S"] = str(int(row["checkpoint"]["S"]) + 10**22).zfill(21)
        async with endpoints.dynamodb_client(lease_endpoint) as client:
            await client.put_item(TableName=it.lease_table, Item=row)
        it.load.write(20)

        heir = it.deployment.start()

        await it.equal(heir)
        assert await heir.stop() == 0
        (await it.log()).obeys()


async def test_a_worker_cut_off_from_the_lease_table_alone_gives_way(new_replica: NewReplica):
    """It reaches PostgreSQL and the stream, but cannot renew: another works, and nobody twice."""
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        await writes_more(it, worker)
        before = await it.shard(0)
        assert before is not None
        with worker.frozen():
            heir = await it.deployment.start_ready()
            await it.claimed_by_another(heir, 0, before)
        async with it.load.going_on():
            await it.looks(heir, 24)  # of both workers: three leases long

        await it.equal(worker, heir)
        owner = await it.shard(0)
        assert owner is not None
        assert [await each.stop() for each in (worker, heir)] == [0, 0]
        (await it.log()).obeys()


async def test_renewals_whose_answers_are_lost_are_seen_at_the_next_one(new_replica: NewReplica):
    """Nothing is forced: a worker that is not sure waits, and what it did counts."""
    async with new_replica(shards=2) as it:
        worker = await it.deployment.start_ready()
        await writes_more(it, worker)
        aim: dict[str, Any] = {"table": it.lease_table, "times": None, "probability": 0.5}
        it.streams.cut("UpdateItem", where="answer", **aim)
        for _ in range(5):
            await writes_more(it, worker)
        it.streams.heal()

        await writes_more(it, worker)
        assert worker.code is None
        assert await worker.stop() == 0
        (await it.log()).obeys()


async def test_another_database_than_before_halts_the_table_and_is_not_written(
    new_replica: NewReplica,
):
    """The leases remember positions that this control schema never had."""
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        await writes_more(it, worker)
        assert await worker.stop() == 0
        await it.execute("drop schema replicator cascade; drop table public.orders")
        await it.deployment.migrate()
        it.load.put("afterwards")

        heir = it.deployment.start()

        async def halted() -> bool:
            return (await heir.table("orders")).get("state") == "halted"

        await heir.until(halted, what="the table is halted")
        reason = (await heir.shown_table("orders"))["reason"]
        assert "not the one that was written before" in reason
        assert await it.rows() == {}
        assert await heir.stop() == 3
