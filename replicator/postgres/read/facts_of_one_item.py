"""Facts of one item in the database: the row, the version, the dead letters."""

import json
from decimal import Decimal
from typing import Any

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.mapping.target_table import Column
from replicator.core.values.row_builder import Row
from replicator.core.verify.item_explanation import KnownVersion, OpenLetter
from replicator.postgres.connection.database import Database
from replicator.postgres.connection.sql_quoting import column_list, quote_identifier, quote_table
from replicator.postgres.write.row_guard_sql import version_key

ROW = """
-- the whole row, also where a column is called as its table is here
select to_jsonb(t.*)::text as row
  from (select {columns} from {table} as t where {key_matches}) as t
"""

VERSION = """
select r.generation, r.sequence_number::text as sequence_number, r.deleted
  from (select {cells}) as v
  join {target_claim} as c on (c.target_schema, c.target_table) = ({schema}, {name})
  join {row_version} as r on (r.target_id, r.key) = (c.id, {version_key})
"""

LETTERS = """
select id, target, sequence_number::text as sequence_number, reason
  from {schema}.dead_letter
 where deployment = $1 and source = $2 and state = 'open'
   and md5(item_key) = md5($3) and item_key = $3
 order by id
"""


async def row_of(database: Database, target: TargetMapping, key: Row) -> dict[str, Any] | None:
    """The mapped columns of the row as JSON, bytea in hexadecimal; None without a row."""
    columns = target.table.columns
    text = ROW.format(
        columns=column_list((column.name for column in columns), of="t"),
        table=quote_table(target.table.schema, target.table.name),
        key_matches=" and ".join(
            f"t.{quote_identifier(column.name)} = {_parameter(number, column)}"
            for number, column in enumerate(columns[: len(key)], 1)
        ),
    )
    async with database.transaction("reading a row") as connection:
        found: str | None = await connection.fetchval(text, *key)
    return None if found is None else json.loads(found, parse_float=Decimal)


async def version_of(database: Database, target: TargetMapping, key: Row) -> KnownVersion | None:
    """Version that the row guard holds of the key."""
    table = target.table
    cells = ", ".join(
        f"{_parameter(number, column)} as {quote_identifier(column.name)}"
        for number, column in enumerate(table.columns[: len(key)], 1)
    )
    text = VERSION.format(
        cells=cells,
        target_claim=database.control.table("target_claim"),
        row_version=database.control.table("row_version"),
        schema=f"${len(key) + 1}",
        name=f"${len(key) + 2}",
        version_key=version_key(table, "v"),
    )
    async with database.transaction("reading a version") as connection:
        row = await connection.fetchrow(text, *key, table.schema, table.name)
    return None if row is None else KnownVersion(**dict(row))


async def open_letters(database: Database, source: str, item_key: str) -> list[OpenLetter]:
    """The open dead letters of an item, oldest first."""
    text = database.control.sql(LETTERS)
    async with database.transaction("reading dead letters") as connection:
        rows = await connection.fetch(text, database.deployment, source, item_key)
    return [OpenLetter(**dict(row)) for row in rows]


def _parameter(number: int, column: Column) -> str:
    return f"${number}::{column.type.transport}::{column.type.sql}"
