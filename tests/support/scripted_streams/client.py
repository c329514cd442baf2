"""Control of a server in another process, with the verbs it has in this one."""

import base64
import http.client
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from tests.support.bounds import USUAL_SECONDS

CONTROL_SECONDS = USUAL_SECONDS
_ARN_VERBS = frozenset({"arn", "stream_arn"})


class ControlError(Exception):
    """The server did not understand the verb; the message is its own."""


class RemoteTable:
    """The verbs of tables.Table, and `arn`, `stream_arn` as attributes."""

    def __init__(self, streams: "RemoteStreams", name: str) -> None:
        self.name = name
        self._streams = streams

    def load_pages(self, shard: int, pages: list[bytes]) -> None:
        """Append JSON arrays of records to be served as they are."""
        path = _pages_path(self.name, shard)
        for page in pages:
            self._streams.post(path, page)

    def __getattr__(self, verb: str) -> Any:
        if verb.startswith("_"):
            raise AttributeError(verb)
        if verb in _ARN_VERBS:
            return self._streams.perform(verb, self.name, (), {})

        def call(*positional: Any, **arguments: Any) -> Any:
            return self._streams.perform(verb, self.name, positional, arguments)

        return call


class RemoteStreams:
    """The verbs of control.ScriptedStreams; every call blocks until the server did it.

    `pid` is the server's process, where it is one of ours.
    """

    def __init__(self, endpoint_url: str, *, pid: int | None = None) -> None:
        self.endpoint_url = endpoint_url
        self.pid = pid

    def table(self, name: str, **details: Any) -> RemoteTable:
        """Make a table; details as in ScriptedStreams.table."""
        self.perform("table", None, (name,), details)
        return RemoteTable(self, name)

    def existing_table(self, name: str) -> RemoteTable:
        return RemoteTable(self, name)

    def calls(self, operation: str | None = None, **which: Any) -> list[SimpleNamespace]:
        """The calls received, with the attributes of journal.Entry."""
        entries = self.perform("calls", None, (operation,), which)
        return [SimpleNamespace(**entry) for entry in entries]

    def perform(
        self,
        verb: str,
        table: str | None,
        positional: tuple[Any, ...],
        arguments: Mapping[str, Any],
    ) -> Any:
        return self.post("/_control", _request(verb, table, positional, arguments))

    def post(self, path: str, body: bytes) -> Any:
        address = urlsplit(self.endpoint_url)
        assert address.hostname is not None
        connection = http.client.HTTPConnection(
            address.hostname, address.port, timeout=CONTROL_SECONDS
        )
        try:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            return _result(answer.status, answer.read())
        finally:
            connection.close()

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if verb.startswith("_"):
            raise AttributeError(verb)

        def call(*positional: Any, **arguments: Any) -> Any:
            return self.perform(verb, None, positional, arguments)

        return call


class AsyncRemoteStreams:
    """The same verbs, awaited: `await streams.do("put", item, on="orders")`."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self._session = aiohttp.ClientSession(
            endpoint_url, timeout=aiohttp.ClientTimeout(total=CONTROL_SECONDS)
        )

    async def __aenter__(self) -> "AsyncRemoteStreams":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def do(self, verb: str, *positional: Any, on: str | None = None, **arguments: Any) -> Any:
        """Perform a verb of the server or, with `on`, of the table of that name."""
        return await self._post("/_control", _request(verb, on, positional, arguments))

    async def load_pages(self, table: str, shard: int, pages: list[bytes]) -> None:
        for page in pages:
            await self._post(_pages_path(table, shard), page)

    async def load_records(self, table: str, shard: int, records: bytes) -> None:
        """Append a JSON array of records, each to be served with what came before or after it."""
        await self._post(_pages_path(table, shard) + "&apart=1", records)

    async def _post(self, path: str, body: bytes) -> Any:
        async with self._session.post(path, data=body) as answer:
            return _result(answer.status, await answer.read())


def _request(
    verb: str, table: str | None, positional: tuple[Any, ...], arguments: Mapping[str, Any]
) -> bytes:
    request = {
        "verb": verb,
        "table": table,
        "positional": positional,
        "arguments": arguments,
    }
    return orjson.dumps(request, default=_as_json, option=orjson.OPT_NON_STR_KEYS)


def _as_json(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _result(status: int, body: bytes) -> Any:
    if status != 200:
        raise ControlError(body.decode(errors="replace"))
    return orjson.loads(body)["result"]


def _pages_path(table: str, shard: int) -> str:
    return f"/_control/pages?table={quote(table)}&shard={shard}"
