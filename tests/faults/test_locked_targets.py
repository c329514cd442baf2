"""Somebody has locked a target: who has it is told, and nobody else waits for it."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.support.bounds import kept_lease
from tests.support.daemon import Worker
from tests.support.scripted_streams.items import canonical
from tests.support.stream_builders import item

pytestmark = pytest.mark.faults

WAITING = """
select a.pid
  from pg_stat_activity a
  join pg_locks l on l.pid = a.pid
 where a.datname = current_database()
   and a.application_name like 'replicator %'
   and l.relation::regclass::text like 'locked_%'
   and not l.granted
"""
"""Sessions of workers that wait for a table that is locked, and not for each other."""
LOCKED = [f"locked_{number}" for number in range(8)]


@asynccontextmanager
async def held(it: Replica, statements: str) -> AsyncIterator[int]:
    """An open transaction of a session called `nightly`; gives its pid."""
    holder = await asyncpg.connect(it.dsn, server_settings={"application_name": "nightly"})
    try:
        await holder.execute(f"begin; {statements}")
        yield holder.get_server_pid()
    finally:
        await holder.close()


async def problems(it: Replica, worker: Worker) -> Sequence[list[dict[str, str]]]:
    """Problems as the command and as the status page have them."""
    command = await it.deployment.asked("status", "--json")
    return json.loads(command.stdout)["problems"], (await worker.status()).get("problems", [])


@pytest.mark.parametrize(
    "lock",
    [
        "lock table public.orders in access exclusive mode",
        "select from public.orders where pk = 'a' for update",
    ],
    ids=["table", "row"],
)
async def test_a_locked_target_is_named_with_the_session_that_has_the_lock(
    new_replica: NewReplica, lock: str
):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("a")
        await it.equal(worker)
        async with held(it, lock) as pid:
            it.load.put("a")
            who = f"orders is locked by nightly (pid {pid}) since "

            async def named() -> bool:
                return all(
                    any(
                        who in problem["what"] and "pg_terminate_backend" in problem["remedy"]
                        for problem in shown
                    )
                    for shown in await problems(it, worker)
                )

            await worker.until(named, what="the command and the page's status name the session")
            [said, *_] = worker.entries("the target is locked")
            assert who in said["error"]
            assert "begin; " in said["error"]
            assert "'a'" not in said["error"]
            assert f"pg_terminate_backend({pid})" in said["remedy"]

        await it.equal(worker)

        async def over() -> bool:
            return bool(worker.entries("recovered"))

        await worker.until(over, what="the log says that it is over")
        assert await worker.stop() == 0
        (await it.log()).obeys()


@pytest.mark.parametrize("pool_size", [pytest.param(4, marks=pytest.mark.wide), 1])
async def test_eight_locked_tables_of_nine_keep_no_connection_from_the_ninth(
    new_replica: NewReplica, pool_size: int
):
    # a lease that is lost is one that was not renewed, and not for want of a processor
    async with new_replica(tables=("orders", *LOCKED), lease_seconds=kept_lease(4.0)) as it:
        it.deployment.settings["target"]["pool_size"] = pool_size
        worker = await it.deployment.start_ready()
        for name, load in it.loads.items():
            load.put("before")
            await it.equal(worker, name=name)
        targets = ", ".join(f"public.{name}" for name in LOCKED)
        async with held(it, f"lock table {targets} in access exclusive mode"):
            for name in LOCKED:
                it.loads[name].write(20)

            async def all_named() -> bool:
                said = {entry["table"] for entry in worker.entries("the target is locked")}
                return said >= set(LOCKED)

            await worker.until(all_named, what="every locked table is named")
            for _ in range(20):
                it.load.write(10)
                await it.equal(worker)
                assert len(await it.sql(WAITING)) <= 1  # the lane, and never the pool
            status = await worker.status()
            assert "orders" not in {problem["table"] for problem in status["problems"]}

        for name in it.tables:
            await it.equal(worker, name=name)
        assert await worker.counted("replicator_leases_lost_total") == 0
        assert await worker.stop() == 0
        (await it.log()).obeys()


async def test_a_locked_target_is_named_during_a_load_of_an_idle_stream(new_replica: NewReplica):
    """Nothing of the stream waits: the load alone does, and it is not only on its way."""
    async with new_replica(options={"initial_load": "snapshot"}) as it:
        it.table.items.fold(item("old"), canonical(item("old", n=1)))
        async with held(it, "lock table public.orders in share mode") as pid:
            worker = it.deployment.start()
            who = f"orders is locked by nightly (pid {pid}) since "

            async def named() -> bool:
                return all(
                    any(
                        who in problem["what"]
                        and "of the snapshot is read and cannot be committed" in problem["what"]
                        and f"pg_terminate_backend({pid})" in problem["remedy"]
                        for problem in shown
                    )
                    for shown in await problems(it, worker)
                )

            await worker.until(named, what="the command and the page's status name the session")

        await it.equal(worker)
        assert await worker.stop() == 0


async def test_pages_without_a_slot_wait_at_the_source_and_none_is_lost(new_replica: NewReplica):
    """A locked table has the one page of the process; its other shards have changes, too."""
    async with new_replica(tables=("orders", "others"), shards=4) as it:
        it.deployment.settings["poll"]["pages_max"] = 1
        worker = await it.deployment.start_ready()
        for name, load in it.loads.items():
            load.write_everywhere()
            await it.equal(worker, name=name)
        async with held(it, "lock table public.orders in access exclusive mode"):
            it.load.write_everywhere()

            async def waits() -> bool:
                return bool(worker.entries("the target is locked"))

            await worker.until(waits, what="a page waits for the lock")
            it.loads["others"].write_everywhere()
            await it.equal(worker, name="others")

        await it.equal(worker)
        assert await worker.stop() == 0
        (await it.log()).obeys()
