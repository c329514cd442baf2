"""The scripted streams do what their script says, as the real client sees it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aioboto3
import aiohttp
import orjson
import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError, HTTPClientError

from tests.support.bounds import USUAL_SECONDS
from tests.support.nobody import PORT_OF_NOBODY
from tests.support.ports import kept_port
from tests.support.scripted_streams import ScriptedStreams, Table, scripted_streams
from tests.support.stream_builders import item, record_pages
from tests.support.waiting import eventually

pytestmark = pytest.mark.both_emulators

# what the server answers is what the test sees: no retries that hide it
ONCE = AioConfig(
    connect_timeout=USUAL_SECONDS, read_timeout=USUAL_SECONDS, retries={"total_max_attempts": 1}
)
DAY_AND_HOUR = 25


@pytest.fixture
async def streams() -> AsyncIterator[ScriptedStreams]:
    async with await scripted_streams() as server:
        yield server


@pytest.fixture
async def client(streams: ScriptedStreams) -> AsyncIterator[Any]:
    async with aioboto3.Session().client(
        "dynamodbstreams", endpoint_url=streams.endpoint_url, config=ONCE
    ) as connected:
        yield connected


@pytest.fixture
async def dynamodb(streams: ScriptedStreams) -> AsyncIterator[Any]:
    async with aioboto3.Session().client(
        "dynamodb", endpoint_url=streams.endpoint_url, config=ONCE
    ) as connected:
        yield connected


async def begin(
    client: Any, table: Table, shard: int, kind: str = "TRIM_HORIZON", number: str | None = None
) -> str:
    at = {} if number is None else {"SequenceNumber": number}
    answer = await client.get_shard_iterator(
        StreamArn=table.stream_arn,
        ShardId=table.shard_id(shard),
        ShardIteratorType=kind,
        **at,
    )
    return answer["ShardIterator"]


async def list_and_read(client: Any, table: Table) -> None:
    await listing(client, table)
    await pages(client, table, 0, 1)


async def pages(client: Any, table: Table, shard: int, at_most: int = 20) -> list[Any]:
    """The pages from the trim horizon to the null iterator, or `at_most`."""
    iterator: str | None = await begin(client, table, shard)
    found: list[Any] = []
    while iterator is not None and len(found) < at_most:
        found.append(await client.get_records(ShardIterator=iterator))
        iterator = found[-1].get("NextShardIterator")
    return found


async def records(client: Any, table: Table, shard: int) -> list[Any]:
    return [r for page in await pages(client, table, shard, 3) for r in page["Records"]]


async def listing(client: Any, table: Table, **which: Any) -> list[Any]:
    """Every listed shard; follows LastEvaluatedShardId."""
    found: list[Any] = []
    start: dict[str, Any] = {}
    while True:
        answer = await client.describe_stream(StreamArn=table.stream_arn, **which, **start)
        description = answer["StreamDescription"]
        found += description["Shards"]
        if "LastEvaluatedShardId" not in description:
            return found
        start = {"ExclusiveStartShardId": description["LastEvaluatedShardId"]}


def names_of(table: Table, shards: list[Any]) -> list[int]:
    by_id = {shard_id: number for number, shard_id in table.shard_ids().items()}
    return [by_id[shard["ShardId"]] for shard in shards]


def error_code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return caught.value.response["Error"]["Code"]


# shards


@pytest.mark.parametrize("tree", [{0: 1, 1: [2, 3]}, {0: None, 1: 0, 2: 1, 3: 1}])
async def test_a_tree_of_shards_is_written_in_one_line(
    streams: ScriptedStreams, client: Any, tree: Any
):
    orders = streams.table("orders", shards=tree)

    shards = await listing(client, orders)

    ids = orders.shard_ids()
    assert names_of(orders, shards) == [0, 1, 2, 3]
    assert [shard.get("ParentShardId") for shard in shards] == [None, ids[0], ids[1], ids[1]]
    assert ["EndingSequenceNumber" in s["SequenceNumberRange"] for s in shards] == [
        True,
        True,
        False,
        False,
    ]


async def test_an_empty_closed_shard_ends_where_it_started(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders", shards={0: 1})

    span = (await listing(client, orders))[0]["SequenceNumberRange"]

    assert span["StartingSequenceNumber"] == span["EndingSequenceNumber"]


async def test_a_split_sends_each_key_to_exactly_one_child(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    keys = [f"k{n}" for n in range(40)]
    for key in keys:
        orders.put(item(key, n=1))
    left, right = orders.split(0)
    for key in keys:
        orders.put(item(key, n=2))

    seen = {
        shard: {r["dynamodb"]["Keys"]["pk"]["S"] for r in await records(client, orders, shard)}
        for shard in (0, left, right)
    }

    assert seen[0] == set(keys)
    assert seen[left] | seen[right] == set(keys)
    assert not seen[left] & seen[right]
    assert seen[left]
    assert seen[right]


async def test_sequence_numbers_grow_along_the_lineage_and_overtake_their_own_length(
    streams: ScriptedStreams, client: Any
):
    orders = streams.table("orders", counter=5)
    shard, texts = 0, []
    for generation in range(4):
        for n in range(3):
            orders.put(item("a", n=generation * 10 + n))
        found = await records(client, orders, shard)
        texts += [record["dynamodb"]["SequenceNumber"] for record in found]
        shard = orders.roll_over(shard)

    assert list(map(int, texts)) == sorted(map(int, texts))
    assert texts != sorted(texts)
    assert len(set(texts)) == 12


async def test_history_is_written_into_shards_that_have_children(
    streams: ScriptedStreams, client: Any
):
    orders = streams.table("orders", shards={0: 1, 1: 2})
    for shard in (0, 1, 2):
        orders.put(item("a", n=shard), shard=shard)

    found = [(await records(client, orders, shard))[0]["dynamodb"] for shard in (0, 1, 2)]

    assert [part["NewImage"]["n"]["N"] for part in found] == ["0", "1", "2"]
    numbers = [int(part["SequenceNumber"]) for part in found]
    assert numbers == sorted(numbers)
    closed = (await listing(client, orders))[0]["SequenceNumberRange"]
    assert int(closed["EndingSequenceNumber"]) >= numbers[0]


async def test_more_than_a_hundred_shards_come_in_pages(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders", shards=230)

    first = await client.describe_stream(StreamArn=orders.stream_arn)
    everything = await listing(client, orders)

    assert len(first["StreamDescription"]["Shards"]) == 100
    assert names_of(orders, everything) == list(range(230))
    assert streams.count("DescribeStream") == 4


async def test_the_children_of_a_shard_are_listed_by_filter(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders", shards={0: 1, 1: [2, 3]})
    children_of_one = {"Type": "CHILD_SHARDS", "ShardId": orders.shard_id(1)}

    answers = {}
    for answer in ("right", "nothing", "everything", "itself"):
        orders.listing(children=answer)
        shards = await listing(client, orders, ShardFilter=children_of_one)
        answers[answer] = names_of(orders, shards)

    assert answers == {"right": [2, 3], "nothing": [], "everything": [0, 1, 2, 3], "itself": [1]}


async def test_a_parent_stays_open_beside_its_children_until_it_is_closed(
    streams: ScriptedStreams, client: Any
):
    orders = streams.table("orders")
    child = orders.roll_over(0, close=False)
    orders.put(item("a", n=1))
    open_beside = await listing(client, orders)
    orders.close(0)
    orders.put(item("a", n=2))

    assert "EndingSequenceNumber" not in open_beside[0]["SequenceNumberRange"]
    assert open_beside[1]["ParentShardId"] == orders.shard_id(0)
    assert len(await records(client, orders, 0)) == 1
    assert len(await records(client, orders, child)) == 1


async def test_a_listing_errs_as_it_is_told(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders", shards={0: 1})

    orders.listing(shown_open=[0])
    shown_open = await listing(client, orders)
    orders.listing(shown_open=[], unlisted=[0])
    orphaned = await listing(client, orders)

    assert "EndingSequenceNumber" not in shown_open[0]["SequenceNumberRange"]
    assert names_of(orders, orphaned) == [1]
    assert orphaned[0]["ParentShardId"] == orders.shard_id(0)
    assert (await pages(client, orders, 0))[-1].get("NextShardIterator") is None


async def test_a_last_page_of_a_listing_can_be_empty(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    orders.listing(tail=True)

    first = await client.describe_stream(StreamArn=orders.stream_arn)
    shards = await listing(client, orders)

    assert first["StreamDescription"]["LastEvaluatedShardId"] == orders.shard_id(0)
    assert names_of(orders, shards) == [0]


async def test_only_the_second_page_of_a_listing_fails(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders", shards=150)
    streams.fail("DescribeStream", "InternalServerError", continued=True)

    with pytest.raises(client.exceptions.InternalServerError):
        await listing(client, orders)

    assert len(await listing(client, orders)) == 150
    outcomes = [call.outcome for call in streams.calls("DescribeStream")]
    assert outcomes == ["ok", "InternalServerError", "ok", "ok"]


# pages and ends


@pytest.mark.parametrize(
    ("ends_with", "sizes"), [("records", [2]), ("empty page", [2, 0])], ids=["full", "empty"]
)
async def test_the_last_page_is_full_or_empty(
    streams: ScriptedStreams, client: Any, ends_with: Any, sizes: list[int]
):
    orders = streams.table("orders")
    orders.put(item("a"))
    orders.put(item("b"))
    orders.end_with(0, ends_with)
    orders.close(0)

    found = await pages(client, orders, 0)

    assert [len(page["Records"]) for page in found] == sizes
    assert found[-1].get("NextShardIterator") is None


async def test_shards_end_in_both_ways_unless_told(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders", shards=2)
    for n in range(20):
        orders.put(item(f"k{n}"))
    orders.close(0)
    orders.close(1)

    assert [len(await pages(client, orders, shard)) for shard in (0, 1)] == [1, 2]


async def test_latest_in_a_closed_shard_is_the_end_at_once(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    orders.put(item("a"))
    orders.roll_over(0)

    page = await client.get_records(ShardIterator=await begin(client, orders, 0, "LATEST"))

    assert page["Records"] == []
    assert page.get("NextShardIterator") is None


async def test_a_page_holds_a_thousand_records_or_a_megabyte(streams: ScriptedStreams, client: Any):
    many, big = streams.table("many"), streams.table("big")
    for n in range(1001):
        many.put(item(f"k{n}"))
    for n in range(3):
        big.put(item("a", n=n, text="x" * 390_000))  # from the second on both images: 780 KB

    assert [len(page["Records"]) for page in await pages(client, many, 0, 2)] == [1000, 1]
    assert [len(page["Records"]) for page in await pages(client, big, 0, 3)] == [1, 1, 1]


async def test_a_limit_beyond_a_thousand_is_invalid(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    iterator = await begin(client, orders, 0)

    with pytest.raises(ClientError) as caught:
        await client.get_records(ShardIterator=iterator, Limit=1001)

    assert error_code(caught) == "ValidationException"


async def test_empty_pages_come_before_the_records(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    orders.put(item("a"))
    orders.roll_over(0)
    streams.empty_pages(5, shard=0)

    sizes = [len(page["Records"]) for page in await pages(client, orders, 0)]

    assert sizes == [0, 0, 0, 0, 0, 1]
    assert streams.count("GetRecords", outcome="empty page") == 5


async def test_ready_pages_are_served_and_read_on_from_their_middle(
    streams: ScriptedStreams, client: Any
):
    orders = streams.table("orders")
    orders.load_pages(0, list(record_pages(3, records=10)))
    orders.close(0)

    everything = [r for page in await pages(client, orders, 0) for r in page["Records"]]
    number = everything[14]["dynamodb"]["SequenceNumber"]
    rest = await client.get_records(
        ShardIterator=await begin(client, orders, 0, "AFTER_SEQUENCE_NUMBER", number)
    )

    assert len(everything) == 30
    assert rest["Records"] == everything[15:20]


# time


async def test_iterators_expire_after_fifteen_minutes(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    iterator = await begin(client, orders, 0)
    streams.advance(minutes=14)
    await client.get_records(ShardIterator=iterator)
    streams.advance(minutes=2)

    with pytest.raises(client.exceptions.ExpiredIteratorException):
        await client.get_records(ShardIterator=iterator)


async def test_iterators_expire_on_command(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    iterator = await begin(client, orders, 0)
    streams.expire_iterators()

    with pytest.raises(client.exceptions.ExpiredIteratorException):
        await client.get_records(ShardIterator=iterator)
    await client.get_records(ShardIterator=await begin(client, orders, 0))


async def test_a_day_trims_what_was_written_before(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    number = orders.put(item("a", n=1))
    orders.put(item("a", n=2))
    streams.advance(hours=DAY_AND_HOUR)
    orders.put(item("a", n=3))

    [record] = await records(client, orders, 0)

    assert record["dynamodb"]["NewImage"]["n"] == {"N": "3"}
    with pytest.raises(client.exceptions.TrimmedDataAccessException):
        await client.get_records(
            ShardIterator=await begin(client, orders, 0, "AT_SEQUENCE_NUMBER", number)
        )


async def test_behind_a_trimmed_record_reading_is_refused_or_skips(
    streams: ScriptedStreams, client: Any
):
    orders = streams.table("orders")
    number = orders.put(item("a", n=1))
    for n in range(2, 5):
        orders.put(item("a", n=n))
    orders.trim(0, keep=1)

    with pytest.raises(client.exceptions.TrimmedDataAccessException):
        await begin(client, orders, 0, "AFTER_SEQUENCE_NUMBER", number)
    streams.after_trimmed("skip")
    skipped = await client.get_records(
        ShardIterator=await begin(client, orders, 0, "AFTER_SEQUENCE_NUMBER", number)
    )

    assert [r["dynamodb"]["NewImage"]["n"]["N"] for r in skipped["Records"]] == ["4"]


@pytest.mark.parametrize(
    ("answer", "listed", "error"),
    [
        ("vanish", False, "ResourceNotFoundException"),
        ("not_found", True, "ResourceNotFoundException"),
        ("trimmed", True, "TrimmedDataAccessException"),
    ],
)
async def test_a_trimmed_shard_vanishes_or_stays_listed(
    streams: ScriptedStreams, client: Any, answer: Any, listed: bool, error: str
):
    orders = streams.table("orders")
    orders.put(item("a"))
    child = orders.roll_over(0)
    streams.advance(hours=DAY_AND_HOUR, trimmed_shards=answer)

    found = names_of(orders, await listing(client, orders))
    with pytest.raises(ClientError) as caught:
        await begin(client, orders, 0)

    assert found == ([0, child] if listed else [child])
    assert error_code(caught) == error


async def test_a_script_can_begin_in_the_past(streams: ScriptedStreams):
    present = streams.now()

    async with await scripted_streams(hours_behind=30) as late:
        orders = late.table("orders")
        orders.put(item("a"))
        [record] = orders.records(0)
        late.advance(hours=30)

        written = record["dynamodb"]["ApproximateCreationDateTime"]
        assert present - written == pytest.approx(30 * 3600, abs=60)
        assert late.now() == pytest.approx(present, abs=60)
        assert orders.records(0) == []


# life of stream and table


async def test_a_disabled_stream_ends_and_its_successor_goes_on_counting(
    streams: ScriptedStreams, client: Any, dynamodb: Any
):
    orders = streams.table("orders", shards=2)
    before = [orders.put(item(f"k{n}")) for n in range(10)]
    old = orders.stream_arn
    orders.disable_stream()
    unrecorded = orders.put(item("unrecorded"))
    described = await client.describe_stream(StreamArn=old)
    drained = [await pages(client, orders, shard) for shard in (0, 1)]
    new = orders.enable_stream()
    after = [orders.put(item(f"k{n}", n=1)) for n in range(10)]

    assert unrecorded is None
    assert described["StreamDescription"]["StreamStatus"] == "DISABLED"
    assert sum(len(page["Records"]) for found in drained for page in found) == 10
    table = (await dynamodb.describe_table(TableName="orders"))["Table"]
    assert table["LatestStreamArn"] == new != old
    assert min(int(n) for n in after if n) > min(int(n) for n in before if n)
    assert orders.open_shards() == [2, 3]


async def test_a_disabled_stream_leaves_after_a_day(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    old = orders.stream_arn
    orders.disable_stream()
    orders.enable_stream()
    streams.advance(hours=DAY_AND_HOUR)

    with pytest.raises(client.exceptions.ResourceNotFoundException):
        await client.describe_stream(StreamArn=old)
    listed = await client.list_streams(TableName="orders")
    assert [stream["StreamArn"] for stream in listed["Streams"]] == [orders.stream_arn]


async def test_a_recreated_table_counts_from_the_start_again(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders", counter=16_000_000)
    large = orders.put(item("a"))
    old = orders.stream_arn
    new = orders.recreate()
    small = orders.put(item("a"))

    assert new != old
    assert large is not None
    assert small is not None
    assert int(small) < 10 * 10**20 < int(large)
    assert orders.all_items() == [item("a")]
    listed = await client.list_streams(TableName="orders")
    assert {stream["StreamArn"] for stream in listed["Streams"]} == {old, new}
    with pytest.raises(ClientError) as caught:
        await begin(client, orders, 1, "AFTER_SEQUENCE_NUMBER", large)
    assert error_code(caught) == "ValidationException"


@pytest.mark.parametrize(
    ("view", "images"),
    [
        ("KEYS_ONLY", set()),
        ("NEW_IMAGE", {"NewImage"}),
        ("OLD_IMAGE", {"OldImage"}),
        ("NEW_AND_OLD_IMAGES", {"NewImage", "OldImage"}),
    ],
)
async def test_the_view_type_decides_on_the_images(
    streams: ScriptedStreams, client: Any, view: str, images: set[str]
):
    orders = streams.table("orders", view=view)
    orders.put(item("a", n=1))
    orders.put(item("a", n=2))

    part = (await records(client, orders, 0))[1]["dynamodb"]

    assert {name for name in part if name.endswith("Image")} == images
    assert part["StreamViewType"] == view


# records


async def test_a_record_looks_as_on_aws(streams: ScriptedStreams, client: Any):
    lines = streams.table("lines", key={"pk": "S", "sk": "N"})
    lines.put({"pk": {"S": "a"}, "sk": {"N": "1"}, "b": {"B": b"\x00\xff"}, "t": {"SS": ["x"]}})
    lines.update({"pk": {"S": "a"}, "sk": {"N": "1"}}, {"b": None, "m": {"M": {}}})

    raw = lines.records(0)[0]
    inserted, modified = await records(client, lines, 0)

    assert set(raw) == {
        *("eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "dynamodb"),
    }
    assert raw["eventSource"] == "aws:dynamodb"
    assert len(raw["eventID"]) == 32
    assert isinstance(raw["dynamodb"]["ApproximateCreationDateTime"], int)
    assert inserted["dynamodb"]["Keys"] == {"pk": {"S": "a"}, "sk": {"N": "1"}}
    assert inserted["dynamodb"]["NewImage"]["b"] == {"B": b"\x00\xff"}
    assert inserted["dynamodb"]["SizeBytes"] > 0
    assert modified["dynamodb"]["NewImage"] == {
        **modified["dynamodb"]["Keys"],
        "t": {"SS": ["x"]},
        "m": {"M": {}},
    }


async def test_an_expired_item_is_removed_by_the_service(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    orders.put(item("a"))
    orders.expire({"pk": {"S": "a"}})

    removed = (await records(client, orders, 0))[1]

    assert removed["eventName"] == "REMOVE"
    assert removed["userIdentity"] == {
        "PrincipalId": "dynamodb.amazonaws.com",
        "Type": "Service",
    }


async def test_records_can_be_strange(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    orders.put(item("a"), event="TRUNCATE", extra={"eventVersion": "2.0", "colour": "red"})
    orders.put(item("b"), created_at=None, extra_dynamodb={"Shape": "round"})
    orders.append({"eventName": "INSERT", "dynamodb": {"Keys": {"pk": {"S": "c"}}}}, shard=0)

    strange, timeless, bare = orders.records(0)
    seen = await records(client, orders, 0)

    assert (strange["eventVersion"], strange["colour"]) == ("2.0", "red")
    assert "ApproximateCreationDateTime" not in timeless["dynamodb"]
    assert timeless["dynamodb"]["Shape"] == "round"
    assert set(bare) == {"eventName", "dynamodb"}
    assert seen[0]["eventName"] == "TRUNCATE"
    assert len(seen) == 3


# faults


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("GetRecords", "ExpiredIteratorException"),
        ("GetRecords", "TrimmedDataAccessException"),
        ("GetRecords", "LimitExceededException"),
        ("DescribeStream", "ResourceNotFoundException"),
        ("GetShardIterator", "InternalServerError"),
    ],
)
async def test_errors_of_the_model_are_typed_exceptions(
    streams: ScriptedStreams, client: Any, operation: str, error: str
):
    orders = streams.table("orders")
    streams.fail(operation, error)

    with pytest.raises(getattr(client.exceptions, error)):
        await list_and_read(client, orders)

    await list_and_read(client, orders)
    assert streams.count(operation, outcome=error) == 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ("ThrottlingException", 400, "ThrottlingException"),
        ("ProvisionedThroughputExceededException", 400, "ProvisionedThroughputExceededException"),
        ("AccessDeniedException", 400, "AccessDeniedException"),
        ("InternalFailure", 500, "InternalFailure"),
        ("ServiceUnavailable", 503, "503"),
    ],
)
async def test_errors_beyond_the_model_keep_their_code_and_status(
    streams: ScriptedStreams, client: Any, error: str, status: int, code: str
):
    orders = streams.table("orders")
    streams.fail("DescribeStream", error)

    with pytest.raises(ClientError) as caught:
        await listing(client, orders)

    assert error_code(caught) == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


async def test_a_fault_can_be_aimed_spared_and_healed(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders", shards=2)
    streams.table("others")
    streams.fail("GetRecords", "LimitExceededException", shard=1, skip=1, times=None)
    streams.fail("*", "LimitExceededException", table="others")
    iterator = await begin(client, orders, 1)

    await pages(client, orders, 0, 3)
    await client.get_records(ShardIterator=iterator)
    for _ in range(2):
        with pytest.raises(client.exceptions.LimitExceededException):
            await client.get_records(ShardIterator=iterator)
    streams.heal("GetRecords")
    await client.get_records(ShardIterator=iterator)

    assert streams.pending_faults() == 1


async def test_chance_is_repeatable(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    rounds = []
    for _ in range(2):
        streams.clear_journal()
        streams.fail("DescribeStream", "ThrottlingException", probability=0.5, seed=7)
        for _ in range(30):
            with contextlib.suppress(ClientError):
                await client.describe_stream(StreamArn=orders.stream_arn)
        rounds.append([call.outcome for call in streams.calls("DescribeStream")])
        streams.heal()

    assert rounds[0] == rounds[1]
    assert 5 < rounds[0].count("ThrottlingException") < 25


@pytest.mark.parametrize("where", ["request", "answer", "body"])
async def test_a_connection_breaks_where_it_is_told(
    streams: ScriptedStreams, client: Any, dynamodb: Any, where: Any
):
    orders = streams.table("orders")
    streams.cut("PutItem", where)

    with pytest.raises(HTTPClientError):
        await dynamodb.put_item(TableName="orders", Item=item("a"))

    assert len(orders.all_items()) == (0 if where == "request" else 1)
    assert [call.outcome for call in streams.calls("PutItem")] == [f"cut {where}"]
    await listing(client, orders)


async def test_records_cut_in_the_middle_come_again(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    orders.put(item("a", text="x" * 200_000))
    iterator = await begin(client, orders, 0)
    streams.cut("GetRecords", "body")

    with pytest.raises(HTTPClientError):
        await client.get_records(ShardIterator=iterator)

    assert len((await client.get_records(ShardIterator=iterator))["Records"]) == 1


async def test_a_slow_body_arrives_whole(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    orders.put(item("a", text="x" * 10_000))
    streams.slow("GetRecords", 0.01, pieces=5)
    streams.delay("GetShardIterator", 0.01)

    assert len((await pages(client, orders, 0, 1))[0]["Records"]) == 1


async def test_the_client_sees_a_wrong_checksum(streams: ScriptedStreams):
    streams.table("orders")
    streams.wrong_checksum("DescribeTable")
    retrying = AioConfig(retries={"total_max_attempts": 2, "mode": "legacy"})
    async with aioboto3.Session().client(
        "dynamodb", endpoint_url=streams.endpoint_url, config=retrying
    ) as patient:
        await patient.describe_table(TableName="orders")

    outcomes = [call.outcome for call in streams.calls("DescribeTable")]
    assert outcomes == ["wrong checksum", "ok"]


async def test_a_call_is_held_until_it_is_released(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders")
    iterator = await begin(client, orders, 0)
    streams.hold("GetRecords")

    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(client.get_records(ShardIterator=iterator))

        async def is_held() -> bool:
            return not streams.pending_faults()

        await eventually(is_held, what="the call is held")
        orders.put(item("a"))
        streams.release()

    assert len(held.result()["Records"]) == 1


async def test_the_journal_tells_who_read_what(streams: ScriptedStreams, client: Any):
    orders = streams.table("orders", shards=2)
    for n in range(10):
        orders.put(item(f"k{n}"))
    await begin(client, orders, 0, "LATEST")
    mark = streams.calls()[-1].number
    await pages(client, orders, 1, 1)

    asked, read = streams.calls(table="orders", shard=1, since=mark)
    assert (asked.operation, asked.detail) == ("GetShardIterator", "TRIM_HORIZON")
    assert (read.operation, read.outcome) == ("GetRecords", "ok")
    assert read.records == len(orders.records(1)) > 0
    assert streams.count() == 3


# tables


async def test_a_scan_shows_the_fold_of_all_records(
    streams: ScriptedStreams, client: Any, dynamodb: Any
):
    orders = streams.table("orders", shards={0: [1, 2]})
    for n in range(50):
        orders.put(item(f"k{n % 20}", n=n))
        if n % 7 == 0:
            orders.delete({"pk": {"S": f"k{n % 20}"}})
    folded: dict[str, Any] = {}
    for shard in (1, 2):
        for record in await records(client, orders, shard):
            key = record["dynamodb"]["Keys"]["pk"]["S"]
            folded[key] = record["dynamodb"].get("NewImage")

    scanned = (await dynamodb.scan(TableName="orders", ReturnConsumedCapacity="TOTAL"))["Items"]
    got = await dynamodb.get_item(TableName="orders", Key={"pk": {"S": "k1"}})
    batch = await dynamodb.batch_get_item(
        RequestItems={"orders": {"Keys": [{"pk": {"S": "k1"}}, {"pk": {"S": "absent"}}]}}
    )

    by_key = {each["pk"]["S"]: each for each in scanned}
    assert by_key == {key: image for key, image in folded.items() if image is not None}
    assert got["Item"] == by_key["k1"]
    assert batch["Responses"]["orders"] == [by_key["k1"]]


async def test_expressions_are_refused_rather_than_guessed(streams: ScriptedStreams, dynamodb: Any):
    streams.table("orders")

    with pytest.raises(ClientError) as caught:
        await dynamodb.scan(TableName="orders", FilterExpression="attribute_exists(pk)")

    assert error_code(caught) == "ValidationException"


# forwarding


async def test_other_tables_live_in_the_emulator_behind(dynamodb_endpoint: str, table_name: str):
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(await scripted_streams(forward=dynamodb_endpoint))
        session = aioboto3.Session()
        through, behind, reader = [
            await stack.enter_async_context(session.client(service, endpoint_url=url, config=ONCE))
            for service, url in (
                ("dynamodb", streams.endpoint_url),
                ("dynamodb", dynamodb_endpoint),
                ("dynamodbstreams", streams.endpoint_url),
            )
        ]
        orders = streams.table("orders")
        orders.put(item("a"))
        await through.create_table(
            TableName=table_name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        await through.put_item(TableName=table_name, Item=item("x"))

        assert (await behind.scan(TableName=table_name))["Items"] == [item("x")]
        assert len(await records(reader, orders, 0)) == 1
        with pytest.raises(behind.exceptions.ConditionalCheckFailedException):
            await through.put_item(
                TableName=table_name,
                Item=item("x"),
                ConditionExpression="attribute_not_exists(pk)",
            )
        calls = streams.calls("PutItem", table=table_name)
        assert [(call.outcome, call.forwarded) for call in calls] == [
            ("ok", True),
            ("ConditionalCheckFailedException", True),
        ]


async def test_lease_calls_can_be_throttled_and_lost_after_they_were_applied(
    dynamodb_endpoint: str, table_name: str
):
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(await scripted_streams(forward=dynamodb_endpoint))
        through = await stack.enter_async_context(
            aioboto3.Session().client("dynamodb", endpoint_url=streams.endpoint_url, config=ONCE)
        )
        await through.create_table(
            TableName=table_name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        streams.fail("PutItem", "ProvisionedThroughputExceededException", table=table_name)
        streams.cut("PutItem", "answer", table=table_name, skip=1)

        with pytest.raises(through.exceptions.ProvisionedThroughputExceededException):
            await through.put_item(TableName=table_name, Item=item("refused"))
        await through.put_item(TableName=table_name, Item=item("spared"))
        with pytest.raises(HTTPClientError):
            await through.put_item(TableName=table_name, Item=item("lost"))

        kept = (await through.scan(TableName=table_name))["Items"]
        assert sorted(each["pk"]["S"] for each in kept) == ["lost", "spared"]


async def test_an_emulator_that_is_away_is_a_service_unavailable():
    async with (
        await scripted_streams(forward=f"http://127.0.0.1:{PORT_OF_NOBODY}") as streams,
        aioboto3.Session().client(
            "dynamodb", endpoint_url=streams.endpoint_url, config=ONCE
        ) as through,
    ):
        with pytest.raises(ClientError) as caught:
            await through.describe_table(TableName="leases")

    assert error_code(caught) == "503"


async def test_a_closed_server_is_not_there():
    async with await scripted_streams(port=kept_port()) as streams:
        pass

    with pytest.raises(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as session:
            await session.post(streams.endpoint_url, data=orjson.dumps({}))
