"""Changes that the stream forgot: a gap is said, stops the table, and is accepted by a person."""

import json
from typing import Any

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.support.checker import expected_rows
from tests.support.comparison import differences
from tests.support.daemon import Worker
from tests.support.stream_builders import item

pytestmark = pytest.mark.faults

DOWN_HOURS = 30


async def applied_then_stopped(it: Replica) -> None:
    worker = await it.deployment.start_ready()
    it.load.write(30)
    await it.equal(worker)

    async def at_head() -> bool:
        return bool(await it.sql("select from replicator.shard where head_at is not null"))

    await worker.until(at_head, what="the head is seen")
    assert await worker.stop() == 0


async def gap_found(it: Replica, worker: Worker) -> Any:
    async def found() -> Any:
        return await it.gaps()

    [gap] = await worker.until(found, what="a gap is on record")
    return gap


async def is_shown(it: Replica, worker: Worker, kind: str) -> None:
    async def shown() -> bool:
        return (await worker.table("orders")).get("state") == "gap"

    await worker.until(shown, what="the status says gap")
    assert await worker.counted("replicator_table_state", table="orders", state="gap") == 1
    status = await worker.shown_table("orders")
    assert kind in status["reason"]
    assert "gaps accept --table orders" in status["remedy"]
    listed = await it.deployment.command("gaps", "list", "--json")
    assert [gap["kind"] for gap in json.loads(listed.stdout)["gaps"]] == [kind]


async def accept(it: Replica) -> None:
    done = await it.deployment.command("gaps", "accept", "--table", "orders", "--why", "a test")
    assert done.code == 0, done.text
    [action] = await it.sql("select verb, who, why from replicator.action")
    assert action["why"] == "a test"
    assert action["who"]


async def differing(it: Replica) -> set[str]:
    """The keys that differ between source and target."""
    expected, actual = expected_rows(it.table.all_items()), await it.rows()
    return {
        key
        for (key,) in expected.keys() | actual.keys()
        if differences(
            {(key,): expected[(key,)]} if (key,) in expected else {},
            {(key,): actual[(key,)]} if (key,) in actual else {},
        )
    }


@pytest.mark.parametrize("after_trimmed", ["refuse", "skip"])
async def test_down_for_thirty_hours_with_traffic_is_a_gap_until_it_is_accepted(
    new_replica: NewReplica, after_trimmed: Any
):
    async with new_replica(hours_behind=DOWN_HOURS) as it:
        await applied_then_stopped(it)
        it.streams.after_trimmed(after_trimmed)
        it.streams.advance(hours=2)
        it.load.put("lost")
        it.streams.advance(hours=DOWN_HOURS - 2)
        await it.age(DOWN_HOURS)
        it.load.put("kept")

        worker = await it.deployment.start_ready()
        gap = await gap_found(it, worker)

        assert gap["kind"] == "possible"
        assert ("kept",) not in await it.rows()
        await is_shown(it, worker, "possible")
        assert await worker.counted("replicator_gaps_total", table="orders") == 1
        assert worker.entries("gap") or "gap" in worker.text()
        assert await worker.stop() == 3

        await accept(it)
        heir = it.deployment.start()
        await it.applied(heir, "kept")
        assert await differing(it) == {"lost"}
        it.load.put("lost")
        await it.equal(heir)
        assert await heir.stop() == 0
        (await it.log()).obeys()


async def test_down_for_thirty_hours_without_traffic_is_never_a_certain_gap(
    new_replica: NewReplica,
):
    async with new_replica(hours_behind=DOWN_HOURS) as it:
        await applied_then_stopped(it)
        it.streams.advance(hours=DOWN_HOURS)
        await it.age(DOWN_HOURS)

        worker = await it.deployment.run_until_caught_up()

        assert worker.code == 3, worker.tail()
        assert [gap["kind"] for gap in await it.gaps()] == ["possible"]


async def test_unread_changes_that_were_seen_and_then_trimmed_are_a_certain_gap(
    new_replica: NewReplica,
):
    async with new_replica(hours_behind=DOWN_HOURS) as it:
        it.deployment.settings["batch"] = {"records_max": 10}
        async with it.stopped_inside():
            for number in range(10):
                it.load.put(f"first {number}")
            for number in range(20):
                it.table.put(item(f"second {number}", n=100 + number, payload="stop here"))
            worker = it.deployment.start()
            await worker.until(it.someone_waits_inside, what="the second batch waits inside")
            worker.kill()
            await it.end_who_waits_inside()
        it.streams.advance(hours=DOWN_HOURS)
        await it.age(DOWN_HOURS)
        it.load.put("kept")

        heir = await it.deployment.start_ready()
        gap = await gap_found(it, heir)

        assert gap["kind"] == "certain"
        await is_shown(it, heir, "certain")
        await accept(it)
        await it.applied(heir, "kept")
        assert await differing(it) == {f"second {number}" for number in range(20)}
        assert await heir.stop() == 0


async def test_down_for_less_than_the_retention_is_no_gap(new_replica: NewReplica):
    async with new_replica(hours_behind=23.5) as it:
        await applied_then_stopped(it)
        it.load.put("the oldest")
        it.streams.advance(hours=23.5)
        await it.age(23.5)
        it.load.put("the newest")

        worker = it.deployment.start()

        await it.equal(worker)
        assert await it.gaps() == []
        assert await worker.stop() == 0


async def test_continue_goes_on_by_itself_and_keeps_the_gap_on_record(new_replica: NewReplica):
    async with new_replica(hours_behind=DOWN_HOURS, options={"on_gap": "continue"}) as it:
        await applied_then_stopped(it)
        it.streams.advance(hours=2)
        it.load.put("lost")
        it.streams.advance(hours=DOWN_HOURS - 2)
        await it.age(DOWN_HOURS)
        it.load.put("kept")

        worker = it.deployment.start()

        await it.applied(worker, "kept")
        assert [gap["closed_by"] for gap in await it.gaps("accepted")] == ["configuration"]
        assert await it.gaps() == []
        assert await differing(it) == {"lost"}
        assert await worker.stop() == 0


TRIMMED = pytest.param("trimmed", marks=pytest.mark.long)
"""Emulators say so of fresh shards, so that it takes a minute to be believed."""


@pytest.mark.parametrize("answer", ["vanish", "not_found", TRIMMED])
async def test_a_shard_that_left_before_it_was_read_to_its_end_is_a_gap(
    new_replica: NewReplica, answer: str
):
    async with new_replica() as it:
        await applied_then_stopped(it)
        it.load.put("lost")
        it.table.roll_over(0)
        it.load.put("kept")
        it.table.forget(0, answer)

        worker = it.deployment.start()
        gap = await gap_found(it, worker)

        assert gap["shard_id"] == it.table.shard_id(0)
        assert ("kept",) not in await it.rows()
        await accept(it)
        await it.applied(worker, "kept")
        assert await differing(it) == {"lost"}
        assert await worker.stop() == 0
        (await it.log()).obeys()
