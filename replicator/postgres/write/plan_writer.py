"""Writes a plan behind a fence: one statement, one transaction, versions first if guarded."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import asyncpg

from replicator.core.mapping.compile import TableMapping, TargetMapping
from replicator.core.mapping.item_keys import item_key_json
from replicator.core.observations import Operation
from replicator.core.planning.batch_ledger import DeadLetter
from replicator.core.planning.guard_outcomes import (
    LOADS,
    Applied,
    Versioning,
    accepted,
    letters_overtaken,
)
from replicator.core.planning.write_plan import Refusals, TargetWrites, WritePlan
from replicator.errors import Disposition, SchemaMismatch
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.connection.failures import (
    CHECK_REMEDY,
    may_mean_every_row,
    refusal,
    translate,
)
from replicator.postgres.connection.lock_waits import LockWaits
from replicator.postgres.write.batch_statement import BatchShape, BatchStatements
from replicator.postgres.write.fence import PASSED, Fence
from replicator.postgres.write.guard_arrays import (
    kept_arrays,
    kept_places,
    other_orders_in,
    overtaken_in,
    rejections_in,
    transposed,
    undecided_in,
    version_arrays,
    version_shape,
)
from replicator.postgres.write.guard_statement import VersionStatements
from replicator.postgres.write.row_statements import TargetShape, any_row_sql, own_rows_sql
from replicator.postgres.write.statement_parameters import join_texts
from replicator.postgres.write.trigger_interference import interference_found

WITNESSES_MAX = 4
"""Other rows of a batch that are tried before a table is blamed."""
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

    async def write(
        self, plan: WritePlan, fence_values: Sequence[object], *, supersede: bool
    ) -> Applied | None:
        """Commit all of a plan in one statement, or nothing; None when the fence was shut.

        `supersede`: open dead letters of the plan's items are superseded. BatchRejected,
        SchemaMismatch, SinkBusy, BatchTooSlow; SinkUnavailable when the outcome is not known.
        """
        text, *values = self._statement(plan, fence_values, supersede=supersede)

        async def statement(connection: Session) -> asyncpg.Record | None:
            return await self._written(connection, text, *values)

        row = await self._waits.run(_who(fence_values), statement, self.mapped_columns)
        if row is None or row["fenced"] != 1:
            return None
        return Applied(_rows_written(plan, row))

    async def write_within(
        self, connection: Session, plan: WritePlan, fence_values: Sequence[object]
    ) -> None:
        """`write` within a transaction of the caller, who sees to fence and dead letters."""
        await self._written(connection, *self._statement(plan, fence_values, supersede=False))

    async def _written(
        self, connection: Session, text: str, *values: object
    ) -> asyncpg.Record | None:
        """The row of a batch's statement, which has written nothing where rows would be changed."""
        row = await connection.fetchrow(text, *values)
        if row is not None and row["interference"]:
            raise await interference_found(connection, self._mapping)
        return row

    def _statement(
        self, plan: WritePlan, fence_values: Sequence[object], *, supersede: bool
    ) -> list[Any]:
        """The one statement and the parameters."""
        shape = BatchShape(
            tuple(_shape(writes) for writes in plan.writes),
            dead_letters=bool(plan.dead_letters),
            supersede=supersede and bool(plan.item_keys),
        )
        arrays: list[Sequence[Any]] = list(self._item_keys(plan, shape))
        arrays += [array for writes in plan.writes for array in _arrays(writes)]
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
        """Commit a plan's versions and what of it was newer, or nothing; otherwise as `write`.

        Two statements: the versions may have waited for another writer of the keys, and only a
        statement that begins afterwards sees the rows and dead letters that it left.
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
        shape = BatchShape(
            tuple(_shape(writes) for writes in plan.writes),
            dead_letters=bool(plan.dead_letters),
            supersede=supersede and bool(plan.item_keys),
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

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = ()) -> Refusals:
        """Targets and histories that refuse the rows of a plan of one record, with the

        reasons. SchemaMismatch where the table may be to blame instead of the row: neither a row of
        `others`, the batch's, nor one that the target holds already can be written. Writes nothing.
        """
        found: dict[str, tuple[str, str | None]] = {}
        for number, writes in enumerate(plan.writes):
            for name, part in _parts(writes):
                refused = await self._try_part(number, part)
                if refused is not None:
                    if name == writes.target.name:
                        await self._require_blame(number, writes.target, refused, others)
                    found[name] = refused
        return found

    async def _try_part(self, number: int, part: TargetWrites) -> tuple[str, str | None] | None:
        targets = [_NOTHING] * len(self._mapping.targets)
        targets[number] = _shape(part)
        shape = BatchShape(tuple(targets), dead_letters=False, supersede=False)
        return await self._try(self._statements.unfenced_text(shape), _arrays(part))

    async def _require_blame(
        self,
        number: int,
        target: TargetMapping,
        refused: tuple[str, str | None],
        others: Iterable[WritePlan],
    ) -> None:
        """SchemaMismatch if the target refuses every row, as far as can be seen.

        An empty table without another row in the batch tells nothing: the SQLSTATE decides then,
        but a trigger's `raise exception` blames a row only where another one passes.
        """
        reason, sqlstate = refused
        held = None
        raised = may_mean_every_row(sqlstate)
        if not raised:
            held = await self._takes_its_own(target)
            if held:
                return
        for other in islice(others, WITNESSES_MAX):
            [part, *_] = [part for _, part in _parts(other.writes[number])]
            if part.upserts and await self._try_part(number, part) is None:
                return
        if held is None and not raised:
            return
        message = f"{target.name} refuses every row that was tried, not a single one: {reason}"
        raise SchemaMismatch(message, remedy=CHECK_REMEDY)

    async def _takes_its_own(self, target: TargetMapping) -> bool | None:
        """True if the target's tables take rows that they hold already; None if they are empty."""
        empty = True
        for table in target.row_tables:
            async with self._database.transaction("trying the target's own rows") as connection:
                there = await connection.fetchval(any_row_sql(table))
            if there:
                empty = False
                if await self._try(own_rows_sql(table), []) is not None:
                    return False
        return None if empty else True

    async def _try(self, text: str, values: list[Any]) -> tuple[str, str | None] | None:
        async with self._database.transaction(
            "trying a record", mapped_columns=self.mapped_columns
        ) as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await connection.fetchrow(text, *values)
                await connection.execute("set constraints all immediate")
            except asyncpg.PostgresError as error:
                failure = translate(error, mapped_columns=self.mapped_columns)
                if failure.disposition is not Disposition.REJECT:
                    raise
                return refusal(error), error.sqlstate
            finally:
                await transaction.rollback()
        return None

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


def _shape(writes: TargetWrites) -> TargetShape:
    return TargetShape(
        bool(writes.upserts),
        bool(writes.deletes),
        bool(writes.soft_deletes),
        bool(writes.appends),
        children=bool(writes.target.children and (writes.upserts or writes.deletes)),
        orphans=_sweeps_orphans(writes),
    )


def _sweeps_orphans(writes: TargetWrites) -> bool:
    return bool(writes.sweep and writes.soft_deletes and writes.target.children)


def _parts(writes: TargetWrites) -> Iterator[tuple[str, TargetWrites]]:
    """Parts of a plan that can be refused by themselves, with the names."""
    yield writes.target.name, replace(writes, appends=[])
    if writes.target.history is not None:
        yield writes.target.history, TargetWrites(writes.target, appends=writes.appends)


def _arrays(writes: TargetWrites) -> list[list[Any]]:
    upserts, deletes = transposed(writes.upserts), transposed(writes.deletes)
    softly, appends = transposed(writes.soft_deletes), transposed(writes.appends)
    return upserts + deletes + softly + _child_arrays(writes) + appends


def _child_arrays(writes: TargetWrites) -> list[list[Any]]:
    """For each child table the keys of the parents that are written, and its rows."""
    if _sweeps_orphans(writes):
        keys = transposed([row[: len(writes.target.table.key)] for row in writes.soft_deletes])
        return keys * len(writes.target.children)
    if not (writes.target.children and (writes.upserts or writes.deletes)):
        return []
    width = len(writes.target.table.key)
    parents = transposed([*(row[:width] for row in writes.upserts), *writes.deletes])
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
        rows[name, "upsert"] = row[f"upsert_{number}"] if writes.upserts else 0
        rows[name, "delete"] = row[f"delete_{number}"] if writes.deletes else 0
        rows[name, "delete"] += row[f"soft_delete_{number}"] if writes.soft_deletes else 0
        if writes.upserts or writes.deletes:
            for place, child in enumerate(writes.target.children):
                name = child.table.qualified
                rows[name, "upsert"] = row[f"child_upsert_{number}_{place}"]
                rows[name, "delete"] = row[f"child_delete_{number}_{place}"]
        if writes.target.history is not None and writes.appends:
            rows[writes.target.history, "append"] = row[f"history_{number}"]
    return {written: count for written, count in rows.items() if count}
