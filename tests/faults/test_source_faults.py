"""DynamoDB throttles, fails, cuts, lies and expires: reading goes on at the same place."""

from typing import Any

import pytest

from tests.faults.conftest import NewReplica
from tests.support.bounds import lease

pytestmark = pytest.mark.faults

STORMS: list[Any] = [
    pytest.param("fail", {"error": "LimitExceededException"}, id="limit"),
    pytest.param("fail", {"error": "ThrottlingException"}, id="throttling"),
    pytest.param("fail", {"error": "InternalServerError"}, id="500"),
    pytest.param("fail", {"error": "ServiceUnavailable"}, id="503 that is not JSON"),
    pytest.param("cut", {"where": "request"}, id="cut before the work"),
    pytest.param("cut", {"where": "answer"}, id="cut before the answer"),
    pytest.param("cut", {"where": "body"}, id="cut inside the body"),
    pytest.param("wrong_checksum", {}, id="wrong checksum"),
    pytest.param("slow", {"seconds": 0.05}, id="slow bodies"),
    pytest.param("empty_pages", {}, id="empty pages"),
]


async def test_a_storm_of_everything_at_once_loses_and_repeats_nothing(new_replica: NewReplica):
    async with new_replica(shards=3) as it:
        worker = await it.deployment.start_ready()
        for number, parameters in enumerate(STORMS):
            verb, details = parameters.values
            aim: dict[str, Any] = {"times": None, "probability": 0.08, "seed": number}
            if verb == "empty_pages":
                it.streams.empty_pages(**aim)
            else:
                getattr(it.streams, verb)("GetRecords", **details, **aim)
        for operation in ("GetShardIterator", "DescribeStream", "DescribeTable"):
            it.streams.fail(operation, times=None, probability=0.3)
        for _ in range(10):
            it.load.write(60)
            it.table.roll_over(it.table.open_shards()[0])
            await it.asked(worker, "GetRecords", 10)
            it.streams.expire_iterators()

        await it.equal(worker)
        it.streams.heal()
        assert await worker.stop() == 0
        (await it.log()).obeys()


async def test_shards_that_get_no_answer_keep_no_other_from_being_read(new_replica: NewReplica):
    async with new_replica(shards=12) as it:
        it.deployment.settings["target"]["pool_size"] = 2  # and room for four pages
        it.streams.fail("GetRecords", "InternalServerError", times=None)
        it.load.write(100)
        worker = await it.deployment.start_ready()

        async def all_asked() -> bool:
            return all(it.streams.calls("GetRecords", shard=number) for number in range(12))

        await worker.until(all_asked, what="every shard is asked for its records")
        it.streams.heal()
        await it.equal(worker)
        assert await worker.stop() == 0
        (await it.log()).obeys()


@pytest.mark.long
@pytest.mark.parametrize(("verb", "details"), STORMS)
async def test_nine_calls_of_ten_fail_and_no_lease_is_lost(
    new_replica: NewReplica, verb: str, details: Any
):
    async with new_replica(shards=2, lease_seconds=lease(4.0)) as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        aim: dict[str, Any] = {"times": None, "probability": 0.9}
        if verb == "empty_pages":
            it.streams.empty_pages(**aim)
        else:
            getattr(it.streams, verb)("GetRecords", **details, **aim)
        async with it.load.going_on():
            await it.looks(worker, 8)  # the storm lasts two leases long

        it.streams.heal()
        await it.equal(worker)
        assert await worker.counted("replicator_leases_lost_total") == 0
        assert await it.gaps() == []
        assert await worker.stop() == 0
        (await it.log()).obeys()


async def test_an_iterator_that_expires_before_anything_was_read_starts_at_the_oldest_record(
    new_replica: NewReplica,
):
    async with new_replica() as it:
        it.load.put("a")
        it.streams.fail("GetRecords", "ExpiredIteratorException", times=3)
        worker = it.deployment.start()

        await it.equal(worker)
        first = next(call.number for call in it.streams.calls("GetRecords") if call.records)
        asked = [call for call in it.streams.calls("GetShardIterator") if call.number < first]
        assert {call.detail for call in asked} == {"TRIM_HORIZON"}
        assert await worker.stop() == 0


@pytest.mark.wide
async def test_credentials_that_are_refused_for_a_while_cost_nothing_but_time(
    new_replica: NewReplica,
):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        for error in ("AccessDeniedException", "ExpiredTokenException"):
            it.streams.fail("GetRecords", error, times=2)
            it.streams.fail("GetShardIterator", error)
        it.load.write(20)

        await it.equal(worker)
        assert await worker.stop() == 0
        (await it.log()).obeys()
