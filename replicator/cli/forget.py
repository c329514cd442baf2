"""`replicator forget`: drop all that is known of a table, which can then start again."""

import asyncio
import sys
from typing import Annotated

import typer

from replicator.app.administration.forget_table import Forgettable, forget_table, forgettable
from replicator.cli.terminal.options import (
    ConfigFile,
    TableOption,
    Who,
    Why,
    load_settings,
    this_user,
)
from replicator.cli.terminal.output import ExitCode, print_line, print_note
from replicator.config.settings import Settings
from replicator.errors import ConfigurationError
from replicator.monitoring.log_output import configure_logs

Yes = Annotated[
    bool, typer.Option("--yes", help="Do not ask; needed where nobody is at a terminal.")
]


def forget(
    *,
    table: TableOption,
    yes: Yes = False,
    why: Why = None,
    who: Who = None,
    config: ConfigFile = None,
) -> None:
    """Drop a table's positions, gaps, dead letters, claims of targets and leases.

    The only command that drops positions. Target tables and the rows stay. Refused while
    workers work on the table: pause it first. After `migrate`, the table starts again as its
    `initial_load` says: changes that are in the stream no more are not applied again. Nothing is
    dropped when DynamoDB cannot be reached. Who did it and why is recorded.

    Example: replicator forget --table orders --why "starts again in another database"
    """

    if not yes and not sys.stdin.isatty():
        message = "nobody is at a terminal to confirm this; nothing was dropped"
        raise ConfigurationError(message, remedy="say --yes")
    settings = load_settings(config)
    configure_logs(level=settings.log.level, format=settings.log.format)
    known = asyncio.run(forgettable(settings, table))
    if known is None:
        print_line(f"nothing of {table} is on record: there is nothing to forget")
        return
    if not yes and not _confirmed(table, known):  # outside of the loop: Ctrl-C ends it at once
        print_note("nothing was dropped")
        raise typer.Exit(ExitCode.WRONG_USAGE)
    forgotten = asyncio.run(forget_table(settings, table, who=who or this_user(), why=why))
    print_line(f"forgot {table}: {_amounts(forgotten)}")
    for target in forgotten.record.targets:
        print_line(f"  the rows in {target} stay as they are")
    _print_next(settings, table)


def _confirmed(table: str, known: "Forgettable") -> bool:
    print_note(f"This drops of {table}: {_amounts(known)}.")
    print_note("It cannot be taken back: where the table was is not known any more.")
    try:
        return typer.confirm(f"Forget {table}?", err=True)
    except typer.Abort:  # the terminal was closed, or Ctrl-D
        print_note("")
        return False


def _amounts(known: "Forgettable") -> str:
    record = known.record
    return ", ".join(
        [
            _counted(record.positions, "position"),
            _counted(record.gaps, "gap"),
            _counted(record.dead_letters, "dead letter"),
            _counted(len(record.targets), "claimed target"),
            _counted(len(known.leases), "lease"),
        ]
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _print_next(settings: "Settings", table: str) -> None:
    if table not in settings.tables:
        print_line("It is not in the configuration, so nothing more happens.")
        return
    load = settings.table_specs()[table].initial_load
    print_line("To start it again:")
    print_line("  replicator migrate    registers it again")
    print_line(f"  replicator run        loads it as `initial_load: {load}` says;")
    print_line("                        workers that run already begin by themselves")
