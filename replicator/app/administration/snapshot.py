"""Snapshots of tables: asked for, watched to the end, and cancelled."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from replicator.app.administration.open_control_schema import (
    control_database,
    registered_tables,
    require_registered,
)
from replicator.config.settings import Settings
from replicator.core.snapshot.snapshot_progress import SnapshotStatus, snapshot_status
from replicator.core.snapshot.snapshot_state import SnapshotOrigin
from replicator.core.status.table_verdict import WORKER_SECONDS
from replicator.errors import ConfigurationError
from replicator.postgres.control.snapshot.snapshot_reads import read_snapshot
from replicator.postgres.control.snapshot.snapshots import Snapshots
from replicator.postgres.control.worker_heartbeats import WorkerHeartbeats

POLL_SECONDS = 0.5
"""Pause between two readings of a snapshot that is watched."""
_EXPORT_ARN = re.compile(r"arn:[\w-]+:dynamodb:[\w-]+:\d{12}:table/[\w.-]+/export/[\w-]+")


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """A snapshot as a person asks for it.

    `force`: delete stale rows in any number. `export_arn`: the export to load, where
    `origin` is `export`; None: the workers ask for one.
    """

    table: str
    who: str
    why: str | None
    force: bool
    origin: SnapshotOrigin
    export_arn: str | None


async def ask_for_snapshot(settings: Settings, request: SnapshotRequest) -> tuple[int, bool]:
    """The number of the snapshot to be watched, and True when workers are alive.

    A snapshot that is asked for or under way already is the answer, unless the table has open
    gaps. ConfigurationError when an export has no bucket to go to, or an ARN is none.
    """
    if request.origin == "export" and not (request.export_arn or settings.export.bucket):
        message = "there is no bucket that an export could be written to"
        raise ConfigurationError(message, remedy="set export.bucket, or give --export-arn")
    if request.export_arn is not None and not _EXPORT_ARN.fullmatch(request.export_arn):
        message = f"{request.export_arn!r} is not the ARN of an export of a table"
        remedy = "`aws dynamodb list-exports` shows them"
        raise ConfigurationError(message, remedy=remedy)
    table, who, why = request.table, request.who, request.why
    async with control_database(settings) as database:
        facts = require_registered(table, settings, await registered_tables(database))
        snapshots = Snapshots(database)
        number = await snapshots.force(table, who=who, why=why) if request.force else None
        if number is None and request.export_arn is not None:
            number = await snapshots.give_export(table, request.export_arn, who=who, why=why)
        if number is None and not facts.gaps:
            known = (await snapshots.facts()).get(table, [])
            open_ = [each for each in known if each.unfinished]
            same = [each.id for each in open_ if request.origin in ("scan", each.origin)]
            number = next(iter(same), None)  # without a word of an export, whatever is under way
        if number is None:
            number = await snapshots.ask(
                table,
                "asked",
                who=who,
                why=why,
                forced=request.force,
                origin=request.origin,
                given_export=request.export_arn,
            )
        return number, bool(await WorkerHeartbeats(database).living(within_seconds=WORKER_SECONDS))


async def watch_snapshot(
    settings: Settings, table: str, number: int, show: Callable[[SnapshotStatus], None]
) -> SnapshotStatus:
    """Show the progress of a snapshot until the snapshot is over or waits for a person."""
    async with control_database(settings) as database:
        while True:
            found, now = await read_snapshot(database, table, number)
            status = snapshot_status(found, now=now)
            show(status)
            if status.state not in ("asked", "running"):
                return status
            await asyncio.sleep(POLL_SECONDS)


async def cancel_snapshots(
    settings: Settings, table: str, *, who: str, why: str | None
) -> tuple[list[int], int]:
    """Numbers of the snapshots of a table that were ended, and of the gaps that are open now."""
    async with control_database(settings) as database:
        require_registered(table, settings, await registered_tables(database))
        numbers = await Snapshots(database).cancel(table, who=who, why=why)
        return numbers, len((await registered_tables(database))[table].gaps)
