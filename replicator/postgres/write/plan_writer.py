"""Writes plans of shards, segments and others, each behind a fence in one transaction.

One statement writes a plan; two where rows are guarded, of which the first writes the versions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import asyncpg

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.mapping.item_keys import item_key_json
from replicator.core.planning.dead_letter import DeadLetter
from replicator.core.planning.row_guard import (
    LOADS,
    Applied,
    Guard,
    Versioning,
    accepted,
    letters_overtaken,
    stream_versioning,
)
from replicator.core.planning.write_plan import Refusals, TargetWrites, WritePlan
from replicator.core.snapshot.snapshot_state import SegmentAdvance, SegmentClaim
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream.stream_generations import SCAN
from replicator.core.telemetry_events import Operation
from replicator.errors import Fenced
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.connection.table_lock_waits import LockWaits
from replicator.postgres.write.batch_statement import BatchShape, BatchStatements
from replicator.postgres.write.blame_row_or_table import RefusedRows
from replicator.postgres.write.fence import PASSED, SEGMENT_FENCE, SHARD_FENCE, Fence
from replicator.postgres.write.row_guard_parameters import (
    kept_arrays,
    kept_places,
    other_orders_in,
    overtaken_in,
    rejections_in,
    undecided_in,
    version_arrays,
    version_shape,
)
from replicator.postgres.write.row_guard_sql import VersionStatements
from replicator.postgres.write.statement_parameters import join_texts, transposed
from replicator.postgres.write.target_sql import TargetShape
from replicator.postgres.write.trigger_interference import interference_found

_NOTHING = TargetShape(upserts=False, deletes=False, soft_deletes=False, appends=False)


class PlanWriter:
    """Writes the plans of one table mapping behind one kind of fence."""

    def __init__(self, database: Database, mapping: TableMapping, fence: Fence) -> None:
        self._database = database
        self._waits = LockWaits(database, "applying a batch")
        self._mapping = mapping
        control, targets = database.control, mapping.targets
        self._statements = BatchStatements(control, targets, fence)
        self._versions = VersionStatements(control, targets, fence)
        self._behind_versions = BatchStatements(control, targets, PASSED)
        self.mapped_columns = frozenset(
            column.name
            for target in targets
            for table in target.row_tables
            for column in table.columns
        )
        self._places = {target.name: place for place, target in enumerate(targets)}
        self.refused_rows = RefusedRows(database, self._unfenced, self.mapped_columns)
        """Finds the targets that refuse a record."""

    async def write(
        self, plan: WritePlan, fence_values: Sequence[object], *, supersede: bool
    ) -> Applied | None:
        """Commit all of a plan in one statement, or nothing; None when the fence was shut.

        `supersede`: open dead letters of the plan's items are superseded. BatchRejected,
        SchemaMismatch, SinkBusy, BatchTooSlow; SinkUnavailable when the outcome is not known.
        """
        shape, who = _plan_shape(plan, supersede=supersede), _who(fence_values)
        text, *values = self._statement(plan, shape, fence_values)

        async def statement(connection: Session) -> Applied | None:
            row = await self._written(connection, text, *values)
            if row is None or row["fenced"] != 1:
                return None
            return Applied(_rows_written(plan, row))

        steady = self._statements.steady(shape)
        return await self._waits.run(who, statement, self.mapped_columns, steady=steady)

    async def write_within(
        self, connection: Session, plan: WritePlan, fence_values: Sequence[object]
    ) -> None:
        """`write` within a transaction of the caller, who sees to the fence and to dead letters."""
        shape = _plan_shape(plan, supersede=False)
        await self._written(connection, *self._statement(plan, shape, fence_values))

    async def _written(
        self, connection: Session, text: str, *values: object
    ) -> asyncpg.Record | None:
        """The row of a batch's statement, which has written nothing where rows would be changed."""
        row = await connection.fetchrow(text, *values)
        if row is not None and row["interference"]:
            raise await interference_found(connection, self._mapping)
        return row

    def _statement(
        self, plan: WritePlan, shape: BatchShape, fence_values: Sequence[object]
    ) -> list[Any]:
        """The one statement and the parameters."""
        arrays: list[Sequence[Any]] = list(self._item_keys(plan, shape))
        arrays += [array for writes in plan.writes for array in _arrays(writes)]
        if plan.dead_letters:
            arrays += self._letter_arrays(plan.dead_letters)
        text, kinds = self._statements.joined(shape)
        texts = join_texts(arrays, kinds)
        if texts is None:
            return [self._statements.text(shape), *fence_values, *arrays]
        return [text, *fence_values, *texts]

    async def write_guarded(
        self,
        plan: WritePlan,
        fence_values: Sequence[object],
        *,
        supersede: bool,
        versioning: Versioning,
    ) -> Applied | None:
        """Commit a plan's versions and the changes that are newer, or nothing; otherwise as
        `write`.

        Two statements: the versions may have waited for another writer of the keys, and only a
        statement that begins afterwards sees the rows and dead letters of that writer.
        """

        async def statements(connection: Session) -> Applied | None:
            async with self._database.transaction_on(connection):
                return await self.write_guarded_within(
                    connection, plan, fence_values, supersede=supersede, versioning=versioning
                )

        return await self._waits.run(_who(fence_values), statements, self.mapped_columns)

    async def write_guarded_within(
        self,
        connection: Session,
        plan: WritePlan,
        fence_values: Sequence[object],
        *,
        supersede: bool,
        versioning: Versioning,
    ) -> Applied | None:
        """`write_guarded` within a transaction of the caller."""
        guarded = await connection.fetchrow(
            self._versions.text(version_shape(plan, versioning)),
            *fence_values,
            versioning.generation,
            versioning.snapshot_id,
            *version_arrays(plan),
        )
        if guarded is None or guarded["fenced"] != 1:
            return None
        rejections = rejections_in(plan, guarded)
        left = accepted(plan, rejections, other_orders_in(plan, guarded))
        left = letters_overtaken(left, overtaken_in(plan, guarded))
        row = await self._written(
            connection, *self._behind(left, fence_values, versioning, supersede=supersede)
        )
        rows = {} if row is None else _rows_written(left, row)
        return Applied(rows, rejections, undecided_in(guarded))

    def _behind(
        self,
        plan: WritePlan,
        fence_values: Sequence[object],
        versioning: Versioning,
        *,
        supersede: bool,
    ) -> list[Any]:
        """The second statement and the parameters."""
        shape = replace(
            _plan_shape(plan, supersede=supersede),
            guard=versioning.guard,
            kept=kept_places(plan) if plan.dead_letters else (),
            order=versioning.order,
        )
        scan = [versioning.snapshot_id] if versioning.guard in LOADS else []
        values: list[Any] = [*fence_values[: PASSED.parameters]]
        if shape.supersede:
            values += [*scan, *self._item_keys(plan, shape)]
        values += [array for writes in plan.writes for array in _arrays(writes)]
        if shape.dead_letters:
            values += scan or [versioning.generation, *kept_arrays(plan)]
            values += self._letter_arrays(plan.dead_letters)
        return [self._behind_versions.text(shape), *values]

    def _item_keys(self, plan: WritePlan, shape: BatchShape) -> list[list[str]]:
        if not shape.supersede:
            return []
        key = self._mapping.source_key
        keys = [item_key_json(keys, key) for keys in plan.item_keys]
        if shape.guard is None:
            return [keys]
        if shape.guard in LOADS:
            rejected = {item_key_json(each.record.keys, key) for each in plan.dead_letters}
            return [keys, ["true" if each in rejected else "false" for each in keys]]
        return [keys, [str(version) for version in plan.item_versions]]

    def _unfenced(self, number: int, part: TargetWrites) -> tuple[str, list[Any]]:
        """The statement of one target's part of a plan, without a fence, and the parameters."""
        targets = [_NOTHING] * len(self._mapping.targets)
        targets[number] = _shape(part)
        shape = BatchShape(tuple(targets), dead_letters=False, supersede=False)
        return self._statements.unfenced_text(shape), _arrays(part)

    def _letter_arrays(self, letters: Sequence[DeadLetter]) -> list[list[Any]]:
        key = self._mapping.source_key
        rows = [
            (
                letter.target,
                item_key_json(letter.record.keys, key),
                letter.record.event,
                str(letter.record.letter_id),
                letter.reason,
                letter.sqlstate,
                letter.record.created_at,
                _text(letter.record.new_image),
                _text(letter.record.old_image),
                "superseded" if letter.superseded else "open",
                "true" if letter.of_history else "false",
                "true" if letter.record.expired else "false",
                self._places.get(letter.target, -1),
            )
            for letter in letters
        ]
        return transposed(rows)


class PostgresSink:
    """Writes the plans of one table mapping for the shards that are claimed."""

    def __init__(self, database: Database, mapping: TableMapping) -> None:
        self._deployment = database.deployment
        self._writer = PlanWriter(database, mapping, SHARD_FENCE)

    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        """Commit all of a plan and the new position, or nothing; returns what was written.

        Where the claim says that the table is guarded, versions are written first. Fenced when
        another worker claimed the shard or the position is not where we believe it; BatchRejected,
        SchemaMismatch, SinkBusy, BatchTooSlow; SinkUnavailable when the outcome is not known,
        after which the shard must be claimed again.
        """
        values = self._fence_values(claim, advance)
        if claim.ordering.by_versions:
            versioning = stream_versioning(claim.stream_arn, claim.snapshot_id)
            applied = await self._writer.write_guarded(  # a scan may write letters meanwhile
                plan, values, supersede=True, versioning=versioning
            )
        else:
            applied = await self._writer.write(plan, values, supersede=claim.open_letters)
        if applied is None:
            message = f"shard {claim.shard_id} was claimed by another worker"
            raise Fenced(message)
        return applied

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = (), /) -> Refusals:
        """Targets and histories that refuse the rows of a plan of one record, with their
        reasons.
        """
        return await self._writer.refused_rows.refusals(plan, others)

    def _fence_values(self, claim: Claim, advance: Advance) -> list[Any]:
        return [
            self._deployment,
            claim.source,
            claim.stream_arn,
            claim.shard_id,
            claim.epoch,
            str(advance.position),
            str(advance.known),
            advance.created_at,
            advance.polled_at,
            None if advance.expected is None else str(advance.expected),
            claim.claim_id,
            advance.load,
        ]


class SegmentSink:
    """Writes pages of a scan or an export, and sweeps, for the segments that are claimed."""

    def __init__(self, database: Database, mapping: TableMapping) -> None:
        self._deployment = database.deployment
        self._writer = PlanWriter(database, mapping, SEGMENT_FENCE)

    async def apply(
        self, plan: WritePlan, *, claim: SegmentClaim, advance: SegmentAdvance
    ) -> Applied:
        """Commit what is still wanted of a plan and move the segment, or nothing.

        Fenced when another worker claimed the segment, or the snapshot is over.
        """
        loads: Guard = "heal" if claim.origin == "changes" else "scan"
        guard: Guard = loads if claim.target is None else "sweep"
        applied = await self._writer.write_guarded(
            plan,
            self._fence_values(claim, advance),
            supersede=claim.open_letters,
            versioning=Versioning(guard, SCAN, claim.snapshot_id),
        )
        if applied is None:
            message = f"{claim.name} was claimed by another worker, or its snapshot is over"
            raise Fenced(message)
        return applied

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = (), /) -> Refusals:
        """Targets that refuse the row of a plan of one item, with the reasons."""
        return await self._writer.refused_rows.refusals(plan, others)

    def _fence_values(self, claim: SegmentClaim, advance: SegmentAdvance) -> list[Any]:
        return [
            self._deployment,
            claim.source,
            claim.stream_arn,
            claim.name,
            claim.snapshot_id,
            claim.number,
            claim.epoch,
            claim.steps,
            advance.position,
            advance.items,
            advance.rows,
            advance.read_units,
            advance.ended,
            claim.claim_id,
        ]


def _plan_shape(plan: WritePlan, *, supersede: bool) -> BatchShape:
    return BatchShape(
        tuple(_shape(writes) for writes in plan.writes),
        dead_letters=bool(plan.dead_letters),
        supersede=supersede and bool(plan.item_keys),
    )


def _shape(writes: TargetWrites) -> TargetShape:
    return TargetShape(
        bool(writes.upserted.rows),
        bool(writes.deleted.rows),
        bool(writes.softly_deleted.rows),
        bool(writes.appends),
        children=bool(writes.target.children and (writes.upserted.rows or writes.deleted.rows)),
        orphans=_sweeps_orphans(writes),
    )


def _sweeps_orphans(writes: TargetWrites) -> bool:
    return bool(writes.sweep and writes.softly_deleted.rows and writes.target.children)


def _arrays(writes: TargetWrites) -> list[list[Any]]:
    upserts, deletes = transposed(writes.upserted.rows), transposed(writes.deleted.rows)
    softly, appends = transposed(writes.softly_deleted.rows), transposed(writes.appends)
    children = _child_arrays(writes) if writes.target.children else []
    return upserts + deletes + softly + children + appends


def _child_arrays(writes: TargetWrites) -> list[list[Any]]:
    """For each child table the keys of the parents that are written, and its rows."""
    if _sweeps_orphans(writes):
        keys = transposed(
            [row[: len(writes.target.table.key)] for row in writes.softly_deleted.rows]
        )
        return keys * len(writes.target.children)
    if not (writes.upserted.rows or writes.deleted.rows):
        return []
    width = len(writes.target.table.key)
    parents = transposed([*(row[:width] for row in writes.upserted.rows), *writes.deleted.rows])
    arrays: list[list[Any]] = []
    for place, child in enumerate(writes.target.children):
        rows = [row for children in writes.upserted.children for row in children[place]]
        arrays += parents
        arrays += transposed(rows) if rows else [[] for _ in child.table.columns]
    return arrays


def _text(image: memoryview | None) -> str | None:
    return None if image is None else bytes(image).decode()


def _who(fence_values: Sequence[object]) -> tuple[object, ...]:
    """The shard or segment, as every fence has it."""
    return tuple(fence_values[2:4])


def _rows_written(plan: WritePlan, row: asyncpg.Record) -> dict[tuple[str, Operation], int]:
    """Rows that were written: one that had the given values already was not."""
    rows: dict[tuple[str, Operation], int] = {}
    for number, writes in enumerate(plan.writes):
        name = writes.target.name
        rows[name, "upsert"] = row[f"upsert_{number}"] if writes.upserted.rows else 0
        rows[name, "delete"] = row[f"delete_{number}"] if writes.deleted.rows else 0
        rows[name, "delete"] += row[f"soft_delete_{number}"] if writes.softly_deleted.rows else 0
        if writes.upserted.rows or writes.deleted.rows:
            for place, child in enumerate(writes.target.children):
                name = child.table.qualified
                rows[name, "upsert"] = row[f"child_upsert_{number}_{place}"]
                rows[name, "delete"] = row[f"child_delete_{number}_{place}"]
        if writes.target.history is not None and writes.appends:
            rows[writes.target.history, "append"] = row[f"history_{number}"]
    return {written: count for written, count in rows.items() if count}
