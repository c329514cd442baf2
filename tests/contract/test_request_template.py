"""A call that the SDK prepared once is sent again as the SDK would send it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from replicator.aws import request_template
from replicator.aws.source_connection import SourceConnection
from replicator.errors import IteratorExpired, SourceThrottled, SourceUnavailable
from replicator.sources.dynamodb.streams import DynamoDBStreams, open_streams
from tests.support.http_server import served
from tests.support.ports import kept_port

PAGE = b'{"Records":[],"NextShardIterator":"next"}'
LONGEST = '{"ShardIterator": "a usual one", "Limit": 1000}' * 2
OF_ONE_CALL = {"amz-sdk-invocation-id", "amz-sdk-request", "authorization", "x-amz-date"}


@dataclass
class Asked:
    """A server that keeps what it was asked, and answers what it is told."""

    answers: list[tuple[int, bytes]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def serve(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append({"headers": headers, "body": await request.read()})
        status, body = self.answers.pop(0) if self.answers else (200, PAGE)
        return web.Response(status=status, body=body, content_type="application/x-amz-json-1.0")


@asynccontextmanager
async def asked() -> AsyncIterator[tuple[Asked, DynamoDBStreams]]:
    server = Asked()
    application = web.Application()
    application.router.add_post("/", server.serve)
    async with served(application) as server.url:
        place = SourceConnection(region="eu-west-1", endpoint_url=server.url)
        async with open_streams(place, lambda _: None) as streams:
            yield server, streams


def signed_by_the_sdk(server: Asked, request: dict[str, Any], credentials: Credentials) -> str:
    """What botocore would have written into the request's authorization at that time."""
    headers = request["headers"]
    moment = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007
    signed = ("content-type", "x-amz-target")
    own = AWSRequest(
        "POST",
        f"{server.url}/",
        headers={name: headers[name] for name in signed},
        data=request["body"],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: moment)
        SigV4Auth(credentials, "dynamodb", "eu-west-1").add_auth(own)
    return str(own.headers["Authorization"])


@pytest.mark.parametrize("token", [None, "a token"])
async def test_the_second_call_is_the_first_with_another_body_and_signature(
    token: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    if token is not None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)

    async with asked() as (server, streams):
        for iterator in ("first", "second"):
            assert (await streams.read(iterator)).next_iterator == "next"
        first, second = server.requests

    kept = [
        {name: value for name, value in each["headers"].items() if name not in OF_ONE_CALL}
        for each in (first, second)
    ]
    kept[0]["content-length"] = kept[1]["content-length"]
    assert kept[0] == kept[1]
    assert "replicator/" in kept[1]["user-agent"]
    assert json.loads(second["body"]) == {"ShardIterator": "second", "Limit": 1000}
    own = Credentials("an id", "a secret", token)
    for each in (first, second):
        assert each["headers"]["authorization"] == signed_by_the_sdk(server, each, own)


async def test_credentials_that_expire_are_renewed_by_the_sdk_between_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`credential_process` is asked again whenever what it gave is about to expire."""
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    program = tmp_path / "credentials.sh"
    program.write_text(
        f"""echo x >> {tmp_path}/asked
printf '{{"Version": 1, "AccessKeyId": "id-%d", "SecretAccessKey": "s", "SessionToken": "t",' \\
    $(wc -l < {tmp_path}/asked)
echo '"Expiration": "{soon}"}}'
"""
    )
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = sh {program}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    async with asked() as (server, streams):
        for iterator in ("first", "second", "third"):
            await streams.read(iterator)

    used = [
        each["headers"]["authorization"].partition("Credential=")[2] for each in server.requests
    ]
    assert len({one.partition("/")[0] for one in used}) == 3


async def test_an_error_of_the_second_call_is_the_sdks():
    expired = b'{"__type":"com.amazonaws#ExpiredIteratorException","message":"late"}'
    throttled = b'{"__type":"com.amazonaws#ProvisionedThroughputExceededException"}'

    async with asked() as (server, streams):
        await streams.read("first")
        server.answers += [(400, expired), (400, throttled), (503, b"<html>"), (200, PAGE[:-5])]

        with pytest.raises(IteratorExpired, match="GetRecords: ExpiredIteratorException: late"):
            await streams.read("second")
        with pytest.raises(SourceThrottled):
            await streams.read("third")
        with pytest.raises(SourceUnavailable):
            await streams.read("fourth")
        with pytest.raises(SourceUnavailable, match="not complete JSON"):
            await streams.read("fifth")
        assert (await streams.read("sixth")).next_iterator == "next"
        assert len(server.requests) == 6


async def test_the_second_call_takes_the_proxy_of_the_first(monkeypatch: pytest.MonkeyPatch):
    server = Asked()
    application = web.Application()
    application.router.add_post("/", server.serve)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with served(application) as url:
        monkeypatch.setenv("http_proxy", url)
        place = SourceConnection(region="eu-west-1", endpoint_url="http://streams.invalid")
        async with open_streams(place, lambda _: None) as streams:
            for iterator in ("first", "second"):
                assert (await streams.read(iterator)).next_iterator == "next"

    assert [each["headers"]["host"] for each in server.requests] == ["streams.invalid"] * 2


async def test_a_server_that_is_gone_or_hangs_up_is_one_that_cannot_be_reached():
    async def hang_up(request: web.Request) -> web.Response:
        if len(await request.read()) > len(LONGEST):
            assert request.transport is not None
            request.transport.close()
        return web.Response(body=PAGE, content_type="application/x-amz-json-1.0")

    application = web.Application()
    application.router.add_post("/", hang_up)
    async with served(application, port=kept_port()) as url:
        place = SourceConnection(region="eu-west-1", endpoint_url=url)
        opened = open_streams(place, lambda _: None)
        streams = await opened.__aenter__()
        await streams.read("first")
        with pytest.raises(SourceUnavailable, match="closed"):
            await streams.read("a long iterator" * 20)
        assert (await streams.read("third")).next_iterator == "next"
    try:
        with pytest.raises(SourceUnavailable, match="Could not connect"):
            await streams.read("fourth")
    finally:
        await opened.__aexit__(None, None, None)


@dataclass
class Slow:
    """A server whose answer for `held` is large, and comes whole once it is let."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    let: asyncio.Event = field(default_factory=asyncio.Event)
    cut: bool = False
    padding: str = " " * 4 * request_template.SMALL_BYTES

    async def serve(self, request: web.Request) -> web.StreamResponse:
        iterator = (await request.json())["ShardIterator"]
        body = PAGE if iterator in ("first", "small") else PAGE + self.padding.encode()
        answer = web.StreamResponse(headers={"content-length": str(len(body))})
        await answer.prepare(request)
        if iterator == "held":
            await answer.write(body[: len(PAGE)])
            self.arrived.set()
            await self.let.wait()
            if self.cut:
                assert request.transport is not None
                request.transport.close()
                return answer
            body = body[len(PAGE) :]
        await answer.write(body)
        return answer


@asynccontextmanager
async def slow() -> AsyncIterator[tuple[Slow, DynamoDBStreams]]:
    server = Slow()
    application = web.Application()
    application.router.add_post("/", server.serve)
    async with served(application) as url:
        place = SourceConnection(region="eu-west-1", endpoint_url=url)
        async with open_streams(place, lambda _: None) as streams:
            await streams.read("first")
            yield server, streams


async def test_large_answers_take_turns_in_memory_and_small_ones_do_not_wait(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(request_template, "LARGE_AT_ONCE", 1)
    async with slow() as (server, streams):
        held = asyncio.ensure_future(streams.read("held"))
        await server.arrived.wait()
        large = asyncio.ensure_future(streams.read("large"))
        for _ in range(3):
            assert (await streams.read("small")).next_iterator == "next"
        assert not large.done()

        server.let.set()
        assert (await held).next_iterator == (await large).next_iterator == "next"


async def test_a_large_answer_that_breaks_off_or_is_left_frees_its_turn(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(request_template, "LARGE_AT_ONCE", 1)
    async with slow() as (server, streams):
        left = asyncio.ensure_future(streams.read("held"))
        await server.arrived.wait()
        left.cancel()
        await asyncio.wait([left])
        server.arrived.clear()
        server.cut = True
        broken = asyncio.ensure_future(streams.read("held"))
        await server.arrived.wait()
        server.let.set()

        with pytest.raises(SourceUnavailable):
            await broken
        assert (await streams.read("large")).next_iterator == "next"
