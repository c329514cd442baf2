"""Rows of child tables are those of the item as it is, on a real server and through kills."""

import random
from typing import Any

from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_poison import execute, letters
from tests.support.comparison import Rows, read_rows
from tests.support.families import CHILDREN, KEYS, made, rows_of

KEY = {"pk": "S"}
ITEMS = 9
CHANGES = 240


def entry(table: str, **options: Any) -> dict[str, Any]:
    target = {"columns": {"n": "bigint"}, "children": CHILDREN, **options}
    return {"table": table, "initial_load": "stream", "into": {"public.orders": target}}


async def found(stage: Stage) -> dict[str, Rows]:
    return {name: await read_rows(stage.dsn, name, key=key) for name, key in KEYS.items()}


@one_emulator
async def test_children_are_replaced_and_go_with_their_parent_through_kills(stage: Stage):
    table = await stage.create_table("orders", KEY)
    chance = random.Random(7)
    items: dict[str, dict[str, Any]] = {}
    async with stage.deployment({"orders": entry(table)}) as deployment:
        await deployment.migrate()
        worker = await deployment.start_ready()
        for number in range(CHANGES):
            key = f"k{chance.randrange(ITEMS)}"
            if key in items and chance.random() < 0.15:
                del items[key]
                await stage.client.delete_item(TableName=table, Key={"pk": {"S": key}})
            else:
                items[key] = made(chance, number)
                item = {"pk": {"S": key}, **items[key]}
                await stage.client.put_item(TableName=table, Item=item)
            if number == CHANGES // 2:
                worker.kill()
                worker = await deployment.start_ready()

        async def equal() -> bool:
            parents = await read_rows(stage.dsn, "public.orders", key=("pk",))
            there = {key: str(row["n"]) for (key,), row in parents.items()}
            wanted = {key: item["n"]["N"] for key, item in items.items()}
            return there == wanted and await found(stage) == rows_of(items)

        await worker.until(equal, what="parents and children are equal")
        assert await worker.counted("replicator_rows_total", target="public.lines") > 0
        assert await worker.stop() == 0


@one_emulator
async def test_a_child_that_postgresql_refuses_sets_its_item_aside_and_stays_as_it_was(
    stage: Stage,
):
    table = await stage.create_table("orders", KEY)
    async with stage.deployment({"orders": entry(table)}) as deployment:
        await deployment.migrate()
        items = {
            "a": {"n": {"N": "1"}, "lines": {"L": [{"M": {"sku": {"S": "fine"}}}]}},
            "b": {"n": {"N": "2"}, "lines": {"L": []}},
        }
        for key, item in items.items():
            await stage.client.put_item(TableName=table, Item={"pk": {"S": key}, **item})
        assert (await deployment.run_until_caught_up()).code == 0
        await execute(stage, "alter table public.lines add check (sku <> 'bad')")
        bad = {"n": {"N": "3"}, "lines": {"L": [{"M": {"sku": {"S": "bad"}}}]}}
        await stage.client.put_item(TableName=table, Item={"pk": {"S": "a"}, **bad})
        await stage.client.put_item(TableName=table, Item={"pk": {"S": "b"}, "n": {"N": "4"}})
        assert (await deployment.run_until_caught_up()).code == 0

        parents = await read_rows(stage.dsn, "public.orders", key=("pk",))
        assert {key: row["n"] for (key,), row in parents.items()} == {"a": 1, "b": 4}
        lines = (await found(stage))["public.lines"]
        assert {key: row["sku"] for key, row in lines.items()} == {("a", 0): "fine"}
        [letter] = await letters(stage, "orders")
        assert (letter["target"], letter["state"]) == ("public.orders", "open")
        assert "lines_sku_check" in letter["reason"]
