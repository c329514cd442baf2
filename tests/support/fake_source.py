"""The scripted streams as a client in this process: the real source on top, no HTTP between."""

from collections.abc import Callable
from typing import Any

import orjson
from botocore.exceptions import ClientError

from replicator.core.stream.stream_generations import label_time
from replicator.engine.stream.shard_discovery import NewestStream
from replicator.errors import StreamUnfit, StreamVanished
from replicator.sources.dynamodb.describe_stream_pace import DescribeStreamPace
from replicator.sources.dynamodb.streams import DynamoDBStreams
from tests.support.faults import Send
from tests.support.scripted_streams.errors import Refusal
from tests.support.scripted_streams.model import World
from tests.support.scripted_streams.stream_answers import answer


class FakeStreamsClient:
    """What botocore's client does for `DynamoDBStreams`; `page_records_max` makes pages short."""

    def __init__(
        self, world: World, send: Send, *, page_records_max: Callable[[], int] = lambda: 1000
    ) -> None:
        self._world = world
        self._send = send
        self._page_records_max = page_records_max

    async def describe_stream(self, **request: Any) -> Any:
        return await self._call("DescribeStream", "listing", request)

    async def get_shard_iterator(self, **request: Any) -> Any:
        return await self._call("GetShardIterator", "iterator", request)

    async def get_records(self, **request: Any) -> Any:
        request["Limit"] = self._page_records_max()
        body = await self._body("GetRecords", "read", request)
        return {"RawBody": body, "ChecksumFits": None}

    async def _call(self, operation: str, name: str, request: dict[str, Any]) -> Any:
        return orjson.loads(await self._body(operation, name, request))

    async def _body(self, operation: str, name: str, request: dict[str, Any]) -> bytes:
        def work() -> bytes:
            try:
                return answer(self._world, operation, request)[0]
            except Refusal as refusal:
                error = {"Code": refusal.error, "Message": refusal.message}
                raise ClientError({"Error": error}, operation) from refusal  # type: ignore[typeddict-item]

        return await self._send(name, work)


def fake_source(
    world: World,
    send: Send,
    *,
    page_records_max: Callable[[], int] = lambda: 1000,
    pace: DescribeStreamPace | None = None,
) -> DynamoDBStreams:
    """The real source, reading scripted streams."""
    client: Any = FakeStreamsClient(world, send, page_records_max=page_records_max)
    return DynamoDBStreams(client, lambda _: None, pace=pace)


async def describe_stream(world: World, send: Send, table: str) -> NewestStream:
    """What discovery asks first: the table's newest stream and when it was created."""

    def work() -> NewestStream:
        try:
            found = world.table_named(table)
        except Refusal as refusal:
            raise StreamVanished(refusal.message) from refusal
        if not found.streams or found.stream.status != "ENABLED":
            message = f"the table {table!r} has no stream"
            raise StreamUnfit(message)
        return NewestStream(found.stream.arn, label_time(found.stream.arn))

    return await send("describe", work)
