"""A table goes from the daemon to Lambda and back, with a transaction of Lambda's in flight."""

import asyncio
from typing import Any

import asyncpg
import pytest

from replicator.app.aws_lambda.compose_function import function_of
from replicator.app.aws_lambda.execution_environment import BatchResponse
from tests.end_to_end.conftest import Stage, one_emulator
from tests.support import endpoints
from tests.support.lambda_runtime import EVENT_SECONDS
from tests.support.waiting import eventually

WAITING = (
    "select count(*) from pg_stat_activity"
    " where wait_event_type = 'Lock' and datname = current_database()"
)


async def delivered(stage: Stage, table: str) -> list[dict[str, Any]]:
    """Everything that the stream holds, as an event source mapping hands it over."""
    async with endpoints.streams_client(stage.url) as client:
        [stream] = (await client.list_streams(TableName=table))["Streams"]
        arn = stream["StreamArn"]
        described = (await client.describe_stream(StreamArn=arn))["StreamDescription"]
        [shard] = described["Shards"]
        start = await client.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        page = await client.get_records(ShardIterator=start["ShardIterator"])
    return [
        {
            **record,
            "eventSource": "aws:dynamodb",
            "eventSourceARN": arn,
            "dynamodb": {
                **record["dynamodb"],
                "ApproximateCreationDateTime": record["dynamodb"][
                    "ApproximateCreationDateTime"
                ].timestamp(),
            },
        }
        for record in page["Records"]
    ]


@pytest.mark.long
@one_emulator
async def test_a_table_changes_hands_and_back_without_a_gap(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    entry: dict[str, Any] = {
        "table": table,
        "initial_load": "stream",
        "into": {"public.orders": {"columns": {"n": "bigint"}}},
    }
    connection = await asyncpg.connect(stage.dsn)

    async def put(key: str, number: int) -> None:
        await stage.client.put_item(
            TableName=table, Item={"pk": {"S": key}, "n": {"N": str(number)}}
        )

    async def rows() -> dict[str, int]:
        found = await connection.fetch("select pk, n from public.orders")
        return {row["pk"]: row["n"] for row in found}

    async with stage.deployment({"orders": entry}) as deployment:

        def invoke(records: list[dict[str, Any]]) -> BatchResponse:
            function = function_of({"REPLICATOR_CONFIG": str(deployment.path)}, lambda _: None)
            try:
                return function.handle({"Records": records}, seconds_left=EVENT_SECONDS)
            finally:
                function.close()

        await deployment.migrate()
        await put("a", 1)
        await put("b", 2)
        assert (await deployment.run_until_caught_up()).code == 0

        entry["poller"] = "lambda"
        await deployment.migrate()
        await put("a", 3)
        assert (await deployment.run_until_caught_up()).code == 0
        assert await rows() == {"a": 1, "b": 2}
        await stage.client.delete_item(TableName=table, Key={"pk": {"S": "b"}})
        await asyncio.to_thread(invoke, await delivered(stage, table))
        assert await rows() == {"a": 3}

        await put("a", 4)
        other = await asyncpg.connect(stage.dsn)
        await other.execute("begin; select 1 from public.orders for update")
        slow = asyncio.create_task(asyncio.to_thread(invoke, await delivered(stage, table)))

        async def waits(sessions: int) -> bool:
            return bool(await connection.fetchval(WAITING) >= sessions)

        await eventually(lambda: waits(1), what="Lambda waits for the row")
        entry["poller"] = "daemon"
        hand_over = asyncio.create_task(deployment.migrate())
        await eventually(lambda: waits(2), what="migrate waits for Lambda")
        await other.close()
        await slow
        await hand_over
        await put("a", 5)
        assert (await deployment.run_until_caught_up()).code == 0

        assert await rows() == {"a": 5}
        assert await connection.fetchval("select count(*) from replicator.gap") == 0

        worker = await deployment.start_ready()

        async def fenced() -> bool:
            mode = await connection.fetchval("select mode from replicator.table_state")
            return bool(mode == "fence")

        await worker.until(fenced, what="the daemon has caught up and leaves the guard")
        await put("a", 6)

        async def applied() -> bool:
            return await rows() == {"a": 6}

        await worker.until(applied, what="changes arrive behind the fence alone")
    await connection.close()
