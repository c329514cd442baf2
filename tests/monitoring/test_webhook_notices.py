"""Posts of notices: signed, never redirected, and whatever goes wrong names the host alone."""

import hashlib
import hmac

import pytest
from aiohttp import web

from replicator.app.daemon.webhook_notices import post
from replicator.errors import NoticeUndelivered
from tests.support.http_server import served
from tests.support.nobody import PORT_OF_NOBODY
from tests.support.receiver import receiver

SECRET = b"a secret"
BODY = b'{"id": 1}'


async def test_a_post_has_the_body_and_a_signature_that_the_receiver_can_check():
    async with receiver() as got:
        await post(f"{got.url}/hook?token=x", BODY, secret=SECRET, timestamp="1760000000")

    [request] = got.requests
    assert request.body == BODY
    assert request.path == "/hook?token=x"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Replicator-Timestamp"] == "1760000000"
    expected = hmac.new(SECRET, b"1760000000." + BODY, hashlib.sha256).hexdigest()
    assert request.headers["X-Replicator-Signature"] == f"sha256={expected}"


async def test_without_a_secret_there_is_no_signature():
    async with receiver() as got:
        await post(got.url, BODY, secret=None, timestamp="1")

    assert "X-Replicator-Signature" not in got.requests[0].headers


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500])
async def test_any_other_answer_than_success_is_a_failure_that_hides_the_address(status: int):
    async with receiver(statuses=[status], location="http://127.0.0.1:9/") as got:
        with pytest.raises(NoticeUndelivered, match=f"127.0.0.1 answered {status}") as raised:
            await post(f"{got.url}/token-of-a-hook", BODY, secret=None, timestamp="1")

    assert "token-of-a-hook" not in f"{raised.value} {raised.value.remedy}"


async def test_a_receiver_that_is_away_or_breaks_off_is_a_failure():
    with pytest.raises(NoticeUndelivered, match="cannot be reached"):
        await post(f"http://127.0.0.1:{PORT_OF_NOBODY}/", BODY, secret=None, timestamp="1")

    async def break_off(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", break_off)
    async with served(app) as breaking:
        with pytest.raises(NoticeUndelivered, match="cannot be reached"):
            await post(breaking, BODY, secret=None, timestamp="1")
