"""`replicator map`: items on stdin, the rows they become on stdout; nothing is connected to."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replicator.cli.options import AsJson, ConfigFile, TableName, load_settings
from replicator.cli.output import ExitCode, encode, print_document, print_line, print_note

if TYPE_CHECKING:
    from replicator.cli.items import Item
    from replicator.core.mapping import TableMapping, TargetMapping
    from replicator.core.mapping_spec import TableSpec
    from replicator.core.records import Image

Keys = Annotated[
    str | None,
    typer.Option(
        "--keys",
        metavar="NAME:TYPE,…",
        help="The table's key attributes with their types (S, N, B), where no target names them.",
    ),
]
Result = dict[str, Any]


def map_items(
    *, table: TableName, keys: Keys = None, as_json: AsJson = False, config: ConfigFile = None
) -> None:
    """Show the rows that items become, or why they are rejected; offline.

    Reads items as DynamoDB JSON from standard input: one a line, an array, or what the AWS CLI
    prints. Prints one JSON object a line: target and row, rejected, or filtered. Ends with 1 when
    something was rejected.

    Example: aws dynamodb scan --table-name orders | replicator map --table orders --keys pk:S
    """
    from replicator.cli.tables import spec_of

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


def _read(spec: "TableSpec", keys: str | None) -> tuple["TableMapping", list["Item"]]:
    from replicator.cli.items import configured_key, key_types, parse_items, parse_keys
    from replicator.core.mapping import compile_table

    given = parse_keys(keys) if keys is not None else None
    names = [name for name, _ in given.attributes] if given else configured_key(spec)
    if sys.stdin.isatty():
        print_note("reading items from the terminal; Ctrl-D ends")
    items = parse_items(sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape"), names[0])
    return compile_table(spec, given or key_types(spec, names, items)), items


def _results(mapping: "TableMapping", item: "Item") -> list[Result]:
    from replicator.core.unmatched import NO_TARGET, UNMATCHED

    found = [{"target": target.name} | _result(mapping, target, item) for target in mapping.targets]
    if mapping.spec.unmatched == "dead_letter" and all("filtered" in result for result in found):
        found.append({"target": UNMATCHED, "rejected": NO_TARGET})
    return found


def _result(mapping: "TableMapping", target: "TargetMapping", item: "Item") -> Result:
    from replicator.core.attributes import decode_image
    from replicator.errors import Rejected

    try:
        image = decode_image(encode(item).encode())
        if mapping.protection is not None:
            image = mapping.protection.image(image)
        keys = {name: image[name] for name, _ in mapping.source_key.attributes if name in image}
        if len(keys) == len(mapping.source_key.attributes) and not target.matches(keys, image):
            return {"filtered": True}
        return _row(target, keys, image)
    except Rejected as rejection:
        return {"rejected": str(rejection)}


def _row(target: "TargetMapping", keys: "Image", image: "Image") -> Result:
    """The row and those of child tables; Rejected."""
    from replicator.cli.rows import row_document

    row = target.row_of(keys, image)
    found: Result = {"row": row_document(target.table, row)}
    for child, rows in zip(target.children, target.children_of(row, image), strict=True):
        documents = [row_document(child.table, its_row) for its_row in rows]
        found.setdefault("children", {})[child.table.qualified] = documents
    return found
