"""kill -9 at the points that matter: the heir ends equal, and nothing is applied twice."""

import pytest

from replicator.core.leases.lease_plan import SHARD_END
from tests.faults.conftest import NewReplica
from tests.faults.replica import FINISHING, STATEMENT, Replica
from tests.support.daemon import Worker
from tests.support.proxy import proxy

pytestmark = pytest.mark.faults


async def heir_finishes(it: Replica, heir: Worker, *, more: str = "afterwards") -> None:
    it.load.put(more)
    await it.equal(heir)
    assert await heir.stop() == 0
    (await it.log()).obeys()


async def test_before_the_statement_is_sent_the_heir_reads_the_batch_again(
    new_replica: NewReplica, migrated_database: str
):
    async with proxy(migrated_database) as between, new_replica(worker_dsn=between.dsn) as it:
        worker = await it.deployment.start_ready()
        held = between.plan("hold", kind="B", statement=STATEMENT, times=9)  # and what tries again
        it.load.write(50)
        await worker.until(_event(held), what="the batch is about to be sent")
        assert await it.rows() == {}

        worker.kill()
        between.heal()

        await heir_finishes(it, it.deployment.start())


async def test_inside_the_statement_its_session_is_ended_and_nothing_of_it_stays(
    new_replica: NewReplica,
):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        async with it.stuck_inside(worker) as before:
            worker.kill()
            heir = it.deployment.start()

            await it.claimed_by_another(heir, 0, before)
            assert [row.key for row in (await it.log()).rows] == ["before"]
        await heir_finishes(it, heir)


async def test_after_the_commit_and_before_the_checkpoint_nothing_is_applied_again(
    new_replica: NewReplica,
):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("first")
        await it.equal(worker)
        it.load.write(50)
        it.streams.hold("UpdateItem", table=it.lease_table, containing=last_number(it), times=None)
        await it.equal(worker)
        committed = await it.log()

        worker.kill()
        it.streams.heal("UpdateItem")  # what was on its way arrives late
        heir = it.deployment.start()
        before = await it.shard(0)
        assert before is not None
        await it.claimed_by_another(heir, 0, before)

        await heir_finishes(it, heir)
        again = [row for row in (await it.log()).rows if row.id > committed.rows[-1].id]
        assert [row.key for row in again] == ["afterwards"]


END_STEPS = ["children", "done", pytest.param("shard end", marks=pytest.mark.wide)]


@pytest.mark.parametrize("step", END_STEPS)
async def test_at_a_step_of_a_shards_end_no_child_is_orphaned_or_early(
    new_replica: NewReplica, migrated_database: str, step: str
):
    async with proxy(migrated_database) as between, new_replica(worker_dsn=between.dsn) as it:
        worker = await it.deployment.start_ready()
        it.load.write(30)
        await it.equal(worker)
        done = (
            between.plan("hold", kind="B", statement=FINISHING, times=9)
            if step == "done"
            else (None)
        )
        if step == "children":
            it.streams.hold("DescribeStream", times=None)
        if step == "shard end":
            it.streams.hold("UpdateItem", table=it.lease_table, containing=SHARD_END, times=None)
        it.load.write(30)
        left, right = it.table.split(0)
        it.load.write(30)

        async def reached() -> bool:
            shards = await it.shards()
            parent = shards[it.table.shard_id(0)]
            match step:
                case "children":
                    return len(shards) == 1 and parent.position == last and parent.state == "active"
                case "done":
                    assert done is not None
                    return done.met.is_set() and len(shards) == 3
                case _:
                    return parent.state == "done"

        last = int(last_number(it))
        await worker.until(reached, what=f"the end of the shard is at {step}")
        worker.kill()
        between.heal()
        it.streams.heal()

        await heir_finishes(it, it.deployment.start())
        states = {number: await it.shard(number) for number in (0, left, right)}
        assert [shard.state for shard in states.values() if shard] == ["done", "active", "active"]


def last_number(it: Replica) -> str:
    """The position behind the first shard's last record, as it is in its checkpoint."""
    number: str = it.table.records(0)[-1]["dynamodb"]["SequenceNumber"]
    return number


def _event(rule):
    async def met() -> bool:
        return rule.met.is_set()

    return met
