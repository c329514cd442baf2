"""PostgreSQL refuses to work in every way it knows: nothing is lost, nothing set aside."""

from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.faults.test_lease_table import lease_rows
from tests.support.bounds import kept_lease
from tests.support.daemon import Worker
from tests.support.small_disk import small_disk, why_not
from tests.support.stream_builders import item

pytestmark = pytest.mark.faults


async def end_sessions(it: Replica) -> None:
    await it.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name like 'replicator%'"
    )


async def has_failed(worker: Worker, it: Replica, sqlstate: str) -> None:
    async def said() -> bool:
        return sqlstate in worker.text()

    await it.until(worker, f"{sqlstate} is in the log", said)


async def renews(worker: Worker, it: Replica, count: int) -> None:
    """Wait until the lease of `orders` was renewed so many times more; four are a lease long.

    Taking it again counts as nothing: a machine may be too busy for any worker to keep a lease,
    but one that renews nothing only ever takes it again.
    """

    async def renewed() -> int:
        taken = len([each for each in worker.entries("lease taken") if each["table"] == "orders"])
        [row] = [
            row
            for row in await lease_rows(it, it.lease_endpoint)
            if it.table.shard_id(0) in row["leaseKey"]["S"]
        ]
        return int(row["leaseCounter"]["N"]) - taken

    before = await renewed()

    async def enough() -> bool:
        return await renewed() >= before + count

    await it.until(worker, "the lease is renewed", enough)


async def test_a_primary_that_turned_read_only_is_left_for_one_that_writes(
    new_replica: NewReplica,
):
    """The sessions that see it read-only are not kept for the time after."""
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        [[name]] = await it.sql("select current_database()")
        await it.execute(f"alter database {name} set default_transaction_read_only = on")
        await end_sessions(it)
        it.load.write(20)
        await has_failed(worker, it, "25006")

        await it.execute(
            f"set transaction read write;alter database {name} reset default_transaction_read_only"
        )

        await it.equal(worker)
        assert await it.sql("select from replicator.dead_letter") == []
        assert await worker.stop() == 0
        (await it.log()).obeys()


WAITS_FOR_FOREIGN = """
alter database {database} set deadlock_timeout = '50 ms';
create function public.waits_for_foreign() returns trigger language plpgsql as $$
begin
    -- until the foreign session waits for what this transaction has: then it waits for that one
    while not pg_try_advisory_xact_lock(1)
          and not exists (select from pg_locks
                           where not granted
                             and pg_backend_pid() = any (pg_blocking_pids(pid))) loop
        perform pg_sleep(0.01);
    end loop;
    perform pg_advisory_xact_lock(1);
    return null;
end $$;
create trigger waits_for_foreign after insert or update on public.orders
   for each row execute function public.waits_for_foreign();
"""
SLEEPS = """
select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'
"""


async def test_a_deadlock_with_a_foreign_session_is_tried_again(new_replica: NewReplica):
    async with new_replica() as it:
        [[database]] = await it.sql("select current_database()")
        await it.execute(WAITS_FOR_FOREIGN.format(database=database))
        worker = await it.deployment.start_ready()
        it.load.put("a")
        await it.equal(worker)
        foreign = await asyncpg.connect(it.dsn)
        try:
            # the worker's side looks for deadlocks, and is the one that is ended
            await foreign.execute("set deadlock_timeout = '600 s'")
            await foreign.execute("begin; select pg_advisory_xact_lock(1)")
            it.load.put("a")

            async def stands_in_the_trigger() -> bool:
                return bool(await it.sql(SLEEPS))

            await worker.until(stands_in_the_trigger, what="the batch has written the row")
            await foreign.execute("update replicator.shard set polled_at = polled_at; commit")
        finally:
            await foreign.close()

        await it.equal(worker)

        async def counted() -> bool:
            [[deadlocks]] = await it.sql(
                "select deadlocks from pg_stat_database where datname = current_database()"
            )
            return bool(deadlocks == 1)

        # a session reports its counters within ten seconds of being idle
        await worker.until(counted, what="the deadlock is counted", after=10.0)
        assert await worker.stop() == 0


ROLE = """
create role {name} login;
grant usage on schema public, replicator, watch to {name};
grant all on all tables in schema public, replicator, watch to {name};
grant all on all sequences in schema public, replicator, watch to {name};
"""


async def test_a_server_out_of_connections_is_waited_for(new_replica: NewReplica):
    async with new_replica() as it:
        name = it.deployment.settings["deployment"]
        await it.execute(ROLE.format(name=name))
        try:
            it.deployment.settings["target"]["dsn"] = it.dsn.replace("//postgres@", f"//{name}@")
            worker = await it.deployment.start_ready()
            it.load.put("before")
            await it.equal(worker)
            await it.execute(f"alter role {name} connection limit 0")
            await end_sessions(it)
            it.load.write(20)
            await has_failed(worker, it, "53300")

            await it.execute(f"alter role {name} connection limit -1")

            await it.equal(worker)
            assert await worker.stop() == 0
            (await it.log()).obeys()
        finally:
            for worker in it.deployment.workers:
                worker.kill()
            await it.execute(f"drop owned by {name}; drop role {name}")


@pytest.mark.long
async def test_a_lock_held_longer_than_the_limit_holds_up_nothing_else(new_replica: NewReplica):
    async with new_replica(tables=("orders", "others")) as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        holder = await asyncpg.connect(it.dsn)
        try:
            await holder.execute("begin; lock table public.orders in access exclusive mode")
            it.load.write(20)
            for _ in range(12):
                it.loads["others"].write(10)
                await it.equal(worker, name="others")
                await it.looks(worker, 4)  # in all, longer than lock_timeout, twice
            await renews(worker, it, 8)
        finally:
            await holder.close()

        await it.equal(worker)
        assert await worker.stop() == 0
        (await it.log()).obeys()


async def test_shards_that_wait_for_a_lock_hold_no_more_pages_than_there_is_room_for(
    new_replica: NewReplica,
):
    """Twelve have something; one connection has room for two."""
    # a shard that is lost leaves its room to another
    async with new_replica(shards=12, lease_seconds=kept_lease(4.0)) as it:
        it.deployment.settings["target"]["pool_size"] = 1
        it.load.write_everywhere([f"key {number}" for number in range(100)])
        holder = await asyncpg.connect(it.dsn)
        try:
            await holder.execute("begin; lock table public.orders in access exclusive mode")
            worker = it.deployment.start()

            async def claimed() -> bool:
                return [shard.epoch > 0 for shard in (await it.shards()).values()] == [True] * 12

            await it.until(worker, "the shards are claimed", claimed)
            pages = [call for call in it.streams.calls("GetRecords") if call.records]
            assert len({call.shard for call in pages}) <= 2
        finally:
            await holder.close()

        await it.equal(worker)
        assert await worker.stop() == 0
        (await it.log()).obeys()


@pytest.mark.long
async def test_a_batch_that_takes_too_long_is_halved(new_replica: NewReplica):
    async with new_replica() as it:
        await it.execute(
            """
            create function watch.slow() returns trigger language plpgsql as $$
            begin
                if (select count(*) from written) > 12 then
                    perform pg_sleep(120);
                end if;
                return null;
            end $$;
            create trigger slow after insert on orders referencing new table as written
                for each statement execute function watch.slow();
            """
        )
        it.load.write_everywhere([f"key {number}" for number in range(20)])
        worker = it.deployment.start()

        await it.equal(worker)
        assert await it.sql("select from replicator.dead_letter") == []
        assert await worker.stop() == 0
        (await it.log()).obeys()


async def test_a_full_disk_is_waited_for_and_no_good_record_is_set_aside(
    new_replica: NewReplica,
):
    """The letters would have room: only the target's file system is full."""
    if reason := why_not():
        pytest.skip(f"no file system of its own can be mounted: {reason}")
    with TemporaryDirectory() as directory:
        async with (
            small_disk(Path(directory)) as disk,
            new_replica(dsn=disk.dsn) as it,
        ):
            await it.execute(
                "alter table public.orders set tablespace small;"
                "alter index public.orders_pkey set tablespace small"
            )
            worker = await it.deployment.start_ready()
            it.load.put("before")
            await it.equal(worker)
            await disk.fill()
            for number in range(200):
                it.table.put(item(f"large {number}", n=number + 10, payload="x" * 2000))

            async def tried_again() -> bool:
                shard = await it.shard(0)
                return shard is not None and shard.epoch >= 4

            await has_failed(worker, it, "53100")
            await it.until(worker, "it has tried again and again", tried_again)
            assert await it.sql("select from replicator.dead_letter") == []
            assert (await worker.shown_table("orders"))["state"] == "streaming"

            await disk.free()

            await it.equal(worker)
            assert await it.sql("select from replicator.dead_letter") == []
            assert await worker.stop() == 0
            (await it.log()).obeys()
