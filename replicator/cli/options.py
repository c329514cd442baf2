"""Options that many commands share."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from replicator.config.settings import Settings


def _from_root(context: typer.Context, value: Path | None) -> Path | None:
    """`replicator --config F run` means the same as `replicator run --config F`."""
    return value if value is not None else context.find_root().params.get("config")


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=_from_root,
        metavar="FILE",
        help="The configuration. Default: REPLICATOR_CONFIG, else ./replicator.yaml.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
TableName = Annotated[
    str, typer.Option("--table", metavar="NAME", help="A table, as `tables` names it.")
]


def load_settings(config: Path | None) -> "Settings":
    """The configuration that the command line and the environment name; ConfigurationError."""
    from replicator.config.loading import load

    return load(config, os.environ)
