"""Tells which existing column types hold every value of a declared type unchanged."""

from replicator.core.check_findings import Finding
from replicator.core.mapping.target_table import Column, TargetTable
from replicator.core.values.column_types import ENUM, ColumnType, parse_type
from replicator.errors import ConfigurationError
from replicator.postgres.connection.sql_quoting import quote_identifier, quote_table
from replicator.postgres.schema.catalog import ExistingColumn


def accepts(existing: str, declared: ColumnType, *, enum: bool = False) -> bool:
    """True when every value of the declared type is unchanged in a column of the existing type.

    `enum` tells that the existing type is an enum type; PostgreSQL refuses texts that are no label.
    """
    try:
        found = parse_type(existing)
    except ConfigurationError:
        return False
    if enum != (declared.row is ENUM) or found.schema != declared.schema:
        return False
    return found.array == declared.array and _holds(found, declared)


def _holds(outer: ColumnType, inner: ColumnType) -> bool:
    if outer.name == inner.name:
        bounds = inner.row.bounds
        return bounds is None or bounds.cover(outer.arguments, inner.arguments)
    if outer.name not in inner.row.wider:
        return False
    bounds = outer.row.bounds
    if bounds is None or not outer.arguments:
        return True
    digits = inner.row.digits
    return bounds.cover(outer.arguments, inner.arguments if digits is None else (digits, 0))


def of_another_type(table: TargetTable, column: Column, found: ExistingColumn) -> Finding:
    """A column of a type that does not hold every value of the declared one."""
    return Finding(
        "error",
        table.qualified,
        f"the column {column.name!r} has the type {found.type}, which does not hold every "
        f"{column.type.label} unchanged",
        f"{altered(table, column)} type {column.type.sql}, or declare the type {_declared(found)}",
    )


def _declared(found: ExistingColumn) -> str:
    """The type to write for a column that is there."""
    try:
        return parse_type(found.base).label
    except ConfigurationError:
        return f"{found.type} if it is one that can be declared"


def altered(table: TargetTable, column: Column) -> str:
    """The beginning of a statement that fixes a column."""
    return (
        f"alter table {quote_table(table.schema, table.name)} "
        f"alter column {quote_identifier(column.name)}"
    )
