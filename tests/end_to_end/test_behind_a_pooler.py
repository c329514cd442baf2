"""A real PgBouncer in transaction mode between the workers and PostgreSQL."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from tests.end_to_end import witness
from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.watched import watched
from tests.support.bounds import USUAL_SECONDS, lease, scaled
from tests.support.command import replicator
from tests.support.pgbouncer import pgbouncer

SESSIONS = 2
"""Fewer than one worker has connections: they all share."""
LIMIT = "select setting from pg_settings where name = 'statement_timeout'"
"""In milliseconds."""


@pytest.fixture
def pooled(database: str) -> Iterator[str]:
    """The test's database behind a pooler."""
    with pgbouncer(database, sessions=SESSIONS) as dsn:
        yield dsn


@one_emulator
@pytest.mark.faults
async def test_workers_that_share_two_sessions_apply_every_change_once(stage: Stage, pooled: str):
    async with watched(
        stage, seed=3, through=pooled, pooler="transaction", lease_seconds=lease(1.0)
    ) as it:
        first = it.deployment.start()
        async with it.under_load():
            await it.writes_more(first)
            second = it.deployment.start()
            await second.url()
            first.kill()
            await it.writes_more(second)
        await it.equal(second)
        status = await replicator("status", config=it.deployment.path)
        assert await second.stop() == 0

        assert status.code == 0, status.out
        assert [*first.entries("task failed"), *second.entries("task failed")] == []
    await witness.assert_nothing_twice(stage.dsn)


@one_emulator
@pytest.mark.faults
async def test_limits_of_the_role_end_a_session_that_froze_behind_the_pooler(
    stage: Stage, pooled: str
):
    """Nobody else can: a pooler's sessions have no owner that one could tell apart."""
    await limit_idle_transactions(stage.dsn, seconds=scaled(2))
    async with watched(stage, seed=4, through=pooled, pooler="transaction") as it:
        worker = await it.deployment.start_ready()
        await it.traffic.write(20)
        await it.equal(worker)
        frozen = await asyncpg.connect(pooled, statement_cache_size=0)
        await frozen.execute("begin; select from replicator.shard for update")

        await it.traffic.write(20)
        await it.equal(worker)

        async def ended() -> bool:
            return frozen.is_closed()

        await worker.until(ended, what="the frozen session is ended")
        assert await worker.stop() == 0
    await witness.assert_nothing_twice(stage.dsn)


async def limit_idle_transactions(dsn: str, *, seconds: float) -> None:
    """As docs/operations/postgresql.md asks for, for sessions of this database that begin now."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            f"alter role postgres in database {dsn.rpartition('/')[2]}"
            f" set idle_in_transaction_session_timeout = '{seconds}s'"
        )
    finally:
        await connection.close()


async def test_statements_that_share_two_sessions_get_their_own_answers_and_limits(pooled: str):
    seconds = USUAL_SECONDS + scaled(7)  # which nobody else sets
    settings = ConnectionSettings(
        dsn=pooled, pooler="transaction", statement_timeout_seconds=seconds
    )
    databases = [
        Database(settings, deployment="d", control_schema="c", pool_size=4) for _ in range(SESSIONS)
    ]

    async def ask(number: int) -> set[str]:
        found = set()
        for _ in range(20):
            async with databases[number % 2].connection("asking") as connection:
                found.add(await connection.fetchval("select $1::text", f"answer {number}"))
                found.add(await connection.fetchval(LIMIT))
            async with databases[number % 2].transaction("asking") as connection:
                found.add(await connection.fetchval(LIMIT))
        return found

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(ask(number)) for number in range(8)]
    for database in databases:
        await database.close()

    assert [task.result() for task in asked] == [
        {f"answer {number}", str(int(seconds * 1000))} for number in range(8)
    ]
