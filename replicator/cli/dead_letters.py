"""`replicator dead-letters list` and `show`: what was set aside, and why."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from replicator.cli.by_hand import storable
from replicator.cli.options import AsJson, ConfigFile, load_settings
from replicator.cli.output import print_document, print_line, print_note, print_table
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from replicator.config.settings import Settings
    from replicator.postgres.dead_letters import Evidence, Letter, Wanted

LIMIT_MAX = 100_000

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


State = Literal["open", "superseded", "replayed", "discarded", "all"]


def duration(text: str | None) -> float | None:
    """The seconds of `--older-than`."""
    from replicator.cli.durations import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--older-than'") from error


AnyTable = Annotated[
    str | None,
    typer.Option("--table", metavar="NAME", help="Only this table.", show_default=False),
]
OfState = Annotated[State, typer.Option("--state", help="Only these.")]
Reason = Annotated[
    str | None,
    typer.Option(
        "--reason",
        metavar="TEXT",
        callback=storable,
        help="Only those whose reason has this in it.",
        show_default=False,
    ),
]
OlderThan = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        metavar="2h",
        help="Only those set aside before that (s, m, h, d).",
        show_default=False,
    ),
]
Limit = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, max=LIMIT_MAX, help="Show at most so many.")
]


@app.callback()
def dead_letters() -> None:
    """Show the records that were set aside, and why; try them again, or let them go.

    Example: replicator dead-letters list
    """


@app.command("list")
def list_letters(
    *,
    table: AnyTable = None,
    state: OfState = "open",
    reason: Reason = None,
    older_than: OlderThan = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Show the records that could not be applied, oldest first.

    A dead letter is superseded when a newer change of its item was handled.

    Example: replicator dead-letters list --table orders --older-than 2h
    """
    import asyncio

    from replicator.cli.letters import letter_document, letter_row
    from replicator.postgres.dead_letters import Wanted

    wanted = Wanted(table, None if state == "all" else state, reason, duration(older_than))
    letters, total = asyncio.run(_list(load_settings(config), wanted, limit))
    if as_json:
        found = [letter_document(letter) for letter in letters]
        print_document({"dead_letters": found, "total": total})
    elif not letters:
        which = "no" if state == "all" else f"no {state}"
        print_line(f"{which} dead letters" + (f" of {table}" if table else ""))
    else:
        print_table(("ID", "AGE", "TARGET", "STATE", "KEY", "REASON"), map(letter_row, letters))
        print_line("")
        print_line("`replicator dead-letters show ID` shows one with its images.")
    if total > len(letters):
        print_note(f"{total - len(letters)} more match: --limit {total} shows all")


@app.command(short_help="Show one with its images, and what to do about it")
def show(
    number: Annotated[int, typer.Argument(metavar="ID", min=1, help="As `list` shows it.")],
    *,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Show one dead letter with its images as DynamoDB JSON, and what to do about it.

    Example: replicator dead-letters show 7
    """
    import asyncio

    from replicator.cli.letters import evidence_document, letter_document, letter_lines

    letter, evidence = asyncio.run(_show(load_settings(config), number))
    if as_json:
        print_document(
            {"dead_letter": letter_document(letter) | evidence_document(letter, evidence)}
        )
        return
    for line in letter_lines(letter, evidence):
        print_line(line)


async def _list(
    settings: "Settings", wanted: "Wanted", letters_max: int
) -> "tuple[list[Letter], int]":
    from replicator.app.by_hand import control_database, registered_tables, require_known
    from replicator.postgres.dead_letters import DeadLetters

    async with control_database(settings) as database:
        if wanted.source is not None:
            require_known(wanted.source, settings, await registered_tables(database))
        return await DeadLetters(database).list(wanted, letters_max=letters_max)


async def _show(settings: "Settings", number: int) -> "tuple[Letter, Evidence]":
    from replicator.app.by_hand import control_database
    from replicator.postgres.dead_letters import DeadLetters

    async with control_database(settings) as database:
        found = await DeadLetters(database).show(number)
    if found is None:
        message = f"deployment {settings.deployment!r} has no dead letter {number}"
        raise ConfigurationError(message, remedy="run `replicator dead-letters list --state all`")
    return found
