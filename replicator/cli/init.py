"""`replicator init`: a configuration for tables that nobody described, on stdout."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replicator.cli.output import print_line, print_note
from replicator.core.proposal.propose import ProposedColumn, ProposedTable, ProposedTarget
from replicator.errors import ConfigurationError, StreamVanished

if TYPE_CHECKING:
    from replicator.app.sampling import SampledTable
    from replicator.core.proposal.propose import ProposedTable

Tables = Annotated[
    list[str],
    typer.Option("--table", metavar="NAME", help="A DynamoDB table, by name or ARN; repeatable."),
]
Region = Annotated[
    str | None,
    typer.Option("--region", help="Where the tables are. Default: the AWS SDK's.", metavar="NAME"),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option("--endpoint-url", metavar="URL", help="DynamoDB Local and friends."),
]
Items = Annotated[
    int,
    typer.Option("--items", metavar="N", min=1, max=100_000, help="Sample about so many items."),
]
Deployment = Annotated[
    str | None,
    typer.Option("--deployment", metavar="NAME", help="Default: the name of the first table."),
]


def init(
    *,
    table: Tables,
    items: Items = 1000,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    deployment: Deployment = None,
) -> None:
    """Look at tables and some of their items, and print a configuration that replicates them.

    What it proposes is what the sample shows, and says why: look it over. Writes nothing.

    Example: replicator init --table orders >replicator.yaml
    """
    import asyncio

    from replicator.app.sampling import sample_tables
    from replicator.sources.clients import SourceConnection

    place = SourceConnection(region=region, endpoint_url=endpoint_url)
    try:
        sampled = asyncio.run(sample_tables([(name, place) for name in table], items))
    except StreamVanished as error:
        raise ConfigurationError(str(error), remedy=error.remedy) from error
    proposed = _proposed(sampled)
    name = deployment or re.sub(r"^[^A-Za-z0-9]+", "", sampled[0].description.name)[:63] or "main"
    for line in lines(name, Place(region, endpoint_url), proposed):
        print_line(line)
    _note(sampled)


def _proposed(sampled: list["SampledTable"]) -> list[tuple[str, "ProposedTable"]]:
    """Pair each requested table with the table proposed for it."""
    from replicator.core.proposal.propose import propose_table

    taken: set[str] = set()
    return [
        (each.table, propose_table(each.description.name, each.description.key, each.images, taken))
        for each in sampled
    ]


def _note(sampled: list["SampledTable"]) -> None:
    from replicator.errors import StreamUnfit
    from replicator.sources.tables import require_fit_stream

    for each in sampled:
        try:
            require_fit_stream(each.description)
        except StreamUnfit as error:
            print_note(f"replicator: {error}\n  {error.remedy}")
    print_note(
        "replicator: save this as replicator.yaml and look it over; then run "
        "`replicator plan`, `replicator migrate`, `replicator run`"
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Place of the tables, as far as the command line says."""

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
