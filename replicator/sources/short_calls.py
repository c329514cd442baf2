"""A call that is made again and again: prepared by the SDK once, then sent with what differs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.parsers import AioResponseParserFactory
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ClientError

from replicator.clock import Clock
from replicator.sources.calls import keep_raw_body
from replicator.sources.signature import Credentials, signed_headers

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What the SDK made of the first call, and what it signs with."""

    model: Any
    signer: Any
    url: str
    host: str
    target: str
    content_type: str
    user_agent: str
    region: str
    service: str


class ShortCalls:
    """One operation of one client, whose first call goes the SDK's way and shows what it does.

    Those that follow have the same endpoint, connections, proxy, timeouts and credentials, which
    the SDK renews; what the SDK would do anew for each, at most of its cost, is left out:
    validation, endpoint rules, user agent, events, and the parser of answers without an error.
    Nothing is retried: that is for operations whose retries are the caller's.
    """

    def __init__(self, operation: str, clock: Clock) -> None:
        self._operation = operation
        self._clock = clock
        self._connections: Any = None
        self._prepared: _Prepared | None = None
        self._parsers = AioResponseParserFactory()

    def connections(self, *arguments: Any, **named: Any) -> AIOHTTPSession:  # noqa: ANN401 (the SDK's own)
        """What the client is to send by: the `http_session_cls` of its configuration."""
        opened = AIOHTTPSession(*arguments, **named)
        self._connections = opened
        return opened

    def listen(self, events: Any, service: str) -> None:  # noqa: ANN401 (the SDK has no types)
        """Hear of the operation's first call from a client's events."""
        events.register(f"before-call.{service}.{self._operation}", self._note)
        events.register(f"before-parse.{service}.{self._operation}", keep_raw_body)

    async def make(self, method: Callable[..., Any], **arguments: object) -> dict[str, Any]:
        """What `keep_raw_body` leaves of the answer; `method` is the client's own.

        Failures are those of the SDK.
        """
        if self._prepared is None:
            answer: dict[str, Any] = await method(**arguments)
            return answer
        return await self._send(self._prepared, json.dumps(arguments).encode())

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
            host=url.netloc.rpartition("@")[2].removesuffix(_DEFAULT_PORTS[url.scheme]),
            target=params["headers"]["X-Amz-Target"],
            content_type=params["headers"]["Content-Type"],
            user_agent=params["headers"]["User-Agent"],
            region=signing.get("region", request_signer.region_name),
            service=signing.get("signing_name", request_signer.signing_name),
        )

    async def _send(self, prepared: _Prepared, payload: bytes) -> dict[str, Any]:
        headers = signed_headers(
            prepared.host,
            payload,
            target=prepared.target,
            content_type=prepared.content_type,
            service=prepared.service,
            region=prepared.region,
            credentials=await _credentials(prepared),
            now=self._clock.now(),
        )
        headers["user-agent"] = prepared.user_agent
        request: Any = AWSPreparedRequest  # its stub wants headers of its own class
        answer = await self._connections.send(
            request("POST", prepared.url, headers, payload, stream_output=False)
        )
        told = {
            "status_code": answer.status_code,
            "headers": answer.headers,
            "body": await answer.content,
            "context": {"operation_name": self._operation},
        }
        kept: dict[str, Any] = {}
        keep_raw_body(told, kept)
        if kept:
            return kept | {"ResponseMetadata": {"HTTPHeaders": answer.headers}}
        protocol = prepared.model.service_model.resolved_protocol
        parser = self._parsers.create_parser(protocol)
        raise ClientError(await parser.parse(told, prepared.model.output_shape), self._operation)


async def _credentials(prepared: _Prepared) -> Credentials:
    """As the SDK has them at this moment: renewed when they are about to expire."""
    auth = await prepared.signer.get_auth_instance(
        signing_name=prepared.service, region_name=prepared.region, signature_version="v4"
    )
    its = auth.credentials
    return Credentials(its.access_key, its.secret_key, its.token)
