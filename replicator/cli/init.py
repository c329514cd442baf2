"""`replicator init`: a configuration for tables that nobody described, on stdout."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from replicator.cli.output import print_line, print_note
from replicator.errors import ConfigurationError, StreamVanished

if TYPE_CHECKING:
    from replicator.app.sampling import SampledTable
    from replicator.core.proposal import ProposedTable

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
    from replicator.cli.init_document import Place, lines
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
    """What was asked for, and what is proposed for it."""
    from replicator.core.proposal import propose_table

    taken: set[str] = set()
    return [
        (each.table, propose_table(each.description.name, each.description.key, each.images, taken))
        for each in sampled
    ]


def _note(sampled: list["SampledTable"]) -> None:
    from replicator.errors import StreamUnfit
    from replicator.sources.describe import require_fit_stream

    for each in sampled:
        try:
            require_fit_stream(each.description)
        except StreamUnfit as error:
            print_note(f"replicator: {error}\n  {error.remedy}")
    print_note(
        "replicator: save this as replicator.yaml and look it over; then run "
        "`replicator plan`, `replicator migrate`, `replicator run`"
    )
