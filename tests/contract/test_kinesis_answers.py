"""Answers of AWS to calls for Kinesis that no emulator gives, in the form that AWS documents."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from replicator.aws.source_connection import SourceConnection
from replicator.core.stream.source_kind import share_of
from replicator.core.stream_record import Position
from replicator.errors import ArgumentRefused, ShardVanished, SourceUnavailable, StreamVanished
from replicator.sources.kinesis.streams import KinesisShare, ShardPace, open_kinesis
from tests.support.http_server import served

ARN = "arn:aws:kinesis:eu-west-1:111122223333:stream/changes"
SHARE = share_of(ARN, "orders")
SHARD = "shardId-000000000000"
POSITION = Position(49640405127216128284173189513209838231438216146866241538)
AMZ_JSON = "application/x-amz-json-1.1"
Answer = tuple[str, str] | dict[str, Any]
"""The name of an error and its message, or what a call returns."""


def of_another_stream(number: str) -> Answer:
    """The refusal of a position that a deleted stream of the name gave."""
    return (
        "InvalidArgumentException",
        f"StartingSequenceNumber {number} used in GetShardIterator on shard {SHARD} in stream "
        "changes under account 111122223333 is invalid because it did not come from this stream.",
    )


@dataclass
class Scripted:
    """One table's share of a Kinesis whose answers the test gives."""

    source: KinesisShare
    answer: Callable[[str, dict[str, Any]], Answer]


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    made: list[Scripted] = []

    async def answered(request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        answer = made[0].answer(operation, json.loads(await request.read()))
        if isinstance(answer, dict):
            return web.json_response(answer, content_type=AMZ_JSON)
        error = dict(zip(("__type", "message"), answer, strict=True))
        return web.json_response(error, status=400, content_type=AMZ_JSON)

    app = web.Application()
    app.router.add_post("/{path:.*}", answered)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(app))
        place = SourceConnection(region="eu-west-1", kinesis_endpoint_url=url)
        streams = await stack.enter_async_context(
            open_kinesis(place, lambda _: None, pace=ShardPace())
        )
        source = KinesisShare(streams, table="orders", base64="twice")
        made.append(Scripted(source, lambda operation, _: {"Operation": operation}))
        yield made[0]


async def test_a_position_that_did_not_come_from_the_stream_has_vanished(scripted: Scripted):
    """As `reading from the oldest record` and `at a time` are refused by nobody, it is a gap."""

    def answer(operation: str, wanted: dict[str, Any]) -> Answer:
        assert operation == "GetShardIterator"
        if "StartingSequenceNumber" in wanted:
            return of_another_stream(wanted["StartingSequenceNumber"])
        return {"ShardIterator": "AAAA"}

    scripted.answer = answer
    with pytest.raises(ShardVanished, match="did not come from this stream"):
        await scripted.source.iterator(SHARE, SHARD, after=POSITION)
    found = await scripted.source.iterator(SHARE, SHARD, after=None)
    assert found.split(" ") == [SHARE, SHARD, "AAAA"]


async def test_an_argument_that_is_no_position_is_refused_and_no_loss(scripted: Scripted):
    """The time to begin at lies ahead where the clocks differ: it is tried again."""
    scripted.answer = lambda _, __: (
        "InvalidArgumentException",
        "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis.",
    )
    with pytest.raises(ArgumentRefused, match="timestampInMillis"):
        await scripted.source.iterator(SHARE, SHARD, after=None, since=datetime.now(UTC))


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("ResourceNotFoundException", StreamVanished),
        ("ResourceInUseException", SourceUnavailable),  # while it is created, or deleted
        ("LimitExceededException", SourceUnavailable),
    ],
)
async def test_a_stream_that_is_being_created_is_no_stream_that_is_gone(
    scripted: Scripted, code: str, failure: type[Exception]
):
    scripted.answer = lambda _, __: (code, f"Stream changes under account: {code}")
    with pytest.raises(failure):
        await scripted.source.described(SHARE)
    with pytest.raises(failure):
        _ = [page async for page in scripted.source.listed_shards(SHARE)]


async def test_one_call_tells_for_how_long_records_are_kept_and_when_the_stream_was_created(
    scripted: Scripted,
):
    calls = []

    def answer(operation: str, wanted: dict[str, Any]) -> Answer:
        calls.append((operation, wanted))
        summary = {"RetentionPeriodHours": 168, "StreamCreationTimestamp": 1_789_000_000.0}
        return {"StreamDescriptionSummary": summary}

    scripted.answer = answer
    told = await scripted.source.described(SHARE)

    assert calls == [("DescribeStreamSummary", {"StreamARN": ARN})]
    assert (told.retention.days, told.created_at.timestamp()) == (7, 1_789_000_000.0)
