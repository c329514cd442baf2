"""What every DynamoDB with streams has in common: the scripted one and the emulators agree."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import endpoints
from tests.support.dynamodb_local import DynamoDBLocalMissing
from tests.support.missing_part import skip_without
from tests.support.scripted_streams import scripted_streams
from tests.support.stream_builders import item

SCRIPTED = "scripted"
EMULATORS = [pytest.param(name, marks=pytest.mark.dynamodb) for name in endpoints.NAMES]


@dataclass(frozen=True)
class Endpoint:
    """Clients of one server, and a table `name` that nobody else uses."""

    dynamodb: Any
    streams: Any
    name: str

    async def create(self) -> str:
        return await endpoints.create_table(self.dynamodb, self.name)

    async def put(self, *items: dict[str, Any]) -> None:
        for each in items:
            await self.dynamodb.put_item(TableName=self.name, Item=each)

    async def shard_id(self, arn: str) -> str:
        described = await self.streams.describe_stream(StreamArn=arn)
        [shard] = described["StreamDescription"]["Shards"]
        return shard["ShardId"]

    async def iterator(self, arn: str, kind: str = "TRIM_HORIZON", **at: str) -> str:
        answer = await self.streams.get_shard_iterator(
            StreamArn=arn, ShardId=await self.shard_id(arn), ShardIteratorType=kind, **at
        )
        return answer["ShardIterator"]

    async def read(self, arn: str, kind: str = "TRIM_HORIZON", **at: str) -> list[Any]:
        iterator = await self.iterator(arn, kind, **at)
        return (await self.streams.get_records(ShardIterator=iterator))["Records"]


@pytest.fixture(scope="module", params=[SCRIPTED, *EMULATORS])
def emulator_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """None stands for the scripted server, which lives in the test's own event loop."""
    if request.param == SCRIPTED:
        yield None
        return
    if request.param == "ministack":
        yield request.getfixturevalue("ministack")
        return
    try:
        with endpoints.endpoint(request.param) as url:
            yield url
    except DynamoDBLocalMissing as missing:
        skip_without(missing)


@pytest.fixture
async def stream_endpoint(emulator_url: str | None, table_name: str) -> AsyncIterator[Endpoint]:
    async with AsyncExitStack() as stack:
        url = emulator_url
        if url is None:
            url = (await stack.enter_async_context(await scripted_streams())).endpoint_url
        dynamodb = await stack.enter_async_context(endpoints.dynamodb_client(url))
        streams = await stack.enter_async_context(endpoints.streams_client(url))
        yield Endpoint(dynamodb, streams, table_name)


async def test_writes_become_records_with_keys_and_both_images(stream_endpoint: Endpoint):
    arn = await stream_endpoint.create()
    await stream_endpoint.put(item("a", n=1), item("a", n=2))
    await stream_endpoint.dynamodb.delete_item(
        TableName=stream_endpoint.name, Key={"pk": {"S": "a"}}
    )

    inserted, modified, removed = await stream_endpoint.read(arn)

    assert [record["eventName"] for record in (inserted, modified, removed)] == [
        "INSERT",
        "MODIFY",
        "REMOVE",
    ]
    assert {record["eventVersion"] for record in (inserted, removed)} == {"1.1"}
    assert inserted["dynamodb"]["Keys"] == {"pk": {"S": "a"}}
    assert inserted["dynamodb"]["NewImage"] == item("a", n=1)
    assert "OldImage" not in inserted["dynamodb"]
    assert modified["dynamodb"]["OldImage"] == item("a", n=1)
    assert modified["dynamodb"]["NewImage"] == item("a", n=2)
    assert removed["dynamodb"]["OldImage"] == item("a", n=2)
    assert "NewImage" not in removed["dynamodb"]


async def test_sequence_numbers_have_21_to_40_digits_and_grow(stream_endpoint: Endpoint):
    arn = await stream_endpoint.create()
    await stream_endpoint.put(*(item(f"k{n}") for n in range(25)))

    texts = [record["dynamodb"]["SequenceNumber"] for record in await stream_endpoint.read(arn)]

    assert all(21 <= len(text) <= 40 for text in texts)
    numbers = [int(text) for text in texts]
    assert numbers == sorted(set(numbers))


async def test_a_write_that_changes_nothing_leaves_no_record(stream_endpoint: Endpoint):
    arn = await stream_endpoint.create()
    await stream_endpoint.put(item("a", n=1), item("a", n=1))
    await stream_endpoint.dynamodb.delete_item(
        TableName=stream_endpoint.name, Key={"pk": {"S": "absent"}}
    )

    assert len(await stream_endpoint.read(arn)) == 1


@pytest.mark.parametrize(("written", "kept"), [("1.0", "1"), ("1E2", "100"), ("0.50", "0.5")])
async def test_numbers_are_normalised(stream_endpoint: Endpoint, written: str, kept: str):
    arn = await stream_endpoint.create()
    await stream_endpoint.put(item("a") | {"n": {"N": written}})

    [record] = await stream_endpoint.read(arn)

    assert record["dynamodb"]["NewImage"]["n"] == {"N": kept}


async def test_pages_of_a_limit_follow_one_another(stream_endpoint: Endpoint):
    arn = await stream_endpoint.create()
    await stream_endpoint.put(*(item(f"k{n}") for n in range(5)))

    iterator, sizes = await stream_endpoint.iterator(arn), []
    for _ in range(3):
        page = await stream_endpoint.streams.get_records(ShardIterator=iterator, Limit=2)
        sizes.append(len(page["Records"]))
        iterator = page["NextShardIterator"]

    assert sizes == [2, 2, 1]


async def test_an_iterator_can_be_used_again(stream_endpoint: Endpoint):
    arn = await stream_endpoint.create()
    await stream_endpoint.put(item("a"), item("b"))
    iterator = await stream_endpoint.iterator(arn)

    first = await stream_endpoint.streams.get_records(ShardIterator=iterator)
    again = await stream_endpoint.streams.get_records(ShardIterator=iterator)

    assert len(first["Records"]) == 2
    assert first["Records"] == again["Records"]


async def test_a_reader_can_begin_at_after_and_behind_everything(stream_endpoint: Endpoint):
    arn = await stream_endpoint.create()
    await stream_endpoint.put(item("a"), item("b"), item("c"))
    numbers = [r["dynamodb"]["SequenceNumber"] for r in await stream_endpoint.read(arn)]

    at = await stream_endpoint.read(arn, "AT_SEQUENCE_NUMBER", SequenceNumber=numbers[1])
    after = await stream_endpoint.read(arn, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[1])
    behind = await stream_endpoint.read(arn, "LATEST")

    assert [record["dynamodb"]["SequenceNumber"] for record in at] == numbers[1:]
    assert [record["dynamodb"]["SequenceNumber"] for record in after] == numbers[2:]
    assert behind == []


async def test_a_stream_is_described_alike_from_both_sides(stream_endpoint: Endpoint):
    arn = await stream_endpoint.create()

    table = (await stream_endpoint.dynamodb.describe_table(TableName=stream_endpoint.name))["Table"]
    described = await stream_endpoint.streams.describe_stream(StreamArn=arn)
    listed = await stream_endpoint.streams.list_streams(TableName=stream_endpoint.name)

    stream = described["StreamDescription"]
    assert table["LatestStreamArn"] == stream["StreamArn"] == arn
    assert table["StreamSpecification"]["StreamViewType"] == stream["StreamViewType"]
    assert table["KeySchema"] == stream["KeySchema"]
    assert [each["StreamArn"] for each in listed["Streams"]] == [arn]
    assert stream["StreamStatus"] == "ENABLED"
    assert "EndingSequenceNumber" not in stream["Shards"][0]["SequenceNumberRange"]


async def test_a_shard_that_never_divided_has_no_children(stream_endpoint: Endpoint):
    arn = await stream_endpoint.create()
    shard_filter = {"Type": "CHILD_SHARDS", "ShardId": await stream_endpoint.shard_id(arn)}

    answer = await stream_endpoint.streams.describe_stream(StreamArn=arn, ShardFilter=shard_filter)

    assert answer["StreamDescription"]["Shards"] == []


async def test_what_does_not_exist_is_a_typed_error(stream_endpoint: Endpoint):
    arn = await stream_endpoint.create()
    streams, dynamodb = stream_endpoint.streams, stream_endpoint.dynamodb

    with pytest.raises(streams.exceptions.ResourceNotFoundException):
        await streams.describe_stream(StreamArn=arn.replace(stream_endpoint.name, "no-such-table"))
    with pytest.raises(streams.exceptions.ResourceNotFoundException):
        await streams.get_shard_iterator(
            StreamArn=arn,
            ShardId="shardId-00000001600000000000-deadbeef",
            ShardIteratorType="LATEST",
        )
    with pytest.raises(dynamodb.exceptions.ResourceNotFoundException):
        await dynamodb.describe_table(TableName="no-such-table")


async def test_an_invented_iterator_is_invalid(stream_endpoint: Endpoint):
    await stream_endpoint.create()

    with pytest.raises(stream_endpoint.streams.exceptions.ClientError) as caught:
        await stream_endpoint.streams.get_records(ShardIterator="invented")

    assert caught.value.response["Error"]["Code"] == "ValidationException"


async def test_a_disabled_stream_is_read_to_its_end_and_gets_a_successor(
    stream_endpoint: Endpoint,
):
    arn = await stream_endpoint.create()
    await stream_endpoint.put(item("a"), item("b"))
    await stream_endpoint.dynamodb.update_table(
        TableName=stream_endpoint.name, StreamSpecification={"StreamEnabled": False}
    )

    described = await stream_endpoint.streams.describe_stream(StreamArn=arn)
    iterator: str | None = await stream_endpoint.iterator(arn)
    records: list[Any] = []
    for _ in range(10):
        if iterator is None:
            break
        page = await stream_endpoint.streams.get_records(ShardIterator=iterator)
        records += page["Records"]
        iterator = page.get("NextShardIterator")
    enabled = await stream_endpoint.dynamodb.update_table(
        TableName=stream_endpoint.name,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )

    [shard] = described["StreamDescription"]["Shards"]
    assert described["StreamDescription"]["StreamStatus"] == "DISABLED"
    assert "EndingSequenceNumber" in shard["SequenceNumberRange"]
    assert iterator is None
    assert len(records) == 2
    assert enabled["TableDescription"]["LatestStreamArn"] != arn


async def test_a_stream_outlives_its_table(stream_endpoint: Endpoint):
    arn = await stream_endpoint.create()
    await stream_endpoint.put(item("a"))
    await stream_endpoint.dynamodb.delete_table(TableName=stream_endpoint.name)

    assert len(await stream_endpoint.read(arn)) >= 1


async def test_the_segments_of_a_paged_scan_hold_every_item_once(stream_endpoint: Endpoint):
    await stream_endpoint.create()
    await stream_endpoint.put(*(item(f"k{n}", n=n) for n in range(30)))

    found = []
    for segment in range(3):
        start: dict[str, Any] = {}
        while True:
            page = await stream_endpoint.dynamodb.scan(
                TableName=stream_endpoint.name, Segment=segment, TotalSegments=3, Limit=4, **start
            )
            found += [each["pk"]["S"] for each in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    assert sorted(found) == sorted(f"k{n}" for n in range(30))
