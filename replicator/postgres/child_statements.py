"""The parts of a batch's statement that replace the rows of child tables."""

from replicator.core.child_tables import ChildTable
from replicator.core.target_table import Column, TargetTable
from replicator.postgres.parameters import Parameters
from replicator.postgres.quoting import quote_identifier, quote_table
from replicator.postgres.target_statements import upsert_sql

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
        """Two parts of these names; their arrays are the parents' keys, then the rows."""
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
        """A part of this name; its arrays are the parents' keys."""
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
    return ", ".join(quote_identifier(column.name) for column in columns)


def _same(columns: tuple[Column, ...], alias: str) -> str:
    return " and ".join(
        f"t.{quote_identifier(column.name)} = "
        f"{alias}.{quote_identifier(column.name)}::{column.type.sql}"
        for column in columns
    )
