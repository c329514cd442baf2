"""Applies a plan: fence, rows, dead letters and position in one statement, one transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import asyncpg

from replicator.core.attributes import item_key_json
from replicator.core.ledger import DeadLetter
from replicator.core.mapping import TableMapping
from replicator.core.observations import Operation
from replicator.core.plan import Refused, TargetWrites, WritePlan
from replicator.core.shards import Advance, Claim
from replicator.errors import Disposition, Fenced
from replicator.postgres.database import Database
from replicator.postgres.failures import refusal, translate
from replicator.postgres.statements import BatchShape, BatchStatements, TargetShape

_NOTHING = TargetShape(upserts=False, deletes=False, soft_deletes=False, appends=False)


class PostgresSink:
    """Writes the plans of one table mapping."""

    def __init__(self, database: Database, mapping: TableMapping) -> None:
        self._database = database
        self._mapping = mapping
        self._statements = BatchStatements(database.control_schema, mapping.targets)
        self._mapped_columns = frozenset(
            column.name for target in mapping.targets for column in target.table.columns
        )

    async def apply(
        self, plan: WritePlan, *, claim: Claim, advance: Advance
    ) -> dict[tuple[str, Operation], int]:
        """Commit all of a plan and the new position, or nothing; returns the rows written.

        Fenced when another worker claimed the shard or the position is not where we believe it;
        RowRejected, SchemaMismatch, SinkBusy, BatchTooSlow; SinkUnavailable when the outcome is
        not known, after which the shard must be claimed anew.
        """
        supersede = bool(plan.item_keys) and claim.open_letters
        shape = BatchShape(
            tuple(_shape(writes) for writes in plan.writes), bool(plan.dead_letters), supersede
        )
        values = self._fence_values(claim, advance)
        if supersede:
            key = self._mapping.source_key
            values.append([item_key_json(keys, key) for keys in plan.item_keys])
        for writes in plan.writes:
            values += _arrays(writes)
        values += self._letter_arrays(plan.dead_letters)
        async with self._database.connection(
            "applying a batch", mapped_columns=self._mapped_columns
        ) as connection:
            row = await self._database.fetch_one(connection, self._statements.text(shape), *values)
        if row["fenced"] != 1:
            message = f"shard {claim.shard_id} was claimed by another worker"
            raise Fenced(message)
        return _rows_written(plan, row)

    async def refusals(self, plan: WritePlan) -> Refused:
        """Which targets and histories refuse the rows of a plan of one record, and why.

        Writes nothing.
        """
        found: dict[str, tuple[str, str | None]] = {}
        for number, writes in enumerate(plan.writes):
            for name, part in _parts(writes):
                targets = [_NOTHING] * len(plan.writes)
                targets[number] = _shape(part)
                shape = BatchShape(tuple(targets), dead_letters=False, supersede=False)
                refused = await self._try(self._statements.unfenced_text(shape), _arrays(part))
                if refused is not None:
                    found[name] = refused
        return found

    async def _try(self, text: str, values: list[Any]) -> tuple[str, str | None] | None:
        async with self._database.connection(
            "trying a record", mapped_columns=self._mapped_columns
        ) as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await connection.fetchrow(text, *values)
                await connection.execute("set constraints all immediate")
            except asyncpg.PostgresError as error:
                failure = translate(error, mapped_columns=self._mapped_columns)
                if failure.disposition is not Disposition.REJECT:
                    raise
                return refusal(error), error.sqlstate
            finally:
                await transaction.rollback()
        return None

    def _fence_values(self, claim: Claim, advance: Advance) -> list[Any]:
        return [
            self._database.deployment,
            claim.source,
            claim.stream_arn,
            claim.shard_id,
            claim.epoch,
            str(advance.position),
            str(advance.known),
            advance.created_at,
            advance.polled_at,
            None if advance.expected is None else str(advance.expected),
        ]

    def _letter_arrays(self, letters: Sequence[DeadLetter]) -> list[list[Any]]:
        key = self._mapping.source_key
        rows = [
            (
                letter.target,
                item_key_json(letter.record.keys, key),
                letter.record.event,
                str(letter.record.sequence_number),
                letter.reason,
                letter.sqlstate,
                letter.record.created_at,
                _text(letter.record.new_image),
                _text(letter.record.old_image),
                "superseded" if letter.superseded else "open",
                "true" if letter.of_history else "false",
            )
            for letter in letters
        ]
        return _transposed(rows)


def _shape(writes: TargetWrites) -> TargetShape:
    return TargetShape(
        bool(writes.upserts),
        bool(writes.deletes),
        bool(writes.soft_deletes),
        bool(writes.appends),
    )


def _parts(writes: TargetWrites) -> Iterator[tuple[str, TargetWrites]]:
    """What can be refused by itself, with the name under which it is."""
    yield writes.target.name, replace(writes, appends=[])
    if writes.target.history is not None:
        yield writes.target.history, TargetWrites(writes.target, appends=writes.appends)


def _arrays(writes: TargetWrites) -> list[list[Any]]:
    upserts, deletes = _transposed(writes.upserts), _transposed(writes.deletes)
    return upserts + deletes + _transposed(writes.soft_deletes) + _transposed(writes.appends)


def _transposed(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _text(image: memoryview | None) -> str | None:
    return None if image is None else bytes(image).decode()


def _rows_written(plan: WritePlan, row: asyncpg.Record) -> dict[tuple[str, Operation], int]:
    rows: dict[tuple[str, Operation], int] = {}
    for number, writes in enumerate(plan.writes):
        deleted = row[f"deleted_{number}"] if writes.deletes else 0
        if writes.upserts:
            rows[writes.target.name, "upsert"] = len(writes.upserts)
        if deleted or writes.soft_deletes:
            rows[writes.target.name, "delete"] = deleted + len(writes.soft_deletes)
        if writes.target.history is not None and writes.appends:
            rows[writes.target.history, "append"] = row[f"appended_{number}"]
    return rows
