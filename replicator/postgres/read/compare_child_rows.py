"""Compares rows of child tables with the expected ones, parent by parent, in PostgreSQL's types."""

from collections.abc import Mapping, Sequence
from typing import Any

from replicator.core.mapping.child_tables import ChildTable
from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.mapping.target_table import Column
from replicator.core.values.row_builder import Row
from replicator.postgres.connection.sql_quoting import quote_identifier, quote_table

COMPARE = """
with parent as (
    select number, {parent_cells}
      from unnest($1::int[], {parent_arrays}) as p(number, {key_names})),
wanted as (
    select number, {cells}
      from unnest(${wanted}::int[], {arrays}) as w(number, {names})),
present as (
    select p.number, {columns} from parent as p join {table} as t on {key_matches})
-- parents with a row too many, a row too few, or a row that is not as it must be
select distinct coalesce(a.number, w.number) as number
  from present as a
  full join wanted as w on (w.number, w.{place}) = (a.number, a.{place})
 where a.number is null or w.number is null{differing}
"""


ORPHANS = """
with page as materialized (
    select distinct {key} from {child} as t where {behind} order by {key} limit {limit}),
placed as (
    select {key_cells}, row_number() over (order by {key}) as number,
           not exists (select from {parent} as p where {same}) as wanted
      from page as t)
-- the keys of parents that have child rows and no row, and the last key
select *
  from placed
 where wanted or number = (select max(number) from placed)
 order by number
"""


def orphans_statement(target: TargetMapping, child: ChildTable, *, behind: bool, limit: int) -> str:
    """The statement for a page; the parameters are the cells of the key that it is behind."""
    key = target.table.columns[: len(target.table.key)]
    names = [quote_identifier(column.name) for column in key]
    in_child = ", ".join(f"t.{name}" for name in names)
    cells = ", ".join(
        f"${number}::{column.type.transport}::{column.type.sql}"
        for number, column in enumerate(key, 1)
    )
    return ORPHANS.format(
        key=in_child,
        child=quote_table(child.table.schema, child.table.name),
        behind=f"({in_child}) > ({cells})" if behind else "true",
        limit=limit,
        parent=quote_table(target.table.schema, target.table.name),
        same=" and ".join(f"p.{name} = t.{name}" for name in names),
        key_cells=", ".join(
            f"t.{name}::{column.type.transport} as key_{number}"
            for number, (name, column) in enumerate(zip(names, key, strict=True))
        ),
    )


def comparison_statement(child: ChildTable, key_width: int) -> str:
    """The statement; `child_values` are the parameters."""
    columns = child.table.columns
    key = columns[:key_width]
    transports = child.transports
    wanted = 2 + key_width
    return COMPARE.format(
        parent_cells=", ".join(_typed(number, column) for number, column in enumerate(key)),
        parent_arrays=", ".join(
            f"${n}::{kind}[]" for n, kind in enumerate(transports[:key_width], 2)
        ),
        key_names=", ".join(f"c{number}" for number in range(key_width)),
        cells=", ".join(_typed(number, column) for number, column in enumerate(columns)),
        wanted=wanted,
        arrays=", ".join(f"${n}::{kind}[]" for n, kind in enumerate(transports, wanted + 1)),
        names=", ".join(f"c{number}" for number in range(len(columns))),
        columns=", ".join(
            f"t.{quote_identifier(column.name)} as c{number}"
            for number, column in enumerate(columns)
        ),
        table=quote_table(child.table.schema, child.table.name),
        key_matches=" and ".join(
            f"t.{quote_identifier(column.name)} = p.c{number}" for number, column in enumerate(key)
        ),
        place=f"c{key_width}",
        differing="".join(
            f" or {column.type.compared(f'a.c{number}')} is distinct from "
            f"{column.type.compared(f'w.c{number}')}"
            for number, column in enumerate(columns)
            if number > key_width
        ),
    )


def child_values(
    child: ChildTable, key_width: int, families: Mapping[int, tuple[Row, Sequence[Row]]]
) -> list[list[Any]]:
    """For each number of a parent the key, and the rows that must be there."""
    numbers = list(families)
    keys = [list(cells) for cells in zip(*(key for key, _ in families.values()), strict=True)]
    rows = [(number, row) for number in numbers for row in families[number][1]]
    cells: list[list[Any]] = [
        list(column) for column in zip(*(row for _, row in rows), strict=True)
    ]
    return [
        numbers,
        *(keys or [[] for _ in range(key_width)]),
        [number for number, _ in rows],
        *(cells or [[] for _ in child.table.columns]),
    ]


def _typed(number: int, column: Column) -> str:
    return f"c{number}::{column.type.asked} as c{number}"
