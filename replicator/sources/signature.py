"""Signatures of AWS, version 4, of calls in JSON and of what is signed by hand. Pure."""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime

ALGORITHM = "AWS4-HMAC-SHA256"
MOMENT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whose requests these are."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def signed_headers(
    host: str,
    payload: bytes,
    *,
    target: str,
    content_type: str,
    service: str,
    region: str,
    credentials: Credentials,
    now: datetime,
) -> dict[str, str]:
    """The headers of one call in JSON, sent to the root of `host`."""
    moment = now.strftime(MOMENT)
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    headers = {
        "content-type": content_type,
        "host": host,
        "x-amz-date": moment,
    }
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    headers["x-amz-target"] = target
    names = ";".join(headers)  # they are in order already
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(payload).hexdigest()}"
    signed = signature(canonical, moment, scope, credentials)
    headers["authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope},"
        f" SignedHeaders={names}, Signature={signed}"
    )
    return headers


def signature(canonical: str, moment: str, scope: str, credentials: Credentials) -> str:
    """The signature of a request that is written in canonical form."""
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"{ALGORITHM}\n{moment}\n{scope}\n{digest}"
    return hmac.digest(key, text.encode(), "sha256").hex()
