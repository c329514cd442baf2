"""A table that is full before anybody reads its stream: loaded beside it, whatever happens."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import asyncpg

from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.bounds import USUAL_SECONDS, lease
from tests.support.comparison import read_rows
from tests.support.daemon import Deployment, Worker
from tests.support.waiting import pace

SWITCHED = "the table was reconfigured; its shard is claimed again, nothing was written"

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
    async with stage.deployment(configured(table), lease_seconds=lease(2.0)) as deployment:
        await deployment.migrate()
        worker = await deployment.run_until_caught_up()

    assert worker.code == 0
    assert await rows(stage) == {f"k{number:05}": 0 for number in range(700)}


async def change_all_the_while(stage: Stage, table: str, numbers: range, chance: Random) -> None:
    """Updates, deletions, insertions and re-insertions of items before and behind their page."""
    number = chance.choice(numbers)
    request: dict[str, Any]
    if chance.random() < 0.4:
        request = {"DeleteRequest": {"Key": {"pk": {"S": f"k{number:05}"}}}}
    else:
        request = {"PutRequest": {"Item": item(number, chance.randint(1, 10**6))}}
    await stage.client.batch_write_item(RequestItems={table: [request]})


@asynccontextmanager
async def under_changes(stage: Stage, table: str, numbers: range, seed: int) -> AsyncIterator[None]:
    """One change after the other while the block runs."""
    stopping = asyncio.Event()
    chance = Random(seed)

    async def go_on() -> None:
        while not stopping.is_set():
            await change_all_the_while(stage, table, numbers, chance)
            await pace(0.01)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(go_on())
        try:
            yield
        finally:
            stopping.set()


async def snapshot_of(worker: Worker) -> dict[str, Any]:
    return (await worker.table("orders")).get("snapshot") or {}


async def scanned(worker: Worker, items_min: int) -> None:
    """Wait until the scan has read so many items."""

    async def enough() -> bool:
        return (await snapshot_of(worker)).get("items", 0) >= items_min

    await worker.until(enough, what=f"{items_min} items are read")


async def loaded(
    worker: Worker, *, reason: str = "initial", seconds: float = USUAL_SECONDS
) -> None:
    """Wait until the newest snapshot is done and the table streams."""

    async def done() -> bool:
        table = await worker.table("orders")
        snapshot = table.get("snapshot") or {}
        ended = (snapshot.get("reason"), snapshot.get("state")) == (reason, "done")
        return ended and table["state"] == "streaming"

    await worker.until(done, what="the snapshot is done", seconds=seconds)


async def sql(stage: Stage, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(stage.dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def equal(
    stage: Stage, table: str, worker: Worker, *, seconds: float = USUAL_SECONDS
) -> None:
    """Wait until the target holds what the source holds."""

    async def same() -> bool:
        return await items(stage, table) == await rows(stage)

    await worker.until(same, what="source and target are equal", seconds=seconds)


def slowly(deployment: Deployment, units: int) -> Deployment:
    deployment.settings["snapshot"] = {"read_units_per_second": units, "segments": 2}
    return deployment


async def test_killed_while_it_scans_it_goes_on_where_it_stopped(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(1500))
    async with slowly(
        stage.deployment(configured(table), lease_seconds=lease(1.0)), 2
    ) as deployment:
        await deployment.migrate()
        async with under_changes(stage, table, range(1600), seed=1):
            for items_min in (50, 300):
                worker = deployment.start()
                await scanned(worker, items_min)
                worker.kill()
            worker = deployment.start()
            await loaded(worker)
        await equal(stage, table, worker)
        assert (await snapshot_of(worker))["items"] < 1700
        assert await worker.stop() == 0


async def test_a_worker_that_is_frozen_while_it_scans_writes_nothing_when_it_wakes(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(800))
    async with slowly(
        stage.deployment(configured(table), lease_seconds=lease(1.0)), 2
    ) as deployment:
        await deployment.migrate()
        async with under_changes(stage, table, range(900), seed=2):
            frozen = deployment.start()
            await scanned(frozen, 50)
            frozen.signal(signal.SIGSTOP)
            heir = deployment.start()
            await loaded(heir)
            frozen.signal(signal.SIGCONT)
        await equal(stage, table, heir)
        assert await frozen.stop() == 0
        assert await heir.stop() == 0


async def test_a_stream_that_was_off_heals_with_the_rows_of_items_deleted_meanwhile(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(60))
    entry = configured(table, on_gap="resnapshot")
    async with stage.deployment(entry, lease_seconds=lease(2.0)) as deployment:
        await deployment.migrate()
        worker = deployment.start()
        await loaded(worker)
        await equal(stage, table, worker)
        # a worker that looks while the stream is off halts the table
        assert await worker.stop() == 0
        await stage.enable_stream(table, on=False)
        await put_all(stage, table, range(40, 90), total=7)
        for number in range(20):
            await stage.client.delete_item(TableName=table, Key={"pk": {"S": f"k{number:05}"}})
        await stage.enable_stream(table, on=True)
        worker = deployment.start()
        await loaded(worker, reason="gap")
        await equal(stage, table, worker)

        assert (await snapshot_of(worker))["swept"] == 20
        gaps = await sql(stage, "select state, closed_by, closed_why from replicator.gap")
        assert gaps == [("healed", "configuration", "on_gap: resnapshot")]


async def test_a_snapshot_is_asked_for_watched_and_left_alone(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(30))
    entry = configured(table, initial_load="stream")
    async with stage.deployment(entry, lease_seconds=lease(2.0)) as deployment:
        await deployment.migrate()
        asked = await deployment.command("snapshot", "--table", "orders", "--detach", "--why", "x")
        assert "is asked for" in asked.stdout
        cancelled = await deployment.command("snapshot", "--table", "orders", "--cancel")
        assert "cancelled of orders" in cancelled.stdout
        worker = deployment.start()
        await equal(stage, table, worker)
        await sql(stage, "update public.orders set total = 99 where pk < 'k00010'")
        await sql(stage, "insert into public.orders values ('ghost', 1)")
        done = await deployment.command("snapshot", "--table", "orders")

        assert done.code == 0, done.text
        assert "1 stale rows deleted" in done.stdout
        assert await rows(stage) == await items(stage, table)
        actions = await sql(stage, "select verb, why from replicator.action order by id")
        assert ("snapshot", "x") in actions

        await put_all(stage, table, range(100, 105))
        await equal(stage, table, worker)
        assert worker.entries(SWITCHED)
        assert not worker.entries("task failed")
        assert await worker.counted("replicator_fenced_total") == 0


async def test_a_sweep_that_would_delete_suspiciously_much_waits_for_a_person(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    entry = configured(table, initial_load="stream")
    async with stage.deployment(entry, lease_seconds=lease(2.0)) as deployment:
        await deployment.migrate()
        await sql(
            stage, "insert into public.orders select 'g' || n, n from generate_series(1, 9) n"
        )
        worker = deployment.start()
        refused = await deployment.command("snapshot", "--table", "orders")
        assert refused.code == 3
        assert "9 of the 9 rows" in refused.stdout
        assert len(await rows(stage)) == 9
        caught_up = await deployment.run_until_caught_up()
        assert caught_up.code == 3
        forced = await deployment.command("snapshot", "--table", "orders", "--force")

        assert forced.code == 0, forced.text
        assert await rows(stage) == {}
        assert await worker.stop() == 0


async def test_a_changed_mapping_is_backfilled_by_the_workers(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(40), total=3)
    entry = configured(table)
    async with stage.deployment(entry, lease_seconds=lease(2.0)) as deployment:
        first = await deployment.command("plan")
        await deployment.migrate()
        loaded_first = await deployment.run_until_caught_up()
        columns = entry["orders"]["into"]["public.orders"]["columns"]
        columns["doubled"] = {"from": "total", "type": "text"}
        plan = await deployment.command("plan")
        await deployment.migrate()
        backfilled = await deployment.run_until_caught_up()

    assert (loaded_first.code, backfilled.code) == (0, 0)
    assert re.search(
        r"not registered yet\n.*\n--   its first load reads about 40 items", first.stdout
    )
    assert "until a backfill" in plan.stdout
    assert "read units" in plan.stdout
    assert await sql(stage, "select doubled, count(*) from public.orders group by 1") == [("3", 40)]
    reasons = await sql(stage, "select reason, state from replicator.snapshot order by id")
    assert reasons == [("initial", "done"), ("mapping", "done")]


async def test_a_table_created_anew_replaces_the_rows_of_the_old_one(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(30))
    entry = configured(table, on_gap="resnapshot")
    async with stage.deployment(entry, lease_seconds=lease(2.0)) as deployment:
        await deployment.migrate()
        first = await deployment.run_until_caught_up()
        await stage.client.delete_table(TableName=table)
        await stage.create_table("orders", {"pk": "S"})
        await put_all(stage, table, range(20, 45), total=5)
        second = await deployment.run_until_caught_up()

    assert (first.code, second.code) == (0, 0)
    assert await rows(stage) == {f"k{number:05}": 5 for number in range(20, 45)}
    snapshots = await sql(stage, "select reason, state from replicator.snapshot order by id")
    assert snapshots == [("initial", "done"), ("gap", "done")]
