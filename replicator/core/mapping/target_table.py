"""Names, columns and types of a target table, and the rules for identifiers. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from replicator.core.mapping.attribute_paths import parse_path
from replicator.core.values.column_types import ColumnType
from replicator.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the replicator writes. `filled`: with something in every row."""

    name: str
    type: ColumnType
    filled: bool = False


@dataclass(frozen=True, slots=True)
class TargetTable:
    """A target: `columns` are all that is written, the key's first, in the order of a row.

    `key` names the columns of the primary key. `soft` tells that `_deleted_at` is the last column.
    """

    schema: str
    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    soft: bool = False

    @property
    def place(self) -> tuple[str, str]:
        """Schema and name."""
        return self.schema, self.name

    @property
    def qualified(self) -> str:
        """The name as written, unquoted; also the label of metrics."""
        return f"{self.schema}.{self.name}"


BYTES_MAX = 63
COLUMNS_MAX = 500  # a wide row can outgrow PostgreSQL's page
DELETED_AT = "_deleted_at"
DOCUMENT = "data"
"""The jsonb column of document mode."""

_SYSTEM_COLUMNS = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}


def parse_table_name(text: str) -> tuple[str, str]:
    """Schema and table of `schema.table` or `table` (in public); parts may stand in quotes."""
    try:
        parts = parse_path(text)
    except ConfigurationError:
        parts = ()
    match parts:
        case (str(table),):
            schema = "public"
        case (str(schema), str(table)):
            pass
        case _:
            message = f"the target {text!r} is no table name"
            raise ConfigurationError(message, remedy='write schema.table, or "odd.name".table')
    check_identifier(schema, f"the schema of target {text!r}")
    check_identifier(table, f"target {text!r}")
    return schema, table


def check_identifier(name: str, what: str) -> None:
    """ConfigurationError for a name that PostgreSQL would cut, refuse, or cannot hold."""
    fault = None
    if not name:
        fault = "is empty"
    elif "\0" in name:
        fault = "holds a NUL character"
    else:
        try:
            if len(name.encode()) > BYTES_MAX:
                fault = f"is longer than {BYTES_MAX} bytes, PostgreSQL would cut it"
        except UnicodeEncodeError:
            fault = "is not Unicode text"
    if fault:
        raise ConfigurationError(f"{what} has a name that {fault}", remedy="give it another name")


def check_columns(names: Iterable[str], *, soft: bool) -> None:
    """ConfigurationError for column names that cannot stand side by side in one table.

    Names that differ only in case are refused too: without quotes such names are one column in SQL.
    """
    seen: dict[str, str] = {}
    for name in names:
        check_identifier(name, "a column")
        folded = name.lower()
        if name in _SYSTEM_COLUMNS:
            message = f"{name} is one of PostgreSQL's own columns"
            raise ConfigurationError(message, remedy="give the column another name and use `from`")
        if soft and folded == DELETED_AT:
            message = f"{DELETED_AT} belongs to the soft delete"
            raise ConfigurationError(message, remedy="give the column another name and use `from`")
        if folded in seen:
            message = f"the columns {seen[folded]!r} and {name!r} are one name"
            raise ConfigurationError(
                message, remedy="rename one: key, columns, rest and data share a table"
            )
        seen[folded] = name
    if len(seen) > COLUMNS_MAX:
        message = f"there are {len(seen)} columns, {COLUMNS_MAX} is the limit"
        raise ConfigurationError(
            message, remedy="let `rest` take the attributes that are seldom read"
        )
