"""Compiled mappings of small tables."""

from typing import Any

from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.table_spec import (
    InitialLoad,
    KeyType,
    SourceKey,
    TableSpec,
    TargetSpec,
)
from tests.support.specs import column_spec, key_column_spec


def target(name: str = "public.orders", **facts: Any) -> TargetSpec:
    """A target with a text key, one numeric column and the rest, unless `facts` say otherwise."""
    columns = facts.pop("columns", {"total": "numeric(12,2)"})
    return TargetSpec(
        name,
        key=facts.pop("key", (key_column_spec("order_id", "pk"),)),
        columns=tuple(column_spec(column, column, kind) for column, kind in columns.items()),
        **{"rest": "extra", **facts},
    )


def mapping(
    *targets: TargetSpec,
    name: str = "orders",
    table: str | None = None,
    key: tuple[tuple[str, KeyType], ...] = (("pk", "S"),),
    initial_load: InitialLoad = "stream",
) -> TableMapping:
    """A table with these targets, or with one of `target()`."""
    spec = TableSpec(name, table or name, targets or (target(),), initial_load=initial_load)
    return compile_table(spec, SourceKey(key))
