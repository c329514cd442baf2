"""Checks across keys: tables, targets and columns that contradict each other."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from replicator.config.mistakes import KeyPath
from replicator.config.source_settings import SourceSettings
from replicator.config.table_settings import TABLE_ARN, TABLE_NAME, TableSettings, TargetSettings
from replicator.core.mapping.attribute_paths import parse_path
from replicator.core.mapping.child_tables import compile_child
from replicator.core.mapping.mapped_columns import compile_column
from replicator.core.mapping.routing import with_catch_all
from replicator.core.mapping.split_strings import Part, compile_parts, require_part
from replicator.core.mapping.target_table import (
    DOCUMENT,
    Column,
    TargetTable,
    check_columns,
    parse_table_name,
)
from replicator.core.table_spec import ColumnSpec, TargetSpec
from replicator.core.values.column_types import TEXT
from replicator.errors import ConfigurationError

ColumnFault = tuple[KeyPath, ConfigurationError]
_ANY_KEY = "the key of the source table"


def column_faults(path: KeyPath, spec: TargetSpec) -> Iterator[ColumnFault]:
    """Faults in the columns of a target, as far as the configuration alone shows them."""
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
    path: KeyPath, columns: tuple[ColumnSpec, ...], parts: Mapping[str, Part]
) -> Iterator[ColumnFault]:
    for column in columns:
        try:
            compile_column(column, parts)
        except ConfigurationError as error:
            yield (*path, column.name), error


def _children(path: KeyPath, spec: TargetSpec) -> Iterator[ColumnFault]:
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


Contradiction = tuple[KeyPath, str, str | None]
"""A key, the fault, and the remedy."""
_Tables = dict[str, TableSettings]
_Kind = TypeVar("_Kind", TableSettings, TargetSettings, SourceSettings)


def contradictions(values: dict[str, Any]) -> list[Contradiction]:
    """Contradictions among the tables that are sound by themselves, whatever the others are."""
    tables = values.get("tables")
    sound: _Tables = {}
    for name, raw in tables.items() if isinstance(tables, dict) else ():
        table = _sound(TableSettings, raw)
        if table is not None:
            sound[name] = table
    return contradictions_of(
        sound,
        _sound(TargetSettings, values.get("defaults")) or TargetSettings(),
        _sound(SourceSettings, values.get("source")) or SourceSettings(),
        values.get("hashing"),
        values.get("export"),
    )


def contradictions_of(
    tables: _Tables,
    defaults: TargetSettings,
    source: SourceSettings,
    hashing: object,
    export: object,
) -> list[Contradiction]:
    """Contradictions among tables that are sound; the last two are the document's own."""
    return [
        *_shared_targets(tables, defaults),
        *_shared_names(tables, defaults),
        *_tables(tables),
        *_read_twice(tables, source),
        *_unmatched(tables, defaults),
        *_personal(tables, hashing),
        *_hidden_expiries(tables),
        *_exports(tables, export),
        *_targets(tables, defaults),
    ]


def _sound(kind: type[_Kind], raw: object) -> _Kind | None:
    try:
        return kind.model_validate(raw)
    except ValidationError:
        return None


def _shared_targets(tables: _Tables, defaults: TargetSettings) -> Iterator[Contradiction]:
    """One target table has one source table, and one entry."""
    seen: dict[tuple[str, str], str] = {}
    for path, table in _written(tables, defaults):
        if table in seen:
            fault = f"writes {'.'.join(table)}, which tables.{seen[table]} writes already"
            remedy = "one target table has one source table and one entry: name another"
            yield path, fault, remedy
        seen.setdefault(table, str(path[1]))


def _shared_names(tables: _Tables, defaults: TargetSettings) -> Iterator[Contradiction]:
    """Target tables are told apart as `schema.table`: a dot in a name can make one of two."""
    seen: dict[str, tuple[tuple[str, str], str]] = {}
    for path, table in _written(tables, defaults):
        name = ".".join(table)
        other, entry = seen.setdefault(name, (table, str(path[1])))
        if other != table:
            fault = f"writes {_quoted(table)}, and tables.{entry} writes {_quoted(other)}: both "
            fault += f"are called {name}"
            yield path, fault, "rename the schema or the table that has a dot in its name"


def _written(
    tables: _Tables, defaults: TargetSettings
) -> Iterator[tuple[KeyPath, tuple[str, str]]]:
    """Schema and name of every table that is written, histories and child tables too."""
    for path, target, settings in _all_targets(tables, defaults):
        history = (settings.history,) if settings.history else ()
        for name in (target, *history, *settings.children):
            yield path, parse_table_name(name)


def _quoted(table: tuple[str, str]) -> str:
    return ".".join(f'"{part}"' for part in table)


def _tables(tables: _Tables) -> Iterator[Contradiction]:
    for name, table in tables.items():
        if table.table is None and not re.fullmatch(TABLE_NAME, name):
            fault = "cannot be the name of a DynamoDB table"
            yield ("tables", name), fault, "add `table:` with the name or ARN of the table"
        arn = re.fullmatch(TABLE_ARN, table.table or "")
        region = table.source.region
        if arn is not None and region is not None and region != arn["region"]:
            fault = f"is {region}, and the table's ARN says {arn['region']}"
            yield ("tables", name, "source", "region"), fault, "leave the region out"


def _read_twice(tables: _Tables, default: SourceSettings) -> Iterator[Contradiction]:
    """A table is read once, as far as the name tells; `migrate` and `run` compare the ARNs."""
    seen: dict[object, str] = {}
    for name, table in tables.items():
        called = table.table or name
        place = None if called.startswith("arn:") else table.source.below(default)
        key = (called, None if place is None else place.model_dump_json())
        if key in seen:
            fault = f"is the DynamoDB table {called!r}, which tables.{seen[key]} reads already"
            remedy = "write one entry with several targets below `into`, each with a `when`"
            yield ("tables", name), fault, remedy
        seen.setdefault(key, name)


def _personal(tables: _Tables, hashing: object) -> Iterator[Contradiction]:
    salted = isinstance(hashing, dict) and bool(hashing.get("salt_file"))
    for name, table in tables.items():
        if "hash" in table.personal.values() and not salted:
            fault = "hashes, and there is no secret to do it with"
            yield ("tables", name, "personal"), fault, "name a file in `hashing.salt_file`"


def _hidden_expiries(tables: _Tables) -> Iterator[Contradiction]:
    """Hidden attributes of the time to live: no deletion could be told for an expiry."""
    for name, table in tables.items():
        for text in table.personal:
            if parse_path(text) == (table.expire_attribute,):
                fault = "hides the `expire_attribute`: no deletion would count as an expiry"
                remedy = "leave the attribute out of `personal`, or drop `expire_attribute`"
                yield ("tables", name, "personal", text), fault, remedy


def _exports(tables: _Tables, export: object) -> Iterator[Contradiction]:
    has_bucket = isinstance(export, dict) and bool(export.get("bucket"))
    for name, table in tables.items():
        for key, value in (("initial_load", table.initial_load), ("on_gap", table.on_gap)):
            if value == "export" and not has_bucket:
                fault = "is `export`, and there is no bucket for exports"
                yield ("tables", name, key), fault, "name one in `export.bucket`"


def _unmatched(tables: _Tables, defaults: TargetSettings) -> Iterator[Contradiction]:
    for name, table in tables.items():
        try:
            with_catch_all(table.spec(name, defaults))
        except ConfigurationError as error:
            yield ("tables", name, "unmatched"), str(error), error.remedy


def _targets(tables: _Tables, defaults: TargetSettings) -> Iterator[Contradiction]:
    for path, target, settings in _all_targets(tables, defaults):
        own = tables[str(path[1])].into[target]
        if own.rest is not None and settings.columns is None:
            fault = "has no place: without `columns`, `data` takes all attributes"
            yield (*path, "rest"), fault, "drop `rest`, or add `columns: {}`"
        if settings.auto and tables[str(path[1])].poller == "lambda":
            fault = "cannot be `auto` with `poller: lambda`: a function keeps its mapping"
            yield (*path, "columns"), fault, "list the columns, or use document mode or `rest`"
        if settings.auto and settings.rest is None:
            fault = "needs `rest`, where values are until their column exists"
            yield (*path, "columns"), fault, "add `rest: extra`"
        spec = settings.spec(target)
        names = [column.name for column in spec.key or ()]
        names += [column.name for column in spec.columns or ()]
        rest = DOCUMENT if spec.columns is None else spec.rest
        if rest is not None:
            names.append(rest)
        try:
            check_columns(names, soft="soft" in (spec.on_delete, spec.on_expire))
        except ConfigurationError as error:
            yield path, f"cannot be a table: {error}", error.remedy
        for place, wrong in column_faults(path, spec):
            yield place, str(wrong), wrong.remedy


def _all_targets(
    tables: _Tables, defaults: TargetSettings
) -> Iterator[tuple[KeyPath, str, TargetSettings]]:
    """Every target with the path, the defaults taken in."""
    for name, table in tables.items():
        for target, settings in table.into.items():
            yield ("tables", name, "into", target), target, settings.below(defaults)
