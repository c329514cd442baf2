"""AWS clients of one process, one for each place and service."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

from replicator.aws.client_factory import open_client
from replicator.aws.source_connection import ExportDestination, SourceConnection
from replicator.core.stream.describe_stream_quota import TakeTurn
from replicator.core.telemetry_events import Observe, unobserved
from replicator.sources.dynamodb.describe_stream_pace import DescribeStreamPace
from replicator.sources.dynamodb.s3_exports import TableExports
from replicator.sources.dynamodb.streams import DynamoDBStreams, open_streams
from replicator.sources.dynamodb.table_items import TableItems, open_items_client
from replicator.sources.kinesis.streams import KinesisStreams, ShardPace, open_kinesis

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient


class Clients:
    """Opens each client once, and closes all with the stack."""

    def __init__(
        self,
        stack: AsyncExitStack,
        observe: Observe,
        *,
        heard: Callable[[datetime], None] = unobserved,
        take_turn: TakeTurn | None = None,
    ) -> None:
        """`take_turn`: of the calls of DescribeStream, which all workers together make."""
        self._stack = stack
        self._observe = observe
        self._heard = heard
        self._describe_pace = DescribeStreamPace(take_turn)
        self._tables: dict[SourceConnection, DynamoDBClient] = {}
        self._items: dict[SourceConnection, DynamoDBClient] = {}
        self._streams: dict[SourceConnection, DynamoDBStreams] = {}
        self._buckets: dict[SourceConnection, Any] = {}
        self._kinesis: dict[SourceConnection, KinesisStreams] = {}
        self._shard_pace = ShardPace()

    async def tables(self, connection: SourceConnection) -> "DynamoDBClient":
        """A client for tables."""
        if connection not in self._tables:
            client = await self._stack.enter_async_context(open_client("dynamodb", connection))
            self._tables[connection] = client
        return self._tables[connection]

    async def items(self, connection: SourceConnection, table: str) -> TableItems:
        """The items of a table, by a client that reads nothing else."""
        if connection not in self._items:
            client = await self._stack.enter_async_context(open_items_client(connection))
            self._items[connection] = client
        return TableItems(self._items[connection], self._observe, table=table, heard=self._heard)

    async def exports(
        self, connection: SourceConnection, destination: ExportDestination, table: str
    ) -> TableExports:
        """The exports of a table."""
        if connection not in self._buckets:
            self._buckets[connection] = await self._stack.enter_async_context(
                open_client("s3", connection)
            )
        client = await self.tables(connection)
        return TableExports(
            client, self._buckets[connection], destination, self._observe, table=table
        )

    async def streams(self, connection: SourceConnection) -> DynamoDBStreams:
        """The streams of one place."""
        if connection not in self._streams:
            self._streams[connection] = await self._stack.enter_async_context(
                open_streams(connection, self._observe, heard=self._heard, pace=self._describe_pace)
            )
        return self._streams[connection]

    async def kinesis(self, connection: SourceConnection) -> KinesisStreams:
        """The Kinesis streams of one place."""
        if connection not in self._kinesis:
            self._kinesis[connection] = await self._stack.enter_async_context(
                open_kinesis(connection, self._observe, heard=self._heard, pace=self._shard_pace)
            )
        return self._kinesis[connection]
