"""Items as people have them: DynamoDB JSON, a line each, in an array, or from the AWS CLI."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from replicator.core.columns import parse_type
from replicator.core.mapping_spec import KeyType, SourceKey, TableSpec
from replicator.errors import ConfigurationError

Item = dict[str, Any]

_KINDS: Mapping[str, KeyType] = {
    **dict.fromkeys(("numeric", "bigint", "integer", "smallint"), "N"),
    **dict.fromkeys(("uuid", "date"), "S"),
    "bytea": "B",
}
"""The key attribute's type that a column type leaves no doubt about."""
_KEY_TYPES: tuple[KeyType, ...] = ("S", "N", "B")
_KEYS_REMEDY = "write the table's key attributes with their types, such as --keys pk:S,sk:N"


def parse_items(text: str, partition_key: str) -> list[Item]:
    """The items of a text; what has no partition key of its own is looked into for `Items`, `Item`.

    ConfigurationError where it is no JSON, or JSON without types.
    """
    items = [item for value in _values(text) for item in _items_in(value, partition_key)]
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or not isinstance(item.get(partition_key, {}), dict):
            raise ConfigurationError(
                f"item {number} is not in DynamoDB's JSON with types",
                remedy=f'write it as `aws dynamodb scan` does: {{"{partition_key}": {{"S": "…"}}}}',
            )
    return items


def parse_keys(text: str) -> SourceKey:
    """The key attributes of `pk:S` or `pk:S,sk:N`, in this order; ConfigurationError."""
    attributes: list[tuple[str, KeyType]] = []
    for part in text.split(","):
        name, _, tag = part.strip().rpartition(":")
        kind = next((kind for kind in _KEY_TYPES if kind == tag.upper()), None)
        if not name or kind is None:
            raise ConfigurationError(f"--keys cannot be read at {part!r}", remedy=_KEYS_REMEDY)
        attributes.append((name, kind))
    if len(attributes) > 2 or len(dict(attributes)) < len(attributes):
        raise ConfigurationError("--keys names one or two attributes", remedy=_KEYS_REMEDY)
    return SourceKey(tuple(attributes))


def configured_key(spec: TableSpec) -> tuple[str, ...]:
    """The key attributes that the `key` of a target names; ConfigurationError when none does."""
    names = [column.attribute for target in spec.targets for column in target.key or ()]
    if not names:
        raise ConfigurationError(
            f"the configuration does not say what the key of table {spec.name} is",
            remedy=f"no target has `key`: {_KEYS_REMEDY}",
        )
    return tuple(dict.fromkeys(names))


def key_types(spec: TableSpec, names: Sequence[str], items: Sequence[Item]) -> SourceKey:
    """The key with its types: declared beyond doubt, else as the items have them, else S."""
    return SourceKey(tuple((name, _kind(spec, name, items)) for name in names))


def _kind(spec: TableSpec, name: str, items: Sequence[Item]) -> KeyType:
    for column in (column for target in spec.targets for column in target.key or ()):
        if column.attribute == name and column.type is not None:
            kind = _KINDS.get(parse_type(column.type).name)
            if kind is not None:
                return kind
    tags = (tag for item in items for tag in item.get(name, ()))
    return next((kind for tag in tags for kind in _KEY_TYPES if kind == tag), "S")


def _values(text: str) -> Iterator[Any]:
    """Every JSON value of the text, whatever white space is between them."""
    decoder = json.JSONDecoder()
    position = 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            return
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, position) + 1
            raise ConfigurationError(
                f"standard input is not JSON where a value begins in line {line}",
                remedy="give one item a line, an array, or what `aws dynamodb scan` prints",
            ) from error
        yield value


def _items_in(value: Any, partition_key: str) -> list[Any]:  # noqa: ANN401 (JSON is anything)
    match value:
        case list():
            return value
        case {"Items": list(items)}:
            return items
        case {"Item": dict(item)} if partition_key not in value:
            return [item]
        case _:
            return [value]
