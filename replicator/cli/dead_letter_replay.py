"""`replicator dead-letters replay` and `discard`: another try, or none, by hand."""

import asyncio
from typing import Annotated, Any

import typer

from replicator.app.administration.dead_letter_replay import discard_letters, replay_letters
from replicator.cli.dead_letters import OlderThan, Reason, duration
from replicator.cli.terminal.options import (
    AsJson,
    ConfigFile,
    OnlyTable,
    RequiredWhy,
    Who,
    Why,
    load_settings,
    this_user,
)
from replicator.cli.terminal.output import (
    ExitCode,
    print_document,
    print_line,
    print_note,
    print_table,
)
from replicator.postgres.control.dead_letter_reads import LetterFilter
from replicator.postgres.write.dead_letter_replay import Tried

Numbers = Annotated[
    list[int] | None,
    typer.Argument(metavar="ID…", min=1, help="As `list` shows them.", show_default=False),
]


def replay(
    numbers: Numbers = None,
    *,
    table: OnlyTable = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    why: Why = None,
    who: Who = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Try open dead letters again, with the mapping as it is now.

    First correct the mapping and run `migrate`. A dead letter is applied only while no newer change
    of its item was handled; the workers of the table wait for a moment meanwhile. What is refused
    again stays open. Ends with 1 when something was. Who did it and why is recorded.

    Example: replicator dead-letters replay --table orders --why "total is numeric now"
    """

    wanted = _wanted(numbers, table, reason, older_than)
    settings = load_settings(config)
    tried, more = asyncio.run(replay_letters(settings, wanted, who=who or this_user(), why=why))
    _note_more(more)
    refused = [each for each in tried if each.outcome == "refused"]
    if as_json:
        print_document({"dead_letters": [_document(each) for each in tried]})
    else:
        _print(tried)
    if refused:
        raise typer.Exit(ExitCode.FINDINGS)


def discard(
    numbers: Numbers = None,
    *,
    why: RequiredWhy,
    table: OnlyTable = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    who: Who = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Close open dead letters without applying them.

    The rows of the items stay unchanged. Person and reason are recorded.

    Example: replicator dead-letters discard 7 8 --why "test data"
    """

    wanted = _wanted(numbers, table, reason, older_than)
    settings = load_settings(config)
    closed, more = asyncio.run(discard_letters(settings, wanted, who=who or this_user(), why=why))
    _note_more(more)
    if as_json:
        print_document({"discarded": closed})
    else:
        print_line(f"discarded {len(closed)} dead letter{'s' * (len(closed) != 1)}")


def _wanted(
    numbers: list[int] | None, table: str | None, reason: str | None, older_than: str | None
) -> "LetterFilter":

    if not numbers and table is None and reason is None and older_than is None:
        message = "say which: their IDs, or --table, --reason or --older-than"
        raise typer.BadParameter(message)
    chosen = tuple(numbers) if numbers else None
    return LetterFilter(table, "open", reason, duration(older_than), chosen)


def _note_more(more: int) -> None:
    if more:
        print_note(f"{more} more match: run the command again for them")


def _print(tried: "list[Tried]") -> None:
    counts = {"replayed": 0, "refused": 0, "closed": 0}
    for each in tried:
        counts[each.outcome] += 1
    refused = [[str(each.id), each.reason or ""] for each in tried if each.outcome == "refused"]
    if refused:
        print_table(("ID", "STILL REFUSED"), refused, prose=True)
        print_line("")
    line = f"replayed {counts['replayed']}, refused again {counts['refused']}"
    if counts["closed"]:
        line += f", superseded meanwhile {counts['closed']}"
    print_line(line)


def _document(tried: "Tried") -> dict[str, Any]:
    return {"id": tried.id, "outcome": tried.outcome, "reason": tried.reason}
