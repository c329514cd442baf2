"""The few AWS calls that a Lambda function makes, signed here: loading the SDK takes a second."""

import asyncio
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from replicator.errors import ConfigurationError, SourceUnavailable
from replicator.sources.signature import ALGORITHM, MOMENT, Credentials, signature, signed_headers

TOKEN_SECONDS = 900
CALL_SECONDS_MAX = 5.0
_EMPTY = hashlib.sha256(b"").hexdigest()


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
    """A token of RDS IAM: a presigned URL without its scheme. Makes no call."""
    moment = now.strftime(MOMENT)
    scope = f"{moment[:8]}/{region}/rds-db/aws4_request"
    query = {
        "Action": "connect",
        "DBUser": user,
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(TOKEN_SECONDS),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token:
        query["X-Amz-Security-Token"] = credentials.session_token
    text = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
    canonical = f"GET\n/\n{text}\nhost:{host}:{port}\n\nhost\n{_EMPTY}"
    signed = signature(canonical, moment, scope, credentials)
    return f"{host}:{port}/?{text}&X-Amz-Signature={signed}"


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
    """One call of a JSON service; SourceUnavailable, ConfigurationError when it is refused."""
    payload = json.dumps(body).encode()
    headers = signed_headers(
        urlsplit(url).netloc,
        payload,
        target=target,
        content_type="application/x-amz-json-1.1",
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
