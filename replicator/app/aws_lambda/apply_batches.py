"""Applies one table's batches from AWS Lambda, as far as time and PostgreSQL allow.

Theory of operation
-------------------
The problem: behind an event source mapping Lambda is the poller. It keeps the position, decides
on batches, repeats them after failures, splits them, and may deliver one twice or two of a stream
at the same time. An event names no shard, so there is no position to compare and nothing to
claim. The environment may be frozen between two invocations for hours, with the connections.

The idea: PostgreSQL keeps the order per row instead of per shard. A table that Lambda writes is
in mode `lambda`: every transaction takes the table's state FOR SHARE, checks mode and mapping,
and writes through the row guard (`core/planning/row_guard`), so that any repetition and
any order of batches that contain each record at least once end in the same rows.

The answer to Lambda: records are applied in order, in parts as the pipeline makes them, each part
one transaction. When a part fails, everything before it is committed; `deliver` returns the
identifiers from the first record that is not, and Lambda delivers from there
(`ReportBatchItemFailures`). A record that can never be applied becomes a dead letter and counts
as applied. When nothing was applied the failure is raised, and the whole batch comes again.

The bounds: an invocation stops when its time is nearly over, as if PostgreSQL were away. A
connection that died while the environment was frozen is thrown away, and a new one is tried once.

The invariants: no identifier is left out of the answer that is not committed; a table that must
stop (schema, dead letters, an unknown stream) is halted in the control schema, and Lambda keeps
the records for the retries; a stream that is seen for the first time is applied and reported as a
possible gap, as nobody can tell what happened between two streams.

Broken without it: guarding by sequence number alone loses deletions (a late older upsert finds no
row and inserts it), hence tombstones; answering "all failed" after a partial commit is correct
but repeats forever where time is short.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from replicator.clock import Clock
from replicator.core.check_findings import how_to_go_on
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.row_guard import Applied
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream.gap_proof import how_to_mend
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.source_kind import KINESIS, is_read_from, kind_of
from replicator.core.stream.stream_generations import label_time
from replicator.core.telemetry_events import GapFound, Observe, StreamMoved, TableHalted, TaskFailed
from replicator.engine.dead_letter_limit import check_dead_letters
from replicator.engine.stream.plan_and_apply_batch import Batch, BatchPipeline
from replicator.errors import (
    Disposition,
    Fenced,
    ReplicatorError,
    SinkUnavailable,
)
from replicator.postgres.connection.database import Database
from replicator.postgres.control.source_switch import SourceSwitch
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.schema.database_survey import unfit_targets
from replicator.postgres.write.lambda_writer import Deliveries
from replicator.sources.dynamodb.view_type import require_new_images
from replicator.sources.lambda_events.event import StreamBatch

SURVEY_SECONDS = 30.0
"""Seconds after which a warm environment surveys the targets once more."""
ATTEMPTS = 2
"""A connection may have died while the environment was frozen: once, a new one is tried."""


class BatchApplier:
    """Applies batches of one table."""

    def __init__(
        self,
        mapping: TableMapping,
        database: Database,
        *,
        observe: Observe,
        count_dead_letters: Callable[[str, int], None],
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._database = database
        self._observe = observe
        self._count_dead_letters = count_dead_letters
        self._clock = clock
        self._surveyed_at = clock.monotonic()
        self._sink = _Sink(Deliveries(database, mapping))
        self._gaps_and_halts = GapsAndHalts(database)
        self._pipeline = BatchPipeline(mapping.spec.name, mapping, self._sink, observe, clock)

    async def deliver(
        self, batch: StreamBatch, *, seconds_left: Callable[[], float]
    ) -> Sequence[str]:
        """Apply a batch; returns the identifiers of the records from the first one that is left.

        Raises the failure when no record was applied.
        """
        done = 0
        for attempt in range(ATTEMPTS):
            self._sink.records_applied = 0
            try:
                async with asyncio.timeout(seconds_left()):
                    await self._apply(batch, done)
            except (ReplicatorError, TimeoutError) as error:
                done += self._sink.records_applied
                failure = await self._failed(error)
                if attempt + 1 < ATTEMPTS and isinstance(failure, SinkUnavailable | Fenced):
                    continue
                if done == 0:
                    raise failure from error
                return batch.identifiers[done:]
            else:
                break
        return ()

    async def _apply(self, batch: StreamBatch, done: int) -> None:
        if batch.unknown is not None:
            raise batch.unknown
        records = batch.records[done:]
        if not records:
            return
        if batch.view_type is not None:
            require_new_images(batch.table, batch.view_type)
        await self._survey_at_times()
        delivery = await self._sink.deliveries.read(batch.stream_arn)
        kinesis, current = self._mapping.spec.kinesis, delivery.current
        if current is not None and not is_read_from(current, kinesis):
            await self._move(current, batch.stream_arn)
        elif not delivery.known:
            await self._start_stream(batch.stream_arn)
        letters_before = self._pipeline.rejected
        await self._pipeline.process(
            Batch(records, records[-1].position, self._clock.now()),
            delivery.claim,
            asyncio.Event(),
        )
        if self._pipeline.rejected > letters_before:
            await self._refuse_too_many_dead_letters()

    async def _survey_at_times(self) -> None:
        """SchemaMismatch where `check` has an error about a target by now."""
        now = self._clock.monotonic()
        if now - self._surveyed_at < SURVEY_SECONDS:
            return
        async with self._database.transaction("surveying the targets") as connection:
            unfit = await unfit_targets(connection, [self._mapping])
        for error in unfit.values():
            raise error
        self._surveyed_at = now

    async def _failed(self, error: ReplicatorError | TimeoutError) -> ReplicatorError:
        """Classifies a failure, and halts the table where the failure asks for that."""
        name = self._mapping.spec.name
        if isinstance(error, TimeoutError):
            failure: ReplicatorError = SinkUnavailable("the time of the invocation is over")
        else:
            failure = error
        self._observe(TaskFailed("deliver", name, failure, 0.0))
        if isinstance(failure, SinkUnavailable):
            await self._database.discard()
        if failure.disposition is Disposition.HALT:
            remedy = how_to_go_on(failure, name)
            halted = await self._gaps_and_halts.halt(name, reason=str(failure), remedy=remedy)
            if halted == "halted":
                self._observe(TableHalted(name, str(failure), remedy))
        return failure

    async def _move(self, before: str, stream_arn: str) -> None:
        """Read the table from another source from now on; workers load the table."""
        name, at = self._mapping.spec.name, self._clock.now()
        moves = SourceSwitch(self._database)
        told = await moves.move(name, before=before, stream_arn=stream_arn, at=at)
        if told is not None:
            self._observe(StreamMoved(name, told))
        # the snapshot that was asked for, and what was committed, are read with the next delivery
        raise Fenced(f"table {name!r} moved to another stream")

    async def _start_stream(self, stream_arn: str) -> None:
        """Note a stream that is seen for the first time: records are applied, and a gap is
        reported."""
        name = self._mapping.spec.name
        detail = (
            f"the table has a new stream ({stream_arn}): changes made while it had none, or before "
            "the table was created again, are in neither stream"
        )
        gap = await self._gaps_and_halts.start_stream(
            name, stream_arn, label_at=self._label(stream_arn), detail=detail
        )
        if gap:
            remedy = how_to_mend(name, OrderingMode.LAMBDA)
            self._observe(GapFound(name, None, "possible", detail, remedy))
            if self._mapping.spec.on_gap == "continue":
                await self._gaps_and_halts.accept_gaps(
                    name, who="configuration", why="on_gap: continue"
                )

    def _label(self, stream_arn: str) -> datetime:
        """The time that orders a stream among the table's: of a Kinesis stream the first sight."""
        return self._clock.now() if kind_of(stream_arn) is KINESIS else label_time(stream_arn)

    async def _refuse_too_many_dead_letters(self) -> None:
        counts = await self._gaps_and_halts.dead_letters(self._mapping.spec.name)
        self._count_dead_letters(self._mapping.spec.name, counts.open)
        await check_dead_letters(self._gaps_and_halts, self._mapping.spec)


class _Sink:
    """Deliveries that count how many records are applied already."""

    def __init__(self, deliveries: Deliveries) -> None:
        self.deliveries = deliveries
        self.records_applied = 0

    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        applied = await self.deliveries.apply(plan, claim=claim, advance=advance)
        self.records_applied += len(plan.ranks)
        return applied

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = (), /) -> Refusals:
        return await self.deliveries.refusals(plan, others)
