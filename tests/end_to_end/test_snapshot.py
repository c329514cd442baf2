"""A table that is full before anybody reads its stream: loaded beside it, whatever happens."""

import asyncio
from typing import Any

from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.comparison import read_rows

pytestmark = one_emulator


def item(number: int, total: int) -> dict[str, Any]:
    return {"pk": {"S": f"k{number:05}"}, "total": {"N": str(total)}}


async def put_all(stage: Stage, table: str, numbers: range, total: int = 0) -> None:
    """Put items in big requests, several at once."""
    size = 25

    async def put(start: int) -> None:
        requests = [
            {"PutRequest": {"Item": item(number, total)}}
            for number in numbers[start : start + size]
        ]
        await stage.client.batch_write_item(RequestItems={table: requests})

    async with asyncio.TaskGroup() as tasks:
        for start in range(0, len(numbers), size):
            tasks.create_task(put(start))


def configured(table: str, **options: Any) -> dict[str, Any]:
    return {
        "orders": {
            "table": table,
            "into": {"public.orders": {"columns": {"total": "numeric"}, "rest": None}},
            **options,
        }
    }


async def rows(stage: Stage) -> dict[str, int]:
    found = await read_rows(stage.dsn, "public.orders", key=("pk",))
    return {key[0]: int(row["total"]) for key, row in found.items()}


async def items(stage: Stage, table: str) -> dict[str, int]:
    found: dict[str, int] = {}
    pages = stage.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    async for page in pages:
        found |= {it["pk"]["S"]: int(it["total"]["N"]) for it in page["Items"]}
    return found


async def test_a_full_table_is_loaded_when_it_is_run_until_caught_up(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(700))
    async with stage.deployment(configured(table), lease_seconds=2.0) as deployment:
        await deployment.migrate()
        worker = await deployment.run_until_caught_up()

    assert worker.code == 0
    assert await rows(stage) == {f"k{number:05}": 0 for number in range(700)}
