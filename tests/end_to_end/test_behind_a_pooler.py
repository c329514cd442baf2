"""A real PgBouncer in transaction mode between the workers and PostgreSQL."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from replicator.postgres.connect import ConnectionSettings
from replicator.postgres.database import Database
from tests.end_to_end import witness
from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.watched import watched
from tests.support.pgbouncer import PgBouncerMissing, pgbouncer

SESSIONS = 2
"""Fewer than one worker has connections: they all share."""


@pytest.fixture
def pooled(database: str) -> Iterator[str]:
    """The test's database behind a pooler."""
    try:
        with pgbouncer(database, sessions=SESSIONS) as dsn:
            yield dsn
    except PgBouncerMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"required in CI: {missing}")
        pytest.skip(str(missing))


@one_emulator
@pytest.mark.faults
async def test_workers_that_share_two_sessions_apply_every_change_once(stage: Stage, pooled: str):
    async with watched(
        stage, seed=3, through=pooled, pooler="transaction", lease_seconds=1.0
    ) as it:
        first = await it.deployment.start_ready()
        async with it.under_load():
            await it.writes_more(first)
            second = await it.deployment.start_ready()
            first.kill()
            await it.writes_more(second)
            third = await it.deployment.start_ready()
            assert await second.stop() == 0
            await it.writes_more(third)
        await it.equal(third)
        status = await it.deployment.command("status")
        assert await third.stop() == 0

        assert status.code == 0, status.text
        for worker in (first, second, third):
            assert worker.entries("task failed") == []
    await witness.assert_nothing_twice(stage.dsn)


async def test_statements_that_share_two_sessions_get_their_own_answers_and_limits(pooled: str):
    settings = ConnectionSettings(dsn=pooled, pooler="transaction", statement_timeout_seconds=7)
    databases = [
        Database(settings, deployment="d", control_schema="c", pool_size=4) for _ in range(SESSIONS)
    ]

    async def ask(number: int) -> set[str]:
        found = set()
        for _ in range(20):
            async with databases[number % 2].connection("asking") as connection:
                found.add(await connection.fetchval("select $1::text", f"answer {number}"))
                found.add(await connection.fetchval("show statement_timeout"))
            async with databases[number % 2].transaction("asking") as connection:
                found.add(await connection.fetchval("show statement_timeout"))
        return found

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(ask(number)) for number in range(8)]
    for database in databases:
        await database.close()

    assert [task.result() for task in asked] == [
        {f"answer {number}", "0", "7s"} for number in range(8)
    ]
