"""Kinesis Data Streams as a source: list shards, obtain iterators, read pages in the pace."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from replicator.aws.observed_calls import Calls, raw
from replicator.aws.request_template import open_reader
from replicator.aws.source_connection import SourceConnection
from replicator.core.stream.decoding.kinesis_records import (
    Base64,
    KinesisPage,
    decode_kinesis_page,
    listing_of,
)
from replicator.core.stream.source_kind import kinesis_arn_of
from replicator.core.stream.table_and_shard_facts import ListedShard, ToldByStream
from replicator.core.stream_record import Page, Position
from replicator.core.telemetry_events import Observe, unobserved
from replicator.errors import ArgumentRefused, ShardVanished

SHARDS_PER_PAGE = 1000
RECORDS_PER_PAGE = 1000
RECORDS_OF_FIRST_PAGE = 100
PAGE_BYTES = 1_000_000
"""An answer may have ten times as many, and pages are held in memory: fewer records are asked for
where they are large."""
READ_SECONDS = 0.2
"""A shard answers five reads in a second, of all the readers together."""
BYTES_PER_SECOND = 2_000_000
"""A shard gives 2 MB in a second, to all the readers together."""
ENDED_MAX = 10_000
"""Ended shards whose children are remembered until a caller asks for the children."""


@dataclass(slots=True)
class _Turns:
    """The turns of one shard. `free_at`: loop time from which on it may be read again.
    `records_max`: to be asked for at once, so that an answer has about PAGE_BYTES.
    """

    free_at: float = 0.0
    records_max: int = RECORDS_OF_FIRST_PAGE
    queue: asyncio.Lock = field(default_factory=asyncio.Lock)


class ShardPace:
    """Spaces the reads of each shard of the process: AWS refuses more reads than promised.

    A read takes a fifth of a second of the shard's time, or as long as the bytes of the answer do.
    Tables that share a stream share the shards' pace, and take turns.
    """

    def __init__(self) -> None:
        self._shards: dict[str, _Turns] = {}

    async def turn(self, shard: str) -> int:
        """Wait until the shard may be read again, behind those who wait already; returns the number
        of records to ask for.
        """
        turns = self._shards.get(shard)
        if turns is None:
            turns = self._shards[shard] = _Turns()
        loop = asyncio.get_running_loop()
        async with turns.queue:
            while (seconds := turns.free_at - loop.time()) > 0:  # noqa: ASYNC110 (an answer moves it)
                await asyncio.sleep(seconds)
            turns.free_at = loop.time() + READ_SECONDS
            return turns.records_max

    def took(self, shard: str, *, records: int, data_bytes: int) -> None:
        """Note the size of an answer, for the one that had the turn."""
        turns = self._shards.get(shard)
        if turns is None or not records:
            return
        turns.free_at += max(0.0, data_bytes / BYTES_PER_SECOND - READ_SECONDS)
        fitting = PAGE_BYTES * records // max(1, data_bytes)
        turns.records_max = min(max(1, fitting), RECORDS_PER_PAGE)

    def forget(self, shard: str) -> None:
        """The shard has ended."""
        self._shards.pop(shard, None)


class KinesisStreams:
    """The Kinesis calls for one connection. Retries are the caller's."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 (the SDK has no types)
        observe: Observe,
        *,
        pace: ShardPace,
        heard: Callable[[datetime], None] = unobserved,
        get_records: Callable[..., Any] | None = None,
    ) -> None:
        self.client = client
        self.pace = pace
        self.calls = Calls(observe, heard=heard)
        self.get_records = get_records or client.get_records


class KinesisShare:
    """One table's share of Kinesis streams: the port `Source`, for names that `share_of` makes."""

    def __init__(self, streams: KinesisStreams, *, table: str, base64: Base64) -> None:
        self._streams = streams
        self._table = table
        self._base64: Base64 = base64
        self._children: OrderedDict[tuple[str, str], tuple[ListedShard, ...]] = OrderedDict()

    async def listed_shards(
        self, stream_arn: str, *, first: bool = False
    ) -> AsyncIterator[list[ListedShard]]:
        """The stream's shards page by page; closed ones too, as long as it has the records."""
        del first  # a hundred listings in a second are allowed
        arguments: dict[str, Any] = {
            "StreamARN": kinesis_arn_of(stream_arn),
            "MaxResults": SHARDS_PER_PAGE,
        }
        while True:
            page, token = await self._streams.calls.make(
                "ListShards", self._streams.client.list_shards, listing_of, **arguments
            )
            yield page
            if token is None:
                return
            arguments = {"NextToken": token, "MaxResults": SHARDS_PER_PAGE}

    async def described(self, stream_arn: str) -> ToldByStream:
        """Facts of the Kinesis stream that has the ARN now."""
        return await self._streams.calls.make(
            "DescribeStreamSummary",
            self._streams.client.describe_stream_summary,
            _told,
            StreamARN=kinesis_arn_of(stream_arn),
        )

    async def children(self, stream_arn: str, shard_id: str) -> list[ListedShard]:
        """The children of an ended shard, which the last answer has told."""
        return list(self._children.pop((stream_arn, shard_id), ()))

    async def iterator(
        self,
        stream_arn: str,
        shard_id: str,
        *,
        after: Position | None,
        since: datetime | None = None,
    ) -> str:
        """An iterator after a position, at the first record since a time, or at the oldest one.

        ShardVanished where the stream calls the position none of its own: another had its name, and
        is gone with its records.
        """
        arguments: dict[str, Any] = {
            "StreamARN": kinesis_arn_of(stream_arn),
            "ShardId": shard_id,
        }
        if after is not None:
            arguments["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER"
            arguments["StartingSequenceNumber"] = str(after)
        elif since is not None:
            arguments["ShardIteratorType"] = "AT_TIMESTAMP"
            arguments["Timestamp"] = since
        else:
            arguments["ShardIteratorType"] = "TRIM_HORIZON"
        try:
            return await self._streams.calls.make(
                "GetShardIterator",
                self._streams.client.get_shard_iterator,
                partial(_iterator, stream_arn, shard_id),
                **arguments,
            )
        except ArgumentRefused as error:
            if after is None:
                raise
            raise ShardVanished(str(error)) from error

    async def read(self, iterator: str) -> Page:
        """The next page of a shard, when it is its turn. UnknownRecord."""
        stream_arn, shard_id, token = iterator.split(" ", 2)
        shard = f"{kinesis_arn_of(stream_arn)} {shard_id}"
        records_max = await self._streams.pace.turn(shard)
        found: KinesisPage = await self._streams.calls.make(
            "GetRecords",
            self._streams.get_records,
            raw(partial(decode_kinesis_page, table=self._table, base64=self._base64)),
            ShardIterator=token,
            Limit=records_max,
        )
        page = found.page
        self._streams.pace.took(shard, records=len(page.records), data_bytes=found.data_bytes)
        if page.next_iterator is None:
            self._streams.pace.forget(shard)
            self._children[stream_arn, shard_id] = found.children
            if len(self._children) > ENDED_MAX:
                self._children.popitem(last=False)
            return page
        return Page(
            page.records,
            f"{stream_arn} {shard_id} {page.next_iterator}",
            page.size_bytes,
            page.behind,
        )


@asynccontextmanager
async def open_kinesis(
    connection: SourceConnection,
    observe: Observe,
    *,
    pace: ShardPace,
    heard: Callable[[datetime], None] = unobserved,
) -> AsyncIterator[KinesisStreams]:
    """The Kinesis streams of one place; a failure to make the client is a ReplicatorError."""
    async with open_reader("kinesis", connection, "GetRecords") as (client, [get_records]):
        yield KinesisStreams(client, observe, pace=pace, heard=heard, get_records=get_records)


def _told(answer: Mapping[str, Any]) -> ToldByStream:
    summary = answer["StreamDescriptionSummary"]
    created_at: datetime = summary["StreamCreationTimestamp"]
    retention = timedelta(hours=int(summary["RetentionPeriodHours"]))
    return ToldByStream(retention, created_at.astimezone(UTC))


def _iterator(stream_arn: str, shard_id: str, answer: Mapping[str, Any]) -> str:
    """The iterator together with the shard, whose pace the reads keep."""
    return f"{stream_arn} {shard_id} {answer['ShardIterator']}"
