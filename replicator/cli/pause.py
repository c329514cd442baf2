"""`replicator pause` and `replicator resume`: one table is stopped by hand, or resumed."""

import asyncio
from datetime import datetime

from replicator.app.administration.pause import Paused, pause_table, resume_table
from replicator.cli.terminal.durations_and_times import in_utc
from replicator.cli.terminal.options import (
    ConfigFile,
    TableOption,
    Who,
    Why,
    load_settings,
    this_user,
)
from replicator.cli.terminal.output import print_line, print_note, print_prose
from replicator.core.status.duration_words import in_words
from replicator.core.stream.gap_proof import lost_from
from replicator.core.stream.table_and_shard_facts import TableFacts


def pause(
    *, table: TableOption, why: Why = None, who: Who = None, config: ConfigFile = None
) -> None:
    """Stop writing a table until it is resumed, and say when data starts to be lost.

    Nothing more of the table is written from the moment this returns; the other tables go on.
    A change that is still unread when the stream drops it is lost: after 24 hours, in DynamoDB
    Streams.
    Who did it and why is recorded.

    Example: replicator pause --table orders --why "the target is being rebuilt"
    """

    settings = load_settings(config)
    paused = asyncio.run(pause_table(settings, table, who=who or this_user(), why=why))
    print_line(f"{table} was paused already" if paused.already else f"{table} is paused")
    _print_deadline(table, paused)


def resume(
    *, table: TableOption, why: Why = None, who: Who = None, config: ConfigFile = None
) -> None:
    """Resume a table that was paused by hand or halted by a failure.

    A halt with a cause that is still there comes back at once. A gap is not lifted: `gaps accept`
    does that. Person and reason are recorded.

    Example: replicator resume --table orders
    """

    settings = load_settings(config)
    resumed = asyncio.run(resume_table(settings, table, who=who or this_user(), why=why))
    before = resumed.before
    _print_resumed(before)
    for restart in resumed.restarts:
        print_note(f"{restart.what}\n  {restart.remedy}")
    if before.gaps:
        count = f"{len(before.gaps)} gaps" if len(before.gaps) > 1 else "a gap"
        print_line(f"It stays stopped, because {count} must be accepted first:")
        print_line(f"  replicator gaps list --table {table}")
    elif not resumed.workers:
        print_note("no worker was seen within the last minute: start one with `replicator run`")
    elif before.paused or before.halted:
        print_line("Workers go on where it stopped, within a few seconds.")


def _print_deadline(table: str, paused: Paused) -> None:
    left, kept = paused.unread, in_words(paused.retention.total_seconds())
    if left is None:
        print_line("Its stream has nothing on record that is unread.")
    elif left.since is None:
        print_line("Data may be lost at any time: some of its stream was never read, and what it")
        print_line(f"holds may be up to {kept} old, which is as long as a stream keeps it.")
    else:
        _print_instants(left.since, paused, kept)
    print_line(f"  replicator resume --table {table}")


def _print_instants(since: datetime, paused: Paused, kept: str) -> None:
    end = lost_from(since, retention=paused.retention)
    print_prose(
        f"The oldest change that may be unread is of {in_utc(since)}; a stream keeps {kept}."
    )
    if end <= paused.now:
        print_line(f"Data may be lost already: since {in_utc(end)}.")
        return
    left = in_words((end - paused.now).total_seconds())
    print_line(f"Data starts to be lost at {in_utc(end)}, in {left}.")
    print_line("Resume it half an hour before that, or a gap will be reported:")


def _print_resumed(before: TableFacts) -> None:
    if before.halted:
        print_line(f"{before.source} is not halted any more; it was because")
        print_prose(before.reason or "no reason is on record", indent="  ")
    if before.paused:
        print_line(f"{before.source} is not paused any more")
    if not before.paused and not before.halted:
        print_line(f"{before.source} was neither paused nor halted")
