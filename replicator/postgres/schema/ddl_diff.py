"""DDL for the difference between targets and catalog: missing schemas, tables and columns. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.mapping.target_table import Column, TargetTable
from replicator.core.values.column_types import JSONB, TEXT, TIMESTAMPTZ, ColumnType
from replicator.postgres.connection.sql_quoting import column_list, quote_identifier, quote_table
from replicator.postgres.schema.catalog import TABLE_KINDS, Catalog, ExistingTable

_NO_LOCK = "none: nobody can know the new table yet"
_BRIEF_LOCK = (
    "access exclusive on {table}, for a moment: the table is not rewritten; given up and tried "
    "again when it does not come at once"
)

FILLFACTOR = 85
"""Percent of a page that inserts fill: an update with room on the row's page touches no index."""
SEQUENCE_NUMBER = ColumnType("numeric", (40, 0))
HISTORY_COLUMNS = (
    Column("stream_arn", TEXT),
    Column("sequence_number", SEQUENCE_NUMBER),
    Column("operation", TEXT),
    Column("created_at", TIMESTAMPTZ),
    Column("keys", JSONB),
    Column("new_image", JSONB),
    Column("old_image", JSONB),
)
HISTORY_NOT_NULL = ("stream_arn", "sequence_number", "operation", "keys")
HISTORY_UNIQUE = "(sequence_number, md5(stream_arn || keys::text))"
"""Columns of the index that keeps each change single. Changes of a shard arrive in the order of the
numbers, so that entries are added side by side; md5, as a key may be longer than an entry."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement, without the semicolon, and what it asks of others. `table` is unquoted."""

    table: str
    sql: str
    locks: str

    @property
    def waited_for(self) -> bool:
        """True where the lock can make somebody wait: the table was there already."""
        return self.locks != _NO_LOCK


def statements(targets: Iterable[TargetMapping], catalog: Catalog) -> tuple[Statement, ...]:
    """Statements, in order, after which every target and history table exists."""
    found: list[Statement] = []
    schemas: list[str] = []
    for target in targets:
        for table in target.row_tables:
            found += changes(table, catalog.tables.get((table.schema, table.name)))
            schemas.append(table.schema)
        name = target.history_table
        if name is not None and name not in catalog.tables:
            found += create_history(name)
            schemas.append(name[0])
    missing = [schema for schema in dict.fromkeys(schemas) if schema not in catalog.schemas]
    return (*(create_schema(schema) for schema in missing), *found)


def create_schema(schema: str) -> Statement:
    """A schema that does not exist."""
    return Statement(
        f"schema {schema}", f"create schema if not exists {quote_identifier(schema)}", _NO_LOCK
    )


def create_table(table: TargetTable) -> str:
    """A target with exactly the columns; only the key's must not be null."""
    lines = [f"    {_definition(column, key=column.name in table.key)}" for column in table.columns]
    key = column_list(table.key)
    lines.append(f"    primary key ({key})")
    body = ",\n".join(lines)
    name = quote_table(table.schema, table.name)
    return f"create table {name} (\n{body}\n) with (fillfactor = {FILLFACTOR})"


def changes(table: TargetTable, existing: ExistingTable | None) -> tuple[Statement, ...]:
    """Statements for what an existing table, or none, lacks; other misfits stay as they are."""
    if existing is None:
        return (Statement(table.qualified, create_table(table), _NO_LOCK),)
    if existing.kind not in TABLE_KINDS:
        return ()
    missing = [
        column
        for column in table.columns
        if existing.column(column.name) is None and column.name not in table.key
    ]
    if not missing:
        return ()
    additions = ",\n".join(f"    add column {_definition(column, key=False)}" for column in missing)
    sql = f"alter table {quote_table(table.schema, table.name)}\n{additions}"
    return (Statement(table.qualified, sql, _BRIEF_LOCK.format(table=table.qualified)),)


def create_history(name: tuple[str, str]) -> tuple[Statement, ...]:
    """A table of every change, with the index that keeps each change single."""
    qualified = ".".join(name)
    columns = ",\n".join(
        f"    {quote_identifier(column.name)} {column.type.sql}"
        + (" not null" if column.name in HISTORY_NOT_NULL else "")
        for column in HISTORY_COLUMNS
    )
    table = quote_table(*name)
    unique = f"create unique index on {table}\n    {HISTORY_UNIQUE}"
    return (
        Statement(qualified, f"create table {table} (\n{columns}\n)", _NO_LOCK),
        Statement(qualified, unique, _NO_LOCK),
    )


def _definition(column: Column, *, key: bool) -> str:
    text = f"{quote_identifier(column.name)} {column.type.sql}"
    if key and column.type.row.collated:
        # by code point: no two keys are ever equal, and no upgrade of the system reorders them
        text += ' collate "C"'
    return text + (" not null" if key else "")
