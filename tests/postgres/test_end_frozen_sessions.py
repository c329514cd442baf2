"""Sessions of frozen processes that stopped in the middle of a statement: their locks are freed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Literal

import asyncpg
import pytest

from replicator.errors import BatchTooSlow, TargetLocked
from replicator.postgres.connection import database
from replicator.postgres.connection.connect import (
    IDLE_IN_TRANSACTION_SECONDS,
    ConnectionSettings,
)
from replicator.postgres.connection.database import Database
from tests.postgres.loaded import Loaded, registered
from tests.support.bounds import TEST_SECONDS, scaled
from tests.support.builders import table_mapping
from tests.support.postgres_versions import needs_transaction_timeout
from tests.support.proxy import Sender, proxy
from tests.support.waiting import eventually

LOCK = "select from replicator.{} where $1 for update"
PATIENCE_SECONDS = scaled(1.0)
"""Seconds that a session which was told to end has for it."""


@asynccontextmanager
async def half_sent(
    dsn: str, settings: ConnectionSettings, locked: str = "table_state"
) -> AsyncIterator[int]:
    """The pid of a session that has locked rows and is sent no Sync: a process that was frozen in
    between sends none either.
    """
    statement = LOCK.format(locked)
    async with proxy(dsn) as between:
        database = Database(
            replace(settings, dsn=between.dsn),
            deployment="test",
            control_schema="replicator",
            pool_size=1,
            worker_id="frozen",
        )
        held = between.plan("hold", kind="S", statement=statement)
        pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def lock() -> None:
            async with database.transaction("locking") as connection:
                pid.set_result(connection.get_server_pid())
                await connection.execute(statement, True)

        locking = asyncio.create_task(lock(), name="lock")
        met = asyncio.create_task(held.met.wait(), name="half of it is sent")
        try:
            await asyncio.wait({met, locking}, return_when=asyncio.FIRST_COMPLETED)
            assert not locking.done(), locking.exception()
            yield await pid
        finally:
            met.cancel()
            held.released.set()
            await asyncio.gather(locking, return_exceptions=True)
            await database.discard()


@asynccontextmanager
async def held_up(
    dsn: str, statement: str, *arguments: str, sender: Sender, kind: str
) -> AsyncIterator[int]:
    """The pid of a session of replicator in whose statement one message does not arrive."""
    async with proxy(dsn) as between:
        connection = await asyncpg.connect(
            between.dsn, server_settings={"application_name": "replicator held up"}
        )
        held = between.plan("hold", sender=sender, kind=kind, statement=statement)
        running = asyncio.create_task(connection.fetch(statement, *arguments), name="run")
        await held.met.wait()
        try:
            yield connection.get_server_pid()
        finally:
            held.released.set()
            await asyncio.gather(running, return_exceptions=True)
            connection.terminate()


def sends_slowly(dsn: str) -> AbstractAsyncContextManager[int]:
    """Its values are on their way: it has locked no row."""
    return held_up(dsn, "select $1::text", "x", sender="client", kind="B")


def unread(dsn: str, statement: str) -> AbstractAsyncContextManager[int]:
    """Nobody reads its answer."""
    return held_up(dsn, statement, sender="server", kind="D")


@pytest.fixture(autouse=True)
def sessions_are_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker tries for so long, and again ten seconds later."""
    monkeypatch.setattr(database, "ENDING_SECONDS_MAX", scaled(database.ENDING_SECONDS_MAX))


def other(settings: ConnectionSettings) -> Database:
    """Another worker, which does not wait for a lock for long."""
    settings = replace(settings, lock_timeout_seconds=PATIENCE_SECONDS)
    return Database(settings, deployment="test", control_schema="replicator", pool_size=1)


async def is_locked(database: Database) -> bool:
    try:
        async with database.transaction("locking") as connection:
            await connection.execute(LOCK.format("table_state"), True)
    except (TargetLocked, BatchTooSlow):
        return True
    return False


async def stood_still(table: Loaded, pid: int, *, for_seconds: float) -> None:
    """Until a session has read and written nothing for so long, by the server's clock."""
    query = (
        "select state_change < clock_timestamp() - make_interval(secs => "
        f"{for_seconds}) from pg_stat_activity where pid = {pid}"
    )

    async def has() -> bool:
        return await table.sql(query) == [(True,)]

    await eventually(has, what="the session stands still", after=for_seconds)


async def test_whoever_waits_in_vain_ends_a_session_that_stopped_inside_a_statement(
    migrated_database: str,
):
    """No timer of the server runs for it: it is `active`, and reads from its client."""
    table = await registered(migrated_database, table_mapping())
    waiting = other(table.database.settings)
    # transactions may outlast the test, so that nothing else ends it
    settings = replace(table.database.settings, statement_timeout_seconds=TEST_SECONDS)
    async with half_sent(migrated_database, settings) as stopped:
        await stood_still(table, stopped, for_seconds=IDLE_IN_TRANSACTION_SECONDS)

        assert await is_locked(waiting)
        assert not await is_locked(waiting)
    await waiting.close()
    await table.database.close()


async def test_a_session_of_somebody_else_and_one_that_works_are_not_ended(migrated_database: str):
    """Whoever waits ends what is replicator's and stopped, and nothing else."""
    table = await registered(migrated_database, table_mapping())
    settings = replace(table.database.settings, statement_timeout_seconds=TEST_SECONDS)
    theirs = replace(settings, application_name="replicator2")
    waiting = other(settings)
    working = await asyncpg.connect(
        migrated_database, server_settings={"application_name": "replicator working"}
    )
    work = asyncio.create_task(
        working.execute("begin; select txid_current(), pg_sleep(3600)"), name="work"
    )
    async with (
        half_sent(migrated_database, theirs) as pid,
        sends_slowly(migrated_database) as sending,
        half_sent(migrated_database, settings, "shard") as stopped,
    ):
        await stood_still(table, stopped, for_seconds=IDLE_IN_TRANSACTION_SECONDS)

        assert await is_locked(waiting)
        assert await is_locked(waiting)
        alive = {*await table.sql("select pid from pg_stat_activity")}
        assert (stopped,) not in alive
        assert {(pid,), (sending,)} < alive
        assert not work.done()
    working.terminate()
    await asyncio.gather(work, return_exceptions=True)
    await waiting.close()
    await table.database.close()


async def test_a_session_whose_answer_nobody_reads_is_ended_once_no_process_would_wait_for_it(
    migrated_database: str,
):
    """PostgreSQL minds no timer while it writes to a client."""
    table = await registered(migrated_database, table_mapping())
    waiting = other(replace(table.database.settings, statement_timeout_seconds=scaled(1.0)))
    statement = (
        "with locked as (select from replicator.table_state for update)"
        " select repeat('x', 100000) from locked, generate_series(1, 500)"
    )
    async with unread(migrated_database, statement) as stopped:
        await stood_still(table, stopped, for_seconds=scaled(1.0) + 15)

        assert await is_locked(waiting)
        assert not await is_locked(waiting)
    await waiting.close()
    await table.database.close()


@pytest.mark.parametrize("pooler", ["none", "transaction"])
async def test_a_transaction_that_its_process_left_ends_by_the_timer_that_runs_everywhere(
    migrated_database: str, pooler: Literal["none", "transaction"]
):
    """Behind a pooler nobody knows whose session stopped; PostgreSQL has such a timer since 17."""
    table = await registered(migrated_database, table_mapping())
    await needs_transaction_timeout(table.sql)
    [(name,)] = await table.sql("select current_database()")
    # the process itself leaves five seconds after its statement, and the server ten seconds later
    for of_database, of_statement, limit in ((0, 30, "45s"), (60, 30, "45s"), (20, 30, "20s")):
        settings = replace(
            table.database.settings, statement_timeout_seconds=of_statement, pooler=pooler
        )
        await table.sql(f"alter database {name} set transaction_timeout = '{of_database}s'")
        database = Database(settings, deployment="test", control_schema="replicator", pool_size=1)
        async with database.transaction("asking") as connection:
            assert await connection.fetchval("show transaction_timeout") == limit
        await database.close()

    async with proxy(migrated_database) as between:
        between.plan("hold", kind="S", statement=LOCK.format("table_state"))
        frozen = await asyncpg.connect(between.dsn)
        await frozen.execute("begin; set local transaction_timeout = 100")
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await frozen.execute(LOCK.format("table_state"), True)
    await table.database.close()
