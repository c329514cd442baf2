"""What the view `freshness` tells applications, as the facts of the control schema change."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.control import Control, control_schema


@pytest.fixture
async def control(database: str) -> AsyncIterator[Control]:
    async with control_schema(database) as control:
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

    await control.connection.execute("update replicator.shard set head_at = safe_at")
    assert await seen(control) == (True, 0, "streaming")

    await control.connection.execute(
        "update replicator.shard set polled_at = now() - interval '3 minutes'"
        " where shard_id = 'shard-0'"
    )
    assert await seen(control) == (True, 30, "streaming")

    await control.connection.execute("update replicator.shard set state = 'done', done_at = now()")
    assert await seen(control) == (False, 0, "streaming")


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
