"""A table that AWS Lambda writes is loaded by a worker beside it, which leaves its stream alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest

from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_snapshot import (
    configured,
    item,
    items,
    put_all,
    rows,
    slowly,
    sql,
    under_changes,
)
from tests.support import endpoints
from tests.support.bounds import lease
from tests.support.daemon import Deployment
from tests.support.lambda_mapping import EventSourceMapping
from tests.support.lambda_runtime import Environment
from tests.support.waiting import pace

pytestmark = one_emulator


class Deliverer:
    """Reads a stream from now on and delivers it to functions, some parts of it again and late."""

    def __init__(self, stage: Stage, environments: list[Environment]) -> None:
        self._stage = stage
        self._mapping = EventSourceMapping(environments, Random(1), batch_size=20)
        self._arn = ""
        self._iterator: str | None = None
        self._delivered: list[dict[str, Any]] = []

    async def skip(self, table: str) -> None:
        """What the stream holds by now was lost."""
        async with endpoints.streams_client(self._stage.url) as client:
            [stream] = (await client.list_streams(TableName=table))["Streams"]
            self._arn = stream["StreamArn"]
            described = await client.describe_stream(StreamArn=self._arn)
            [shard] = described["StreamDescription"]["Shards"]
            start = await client.get_shard_iterator(
                StreamArn=self._arn,
                ShardId=shard["ShardId"],
                ShardIteratorType="TRIM_HORIZON",
            )
            self._iterator = start["ShardIterator"]
            while await self._next(client):
                pass

    async def go_on(self, stopping: asyncio.Event) -> None:
        """Deliver until asked to stop, and all that the stream holds then."""
        chance = Random(2)
        async with endpoints.streams_client(self._stage.url) as client:
            while True:
                last = stopping.is_set()
                records = await self._next(client)
                if records:
                    await asyncio.to_thread(self._mapping.deliver, records)
                    self._delivered += records
                    if chance.random() < 0.3:
                        await asyncio.to_thread(
                            self._mapping.deliver_again, self._delivered, copies=2
                        )
                elif last:
                    return
                else:
                    await pace()

    async def _next(self, client: Any) -> list[dict[str, Any]]:
        page = await client.get_records(ShardIterator=self._iterator)
        self._iterator = page["NextShardIterator"]
        return [self._as_delivered(record) for record in page["Records"]]

    def _as_delivered(self, record: dict[str, Any]) -> dict[str, Any]:
        at = record["dynamodb"]["ApproximateCreationDateTime"].timestamp()
        return {
            **record,
            "eventSource": "aws:dynamodb",
            "eventSourceARN": self._arn,
            "dynamodb": {**record["dynamodb"], "ApproximateCreationDateTime": at},
        }


@asynccontextmanager
async def delivering(stage: Stage, deployment: Deployment, table: str) -> AsyncIterator[None]:
    """Functions that are given the changes from now on; at the end they are given the rest."""
    environ = {"REPLICATOR_CONFIG": str(deployment.path), "AWS_REGION": "eu-west-1"}
    with ExitStack() as stack:
        environments = [
            stack.enter_context(Environment(environ, stage.directory / f"function-{number}.log"))
            for number in range(2)
        ]
        deliverer = Deliverer(stage, environments)
        await deliverer.skip(table)
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deliverer.go_on(stopping))
            try:
                yield
            finally:
                stopping.set()


async def loaded_beside_lambda(stage: Stage, count: int, *, kills: int) -> None:
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(count))
    entry = configured(table, poller="lambda", initial_load="stream")
    async with slowly(stage.deployment(entry, lease_seconds=lease(1.0)), 2) as deployment:
        await deployment.migrate()
        await sql(stage, "insert into public.orders values ('ghost', 1), ('k00001', 99)")
        async with (
            delivering(stage, deployment, table),
            under_changes(stage, table, range(count + 50), seed=3),
        ):
            asked = await deployment.command("snapshot", "--table", "orders", "--detach")
            assert "--until-caught-up" in asked.text
            for _ in range(kills):
                worker = deployment.start("--until-caught-up")
                await begun(stage, worker)
                worker.kill()
            worker = await deployment.run_until_caught_up()
            assert worker.code == 0, worker.text

        assert await rows(stage) == await items(stage, table)
        [(state, mode)] = await sql(
            stage,
            "select s.state, t.mode from replicator.snapshot as s, replicator.table_state as t",
        )
        assert (state, mode) == ("done", "lambda")
        assert await sql(stage, "select 1 from replicator.shard") == []


async def begun(stage: Stage, worker: Any) -> None:
    """Wait until a page more is written."""
    query = "select coalesce(sum(steps), 0) from replicator.segment"
    [(steps,)] = await sql(stage, query)

    async def further() -> bool:
        return bool((await sql(stage, query))[0][0] > steps)

    await worker.until(further, what="a page is written")


async def test_a_table_that_lambda_writes_is_loaded_by_a_worker_that_leaves_its_stream_alone(
    stage: Stage,
):
    await loaded_beside_lambda(stage, 300, kills=0)


@pytest.mark.long
async def test_a_table_that_lambda_writes_is_loaded_though_workers_are_killed(stage: Stage):
    await loaded_beside_lambda(stage, 3000, kills=3)


async def test_a_table_of_lambda_that_begins_with_a_snapshot_is_loaded_by_the_first_worker(
    stage: Stage,
):
    table = await stage.create_table("orders", {"pk": "S"})
    await put_all(stage, table, range(30))
    entry = configured(table, poller="lambda")
    async with stage.deployment(entry) as deployment:
        await deployment.migrate()
        first = await deployment.run_until_caught_up()
        await stage.client.put_item(TableName=table, Item=item(31, 1))
        second = await deployment.run_until_caught_up()

    assert (first.code, second.code) == (0, 0)
    assert await rows(stage) == {f"k{number:05}": 0 for number in range(30)}
