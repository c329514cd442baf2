"""A history beside the row: every change once, through kills, and what it refuses is kept."""

import json
from typing import Any

import asyncpg

from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.comparison import read_rows

KEY = {"pk": "S"}
CHANGES = 300


def entry(table: str, **options: Any) -> dict[str, Any]:
    columns = {"n": "bigint"}
    target = {"columns": columns, "history": "audit.orders_history", **options}
    return {"table": table, "initial_load": "stream", "into": {"public.orders": target}}


async def put(stage: Stage, table: str, key: str, n: Any, **others: Any) -> None:
    item = {"pk": {"S": key}, "n": {"N": str(n)}, **others}
    await stage.client.put_item(TableName=table, Item=item)


async def fetch(stage: Stage, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(stage.dsn)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def history(stage: Stage) -> list[tuple[str, str, Any, Any]]:
    """Item, operation and n before and after, in the order of the stream."""
    rows = await fetch(stage, "select * from audit.orders_history order by sequence_number")

    def n_of(image: str | None) -> Any:
        return None if image is None else json.loads(image)["n"]

    return [
        (
            json.loads(row["keys"])["pk"],
            row["operation"],
            n_of(row["old_image"]),
            n_of(row["new_image"]),
        )
        for row in rows
    ]


@one_emulator
async def test_every_change_is_appended_once_though_workers_are_killed(stage: Stage):
    table = await stage.create_table("orders", KEY)
    async with stage.deployment({"orders": entry(table)}) as deployment:
        await deployment.migrate()
        made: list[tuple[str, str, Any, Any]] = []
        worker = await deployment.start_ready()
        last: dict[str, int] = {}
        for number in range(CHANGES):
            key = f"k{number % 7}"
            if number % 11 == 10 and key in last:
                await stage.client.delete_item(TableName=table, Key={"pk": {"S": key}})
                made.append((key, "remove", last.pop(key), None))
            else:
                await put(stage, table, key, number)
                event = "modify" if key in last else "insert"
                made.append((key, event, last.get(key), number))
                last[key] = number
            if number in (100, 200):
                worker.kill()
                worker = await deployment.start_ready()

        async def complete() -> bool:
            return len(await history(stage)) >= len(made)

        await worker.until(complete, what="the history is complete")
        assert await worker.stop() == 0

    assert sorted(await history(stage), key=str) == sorted(made, key=str)
    rows = await read_rows(stage.dsn, "public.orders", key=("pk",))
    assert {key: row["n"] for (key,), row in rows.items()} == last


@one_emulator
async def test_a_change_that_the_history_refuses_waits_for_a_person(stage: Stage):
    table = await stage.create_table("orders", KEY)
    async with stage.deployment({"orders": entry(table)}) as deployment:
        await deployment.migrate()
        await put(stage, table, "a", 1, note={"S": "a\0b"})
        connection = await asyncpg.connect(stage.dsn)
        await connection.execute(
            "alter table audit.orders_history add check ((new_image->>'n')::int <> 13)"
        )
        await connection.close()
        await put(stage, table, "b", 13)
        assert (await deployment.run_until_caught_up()).code == 0
        await put(stage, table, "a", 2)
        await put(stage, table, "b", 3)  # the old image of a's change holds the NUL, too
        assert (await deployment.run_until_caught_up()).code == 0

    rows = await read_rows(stage.dsn, "public.orders", key=("pk",))
    assert {key: row["n"] for (key,), row in rows.items()} == {"a": 2, "b": 3}
    assert await history(stage) == [("b", "modify", 13, 3)]
    letters = await fetch(stage, "select * from replicator.dead_letter")
    assert [(letter["target"], letter["state"]) for letter in letters] == [
        ("audit.orders_history", "open")
    ] * 3
