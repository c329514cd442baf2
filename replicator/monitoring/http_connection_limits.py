"""Bounds what one peer, and all of them together, can take from the server of the pages."""

from asyncio import AbstractEventLoop, BaseTransport, Transport
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """Limits of the server; they leave room for every probe, scraper and browser."""

    connections: int = 200
    """A further connection ends the oldest one, so that a probe always gets in."""
    idle_seconds: float = 10.0
    """From the connect, or the last answer, until a request's headers have come."""
    line_bytes: int = 8190
    headers: int = 64
    discarding_seconds: float = 1.0
    """Time for which an unwanted body is read, so that the sender can read the refusal."""


class Connections:
    """Makes the connections of one server and ends the oldest where there are too many."""

    def __init__(self, server: web.Server, loop: AbstractEventLoop, bounds: HttpBounds) -> None:
        self._server = server
        self._loop = loop
        self._bounds = bounds
        self._open: dict[_Connection, Transport] = {}

    def __call__(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        return _Connection(self, self._server, self._loop, self._bounds)

    def opened(self, connection: "_Connection", transport: Transport) -> None:
        """Count a connection; one too many ends the oldest."""
        self._open[connection] = transport
        if len(self._open) > self._bounds.connections:
            oldest = next(iter(self._open))
            self._open.pop(oldest).abort()

    def closed(self, connection: "_Connection") -> None:
        """Count a connection no longer."""
        self._open.pop(connection, None)


class _Connection(web.RequestHandler):
    """One connection; what a peer does wrong is its own fault and no error of the server."""

    def __init__(
        self,
        connections: Connections,
        server: web.Server,
        loop: AbstractEventLoop,
        bounds: HttpBounds,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own way to have none
            keepalive_timeout=bounds.idle_seconds,
            lingering_time=bounds.discarding_seconds,
            max_line_size=bounds.line_bytes,
            max_field_size=bounds.line_bytes,
            max_headers=bounds.headers,
        )
        self._connections = connections

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.opened(self, cast("Transport", transport))

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.closed(self)
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ANN401 (aiohttp's signature)
        if isinstance(kw.get("exc_info"), HttpProcessingError | RequestPayloadError):
            self.logger.debug(*args, **kw)
        else:
            super().log_exception(*args, **kw)
