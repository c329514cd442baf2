"""What a target table looks like: its names, columns and types."""

from dataclasses import dataclass

from replicator.core.columns import ColumnType


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the replicator writes."""

    name: str
    type: ColumnType


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
    def qualified(self) -> str:
        """The name as a person writes it, unquoted; also the label of metrics."""
        return f"{self.schema}.{self.name}"
