"""Counts rows that a target held before its first claim: `existing_rows` decides about them."""

from collections.abc import Iterable, Iterator, Mapping

import asyncpg

from replicator.core.check_findings import Finding
from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.postgres.connection.sql_quoting import quote_table
from replicator.postgres.schema.catalog import TABLE_KINDS, Catalog, TableName
from replicator.postgres.schema.registered_mappings import Registry

COUNTED_MAX = 100_000
"""Bound on the count of rows; more rows are not counted."""

MAY_BE_READ = """
select pg_catalog.has_schema_privilege(n.oid, 'USAGE')
       and pg_catalog.has_table_privilege(c.oid, 'SELECT')
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relname = $2
"""

COUNT = "select count(*) from (select from {table} limit {limit}) as t"


async def rows_held(
    connection: asyncpg.Connection, names: Iterable[TableName], catalog: Catalog
) -> dict[TableName, int]:
    """Number of rows of the given tables, COUNTED_MAX at most; of tables that exist and may be
    read."""
    held: dict[TableName, int] = {}
    for name in dict.fromkeys(names):
        existing = catalog.tables.get(name)
        if existing is None or existing.kind not in TABLE_KINDS:
            continue
        if await connection.fetchval(MAY_BE_READ, *name):
            sql = COUNT.format(table=quote_table(*name), limit=COUNTED_MAX)
            held[name] = await connection.fetchval(sql)
    return held


def existing_rows(
    target: TargetMapping, registry: Registry, held: Mapping[TableName, int]
) -> Iterator[Finding]:
    """Finding about rows from before: an error until `existing_rows` is decided."""
    for table in target.row_tables:
        name = (table.schema, table.name)
        claim = registry.claims.get(name)
        rows = held.get(name, 0) if claim is None else claim.rows_found
        if not rows:
            continue
        many = f"{rows} or more rows" if rows == COUNTED_MAX else f"{rows} row{'s' * (rows != 1)}"
        has = f"holds {many} already" if claim is None else f"held {many} when it was first claimed"
        match target.spec.existing_rows:
            case None:
                yield Finding(
                    "error",
                    table.qualified,
                    f"{has}, and nothing says what becomes of those that no item makes",
                    f"say `existing_rows: keep` or `existing_rows: delete` below {target.name}",
                )
            case "keep" if claim is None:
                yield Finding(
                    "warning",
                    table.qualified,
                    f"{has}: those that no item makes stay for ever",
                    "say `existing_rows: delete` if they belong to no one else",
                )
            case "delete" if claim is None:
                yield Finding(
                    "warning",
                    table.qualified,
                    f"{has}: the first snapshot deletes those that no item makes",
                    "say `existing_rows: keep` if somebody needs them",
                )
            case _:
                pass
