"""The items of a table, from every DynamoDB: all of them once, exactly, at the allowed rate."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from replicator.aws.source_connection import SourceConnection
from replicator.clock import SystemClock
from replicator.core.snapshot.scan_responses import Segment, item_identity
from replicator.core.stream_record import Image
from replicator.core.table_spec import SourceKey
from replicator.core.telemetry_events import SourceAnswered, TelemetryEvent
from replicator.core.values.dynamodb_json import decode_image
from replicator.engine.snapshot.read_rate_limit import ReadPacing
from replicator.errors import SourceThrottled, SourceUnavailable, StreamVanished
from replicator.sources.dynamodb.table_items import KEYS_PER_GET_MAX, TableItems, open_items_client
from tests.support import endpoints
from tests.support.random_items import RandomItems
from tests.support.scripted_streams import ScriptedStreams, scripted_streams
from tests.support.stream_builders import item

pytestmark = pytest.mark.both_emulators

KEY = SourceKey((("pk", "S"), ("sk", "B")))
ITEMS = 260
PLENTY = 1_000_000


def nobody(_: TelemetryEvent) -> None:
    pass


async def scanned(items: TableItems, *, segments: int, items_max: int) -> list[Image]:
    """Every item, read page by page from text that a database could have kept in between."""
    found: list[Image] = []
    for number in range(segments):
        after: str | None = None
        while True:
            page = await items.scan(Segment(number, segments), after=after, items_max=items_max)
            assert page.read_units > 0
            found += [decode_image(image) for image in page.images]
            if page.last_key is None:
                break
            after = page.last_key
            assert after.isascii()
    return found


def wire(value: Any) -> Any:
    """A value as the SDK takes it in the form that it has on the wire."""
    return json.loads(json.dumps(value, default=lambda raw: b64encode(bytes(raw)).decode()))


async def test_segments_and_pages_hold_every_item_once_exactly_as_written(
    dynamodb_endpoint: str, table_name: str
):
    random = RandomItems(7)
    written = [
        {
            "pk": {"S": f"partition {n % 40} ä🦀\n"},
            "sk": {"B": n.to_bytes(2, "big") + b"\xff\0"},
            "v": {"S": "x" * (n * 40)},
            "n": {"N": str(n)},
            "m": random.nested(3),
        }
        for n in range(ITEMS)
    ]
    connection = SourceConnection("us-east-1", dynamodb_endpoint)
    async with (
        endpoints.dynamodb_client(dynamodb_endpoint) as client,
        open_items_client(connection) as own,
    ):
        await client.create_table(
            TableName=table_name,
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "B"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        for start in range(0, ITEMS, 25):
            batch: Any = [{"PutRequest": {"Item": each}} for each in written[start : start + 25]]
            await client.batch_write_item(RequestItems={table_name: batch})
        items = TableItems(own, nobody, table=table_name)

        everything = await scanned(items, segments=3, items_max=17)

        expected = {item_identity(wire(each), KEY): each["n"] for each in written}
        assert len(everything) == ITEMS
        assert {item_identity(image, KEY): image["n"] for image in everything} == expected
        by_identity = {item_identity(image, KEY): image for image in everything}
        for start in range(0, ITEMS, KEYS_PER_GET_MAX):
            keys = [
                {name: image[name] for name in ("pk", "sk")}
                for image in everything[start : start + KEYS_PER_GET_MAX]
            ]
            got = await items.get([*keys[1:], {"pk": {"S": "absent"}, "sk": {"B": "AA=="}}])
            images = [decode_image(image) for image in got.images]
            assert not got.unprocessed
            assert got.read_units > 0
            assert len(images) == len(keys) - 1
            assert all(by_identity[item_identity(image, KEY)] == image for image in images)

        with pytest.raises(StreamVanished, match="no DynamoDB table 'absent'"):
            await TableItems(own, nobody, table="absent").scan(
                Segment(0, 1), after=None, items_max=1
            )
        with pytest.raises(StreamVanished, match="no DynamoDB table 'absent'"):
            await TableItems(own, nobody, table="absent").get([{"pk": {"S": "a"}}])


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[ScriptedStreams, TableItems, list[TelemetryEvent]]]:
    seen: list[TelemetryEvent] = []
    async with (
        await scripted_streams() as streams,
        open_items_client(SourceConnection("us-east-1", streams.endpoint_url)) as client,
    ):
        table = streams.table("orders")
        for n in range(50):
            table.put(item(f"k{n}", n=n))
        yield streams, TableItems(client, seen.append, table="orders"), seen


async def test_throttling_is_told_apart_at_once_and_seen(
    scripted: tuple[ScriptedStreams, TableItems, list[TelemetryEvent]],
):
    streams, items, seen = scripted
    streams.fail("Scan", "ProvisionedThroughputExceededException")
    with pytest.raises(SourceThrottled):
        await items.scan(Segment(0, 1), after=None, items_max=10)
    assert streams.count("Scan") == 1
    assert seen == [SourceAnswered("Scan", "ProvisionedThroughputExceededException")]

    streams.wrong_checksum("Scan")
    with pytest.raises(SourceUnavailable, match="checksum"):
        await items.scan(Segment(0, 1), after=None, items_max=10)
    streams.cut("BatchGetItem", "body")
    with pytest.raises(SourceUnavailable):
        await items.get([{"pk": {"S": "k1"}}])


async def test_paced_reading_goes_on_where_it_was_throttled_and_keeps_to_its_budget(
    scripted: tuple[ScriptedStreams, TableItems, list[TelemetryEvent]],
):
    streams, items, _ = scripted
    streams.fail("Scan", "ProvisionedThroughputExceededException", times=3, skip=1)
    clock = SystemClock()
    pacing = ReadPacing(40.0, clock)
    reader, after, found = pacing.reader(items), None, []
    began = clock.monotonic()
    while True:
        page = await reader.scan(Segment(0, 1), after=after)
        found += [decode_image(image)["pk"]["S"] for image in page.images]
        after = page.last_key
        if after is None:
            break
    seconds = clock.monotonic() - began

    assert sorted(found) == sorted(f"k{n}" for n in range(50))
    assert pacing.read_units <= 40.0 * (seconds + 1) + 20
    images = await ReadPacing(PLENTY, clock).reader(items).get([{"pk": {"S": "k7"}}])
    assert [decode_image(image)["n"] for image in images] == [{"N": "7"}]
