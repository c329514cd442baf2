"""Columns appear while two workers write, and no value is in the column and the rest at once."""

import random
from decimal import Decimal
from typing import Any

import asyncpg

from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.comparison import read_rows
from tests.support.daemon import brought_about

ATTRIBUTES = {
    "n": lambda chance: {"N": str(chance.randrange(99))},
    "color": lambda chance: {"S": chance.choice(["red", "blue"])},
    "paid": lambda chance: {"BOOL": chance.random() < 0.5},
    "tags": lambda _: {"SS": ["a", "b"]},
    "odd": lambda chance: chance.choice([{"N": "7"}, {"S": "seven"}]),
}


def plain(value: dict[str, Any]) -> Any:
    [(tag, raw)] = value.items()
    return Decimal(raw) if tag == "N" else raw


def together(row: dict[str, Any]) -> dict[str, Any]:
    """What a row says of its item, wherever it says it."""
    columns = {
        name: value
        for name, value in row.items()
        if name not in ("pk", "extra") and value is not None
    }
    assert not columns.keys() & row["extra"].keys(), row
    return columns | row["extra"]


@one_emulator
async def test_columns_appear_while_two_workers_write(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    target = {"columns": "auto", "rest": "extra"}
    tables = {"orders": {"table": table, "initial_load": "stream", "into": {"public.o": target}}}
    chance = random.Random(3)
    items: dict[str, dict[str, Any]] = {}

    async def write(names: list[str], count: int) -> None:
        for _ in range(count):
            key = f"k{chance.randrange(12)}"
            chosen = chance.sample(names, chance.randint(1, len(names)))
            items[key] = {name: ATTRIBUTES[name](chance) for name in chosen}
            await stage.client.put_item(TableName=table, Item={"pk": {"S": key}, **items[key]})

    async def columns() -> set[str]:
        connection = await asyncpg.connect(stage.dsn)
        try:
            found = await connection.fetch(
                "select attribute from replicator.auto_column where target = 'public.o'"
            )
        finally:
            await connection.close()
        return {row["attribute"] for row in found}

    async with stage.deployment(tables) as deployment:
        await deployment.migrate()
        workers = [deployment.start(), deployment.start()]
        await write(["n", "color"], 40)

        async def first() -> bool:
            return await columns() == {"n", "color"}

        await workers[0].until(first, what="two columns appear")
        await write(list(ATTRIBUTES), 60)

        async def equal() -> bool:
            rows = await read_rows(stage.dsn, "public.o", key=("pk",))
            there = {key: together(row) for (key,), row in rows.items()}
            wanted = {
                key: {name: plain(value) for name, value in item.items()}
                for key, item in items.items()
            }
            return there == wanted and await columns() == set(ATTRIBUTES)

        await brought_about(equal, what="all columns are there", by=workers)
        for worker in workers:
            assert await worker.stop() == 0
        assert await (await deployment.run_until_caught_up()).ended() == 0
        plan = await deployment.command("plan", "--exit-code")
        assert plan.code == 0, plan.text
