"""The key of a target: an injective function of the item's key, or refused. Pure."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from replicator.core.mapping.split_strings import Part, Pattern, require_part
from replicator.core.stream_record import AttributeValue
from replicator.core.table_spec import KeyColumnSpec, KeyType, SourceKey, TargetSpec
from replicator.core.values.canonical_numbers import canonical_number
from replicator.core.values.cells import Cell, Unfit
from replicator.core.values.column_types import BYTEA, NUMERIC, TEXT, ColumnType, key_types
from replicator.core.values.converters import Converter, compile_converter, usual_value
from replicator.core.values.dynamodb_json import label
from replicator.core.values.row_builder import Step
from replicator.errors import ConfigurationError, ValueRejected

_DEFAULT_TYPES: dict[KeyType, ColumnType] = {"S": TEXT, "N": NUMERIC, "B": BYTEA}
_INJECTIVE_TYPES = {kind: key_types(kind) for kind in _DEFAULT_TYPES}
"""Types in which two different key values never become one, given exact conversion."""
_PART_TYPES = tuple(dict.fromkeys([*_INJECTIVE_TYPES["S"], *_INJECTIVE_TYPES["N"]]))


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column of the target's key, compiled."""

    name: str
    attribute: str
    kind: KeyType
    type: ColumnType
    cell: Converter
    """The cell of the attribute's value; ValueRejected for a missing or not convertible value."""
    part: Part | None = None

    @property
    def step(self) -> Step:
        """The step that makes the column's cell of a row."""
        usual = None if self.part else usual_value(self.type, column=self.name, key=True)
        return Step(self.attribute, self.cell, usual, of_key=True)

    def value_of(self, cell: Cell) -> AttributeValue:
        """The attribute's value that became the cell: the way back."""
        match cell:
            case bytes():
                return {"B": b64encode(cell).decode()}
            case str() if self.kind == "N":
                return {"N": canonical_number(cell)}
            case _:
                return {"S": cell}


def compile_key(
    spec: TargetSpec, source_key: SourceKey, parts: Mapping[str, Part]
) -> tuple[KeyColumn, ...]:
    """The key columns of a target; ConfigurationError where two items could share a row."""
    types = dict(source_key.attributes)
    columns = spec.key
    if columns is None:
        columns = tuple(KeyColumnSpec(name, name) for name in types)
    compiled = tuple(
        _compile(column, types)
        if column.part is None
        else _compile_part(column, require_part(parts, column.part, column.name), types)
        for column in columns
    )
    _require_whole(columns, parts)
    unused = types.keys() - {column.attribute for column in compiled}
    if unused:
        names = ", ".join(sorted(unused))
        raise ConfigurationError(
            f"the key leaves out {names}: items would share a row, "
            "and whichever shard came last would win",
            remedy=f"add a key column with `from: {min(unused)}`",
        )
    return compiled


def _require_whole(columns: tuple[KeyColumnSpec, ...], parts: Mapping[str, Part]) -> None:
    """An attribute is in the key whole, or with every part of its one pattern."""
    whole = {column.attribute for column in columns if column.part is None}
    taken = {column.part for column in columns}
    split = {parts[name].attribute for name in taken if name is not None}
    patterns: dict[str, Pattern] = {}
    for name, part in parts.items():
        if name not in taken and part.attribute not in split - whole:
            continue
        if patterns.setdefault(part.attribute, part.pattern) != part.pattern:
            raise ConfigurationError(
                f"two patterns of `split` cut {part.attribute!r}, which the key takes in parts",
                remedy="keep one of the patterns: the parts of a key attribute make it up again",
            )
    for name, part in parts.items():
        if part.attribute in split - whole and name not in taken:
            raise ConfigurationError(
                f"the key leaves out {name!r}, a part of {part.attribute}: items would share a "
                "row, and whichever shard came last would win",
                remedy=f"add a key column with `part: {name}`",
            )


def _compile_part(column: KeyColumnSpec, part: Part, types: dict[str, KeyType]) -> KeyColumn:
    if types.get(part.attribute) != "S" or len(part.path) > 1:
        raise ConfigurationError(
            f"key column {column.name!r} is a part of {part.attribute!r}, which is not a string of "
            "the item's key: it can change, and its row would be left behind",
            remedy="split a key attribute of type S; other parts belong into `columns`",
        )
    column_type = column.type or TEXT
    if column_type.array or column_type.name not in _PART_TYPES:
        raise ConfigurationError(
            f"key column {column.name!r} has the type {column_type.label}: "
            f"two values of the part {part.name!r} could become one",
            remedy=f"use one of {', '.join(_PART_TYPES)}",
        )
    convert = compile_converter(column_type, attribute=part.attribute, column=column.name, key=True)
    extract = part.extract(column.name)
    numeric = column_type.name not in _INJECTIVE_TYPES["S"]

    def cell(value: AttributeValue | None) -> Cell:
        cut = extract(value)
        if cut is not None and numeric:
            cut = {"N": _canonical(cut["S"], part.attribute, column.name)}
        converted = convert(cut)
        if converted is None:
            reason = "is missing from the key"
            raise ValueRejected(reason, attribute=label(part.attribute), column=column.name)
        return converted

    return KeyColumn(column.name, part.attribute, "S", column_type, cell, part)


def _canonical(text: str, attribute: str, column: str) -> str:
    """The part as a number, if written in the number's only form."""
    try:
        if canonical_number(text) == text:
            return text
        reason = "has a part that could be written shorter; as a key two items could be one row"
    except Unfit:
        reason = "has a part that is not a number"
    raise ValueRejected(reason, attribute=label(attribute), column=column)


def _compile(column: KeyColumnSpec, types: dict[str, KeyType]) -> KeyColumn:
    kind = types.get(column.attribute)
    if kind is None:
        raise ConfigurationError(
            f"key column {column.name!r} comes from {column.attribute!r}, which is not part of "
            "the item's key: it can change, and its row would be left behind",
            remedy=f"take it from {' or '.join(types)}; other attributes belong into `columns`",
        )
    column_type = column.type or _DEFAULT_TYPES[kind]
    if column_type.array or column_type.name not in _INJECTIVE_TYPES[kind]:
        raise ConfigurationError(
            f"key column {column.name!r} has the type {column_type.label}: "
            f"two values of the {kind} attribute {column.attribute!r} could become one",
            remedy=f"use one of {', '.join(_INJECTIVE_TYPES[kind])}",
        )
    convert = compile_converter(
        column_type, attribute=column.attribute, column=column.name, key=True
    )

    def cell(value: AttributeValue | None) -> Cell:
        converted = convert(value)
        if converted is None:
            reason = "is missing from the key"
            raise ValueRejected(reason, attribute=label(column.attribute), column=column.name)
        return converted

    return KeyColumn(column.name, column.attribute, kind, column_type, cell)
