"""Rows of a target that no snapshot has seen: read in the order of the key, never written."""

import json
from base64 import b64decode
from typing import Any

from replicator.core.mapping.compile_mapping import TableMapping, TargetMapping
from replicator.core.mapping.target_table import Column
from replicator.core.snapshot.snapshot_state import StaleRowsPage
from replicator.core.values.cells import Cell, Unfit
from replicator.core.values.column_types import Reading
from replicator.core.values.row_builder import Row
from replicator.postgres.connection.database import Database
from replicator.postgres.connection.sql_quoting import quote_identifier, quote_table
from replicator.postgres.write.row_guard_sql import version_key

FIND_STALE = """
-- A row that is written meanwhile is seen as well, so that a stale row that is missed here is none.
with page as (
    select {keys}, {version_key} as version_key, {gone} as gone
      from {table} as t
     {behind}
     order by {order}
     limit $1)
select {cells},
       not p.gone and not exists (
           select from {row_version} as o
            where o.target_id = (select id from {target_claim}
                                  where (target_schema, target_table) = ($3, $4))
              and o.key = p.version_key
              and o.snapshot_id = $2) as stale
  from page as p
 order by {names}
"""

COLUMN_TYPES = """
select a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) as type
  from pg_catalog.pg_attribute as a
 where a.attrelid = (select c.oid
                       from pg_catalog.pg_class as c
                       join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
                      where (n.nspname, c.relname) = ($1, $2))
   and a.attnum > 0 and not a.attisdropped
"""
"""The types that the columns have, which may be wider than those of the mapping."""


class StaleRows:
    """Finds the stale rows in the targets of one mapping, page by page."""

    def __init__(self, database: Database, mapping: TableMapping) -> None:
        self._targets = {target.name: _Target(database, target) for target in mapping.targets}

    async def find(
        self, target: str, snapshot_id: int, after: str | None, *, rows_max: int
    ) -> StaleRowsPage:
        """The next rows behind a position, and the keys of those that the snapshot has not seen.

        A row that is deleted softly already is not stale, nor is a row with a key that the
        mapping's type does not hold: no item can have made such a row.
        """
        return await self._targets[target].find(snapshot_id, after, rows_max)


class _Target:
    def __init__(self, database: Database, target: TargetMapping) -> None:
        self._database = database
        self._table = target.table
        self._columns = target.table.columns[: len(target.table.key)]
        self._soft = target.table.soft

    async def find(self, snapshot_id: int, after: str | None, rows_max: int) -> StaleRowsPage:
        values: list[Any] = [rows_max, snapshot_id, self._table.schema, self._table.name]
        if after is not None:
            values += json.loads(after)
        async with self._database.transaction("finding stale rows") as connection:
            found = await connection.fetch(COLUMN_TYPES, self._table.schema, self._table.name)
            types = {row["attname"]: row["type"] for row in found}
            existing = [types[column.name] for column in self._columns]
            rows = await connection.fetch(self._text(existing, after is not None), *values)
        keys = [tuple(row.values())[:-1] for row in rows]
        stale = [key for key, row in zip(keys, rows, strict=True) if row["stale"]]
        cells = [self._cells(key, existing) for key in stale]
        stale_rows = [each for each in cells if each is not None]
        return StaleRowsPage(len(rows), stale_rows, json.dumps(keys[-1]) if keys else None)

    def _text(self, existing: list[str], behind: bool) -> str:
        names = [f"k{place}" for place in range(len(self._columns))]
        keys = [f"t.{quote_identifier(column.name)}" for column in self._columns]
        values = [
            _value(column, type_, 5 + place)
            for place, (column, type_) in enumerate(zip(self._columns, existing, strict=True))
        ]
        control = self._database.control
        return FIND_STALE.format(
            keys=", ".join(f"{key} as {name}" for key, name in zip(keys, names, strict=True)),
            version_key=version_key(self._table, "t"),
            gone="t._deleted_at is not null" if self._soft else "false",
            table=quote_table(self._table.schema, self._table.name),
            behind=f"where ({', '.join(keys)}) > ({', '.join(values)})" if behind else "",
            order=", ".join(keys),
            cells=", ".join(
                _cell(column, name) for column, name in zip(self._columns, names, strict=True)
            ),
            names=", ".join(f"p.{name}" for name in names),
            row_version=control.table("row_version"),
            target_claim=control.table("target_claim"),
        )

    def _cells(self, key: tuple[str, ...], existing: list[str]) -> Row | None:
        """A row's key in the mapping's form; None where the mapping's types do not hold the key."""
        try:
            return tuple(map(_declared, self._columns, existing, key))
        except Unfit:
            return None


def _declared(column: Column, existing: str, cell: str) -> Cell:
    """A key's cell as one of the declared type; Unfit where that would be another value."""
    declared = column.type
    if declared.transport == "bytea":
        return b64decode(cell)
    if existing == declared.sql or not (declared.row.number or declared.row.collated):
        return cell
    reading = Reading(declared.arguments, key=True)
    return declared.row.convert(reading)[declared.row.tag](cell)


def _cell(column: Column, name: str) -> str:
    """A key column as text that comes back as it was."""
    if column.type.transport == "bytea":
        return f"encode(p.{name}, 'base64') as c_{name}"
    return f"p.{name}::text as c_{name}"


def _value(column: Column, existing: str, number: int) -> str:
    """A position's cell in the column's own type, so that nothing is rounded or cut off."""
    if column.type.transport == "bytea":
        return f"decode(${number}::text, 'base64')"
    return f"${number}::text::{existing}"
