"""Spans of a real worker arrive at a collector, and one that is away is no trouble."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.http_server import served

SECRET = "anna@example.org"
pytestmark = one_emulator


@dataclass
class Collector:
    """What a worker has sent."""

    url: str = ""
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def ways(self) -> set[tuple[str, ...]]:
        """The names of each span and of those above it, in one trace."""
        known = {(span.trace_id, span.span_id): span for span in self.spans()}

        def way(span: Span) -> tuple[str, ...]:
            above = known.get((span.trace_id, span.parent_span_id))
            return (span.name,) if above is None else (*way(above), span.name)

        return {way(span) for span in known.values()}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector, app = Collector(), web.Application()
    app.router.add_post("/v1/traces", collector.take)
    async with served(app) as collector.url:
        yield collector


async def test_a_worker_sends_spans_of_reads_transactions_and_checkpoints(
    stage: Stage, collector: Collector
):
    table = await stage.create_table("orders", {"pk": "S"})
    orders = {"table": table, "initial_load": "stream", "into": {"public.orders": {}}}
    async with stage.deployment({"orders": orders}) as deployment:
        deployment.settings["tracing"] = {"endpoint": collector.url}
        await deployment.migrate()
        worker = deployment.start()
        await stage.client.put_item(
            TableName=table, Item={"pk": {"S": "A-1"}, "email": {"S": SECRET}}
        )

        async def all_there() -> bool:
            return ("read", "apply", "checkpoint") in collector.ways()

        await worker.until(all_there, what="the spans of a batch arrive")
        assert await worker.stop() == 0

    assert SECRET not in str(collector.requests)
    assert "A-1" not in str(collector.requests)


async def test_a_collector_that_is_away_delays_no_end(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    orders = {"table": table, "initial_load": "stream", "into": {"public.orders": {}}}
    async with stage.deployment({"orders": orders}) as deployment:
        deployment.settings["tracing"] = {"endpoint": "http://127.0.0.1:9"}
        await deployment.migrate()
        worker = await deployment.start_ready()

        assert await worker.stop() == 0
