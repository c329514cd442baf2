"""The parts of a batch's statement that write one target."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from replicator.core.history import HISTORY_TRANSPORTS
from replicator.core.identifiers import parse_table_name
from replicator.core.mapping import TargetMapping
from replicator.core.target_table import TargetTable
from replicator.postgres.parameters import Parameters, rows_of
from replicator.postgres.quoting import quote_identifier, quote_table

DELETE = """
{name} as (
    delete from {table} as t
     using unnest({arrays}) as v({columns}), ready
     where {key_matches}
 returning 1)"""

SOFT_DELETE = """
{name} as (
    update {table} as t
       set _deleted_at = v._deleted_at::timestamptz
      from unnest({arrays}) as v({columns}), ready
     where {key_matches}
 returning 1)"""

UPSERT = """
{name} as (
    insert into {table} as t ({columns})
    select {values}
      from ({rows}) as v, ready
        on conflict ({key}) do {on_conflict})"""

HISTORY = """
-- Each change once: a repeated one meets the unique index.
{name} as (
    insert into {table}
           (stream_arn, sequence_number, operation, created_at, keys, new_image, old_image)
    select {stream_arn}, v.sequence_number::numeric, v.operation, v.created_at::timestamptz,
           v.keys::jsonb, v.new_image::jsonb, v.old_image::jsonb
      from ({rows}) as v, ready
        on conflict do nothing
 returning 1)"""
HISTORY_GIVEN = ("sequence_number", "operation", "created_at", "keys", "new_image", "old_image")


@dataclass(frozen=True, slots=True)
class TargetShape:
    """Which kinds of writes a plan holds for one target."""

    upserts: bool
    deletes: bool
    soft_deletes: bool
    appends: bool
    children: bool = False
    orphans: bool = False


def upsert_sql(name: str, table: TargetTable, arrays: Sequence[str]) -> str:
    """Rows of a table as they are now, given as arrays, a column each."""
    keys = set(table.key)
    names = [quote_identifier(column.name) for column in table.columns]
    others = [quote_identifier(column.name) for column in table.columns if column.name not in keys]
    on_conflict = "nothing"
    if others:
        values = ", ".join(f"excluded.{other}" for other in others)
        on_conflict = f"update set ({', '.join(others)}) = row({values})"
    return UPSERT.format(
        name=name,
        table=quote_table(table.schema, table.name),
        columns=", ".join(names),
        values=", ".join(
            f"v.{quote_identifier(column.name)}::{column.type.sql}" for column in table.columns
        ),
        rows=rows_of(arrays, names),
        key=", ".join(quote_identifier(key) for key in table.key),
        on_conflict=on_conflict,
    )


class TargetSql:
    """The parts of a statement that write one target."""

    def __init__(self, target: TargetMapping) -> None:
        self._table: TargetTable = target.table
        self._transports = target.transports
        self._history = target.spec.history

    def upsert(self, name: str, parameters: Parameters) -> str:
        """Rows as they are now."""
        return upsert_sql(name, self._table, parameters.each(self._transports))

    def delete(self, name: str, parameters: Parameters) -> str:
        """Keys of rows that go."""
        return DELETE.format(
            name=name,
            table=self._quoted,
            arrays=parameters.arrays(self._key_transports),
            columns=self._key_columns,
            key_matches=self._key_matches,
        )

    def soft_delete(self, name: str, parameters: Parameters) -> str:
        """Keys of rows that get a time of deletion, with the time."""
        return SOFT_DELETE.format(
            name=name,
            table=self._quoted,
            arrays=parameters.arrays((*self._key_transports, "text")),
            columns=f"{self._key_columns}, _deleted_at",
            key_matches=self._key_matches,
        )

    def append(self, name: str, parameters: Parameters, *, stream_arn: str) -> str:
        """Changes for the target's history."""
        return HISTORY.format(
            name=name,
            table=quote_table(*parse_table_name(self._history or "")),
            stream_arn=stream_arn,
            rows=rows_of(parameters.each(HISTORY_TRANSPORTS), HISTORY_GIVEN),
        )

    @cached_property
    def _quoted(self) -> str:
        return quote_table(self._table.schema, self._table.name)

    @cached_property
    def _key_transports(self) -> tuple[str, ...]:
        return self._transports[: len(self._table.key)]

    @cached_property
    def _key_columns(self) -> str:
        return ", ".join(quote_identifier(key) for key in self._table.key)

    @cached_property
    def _key_matches(self) -> str:
        types = {column.name: column.type.sql for column in self._table.columns}
        return " and ".join(
            f"t.{quote_identifier(key)} = v.{quote_identifier(key)}::{types[key]}"
            for key in self._table.key
        )
