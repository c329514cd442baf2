"""Options of the commands that change something by hand: who does it, and why."""

from typing import Annotated

import typer


def this_user() -> str:
    """The user of the operating system at this machine, as `alice@bastion`."""
    import getpass
    import os
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run as a number without a name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def storable(text: str | None) -> str | None:
    """What the shell gave, as text that PostgreSQL takes."""
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
