"""Streams that are disabled, enabled anew, or of a table created anew: drained, then said."""

import asyncpg
import pytest

from tests.faults.conftest import NewReplica
from tests.faults.test_gaps import accept, differing, gap_found
from tests.support.load import Load

pytestmark = pytest.mark.faults


async def test_a_stream_enabled_anew_is_read_after_the_old_one_and_an_accepted_gap(
    new_replica: NewReplica,
):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.write(20)
        await it.equal(worker)
        it.streams.hold("GetRecords", times=None)
        it.load.put("last of the old stream")
        it.table.disable_stream()
        it.load.put("between the streams")
        new = it.table.enable_stream()
        it.load.put("first of the new stream")
        it.streams.heal("GetRecords")

        gap = await gap_found(it, worker)

        assert (gap["stream_arn"], gap["shard_id"], gap["kind"]) == (new, None, "possible")
        assert await differing(it) == {"between the streams", "first of the new stream"}
        await accept(it)
        await it.applied(worker, "first of the new stream")
        assert await differing(it) == {"between the streams"}
        it.load.put("between the streams")
        await it.equal(worker)
        assert await worker.stop() == 0
        (await it.log()).obeys()


async def test_a_worker_killed_between_a_new_stream_and_its_gap_leaves_no_silence(
    new_replica: NewReplica,
):
    async with new_replica() as it:
        first = await it.deployment.start_ready()
        it.load.write(20)
        await it.equal(first)
        assert await first.stop() == 0
        it.table.disable_stream()
        it.load.put("between the streams")
        it.table.enable_stream()
        it.load.put("first of the new stream")
        blocker = await asyncpg.connect(it.dsn)
        try:
            await blocker.execute("begin; lock table replicator.gap in share mode")
            worker = it.deployment.start()

            async def at_the_gap() -> bool:
                return bool(
                    await it.sql(
                        "select from pg_locks where not granted"
                        " and relation = 'replicator.gap'::regclass"
                    )
                )

            await worker.until(at_the_gap, what="the gap is about to be recorded")
            worker.kill()
        finally:
            await blocker.close()

        heir = await it.deployment.start_ready()
        await gap_found(it, heir)
        assert ("first of the new stream",) not in await it.rows()
        await accept(it)
        await it.applied(heir, "first of the new stream")
        assert await heir.stop() == 0


async def test_a_frozen_worker_of_the_old_stream_cannot_overwrite_what_the_new_one_wrote(
    new_replica: NewReplica,
):
    async with new_replica(options={"on_gap": "continue"}) as it:
        first = await it.deployment.start_ready()
        it.load.put("a")
        await it.equal(first)
        old = it.table.stream_arn
        async with it.stopped_inside() as gate:
            await gate.execute("select pg_advisory_unlock(4711)")
            assert await first.stop() == 0
            it.table.disable_stream()
            it.table.enable_stream()
            it.load.put("a")
            worker = it.deployment.start()
            await it.equal(worker)
        epochs = await it.sql("select state from replicator.shard where stream_arn = $1", old)
        assert {row["state"] for row in epochs} <= {"done", "gap"}
        assert await worker.stop() == 0
        (await it.log()).obeys()


async def test_a_table_created_anew_with_small_sequence_numbers_is_accepted_and_said(
    new_replica: NewReplica,
):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("of the old table")
        it.load.write(20)
        await it.equal(worker)
        it.table.recreate()
        it.load.put("of the new table")

        gap = await gap_found(it, worker)

        assert gap["kind"] == "possible"
        await accept(it)
        await it.applied(worker, "of the new table")
        assert ("of the old table",) in await it.rows()  # nothing in a stream says that it is gone
        assert await worker.stop() == 0


async def test_a_disabled_stream_is_drained_and_then_halts_its_table_only(
    new_replica: NewReplica,
):
    async with new_replica(tables=("orders", "others")) as it:
        worker = await it.deployment.start_ready()
        it.load.write(20)
        await it.equal(worker)
        it.load.put("last")
        it.table.disable_stream()

        async def halted() -> bool:
            return (await worker.table("orders")).get("state") == "halted"

        await worker.until(halted, what="the table is halted")
        await it.equal(worker)
        it.loads["others"].write(20)
        await it.equal(worker, name="others")
        assert await worker.stop() == 3


@pytest.mark.parametrize("heals", [True, False])
async def test_a_source_that_moves_to_an_older_stream_says_so_and_follows_once_it_is_accepted(
    new_replica: NewReplica, heals: bool
):
    """A failover to a replica region: the table there had its stream before the one here."""
    async with new_replica(tables=("replica", "orders")) as it:
        older = it.tables["replica"]
        entry = it.deployment.settings["tables"]
        del entry["replica"]
        worker = await it.deployment.start_ready()
        it.load.write(20)
        await it.equal(worker)
        for item in it.table.all_items():
            older.put(item)
        assert await worker.stop() == 0
        it.table.drop()
        it.streams.world.tables["orders"] = it.streams.world.tables.pop("replica")
        older.name, older.stream.label = "orders", "2020-01-01T00:00:00.000"
        older.stream.arn = f"{older.arn}/stream/{older.stream.label}"
        it.tables["orders"], it.loads["orders"] = older, Load(older)
        worker = await it.deployment.start_ready()

        async def told() -> bool:
            return any(
                (gap["stream_arn"], gap["shard_id"]) == (older.stream_arn, None)
                for gap in await it.gaps()
            )

        await worker.until(told, what="the gap before the older stream is on record")
        it.load.put("of the replica")
        command = ("snapshot", "--detach") if heals else ("gaps", "accept")
        done = await it.deployment.command(*command, "--table", "orders", "--why", "a failover")
        assert done.code == 0, done.text
        await it.applied(worker, "of the replica")
        it.load.write(20)
        await it.equal(worker)
        assert await worker.stop() == 0
        (await it.log()).parents_first()


async def test_an_unknown_event_halts_its_table_only_and_is_not_skipped(new_replica: NewReplica):
    async with new_replica(tables=("orders", "others")) as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        record = it.table.records(0)[-1]
        record["eventName"] = "MERGE"
        del record["dynamodb"]["SequenceNumber"]
        it.table.append(record, shard=0)
        it.load.put("after")

        async def halted() -> bool:
            return (await worker.table("orders")).get("state") == "halted"

        await worker.until(halted, what="the table is halted")
        assert ("after",) not in await it.rows()
        it.loads["others"].write(20)
        await it.equal(worker, name="others")
        assert await worker.stop() == 3
