"""Options and arguments that several commands share, and the loading of settings."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replicator.core.table_spec import TableSpec
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from replicator.config.settings import Settings


def _from_root(context: typer.Context, value: Path | None) -> Path | None:
    """`replicator --config F run` means the same as `replicator run --config F`."""
    return value if value is not None else context.find_root().params.get("config")


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        callback=_from_root,
        metavar="FILE",
        help="The configuration. Default: REPLICATOR_CONFIG, else ./replicator.yaml.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
TableOption = Annotated[
    str, typer.Option("--table", "-t", metavar="NAME", help="A table, as `tables` names it.")
]
OnlyTable = Annotated[
    str | None,
    typer.Option("--table", "-t", metavar="NAME", help="Only this table.", show_default=False),
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Ask for it and return; `replicator status` shows it.")
]


def load_settings(config: Path | None) -> "Settings":
    """The configuration that the command line and the environment name; ConfigurationError."""
    from replicator.config.load_settings import load

    return load(config, os.environ)


def this_user() -> str:
    """The user of the operating system at the machine, as `alice@bastion`."""
    import getpass
    import os
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run as a number without a name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def storable(text: str | None) -> str | None:
    """Text from the shell in a form that PostgreSQL stores."""
    if text is None:
        return None
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip()


def _not_empty(text: str | None) -> str | None:
    stored = storable(text)
    if stored == "":
        message = "must say something"
        raise typer.BadParameter(message)
    return stored


Who = Annotated[
    str | None,
    typer.Option(
        "--who",
        metavar="NAME",
        callback=_not_empty,
        help="Who does this, for the record. Default: this user at this machine.",
        show_default=False,
    ),
]
Why = Annotated[
    str | None,
    typer.Option(
        "--why",
        metavar="TEXT",
        callback=_not_empty,
        help="Why, for the record.",
        show_default=False,
    ),
]
RequiredWhy = Annotated[
    str,
    typer.Option(
        "--why",
        metavar="TEXT",
        callback=_not_empty,
        help="Why, for the record.",
        show_default=False,
    ),
]


if TYPE_CHECKING:
    from replicator.config.settings import Settings


def spec_of(settings: "Settings", name: str) -> TableSpec:
    """The table that the configuration has under the name; ConfigurationError."""
    specs = settings.table_specs()
    if name in specs:
        return specs[name]
    near = get_close_matches(name, specs, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(specs))}"
    raise ConfigurationError(f"the configuration has no table {name!r}", remedy=remedy)
