"""A receiver of webhooks that answers as it is told and keeps what it got."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.http_server import served


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Receiver:
    """An address, and the requests that it got."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)


@asynccontextmanager
async def receiver(
    *, statuses: Sequence[int] = (), location: str | None = None, port: int = 0
) -> AsyncIterator[Receiver]:
    """Answers with these statuses one after the other, then with 204; `port` as in `served`."""
    got, left = Receiver(), list(statuses)

    async def answer(request: web.Request) -> web.Response:
        got.requests.append(Received(request.path_qs, dict(request.headers), await request.read()))
        headers = {"Location": location} if location else {}
        return web.Response(status=left.pop(0) if left else 204, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with served(app, port=port) as got.url:
        yield got
