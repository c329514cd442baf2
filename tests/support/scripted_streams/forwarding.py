"""Calls that are not scripted, passed to a real emulator and back unchanged."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from tests.support.bounds import USUAL_SECONDS

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade", "te"}
)
FORWARD_SECONDS = USUAL_SECONDS


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The emulator's answer as it came; `error` is the name in an error answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def outcome(self) -> str:
        if self.status < 400:
            return "ok"
        kind = self.body.partition(b'__type"')[2].split(b'"')
        return kind[1].decode().rpartition("#")[2] if len(kind) > 1 else str(self.status)


class Emulator:
    """One connection pool to the server at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def call(self, request: web.Request, body: bytes) -> Forwarded:
        """Raise aiohttp.ClientError when it cannot be reached."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=FORWARD_SECONDS),
                connector=aiohttp.TCPConnector(limit=64),
            )
        async with self._session.post(
            self._url, data=body, headers=_passed_on(request.headers)
        ) as answer:
            return Forwarded(answer.status, _passed_on(answer.headers), await answer.read())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
