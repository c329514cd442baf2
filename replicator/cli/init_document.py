"""A proposed configuration as commented YAML."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from replicator.core.proposal import ProposedColumn, ProposedTable, ProposedTarget


@dataclass(frozen=True, slots=True)
class Place:
    """Where the tables are, as far as it was said."""

    region: str | None
    endpoint_url: str | None


def lines(
    deployment: str, place: Place, tables: Sequence[tuple[str, ProposedTable]]
) -> Iterator[str]:
    """The document, line by line; each table with the name or ARN that it was asked for by."""
    yield "# proposed by `replicator init` from a sample of the items: look it over"
    yield "version: 1"
    yield f"deployment: {_scalar(deployment)}  # names this replica everywhere; never change it"
    yield ""
    yield from _source(place)
    yield "# target:  # without it the PG* variables say where PostgreSQL is"
    yield "#   dsn: postgresql://replicator@localhost:5432/app"
    yield ""
    yield "tables:"
    for name, table in tables:
        yield from _table(name, table)


def _source(place: Place) -> Iterator[str]:
    said = {"region": place.region, "endpoint_url": place.endpoint_url}
    if not any(said.values()):
        return
    yield "source:"
    for key, value in said.items():
        if value is not None:
            yield f"  {key}: {_scalar(value)}"
    yield ""


def _table(asked: str, table: ProposedTable) -> Iterator[str]:
    yield f"  {_scalar(table.name)}:  # {table.sampled} items were sampled"
    if asked != table.name:
        yield f"    table: {_scalar(asked)}"
    yield "    initial_load: snapshot  # the items that are there, beside the stream"
    if table.unmatched is not None:
        yield f"    unmatched: {_scalar(table.unmatched)}  # takes the items of other kinds"
    yield "    into:"
    for target in table.targets:
        yield from _target(target)
    if table.unmatched is not None:
        yield f"      {_scalar(table.unmatched)}: {{}}  # whole items, in the column data"


def _target(target: ProposedTarget) -> Iterator[str]:
    of_kind = f"  # {target.items} of the sampled items" if target.when is not None else ""
    yield f"      {_scalar(target.name)}:{of_kind}"
    if target.when is not None:
        yield f"        when: {_flow(target.when)}"
    yield "        key:"
    for column in target.key:
        yield f"          {_scalar(column.name)}: {_entry(column)}  # {column.why}"
    if target.columns:
        yield "        columns:"
        for column in target.columns:
            yield f"          {_scalar(column.name)}: {_entry(column)}  # {column.why}"
        yield f"        rest: {target.rest}  # all other attributes, as jsonb"
    for attribute in target.left:
        where = target.rest if target.columns else "data"
        yield f"        # left in {where}: {_comment(attribute)}"
    yield "        # on_delete: delete  # or soft: sets _deleted_at; or ignore"


def _entry(column: ProposedColumn) -> str:
    said: dict[str, Any] = {} if column.path == column.name else {"from": column.path}
    said["type"] = column.type
    if column.format is not None:
        said["format"] = column.format
    if column.nul and column.type == "text":
        said["nul"] = "replace"
    return _scalar(column.type) if list(said) == ["type"] else _flow(said)


def _flow(value: object) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_scalar(key)}: {_flow(member)}" for key, member in value.items())
        return "{" + inner + "}"
    return _scalar(str(value))


def _scalar(text: str) -> str:
    """The text as YAML: bare where it is a plain word, else in double quotes."""
    plain = text.isascii() and text.replace("_", "a").replace(".", "a").replace("-", "a").isalnum()
    if plain and text[0].isalpha() and text.lower() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"


def _comment(text: str) -> str:
    """The text on one line, whatever an attribute's name holds."""
    return json.dumps(text) if not text.isprintable() else text
