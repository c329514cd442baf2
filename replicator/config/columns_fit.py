"""Columns, parts and child tables of a target that do not go together, each with its key."""

from collections.abc import Iterator, Mapping

from replicator.config.mistakes import Path
from replicator.core.child_tables import compile_child
from replicator.core.columns import TEXT
from replicator.core.mapped_columns import compile_column
from replicator.core.mapping_spec import ColumnSpec, TargetSpec
from replicator.core.parts import Part, compile_parts, require_part
from replicator.core.target_table import Column, TargetTable
from replicator.errors import ConfigurationError

Fault = tuple[Path, ConfigurationError]
_ANY_KEY = "the key of the source table"


def column_faults(path: Path, spec: TargetSpec) -> Iterator[Fault]:
    """What is wrong with the columns of a target, as far as it can be told without its source."""
    try:
        parts = compile_parts(spec.split)
    except ConfigurationError as error:
        yield (*path, "split"), error
        return
    for key in spec.key or ():
        if key.part is not None:
            try:
                require_part(parts, key.part, key.name)
            except ConfigurationError as error:
                yield (*path, "key", key.name), error
    yield from _columns((*path, "columns"), spec.columns or (), parts)
    yield from _children(path, spec)


def _columns(
    path: Path, columns: tuple[ColumnSpec, ...], parts: Mapping[str, Part]
) -> Iterator[Fault]:
    for column in columns:
        try:
            compile_column(column, parts)
        except ConfigurationError as error:
            yield (*path, column.name), error


def _children(path: Path, spec: TargetSpec) -> Iterator[Fault]:
    names = tuple(column.name for column in spec.key or ()) or (_ANY_KEY,)
    parent = TargetTable("public", "parent", names, tuple(Column(name, TEXT) for name in names))
    for child in spec.children:
        place = (*path, "children", child.target)
        faults = list(_columns((*place, "columns"), child.columns, {}))
        if child.value is not None:
            faults += _columns((*place, "value"), (child.value,), {})
        yield from faults
        if not faults:
            try:
                compile_child(child, parent)
            except ConfigurationError as error:
                yield place, error
