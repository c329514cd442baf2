"""Serves metrics, health, status and the page on the worker's loop: a hung loop is seen."""

import asyncio
import base64
import errno
import hashlib
import html
import json
import re
import socket
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import Any, cast

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from replicator import __version__
from replicator.clock import Clock
from replicator.core.status.deployment_problems import diagnose
from replicator.core.status.deployment_status import SCHEMA_VERSION, Status, TableStatus
from replicator.core.status.status_json import document
from replicator.core.status.status_shard_pages import (
    SHARDS_MAX,
    EndedShard,
    PageEnd,
    open_page,
    shards_document,
)
from replicator.errors import ConfigurationError, ReplicatorError
from replicator.monitoring.allowed_hosts import expected
from replicator.monitoring.http_connection_limits import Connections, HttpBounds
from replicator.monitoring.lag_history import History
from replicator.monitoring.liveness_and_readiness import (
    NOT_KNOWN_YET,
    Check,
    Health,
    find_table,
    table_readiness,
)
from replicator.monitoring.metrics import Metrics

PAGE = resources.files("replicator.monitoring").joinpath("page.html").read_bytes()


def _policy(page: bytes) -> str:
    """Only the inline style and script of the very page run, and only the server is asked."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_digest(page, b'style')}'",
            f"script-src '{_digest(page, b'script')}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _digest(page: bytes, element: bytes) -> str:
    (content,) = re.findall(rb"<%b>(.*?)</%b>" % (element, element), page, re.DOTALL)
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()


CONTENT_SECURITY_POLICY = _policy(PAGE)


def _filled(runbook_url: str | None) -> bytes:
    """The page with the version, and with the address that the links to the runbook begin with."""
    values = {b"{version}": __version__, b"{runbook}": runbook_url or ""}
    page = PAGE
    for mark, value in values.items():
        page = page.replace(mark, html.escape(value).encode())
    return page


_NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "replicator",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


ReadEnded = Callable[[str, PageEnd | None, int], Awaitable[Sequence[EndedShard]]]
"""Reads the next shards of a table that ended, from behind a place, so many at most; fails with
ReplicatorError or TimeoutError."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages: read only, without data of items."""

    metrics: Metrics
    health: Health
    history: History
    status: Callable[[], Status | None]
    clock: Clock
    ended: ReadEnded


_PAGES = web.AppKey("pages", Pages)
_PAGE = web.AppKey("page", bytes)
_HOSTS = web.AppKey("hosts", frozenset[str])
_BOUNDS = HttpBounds()


@asynccontextmanager
async def serve(
    pages: Pages,
    *,
    host: str,
    port: int,
    allowed_hosts: Collection[str] = (),
    runbook_url: str | None = None,
    bounds: HttpBounds = _BOUNDS,
    shutdown_seconds: float = 1.0,
) -> AsyncIterator[int]:
    """Serve while the block runs; yields the port, which is a free one for `port` 0.

    `allowed_hosts` are names that a request may be for, beside addresses, names that nobody can
    register, `host` and the machine's own; `runbook_url` is where the page finds the runbook.
    ConfigurationError when the address cannot be had. Leaving the block gives requests under way
    `shutdown_seconds` to end.
    """
    names = frozenset({*allowed_hosts, host, socket.gethostname()})
    runner = web.AppRunner(
        _application(pages, _filled(runbook_url), names),
        handle_signals=False,
        shutdown_timeout=shutdown_seconds,
    )
    await runner.setup()
    try:
        listening = await _listening(cast("web.Server", runner.server), host, port, bounds)
        try:
            yield int(listening.sockets[0].getsockname()[1])
        finally:
            listening.close()
    finally:
        await runner.cleanup()


async def _listening(
    server: web.Server, host: str, port: int, bounds: HttpBounds
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(Connections(server, loop, bounds), host, port)
    except OSError as error:
        raise _refused(error, host, port) from error


def _application(pages: Pages, page: bytes, hosts: frozenset[str]) -> web.Application:
    app = web.Application(middlewares=[_only_what_is_served])
    app[_PAGES] = pages
    app[_PAGE] = page
    app[_HOSTS] = hosts
    app.on_response_prepare.append(_add_headers)
    app.add_routes(
        [
            web.get("/", _page),
            web.get("/metrics", _metrics),
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz),
            web.get("/status.json", _status),
            web.get("/shards.json", _shards),
            web.get("/history.json", _history),
        ]
    )
    return app


@web.middleware
async def _only_what_is_served(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse a body, and a name that is not expected; no name keeps liveness from answering."""
    if request.path != "/healthz":
        hosts = request.app[_HOSTS]
        if not all(expected(each, hosts) for each in request.headers.getall("Host", [])):
            return _another_host()
    if request.body_exists:
        reason = "a request has no body here"
        return _json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"ok": False, "reason": reason})
    return await handler(request)


def _another_host() -> web.Response:
    body = {
        "ok": False,
        "reason": "this server is not asked by that name in Host",
        "remedy": "add the name to http.allowed_hosts, or use the address",
    }
    return _json(HTTPStatus.MISDIRECTED_REQUEST, body)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    response.headers.setdefault("Content-Security-Policy", _NO_CONTENT_POLICY)


async def _page(request: web.Request) -> web.Response:
    response = web.Response(body=request.app[_PAGE], content_type="text/html", charset="utf-8")
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


async def _metrics(request: web.Request) -> web.Response:
    pages = request.app[_PAGES]
    encode, content_type = choose_encoder(",".join(request.headers.getall("Accept", [])))
    response = web.Response(
        body=encode(pages.metrics.registry), headers={"Content-Type": content_type}
    )
    response.enable_compression()
    return response


async def _healthz(request: web.Request) -> web.Response:
    pages = request.app[_PAGES]
    return _checked(pages.health.liveness(pages.clock.monotonic()))


async def _readyz(request: web.Request) -> web.Response:
    pages = request.app[_PAGES]
    source = request.query.get("table")
    if source is None:
        return _checked(pages.health.readiness())
    status = pages.status()
    if status is None:
        return _checked([Check("status", f"{NOT_KNOWN_YET}{_why_not_known(pages)}")])
    table = find_table(status, source)
    if table is None:
        return _no_such_table()
    return _checked(table_readiness(table, diagnose(status)))


async def _status(request: web.Request) -> web.Response:
    pages = request.app[_PAGES]
    status = pages.status()
    return _json(HTTPStatus.OK, document(status)) if status else _not_known_yet(pages)


async def _shards(request: web.Request) -> web.Response:
    pages = request.app[_PAGES]
    status = pages.status()
    if status is None:
        return _not_known_yet(pages)
    table = find_table(status, request.query.get("table", ""))
    if table is None:
        return _no_such_table()
    try:
        after = PageEnd.of(request.query["after"]) if "after" in request.query else None
    except ValueError:
        reason = "after: no place that `next` of an earlier page has named"
        return _json(HTTPStatus.BAD_REQUEST, {"ok": False, "reason": reason})
    response = await _shards_page(pages, table, after)
    response.enable_compression()
    return response


async def _shards_page(pages: Pages, table: TableStatus, after: PageEnd | None) -> web.Response:
    """A page of a table's shards; without PostgreSQL those that have not ended, and a next page."""
    found = open_page(table.lineage, after, shards_max=SHARDS_MAX + 1)
    unfinished, room = found[:SHARDS_MAX], SHARDS_MAX - len(found)
    ended: Sequence[EndedShard] = ()
    more = room < 0
    if not more and table.needs_workers:
        try:
            ended = await pages.ended(table.source, after, room + 1)
        except (ReplicatorError, TimeoutError) as error:
            if not unfinished:
                why = str(error) or "no answer in time"
                reason = f"shards that ended cannot be read now: {why}"
                return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"ok": False, "reason": reason})
            more = True
        else:
            more, ended = len(ended) > room, ended[:room]
    return _json(HTTPStatus.OK, shards_document(table, unfinished, ended, more=more))


async def _history(request: web.Request) -> web.Response:
    pages = request.app[_PAGES]
    response = _json(HTTPStatus.OK, pages.history.document())
    response.enable_compression()
    return response


def _not_known_yet(pages: Pages) -> web.Response:
    reason = f"the status is {NOT_KNOWN_YET}{_why_not_known(pages)}"
    unknown = {"schema_version": SCHEMA_VERSION, "reason": reason}
    return _json(HTTPStatus.SERVICE_UNAVAILABLE, unknown)


def _why_not_known(pages: Pages) -> str:
    """Failure that keeps the process from reading its first status, as readiness tells it."""
    failures = [
        f"{check.name}: {check.reason}"
        for check in pages.health.readiness()
        if check.reason not in (None, NOT_KNOWN_YET)
    ]
    return f": {'; '.join(failures)}" if failures else ""


def _no_such_table() -> web.Response:
    return _json(HTTPStatus.NOT_FOUND, {"ok": False, "reason": "no such table"})


def _checked(checks: Iterable[Check]) -> web.Response:
    found = list(checks)
    ok = all(check.ok for check in found)
    body = {
        "ok": ok,
        "checks": [{"name": check.name, "ok": check.ok, "reason": check.reason} for check in found],
    }
    return _json(HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE, body)


def _json(status: HTTPStatus, body: Mapping[str, Any]) -> web.Response:
    return web.json_response(body, status=status, dumps=json.dumps)


def _refused(error: OSError, host: str, port: int) -> ConfigurationError:
    where = f"http: cannot listen on {host} port {port}"
    if error.errno == errno.EADDRINUSE:
        remedy = (
            "set http.port (or REPLICATOR_HTTP__PORT) to a free port, or to 0 for any, or end the "
            "process that has this one"
        )
        return ConfigurationError(f"{where}: the port is in use", remedy=remedy)
    if error.errno == errno.EACCES:
        remedy = "set http.port to a port of 1024 or more"
        return ConfigurationError(f"{where}: permission denied", remedy=remedy)
    remedy = "set http.host to an address of this machine, 0.0.0.0 for all"
    if isinstance(error, socket.gaierror):
        return ConfigurationError(f"{where}: unknown host", remedy=remedy)
    return ConfigurationError(f"{where}: {error.strerror}", remedy=remedy)
