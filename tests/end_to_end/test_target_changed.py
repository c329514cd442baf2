"""Somebody changes the database below a running worker: the table stops or waits, whole."""

import re
from typing import Any

import asyncpg
import pytest

from tests.end_to_end import witness
from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.watched import watched
from tests.support.bounds import lease
from tests.support.comparison import read_rows
from tests.support.daemon import Worker
from tests.support.harms import HARMS
from tests.support.wide import wide_but

pytestmark = pytest.mark.faults

KEY = {"pk": "S"}
CHANGES = {
    "dropped": ("drop table public.dropped", "42P01|is missing"),
    "renamed": ("alter table public.renamed rename column n to m", "42703|is missing"),
    "retyped": (
        "alter table public.retyped alter column n type timestamptz using to_timestamp(n)",
        "42804|has the type timestamp",
    ),
    "demanding": (
        "alter table public.demanding add column owner text not null default '';"
        " alter table public.demanding alter column owner drop default",
        "'owner'",
    ),
}
"""What is done to a table, and the reason for its halt: PostgreSQL's, or that of a survey."""


def entry(table: str, name: str) -> dict[str, Any]:
    columns = {"n": "bigint"}
    into = {f"public.{name}": {"columns": columns}}
    return {"table": table, "initial_load": "stream", "into": into}


def item(key: str, n: str = "1") -> dict[str, Any]:
    return {"pk": {"S": key}, "n": {"N": n}}


async def execute(stage: Stage, statement: str) -> None:
    connection = await asyncpg.connect(stage.dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def keys(stage: Stage, name: str) -> set[str]:
    return {key for (key,) in await read_rows(stage.dsn, f"public.{name}", key=("pk",))}


async def arrives(stage: Stage, worker: Worker, name: str, *wanted: str) -> None:
    async def there() -> bool:
        return await keys(stage, name) == set(wanted)

    await worker.until(there, what=f"{name} holds {wanted}")


async def halts(worker: Worker, name: str) -> str:
    """Wait until the table is halted; why."""

    async def halted() -> str:
        table = await worker.table(name)
        return str(table["reason"]) if table.get("state") == "halted" else ""

    return await worker.until(halted, what=f"{name} is halted")


@one_emulator
async def test_a_target_that_no_longer_fits_halts_without_dead_letters(stage: Stage):
    names = [*CHANGES, "untouched"]
    tables = {name: await stage.create_table(name, KEY) for name in names}
    async with stage.deployment({n: entry(t, n) for n, t in tables.items()}) as deployment:
        await deployment.migrate()
        worker = await deployment.start_ready()
        for statement, _ in CHANGES.values():
            await execute(stage, statement)
        for table in tables.values():
            await stage.client.put_item(TableName=table, Item=item("a"))

        for name, (_, word) in CHANGES.items():
            assert re.search(word, await halts(worker, name))
        await arrives(stage, worker, "untouched", "a")
        assert await worker.counted("replicator_records_total", outcome="dead_letter") == 0
        assert await worker.stop() == 3


@one_emulator
async def test_a_lock_on_one_target_holds_up_no_other(stage: Stage):
    tables = {name: await stage.create_table(name, KEY) for name in ("locked", "free")}
    async with stage.deployment({n: entry(t, n) for n, t in tables.items()}) as deployment:
        await deployment.migrate()
        worker = await deployment.start_ready()
        connection = await asyncpg.connect(stage.dsn)
        try:
            async with connection.transaction():
                await connection.execute("lock table public.locked in access exclusive mode")
                for key in ("a", "b", "c"):
                    for table in tables.values():
                        await stage.client.put_item(TableName=table, Item=item(key))

                await arrives(stage, worker, "free", "a", "b", "c")
                assert (await worker.get("/healthz"))[0] == 200
                assert (await worker.get("/readyz"))[0] == 200
        finally:
            await connection.close()
        await arrives(stage, worker, "locked", "a", "b", "c")
        assert await worker.stop() == 0


@one_emulator
async def test_dead_letters_that_cannot_be_kept_halt_the_table(stage: Stage):
    table = await stage.create_table("orders", KEY)
    async with stage.deployment({"orders": entry(table, "orders")}) as deployment:
        await deployment.migrate()
        worker = await deployment.start_ready()
        await execute(
            stage, "alter table replicator.dead_letter add constraint full_up check (false)"
        )
        await stage.client.put_item(TableName=table, Item=item("poison", "1.5"))
        await stage.client.put_item(TableName=table, Item=item("good"))

        await halts(worker, "orders")
        assert await keys(stage, "orders") == set()

        await execute(stage, "alter table replicator.dead_letter drop constraint full_up")
        resumed = await deployment.command("resume", "--table", "orders")
        assert resumed.code == 0, resumed.text
        await arrives(stage, worker, "orders", "good")

        async def counted() -> bool:  # from PostgreSQL, once a moment
            return await worker.total("replicator_dead_letters") == 1

        await worker.until(counted, what="the dead letter is counted")
        assert await worker.stop() == 0


@one_emulator
async def test_a_position_that_was_deleted_halts_the_table_and_nothing_is_read_again(stage: Stage):
    async with watched(stage, seed=8, lease_seconds=lease(1.0)) as it:
        await it.traffic.write(40)
        worker = await it.deployment.start_ready()
        await it.equal(worker)
        assert await worker.stop() == 0
        writes = await witness.count(stage.dsn)
        await execute(stage, "delete from replicator.shard")

        worker = await it.deployment.start_ready()
        assert "position" in await halts(worker, "orders")
        assert await worker.stop() == 3
        assert await witness.count(stage.dsn) == writes


@one_emulator
async def test_sessions_that_are_ended_again_and_again_lose_and_repeat_nothing(stage: Stage):
    async with watched(stage, seed=9) as it:
        worker = await it.deployment.start_ready()
        connection = await asyncpg.connect(stage.dsn)
        try:
            async with it.under_load():
                for _ in range(8):
                    await it.writes_more(worker)
                    await connection.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where datname = current_database() and pid <> pg_backend_pid()"
                        " and application_name like 'replicator %'"
                    )
        finally:
            await connection.close()
        await it.equal(worker)
        assert "Traceback" not in worker.text()
        assert await worker.stop() == 0
        await witness.assert_nothing_twice(stage.dsn)


@one_emulator
async def test_a_target_that_would_round_is_halted_at_the_start_and_nothing_is_rounded(
    stage: Stage,
):
    """PostgreSQL assigns without a word: the last digit of a large number is gone in `real`."""
    names = ("rounding", "untouched")
    tables = {name: await stage.create_table(name, KEY) for name in names}
    async with stage.deployment({n: entry(t, n) for n, t in tables.items()}) as deployment:
        await deployment.migrate()
        await execute(stage, "alter table public.rounding alter column n type real")
        worker = await deployment.start_ready()
        for table in tables.values():
            await stage.client.put_item(TableName=table, Item=item("a", "16777217"))

        reason = await halts(worker, "rounding")

        assert "has the type real" in reason
        await arrives(stage, worker, "untouched", "a")
        assert await keys(stage, "rounding") == set()
        status = await deployment.command("status")
        assert "then run `replicator resume --table rounding`" in status.stdout
        assert await worker.stop() == 3
        repair = await deployment.command("verify", "--table", "rounding", "--repair")
        assert (repair.code, "has the type real" in repair.stderr) == (2, True)

        await execute(stage, "alter table public.rounding alter column n type bigint")
        await deployment.command("resume", "--table", "rounding")
        worker = await deployment.start_ready()
        await arrives(stage, worker, "rounding", "a")
        rows = await read_rows(stage.dsn, "public.rounding", key=("pk",))
        assert rows["a",]["n"] == 16777217
        assert await worker.stop() == 0


@pytest.mark.parametrize(
    ("statements", "words"),
    # that each is refused is held by tests/postgres/test_refuse_unfit_targets.py
    wide_but("a trigger rewrites rows", "another unique index", of=HARMS),
)
async def test_what_check_calls_an_error_keeps_run_repair_and_replay_from_writing(
    stage: Stage, statements: str, words: str
):
    names = ("harmed", "untouched")
    tables = {name: await stage.create_table(name, KEY) for name in names}
    async with stage.deployment({n: entry(t, n) for n, t in tables.items()}) as deployment:
        await deployment.migrate()
        for statement in statements.format(table="public.harmed").split(";;"):
            await execute(stage, statement)
        for table in tables.values():
            await stage.client.put_item(TableName=table, Item=item("a"))
        check = await deployment.command("check")
        run = await deployment.run_until_caught_up()
        repair = await deployment.command("verify", "--table", "harmed", "--repair")

    assert (check.code, run.code, repair.code) == (1, 3, 2), run.tail()
    for said in (check.text, repair.text, run.text()):
        assert re.search(words, said), said
    assert (await keys(stage, "harmed"), await keys(stage, "untouched")) == (set(), {"a"})
