"""Time limits that a pooler or a role sets, met by workers behind a real PgBouncer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import STATEMENT, Replica
from tests.faults.test_target_at_fault import is_halted, limit_sessions, slow_rows
from tests.support.bounds import lease
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres_versions import needs_transaction_timeout
from tests.support.proxy import Proxy, proxy

pytestmark = pytest.mark.faults

ROWS = 60
LIMIT_SECONDS = lease(1.0)
ALWAYS = 1_000_000


@asynccontextmanager
async def behind_a_pooler(
    new_replica: NewReplica, migrated_database: str, *, query_timeout: float = 0
) -> AsyncIterator[tuple[Replica, Proxy]]:
    """A replica whose workers reach PostgreSQL through a link and a pooler."""
    with pgbouncer(migrated_database, sessions=4, query_timeout=query_timeout) as dsn:
        async with proxy(dsn) as link, new_replica(worker_dsn=link.dsn) as it:
            it.deployment.settings["target"]["pooler"] = "transaction"
            yield it, link


async def test_query_timeout_of_the_pooler_makes_batches_smaller(
    new_replica: NewReplica, migrated_database: str
):
    """The pooler ends the client: the error is beneath a lost connection, and tried again as one
    the batch would meet the limit for ever. Whatever else a busy machine lets meet it is tried
    again, and may say so.
    """
    async with behind_a_pooler(new_replica, migrated_database, query_timeout=LIMIT_SECONDS) as (
        it,
        _,
    ):
        await slow_rows(it, seconds_for_each=4 * LIMIT_SECONDS / ROWS)
        it.load.write_everywhere([f"key {number}" for number in range(ROWS)])
        worker = it.deployment.start()

        await it.equal(worker)

        assert worker.entries("table halted") == []
        assert await it.sql("select from replicator.dead_letter") == []
        assert await worker.stop() == 0


@pytest.mark.wide  # without a pooler the same limit is in test_target_at_fault.py
async def test_query_timeout_that_not_one_record_keeps_halts_with_its_name(
    new_replica: NewReplica, migrated_database: str
):
    async with behind_a_pooler(new_replica, migrated_database, query_timeout=LIMIT_SECONDS) as (
        it,
        _,
    ):
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        await slow_rows(it, seconds_for_each=4 * LIMIT_SECONDS)
        it.load.write(3)

        reason = await is_halted(worker)

        assert "a single record takes longer than the pooler's query_timeout allows" in reason
        assert await it.sql("select from replicator.dead_letter") == []
        assert await worker.stop() == 3


async def test_a_slow_link_makes_batches_smaller_where_transactions_have_a_limit(
    new_replica: NewReplica, migrated_database: str
):
    async with behind_a_pooler(new_replica, migrated_database) as (it, link):
        await needs_transaction_timeout(it.sql)
        await limit_sessions(it, transaction_timeout=LIMIT_SECONDS)
        it.load.write_everywhere([f"key {number}" for number in range(ROWS)])
        slow = link.plan(
            "delay",
            kind="B",
            statement=STATEMENT,
            times=ALWAYS,
            bytes_a_second=2500 / LIMIT_SECONDS,
        )
        worker = it.deployment.start()

        await it.equal(worker)

        assert slow.met.is_set()
        assert await it.sql("select from replicator.dead_letter") == []
        assert await worker.stop() == 0


async def test_a_session_that_idled_too_long_inside_a_transaction_is_left_and_halts_no_table(
    new_replica: NewReplica, migrated_database: str
):
    async with behind_a_pooler(new_replica, migrated_database) as (it, link):
        await limit_sessions(it, idle_in_transaction_session_timeout=LIMIT_SECONDS)
        it.load.write_everywhere([f"key {number}" for number in range(ROWS)])
        idle = link.plan("delay", kind="P", statement=STATEMENT, times=3, seconds=2 * LIMIT_SECONDS)
        worker = it.deployment.start()

        await it.equal(worker)

        assert idle.times == 0
        assert worker.entries("table halted") == []
        assert await it.sql("select from replicator.dead_letter") == []
        assert await worker.stop() == 0


@pytest.mark.wide
async def test_transactions_that_idle_too_long_for_one_record_halt_with_the_limits_name(
    new_replica: NewReplica, migrated_database: str
):
    async with behind_a_pooler(new_replica, migrated_database) as (it, link):
        await limit_sessions(it, idle_in_transaction_session_timeout=LIMIT_SECONDS)
        worker = await it.deployment.start_ready()
        link.plan("delay", kind="P", statement=STATEMENT, times=ALWAYS, seconds=2 * LIMIT_SECONDS)
        it.load.write(3)

        reason = await is_halted(worker)

        expected = "a single record takes longer than idle_in_transaction_session_timeout allows"
        assert expected in reason
        assert await it.sql("select from replicator.dead_letter") == []
        assert await worker.stop() == 3
