"""The HTTP edge: the DynamoDB JSON protocol on `/`, the verbs of control on `/_control`."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from tests.support.bounds import scaled
from tests.support.scripted_streams import stream_answers, table_answers
from tests.support.scripted_streams.control import ScriptedStreams
from tests.support.scripted_streams.errors import UNAVAILABLE, Refusal, invalid
from tests.support.scripted_streams.faults import (
    Call,
    Cut,
    Delay,
    EmptyPage,
    Fault,
    Hold,
    Refuse,
)
from tests.support.scripted_streams.forwarding import Emulator
from tests.support.scripted_streams.sending import Answer, break_off, outcome_of, refused, send

STREAM_PREFIX = "DynamoDBStreams_20120810."
CONTROL_BYTES_MAX = 256 * 1024 * 1024
_CONTINUATIONS = ("ExclusiveStartShardId", "ExclusiveStartKey", "ExclusiveStartStreamArn")


async def scripted_streams(
    *,
    forward: str | None = None,
    port: int = 0,
    hours_behind: float = 0,
    clock: Callable[[], float] = time.time,
) -> ScriptedStreams:
    """Serve on 127.0.0.1 in this event loop until `close`; also an `async with` target.

    `forward` is the URL of the emulator that answers for all tables and streams not scripted;
    `hours_behind` starts the clock in the past, so that `advance` ends at the real present.
    """
    streams = ScriptedStreams(clock=clock, hours_behind=hours_behind)
    edge = _Edge(streams, Emulator(forward) if forward else None)
    application = web.Application(client_max_size=CONTROL_BYTES_MAX)
    application.router.add_post("/", edge.serve)
    application.router.add_post("/_control", edge.control)
    application.router.add_post("/_control/pages", edge.load_page)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=scaled(0.5))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    host, chosen = runner.addresses[0][:2]
    streams.endpoint_url = f"http://{host}:{chosen}"

    async def close() -> None:
        edge.release()
        await runner.cleanup()
        await edge.close()

    streams.on_close = close
    return streams


class _Edge:
    def __init__(self, streams: ScriptedStreams, emulator: Emulator | None) -> None:
        self._streams = streams
        self._emulator = emulator
        self._released = asyncio.Event()
        streams.on_release = self.release

    def release(self) -> None:
        self._released.set()
        self._released = asyncio.Event()

    async def close(self) -> None:
        if self._emulator is not None:
            await self._emulator.close()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        target = request.headers.get("X-Amz-Target", "")
        operation = target.rpartition(".")[2]
        content = orjson.loads(body or b"{}")
        call = self._call(operation, content, body)
        fault = self._streams.faults.next_for(call)
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
        elif isinstance(fault, Hold):
            await self._released.wait()
        if fault == Cut("request"):
            self._note(call, content, Answer(b"", outcome="cut request"))
            return break_off(request)
        answer = await self._answer(request, target, body, content, fault)
        answer.outcome = outcome_of(answer, fault)
        self._note(call, content, answer)
        return await send(request, answer, fault)

    async def control(self, request: web.Request) -> web.Response:
        try:
            result = self._streams.perform(orjson.loads(await request.read()))
        except (ValueError, LookupError, TypeError, Refusal) as error:
            return web.json_response({"error": repr(error)}, status=400)
        return web.Response(
            body=orjson.dumps({"result": result}, option=orjson.OPT_NON_STR_KEYS),
            content_type="application/json",
        )

    async def load_page(self, request: web.Request) -> web.Response:
        table = self._streams.world.tables[request.query["table"]]
        shard, body = int(request.query["shard"]), await request.read()
        if "apart" in request.query:
            table.load_records(shard, body)
        else:
            table.load_pages(shard, [body])
        return web.json_response({"result": None})

    def _call(self, operation: str, content: dict[str, Any], body: bytes) -> Call:
        try:
            table, shard = self._streams.world.subject(operation, content)
        except Refusal:  # a malformed iterator is about nothing
            table, shard = None, None
        continued = any(content.get(name) for name in _CONTINUATIONS)
        return Call(operation, table, shard, continued, body)

    def _note(self, call: Call, content: dict[str, Any], answer: Answer) -> None:
        self._streams.journal.add(
            at=self._streams.now(),
            operation=call.operation,
            table=call.table,
            shard=call.shard,
            outcome=answer.outcome,
            records=answer.records,
            detail=content.get("ShardIteratorType"),
            forwarded=answer.forwarded,
        )

    async def _answer(
        self,
        request: web.Request,
        target: str,
        body: bytes,
        content: dict[str, Any],
        fault: Fault | None,
    ) -> Answer:
        operation = target.rpartition(".")[2]
        if isinstance(fault, Refuse):
            return refused(Refusal(fault.error, "planned by the test"))
        if not target:
            return refused(invalid("X-Amz-Target is missing"))
        try:
            answer = self._scripted(target, operation, content, empty=isinstance(fault, EmptyPage))
            return answer or await self._forwarded(request, body)
        except Refusal as refusal:
            return refused(refusal)

    def _scripted(
        self, target: str, operation: str, content: dict[str, Any], *, empty: bool
    ) -> Answer | None:
        """None for what the emulator answers, if there is one."""
        world, alone = self._streams.world, self._emulator is None
        if target.startswith(STREAM_PREFIX):
            if alone or stream_answers.is_scripted(world, operation, content):
                body, records = stream_answers.answer(world, operation, content, empty=empty)
                return Answer(body, records=records)
        elif alone or table_answers.is_scripted(world, operation, content):
            return Answer(orjson.dumps(table_answers.answer(world, operation, content)))
        return None

    async def _forwarded(self, request: web.Request, body: bytes) -> Answer:
        assert self._emulator is not None
        try:
            theirs = await self._emulator.call(request, body)
        except aiohttp.ClientError as error:
            raise Refusal(UNAVAILABLE, "the emulator behind does not answer") from error
        return Answer(
            theirs.body, status=theirs.status, headers=theirs.headers, outcome=theirs.outcome
        )
