"""`replicator explain`: one item on both sides, and the reason for a difference."""

import asyncio
import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from replicator.app.explain import Explanation, TargetExplanation
from replicator.app.explain import explain as look
from replicator.cli.dead_letters import key_text
from replicator.cli.terminal.options import AsJson, ConfigFile, TableOption, load_settings, spec_of
from replicator.cli.terminal.output import ExitCode, encode, print_document, print_line, printable
from replicator.cli.terminal.row_json import row_document
from replicator.core.stream_record import Image
from replicator.core.table_spec import KeyType, SourceKey
from replicator.core.values.canonical_numbers import canonical_number
from replicator.core.values.cells import Unfit
from replicator.core.verify.item_explanation import Circumstances, reasons, route
from replicator.core.verify.row_diff import MayBe, MustBe
from replicator.errors import ConfigurationError

Key = Annotated[
    str,
    typer.Option(
        "--key",
        metavar="KEY",
        help="pk=a,sk=7, or JSON with or without types; the value alone where the key is one.",
    ),
]


def explain(
    *, table: TableOption, key: Key, as_json: AsJson = False, config: ConfigFile = None
) -> None:
    """Show one item as it is now, the way it takes, the rows, and the reason for a difference.

    Ends with 0 when both sides agree, with 1 when not or when the item does not fit, with 4 when a
    server is away. Prints the item's values.

    Example: replicator explain --table orders --key pk=ORDER#17,sk=1
    """

    settings = load_settings(config)
    name = spec_of(settings, table).name
    found = asyncio.run(look(settings, name, lambda source_key: parse_key(key, source_key)))
    if as_json:
        print_document(_document(name, found))
    else:
        for line in _lines(name, found):
            print_line(printable(line))
    if any(target.difference is not None or _is_dead_letter(target) for target in found.targets):
        raise typer.Exit(ExitCode.FINDINGS)


def _is_dead_letter(found: "TargetExplanation") -> bool:

    return isinstance(found.expected, MayBe) and found.expected.rejected is not None


def _document(table: str, found: "Explanation") -> dict[str, Any]:
    around = found.circumstances
    return {
        "table": table,
        "key": json.loads(found.identity),
        "item": around.image,
        "pending": None
        if around.pending is None
        else [
            {"sequence_number": str(change.version), "event": change.event}
            for change in around.pending
        ],
        "dead_letters": [
            {
                "id": letter.id,
                "target": letter.target,
                "sequence_number": letter.sequence_number,
                "reason": letter.reason,
            }
            for letter in around.letters
        ],
        "targets": [_target(target, around) for target in found.targets],
    }


def _target(found: "TargetExplanation", around: "Circumstances") -> dict[str, Any]:

    expected = found.expected
    difference, version = found.difference, found.version
    return {
        "target": found.target.name,
        "route": route(found.target, expected, around.image),
        "expected": row_document(found.target.table, expected.row)
        if isinstance(expected, MustBe)
        else None,
        "row": found.row,
        "version": None
        if version is None
        else {"sequence_number": version.sequence_number, "deleted": version.deleted},
        "difference": None if difference is None else difference.kind,
        "columns": [] if difference is None else list(difference.columns),
        "dead_letter": _is_dead_letter(found),
        "reasons": list(reasons(found.target, difference, around)),
    }


def _lines(table: str, found: "Explanation") -> Iterator[str]:

    around = found.circumstances
    yield f"{table}: {key_text(found.identity)}"
    yield f"  item now: {encode(around.image) if around.image is not None else 'there is none'}"
    for change in around.pending or ():
        yield f"  on its way: {change.event} {change.version}"
    for letter in around.letters:
        number = letter.sequence_number or "a snapshot"
        yield f"  dead letter {letter.id}: {letter.target}, from {number}: {letter.reason}"
    for target in found.targets:
        yield from _target_lines(_target(target, around))


def _target_lines(target: dict[str, Any]) -> Iterator[str]:
    yield f"{target['target']}: {target['route']}"
    if target["expected"] is not None:
        yield f"  must be:  {encode(target['expected'])}"
    yield f"  row now:  {encode(target['row']) if target['row'] is not None else 'there is none'}"
    if target["version"] is not None:
        gone = ", deleted" if target["version"]["deleted"] else ""
        yield f"  version:  {target['version']['sequence_number']}{gone}"
    columns = f" in {', '.join(target['columns'])}" if target["columns"] else ""
    agreed = "a dead letter: absent, or older than the item" if target["dead_letter"] else None
    yield f"  verdict:  {target['difference'] or agreed or 'as it must be'}{columns}"
    for reason in target["reasons"]:
        yield f"  because:  {reason}"


def parse_key(text: str, source_key: SourceKey) -> Image:
    """The key attributes of `pk=a,sk=7`, of JSON with or without types, or of a value alone."""
    kinds = dict(source_key.attributes)
    values = _values(text, kinds)
    if values.keys() != kinds.keys():
        raise ConfigurationError(
            f"--key names {', '.join(sorted(values)) or 'nothing'}, "
            f"but the key of the table is {', '.join(kinds)}",
            remedy=f"write --key {','.join(f'{name}=…' for name in kinds)}, or JSON",
        )
    return {name: {kind: _raw(name, kind, values[name])} for name, kind in kinds.items()}


def _values(text: str, kinds: dict[str, KeyType]) -> dict[str, Any]:
    if text.startswith("{"):
        try:
            read = json.loads(text, parse_float=str, parse_int=str)
        except ValueError as error:
            message = "--key begins like JSON and is none"
            raise ConfigurationError(message, remedy='write {"pk": "a"} or pk=a') from error
        return dict(read)
    if len(kinds) == 1 and not text.startswith(f"{next(iter(kinds))}="):
        return {next(iter(kinds)): text}
    parts = text.split(",") if len(kinds) > 1 else [text]
    return {name: value for name, _, value in (part.partition("=") for part in parts)}


def _raw(name: str, kind: KeyType, value: object) -> str:
    """The wire text under the type's tag."""
    if isinstance(value, dict) and list(value) == [kind]:
        value = value[kind]
    if not isinstance(value, str):
        raise ConfigurationError(
            f"--key: {name} is of type {kind}, and what was given is not",
            remedy=f'write {name}=…, or {{"{name}": {{"{kind}": "…"}}}}',
        )
    if kind != "N":
        return value
    try:
        return canonical_number(value)
    except Unfit as unfit:
        message = f"--key: {name} {unfit.reason}"
        raise ConfigurationError(message, remedy="write it in digits") from unfit
