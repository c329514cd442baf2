"""`replicator pause` and `replicator resume`: stop one table by hand, and let it go on."""

import asyncio
from datetime import datetime

from replicator.app.control_database import control_database, registered_tables, require_registered
from replicator.cli.terminal.durations import in_utc
from replicator.cli.terminal.options import (
    ConfigFile,
    TableOption,
    Who,
    Why,
    load_settings,
    this_user,
)
from replicator.cli.terminal.output import print_line, print_note, print_prose
from replicator.config.settings import Settings
from replicator.core.status.assemble import overview
from replicator.core.status.diagnosis import Problem, to_restart
from replicator.core.status.durations import in_words
from replicator.core.stream.gaps import Unread, lost_from, unread
from replicator.core.stream.shards import TableFacts
from replicator.core.stream.source_kind import DYNAMODB_STREAMS
from replicator.postgres.control.incidents import Incidents
from replicator.postgres.control.positions import Positions
from replicator.postgres.control.status_reads import read_knowledge


def pause(
    *, table: TableOption, why: Why = None, who: Who = None, config: ConfigFile = None
) -> None:
    """Stop writing a table until it is resumed, and say when data starts to be lost.

    Nothing more of the table is written from the moment this returns; the other tables go on.
    The stream keeps changes for 24 hours: what is older and unread when it is resumed is lost.
    Who did it and why is recorded.

    Example: replicator pause --table orders --why "the target is being rebuilt"
    """

    settings = load_settings(config)
    before, left, now = asyncio.run(_pause(settings, table, who or this_user(), why))
    print_line(f"{table} was paused already" if before.paused else f"{table} is paused")
    _print_deadline(table, left, now)


def resume(
    *, table: TableOption, why: Why = None, who: Who = None, config: ConfigFile = None
) -> None:
    """Let a table go on that was paused by hand or halted by a failure.

    A halt whose cause is still there comes back at once. A gap is not lifted: `gaps accept` does
    that. Who did it and why is recorded.

    Example: replicator resume --table orders
    """

    settings = load_settings(config)
    before, living, restarts = asyncio.run(_resume(settings, table, who or this_user(), why))
    _print_resumed(before)
    for restart in restarts:
        print_note(f"{restart.what}\n  {restart.remedy}")
    if before.gaps:
        count = f"{len(before.gaps)} gaps" if len(before.gaps) > 1 else "a gap"
        print_line(f"It stays stopped, because {count} must be accepted first:")
        print_line(f"  replicator gaps list --table {table}")
    elif not living:
        print_note("no worker was seen within the last minute: start one with `replicator run`")
    elif before.paused or before.halted:
        print_line("Workers go on where it stopped, within a few seconds.")


async def _pause(
    settings: "Settings", table: str, who: str, why: str | None
) -> tuple["TableFacts", "Unread | None", "datetime"]:

    async with control_database(settings) as database:
        before = require_registered(table, settings, await registered_tables(database))
        await Incidents(database).set_paused(table, paused=True, who=who, why=why)
        knowledge, now = await read_knowledge(database)
    shards = [shard for shard in knowledge.shards if shard.source == table]
    return before, unread(shards), now


async def _resume(
    settings: "Settings", table: str, who: str, why: str | None
) -> tuple["TableFacts", bool, list["Problem"]]:

    async with control_database(settings) as database:
        before = require_registered(table, settings, await registered_tables(database))
        await Incidents(database).set_paused(table, paused=False, who=who, why=why)
        living = bool(await Positions(database).living(within_seconds=60.0))
        knowledge, now = await read_knowledge(database)
    status = overview(knowledge, now=now)
    restarts = [
        problem for each in status.tables if each.source == table for problem in to_restart(each)
    ]
    return before, living, restarts


def _print_deadline(table: str, left: "Unread | None", now: "datetime") -> None:
    if left is None:
        print_line("Its stream has nothing on record that is unread.")
    elif left.since is None:
        print_line("Data may be lost at any time: some of its stream was never read, and what it")
        print_line("holds may be up to 24 hours old, which is as long as a stream keeps it.")
    else:
        _print_instants(left.since, now)
    print_line(f"  replicator resume --table {table}")


def _print_instants(since: "datetime", now: "datetime") -> None:

    end = lost_from(since, retention=DYNAMODB_STREAMS.retention)
    print_line(f"The oldest change that may be unread is of {in_utc(since)}; a stream keeps 24 h.")
    if end <= now:
        print_line(f"Data may be lost already: since {in_utc(end)}.")
        return
    left = in_words((end - now).total_seconds())
    print_line(f"Data starts to be lost at {in_utc(end)}, in {left}.")
    print_line("Let it go on half an hour before that, or a gap will be reported:")


def _print_resumed(before: "TableFacts") -> None:
    if before.halted:
        print_line(f"{before.source} is not halted any more; it was because")
        print_prose(before.reason or "no reason is on record", indent="  ")
    if before.paused:
        print_line(f"{before.source} is not paused any more")
    if not before.paused and not before.halted:
        print_line(f"{before.source} was neither paused nor halted")
