"""Spans around reads, transactions and checkpoints, told to OpenTelemetry where that is wished."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast

from replicator import DISTRIBUTION, __version__
from replicator.core.leases.lease_plan import Lease
from replicator.core.planning.row_guard import Applied
from replicator.core.planning.write_plan import WritePlan
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream_record import Page, Position
from replicator.core.telemetry_events import unobserved
from replicator.engine.ports import Leases, Sink, Source
from replicator.errors import ConfigurationError
from replicator.monitoring.exception_redaction import one_line

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

EXPORT_SECONDS_MAX = 1.0
SPANS_WAITING_MAX = 1024
"""Spans that wait to be sent: with the bound above, what is left at the end is sent, or dropped,
within three seconds."""
SPANS_SENT_AT_ONCE = 512
PAGES_REMEMBERED = 64
"""Pages that are remembered of each table: a page is applied soon after the read."""
SHARDS_REMEMBERED = 4096

AnySource = TypeVar("AnySource", bound=Source)
AnySink = TypeVar("AnySink", bound=Sink)
AnyLeases = TypeVar("AnyLeases", bound=Leases)
Given = ParamSpec("Given")
Result = TypeVar("Result")
Attributes = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class _Trail:
    """The spans that the next ones of a batch belong beneath: of the read, of the transaction."""

    reads: dict[str, "deque[tuple[frozenset[Position], Span]]"] = field(default_factory=dict)
    """Positions in the last pages of each table, with the span of the read."""
    applied: dict[str, "tuple[str, Span]"] = field(default_factory=dict)
    """Position of the last transaction of each shard, with its span."""

    def note_read(self, table: str, page: Page, span: "Span") -> None:
        """A page with records will be applied."""
        if page.records:
            pages = self.reads.setdefault(table, deque(maxlen=PAGES_REMEMBERED))
            pages.appendleft((frozenset(each.position for each in page.records), span))

    def read_of(self, table: str, position: Position) -> "Span | None":
        """The span of the page in which a batch ends."""
        pages = self.reads.get(table, ())
        return next((span for numbers, span in pages if position in numbers), None)

    def note_applied(self, shard_id: str, position: str, span: "Span") -> None:
        """The position will be saved as a checkpoint, unless the next one is."""
        self.applied.pop(shard_id, None)
        self.applied[shard_id] = position, span
        if len(self.applied) > SHARDS_REMEMBERED:
            del self.applied[next(iter(self.applied))]

    def applied_at(self, shard_id: str, checkpoint: str) -> "Span | None":
        """The span of the transaction that a checkpoint stands behind."""
        position, span = self.applied.get(shard_id, (None, None))
        return span if position == checkpoint else None


@dataclass(frozen=True, slots=True)
class Tracing:
    """Wraps ports of the engine; without a provider the ports come back unwrapped."""

    provider: "TracerProvider | None" = None
    _trail: _Trail = field(default_factory=_Trail)

    def source(self, port: AnySource, *, table: str) -> AnySource:
        """Each page read is a span."""
        if self.provider is None:
            return port

        def before(_: str) -> Attributes:
            return {"table": table}

        def after(page: Page, span: "Span", _: str) -> Attributes:
            self._trail.note_read(table, page, span)
            return {"records": len(page.records), "ended": page.next_iterator is None}

        read = _in_span(self.provider, "read", port.read, before, after, beneath=unobserved)
        return cast("AnySource", _Traced(port, read=read))

    def sink(self, port: AnySink, *, table: str) -> AnySink:
        """Each transaction is a span."""
        if self.provider is None:
            return port

        def before(_: WritePlan, *, claim: Claim, advance: Advance) -> Attributes:
            position = str(advance.position)  # longer than what a span keeps exact
            return {"table": table, "shard_id": claim.shard_id, "position": position}

        def beneath(_: WritePlan, *, claim: Claim, advance: Advance) -> "Span | None":
            del claim
            return self._trail.read_of(table, advance.position)

        def after(
            applied: Applied, span: "Span", _: WritePlan, *, claim: Claim, advance: Advance
        ) -> Attributes:
            self._trail.note_applied(claim.shard_id, str(advance.position), span)
            return {"rows": sum(applied.rows.values())}

        apply = _in_span(self.provider, "apply", port.apply, before, after, beneath=beneath)
        return cast("AnySink", _Traced(port, apply=apply))

    def leases(self, port: AnyLeases) -> AnyLeases:
        """Each checkpoint that is saved is a span."""
        if self.provider is None:
            return port

        def before(key: str, checkpoint: str) -> Attributes:
            return {"lease_key": key, "checkpoint": checkpoint}

        def beneath(key: str, checkpoint: str) -> "Span | None":
            return self._trail.applied_at(key.rpartition(":")[2], checkpoint)

        def after(lease: Lease, span: "Span", key: str, checkpoint: str) -> Attributes:
            del lease, span, key, checkpoint
            return {}

        save = _in_span(self.provider, "checkpoint", port.save, before, after, beneath=beneath)
        return cast("AnyLeases", _Traced(port, save=save))

    async def close(self) -> None:
        """Send the spans that wait, for as long as the bounds above allow."""
        if self.provider is not None:
            await asyncio.to_thread(self.provider.shutdown)


class _Traced:
    """A port of which one method is another one."""

    def __init__(self, port: object, **instead: Callable[..., Awaitable[object]]) -> None:
        self._port = port
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> object:
        return getattr(self._port, name)


def _in_span(
    provider: "TracerProvider",
    name: str,
    act: Callable[Given, Awaitable[Result]],
    before: Callable[Given, Attributes],
    after: "Callable[Concatenate[Result, Span, Given], Attributes]",
    *,
    beneath: "Callable[Given, Span | None]",
) -> Callable[Given, Awaitable[Result]]:
    from opentelemetry.trace import Status, StatusCode, set_span_in_context

    tracer = provider.get_tracer("replicator", __version__)

    async def call(*arguments: Given.args, **options: Given.kwargs) -> Result:
        parent = beneath(*arguments, **options)
        context: Context | None = None if parent is None else set_span_in_context(parent)
        # not recorded by the library: a traceback may quote a row
        with tracer.start_as_current_span(
            name,
            context=context,
            attributes=before(*arguments, **options),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                result = await act(*arguments, **options)
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, one_line(error)))
                raise
            span.set_attributes(after(result, span, *arguments, **options))
            return result

    return call


def tracing(
    endpoint: str | None, *, sample_ratio: float, deployment: str, worker_id: str
) -> Tracing:
    """Off without an endpoint: then OpenTelemetry is not even imported.

    ConfigurationError when it is wished and not installed.
    """
    if endpoint is None:
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
    except ImportError as error:
        raise ConfigurationError(
            "tracing.endpoint is set, but OpenTelemetry is not installed",
            remedy=f"install {DISTRIBUTION}[otel], or leave tracing.endpoint out",
        ) from error
    provider = TracerProvider(
        sampler=TraceIdRatioBased(sample_ratio),
        resource=Resource(
            {
                "service.name": "replicator",
                "service.version": __version__,
                "service.namespace": deployment,
                "service.instance.id": worker_id,
            }
        ),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS_MAX),
            max_queue_size=SPANS_WAITING_MAX,
            max_export_batch_size=SPANS_SENT_AT_ONCE,
        )
    )
    return Tracing(provider)
