"""Adds a column for each new attribute: the first worker to meet one adds it for all."""

from collections.abc import Callable, Sequence

import asyncpg

from replicator.core.mapping.auto_columns import AutoColumn, with_room
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.mapping.target_table import TargetTable
from replicator.postgres.connection.connect import VALUES_WITHIN
from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.connection.sql_quoting import quote_identifier, quote_table
from replicator.postgres.schema.migrate import LOCK_WAIT_MILLISECONDS, ONE_AT_A_TIME, looking
from replicator.postgres.schema.registered_mappings import register
from replicator.postgres.schema.type_fitness import accepts

KNOWN = """
select target, attribute, type from {schema}.auto_column where deployment = $1 and source = $2
 order by target, attribute
"""

ADD = """
insert into {schema}.auto_column (deployment, source, target, attribute, type)
values ($1, $2, $3, $4, $5)
    on conflict do nothing
"""

EXISTING = """
select a.attname, format_type(a.atttypid, a.atttypmod) as type
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
 where (n.nspname, c.relname) = ($1, $2) and a.attnum > 0 and not a.attisdropped
"""


async def known_columns(
    connection: asyncpg.Connection, schema: str, deployment: str, source: str
) -> list[AutoColumn]:
    """The columns that a table's targets have got; none where the control schema is older."""
    exists = await connection.fetchval(
        "select to_regclass($1) is not null", ControlSchema(schema).table("auto_column")
    )
    if not exists:
        return []
    rows = await connection.fetch(ControlSchema(schema).sql(KNOWN), deployment, source)
    return [AutoColumn(row["target"], row["attribute"], row["type"]) for row in rows]


async def add_columns(
    connection: asyncpg.Connection,
    schema: str,
    deployment: str,
    mapping: TableMapping,
    *,
    new: Sequence[AutoColumn],
    compiled: Callable[[Sequence[AutoColumn]], TableMapping],
) -> list[AutoColumn]:
    """Add columns and register the mapping that has them, or nothing; returns the added columns.

    One statement alters a target, however many columns are added. Columns that another worker has
    added meanwhile take names and places away: columns that are left without are not added. The
    lock on the target is short: SinkBusy when the lock does not come at once. Registering fences
    off every worker with the former mapping, which would write the value to the rest and leave the
    column as it is.
    """
    async with looking("adding columns"), connection.transaction(isolation="read_committed"):
        await connection.execute(
            f"{VALUES_WITHIN}; set local lock_timeout = {LOCK_WAIT_MILLISECONDS}"
        )
        await connection.execute(ONE_AT_A_TIME)
        source = mapping.spec.name
        known = await known_columns(connection, schema, deployment, source)
        added: list[AutoColumn] = []
        for target in compiled(known).targets:
            asked = [column for column in new if column.target == target.name]
            columns = await _fitting(connection, target.table, with_room(target, asked))
            if columns:
                await connection.execute(_alter(target.table, columns))
                added += columns
        await connection.executemany(
            ControlSchema(schema).sql(ADD),
            [(deployment, source, column.target, column.name, column.type) for column in added],
        )
        if added:
            whole = compiled([*known, *added])
            await register(connection, schema, deployment, [whole], held={}, backfill=False)
    return added


async def _fitting(
    connection: asyncpg.Connection, table: TargetTable, columns: Sequence[AutoColumn]
) -> list[AutoColumn]:
    """Columns whose name is free in the table, or has a column that holds the values."""
    rows = await connection.fetch(EXISTING, table.schema, table.name) if columns else []
    existing = {row["attname"]: row["type"] for row in rows}
    return [
        column
        for column in columns
        if column.name not in existing or accepts(existing[column.name], column.spec.type)
    ]


def _alter(table: TargetTable, columns: Sequence[AutoColumn]) -> str:
    additions = ", ".join(
        f"add column if not exists {quote_identifier(column.name)} {column.type}"
        for column in columns
    )
    return f"alter table {quote_table(table.schema, table.name)} {additions}"
