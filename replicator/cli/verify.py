"""`replicator verify`: source and target compared, key by key."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

from replicator.app.verify import Request, VerifyResults, Watcher
from replicator.app.verify import verify as compare
from replicator.app.verify_repair import Asked
from replicator.cli.dead_letters import key_text
from replicator.cli.terminal.options import (
    AsJson,
    ConfigFile,
    Who,
    Why,
    load_settings,
    spec_of,
    this_user,
)
from replicator.cli.terminal.output import (
    ExitCode,
    print_document,
    print_line,
    print_table,
    printable,
)
from replicator.cli.terminal.progress_line import ProgressLines, progress_lines
from replicator.core.verify.results import (
    Example,
    TargetResult,
    dead_letters,
    is_equal,
    is_equal_except_dead_letters,
)

_COLUMNS = ("TARGET", "COMPARED", "MISSING", "EXTRA", "DIFFERENT", "IN FLIGHT", "REJECTED")

OnlyTables = Annotated[
    list[str] | None,
    typer.Option("--table", "-t", metavar="NAME", help="Only this table; may be said again."),
]
SamplePercent = Annotated[
    float | None,
    typer.Option(
        "--sample",
        metavar="PERCENT",
        min=0.001,
        max=100,
        help="Compare about so many percent of the items and of the rows, chosen by chance.",
        show_default=False,
    ),
]
ReadUnits = Annotated[
    float | None,
    typer.Option(
        "--read-units",
        metavar="N",
        min=1,
        help="Read units a second. Default: snapshot.read_units_per_second.",
        show_default=False,
    ),
]


WithRepair = Annotated[
    bool,
    typer.Option("--repair", help="Write what is true of the keys that differ, then check again."),
]


def verify(
    *,
    table: OnlyTables = None,
    repair: WithRepair = False,
    sample: SamplePercent = None,
    read_units: ReadUnits = None,
    as_json: AsJson = False,
    why: Why = None,
    who: Who = None,
    config: ConfigFile = None,
) -> None:
    """Compare every item with its rows, while changes go on; prints keys that differ.

    What differs is checked again, and reported when no change of it is on its way in the stream.
    With `--repair` it is then written through the row guard, beside running workers, and checked
    once more; who did so and why is recorded. Ends with 0 when all is equal, 1 when something
    is not or is a dead letter, 4 when a server is away or when keys stayed in flight, because no
    worker applies them.

    Example: replicator verify --table orders --json
    """

    settings = load_settings(config)
    names = None if table is None else [spec_of(settings, name).name for name in table]
    asked = Asked(who or this_user(), why) if repair else None
    wanted = Request(names, None if sample is None else sample / 100, read_units, asked)
    with _watching() as watcher:
        outcome = asyncio.run(compare(settings, wanted, watcher))
    _print(outcome, as_json=as_json)
    code = _exit_code(outcome)
    if code:
        raise typer.Exit(code)


def _exit_code(outcome: "VerifyResults") -> ExitCode:

    if any(result.unequal for result in outcome.results):
        return ExitCode.FINDINGS
    if any(result.in_flight for result in outcome.results):
        return ExitCode.COULD_NOT_TELL
    return ExitCode.FINDINGS if dead_letters(outcome.results) else ExitCode.FINE


def _print(outcome: "VerifyResults", *, as_json: bool) -> None:

    if as_json:
        print_document(
            {
                "equal": is_equal(outcome.results),
                "dead_letters": dead_letters(outcome.results),
                "tables": [_document(result) for result in outcome.results],
                "read_units": outcome.read_units,
            }
        )
        return
    print_table(_COLUMNS, [_row(result) for result in outcome.results])
    for result in outcome.results:
        for line in _lines(result):
            print_line(line)
    if is_equal_except_dead_letters(outcome.results):
        letters = dead_letters(outcome.results)
        items = "1 item that is a dead letter"
        if letters != 1:
            items = f"{letters} items that are dead letters"
        but = f", except {items}" if letters else ""
        print_line(f"source and target are equal{but}")


def _document(result: "TargetResult") -> dict[str, Any]:
    return {
        "source": result.source,
        "target": result.target,
        "compared": result.compared,
        "missing": result.missing,
        "extra": result.extra,
        "different": result.different,
        "in_flight": result.in_flight,
        "rejected": result.rejected,
        "older_mapping": result.older_mapping,
        "repaired": result.repaired,
        "examples": [_example(example) for example in result.examples],
    }


def _example(example: "Example") -> dict[str, Any]:
    return {
        "key": json.loads(example.item_key),
        "kind": example.difference.kind,
        "columns": list(example.difference.columns),
        "older_mapping": example.difference.older_mapping,
    }


def _row(result: "TargetResult") -> list[str]:
    counts = (result.compared, result.missing, result.extra, result.different)
    return [result.target, *map(str, (*counts, result.in_flight, result.rejected))]


def _lines(result: "TargetResult") -> Iterator[str]:

    for example in result.examples:
        columns = ", ".join(example.difference.columns)
        what = f"{example.difference.kind}{f' in {columns}' if columns else ''}"
        if example.difference.older_mapping:
            what += ", written before the mapping was changed"
        yield printable(f"{result.target}: {what}: {key_text(example.item_key)}")
    more = result.unequal - len(result.examples)
    if more:
        yield f"{result.target}: and {more} more"
    if result.older_mapping:
        yield (
            f"{result.target}: {result.older_mapping} rows were written before the mapping was "
            f"changed: if `replicator status` shows no backfill of them, "
            f"`replicator snapshot --table {result.source}` loads them again"
        )
    if result.repaired:
        yield f"{result.target}: {result.repaired} keys were repaired"
    if result.in_flight:
        yield (
            f"{result.target}: {result.in_flight} keys differ and have changes in the stream that "
            f"nobody applied meanwhile: run a worker, or see `replicator status`"
        )
    if result.rejected:
        yield (
            f"{result.target}: {result.rejected} items do not fit: "
            f"`replicator dead-letters list --table {result.source}`"
        )


@contextmanager
def _watching() -> Iterator["Watcher"]:
    """A progress bar on a terminal, and silence elsewhere."""
    if not sys.stderr.isatty():
        yield _Nobody()
        return
    with progress_lines(Console(stderr=True)) as lines:
        yield _Bar(lines)


class _Nobody:
    def begins(self, table: str, items_expected: int) -> None:
        """Ignore the table: nothing is drawn."""

    def moved(self, items: int) -> None:
        """Ignore the progress: nothing is drawn."""


class _Bar:
    def __init__(self, lines: ProgressLines) -> None:
        self._lines = lines
        self._table, self._compared, self._expected = "", 0, 0

    def begins(self, table: str, items_expected: int) -> None:
        self._table, self._compared, self._expected = table, 0, items_expected
        self.moved(0)

    def moved(self, items: int) -> None:
        self._compared += items
        self._lines.show(
            printable(self._table),
            done=self._compared,
            total=self._expected,
            words=f"{self._compared:,} of about {self._expected:,} items",
        )
