"""Rows that were in a target before it was claimed are somebody else's until it is said."""

import json
from typing import Any

import asyncpg
import pytest

from tests.end_to_end.conftest import Stage
from tests.support.bounds import lease
from tests.support.comparison import read_rows
from tests.support.daemon import Deployment

OLD = {f"old{number}" for number in range(30)}
MADE = {f"k{number}" for number in range(60)}


async def sql(stage: Stage, statement: str) -> None:
    connection = await asyncpg.connect(stage.dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def keys(stage: Stage, name: str = "orders") -> set[str]:
    return {key for (key,) in await read_rows(stage.dsn, f"public.{name}", key=("pk",))}


async def taken_over(stage: Stage, **said: Any) -> tuple[str, Deployment]:
    """A table of 60 items, whose target holds 30 rows of an application and one of the items."""
    table = await stage.create_table("orders", {"pk": "S"})
    for key in sorted(MADE):
        await stage.client.put_item(TableName=table, Item={"pk": {"S": key}, "n": {"N": "1"}})
    await sql(stage, 'create table orders (pk text collate "C" primary key, n bigint, note text)')
    await sql(stage, "insert into orders select 'old' || n, n from generate_series(0, 29) n")
    into = {"public.orders": {"columns": {"n": "bigint"}, "rest": None, **said}}
    return table, stage.deployment(
        {"orders": {"table": table, "on_gap": "resnapshot", "into": into}}, lease_seconds=lease(2.0)
    )


async def test_until_it_is_said_what_becomes_of_them_nothing_is_written(stage: Stage):
    _, deployment = await taken_over(stage)
    async with deployment:
        check = await deployment.command("check", "--json")
        plan = await deployment.command("plan")
        migrated = await deployment.command("migrate")
        run = await deployment.run_until_caught_up()
        checked_again = await deployment.command("check", "--json")

    for said in (check, checked_again):
        [finding] = [f for f in json.loads(said.stdout)["findings"] if f["severity"] == "error"]
        assert (said.code, finding["where"]) == (1, "public.orders")
        assert "30 rows" in finding["message"]
        assert "`existing_rows: keep`" in finding["remedy"]
    assert "holds 30 rows already" in plan.stdout
    assert (migrated.code, "held 30 rows" in migrated.text) == (1, True)
    assert run.code == 2
    assert "held 30 rows" in run.text()
    assert await keys(stage) == OLD


async def test_kept_rows_outlive_snapshots_and_repairs(stage: Stage):
    table, deployment = await taken_over(stage, existing_rows="keep")
    async with deployment:
        plan = await deployment.command("plan")
        await deployment.migrate()
        first = await deployment.run_until_caught_up()
        await stage.enable_stream(table, on=False)
        await stage.enable_stream(table, on=True)
        second = await deployment.run_until_caught_up()
        repair = await deployment.command("verify", "--repair")

    assert "those that no item makes stay" in plan.stdout
    assert (first.code, second.code, repair.code) == (0, 0, 0), second.tail()
    assert await keys(stage) == OLD | MADE


async def test_rows_that_are_given_away_go_with_the_first_snapshot(stage: Stage):
    _, deployment = await taken_over(stage, existing_rows="delete")
    async with deployment:
        plan = await deployment.command("plan")
        await deployment.migrate()
        worker = await deployment.run_until_caught_up()

    assert "the first snapshot deletes those that no item makes" in plan.stdout
    assert worker.code == 0, worker.tail()
    assert await keys(stage) == MADE


@pytest.mark.parametrize(
    "said", [{"existing_rows": "keep"}, pytest.param({}, marks=pytest.mark.wide)]
)
async def test_a_table_that_was_empty_when_it_was_claimed_is_swept(stage: Stage, said: Any):
    table, deployment = await taken_over(stage, **said)
    await sql(stage, "delete from orders")
    async with deployment:
        await deployment.migrate()
        first = await deployment.run_until_caught_up()
        await stage.enable_stream(table, on=False)
        await stage.client.delete_item(TableName=table, Key={"pk": {"S": "k7"}})
        await stage.enable_stream(table, on=True)
        second = await deployment.run_until_caught_up()

    assert (first.code, second.code) == (0, 0), second.tail()
    assert await keys(stage) == MADE - {"k7"}


async def test_rows_that_the_mapping_moved_are_no_reason_to_ask_a_person(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    for number in range(130):
        item = {"pk": {"S": f"k{number}"}, "n": {"N": "1"}}
        await stage.client.put_item(TableName=table, Item=item)
    own: dict[str, Any] = {"columns": {"n": "bigint"}, "rest": None, "when": {"n": {"gte": 0}}}
    into = {"public.orders": own}
    entry = {"orders": {"table": table, "into": into}}
    async with stage.deployment(entry, lease_seconds=lease(2.0)) as deployment:
        await deployment.migrate()
        first = await deployment.run_until_caught_up()
        own["when"] = {"n": {"gte": 2}}
        into["public.others"] = {**own, "when": {"n": {"lt": 2}}}
        await deployment.migrate()
        second = await deployment.run_until_caught_up()

    assert (first.code, second.code) == (0, 0), second.tail()
    assert (await keys(stage), len(await keys(stage, "others"))) == (set(), 130)
