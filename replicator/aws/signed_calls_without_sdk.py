"""Signature Version 4, and the few AWS calls of a Lambda function: loading the SDK takes a second.

The daemon signs here what it asks for again and again: the SDK takes four times as long.
"""

import asyncio
import hashlib
import hmac
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from replicator.errors import ConfigurationError, SourceUnavailable

TOKEN_SECONDS = 900
CALL_SECONDS_MAX = 5.0
_ALGORITHM = "AWS4-HMAC-SHA256"
_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials that requests are signed with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def credentials_in(environ: Mapping[str, str]) -> Credentials:
    """The credentials that Lambda gives a function; ConfigurationError."""
    try:
        return Credentials(
            environ["AWS_ACCESS_KEY_ID"],
            environ["AWS_SECRET_ACCESS_KEY"],
            environ.get("AWS_SESSION_TOKEN"),
        )
    except KeyError as error:
        message = f"the environment has no {error.args[0]}"
        raise ConfigurationError(message, remedy="give the function an execution role") from error


def rds_token(
    host: str, port: int, user: str, *, region: str, credentials: Credentials, now: datetime
) -> str:
    """A token of RDS IAM: a presigned URL without the scheme. Makes no call."""
    day, moment = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{day}/{region}/rds-db/aws4_request"
    query = {
        "Action": "connect",
        "DBUser": user,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(TOKEN_SECONDS),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token:
        query["X-Amz-Security-Token"] = credentials.session_token
    text = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
    canonical = f"GET\n/\n{text}\nhost:{host}:{port}\n\nhost\n{_EMPTY}"
    signature = _signature(canonical, moment, scope, credentials)
    return f"{host}:{port}/?{text}&X-Amz-Signature={signature}"


async def call(
    url: str,
    target: str,
    body: Mapping[str, object],
    *,
    service: str,
    region: str,
    credentials: Credentials,
    now: datetime,
) -> Any:  # noqa: ANN401 (whatever JSON holds)
    """One call of a JSON service; SourceUnavailable, ConfigurationError for a refused call."""
    payload = json.dumps(body).encode()
    headers = signed_headers(
        url,
        {"content-type": "application/x-amz-json-1.1", "x-amz-target": target},
        payload,
        service=service,
        region=region,
        credentials=credentials,
        now=now,
    )
    request = urllib.request.Request(url, payload, headers)  # noqa: S310 (https, or an endpoint of the user's)
    return json.loads(await asyncio.to_thread(_send, request, target))


def _send(request: urllib.request.Request, target: str) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=CALL_SECONDS_MAX) as answer:  # noqa: S310 (as above)
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        kind = str(error.headers.get("x-amzn-errortype") or error.code).partition(":")[0]
        message = f"{target} was refused: {kind}"
        if error.code < 500 and error.code != 429:
            remedy = "check its name and the rights of the function's role"
            raise ConfigurationError(message, remedy=remedy) from error
        raise SourceUnavailable(message) from error
    except OSError as error:
        message = f"{target}: no answer from {request.host}"
        raise SourceUnavailable(
            message, remedy="a function inside a VPC needs a VPC endpoint or NAT"
        ) from error
    return body


def signed_headers(
    url: str,
    headers: Mapping[str, str],
    payload: bytes,
    *,
    service: str,
    region: str,
    credentials: Credentials,
    now: datetime,
) -> dict[str, str]:
    """The headers of a POST to the root of a host, with those that Signature Version 4 adds.

    `headers` have names in lower case; all are signed. A key is derived once a day.
    """
    day, moment = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{day}/{region}/{service}/aws4_request"
    signed = {**headers, "host": _host(url), "x-amz-date": moment}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    in_order = sorted(signed)
    names = ";".join(in_order)
    lines = "".join([f"{name}:{signed[name]}\n" for name in in_order])
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(payload).hexdigest()}"
    signature = _signature(canonical, moment, scope, credentials)
    credential = f"{credentials.access_key_id}/{scope}"
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return signed


@lru_cache(maxsize=16)
def _host(url: str) -> str:
    """Host of a URL as clients send the host: with a port only where the scheme has another."""
    parts = urlsplit(url)
    usual = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return parts.netloc.removesuffix(usual) if usual else parts.netloc


def _signature(canonical: str, moment: str, scope: str, credentials: Credentials) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}"
    key = _signing_key(credentials.secret_access_key, scope)
    return hmac.digest(key, text.encode(), "sha256").hex()


@lru_cache(maxsize=16)
def _signing_key(secret_access_key: str, scope: str) -> bytes:
    key = f"AWS4{secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
