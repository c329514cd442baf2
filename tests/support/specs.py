"""Columns and child tables as a configuration says them: paths and types as text."""

from typing import Any

from replicator.core.mapping.attribute_paths import parse_path
from replicator.core.table_spec import ChildSpec, ColumnSpec, KeyColumnSpec
from replicator.core.values.column_types import parse_type


def column_spec(name: str, path: str, type_: str, *more: Any, **options: Any) -> ColumnSpec:
    """A mapped column."""
    return ColumnSpec(name, parse_path(path), parse_type(type_), *more, **options)


def key_column_spec(
    name: str, attribute: str, type_: str | None = None, part: str | None = None
) -> KeyColumnSpec:
    """A key column."""
    return KeyColumnSpec(name, attribute, None if type_ is None else parse_type(type_), part)


def child_spec(target: str, path: str, *more: Any, **options: Any) -> ChildSpec:
    """A child table."""
    return ChildSpec(target, parse_path(path), *more, **options)
