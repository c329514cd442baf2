"""Reads from the control schema what a status is made of."""

import json
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

import asyncpg

from replicator.core.status.assemble_status import Knowledge
from replicator.core.status.deployment_status import LetterStatus, WorkerStatus
from replicator.core.status.worker_report import report_of
from replicator.core.stream.table_and_shard_facts import Pause
from replicator.postgres.connection.database import Database
from replicator.postgres.control.attribute_drift import read_drift
from replicator.postgres.control.snapshot.snapshots import Snapshots
from replicator.postgres.control.status_shards import read_applied, read_status_shards
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.control.verification_results import last_verified
from replicator.postgres.control.worker_report_store import read_throughput

DEAD_LETTERS = """
-- every target is there, with 0 where nothing is open
select source, target, sum(open)::bigint as open
  from (select source, target, count(*) as open
          from {schema}.dead_letter
         where deployment = $1 and state = 'open'
         group by source, target
         union all
        select source, target_schema || '.' || target_table, 0
          from {schema}.target_claim
         where deployment = $1) as each
 group by source, target
"""

NEWEST_LETTERS = """
select distinct on (source) source, id, target, reason, first_seen
  from {schema}.dead_letter
 where deployment = $1 and state = 'open'
 order by source, id desc
"""

WORKERS = """
select id, leases, evidence::text as evidence,
       extract(epoch from now() - greatest(seen_at, told_at))::float8 as seen_seconds_ago,
       extract(epoch from now() - told_at)::float8 as told_seconds_ago
  from {schema}.worker
 where deployment = $1
 order by id
"""

PAUSES = """
-- the first since the last `resume`: a repeated `pause` changes nothing
select distinct on (source) source, who, why
  from {schema}.action as a
 where deployment = $1 and source = any($2::text[]) and verb = 'pause'
   and id > coalesce((select max(id) from {schema}.action as resumed
                       where (resumed.deployment, resumed.source) = (a.deployment, a.source)
                         and resumed.verb = 'resume'), 0)
 order by source, id
"""

NOW = "select now()"
LIVING_SECONDS = 60.0


async def read_knowledge(
    database: Database, *, living_seconds: float = LIVING_SECONDS
) -> tuple[Knowledge, datetime]:
    """Facts of the control schema, and the time of the reading:

    the source's time, as told by workers; PostgreSQL's where none has told one lately.
    """
    control = database.control
    tables = await ShardStore(database).tables()
    snapshots = await Snapshots(database).facts()
    async with database.connection("reading the status") as connection:
        shards = await read_status_shards(database, connection)
        letters, rows = [
            await connection.fetch(control.sql(statement), database.deployment)
            for statement in (DEAD_LETTERS, WORKERS)
        ]
        applied = await read_applied(database, connection)
        newest = (
            await connection.fetch(control.sql(NEWEST_LETTERS), database.deployment)
            if any(row["open"] for row in letters)
            else []
        )
        paused = [source for source, table in tables.items() if table.paused]
        pauses = (
            await connection.fetch(control.sql(PAUSES), database.deployment, paused)
            if paused
            else []
        )
        verified = await last_verified(database, connection)
        drift = await read_drift(database, connection)
        throughput = await read_throughput(database, connection, living_seconds=living_seconds)
        now: datetime = await connection.fetchval(NOW)
    dead_letters: dict[str, dict[str, int]] = {}
    for row in letters:
        dead_letters.setdefault(row["source"], {})[row["target"]] = row["open"]
    workers = tuple(_worker(row) for row in rows)
    living = frozenset(worker.id for worker in workers if worker.seen_seconds_ago < living_seconds)
    return (
        Knowledge(
            database.deployment,
            tables,
            shards.shards,
            dead_letters,
            workers,
            living,
            snapshots=snapshots,
            newest_letters={
                row["source"]: LetterStatus(
                    row["id"], row["target"], row["reason"], row["first_seen"]
                )
                for row in newest
            },
            applied=applied,
            verified=verified,
            drift=drift,
            throughput=throughput,
            pauses={row["source"]: Pause(row["who"], row["why"]) for row in pauses},
            ended=shards.ended,
            followed=shards.followed,
        ),
        _source_time(workers, living) or now,
    )


def _worker(row: asyncpg.Record) -> WorkerStatus:
    return WorkerStatus(
        row["id"],
        row["leases"],
        row["seen_seconds_ago"],
        report=report_of(json.loads(row["evidence"])),
        told_seconds_ago=row["told_seconds_ago"],
    )


def _source_time(workers: Iterable[WorkerStatus], living: Collection[str]) -> datetime | None:
    told = [
        (worker.told_seconds_ago, worker.report.now)
        for worker in workers
        if worker.id in living and worker.report is not None and worker.told_seconds_ago is not None
    ]
    if not told:
        return None
    seconds, at = min(told)
    return at + timedelta(seconds=seconds)
