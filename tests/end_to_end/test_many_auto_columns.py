"""An item with far more attributes than a target has columns, with `columns: auto`."""

from typing import Any

import asyncpg

from replicator.core.mapping.auto_columns import COLUMNS_MAX
from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.bounds import kept_lease
from tests.support.comparison import read_rows
from tests.support.daemon import brought_about

NAMES = [f"a{number:03}" for number in range(600)]
ITEM: dict[str, Any] = {name: {"S": name} for name in NAMES}
ADDED = COLUMNS_MAX - len(["pk", "extra"])


async def wide_table(stage: Stage) -> tuple[str, dict[str, Any]]:
    table = await stage.create_table("wide", {"pk": "S"})
    target = {"columns": "auto", "rest": "extra"}
    return table, {"wide": {"table": table, "initial_load": "stream", "into": {"public.w": target}}}


async def appeared(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetchval("select count(*) from replicator.auto_column")
    finally:
        await connection.close()
    return int(found)


async def values(dsn: str, key: str) -> dict[str, Any]:
    """What a row says of its item, wherever it says it."""
    rows = await read_rows(dsn, "public.w", key=("pk",))
    row = rows.get((key,), {"extra": {}})
    columns = {n: v for n, v in row.items() if n not in ("pk", "extra") and v is not None}
    assert not columns.keys() & row["extra"].keys()
    return columns | row["extra"]


@one_emulator
async def test_one_item_with_600_attributes_adds_one_group_and_warns_once(stage: Stage):
    table, tables = await wide_table(stage)
    async with stage.deployment(tables) as deployment:
        await deployment.migrate()
        worker = deployment.start()
        await stage.client.put_item(TableName=table, Item={"pk": {"S": "a"}, **ITEM})

        async def added() -> bool:
            return await appeared(stage.dsn) == ADDED

        await worker.until(added, what="columns appear")
        await stage.client.put_item(TableName=table, Item={"pk": {"S": "b"}, **ITEM})

        async def there() -> bool:
            row = await values(stage.dsn, "b")
            return row == {name: name for name in NAMES}

        await brought_about(there, what="the next item is there", by=[worker])
        assert await worker.stop() == 0
        [line] = worker.entries("columns added")
        assert (line["table"], line["target"], line["count"]) == ("wide", "public.w", ADDED)
        [line] = worker.entries("no columns for attributes")
        assert (line["target"], line["count"]) == ("public.w", len(NAMES) - ADDED)
        assert len(line["attributes"]) < len(NAMES) - ADDED


async def epochs(dsn: str, source: str) -> list[int]:
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch(
            "select epoch from replicator.shard where source = $1 order by shard_id", source
        )
    finally:
        await connection.close()
    return [row["epoch"] for row in found]


@one_emulator
async def test_new_columns_restart_nothing_but_their_table(stage: Stage):
    wide, tables = await wide_table(stage)
    other = await stage.create_table("other", {"pk": "S"})
    into = {"public.other": {"columns": {"n": "integer"}}}
    tables["other"] = {"table": other, "initial_load": "stream", "into": into}
    written = 0

    async def write(attributes: dict[str, Any]) -> None:
        nonlocal written
        written += 1
        key = {"pk": {"S": str(written)}}
        await stage.client.put_item(TableName=wide, Item=key | attributes)
        await stage.client.put_item(TableName=other, Item=key | {"n": {"N": str(written)}})

    # longer than a machine can be too busy to renew: who loses a lease claims its shard again
    async with stage.deployment(tables, lease_seconds=kept_lease(8.0)) as deployment:
        await deployment.migrate()
        worker = deployment.start()

        async def both_read() -> bool:
            return bool(await epochs(stage.dsn, "other") and await epochs(stage.dsn, "wide"))

        await write({"first": {"S": "x"}})
        await worker.until(both_read, what="both tables are read")

        for group in ("first", "second", "third"):

            async def there(group: str = group) -> bool:
                await write({group: {"S": group}})
                rows = await read_rows(stage.dsn, "public.w", key=("pk",))
                return any(row.get(group) == group for row in rows.values())

            await brought_about(there, what=f"the column {group} is filled", by=[worker])

        async def equal() -> bool:
            rows = await read_rows(stage.dsn, "public.other", key=("pk",))
            return {int(key): row["n"] for (key,), row in rows.items()} == {
                number: number for number in range(1, written + 1)
            }

        await brought_about(equal, what="the other table is equal", by=[worker])
        assert await epochs(stage.dsn, "other") == [1]
        claimed = [line["table"] for line in worker.entries("shard claimed")]
        assert claimed.count("other") == 1
        assert claimed.count("wide") > 3
        assert "other" not in {line["table"] for line in worker.entries("lease released")}
        assert await worker.stop() == 0


@one_emulator
async def test_a_run_until_caught_up_adds_the_columns_and_ends_with_whole_rows(stage: Stage):
    table, tables = await wide_table(stage)
    async with stage.deployment(tables) as deployment:
        await deployment.migrate()
        await stage.client.put_item(TableName=table, Item={"pk": {"S": "a"}, **ITEM})

        run = await deployment.run_until_caught_up()
        assert await run.ended() == 0, run.tail()

        assert await values(stage.dsn, "a") == {name: name for name in NAMES}
        assert await appeared(stage.dsn) == ADDED
