"""Tells which existing column types hold every value of a declared type unchanged."""

from collections.abc import Iterable

from replicator.core.findings import Finding
from replicator.core.mapping.compile import TableMapping
from replicator.core.mapping.target_table import Column, TargetTable
from replicator.core.values.column_types import ColumnType, parse_type
from replicator.errors import ConfigurationError
from replicator.postgres.connection.quoting import quote_identifier, quote_table
from replicator.postgres.schema.catalog import Catalog, ExistingColumn

_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_WIDER = {
    "smallint": ("smallint", "integer", "bigint"),
    "integer": ("integer", "bigint"),
    "bigint": ("bigint",),
}


def accepts(existing: str, declared: ColumnType) -> bool:
    """Whether every value of the declared type is unchanged in a column of the existing type."""
    try:
        found = parse_type(existing)
    except ConfigurationError:
        return False
    if found == declared:
        return True
    if found.array or declared.array:
        return False
    match declared.name:
        case "text":
            return found.name == "varchar" and not found.arguments
        case "varchar":
            return found.name == "text" or (
                found.name == "varchar"
                and (not found.arguments or (declared.arguments or (2**31,)) <= found.arguments)
            )
        case "numeric":
            return found.name == "numeric" and (
                not found.arguments
                or (bool(declared.arguments) and _holds(found.arguments, declared.arguments))
            )
        case "smallint" | "integer" | "bigint" as name:
            return found.name in _WIDER[name] or (
                found.name == "numeric"
                and (not found.arguments or _holds(found.arguments, (_DIGITS[name], 0)))
            )
        case _:
            return False


def _holds(outer: tuple[int, ...], inner: tuple[int, ...]) -> bool:
    """Whether numeric(outer) has the digits of numeric(inner), before and after the point."""
    return outer[1] >= inner[1] and outer[0] - outer[1] >= inner[0] - inner[1]


def inexact(mappings: Iterable[TableMapping], catalog: Catalog) -> dict[str, Finding]:
    """Tables, by source, that have a target which would change values; and how to mend it."""
    return {
        mapping.spec.name: of_another_type(table, column, found)
        for mapping in mappings
        for target in mapping.targets
        for table in target.row_tables
        if (existing := catalog.tables.get((table.schema, table.name))) is not None
        for column in table.columns
        if (found := existing.column(column.name)) is not None
        and not accepts(found.type, column.type)
    }


def of_another_type(table: TargetTable, column: Column, found: ExistingColumn) -> Finding:
    """A column of a type that does not hold every value of the declared one."""
    return Finding(
        "error",
        table.qualified,
        f"the column {column.name!r} has the type {found.type}, which does not hold every "
        f"{column.type.sql} unchanged",
        f"{altered(table, column)} type {column.type.sql}, or declare the type {found.type} if it "
        "is one that can be declared",
    )


def altered(table: TargetTable, column: Column) -> str:
    """The beginning of a statement that mends a column."""
    return (
        f"alter table {quote_table(table.schema, table.name)} "
        f"alter column {quote_identifier(column.name)}"
    )
