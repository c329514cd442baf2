"""Pausing one table, and resuming a table that is paused or halted."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from replicator.app.administration.open_control_schema import (
    control_database,
    registered_tables,
    require_registered,
)
from replicator.config.settings import Settings
from replicator.core.status.assemble_status import overview
from replicator.core.status.table_verdict import WORKER_SECONDS, Problem, to_restart
from replicator.core.stream.gap_proof import Unread, unread
from replicator.core.stream.table_and_shard_facts import TableFacts
from replicator.postgres.control.status_reads import read_knowledge
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.worker_heartbeats import WorkerHeartbeats


@dataclass(frozen=True, slots=True)
class Paused:
    """A paused table. `unread`: the oldest change that is not read yet; None: every one is.

    `retention`: time for which the table's source keeps a change. `now`: PostgreSQL's clock.
    """

    already: bool
    unread: Unread | None
    retention: timedelta
    now: datetime


@dataclass(frozen=True, slots=True)
class Resumed:
    """A resumed table as the control schema had it `before`.

    `workers`: a worker was seen within the last minute. `restarts`: problems of the table that end
    only when a process is started again.
    """

    before: TableFacts
    workers: bool
    restarts: tuple[Problem, ...]


async def pause_table(settings: Settings, table: str, *, who: str, why: str | None) -> Paused:
    """Stop writing a table until `resume_table`."""
    async with control_database(settings) as database:
        before = require_registered(table, settings, await registered_tables(database))
        await GapsAndHalts(database).set_paused(table, paused=True, who=who, why=why)
        knowledge, now = await read_knowledge(database)
    shards = [shard for shard in knowledge.shards if shard.source == table]
    return Paused(before.paused, unread(shards), before.kept_for, now)


async def resume_table(settings: Settings, table: str, *, who: str, why: str | None) -> Resumed:
    """Lift pause and halt of a table; an open gap goes on stopping it."""
    async with control_database(settings) as database:
        before = require_registered(table, settings, await registered_tables(database))
        await GapsAndHalts(database).set_paused(table, paused=False, who=who, why=why)
        living = bool(await WorkerHeartbeats(database).living(within_seconds=WORKER_SECONDS))
        knowledge, now = await read_knowledge(database)
    status = overview(knowledge, now=now)
    restarts = (
        problem for each in status.tables if each.source == table for problem in to_restart(each)
    )
    return Resumed(before, living, tuple(restarts))
