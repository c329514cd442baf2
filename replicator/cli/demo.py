"""`replicator demo`: a newcomer's first minute."""

import os
import signal
from typing import Annotated

import typer

from replicator.cli.terminal.output import ExitCode, print_note
from replicator.demo.daemon_process import isolated
from replicator.demo.story import demonstrate


def demo(
    *,
    seconds: Annotated[
        int, typer.Option("--seconds", metavar="N", min=1, max=3600, help="How long to write.")
    ] = 20,
    rate: Annotated[
        int, typer.Option("--rate", metavar="N", min=1, max=1000, help="Changes a second.")
    ] = 40,
) -> None:
    """Watch a table replicate: servers, orders and the real daemon, all started for you.

    Needs nothing and leaves nothing. Compares both sides at the end: 0 when they are equal, else 1.

    Example: replicator demo --seconds 60 --rate 100
    """
    from rich.console import Console

    environment = isolated(os.environ)
    os.environ.clear()  # our own clients read it too
    os.environ.update(environment)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    console = Console(highlight=False)
    try:
        equal = demonstrate(console, environment, seconds=seconds, rate=rate)
    except KeyboardInterrupt:
        print_note("Ended before its end; everything it started is gone.")
        raise
    if not equal:
        raise typer.Exit(ExitCode.FINDINGS)
