"""A proxy before an emulator of AWS that writes down, in the words of IAM, what is asked of it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import aiohttp
from aiohttp import web

from tests.support.http_server import served

ACCOUNT = "000000000000"
REGION = "us-east-1"
_SERVICES = {"DynamoDB_20120810": "dynamodb", "DynamoDBStreams_20120810": "dynamodb"}
_SERVICES |= {"secretsmanager": "secretsmanager", "Kinesis_20131202": "kinesis"}
_ITERATING = ("DynamoDBStreams", "Kinesis")
_LISTS_OF_READERS = "/2015-03-31/event-source-mappings"
_NOT_PASSED_ON = {"host", "content-length", "transfer-encoding", "content-encoding", "connection"}


@dataclass(frozen=True, slots=True)
class Call:
    """What a policy must allow: `dynamodb:Scan` on an ARN."""

    action: str
    resource: str


@dataclass(slots=True)
class Recorder:
    """The calls so far; iterators stand for the stream that they were made for."""

    calls: set[Call] = field(default_factory=set)
    _streams: dict[str, str] = field(default_factory=dict)

    def asked(self, request: web.Request, body: bytes) -> None:
        """Write down a request."""
        service, _, operation = request.headers.get("X-Amz-Target", "").rpartition(".")
        if operation:
            wanted = json.loads(body or b"{}")
            for resource in self._resources(wanted):
                self.calls.add(Call(f"{_SERVICES[service]}:{operation}", resource))
        elif request.method == "GET" and "/s3/" in request.headers.get("Authorization", ""):
            self.calls.add(Call("s3:GetObject", f"arn:aws:s3:::{request.path[1:]}"))
        elif request.path.rstrip("/") == _LISTS_OF_READERS:
            self.calls.add(Call("lambda:ListEventSourceMappings", "*"))
        else:
            form = parse_qs(body.decode())
            self.calls.add(Call(f"sts:{form['Action'][0]}", unquote(form["RoleArn"][0])))

    def answered(self, request: web.Request, body: bytes, answer: bytes) -> None:
        """Remember which stream an iterator belongs to."""
        if not request.headers.get("X-Amz-Target", "").startswith(_ITERATING):
            return
        [stream] = self._resources(json.loads(body))
        found = json.loads(answer)
        for iterator in (found.get("ShardIterator"), found.get("NextShardIterator")):
            if iterator:
                self._streams[iterator] = stream

    def _resources(self, wanted: dict[str, Any]) -> list[str]:
        match wanted:
            case {"StreamArn": str(arn)} | {"SecretId": str(arn)} | {"ExportArn": str(arn)}:
                return [arn]
            case {"TableArn": str(arn)} | {"StreamARN": str(arn)}:
                return [arn]
            case {"ShardIterator": str(iterator)}:
                return [self._streams[iterator]]
            case {"TableName": str(name)}:
                return [_table_arn(name)]
            case {"RequestItems": dict(tables)}:
                return [_table_arn(name) for name in tables]
        message = f"no resource is known of {wanted}"
        raise AssertionError(message)


@asynccontextmanager
async def recorded(url: str) -> AsyncIterator[tuple[str, Recorder]]:
    """The URL of the proxy and what it has seen."""
    recorder = Recorder()

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        recorder.asked(request, body)
        async with session.request(
            request.method,
            f"{url}{request.path_qs}",
            data=body,
            headers=_passed_on(request.headers),
        ) as answer:
            found = await answer.read()
            recorder.answered(request, body, found)
            return web.Response(
                status=answer.status, body=found, headers=_passed_on(answer.headers)
            )

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", forward)
    async with aiohttp.ClientSession() as session, served(app) as proxy:
        yield proxy, recorder


def _table_arn(name: str) -> str:
    return name if name.startswith("arn:") else f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"


def _passed_on(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}
