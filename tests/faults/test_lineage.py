"""Shards divide and end under load, and listings err: parents before children all the same."""

from random import Random
from typing import Any

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.support.bounds import kept_lease
from tests.support.stream_builders import item

pytestmark = pytest.mark.faults


def parents_of(it: Replica) -> dict[str, str]:
    """What the scripted server knows, whatever it lists."""
    return {
        shard.shard_id: shard.parent.shard_id
        for shard in it.table.stream.shards.values()
        if shard.parent is not None
    }


async def obeys(it: Replica) -> None:
    log = await it.log()
    log.obeys()
    log.parents_first(parents_of(it))


async def test_two_workers_keep_the_order_while_shards_split_and_roll_over(
    new_replica: NewReplica,
):
    chance = Random(1)
    async with new_replica(shards=2) as it:
        workers = [await it.deployment.start_ready(), await it.deployment.start_ready()]
        async with it.load.going_on():
            for _ in range(12):
                await it.load.grows(60)
                shard = chance.choice(it.table.open_shards())
                if len(it.table.open_shards()) < 4 and chance.random() < 0.5:
                    it.table.split(shard)
                else:
                    it.table.roll_over(shard)
        await it.equal(*workers)

        done = [shard for shard in (await it.shards()).values() if shard.state == "done"]
        assert len(done) >= 10
        assert [await worker.stop() for worker in workers] == [0, 0]
        await obeys(it)


async def test_three_generations_that_passed_while_nobody_ran_are_read_in_order(
    new_replica: NewReplica,
):
    async with new_replica(shards=1) as it:
        worker = await it.deployment.start_ready()
        it.load.write(30)
        await it.equal(worker)
        assert await worker.stop() == 0
        it.load.write(60)
        for _ in range(3):
            for shard in it.table.open_shards():
                it.table.split(shard)
            it.load.write(60)

        heir = it.deployment.start()

        await it.equal(heir)
        assert await heir.stop() == 0
        await obeys(it)


async def test_a_child_that_is_listed_before_its_parent_ends_waits(new_replica: NewReplica):
    async with new_replica() as it:
        children = it.table.split(0, close=False)
        it.load.put("a")
        for number in range(3):
            it.table.put(item(f"early {number}", n=number + 1, payload=""), shard=children[0])
        worker = it.deployment.start()
        await it.applied(worker, "a")
        assert {key for (key,) in await it.rows()} == {"a"}

        it.load.put("last of the parent")
        it.table.close(0)
        it.load.write(30)

        await it.equal(worker)
        await obeys(it)


@pytest.mark.parametrize("children", ["nothing", "everything", "itself"])
async def test_children_are_found_whatever_is_answered_to_the_question_for_them(
    new_replica: NewReplica, children: Any
):
    async with new_replica() as it:
        it.table.listing(children=children)
        worker = await it.deployment.start_ready()
        it.load.write(20)
        it.table.split(0)
        it.load.write(40)

        await it.equal(worker)
        await obeys(it)


async def test_a_parent_that_is_listed_open_is_read_to_its_end(new_replica: NewReplica):
    async with new_replica() as it:
        it.load.write(30)
        it.table.split(0)
        it.table.listing(shown_open=[0])
        it.load.write(30)
        worker = it.deployment.start()

        await it.equal(worker)
        await obeys(it)


async def test_a_parent_that_only_its_child_names_is_read_before_it(new_replica: NewReplica):
    async with new_replica(shards={0: 1}) as it:
        it.table.listing(unlisted=[0])
        for key in "abc":
            it.load.put(key, shard=0)
        it.load.put("a")
        worker = it.deployment.start()

        await it.equal(worker)
        assert worker.code is None
        await obeys(it)
        assert [row.new for row in (await it.log()).rows if row.key == "a"] == [1, 4]


@pytest.mark.parametrize("answer", ["vanish", "not_found", "trimmed"])
async def test_a_parent_that_was_trimmed_before_we_came_is_not_owed(
    new_replica: NewReplica, answer: str
):
    async with new_replica(shards={0: 1}) as it:
        it.load.put("a", shard=0)
        it.table.listing(unlisted=[0])
        it.table.forget(0, answer)
        it.load.put("a")
        it.load.put("b")
        worker = it.deployment.start()

        await it.equal(worker)
        assert await it.gaps() == []
        assert await worker.stop() == 0


@pytest.mark.parametrize("page", ["records", "empty page"])
async def test_the_last_page_is_applied_however_the_shard_ends(new_replica: NewReplica, page: Any):
    async with new_replica() as it:
        it.table.end_with(0, page)
        it.load.write(20)
        it.table.roll_over(0)
        it.load.write(20)
        worker = it.deployment.start()

        await it.equal(worker)
        await obeys(it)


@pytest.mark.long
async def test_more_shards_than_a_page_lists_are_all_found_although_page_two_fails_at_first(
    new_replica: NewReplica,
):
    async with new_replica(shards=130) as it:
        it.deployment.settings["poll"]["idle_seconds_max"] = 3.0
        it.deployment.settings["coordination"]["lease_seconds"] = kept_lease(5.0)
        it.table.listing(tail=True)
        it.streams.fail("DescribeStream", continued=True, times=3)
        it.load.write_everywhere([f"key {number}" for number in range(1000)])
        worker = it.deployment.start()

        await it.equal(worker)
        assert len(await it.shards()) == 130
        assert await worker.stop() == 0
        await obeys(it)
