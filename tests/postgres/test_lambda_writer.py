"""What Lambda writes is fenced by the row of its table, held shared until the COMMIT."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.claims import Advance
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream_record import Position
from replicator.errors import Fenced
from replicator.postgres.write.lambda_writer import Deliveries, Delivery
from tests.support.builders import NOON, STREAM, record, table_mapping
from tests.support.guarded import GuardedTable, guarded_table
from tests.support.waiting import eventually

WAITING = (
    "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
)
MOVED = Advance(
    expected=None, position=Position(5), known=Position(5), created_at=NOON, polled_at=NOON
)


@pytest.fixture
async def table(migrated_database: str) -> AsyncIterator[GuardedTable]:
    async with guarded_table(migrated_database, table_mapping()) as table:
        await table.switch(ordering=OrderingMode.LAMBDA, when=[OrderingMode.FENCE])
        yield table


async def apply(table: GuardedTable, deliveries: Deliveries, delivery: Delivery) -> None:
    change = record(5, "a", event="modify", at=NOON, n={"N": "5"})
    plan = plan_batch([change], table.mapping, read_at=0.0)
    await deliveries.apply(plan, claim=delivery.claim, advance=MOVED)


@pytest.mark.parametrize(
    "change",
    [
        "mode = 'guard'",
        "mode = 'fence'",
        "paused = true",
        "halted = true",
        "mapping_fingerprint = 'another'",
        "snapshot_id = 7",
    ],
)
async def test_a_table_that_changed_since_lambda_looked_is_not_written(
    table: GuardedTable, change: str
):
    deliveries = Deliveries(table.database, table.mapping)
    delivery = await deliveries.read(STREAM)
    await table.fetch(f"update replicator.table_state set {change}")

    with pytest.raises(Fenced):
        await apply(table, deliveries, delivery)

    assert await table.rows() == {}
    assert await table.fetch("select 1 from replicator.row_version") == []


async def test_a_switch_waits_for_the_delivery_that_is_being_written(table: GuardedTable):
    await table.fetch("insert into public.t (pk) values ('a')")
    deliveries = Deliveries(table.database, table.mapping)
    delivery = await deliveries.read(STREAM)

    async def waiting(sessions: int) -> bool:
        return len(await table.fetch(WAITING)) == sessions

    async with asyncio.TaskGroup() as tasks:
        async with table.held() as other:
            await other.execute("select 1 from public.t for update")
            tasks.create_task(apply(table, deliveries, delivery))
            await eventually(lambda: waiting(1), what="the delivery waits for the row")
            switch = tasks.create_task(
                table.switch(ordering=OrderingMode.FENCE, when=[OrderingMode.LAMBDA])
            )
            await eventually(lambda: waiting(2), what="the switch waits for the delivery")
        assert await switch

    assert await table.rows() == {"a": 5}
