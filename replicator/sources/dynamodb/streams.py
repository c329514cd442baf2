"""DynamoDB Streams as a source: list shards, obtain iterators, read pages as raw bytes."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from replicator.aws.observed_calls import Calls, raw
from replicator.aws.request_template import open_reader
from replicator.aws.source_connection import SourceConnection
from replicator.core.stream.decoding.dynamodb_records import decode_page
from replicator.core.stream.describe_stream_quota import CHILDREN, FIRST_LISTING, LISTING, Purpose
from replicator.core.stream.table_and_shard_facts import ListedShard
from replicator.core.stream_record import Page, Position
from replicator.core.telemetry_events import Observe, unobserved
from replicator.errors import SourceThrottled
from replicator.sources.dynamodb.describe_stream_pace import DescribeStreamPace

if TYPE_CHECKING:
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient
    from types_aiobotocore_dynamodbstreams.type_defs import ShardTypeDef

SEQUENCE_NUMBER_DIGITS_MIN = 21
"""The API model's minimum length; shorter numbers are filled with zeros."""
SHARDS_PER_PAGE = 100
RECORDS_PER_PAGE = 1000
DESCRIBE_ATTEMPTS = 5
"""Attempts to read one page of a listing; then the listing has failed, and begins again a while
later."""


class DynamoDBStreams:
    """The stream calls for one connection. Retries are the caller's, but those of DescribeStream.

    `heard` is told the source's time with every answer; `get_records` and `get_iterator` are the
    client's own operations, or replacements; `pace` spaces DescribeStream, which AWS limits for the
    account.
    """

    def __init__(
        self,
        client: "DynamoDBStreamsClient",
        observe: Observe,
        *,
        heard: Callable[[datetime], None] = unobserved,
        get_records: Callable[..., Any] | None = None,
        get_iterator: Callable[..., Any] | None = None,
        pace: DescribeStreamPace | None = None,
    ) -> None:
        self._client = client
        self._pace = pace
        self._get_records = get_records or client.get_records
        self._get_iterator = get_iterator or client.get_shard_iterator
        self._calls = Calls(observe, heard=heard)

    async def listed_shards(
        self, stream_arn: str, *, first: bool = False
    ) -> AsyncIterator[list[ListedShard]]:
        """The stream's shards page by page, so that a page that fails costs only the pages behind.

        A listing is eventually consistent: a shard that the listing does not show may exist.
        `first`: nothing of the stream is on record, so that no shard is read before the listing.
        """
        purpose = FIRST_LISTING if first else LISTING
        start: str | None = None
        while True:
            arguments: dict[str, Any] = {"StreamArn": stream_arn, "Limit": SHARDS_PER_PAGE}
            if start is not None:
                arguments["ExclusiveStartShardId"] = start
            page, start = await self._describe(purpose, **arguments)
            yield page
            if start is None:
                return

    async def children(self, stream_arn: str, shard_id: str) -> list[ListedShard]:
        """The children of an ended shard, as far as the source tells: a new one may be missing."""
        shards, _ = await self._describe(
            CHILDREN,
            StreamArn=stream_arn,
            ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard_id},
        )
        return [shard for shard in shards if shard.parent_id == shard_id]

    async def _describe(
        self, purpose: Purpose, **arguments: object
    ) -> tuple[list[ListedShard], str | None]:
        """One page, in turn; asked for again where AWS refuses for the rate."""
        ask = partial(
            self._calls.make, "DescribeStream", self._client.describe_stream, _listing, **arguments
        )
        if self._pace is None:
            return await ask()
        for _ in range(DESCRIBE_ATTEMPTS - 1):
            try:
                async with self._pace.turn(purpose):
                    answer = await ask()
            except SourceThrottled:
                self._pace.refused()
            else:
                self._pace.answered()
                return answer
        async with self._pace.turn(purpose):
            return await ask()

    async def iterator(
        self,
        stream_arn: str,
        shard_id: str,
        *,
        after: Position | None,
        since: datetime | None = None,
    ) -> str:
        """An iterator after a position, or at the oldest record that is left (None): there is none
        that begins at a time.
        """
        del since
        arguments: dict[str, Any] = {"StreamArn": stream_arn, "ShardId": shard_id}
        if after is None:
            arguments["ShardIteratorType"] = "TRIM_HORIZON"
        else:
            arguments["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER"
            arguments["SequenceNumber"] = sequence_text(after)
        return await self._calls.make(
            "GetShardIterator", self._get_iterator, _iterator, **arguments
        )

    async def iterator_at(self, stream_arn: str, shard_id: str, sequence_number: str) -> str:
        """An iterator at a record, by the number as it was delivered; PositionTrimmed without."""
        return await self._calls.make(
            "GetShardIterator",
            self._get_iterator,
            _iterator,
            StreamArn=stream_arn,
            ShardId=shard_id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=sequence_number,
        )

    async def read(self, iterator: str) -> Page:
        """The next page of a shard. UnknownRecord when a record's meaning is not known."""
        return await self._calls.make(
            "GetRecords",
            self._get_records,
            raw(decode_page),
            ShardIterator=iterator,
            Limit=RECORDS_PER_PAGE,
        )


@asynccontextmanager
async def open_streams(
    connection: SourceConnection,
    observe: Observe,
    *,
    heard: Callable[[datetime], None] = unobserved,
    pace: DescribeStreamPace | None = None,
) -> AsyncIterator[DynamoDBStreams]:
    """The streams of one place; a failure to make the client is a ReplicatorError."""
    reader = open_reader("dynamodbstreams", connection, "GetRecords", "GetShardIterator")
    async with reader as (client, [get_records, get_iterator]):
        yield DynamoDBStreams(
            client,
            observe,
            heard=heard,
            get_records=get_records,
            get_iterator=get_iterator,
            pace=pace,
        )


def sequence_text(position: Position) -> str:
    """A position as the API takes positions: the sequence number, padded."""
    return str(position).zfill(SEQUENCE_NUMBER_DIGITS_MIN)


def _listing(answer: Mapping[str, Any]) -> tuple[list[ListedShard], str | None]:
    """A page of a listing, and where the next one begins."""
    description = answer["StreamDescription"]
    shards = [_listed(shard) for shard in description.get("Shards", [])]
    return shards, description.get("LastEvaluatedShardId")


def _iterator(answer: Mapping[str, Any]) -> str:
    told = json.loads(answer["RawBody"]) if "RawBody" in answer else answer
    return str(told["ShardIterator"])


def _listed(shard: "ShardTypeDef") -> ListedShard:
    numbers = shard.get("SequenceNumberRange", {})
    return ListedShard(
        shard_id=shard["ShardId"],
        parent_id=shard.get("ParentShardId") or None,
        closed="EndingSequenceNumber" in numbers,
    )
