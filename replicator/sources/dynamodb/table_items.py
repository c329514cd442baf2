"""A table as a source of items: consistent segmented Scan, items by the keys, as raw bytes."""

import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from replicator.aws.client_factory import open_client
from replicator.aws.observed_calls import Calls, keep_raw_body, raw
from replicator.aws.source_connection import SourceConnection
from replicator.core.snapshot.scan_responses import (
    FoundItems,
    ScanPage,
    Segment,
    decode_found,
    decode_scan,
)
from replicator.core.stream_record import Image
from replicator.core.telemetry_events import Observe, unobserved
from replicator.errors import StreamVanished
from replicator.sources.dynamodb.describe_table import named

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

T = TypeVar("T")
KEYS_PER_GET_MAX = 100
"""Keys of one BatchGetItem: the limit of AWS."""


@asynccontextmanager
async def open_items_client(connection: SourceConnection) -> AsyncIterator["DynamoDBClient"]:
    """A client for `TableItems`: scans come as raw bytes, so no other code may scan with the
    client.

    The client tries once: throttling must reach the pacing, not be waited out in the SDK.
    """
    async with open_client("dynamodb", connection, attempts=1) as client:
        for operation in ("Scan", "BatchGetItem"):
            client.meta.events.register(f"before-parse.dynamodb.{operation}", keep_raw_body)
        yield client


class TableItems:
    """The items of one table, `table` being the name or ARN; calls are not repeated."""

    def __init__(
        self,
        client: "DynamoDBClient",
        observe: Observe,
        *,
        table: str,
        heard: Callable[[datetime], None] = unobserved,
    ) -> None:
        self._client = client
        self._table = table
        self._calls = Calls(observe, heard=heard)

    async def scan(self, segment: Segment, *, after: str | None, items_max: int) -> ScanPage:
        """The next page of a segment, behind `after`, as of now.

        SourceThrottled, SourceDenied, SourceUnavailable; StreamVanished without such a table.
        """
        arguments: dict[str, Any] = {"Limit": items_max}
        if segment.of > 1:
            arguments |= {"Segment": segment.number, "TotalSegments": segment.of}
        if after is not None:
            arguments["ExclusiveStartKey"] = _for_sdk(json.loads(after))
        return await self._ask(
            "Scan",
            self._client.scan,
            raw(decode_scan),
            TableName=self._table,
            ConsistentRead=True,
            ReturnConsumedCapacity="TOTAL",
            **arguments,
        )

    async def get(self, keys: Sequence[Image]) -> FoundItems:
        """The items that exist of at most KEYS_PER_GET_MAX different keys; errors as of `scan`."""
        wanted = {"Keys": [_for_sdk(key) for key in keys], "ConsistentRead": True}
        return await self._ask(
            "BatchGetItem",
            self._client.batch_get_item,
            raw(decode_found),
            RequestItems={self._table: wanted},
            ReturnConsumedCapacity="TOTAL",
        )

    async def _ask(
        self,
        operation: str,
        method: Callable[..., Any],
        read: Callable[[Any], T],
        **arguments: object,
    ) -> T:
        try:
            return await self._calls.make(operation, method, read, **arguments)
        except StreamVanished as error:
            raise named(error, self._table) from error


def _for_sdk(keys: Image) -> dict[str, Any]:
    """Key attributes for the SDK, which wants bytes where the wire has base64."""
    return {
        name: {tag: b64decode(raw) if tag == "B" else raw for tag, raw in value.items()}
        for name, value in keys.items()
    }
