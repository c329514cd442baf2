"""The key of a target: an injective function of the item's key, or refused. Pure."""

from base64 import b64encode
from dataclasses import dataclass

from replicator.core.attributes import label
from replicator.core.columns import ColumnType, parse_type
from replicator.core.conversion import Cell, Converter, compile_converter
from replicator.core.decimals import canonical_number
from replicator.core.mapping_spec import KeyColumnSpec, KeyType, SourceKey, TargetSpec
from replicator.core.records import AttributeValue
from replicator.errors import ConfigurationError, Rejected

_DEFAULT_TYPES: dict[KeyType, str] = {"S": "text", "N": "numeric", "B": "bytea"}
_INJECTIVE_TYPES: dict[KeyType, tuple[str, ...]] = {
    "S": ("text", "varchar", "uuid", "date"),
    "N": ("numeric", "bigint", "integer", "smallint", "text", "varchar"),
    "B": ("bytea",),
}
"""Types in which two different key values never become one, given exact conversion."""


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column of the target's key, compiled."""

    name: str
    attribute: str
    kind: KeyType
    type: ColumnType
    cell: Converter
    """From the attribute's value; Rejected when it does not convert or is missing."""

    def value_of(self, cell: Cell) -> AttributeValue:
        """The attribute's value that became this cell: the way back."""
        match cell:
            case bytes():
                return {"B": b64encode(cell).decode()}
            case str() if self.kind == "N":
                return {"N": canonical_number(cell)}
            case _:
                return {"S": cell}


def compile_key(spec: TargetSpec, source_key: SourceKey) -> tuple[KeyColumn, ...]:
    """The key columns of a target; ConfigurationError where two items could share a row."""
    types = dict(source_key.attributes)
    columns = spec.key
    if columns is None:
        columns = tuple(KeyColumnSpec(name, name) for name in types)
    compiled = tuple(_compile(column, types) for column in columns)
    unused = types.keys() - {column.attribute for column in compiled}
    if unused:
        names = ", ".join(sorted(unused))
        raise ConfigurationError(
            f"the key leaves out {names}: items would share a row, "
            "and whichever shard came last would win",
            remedy=f"add a key column with `from: {min(unused)}`",
        )
    return compiled


def _compile(column: KeyColumnSpec, types: dict[str, KeyType]) -> KeyColumn:
    kind = types.get(column.attribute)
    if kind is None:
        raise ConfigurationError(
            f"key column {column.name!r} comes from {column.attribute!r}, which is not part of "
            "the item's key: it can change, and its row would be left behind",
            remedy=f"take it from {' or '.join(types)}; other attributes belong into `columns`",
        )
    column_type = parse_type(column.type or _DEFAULT_TYPES[kind], column=column.name)
    if column_type.array or column_type.name not in _INJECTIVE_TYPES[kind]:
        raise ConfigurationError(
            f"key column {column.name!r} has the type {column_type.sql}: "
            f"two values of the {kind} attribute {column.attribute!r} could become one",
            remedy=f"use one of {', '.join(_INJECTIVE_TYPES[kind])}",
        )
    convert = compile_converter(
        column_type, attribute=label(column.attribute), column=column.name, key=True
    )

    def cell(value: AttributeValue | None) -> Cell:
        converted = convert(value)
        if converted is None:
            reason = "is missing from the key"
            raise Rejected(reason, attribute=label(column.attribute), column=column.name)
        return converted

    return KeyColumn(column.name, column.attribute, kind, column_type, cell)
