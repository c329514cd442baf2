"""`verify --repair`: differing rows are written through the row guard, as a snapshot of its own."""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from replicator.clock import Clock
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.telemetry_events import Observe
from replicator.engine.backoff import with_retries
from replicator.engine.snapshot.plan_and_apply_page import PagePipeline
from replicator.engine.snapshot.read_rate_limit import PacedItems
from replicator.engine.verify.repair_rows import Faulty, Repair
from replicator.errors import ReplicatorError
from replicator.postgres.connection.database import Database
from replicator.postgres.control.snapshot.segment_claims import Segments
from replicator.postgres.control.snapshot.snapshot_reads import read_snapshot
from replicator.postgres.control.snapshot.snapshots import Snapshots
from replicator.postgres.control.snapshot.verify_repair_snapshots import begin_repair
from replicator.postgres.write.plan_writer import SegmentSink


@dataclass(frozen=True, slots=True)
class Asked:
    """Person who asks for a repair, and the reason, for the record."""

    who: str
    why: str | None


async def repair(
    database: Database,
    mapping: TableMapping,
    items: PacedItems,
    faulty: Sequence[Faulty],
    asked: Asked,
    *,
    observe: Observe,
    clock: Clock,
) -> None:
    """Enter `guard`, write what is true of the given keys, and leave `guard` again, whatever
    happens."""
    name = mapping.spec.name
    number = await begin_repair(
        database,
        name,
        [each.target.name for each in faulty],
        keys=sum(len(each.keys) for each in faulty),
        who=asked.who,
        why=asked.why,
    )
    pages = PagePipeline(name, mapping, SegmentSink(database, mapping), observe, clock)
    worker_id = f"repair-{socket.gethostname()[:20]}-{os.getpid()}"
    claims = Segments(database, worker_id)
    work = Repair(mapping, number, items=items, claims=claims, pages=pages, clock=clock)
    try:
        await work.run(faulty)
    except (ReplicatorError, asyncio.CancelledError):
        await asyncio.shield(_end(database, name, number))
        raise
    await _end(database, name, number)


async def _end(database: Database, source: str, number: int) -> None:
    """Leave `guard`: as done when every segment is, else as abandoned."""
    snapshots = Snapshots(database)

    async def end() -> None:
        snapshot, _ = await read_snapshot(database, source, number)
        if not await snapshots.finish(snapshot):
            await snapshots.abandon(snapshot)

    await with_retries(end)
