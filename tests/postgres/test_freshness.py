"""What the view `freshness` tells applications, as the facts of the control schema change."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from replicator.core.status.assemble_status import overview
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.control.status_reads import read_knowledge
from tests.support.bounds import scaled
from tests.support.control import Control, control_schema


@pytest.fixture
async def control(migrated_database: str) -> AsyncIterator[Control]:
    async with control_schema(migrated_database) as control:
        yield control


async def seen(control: Control) -> tuple[Any, ...]:
    """Whether something is applied through, how many minutes it is behind, and the state."""
    [row] = await control.rows(
        "select applied_through is not null, round(extract(epoch from lag) / 60)::int, state"
        "  from replicator.freshness where target_table = 'public.orders'"
    )
    return row


async def test_freshness_follows_what_is_known_of_a_table(control: Control):
    await control.register("orders")
    assert await seen(control) == (False, None, "streaming")

    await control.generation("orders")
    await control.shard("orders", ago=timedelta(minutes=7))
    assert await seen(control) == (True, 7, "streaming")

    await control.shard("orders", "shard-1", ago=timedelta(minutes=30))
    assert await seen(control) == (True, 30, "streaming")

    await control.connection.execute(
        "update replicator.shard set head_at = now(), safe_at = now(), owner = 'one'"
    )
    of_view, of_status = await both(control)  # nobody vouches for it
    assert of_view > 0 < of_status

    await control.worker("one")
    assert await seen(control) == (True, 0, "streaming")

    await control.connection.execute("update replicator.shard set state = 'done', done_at = now()")
    assert await seen(control) == (False, 0, "streaming")


TOLD_NOW = "update replicator.worker set seen_at = now(), told_at = now()"
"""A quarter of a minute later, on a machine that slept, nobody would vouch for a table."""
AGES = {
    "a head that nobody vouches for": "update replicator.worker"
    " set told_at = now() - interval '1h',"
    " evidence = jsonb_set(evidence, '{now}', to_jsonb(now() - interval '1h'))",
    "a worker with another mapping": "update replicator.table_state set mapping_fingerprint = 'x'",
    "a head of long ago": "update replicator.shard set head_at = head_at - interval '5 min',"
    " safe_at = safe_at - interval '5 min'",
    "a shard that ended just now": "update replicator.shard set state = 'done', done_at = now()"
    " where shard_id = 'shard-0'",
    "every shard has ended": "update replicator.shard set state = 'done',"
    " done_at = now() - interval '1 hour', safe_at = now() - interval '1 hour'",
    "one ended long ago": "update replicator.shard set state = 'done',"
    " done_at = now() - interval '1 hour' where shard_id = 'shard-0'",
    "a gap": "update replicator.shard set state = 'gap', owner = null,"
    " safe_at = now() - interval '2 days' where shard_id = 'shard-0'",
    "a gap that was accepted": "update replicator.shard set state = 'gap', owner = null,"
    " gap_accepted_at = now() where shard_id = 'shard-0'",
    "never read": "update replicator.shard set safe_at = null, head_at = null,"
    " found_at = now() - interval '1 hour'",
    "late": "update replicator.worker set evidence = jsonb_set(evidence, '{tables,orders,late}',"
    " jsonb_build_array(jsonb_build_object('stream_arn', (select min(stream_arn) from"
    " replicator.shard), 'shard_id', 'shard-1', 'read_seconds', 1, 'pending_seconds', 9,"
    " 'pending_at', now() - interval '3 minutes', 'failure', null, 'remedy', null)));"
    " update replicator.shard set safe_at = now() - interval '1 hour' where shard_id = 'shard-1'",
    "all is proved": "select 1",
}


@pytest.mark.parametrize("name", AGES)
async def test_the_lag_of_freshness_is_that_of_status(control: Control, name: str):
    await control.register("orders")
    await control.generation("orders")
    for shard in ("shard-0", "shard-1"):
        await control.shard("orders", shard, owner="one")
        await control.head("orders", shard)
    await control.worker("one")
    assert await both(control) == (0, 0)

    await control.connection.execute(f"{TOLD_NOW}; {AGES[name]}")

    of_view, of_status = await both(control)
    assert of_view == pytest.approx(of_status, abs=scaled(10))
    at_head = name in ("all is proved", "one ended long ago", "a gap that was accepted")
    assert (of_view == 0, of_status == 0) == (at_head, at_head)


async def both(control: Control) -> tuple[float, float]:
    """Seconds of lag, as the view and as `status` tell them."""
    [(of_view,)] = await control.rows(
        "select extract(epoch from lag)::float8 from replicator.freshness"
    )
    settings = ConnectionSettings(dsn=control.dsn)
    database = Database(settings, deployment="test", control_schema="replicator", pool_size=1)
    try:
        knowledge, now = await read_knowledge(database)
    finally:
        await database.close()
    [table] = overview(knowledge, now=now).tables
    assert table.lag_seconds is not None
    return of_view, table.lag_seconds


async def test_freshness_says_why_a_table_is_not_complete(control: Control):
    await control.register("orders")
    await control.connection.execute(
        "insert into replicator.snapshot (deployment, source, reason, who)"
        " values ('test', 'orders', 'initial', 'a worker')"
    )
    assert (await seen(control))[2] == "snapshot"

    await control.connection.execute("update replicator.snapshot set state = 'done'")
    assert (await seen(control))[2] == "streaming"

    await control.connection.execute("update replicator.table_state set paused = true")
    assert (await seen(control))[2] == "paused"

    await control.gap("orders")
    assert (await seen(control))[2] == "gap"

    await control.connection.execute("update replicator.table_state set halted = true")
    assert (await seen(control))[2] == "halted"
