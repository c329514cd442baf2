"""`replicator snapshot`: ask the workers to load a table beside the stream, and watch."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from replicator.app.administration.snapshot import (
    SnapshotRequest,
    ask_for_snapshot,
    cancel_snapshots,
    watch_snapshot,
)
from replicator.cli.terminal.options import (
    ConfigFile,
    Detach,
    TableOption,
    Who,
    Why,
    load_settings,
    this_user,
)
from replicator.cli.terminal.output import ExitCode, print_line, print_note, print_prose, printable
from replicator.clock import Clock, SystemClock
from replicator.config.settings import Settings
from replicator.core.snapshot.snapshot_progress import SnapshotStatus
from replicator.core.snapshot.snapshot_state import SnapshotOrigin
from replicator.core.status.duration_words import in_words
from replicator.errors import ConfigurationError

LINE_SECONDS = 10.0


@contextmanager
def _watching(table: str) -> Iterator[Callable[[SnapshotStatus], None]]:
    """Shows one status after the other: as a bar on a terminal, elsewhere as a line at times."""
    if not sys.stderr.isatty():
        yield StatusLines(SystemClock()).show
        return
    # who asks for less, such as `gaps list`, does not draw
    from rich.console import Console

    from replicator.cli.terminal.progress_line import progress_lines

    with progress_lines(Console(stderr=True)) as lines:
        yield lambda status: lines.show(
            printable(table), done=status.done_share, total=1, words=progress_text(status)
        )


class StatusLines:
    """Says a status that changed, at most once in LINE_SECONDS."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said_at = float("-inf")
        self._said = ""

    def show(self, status: SnapshotStatus) -> None:
        """Print the status, when due."""
        text, now = progress_text(status), self._clock.monotonic()
        if text != self._said and now - self._said_at >= LINE_SECONDS:
            self._said, self._said_at = text, now
            print_note(text)


def progress_text(status: "SnapshotStatus") -> str:
    """Items, and the expected time."""
    if status.state == "asked":
        return "waiting for a worker"
    of = f" of about {status.items_estimated:,}" if status.items_estimated else ""
    text = f"{status.items:,}{of} items"
    if status.seconds_left is not None:
        text += f", about {in_words(status.seconds_left)} left"
    return text if status.detail is None else f"{text}: {status.detail}"


Cancel = Annotated[
    bool,
    typer.Option("--cancel", help="End the snapshot that is asked for or under way."),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Delete the rows of items that are gone however many there are, also where it waits.",
    ),
]

FromExport = Annotated[
    bool,
    typer.Option(
        "--from-export", help="Load an export to S3 instead of scanning: no read unit is used."
    ),
]
ExportArn = Annotated[
    str | None,
    typer.Option(
        "--export-arn",
        metavar="ARN",
        help="With --from-export: this one, made after the snapshot began, instead of asking.",
        show_default=False,
    ),
]


def snapshot(
    *,
    table: TableOption,
    detach: Detach = False,
    cancel: Cancel = False,
    force: Force = False,
    from_export: FromExport = False,
    export_arn: ExportArn = None,
    why: Why = None,
    who: Who = None,
    config: ConfigFile = None,
) -> None:
    """Load a whole table, again or for the first time, beside the running stream.

    The workers do it; the command only asks, and shows how far they are. Ctrl-C leaves them at
    it. Rows whose items are gone are deleted at the end, as `on_delete` says; where that would be
    suspiciously many, a person must decide (`--force` or `--cancel`). Open gaps of the table are
    accepted, and healed when it is done; `--cancel` opens them again. Who asked and why is
    recorded.

    With `--from-export` the items come from an export to S3, which the workers ask for and which
    takes no read units; see docs/operations/exports.md.

    Ends with 0 when it is done, with 3 when the deletion of stale rows or an export waits for a
    person, or it was cancelled.

    Example: replicator snapshot --table orders --why "rows were changed by hand"
    """

    settings, who = load_settings(config), who or this_user()
    if cancel:
        _print_cancelled(table, *asyncio.run(cancel_snapshots(settings, table, who=who, why=why)))
        return
    if export_arn is not None and not from_export:
        message = "--export-arn says which export is loaded, and nothing says that one is"
        raise ConfigurationError(message, remedy="add --from-export")
    origin: SnapshotOrigin = "export" if from_export else "scan"
    request = SnapshotRequest(table, who, why, force, origin, export_arn)
    number, living = asyncio.run(ask_for_snapshot(settings, request))
    print_line(f"snapshot {number} of {table} is asked for")
    if not living:
        print_note(
            "no worker was seen within the last minute: start one with `replicator run`; with "
            "`--until-caught-up` it ends when the table is loaded"
        )
    if detach:
        print_line("  replicator status")
        return
    follow(settings, table, number, again=("To see it again, or to end it:", "[--cancel]"))


def follow(settings: Settings, table: str, number: int, *, again: tuple[str, str]) -> None:
    """Show a snapshot until its end, and print the outcome; typer.Exit unless the snapshot is done.

    `again`: purpose and option of the command that is named when a person presses Ctrl-C.
    """
    try:
        with _watching(table) as show:
            ended = asyncio.run(watch_snapshot(settings, table, number, show))
    except KeyboardInterrupt:
        purpose, option = again
        print_note(f"\nThe workers go on with it. {purpose}")
        print_note(f"  replicator snapshot --table {table} {option}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    _print_end(table, ended)


def _print_cancelled(table: str, numbers: list[int], gaps: int) -> None:
    if not numbers:
        print_line(f"no snapshot of {table} is asked for or under way")
        return
    print_line(f"cancelled of {table}: snapshot {', '.join(map(str, numbers))}")
    print_line("What it has written stays, and so do stale rows that it has not deleted yet.")
    if gaps:
        print_line("What it was to heal is open again, and the table is stopped until you decide:")
        print_line(f"  replicator gaps list --table {table}")


def _print_end(table: str, ended: "SnapshotStatus") -> None:
    if ended.state == "done":
        counts = f"{ended.items} items read, {ended.swept} stale rows deleted"
        units = f"{ended.read_units:.0f} read units"
        print_line(f"snapshot {ended.id} of {table} is done: {counts}, {units}")
        return
    if ended.state == "refused":
        print_line(f"snapshot {ended.id} of {table} waits for you:")
        print_prose(ended.detail or "", indent="  ")
        if not ended.loaded:
            print_line(f"  replicator snapshot --table {table} --cancel   ends it")
            raise typer.Exit(ExitCode.STOPPED)
        print_line(f"  replicator snapshot --table {table} --cancel   keeps those rows")
        print_line(f"  replicator snapshot --table {table} --force    deletes them")
    else:
        print_line(f"snapshot {ended.id} of {table} was cancelled: {ended.detail or 'by hand'}")
    raise typer.Exit(ExitCode.STOPPED)
