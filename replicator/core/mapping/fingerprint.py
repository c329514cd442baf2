"""Fingerprints: digests that tell one mapping from another. Pure.

There are two. That of a target changes with what decides which rows there are and what they hold,
so that a change of it asks for a backfill. That of a table changes with everything that can change
what is written, histories and policies included: a worker that has another one is fenced off.

Every field of a specification is in them, also one that is added later: the fields are walked, and
left out are only those named here, each with its reason. What is not said (a default) is left out,
so that a new option changes no fingerprint of those who do not use it. Where the file itself
changes what a fingerprint is made of, `former_rows_digest` keeps the form before for one minor
version, so that no table is loaded again because of an upgrade.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from decimal import Decimal
from typing import Any

from replicator.core.mapping.attribute_paths import written
from replicator.core.mapping.key_columns import KeyColumn
from replicator.core.mapping.masking import salt_digest
from replicator.core.mapping.target_table import DOCUMENT, parse_table_name
from replicator.core.table_spec import ChildSpec, ColumnSpec, SourceKey, TableSpec, TargetSpec

_VERSION = 1  # raise it when the same configuration comes to mean other rows

POLICIES: Mapping[str, str] = {
    "history": "rows are the same with and without it; what happened before cannot be had again",
    "existing_rows": "it decides whether rows that no item makes are removed; no row is another",
    "on_error": "it decides whether a record that does not fit stops the table; no row is another",
}
"""Fields of a target that are in the fingerprint of the table only, and why."""

LEFT_OUT: Mapping[str, str] = {
    "name": "it is the name that a fingerprint is kept under",
    "table": "compared by itself: an entry that names another table is refused (registry)",
    "targets": "each by its own fingerprint and policies",
    "initial_load": "asked only while nothing was ever read",
    "on_gap": "decides who accepts a gap, not what is written",
    "max_dead_letters": "decides when a table stops, not what is written",
    "max_dead_letters_per_hour": "decides when a table stops, not what is written",
    "dead_letter_retention_days": "closed dead letters only",
    "poller": "compared by itself: it is the mode of the table, and a switch raises the epochs",
    "personal": "in the fingerprint of each target",
    "salt": "in the fingerprint of each target, as a digest",
}
"""Fields of a table that are not in the fingerprint directly, and the reasons."""


def rows_digest(
    spec: TargetSpec,
    place: tuple[str, str],
    source_key: SourceKey,
    key: Iterable[KeyColumn],
    table: TableSpec | None,
) -> str:
    """Digest of everything that decides which rows a target has and the contents.

    The order of columns is left out, and so is the way in which types, paths and names are spelled.
    `table`: the entry with the personal data that is hidden in every target.
    """
    remainder = DOCUMENT if spec.columns is None else spec.rest
    more = _said(spec, but={*_FACTS_OF_A_TARGET, *POLICIES})
    digest = _digest(
        [
            _VERSION,
            place,
            source_key.attributes,
            sorted(_key_facts(column) for column in key),
            _sorted(_column_facts(column) for column in spec.columns or ()),
            [remainder, spec.columns is None],
            _plain(spec.when),
            [spec.on_delete, spec.on_expire],
            *([more] if more else []),
        ]
    )
    return _with_hidden(digest, table)


def table_digest(table: TableSpec, targets: Mapping[str, tuple[str, TargetSpec]]) -> str:
    """Digest of all that can change what is written. `targets`: each `rows_digest` by name."""
    rows = sorted([name, digest] for name, (digest, _) in targets.items())
    policies = {
        name: said for name, (_, spec) in targets.items() if (said := _said(spec, only=POLICIES))
    }
    own = _said(table, but=LEFT_OUT)
    return _digest([rows, policies, own] if policies or own else rows)


_FACTS_OF_A_TARGET = ("target", "when", "key", "columns", "rest", "on_delete", "on_expire")
_UNORDERED = ("split", "children")
_FACTS_OF_A_COLUMN = ("name", "path", "type", "format", "on_invalid", "nul")


def _key_facts(column: KeyColumn) -> list[str]:
    part = [] if column.part is None else [column.part.name]
    return [column.name, column.attribute, column.type.sql, *part]


def _column_facts(spec: ColumnSpec) -> list[Any]:
    facts = [spec.name, spec.path, spec.type.sql, spec.format or "", spec.on_invalid, spec.nul]
    more = _said(spec, but=_FACTS_OF_A_COLUMN)
    return [*facts, more] if more else facts


def _child_facts(spec: ChildSpec) -> list[Any]:
    columns = _sorted(_column_facts(column) for column in spec.columns)
    value = None if spec.value is None else _column_facts(spec.value)
    more = _said(spec, but=("target", "path", "columns", "value"))
    return [parse_table_name(spec.target), spec.path, columns, value, more]


def _said(
    spec: TargetSpec | TableSpec | ColumnSpec | ChildSpec,
    *,
    but: Collection[str] = (),
    only: Collection[str] | None = None,
) -> dict[str, Any]:
    """The fields that say something else than the defaults."""
    said = {
        field.name: _plain(value)
        for field in fields(spec)
        if field.name not in but
        and (only is None or field.name in only)
        and (value := getattr(spec, field.name)) != _default(field)
    }
    return {name: _sorted(of) if name in _UNORDERED else of for name, of in said.items()}


def _default(field: Field[Any]) -> object:
    return field.default if field.default is not MISSING else field


def _plain(value: Any) -> Any:  # noqa: ANN401 (whatever a configuration holds)
    """As JSON that tells a number from the string of the same characters."""
    match value:
        case ChildSpec():
            return _child_facts(value)
        case Decimal():
            return {"decimal": str(value)}
        case Mapping():
            return {str(name): _plain(member) for name, member in value.items()}
        case list() | tuple():
            return [_plain(member) for member in value]
        case _:
            return value


def _sorted(facts: Iterable[Any]) -> list[Any]:
    return sorted(facts, key=_text)


def _with_hidden(digest: str, table: TableSpec | None) -> str:
    """The digest with the rules for personal data, which decide on rows as well."""
    if table is None or not table.personal:
        return digest
    return _digest([digest, [table.personal, salt_digest(table.salt)]])


def _text(facts: object) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str)


def _digest(facts: object) -> str:
    return hashlib.sha256(_text(facts).encode()).hexdigest()


def former_rows_digest(
    spec: TargetSpec,
    place: tuple[str, str],
    source_key: SourceKey,
    key: Iterable[KeyColumn],
    table: TableSpec | None,
) -> str:
    """`rows_digest` in the first form: rare options were included in another way."""
    digest = _digest(
        [
            1,
            place,
            source_key.attributes,
            sorted(_key_facts(column) for column in key),
            sorted(_former_column_facts(column) for column in spec.columns or ()),
            [DOCUMENT if spec.columns is None else spec.rest, spec.columns is None],
            spec.when,
            [spec.on_delete, spec.on_expire],
            *([["auto"]] if spec.auto else []),
            *([["split", sorted(spec.split)]] if spec.split else []),
            *([["nul", spec.nul]] if spec.nul != "reject" else []),
            *([["children", sorted(map(_former_child, spec.children))]] if spec.children else []),
        ]
    )
    return _with_hidden(digest, table)


def _former_column_facts(spec: ColumnSpec) -> list[Any]:
    more = {
        "constant": spec.constant,
        "default": spec.default,
        "transform": spec.transform or None,
        "part": spec.part,
    }
    said = {name: value for name, value in more.items() if value is not None}
    facts = [spec.name, spec.path, spec.type.sql, spec.format or "", spec.on_invalid, spec.nul]
    return [*facts, said] if said else facts


def _former_child(spec: ChildSpec) -> str:
    """A child table as an earlier version of the specification was printed."""
    columns = ", ".join(_former_column(column) for column in spec.columns)
    comma = "," if len(spec.columns) == 1 else ""
    value = None if spec.value is None else _former_column(spec.value)
    return (
        f"ChildSpec(target={spec.target!r}, path={written(spec.path)!r}, "
        f"columns=({columns}{comma}), position={spec.position!r}, map_key={spec.map_key!r}, "
        f"value={value}, rest={spec.rest!r})"
    )


def _former_column(spec: ColumnSpec) -> str:
    own = spec.path == (spec.name,)  # without `from` its name stood in quotes
    path = '"' + spec.name.replace('"', '""') + '"' if own else written(spec.path)
    return (
        f"ColumnSpec(name={spec.name!r}, path={path!r}, type={spec.type.sql!r}, "
        f"format={spec.format!r}, on_invalid={spec.on_invalid!r}, nul={spec.nul!r}, "
        f"constant={spec.constant!r}, default={spec.default!r}, transform={spec.transform!r}, "
        f"part={spec.part!r}, other_types={spec.other_types!r})"
    )
