"""`replicator version` and `--version`."""

import platform
from typing import Annotated

import typer

from replicator import __version__
from replicator.cli.terminal.options import AsJson
from replicator.cli.terminal.output import print_document, print_line


def version(*, as_json: AsJson = False) -> None:
    """Print the version.

    Example: replicator version --json
    """

    if as_json:
        print_document({"version": __version__, "python": platform.python_version()})
    else:
        print_line(_text())


def _text() -> str:

    return f"replicator {__version__} (Python {platform.python_version()})"


def _answer(asked: bool) -> None:
    if asked:
        print_line(_text())
        raise typer.Exit


AsVersion = Annotated[
    bool,
    typer.Option("--version", callback=_answer, is_eager=True, help="Say which version this is."),
]
