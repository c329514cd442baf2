"""What the source of Kinesis streams promises, against a Kinesis that splits and merges."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from replicator.aws.source_connection import SourceConnection
from replicator.core.stream.source_kind import share_of
from replicator.core.stream_record import Page, Position
from replicator.errors import ShardVanished, StreamVanished
from replicator.sources.kinesis.streams import (
    KinesisShare,
    ShardPace,
    open_kinesis,
)
from tests.support.kinesis_local import REGION
from tests.support.kinesis_tables import KinesisStream, kinesis_data, kinesis_stream, partition_key
from tests.support.waiting import eventually

NOW = 1_789_000_000_000_000
TABLE = "orders"


@dataclass
class Share:
    """A stream, one table's share of it, and the source that reads it."""

    stream: KinesisStream
    source: KinesisShare

    @property
    def arn(self) -> str:
        return share_of(self.stream.arn, TABLE)

    async def put(self, *numbers: int, table: str = TABLE) -> None:
        for number in numbers:
            item = {"pk": {"S": f"k{number}"}, "n": {"N": str(number)}}
            data = kinesis_data(table, None, item, micros=NOW + number)
            await self.stream.put(data, key=partition_key(f"k{number}"))

    async def shards(self) -> list[str]:
        return [
            shard.shard_id async for page in self.source.listed_shards(self.arn) for shard in page
        ]

    async def page(self, shard_id: str, after: Position | None = None, **since: datetime) -> Page:
        return await self.source.read(
            await self.source.iterator(self.arn, shard_id, after=after, **since)
        )


@pytest.fixture
async def share(kinesis_url: str, table_name: str) -> AsyncIterator[Share]:
    place = SourceConnection(region=REGION, kinesis_endpoint_url=kinesis_url)
    async with AsyncExitStack() as stack:
        stream = await stack.enter_async_context(kinesis_stream(kinesis_url, table_name))
        streams = await stack.enter_async_context(
            open_kinesis(place, lambda _: None, pace=ShardPace())
        )
        yield Share(stream, KinesisShare(streams, table=TABLE, base64="twice"))


async def test_records_are_read_in_the_order_of_their_places_and_the_head_is_told(share: Share):
    await share.put(1, 2, 3)
    [shard] = await share.shards()
    page = await share.page(shard)

    assert [record.keys["pk"]["S"] for record in page.records] == ["k1", "k2", "k3"]
    places = [record.position for record in page.records]
    assert places == sorted(places)
    assert len(str(places[0])) == 56
    assert page.next_iterator is not None
    rest = await share.source.read(page.next_iterator)
    assert (rest.records, rest.behind) == ([], False)


async def test_reading_goes_on_after_a_place(share: Share):
    await share.put(1, 2, 3)
    [shard] = await share.shards()
    first, *others = (await share.page(shard)).records

    assert (await share.page(shard, first.position)).records == others


async def test_reading_begins_at_a_time(share: Share):
    await share.put(1)
    [shard] = await share.shards()

    async def later() -> datetime | None:
        """The second of the newest record, once it is a later one: the SDK sends whole seconds."""
        await share.put(2)
        first, *_, newest = await share.stream.arrivals(shard)
        second = newest.replace(microsecond=0)
        return second if second > first else None

    since = await eventually(later, what="a record arrives in a later second")
    assert since is not None
    read = await share.page(shard, since=since)

    assert {record.keys["pk"]["S"] for record in read.records} == {"k2"}


async def test_records_of_other_tables_have_places_and_are_foreign(share: Share):
    await share.put(1)
    await share.put(2, table="others")
    await share.stream.put(b"not of DynamoDB", key="x")
    [shard] = await share.shards()
    page = await share.page(shard)

    assert [record.foreign for record in page.records] == [False, True, True]


async def test_a_shard_that_was_split_ends_and_its_last_answer_tells_the_children(share: Share):
    await share.put(1, 2)
    [shard] = await share.shards()
    await share.stream.split()
    page = await share.page(shard)
    while page.next_iterator is not None:
        page = await share.source.read(page.next_iterator)

    children = await share.source.children(share.arn, shard)
    assert [child.parents for child in children] == [(shard,), (shard,)]
    assert await share.source.children(share.arn, shard) == []


async def test_a_shard_of_a_merge_has_two_parents_in_the_listing_and_in_the_answer(share: Share):
    await share.stream.split()
    opened = [shard["ShardId"] for shard in await share.stream.open_shards()]
    await share.stream.merge()
    page = await share.page(opened[0])
    while page.next_iterator is not None:
        page = await share.source.read(page.next_iterator)

    [child] = await share.source.children(share.arn, opened[0])
    assert set(child.parents) == set(opened)
    listed = [s async for page in share.source.listed_shards(share.arn) for s in page]
    [merged] = [shard for shard in listed if len(shard.parents) == 2]
    assert set(merged.parents) == set(opened)
    assert [shard.closed for shard in listed if shard.shard_id in opened] == [True, True]


async def test_the_stream_says_for_how_long_it_keeps_its_records(share: Share):
    assert (await share.source.described(share.arn)).retention == timedelta(hours=24)
    await share.stream.client.increase_stream_retention_period(
        StreamARN=share.stream.arn, RetentionPeriodHours=168
    )
    await share.stream.active()

    assert (await share.source.described(share.arn)).retention == timedelta(days=7)


async def test_a_stream_created_again_does_not_know_the_positions_of_the_one_before(share: Share):
    """It has the name, the ARN and the ids of the shards, and nothing else of it."""
    await share.put(1, 2)
    [shard] = await share.shards()
    page = await share.page(shard)
    before = (await share.source.described(share.arn)).created_at
    await share.stream.create_again()
    await share.put(3)

    assert await share.shards() == [shard]
    assert (await share.source.described(share.arn)).created_at > before
    with pytest.raises(ShardVanished):
        await share.page(shard, after=page.records[-1].position)


async def test_a_shard_and_a_stream_that_do_not_exist_have_vanished(share: Share):
    with pytest.raises(ShardVanished):
        await share.source.iterator(share.arn, "shardId-000000000099", after=None)
    gone = share_of(f"{share.stream.arn}-gone", TABLE)
    with pytest.raises(StreamVanished):
        _ = [page async for page in share.source.listed_shards(gone)]
