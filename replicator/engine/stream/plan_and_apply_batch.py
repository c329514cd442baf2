"""A batch becomes a plan, a plan one transaction; refused rows are found and dead-lettered."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from replicator.clock import Clock
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.restore_change_order import Arranged, arranged
from replicator.core.planning.row_guard import Applied, outcomes_after_guard, reasons
from replicator.core.planning.write_plan import WritePlan
from replicator.core.stream.batch_size import BatchSize
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream.shard_load import ShardLoad
from replicator.core.stream_record import NOWHERE, Position, StreamRecord
from replicator.core.telemetry_events import (
    BatchApplied,
    ChangesSuperseded,
    Observe,
    OrderUndecided,
    RecordRejected,
    WriteBlocked,
    unobserved,
)
from replicator.engine.ports import Sink
from replicator.engine.retry_and_halve import apply_in_halves, apply_until_taken
from replicator.errors import (
    BatchRejected,
    ReplicatorError,
    SchemaMismatch,
    SinkBusy,
    SinkUnavailable,
    TargetLocked,
)

START_MARGIN = timedelta(minutes=2)
"""Margin around creation times: they are rounded down, by emulators to the minute, and clocks
differ."""
WHOLE = BatchSize(10_000, records_max=10_000, target_seconds=1.0)
"""Size that halves no batch: AWS Lambda delivers records in batches anyway."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one shard, in order, that follow the shard's position without a hole.

    `known` is the newest position seen so far, in the batch or already read beyond it.
    """

    records: Sequence[StreamRecord]
    known: Position
    requested_at: datetime
    attempting: Callable[[], None] = unobserved
    """Hears of every transaction that is tried."""
    failed: Callable[[ReplicatorError], None] = unobserved
    """Hears of every transaction that a busy server did not take."""
    plan: WritePlan | None = None
    """The plan, where one was made before the batch's turn."""
    order: Arranged | None = None
    """The records in the order that planning takes them in, where that was found before."""

    def part(self, records: Sequence[StreamRecord]) -> "Batch":
        """Some of the batch's records by themselves."""
        return replace(self, records=records, plan=None, order=None)


@dataclass(frozen=True, slots=True)
class _Commit:
    """One transaction that was committed: the new position, the rows, and how long it took."""

    advance: Advance
    load: ShardLoad
    applied: Applied
    seconds: float
    at: datetime


class BatchPipeline:
    """Applies batches of one table."""

    def __init__(
        self,
        table: str,
        mapping: TableMapping,
        sink: Sink,
        observe: Observe,
        clock: Clock,
        *,
        size: BatchSize = WHOLE,
    ) -> None:
        self._table = table
        self._mapping = mapping
        self._sink = sink
        self._observe = observe
        self._clock = clock
        self.size = size
        """Number of records that a batch should have now."""
        self.rejected = 0
        """Dead letters written since the start."""

    def planned(self, batch: Batch, claim: Claim) -> Batch:
        """The batch with a plan; without one where planning fails, which is shown in turn."""
        try:
            batch = replace(batch, order=self._order(batch))
            return replace(batch, plan=self._plan(batch, claim))
        except ReplicatorError:
            return batch

    async def process(self, batch: Batch, claim: Claim, stopping: asyncio.Event) -> Claim:
        """Commit a batch and return the claim at the new position.

        A busy server is tried again until asked to stop (SinkBusy then; nothing is lost). A batch
        that is too slow or holds a row that PostgreSQL refuses is halved down to the record, which
        becomes a dead letter in the transaction that moves the position past it. A batch that is
        larger than they should be by now is halved, too.
        """

        async def apply(part: Sequence[StreamRecord], claim: Claim) -> Claim:
            whole = part is batch.records
            own = batch if whole else batch.part(part)
            return await self._apply(own, claim, stopping)

        async def set_aside(
            part: Sequence[StreamRecord], claim: Claim, error: BatchRejected
        ) -> Claim:
            own, others = batch.part(part), self._others(batch, part, claim)
            return await self._set_aside(own, others, claim, stopping, error)

        return await apply_in_halves(
            batch.records,
            claim,
            apply=apply,
            set_aside=set_aside,
            most=lambda: self.size.records,
        )

    def _order(self, batch: Batch) -> Arranged:
        """The records in the order that planning takes, which a shard of DynamoDB Streams has
        anyway."""
        if batch.order is not None:
            return batch.order
        if self._mapping.spec.kinesis is None:
            return Arranged(batch.records)
        return arranged(batch.records, self._mapping.source_key)

    async def _set_aside(
        self,
        batch: Batch,
        others: Iterator[WritePlan],
        claim: Claim,
        stopping: asyncio.Event,
        error: BatchRejected,
    ) -> Claim:
        batch = replace(batch, order=self._order(batch))
        plan = self._plan(batch, claim)
        refused = await self._sink.refusals(plan, others)
        if not refused:
            message = f"PostgreSQL refuses a transaction, but none of its rows: {error}"
            raise SchemaMismatch(message, remedy="run `replicator check`") from error
        plan = plan_batch(
            self._order(batch).records,
            self._mapping,
            read_at=batch.requested_at.timestamp(),
            skip_before=_skip_before(claim),
            refused=refused,
        )
        return await self._commit(plan, batch, claim, stopping)

    def _others(
        self, batch: Batch, part: Sequence[StreamRecord], claim: Claim
    ) -> Iterator[WritePlan]:
        """Plans of the batch's other records, one by one."""
        for other in batch.records:
            if other is not part[0]:
                with suppress(ReplicatorError):  # shown in its own turn
                    yield self._plan(batch.part([other]), claim)

    async def _apply(self, batch: Batch, claim: Claim, stopping: asyncio.Event) -> Claim:
        batch = replace(batch, order=self._order(batch))
        return await self._commit(batch.plan or self._plan(batch, claim), batch, claim, stopping)

    def _plan(self, batch: Batch, claim: Claim) -> WritePlan:
        return plan_batch(
            self._order(batch).records,
            self._mapping,
            read_at=batch.requested_at.timestamp(),
            skip_before=_skip_before(claim),
        )

    async def _commit(
        self, plan: WritePlan, batch: Batch, claim: Claim, stopping: asyncio.Event
    ) -> Claim:
        created_at = _newest(batch.records)
        commit = await apply_until_taken(
            lambda: self._try(plan, batch, claim, created_at),
            stopping,
            attempting=batch.attempting,
            failed=batch.failed,
            single=len(batch.records) == 1,
        )
        self._report(plan, batch, claim, commit, created_at)
        return replace(
            claim,
            position=commit.advance.position,
            known=max(commit.advance.known, claim.known or NOWHERE),
            safe_at=_later(claim.safe_at, commit.advance.created_at),
            owed=True,
            open_letters=claim.open_letters or bool(plan.dead_letters),
            load=commit.load,
        )

    async def _try(
        self, plan: WritePlan, batch: Batch, claim: Claim, created_at: float | None
    ) -> _Commit:
        """Try one transaction, of which the batch size learns.

        The clock is asked once at each end: the begin dates the shard's load, and the ages of
        changes are measured at the end.
        """
        records, started = len(batch.records), self._clock.monotonic()
        load = claim.load.after(records, now=started)
        advance = Advance(
            expected=claim.position,
            position=batch.records[-1].position,
            known=batch.known,
            created_at=None if created_at is None else datetime.fromtimestamp(created_at, UTC),
            polled_at=batch.requested_at,
            load=load.records_a_minute,
        )
        try:
            applied = await self._sink.apply(plan, claim=claim, advance=advance)
        except TargetLocked as error:
            self._observe(WriteBlocked(self._table, claim.shard_id, error))
            raise
        except (SinkBusy, SinkUnavailable):  # a time limit may end the session without a word
            self.size = self.size.refused(records)
            raise
        seconds, at = self._clock.monotonic() - started, self._clock.now()
        self.size = self.size.after(records, seconds)
        return _Commit(advance, load, applied, seconds, at)

    def _report(
        self,
        plan: WritePlan,
        batch: Batch,
        claim: Claim,
        commit: _Commit,
        created_at: float | None,
    ) -> None:
        applied, now = commit.applied, commit.at.timestamp()
        in_order = self._order(batch)
        outcomes = plan.outcomes
        if applied.rejections:
            outcomes = outcomes_after_guard(in_order.records, plan, applied.rejections)
        ages = Counter(
            record.created_at
            for record in batch.records
            if record.created_at is not None and not record.foreign
        )
        self._observe(
            BatchApplied(
                table=self._table,
                shard_id=claim.shard_id,
                records=outcomes,
                rows=applied.rows,
                unmapped=plan.unmapped,
                unmapped_types=plan.unmapped_types,
                apply_seconds=commit.seconds,
                replication_seconds=tuple(
                    (max(0.0, now - created), count) for created, count in ages.items()
                ),
                last_created_at=created_at,
                unmatched=plan.unmatched,
                candidates=plan.candidates,
            )
        )
        if applied.rejections:
            self._observe(ChangesSuperseded(self._table, reasons(applied.rejections)))
        undecided = applied.undecided + in_order.undecided
        if undecided:
            self._observe(OrderUndecided(self._table, undecided))
        self.rejected += len(plan.dead_letters)
        for letter in plan.dead_letters:
            self._observe(
                RecordRejected(
                    self._table,
                    letter.target,
                    claim.shard_id,
                    letter.record.letter_id,
                    letter.reason,
                )
            )


def _skip_before(claim: Claim) -> float | None:
    if claim.skip_before is None:
        return None
    return (claim.skip_before - START_MARGIN).timestamp()


def _newest(records: Sequence[StreamRecord]) -> float | None:
    times = [record.created_at for record in records if record.created_at is not None]
    return max(times, default=None)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    instants = [instant for instant in (one, other) if instant is not None]
    return max(instants, default=None)
