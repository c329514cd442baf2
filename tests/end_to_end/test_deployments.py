"""Where a table begins, what a deployment owns, and what happens when its configuration changes."""

import time
from typing import Any

from tests.end_to_end import witness
from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.comparison import read_rows
from tests.support.daemon import Deployment, Worker
from tests.support.scripted_streams import scripted_streams

KEY = {"pk": "S"}


def entry(table: str, target: str, **options: Any) -> dict[str, Any]:
    columns = {"change": "bigint"}
    into = {f"public.{target}": {"columns": columns}}
    return {"table": table, "initial_load": "stream", "into": into, **options}


def item(key: str, change: int) -> dict[str, Any]:
    return {"pk": {"S": key}, "change": {"N": str(change)}}


async def held(stage: Stage, target: str) -> dict[str, int]:
    rows = await read_rows(stage.dsn, f"public.{target}", key=("pk",))
    return {key: row["change"] for (key,), row in rows.items()}


async def caught_up(deployment: Deployment) -> Worker:
    worker = await deployment.run_until_caught_up()
    assert worker.code == 0, worker.tail()
    return worker


async def test_none_skips_what_is_older_than_the_start_and_nothing_after_a_restart(stage: Stage):
    async with await scripted_streams(forward=stage.url) as streams:
        table = streams.table("orders")
        tables = {"orders": entry("orders", "orders", initial_load="none")}
        async with stage.deployment(tables, endpoint_url=streams.endpoint_url) as deployment:
            await deployment.migrate()
            now = time.time()
            table.put(item("long ago", 1), created_at=now - 3600)
            table.put(item("too long ago", 2), created_at=now - 180)
            table.put(item("within the margin", 3), created_at=now)
            await caught_up(deployment)
            assert await held(stage, "orders") == {"within the margin": 3}

            table.put(item("while nobody ran", 4))
            await caught_up(deployment)

    assert await held(stage, "orders") == {"within the margin": 3, "while nobody ran": 4}


@one_emulator
async def test_a_target_of_another_deployment_is_refused(stage: Stage):
    table = await stage.create_table("orders", KEY)
    tables = {"orders": entry(table, "orders")}
    await stage.client.put_item(TableName=table, Item=item("a", 1))
    async with stage.deployment(tables, name="first") as first:
        await first.migrate()
        await caught_up(first)
    async with stage.deployment(tables, name="second") as second:
        for command in ("migrate", "run"):
            refused = await second.command(command)

            assert refused.code == 2, refused.text
            assert f"{stage.prefix}-first" in refused.stderr
            assert "Traceback" not in refused.text


@one_emulator
async def test_two_deployments_read_one_stream_side_by_side(stage: Stage):
    table = await stage.create_table("orders", KEY)
    names = ("left", "right")
    deployments = [
        stage.deployment({"orders": entry(table, name)}, name=name, control_schema=f"of_{name}")
        for name in names
    ]
    async with deployments[0], deployments[1]:
        workers = []
        for deployment in deployments:
            await deployment.migrate()
            workers.append(deployment.start())
        expected = {f"key {number}": number for number in range(30)}
        for key, number in expected.items():
            await stage.client.put_item(TableName=table, Item=item(key, number))

        for name, worker in zip(names, workers, strict=True):

            async def arrived(name: str = name) -> bool:
                return await held(stage, name) == expected

            await worker.until(arrived, what=f"{name} is equal")
            assert await worker.stop() == 0


@one_emulator
async def test_a_table_that_leaves_the_configuration_goes_on_where_it_was(stage: Stage):
    tables = {
        name: entry(await stage.create_table(name, KEY), name) for name in ("kept", "returning")
    }

    async def put(key: str, change: int) -> None:
        for configured in tables.values():
            await stage.client.put_item(TableName=configured["table"], Item=item(key, change))

    async with stage.deployment(tables) as deployment:
        await deployment.migrate()
        await witness.install(stage.dsn, "public.returning", key=("pk",))
        await put("a", 1)
        await caught_up(deployment)

        deployment.settings["tables"] = {"kept": tables["kept"]}
        await put("b", 2)
        await caught_up(deployment)
        assert await held(stage, "kept") == {"a": 1, "b": 2}
        assert await held(stage, "returning") == {"a": 1}

        deployment.settings["tables"] = tables
        await caught_up(deployment)

    assert await held(stage, "returning") == {"a": 1, "b": 2}
    assert [write.new for write in await witness.written(stage.dsn)] == [1, 2]
    await witness.assert_nothing_twice(stage.dsn)
