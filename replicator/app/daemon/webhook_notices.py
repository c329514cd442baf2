"""Delivers notices to an address over HTTP, signed, so that a receiver can verify the sender."""

import hashlib
import hmac
import ssl
from urllib.parse import urlsplit

import aiohttp

from replicator.errors import NoticeUndelivered

SECONDS_MAX = 10.0
TIMESTAMP = "X-Replicator-Timestamp"
SIGNATURE = "X-Replicator-Signature"


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC, in hexadecimal digits, of timestamp, a full stop and body."""
    signed = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


async def post(url: str, body: bytes, *, secret: bytes | None, timestamp: str) -> None:
    """Post one notice; NoticeUndelivered unless the answer is a 2xx.

    The address may be a secret, so that errors name the host alone. A redirection is not followed,
    as the new address is none of the configuration's.
    """
    headers = {"Content-Type": "application/json", TIMESTAMP: timestamp}
    if secret is not None:
        headers[SIGNATURE] = signature(secret, timestamp, body)
    host = urlsplit(url).hostname
    limit = aiohttp.ClientTimeout(total=SECONDS_MAX)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=True) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            status = answer.status
    except TimeoutError as error:
        raise _undelivered(f"{host} did not answer within {SECONDS_MAX:.0f} s") from error
    except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
        raise _undelivered(f"{host} cannot be reached ({type(error).__name__})") from error
    if not 200 <= status < 300:
        raise _undelivered(f"{host} answered {status}")


def _undelivered(why: str) -> NoticeUndelivered:
    return NoticeUndelivered(
        f"a notice was not delivered: {why}",
        remedy="check notifications.webhook_url and who answers there; it is sent again",
    )
