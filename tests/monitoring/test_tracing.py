"""Spans say what was waited for and for how long, hold no item, and cost nothing when off."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from replicator.core.guard import Applied
from replicator.core.plan import Refused, WritePlan, plan_batch
from replicator.core.shards import Advance, Claim
from replicator.errors import ConfigurationError, SinkUnavailable
from replicator.monitoring.tracing import Tracing, tracing
from tests.docs.blocks import ROOT
from tests.support.builders import NOON, claim, record, table_mapping

SECRET = "anna@example.org"
PLAN = plan_batch([record(5, n={"N": "1"})], table_mapping(), read_at=0)
ADVANCE = Advance(expected=None, position=5, known=5, created_at=None, polled_at=NOON)


class BrokenSink:
    """Fails because of something that quotes a row, as PostgreSQL does."""

    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        raise SinkUnavailable("the connection was lost") from ValueError(SECRET)

    async def refusals(self, plan: WritePlan) -> Refused:
        return {}


@pytest.fixture
def spans() -> Iterator[tuple[Tracing, InMemorySpanExporter]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Tracing(provider), exporter
    provider.shutdown()


async def test_a_failure_is_in_the_span_without_what_it_quotes(
    spans: tuple[Tracing, InMemorySpanExporter],
):
    traced, exporter = spans
    sink = traced.sink(BrokenSink(), table="orders")

    with pytest.raises(SinkUnavailable):
        await sink.apply(PLAN, claim=claim(1), advance=ADVANCE)

    [span] = exporter.get_finished_spans()
    assert span.name == "apply"
    assert not span.status.is_ok
    assert span.status.description == "SinkUnavailable: the connection was lost"
    assert dict(span.attributes or {})["table"] == "orders"
    assert SECRET not in span.to_json()
    assert await sink.refusals(PLAN) == {}


def test_off_it_hands_back_what_it_got_and_imports_nothing():
    sink = BrokenSink()
    code = "import sys, replicator.app.daemon; print([m for m in sys.modules if 'telemetry' in m])"

    assert Tracing().sink(sink, table="orders") is sink
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert said.stdout.strip() == b"[]"


def test_wished_and_not_installed_is_one_clear_message(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(ConfigurationError, match="not installed") as refused:
        tracing("http://127.0.0.1:4318", sample_ratio=1.0, deployment="shop", worker_id="w")

    assert refused.value.remedy is not None
    assert "replicator[otel]" in refused.value.remedy
