"""Spans say what was waited for and for how long, hold no item, and cost nothing when off."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.row_guard import Applied
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream_record import Page, Position
from replicator.engine.ports import Leases, Sink, Source
from replicator.errors import ConfigurationError, SinkUnavailable
from replicator.monitoring.tracing import Tracing, tracing
from tests.docs.blocks import ROOT
from tests.support.builders import NOON, claim, record, table_mapping

SECRET = "anna@example.org"
PLAN = plan_batch([record(5, n={"N": "1"})], table_mapping(), read_at=0)
ADVANCE = Advance(
    expected=None, position=Position(5), known=Position(5), created_at=None, polled_at=NOON
)


class BrokenSink:
    """Fails because of something that quotes a row, as PostgreSQL does."""

    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        raise SinkUnavailable("the connection was lost") from ValueError(SECRET)

    async def refusals(self, plan: WritePlan, _others: Iterable[WritePlan] = (), /) -> Refusals:
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
    found = "[m for m in sys.modules if 'opentelemetry' in m]"
    code = f"import sys, replicator.app.daemon.run; print({found})"

    assert Tracing().sink(sink, table="orders") is sink
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert said.stdout.strip() == b"[]"


def test_wished_and_not_installed_is_one_clear_message(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(ConfigurationError, match="not installed") as refused:
        tracing("http://127.0.0.1:4318", sample_ratio=1.0, deployment="shop", worker_id="w")

    assert refused.value.remedy is not None
    assert "dynamodb-postgres-replicator[otel]" in refused.value.remedy


class Streams:
    """Pages one after another; what a source has besides is not asked for here."""

    def __init__(self, *pages: Page) -> None:
        self._pages = list(pages)

    async def read(self, iterator: str) -> Page:
        assert iterator
        return self._pages.pop(0)


class GoodSink:
    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        return Applied({})


class Saves:
    async def save(self, key: str, checkpoint: str) -> None:
        """It is saved."""


async def test_read_transaction_and_checkpoint_of_a_batch_are_one_trace(
    spans: tuple[Tracing, InMemorySpanExporter],
):
    traced, exporter = spans
    pages = [Page([], "next"), page(1, 2, 3), page(4, 5)]
    source = traced.source(cast(Source, Streams(*pages)), table="orders")
    sink = traced.sink(cast(Sink, GoodSink()), table="orders")
    leases = traced.leases(cast(Leases, Saves()))
    held = claim(1)

    for _ in range(3):
        await source.read("iterator")
    for position in (2, 3, 5):  # the first page in two batches
        await sink.apply(PLAN, claim=held, advance=replace(ADVANCE, position=Position(position)))
    await leases.save(f"shop:{held.stream_arn}:{held.shard_id}", "5")
    await leases.save(f"shop:{held.stream_arn}:{held.shard_id}", "SHARD_END")

    empty, first, second, *applied, saved, end = exporter.get_finished_spans()
    assert [beneath(span) for span in (empty, first, second)] == [None] * 3
    assert [beneath(span) for span in applied] == [own(first), own(first), own(second)]
    assert beneath(saved) == own(applied[-1])
    assert beneath(end) is None
    assert [span.name for span in (first, *applied, saved)] == [
        "read",
        *["apply"] * 3,
        "checkpoint",
    ]
    assert len({trace(span) for span in (second, applied[-1], saved)}) == 1
    assert len({trace(span) for span in (empty, first, second, end)}) == 4


def page(*numbers: int) -> Page:
    return Page([record(number) for number in numbers], "next")


def own(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def trace(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.trace_id


def beneath(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id
