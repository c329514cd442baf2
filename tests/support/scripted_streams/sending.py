"""One answer on the wire: whole, in pieces, damaged or not at all."""

import asyncio
from zlib import crc32

import orjson
from aiohttp import web

from tests.support.scripted_streams.errors import UNAVAILABLE, Refusal
from tests.support.scripted_streams.faults import Cut, EmptyPage, Fault, SlowBody, WrongChecksum

JSON = "application/x-amz-json-1.0"


class Answer:
    """Status, headers and body of one answer, and what the journal says about it."""

    def __init__(
        self,
        body: bytes,
        *,
        outcome: str = "ok",
        status: int = 200,
        records: int = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.body = body
        self.outcome = outcome
        self.status = status
        self.records = records
        self.forwarded = headers is not None
        self.headers = headers or {"Content-Type": JSON, "x-amz-crc32": str(crc32(body))}


def refused(refusal: Refusal) -> Answer:
    if refusal.error == UNAVAILABLE:
        page = b"<html><body><b>Http/1.1 Service Unavailable</b></body></html>"
        headers = {"Content-Type": "text/html"}
        answer = Answer(page, outcome=refusal.error, status=refusal.status, headers=headers)
        answer.forwarded = False
        return answer
    body = orjson.dumps({"__type": refusal.wire_type, "message": refusal.message})
    return Answer(body, outcome=refusal.error, status=refusal.status)


def outcome_of(answer: Answer, fault: Fault | None) -> str:
    match fault:
        case Cut(where):
            return f"cut {where}"
        case WrongChecksum():
            return "wrong checksum"
        case EmptyPage() if answer.outcome == "ok":
            return "empty page"
        case _:
            return answer.outcome


async def send(request: web.Request, answer: Answer, fault: Fault | None) -> web.StreamResponse:
    match fault:
        case Cut("answer"):
            return break_off(request)
        case Cut():
            response = await _begin(request, answer)
            await response.write(answer.body[: max(1, len(answer.body) // 2)])
            return break_off(request, response)
        case SlowBody(seconds, pieces):
            return await _send_slowly(request, answer, seconds=seconds, pieces=pieces)
        case WrongChecksum():
            answer.headers["x-amz-crc32"] = str(crc32(answer.body) ^ 1)
        case _:
            pass
    return web.Response(body=answer.body, status=answer.status, headers=answer.headers)


async def _send_slowly(
    request: web.Request, answer: Answer, *, seconds: float, pieces: int
) -> web.StreamResponse:
    response = await _begin(request, answer)
    step = -(-len(answer.body) // pieces) or 1
    try:
        for start in range(0, len(answer.body), step):
            await asyncio.sleep(seconds)
            await response.write(answer.body[start : start + step])
    except ConnectionError:  # the reader lost patience, which is what the fault is for
        return response
    return response


async def _begin(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    return response


def break_off(
    request: web.Request, response: web.StreamResponse | None = None
) -> web.StreamResponse:
    """Close the connection; what was written already still leaves."""
    if request.transport is not None:
        request.transport.close()
    return response or web.Response()
