"""`replicator map`: items on stdin, the resulting rows on stdout; no connection is opened."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from replicator.cli.terminal.options import AsJson, ConfigFile, TableOption, load_settings, spec_of
from replicator.cli.terminal.output import ExitCode, encode, print_document, print_line, print_note
from replicator.cli.terminal.row_json import row_document
from replicator.core.mapping.compile_mapping import TableMapping, TargetMapping, compile_table
from replicator.core.planning.plan_batch import NO_TARGET, UNMATCHED
from replicator.core.stream_record import Image
from replicator.core.table_spec import KeyType, SourceKey, TableSpec
from replicator.core.values.dynamodb_json import decode_image
from replicator.errors import ConfigurationError, ValueRejected

Keys = Annotated[
    str | None,
    typer.Option(
        "--keys",
        metavar="NAME:TYPE,…",
        help="The table's key attributes with their types (S, N, B), where no target names them.",
    ),
]
MappedItem = dict[str, Any]


def map_items(
    *, table: TableOption, keys: Keys = None, as_json: AsJson = False, config: ConfigFile = None
) -> None:
    """Show the rows that items become, or why they are rejected; offline.

    Reads items as DynamoDB JSON from standard input: one a line, an array, or what the AWS CLI
    prints. Prints one JSON object a line: target and row, rejected, or filtered. Ends with 1 when
    something was rejected.

    Example: aws dynamodb scan --table-name orders | replicator map --table orders --keys pk:S
    """

    spec = spec_of(load_settings(config), table)
    mapping, items = _read(spec, keys)
    results = [_results(mapping, item) for item in items]
    if as_json:
        print_document({"table": spec.name, "items": [{"targets": found} for found in results]})
    else:
        for found in results:
            for result in found:
                print_line(encode(result))
    if any("rejected" in result for found in results for result in found):
        raise typer.Exit(ExitCode.FINDINGS)


def _read(spec: "TableSpec", keys: str | None) -> tuple["TableMapping", list["TypedItem"]]:

    given = parse_keys(keys) if keys is not None else None
    names = [name for name, _ in given.attributes] if given else configured_key(spec)
    if sys.stdin.isatty():
        print_note("reading items from the terminal; Ctrl-D ends")
    items = parse_items(sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape"), names[0])
    return compile_table(spec, given or key_types(spec, names, items)), items


def _results(mapping: "TableMapping", item: "TypedItem") -> list[MappedItem]:

    found = [{"target": target.name} | _result(mapping, target, item) for target in mapping.targets]
    if mapping.spec.unmatched == "dead_letter" and all("filtered" in result for result in found):
        found.append({"target": UNMATCHED, "rejected": NO_TARGET})
    return found


def _result(mapping: "TableMapping", target: "TargetMapping", item: "TypedItem") -> MappedItem:

    try:
        image = decode_image(encode(item).encode())
        if mapping.protection is not None:
            image = mapping.protection.image(image)
        keys = {name: image[name] for name, _ in mapping.source_key.attributes if name in image}
        if len(keys) == len(mapping.source_key.attributes) and not target.condition.matches(
            keys, image
        ):
            return {"filtered": True}
        return _row(target, keys, image)
    except ValueRejected as rejection:
        return {"rejected": str(rejection)}


def _row(target: "TargetMapping", keys: "Image", image: "Image") -> MappedItem:
    """The row and the rows of child tables; ValueRejected."""

    row = target.row_of(keys, image)
    found: MappedItem = {"row": row_document(target.table, row)}
    for child, rows in zip(target.children, target.children_of(row, image), strict=True):
        documents = [row_document(child.table, its_row) for its_row in rows]
        found.setdefault("children", {})[child.table.qualified] = documents
    return found


TypedItem = dict[str, Any]

_KEY_TYPES: tuple[KeyType, ...] = ("S", "N", "B")
_KEYS_REMEDY = "write the table's key attributes with their types, such as --keys pk:S,sk:N"


def parse_items(text: str, partition_key: str) -> list[TypedItem]:
    """The items of a text; what has no partition key of its own is searched for `Items`, `Item`.

    ConfigurationError for a text that is no JSON, or JSON without types.
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
    """The key attributes of `pk:S` or `pk:S,sk:N`, in order; ConfigurationError."""
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


def key_types(spec: TableSpec, names: Sequence[str], items: Sequence[TypedItem]) -> SourceKey:
    """The key with the types: declared beyond doubt, else as in the items, else S."""
    return SourceKey(tuple((name, _kind(spec, name, items)) for name in names))


def _kind(spec: TableSpec, name: str, items: Sequence[TypedItem]) -> KeyType:
    for column in (column for target in spec.targets for column in target.key or ()):
        if column.attribute == name and column.type is not None:
            kinds = [kind for kind in _KEY_TYPES if kind in column.type.row.keys]
            if len(kinds) == 1:
                return kinds[0]
    tags = (tag for item in items for tag in item.get(name, ()))
    return next((kind for tag in tags for kind in _KEY_TYPES if kind == tag), "S")


def _values(text: str) -> Iterator[Any]:
    """Every JSON value of the text, separated by any white space."""
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
