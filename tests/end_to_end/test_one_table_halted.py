"""A table that halts stops alone: the other goes on, the process stays ready, status says why."""

import re
from typing import Any

import asyncpg

from tests.end_to_end.conftest import Stage
from tests.support.comparison import read_rows
from tests.support.daemon import Worker

KEY = {"pk": "S"}


def entry(table: str, name: str) -> dict[str, Any]:
    columns = {"n": "bigint"}
    return {
        "table": table,
        "initial_load": "stream",
        "into": {f"public.{name}": {"columns": columns}},
    }


async def execute(stage: Stage, statement: str) -> None:
    connection = await asyncpg.connect(stage.dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def arrives(stage: Stage, worker: Worker, name: str, *keys: str) -> None:
    """Wait until the table holds exactly these keys."""

    async def there() -> bool:
        rows = await read_rows(stage.dsn, f"public.{name}", key=("pk",))
        return {key for (key,) in rows} == set(keys)

    await worker.until(there, what=f"{name} holds {keys}")


async def sound(worker: Worker) -> bool:
    return (await worker.get("/readyz?table=sound"))[0] == 200


async def test_the_others_go_on_and_resume_catches_up(stage: Stage):
    tables = {name: await stage.create_table(name, KEY) for name in ("sound", "broken")}

    async def put(key: str) -> None:
        for table in tables.values():
            item = {"pk": {"S": key}, "n": {"N": "1"}}
            await stage.client.put_item(TableName=table, Item=item)

    async with stage.deployment({n: entry(t, n) for n, t in tables.items()}) as deployment:
        await deployment.migrate()
        worker = await deployment.start_ready()
        await put("a")
        for name in tables:
            await arrives(stage, worker, name, "a")

        await execute(stage, "alter table public.broken drop column n")
        await put("b")

        async def halted() -> bool:
            return (await worker.table("broken")).get("state") == "halted"

        await worker.until(halted, what="the table is halted")
        await put("c")
        await arrives(stage, worker, "sound", "a", "b", "c")
        broken = await worker.shown_table("broken")
        assert re.search(r"42703|column 'n' \(bigint\) is missing", broken["reason"])
        assert re.search("`replicator (check|migrate)`", broken["remedy"])
        assert (await worker.shown_table("sound"))["state"] == "streaming"
        assert (await worker.get("/healthz"))[0] == 200
        assert (await worker.get("/readyz"))[0] == 200
        await worker.until(lambda: sound(worker), what="the other table is ready")
        assert (await worker.get("/readyz?table=broken"))[0] == 503
        assert await worker.counted("replicator_table_state", table="broken", state="halted") == 1
        await arrives(stage, worker, "broken", "a")
        assert await worker.stop() == 3

        await execute(stage, "alter table public.broken add column n bigint")
        worker = await deployment.start_ready()
        await worker.until(halted, what="a restart does not lift the halt")
        resumed = await deployment.command("resume", "--table", "broken")
        assert resumed.code == 0, resumed.text
        await arrives(stage, worker, "broken", "a", "b", "c")

        async def streaming() -> bool:
            return (await worker.table("broken")).get("state") == "streaming"

        await worker.until(streaming, what="the halt is lifted")
        assert await worker.stop() == 0
