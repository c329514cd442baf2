"""`replicator gaps`: places where changes may be lost, and the command that resumes the table."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from shlex import quote
from typing import Annotated, Any

import typer

from replicator.app.administration.gaps import accept_gaps, heal_gaps, open_gaps
from replicator.cli.snapshot import follow
from replicator.cli.terminal.durations_and_times import in_utc
from replicator.cli.terminal.options import (
    AsJson,
    ConfigFile,
    Detach,
    OnlyTable,
    RequiredWhy,
    TableOption,
    Who,
    Why,
    load_settings,
    this_user,
)
from replicator.cli.terminal.output import (
    print_document,
    print_line,
    print_prose,
    print_table,
)
from replicator.clock import SystemClock
from replicator.core.snapshot.export_windows import windows
from replicator.core.snapshot.scan_and_export_cost import EXPORT_PER_GIGABYTE, changes_cost_min
from replicator.core.stream.gap_proof import how_to_mend
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.table_and_shard_facts import GapFacts, TableFacts

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

GapId = Annotated[
    int | None,
    typer.Option("--id", metavar="N", min=1, help="Only this gap. Default: all of the table."),
]


@app.callback()
def gaps() -> None:
    """Show where changes may be lost, and accept the loss.

    Example: replicator gaps list
    """


@app.command("list")
def list_gaps(
    *, table: OnlyTable = None, as_json: AsJson = False, config: ConfigFile = None
) -> None:
    """Show the open gaps, oldest first.

    `certain`: unread changes were seen before being trimmed. `possible`: there is no proof.
    A table with an open gap is stopped.

    Example: replicator gaps list --table orders
    """

    found = asyncio.run(open_gaps(load_settings(config), table))
    if as_json:
        print_document(
            {"gaps": [_document(gap, found.orderings[gap.source]) for gap in found.gaps]}
        )
    elif not found.gaps:
        print_line("no open gaps")
    else:
        _print(found.gaps, found.orderings, SystemClock().now())


@app.command(short_help="Accept what fell into them, and resume the table")
def accept(
    *,
    table: TableOption,
    why: RequiredWhy,
    gap_id: GapId = None,
    who: Who = None,
    config: ConfigFile = None,
) -> None:
    """Accept that what fell into a table's gaps is lost, and resume the table.

    Whatever the stream still holds is then read. Rows of items that changed in the gap differ
    from the source until the items change again, or the table is loaded again. Who accepted it
    and why is recorded.

    Example: replicator gaps accept --table orders --why "only test data was written that day"
    """

    settings = load_settings(config)
    done = asyncio.run(accept_gaps(settings, table, gap_id, who=who or this_user(), why=why))
    if not done.accepted:
        print_line(f"{table} has no open gap")
        return
    for gap in done.accepted:
        print_line(f"accepted gap {gap.id} of {table} ({gap.kind}, {_where(gap)})")
        print_prose(gap.detail, indent="  ")
    print_line("Rows of items that changed in it differ from the source until the items change")
    print_line("again, or the table is loaded again.")
    _print_next(done.after)


@app.command(short_help="Load what changed in them from incremental exports")
def heal(
    *,
    table: TableOption,
    detach: Detach = False,
    why: Why = None,
    who: Who = None,
    config: ConfigFile = None,
) -> None:
    """Load what changed in a table's gaps from incremental exports to S3, beside the stream.

    The workers ask for an export of each day since the gaps began, and write what the stream has
    not written since. Nothing is scanned; deletions are known. Where that cannot be, for
    want of point-in-time recovery or because a gap is too old, the whole table is loaded instead,
    and the snapshot's detail says why. The gaps are closed when that is done; `replicator snapshot
    --cancel` opens them again. See docs/operations/exports.md.

    Ends as `replicator snapshot` does.

    Example: replicator gaps heal --table orders --why "the workers were down for three days"
    """

    settings, who = load_settings(config), who or this_user()
    number, gaps = asyncio.run(heal_gaps(settings, table, who=who, why=why))
    cost = _cost(gaps, SystemClock().now())
    print_line(f"snapshot {number} of {table} is asked for: {cost}")
    if detach:
        print_line("  replicator status")
        return
    follow(settings, table, number, again=("To end it:", "--cancel"))


def _cost(gaps: "Sequence[GapFacts]", now: "datetime") -> str:
    """Number of exports that heal the gaps, and the price."""
    if any(gap.since is None for gap in gaps):
        return "nobody knows when its gap began: the whole table is scanned"
    exports = len(windows([cut for gap in gaps for cut in gap.cuts], now))
    return (
        f"{exports} incremental exports, {EXPORT_PER_GIGABYTE:.2f} USD in us-east-1 for each GB "
        f"that changed, {changes_cost_min(exports):.2f} USD at least"
    )


def _print(
    found: "Sequence[GapFacts]", orderings: "Mapping[str, OrderingMode]", now: "datetime"
) -> None:

    print_table(
        ("ID", "TABLE", "KIND", "FOUND"),
        [[str(gap.id), gap.source, gap.kind, in_utc(gap.found_at)] for gap in found],
    )
    print_line("")
    for gap in found:
        print_prose(f"gap {gap.id}, {_where(gap)}: {gap.detail}")
        if orderings[gap.source].poller == "daemon":
            heal = f"replicator gaps heal --table {quote(gap.source)}"
            print_prose(f"`{heal}`: {_cost([gap], now)}", indent="  ")
    print_line("")
    print_line("A table is resumed when it is loaded again, or its gaps are accepted:")
    for source in sorted({gap.source for gap in found}):
        print_prose(how_to_mend(source, orderings[source]), indent="  ")


def _print_next(after: "TableFacts") -> None:
    if after.gaps:
        numbers = ", ".join(str(gap.id) for gap in after.gaps)
        print_line(f"It stays stopped: still open are the gaps {numbers}.")
    elif after.halted:
        print_line("It stays stopped, because it is halted:")
        print_line(f"  replicator resume --table {after.source}")
    elif after.paused:
        print_line("It stays stopped, because it is paused:")
        print_line(f"  replicator resume --table {after.source}")
    else:
        print_line("Workers go on within a few seconds, with the oldest change that is left.")


def _where(gap: "GapFacts") -> str:
    return f"shard {gap.shard_id}" if gap.shard_id is not None else "between two streams"


def _document(gap: "GapFacts", ordering: "OrderingMode") -> dict[str, Any]:

    return {
        "id": gap.id,
        "source": gap.source,
        "stream_arn": gap.stream_arn,
        "shard_id": gap.shard_id,
        "kind": gap.kind,
        "detail": gap.detail,
        "found_at": gap.found_at,
        "since": gap.since,
        "remedy": how_to_mend(gap.source, ordering),
    }
