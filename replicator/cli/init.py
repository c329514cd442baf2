"""`replicator init`: a configuration for tables without one, on stdout."""

import asyncio
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from replicator.app.describe_and_sample_tables import SampledTable, sample_tables
from replicator.cli.terminal.options import ConfigFile
from replicator.cli.terminal.output import print_line, print_note
from replicator.config.connection_parameters import source_connection
from replicator.config.load_settings import load_for_new_tables
from replicator.config.settings import Settings
from replicator.config.source_settings import SourceSettings
from replicator.core.proposal.propose_mapping import (
    ProposedColumn,
    ProposedTable,
    ProposedTarget,
    propose_table,
)
from replicator.errors import ConfigurationError, StreamUnfit, StreamVanished
from replicator.sources.dynamodb.describe_table import require_fit_stream

SourceTables = Annotated[
    list[str],
    typer.Option(
        "--table", "-t", metavar="NAME", help="A DynamoDB table, by name or ARN; repeatable."
    ),
]
Region = Annotated[
    str | None,
    typer.Option("--region", help="Where the tables are. Default: the AWS SDK's.", metavar="NAME"),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option("--endpoint-url", metavar="URL", help="DynamoDB Local and friends."),
]
ItemCount = Annotated[
    int,
    typer.Option("--items", metavar="N", min=1, max=100_000, help="Sample about so many items."),
]
Deployment = Annotated[
    str | None,
    typer.Option("--deployment", metavar="NAME", help="Default: the name of the first table."),
]


def init(
    *,
    table: SourceTables,
    items: ItemCount = 1000,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    deployment: Deployment = None,
    config: ConfigFile = None,
) -> None:
    """Read tables and some of the items, and print a configuration that replicates them.

    Every proposal comes with the reason that the sample shows: look the proposals over. Writes
    nothing. With `--config` source and deployment are those of that file, and a table may have the
    name there.

    Example: replicator init --table orders >replicator.yaml
    """

    settings, named = load_for_new_tables(config, os.environ)
    said = {"region": region, "endpoint_url": endpoint_url}
    options = {name: value for name, value in said.items() if value is not None}
    wanted = [_place(settings, name, options) for name in table]
    try:
        sampled = asyncio.run(
            sample_tables([(name, source_connection(source)) for name, source in wanted], items)
        )
    except StreamVanished as error:
        raise ConfigurationError(str(error), remedy=error.remedy) from error
    proposed = [
        Described(each, source, proposal)
        for each, (_, source), proposal in zip(sampled, wanted, _proposed(sampled), strict=True)
    ]
    name = deployment or named or deployment_of(sampled[0].description.name)
    for line in lines(name, settings.source.model_copy(update=options), proposed):
        print_line(line)
    _note(sampled)


def deployment_of(table: str) -> str:
    """The name of a deployment, proposed from the name of a DynamoDB table."""
    return re.sub(r"^[^A-Za-z0-9]+", "", table)[:63] or "main"


def _place(
    settings: "Settings", table: str, options: dict[str, str]
) -> tuple[str, "SourceSettings"]:
    """The table's name or ARN and the place; `table` may be an entry of the configuration."""
    entry = settings.table_specs().get(table)
    source = settings.source if entry is None else settings.source_of(table)
    return (table if entry is None else entry.table), source.model_copy(update=options)


def _proposed(sampled: list["SampledTable"]) -> list["ProposedTable"]:

    taken: set[str] = set()
    return [
        propose_table(each.description.name, each.description.key, each.images, taken)
        for each in sampled
    ]


def _note(sampled: list["SampledTable"]) -> None:

    for each in sampled:
        try:
            require_fit_stream(each.description)
        except StreamUnfit as error:
            print_note(f"replicator: {error}\n  {error.remedy}")
    print_note(
        "replicator: save this as replicator.yaml and look it over; then run `replicator check`, "
        "`replicator plan`, `replicator migrate`, `replicator run`"
    )


@dataclass(frozen=True, slots=True)
class Described:
    """A sampled table, the place of the source, and the proposed mapping."""

    sampled: "SampledTable"
    source: "SourceSettings"
    proposed: ProposedTable


def lines(deployment: str, source: "SourceSettings", tables: Sequence[Described]) -> Iterator[str]:
    """The document, line by line."""
    yield "# proposed by `replicator init` from a sample of the items: look it over"
    yield "version: 1"
    yield f"deployment: {_scalar(deployment)}  # no other replica's name; never change it"
    yield ""
    said = _said(source)
    if said:
        yield "source:"
        yield from (f"  {key}: {_scalar(value)}" for key, value in said.items())
        yield ""
    yield "# target:  # without it the PG* variables say where PostgreSQL is"
    yield "#   dsn: postgresql://replicator@localhost:5432/app"
    yield ""
    yield "tables:"
    for table in tables:
        yield from _table(table, said)


def _said(source: "SourceSettings") -> dict[str, str]:
    """Settings of a place, by the names of the configuration."""
    return {
        name: str(value)
        for name, value in source.model_dump(exclude_none=True).items()
        if name in type(source).model_fields
    }


def _table(table: Described, default: dict[str, str]) -> Iterator[str]:
    proposed = table.proposed
    yield f"  {_scalar(proposed.name)}:"
    yield from (f"    # {line}" for line in _method(table.sampled))
    if table.sampled.table != proposed.name:
        yield f"    table: {_scalar(table.sampled.table)}"
    own = {name: value for name, value in _said(table.source).items() if default.get(name) != value}
    if own:
        yield f"    source: {_flow(own)}"
    yield "    initial_load: snapshot  # the items that are there, beside the stream"
    if proposed.unmatched is not None:
        yield f"    unmatched: {_scalar(proposed.unmatched)}  # takes the items of other kinds"
    yield "    into:"
    for target in proposed.targets:
        yield from _target(target)
    if proposed.unmatched is not None:
        yield f"      {_scalar(proposed.unmatched)}:  # whole items, in the column data"
        yield from _key(proposed.targets[0].key)


def _method(sampled: "SampledTable") -> Iterator[str]:
    """The share of the items that was sampled, and the way of choosing."""
    sample, about = sampled.sample, sampled.description.item_count
    seen = len(sample.images)
    if sample.whole:
        yield f"all {seen} items were sampled"
        return
    share = f", {100 * seen // about} %" if about >= seen else ""
    yield f"{seen} items were sampled of about {about} (as of up to six hours ago){share}:"
    yield f"at the beginnings of {sample.segments} segments of the table" + (
        f", and at {sample.skips} places further on, behind sort keys of the same beginning"
        if sample.skips
        else ""
    )


def _target(target: ProposedTarget) -> Iterator[str]:
    of_kind = f"  # {target.items} of the sampled items" if target.when is not None else ""
    yield f"      {_scalar(target.name)}:{of_kind}"
    if target.when is not None:
        yield f"        when: {_flow(target.when)}"
    yield from _key(target.key)
    if target.columns:
        yield "        columns:"
        for column in target.columns:
            yield f"          {_scalar(column.name)}: {_entry(column)}  # {column.why}"
        yield f"        rest: {target.rest}  # all other attributes, as jsonb"
    for attribute in target.left:
        where = target.rest if target.columns else "data"
        yield f"        # left in {where}: {_comment(attribute)}"
    yield "        # on_delete: delete  # or soft: sets _deleted_at; or ignore"


def _key(columns: Sequence[ProposedColumn]) -> Iterator[str]:
    yield "        key:"
    for column in columns:
        yield f"          {_scalar(column.name)}: {_entry(column)}  # {column.why}"


def _entry(column: ProposedColumn) -> str:
    said: dict[str, Any] = {} if column.path == column.name else {"from": column.path}
    said["type"] = column.type
    if column.format is not None:
        said["format"] = column.format
    if column.fraction != "reject":
        said["fraction"] = column.fraction
    if column.transform:
        said["transform"] = list(column.transform)
    if column.words:
        said["words"] = dict(column.words)
    if column.nul and column.type == "text":
        said["nul"] = "replace"
    return _scalar(column.type) if list(said) == ["type"] else _flow(said)


def _flow(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_scalar(key)}: {_flow(member)}" for key, member in value.items())
        return "{" + inner + "}"
    return _scalar(str(value))


def _scalar(text: str) -> str:
    """The text as YAML: bare for a plain word, else in double quotes."""
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
