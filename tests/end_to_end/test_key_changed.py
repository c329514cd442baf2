"""A table that is created anew with another key: nothing of it is written under the old mapping."""

import json

import pytest

from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_snapshot import configured, loaded, put_all, rows, sql
from tests.support.bounds import lease
from tests.support.daemon import Worker

pytestmark = one_emulator
OLD = {f"k{number:05}": 5 for number in range(5)}


async def create_anew_with_a_sort_key(stage: Stage, worker: Worker) -> None:
    """Ten items that would be two rows of the old mapping; the worker sees no moment between."""
    table = f"{stage.prefix}-orders"
    with worker.frozen():
        await stage.client.delete_table(TableName=table)
        await stage.create_table("orders", {"pk": "S", "sk": "S"})
        for number in range(10):
            item = {"pk": {"S": f"new{number % 2}"}, "sk": {"S": str(number)}, "total": {"N": "1"}}
            await stage.client.put_item(TableName=table, Item=item)


async def halted(stage: Stage, worker: Worker) -> str:
    async def reason() -> str | None:
        [(found,)] = await sql(stage, "select reason from replicator.table_state")
        return found

    return await worker.until(reason, what="the table halts") or ""


@pytest.mark.parametrize("on_gap", ["resnapshot", "continue"])
async def test_a_table_created_anew_with_another_key_halts_and_is_not_written(
    stage: Stage, on_gap: str
):
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(5), total=5)
    entry = configured(table, on_gap=on_gap)
    async with stage.deployment(entry, lease_seconds=lease(1.0)) as deployment:
        await deployment.migrate()
        worker = await deployment.start_ready()
        await loaded(worker)
        await create_anew_with_a_sort_key(stage, worker)

        assert "has the key (pk S, sk S) now" in await halted(stage, worker)
        status = json.loads((await deployment.command("status", "--json")).stdout)
        assert [table["state"] for table in status["tables"]] == ["halted"]
        assert await worker.stop() == 3

    assert await rows(stage) == OLD


async def test_a_snapshot_that_is_asked_for_reads_no_table_with_another_key(stage: Stage):
    """AWS Lambda reads the stream: workers do not discover it, and make the snapshots alone."""
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(5), total=5)
    async with stage.deployment(configured(table, poller="lambda"), lease_seconds=lease(1.0)) as it:
        await it.migrate()
        worker = await it.start_ready()
        await loaded(worker)
        await create_anew_with_a_sort_key(stage, worker)
        await it.command("snapshot", "--table", "orders", "--detach")

        assert "has the key (pk S, sk S) now" in await halted(stage, worker)
        assert await worker.stop() == 3

    assert await rows(stage) == OLD
