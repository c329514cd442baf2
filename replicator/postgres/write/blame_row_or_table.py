"""Tries rows that PostgreSQL refuses, to tell whether the row or the table is to blame.

Every trial is a transaction of its own that is rolled back.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import asyncpg

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.planning.write_plan import Refusals, TargetWrites, WritePlan
from replicator.errors import Disposition, SchemaMismatch
from replicator.postgres.connection.database import Database
from replicator.postgres.connection.error_redaction import refusal
from replicator.postgres.connection.error_translation import (
    CHECK_REMEDY,
    may_mean_every_row,
    translate,
)
from replicator.postgres.write.target_sql import any_row_sql, own_rows_sql

WITNESSES_MAX = 4
"""Other rows of a batch that are tried before a table is blamed."""
UnfencedStatement = Callable[[int, TargetWrites], tuple[str, list[Any]]]
"""From a target's place and its part of a plan to the statement that writes it, without a fence."""


class RefusedRows:
    """Tries rows for the targets of one table mapping."""

    def __init__(
        self,
        database: Database,
        statement: UnfencedStatement,
        mapped_columns: frozenset[str],
    ) -> None:
        self._database = database
        self._statement = statement
        self._mapped_columns = mapped_columns

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = ()) -> Refusals:
        """Targets and histories that refuse the rows of a plan of one record, with the reasons.

        SchemaMismatch where the table may be to blame instead of the row: neither a row of
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
        return await self._try(*self._statement(number, part))

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
            if part.upserted.rows and await self._try_part(number, part) is None:
                return
        if held is None and not raised:
            return
        message = f"{target.name} refuses every row that was tried, not a single one: {reason}"
        raise SchemaMismatch(message, remedy=CHECK_REMEDY)

    async def _takes_its_own(self, target: TargetMapping) -> bool | None:
        """True if the target's tables take rows that are there already; None if the tables are
        empty.
        """
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


def _parts(writes: TargetWrites) -> Iterator[tuple[str, TargetWrites]]:
    """Parts of a plan that can be refused by themselves, with the names."""
    yield writes.target.name, replace(writes, appends=[])
    if writes.target.history is not None:
        yield writes.target.history, TargetWrites(writes.target, appends=writes.appends)
