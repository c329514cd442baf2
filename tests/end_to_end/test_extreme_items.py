"""Items at the limits of DynamoDB arrive whole, or are set aside alone."""

import json
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.comparison import assert_equal, read_rows
from tests.support.daemon import Deployment
from tests.support.oracle import Column, Target
from tests.support.random_items import DEEPEST, RandomItems

KEY = {"pk": "S"}
COLUMNS = (Column.of("change", "bigint"), Column.of("name", "text"))
LONGEST_NAME = "k" * 65_535


async def deployment_of(stage: Stage) -> tuple[str, Deployment]:
    table = await stage.create_table("orders", KEY)
    columns = {"change": "bigint", "name": "text"}
    into = {"public.orders": {"columns": columns, "rest": "extra"}, "public.documents": {}}
    return table, stage.deployment(
        {"orders": {"table": table, "initial_load": "stream", "into": into}}
    )


async def assert_arrives(stage: Stage, deployment: Deployment, items: list[dict[str, Any]]) -> None:
    await deployment.migrate()
    worker = await deployment.run_until_caught_up()
    assert worker.code == 0, worker.tail()
    for name, target in (
        ("orders", Target(KEY, COLUMNS, rest="extra")),
        ("documents", Target(KEY)),
    ):
        for each in items:
            target.put(each)
        assert_equal(target.rows, await read_rows(stage.dsn, f"public.{name}", key=("pk",)))


def item(key: str, **attributes: Any) -> dict[str, Any]:
    return {"pk": {"S": key}, **attributes}


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_the_largest_the_widest_and_the_deepest_item_arrive_whole(stage: Stage):
    table, deployment = await deployment_of(stage)
    large = 390 * 1024
    items = [
        item("large", name={"S": "ä" * (large // 2)}, change={"N": "1"}),
        item("large", name={"S": '"\\' * (large // 2)}, change={"N": "2"}),
        item("binary", b={"B": bytes(range(256)) * (large // 256)}),
        item("wide", **{f"attribute {n}": {"N": str(n)} for n in range(15_000)}),
        item("deep", d=RandomItems(1).nested(DEEPEST)),
        item("many members", s={"SS": [f"member {n}" for n in range(20_000)]}),
    ]
    async with deployment:
        for each in items:
            await stage.client.put_item(TableName=table, Item=each)
        await assert_arrives(stage, deployment, items)


async def test_a_name_of_64_kb_arrives(stage: Stage):
    table, deployment = await deployment_of(stage)
    named = item("a", **{LONGEST_NAME: {"M": {LONGEST_NAME: {"S": "x"}}}})
    async with deployment:
        try:
            await stage.client.put_item(TableName=table, Item=named)
        except ClientError:
            pytest.skip("this emulator fails at such names")
        await assert_arrives(stage, deployment, [named])


@one_emulator
async def test_one_item_changed_500_times_ends_as_its_last_change(stage: Stage):
    table, deployment = await deployment_of(stage)
    async with deployment:
        last = item("a")
        for change in range(1, 501):
            if change % 7 == 0:
                await stage.client.delete_item(TableName=table, Key=item("a"))
            else:
                last = item("a", change={"N": str(change)}, name={"S": f"{change}"})
                await stage.client.put_item(TableName=table, Item=last)
        await assert_arrives(stage, deployment, [last])


async def test_half_a_surrogate_pair_is_set_aside_alone(stage: Stage):
    table, deployment = await deployment_of(stage)
    good = [item(key, name={"S": key}) for key in ("before", "after")]
    async with deployment:
        await stage.client.put_item(TableName=table, Item=good[0])
        try:
            await stage.client.put_item(TableName=table, Item=item("bad", name={"S": "\ud83d"}))
        except ClientError:
            pytest.skip("this emulator takes none")
        await stage.client.put_item(TableName=table, Item=good[1])
        await assert_arrives(stage, deployment, good)
        listed = await deployment.command("dead-letters", "list", "--json")
    assert listed.code == 0, listed.text
    assert "lone surrogate" in listed.stdout


@one_emulator
async def test_a_key_too_long_for_an_index_is_set_aside_and_the_others_arrive(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S", "sk": "S"})
    deployment = stage.deployment(
        {"orders": {"table": table, "initial_load": "stream", "into": {"public.orders": {}}}}
    )
    noise = Random(1)  # what cannot be compressed
    long = "".join(chr(noise.randrange(0x4E00, 0x9FFF)) for _ in range(1000))
    items = [
        {"pk": {"S": name}, "sk": {"S": sort}}
        for name, sort in (("a", "1"), (long[:682], long[682:]), ("b", "2"))
    ]
    async with deployment:
        await deployment.migrate()
        for each in items:
            await stage.client.put_item(TableName=table, Item=each)
        worker = await deployment.run_until_caught_up()
        listed = await deployment.command("dead-letters", "list", "--json")

    assert worker.code == 0, worker.tail()
    assert set(await read_rows(stage.dsn, "public.orders", key=("pk", "sk"))) == {
        ("a", "1"),
        ("b", "2"),
    }
    [letter] = json.loads(listed.stdout)["dead_letters"]
    assert "index row" in letter["reason"]


@one_emulator
async def test_all_items_of_a_dynamodb_transaction_arrive(stage: Stage):
    table, deployment = await deployment_of(stage)
    items = [item(f"{number}", change={"N": str(number)}) for number in range(100)]
    async with deployment:
        await stage.client.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": each}} for each in items]
        )
        await assert_arrives(stage, deployment, items)
