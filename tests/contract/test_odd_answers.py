"""Answers of a server, or of what stands before it, that are not as AWS documents them."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import pytest
from aiohttp import web

from replicator.aws.client_factory import open_client
from replicator.aws.error_translation import CLOCK_REMEDY, CREDENTIALS_REMEDY
from replicator.aws.observed_calls import MISREAD, WRONG_CHECKSUM
from replicator.aws.source_connection import SourceConnection
from replicator.clock import SourceClock, SystemClock
from replicator.core.snapshot.scan_responses import Segment
from replicator.core.telemetry_events import SourceAnswered
from replicator.errors import Disposition, SourceDenied, SourceUnavailable, UnknownRecord
from replicator.sources.dynamodb.describe_table import describe_table
from replicator.sources.dynamodb.streams import DynamoDBStreams, open_streams
from replicator.sources.dynamodb.table_items import TableItems, open_items_client
from tests.support.http_server import served
from tests.support.wide import every

ARN = "arn:aws:dynamodb:eu-west-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000"
SHARD = "shardId-00000000000000000000-00000000"
WHOLE = {
    "DescribeStream": {"StreamDescription": {"Shards": []}},
    "GetShardIterator": {"ShardIterator": "iterator"},
    "GetRecords": {"Records": [], "NextShardIterator": "next"},
    "Scan": {"Items": [], "ConsumedCapacity": {"TableName": "orders", "CapacityUnits": 1}},
    "BatchGetItem": {"Responses": {"orders": []}, "UnprocessedKeys": {}, "ConsumedCapacity": []},
    "DescribeTable": {
        "Table": {
            "TableArn": ARN,
            "TableName": "orders",
            "TableStatus": "ACTIVE",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        }
    },
}
DATES = [
    "Sun, 29 Nov 2026 12:00:00 GMT",
    "Sun, 29 Nov 2026 12:00:00 -0000",
    "Sun, 29 Nov 2026 12:00:00 +0200",
    "2026-11-29T12:00:00Z",
    "2026-11-29T12:00:00",
    "2026-11-29",
    "29/Nov/2026",
    "soon",
    "99999999999999999999",
    "",
]


@dataclass
class Odd:
    """A server that answers as it is told, and what was observed of its answers."""

    url: str = ""
    body: bytes | None = None
    status: int = 200
    headers: dict[str, str | None] = field(default_factory=dict)
    observed: list[Any] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        body = json.dumps(WHOLE[operation]).encode() if self.body is None else self.body
        answer = web.Response(
            status=self.status, body=body, content_type="application/x-amz-json-1.0"
        )
        answer.headers["x-amz-crc32"] = str(crc32(body))
        await answer.prepare(request)
        return answer

    async def mark(self, _: web.Request, answer: web.StreamResponse) -> None:
        for name, value in self.headers.items():
            answer.headers.pop(name, None)
            if value is not None:
                answer.headers[name] = value

    def outcomes(self, operation: str) -> list[str]:
        return [fact.outcome for fact in self.observed if fact.operation == operation]

    def observe(self, fact: Any) -> None:
        if isinstance(fact, SourceAnswered):
            self.observed.append(fact)


@asynccontextmanager
async def odd() -> AsyncIterator[tuple[Odd, DynamoDBStreams, TableItems]]:
    """A server, and the real clients that ask it."""
    server = Odd()
    application = web.Application()
    application.router.add_post("/", server.serve)
    application.on_response_prepare.append(server.mark)
    heard = SourceClock(SystemClock()).heard
    async with served(application) as server.url:
        place = SourceConnection(region="eu-west-1", endpoint_url=server.url)
        async with (
            open_streams(place, server.observe, heard=heard) as streams,
            open_items_client(place) as items,
        ):
            yield server, streams, TableItems(items, server.observe, table="orders", heard=heard)


async def list_shards(streams: DynamoDBStreams, _: TableItems) -> None:
    async for _page in streams.listed_shards(ARN):
        pass


CALLS: dict[str, Callable[[DynamoDBStreams, TableItems], Awaitable[Any]]] = {
    "DescribeStream": list_shards,
    "GetShardIterator": lambda streams, _: streams.iterator(ARN, SHARD, after=None),
    "GetRecords": lambda streams, _: streams.read("iterator"),
    "Scan": lambda _, items: items.scan(Segment(0, 1), after=None, items_max=10),
    "BatchGetItem": lambda _, items: items.get([{"pk": {"S": "a"}}]),
}
KEPT_RAW = ["GetRecords", "Scan", "BatchGetItem"]
"""Operations whose body is checked and decoded here, not by the SDK."""
every_call = pytest.mark.parametrize("operation", CALLS)
some_calls = pytest.mark.parametrize("operation", every(2, of=[*CALLS]))


@some_calls
@pytest.mark.parametrize("date", DATES)
async def test_a_date_header_of_any_form_or_none_costs_no_answer(operation: str, date: str):
    async with odd() as (server, streams, items):
        for header in (date, None):
            server.headers = {"Date": header}
            await CALLS[operation](streams, items)
            await CALLS[operation](streams, items)  # GetRecords goes another way from now on

        assert server.outcomes(operation) == ["ok"] * 4


@some_calls
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"not JSON", b"<html>", b"[]", b"null", b'"text"', b"{}", b'{"message":"hello"}'],
)
async def test_a_body_of_another_kind_is_a_failure_of_the_source_that_counts_as_one(
    operation: str, body: bytes
):
    async with odd() as (server, streams, items):
        await CALLS[operation](streams, items)
        server.body = body

        for _ in range(2):
            with pytest.raises(SourceUnavailable):
                await CALLS[operation](streams, items)

        assert server.outcomes(operation) == ["ok", MISREAD, MISREAD]


@pytest.mark.parametrize(
    "odd_record",
    [
        {},
        {"eventName": "INSERT"},
        {"eventName": "INSERT", "dynamodb": {"SequenceNumber": "1" * 21}},
        {"eventName": "INSERT", "dynamodb": {"SequenceNumber": "1" * 21, "Keys": None}},
        {"eventName": "INSERT", "dynamodb": {"SequenceNumber": "", "Keys": {"pk": {"S": "a"}}}},
        {"dynamodb": {"SequenceNumber": "1" * 21, "Keys": {"pk": {"S": "a"}}}},
    ],
)
async def test_a_page_whose_record_lacks_a_member_names_it_and_is_not_asked_for_again(
    odd_record: dict[str, Any],
):
    async with odd() as (server, streams, _):
        server.body = json.dumps({"Records": [odd_record], "NextShardIterator": "next"}).encode()

        for _again in range(2):  # the second call goes another way
            with pytest.raises(UnknownRecord, match=r"1{21}|record 1 of the page|eventID") as named:
                await streams.read("iterator")
            assert named.value.disposition is Disposition.HALT


@pytest.mark.parametrize("operation", KEPT_RAW)
@pytest.mark.parametrize("checksum", ["1", "none", "-1"])
async def test_a_body_that_does_not_fit_its_checksum_counts_as_failed(
    operation: str, checksum: str
):
    async with odd() as (server, streams, items):
        server.headers = {"x-amz-crc32": checksum}

        for _ in range(2):
            with pytest.raises(SourceUnavailable, match="checksum"):
                await CALLS[operation](streams, items)

        assert server.outcomes(operation) == [WRONG_CHECKSUM, WRONG_CHECKSUM]


async def test_a_description_of_another_kind_is_a_failure_of_the_source():
    async with odd() as (server, _, _):
        place = SourceConnection(region="eu-west-1", endpoint_url=server.url)
        async with open_client("dynamodb", place, attempts=1) as client:
            await describe_table(client, "orders")
            for body in (b"{}", b"[]", b'{"Table":{}}', b'{"Table":null}', b"<html>"):
                server.body = body
                with pytest.raises(SourceUnavailable):
                    await describe_table(client, "orders")


@every_call
@pytest.mark.parametrize(
    ("code", "text", "remedy"),
    [
        (
            "InvalidSignatureException",
            "Signature expired: 20261129T110000Z is now earlier than 20261129T115500Z "
            "(20261129T120000Z - 5 min.)",
            CLOCK_REMEDY,
        ),
        (
            "InvalidSignatureException",
            "Signature not yet current: 20261129T130000Z is still later than 20261129T120500Z "
            "(20261129T120000Z + 5 min.)",
            CLOCK_REMEDY,
        ),
        ("RequestTimeTooSkewed", "", CLOCK_REMEDY),
        (
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
            CREDENTIALS_REMEDY,
        ),
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            CREDENTIALS_REMEDY,
        ),
    ],
)
async def test_a_signature_out_of_its_time_blames_the_clock_and_not_the_credentials(
    operation: str, code: str, text: str, remedy: str
):
    async with odd() as (server, streams, items):
        server.status = 400
        server.body = json.dumps(
            {"__type": f"com.amazon.coral.service#{code}", "message": text}
        ).encode()

        with pytest.raises(SourceDenied, match=code) as refused:
            await CALLS[operation](streams, items)

    assert refused.value.remedy == remedy
