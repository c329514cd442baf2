"""Templates of requests: the SDK prepares the first, others differ in body and signature alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.parsers import AioResponseParserFactory
from botocore import xform_name
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from yarl import URL

from replicator.aws.client_factory import open_client
from replicator.aws.observed_calls import keep_raw_body
from replicator.aws.signed_calls_without_sdk import Credentials, signed_headers
from replicator.aws.source_connection import SourceConnection
from replicator.clock import SystemClock

SMALL_BYTES = 65_536
"""Size up to which an answer is small: an answer that is not read yet has as much in memory
anyway."""
LARGE_AT_ONCE = 4
"""Larger answers that are read at once: of hundreds of shards that wake in the same second."""
_CLOCK = SystemClock()
"""The SDK's time of a signature: an endpoint refuses one that its own clock is far from."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The template: the first call as the SDK prepared it, and the signer."""

    model: Any
    signer: Any
    url: str
    headers: Mapping[str, str]
    """Equal in every call, and signed."""
    unsigned: Mapping[str, str]
    region: str
    service: str


class _Connections(AIOHTTPSession):
    """The SDK's connections, which also take a request that is signed and complete."""

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """The answer to a POST, with the body unread; failures are those of the SDK."""
        try:
            proxies: Any = self._proxy_config  # type: ignore[attr-defined]  # not in the stubs
            proxy: str | None = proxies.proxy_url_for(url)
            session: aiohttp.ClientSession = await self._get_session(proxy)  # type: ignore[attr-defined]
            return await session.post(
                URL(url, encoded=True),
                headers=headers,
                data=body,
                proxy=proxy,
                proxy_headers=proxies.proxy_headers_for(url) if proxy else None,
            )
        except aiohttp.ClientSSLError as error:
            raise SSLError(endpoint_url=url, error=error) from error
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=url, error=error) from error
        except (aiohttp.ClientConnectorError, OSError) as error:
            raise EndpointConnectionError(endpoint_url=url, error=error) from error
        except aiohttp.ClientError as error:
            raise ConnectionClosedError(endpoint_url=url, error=error) from error


class _Sessions:
    """The connections of one client, after its first call."""

    def __init__(self) -> None:
        self.made: _Connections | None = None

    def make(self, *arguments: Any, **named: Any) -> AIOHTTPSession:  # noqa: ANN401 (the SDK's own)
        """The HTTP session class for the client's configuration (`http_session_cls`)."""
        self.made = _Connections(*arguments, **named)
        return self.made


class TemplatedOperation:
    """One operation of one client. The SDK makes the first call, and that request is the template.

    Later calls have the same endpoint, connections, proxy, timeouts and credentials, which the SDK
    renews. Most of the cost of a call is left out: validation, endpoint rules, user agent, events,
    and the parser of answers without an error. `signed_calls_without_sdk` makes the signatures. No
    call is retried: callers of these operations retry by themselves.
    """

    def __init__(self, operation: str, sessions: _Sessions) -> None:
        self._operation = operation
        self._sessions = sessions
        self._prepared: _Prepared | None = None
        self._parsers = AioResponseParserFactory()
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    @property
    def method(self) -> str:
        """The client's name of the operation."""
        return str(xform_name(self._operation))

    def listen(self, events: Any, service: str) -> None:  # noqa: ANN401 (the SDK has no types)
        """Hear of the operation's first call from a client's events."""
        events.register(f"before-call.{service}.{self._operation}", self._note)
        events.register(f"before-parse.{service}.{self._operation}", keep_raw_body)

    async def make(self, method: Callable[..., Any], **arguments: object) -> dict[str, Any]:
        """Make a call; the answer as `keep_raw_body` leaves answers. `method` is the client's own.

        Raises the errors of the SDK.
        """
        if self._prepared is None or self._sessions.made is None:
            answer: dict[str, Any] = await method(**arguments)
            return answer
        payload = json.dumps(arguments).encode()
        return await self._send(self._sessions.made, self._prepared, payload)

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        """The body of an answer; a large one waits in the socket for a turn."""
        try:
            if answer.content_length is not None and answer.content_length <= SMALL_BYTES:
                return await answer.read()
            async with self._large:
                return await answer.read()
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=str(answer.url), error=error) from error
        except aiohttp.ClientError as error:
            raise HTTPClientError(error=error) from error
        finally:
            answer.release()

    def _note(
        self,
        *,
        model: Any,  # noqa: ANN401
        params: dict[str, Any],
        request_signer: Any,  # noqa: ANN401
        **_: object,
    ) -> None:
        signing = params["context"].get("signing", {})
        url = urlsplit(params["url"])
        at_the_root = params["url"] == f"{url.scheme}://{url.netloc}/"
        if not at_the_root or request_signer.signature_version != "v4":
            return  # an endpoint of another kind: the SDK goes on making every call
        self._prepared = _Prepared(
            model=model,
            signer=request_signer,
            url=params["url"],
            headers={
                "content-type": params["headers"]["Content-Type"],
                "x-amz-target": params["headers"]["X-Amz-Target"],
            },
            unsigned={
                "user-agent": params["headers"]["User-Agent"],
                "accept-encoding": "identity",
            },
            region=signing.get("region", request_signer.region_name),
            service=signing.get("signing_name", request_signer.signing_name),
        )

    async def _send(
        self, connections: _Connections, prepared: _Prepared, payload: bytes
    ) -> dict[str, Any]:
        auth = await prepared.signer.get_auth_instance(  # its credentials are renewed in time
            signing_name=prepared.service, region_name=prepared.region, signature_version="v4"
        )
        if auth.credentials is None:
            raise NoCredentialsError
        headers = signed_headers(
            prepared.url,
            prepared.headers,
            payload,
            service=prepared.service,
            region=prepared.region,
            credentials=Credentials(
                auth.credentials.access_key, auth.credentials.secret_key, auth.credentials.token
            ),
            now=_CLOCK.now(),
        )
        answer = await connections.post(prepared.url, {**headers, **prepared.unsigned}, payload)
        told = {
            "status_code": answer.status,
            "headers": answer.headers,
            "body": await self._body(answer),
            "context": {"operation_name": self._operation},
        }
        kept: dict[str, Any] = {}
        keep_raw_body(told, kept)
        if kept:
            return kept | {"ResponseMetadata": {"HTTPHeaders": answer.headers}}
        told["headers"] = {name.lower(): value for name, value in answer.headers.items()}
        protocol = prepared.model.service_model.resolved_protocol
        parser = self._parsers.create_parser(protocol)
        raise ClientError(await parser.parse(told, prepared.model.output_shape), self._operation)


@asynccontextmanager
async def open_reader(
    service: Literal["dynamodbstreams", "kinesis"],
    connection: SourceConnection,
    *operations: Literal["GetRecords", "GetShardIterator"],
) -> AsyncIterator[tuple[Any, list[Callable[..., Any]]]]:
    """A client of a stream's service, and the given operations by templates; ReplicatorError."""
    sessions = _Sessions()
    templated = [TemplatedOperation(operation, sessions) for operation in operations]
    async with open_client(service, connection, connections=sessions.make) as client:
        for calls in templated:
            calls.listen(client.meta.events, client.meta.service_model.service_id.hyphenize())
        yield client, [partial(calls.make, getattr(client, calls.method)) for calls in templated]
