"""SQL parts of a batch's statement for one target and the child tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from replicator.core.mapping.child_tables import ChildTable
from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.mapping.target_table import Column, TargetTable
from replicator.core.planning.history_rows import HISTORY_TRANSPORTS
from replicator.postgres.connection.connect import THEIR_PATH
from replicator.postgres.connection.sql_quoting import column_list, quote_identifier, quote_table
from replicator.postgres.write.statement_parameters import Parameters, rows_of

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
       and t._deleted_at is distinct from v._deleted_at::timestamptz
 returning 1)"""

UPSERT = """
{name} as (
    insert into {table} as t ({columns})
    select {values}
      from ({rows}) as v, ready
        on conflict ({key}) do {on_conflict}
 returning 1)"""

UPDATE_IF_CHANGED = """update set ({others}) = row({given})
     where pg_catalog.record_image_ne(row({held}), row({given}))"""
"""A row that holds the given very values is locked, and not written again. Byte by byte, as values
that are equal may read differently (1.0 and 1.00, texts of a collation or of citext, an interval),
and as not every type has an equality."""

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
    """Kinds of writes that a plan holds for one target."""

    upserts: bool
    deletes: bool
    soft_deletes: bool
    appends: bool
    children: bool = False
    orphans: bool = False

    @property
    def writes(self) -> bool:
        """True when there is something to write."""
        return self.upserts or self.deletes or self.soft_deletes or self.appends

    @property
    def steady(self) -> bool:
        """True when the best plan is the same at all times. How rows that go are best found in the
        table depends on the number of rows, given and there.
        """
        return not (self.deletes or self.soft_deletes or self.children or self.orphans)


def upsert_sql(name: str, table: TargetTable, arrays: Sequence[str]) -> str:
    """Rows of a table as they are now, given as arrays, a column each."""
    keys = set(table.key)
    names = [quote_identifier(column.name) for column in table.columns]
    others = [quote_identifier(column.name) for column in table.columns if column.name not in keys]
    on_conflict = "nothing"
    if others:
        on_conflict = UPDATE_IF_CHANGED.format(
            others=", ".join(others),
            given=", ".join(f"excluded.{other}" for other in others),
            held=", ".join(f"t.{other}" for other in others),
        )
    return UPSERT.format(
        name=name,
        table=quote_table(table.schema, table.name),
        columns=", ".join(names),
        values=", ".join(
            f"v.{quote_identifier(column.name)}::{column.type.sql}" for column in table.columns
        ),
        rows=rows_of(arrays, names),
        key=column_list(table.key),
        on_conflict=on_conflict,
    )


ANY_ROW = "select exists (select from {table})"

OWN_ROWS = """
-- some rows that the table holds, offered again: constraints judge them, and nothing is changed
with ready as materialized (select {their_path}),
offered as (
    insert into {table} ({columns})
    select {cells} from {table} as t, ready limit 5
        on conflict ({key}) do nothing)
select count(*) from ready
"""


def any_row_sql(table: TargetTable) -> str:
    """A query that tells whether a table holds a row."""
    return ANY_ROW.format(table=quote_table(table.schema, table.name))


def own_rows_sql(table: TargetTable) -> str:
    """A statement that fails where a table refuses rows that it holds."""
    return OWN_ROWS.format(
        table=quote_table(table.schema, table.name),
        columns=column_list(column.name for column in table.columns),
        cells=column_list((column.name for column in table.columns), of="t"),
        key=column_list(table.key),
        their_path=THEIR_PATH,
    )


class TargetSql:
    """The parts of a statement that write one target."""

    def __init__(self, target: TargetMapping) -> None:
        self._table: TargetTable = target.table
        self._transports = target.transports
        self._history = "" if target.history_table is None else quote_table(*target.history_table)

    def upsert(self, name: str, parameters: Parameters) -> str:
        """The part that writes the rows in their present state."""
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
            table=self._history,
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
        return column_list(self._table.key)

    @cached_property
    def _key_matches(self) -> str:
        types = {column.name: column.type.sql for column in self._table.columns}
        return " and ".join(
            f"t.{quote_identifier(key)} = v.{quote_identifier(key)}::{types[key]}"
            for key in self._table.key
        )


CHILD_DELETE = """
-- Of the parents that are written, the rows that do not come again below: no row is in both parts,
-- so that their order does not matter.
{name} as (
    delete from {table} as t
     using unnest({parents}) as v({parent_columns}), ready
     where {of_parent}
       and not exists (select from unnest({rows}) as n({columns}) where {comes_again})
 returning 1)"""

ORPHAN_DELETE = """
-- What is left of parents that have no row at all; a row that is softly deleted keeps its own.
{name} as (
    delete from {table} as t
     using unnest({parents}) as v({parent_columns}), ready
     where {of_parent}
       and not exists (select from {parent_table} as p where {is_parent})
 returning 1)"""


class ChildSql:
    """Replaces what a child table holds of the parents that a batch writes."""

    def __init__(self, child: ChildTable, parent: TargetTable) -> None:
        self._table = child.table
        self._parent = parent
        self._transports = child.transports
        self._key = self._table.columns[: len(self._table.key)]
        self._parent_key = self._key[:-1]

    def replace(self, gone: str, kept: str, parameters: Parameters) -> tuple[str, str]:
        """Two parts of the given names; the arrays are the parents' keys, then the rows."""
        parents = parameters.arrays(self._transports[: len(self._parent_key)])
        rows = parameters.each(self._transports)
        delete = CHILD_DELETE.format(
            name=gone,
            table=quote_table(self._table.schema, self._table.name),
            parents=parents,
            parent_columns=_names(self._parent_key),
            of_parent=_same(self._parent_key, "v"),
            rows=", ".join(rows),
            columns=_names(self._table.columns),
            comes_again=_same(self._key, "n"),
        )
        return delete, upsert_sql(kept, self._table, rows)

    def orphans(self, name: str, parameters: Parameters) -> str:
        """A part of the name; the arrays are the parents' keys."""
        return ORPHAN_DELETE.format(
            name=name,
            table=quote_table(self._table.schema, self._table.name),
            parents=parameters.arrays(self._transports[: len(self._parent_key)]),
            parent_columns=_names(self._parent_key),
            of_parent=_same(self._parent_key, "v"),
            parent_table=quote_table(self._parent.schema, self._parent.name),
            is_parent=" and ".join(
                f"p.{name} = t.{name}"
                for name in (quote_identifier(column.name) for column in self._parent_key)
            ),
        )


def _names(columns: tuple[Column, ...]) -> str:
    return column_list(column.name for column in columns)


def _same(columns: tuple[Column, ...], alias: str) -> str:
    return " and ".join(
        f"t.{quote_identifier(column.name)} = "
        f"{alias}.{quote_identifier(column.name)}::{column.type.sql}"
        for column in columns
    )
