"""Evidence of the workers' work: each worker writes a row, and any reader can judge."""

import json
from collections.abc import Mapping

import asyncpg

from replicator.core.status.worker_report import WorkerReport, report_document
from replicator.postgres.connection.database import Database

TELL = """
-- One that has left stays away: its row has gone.
update {schema}.worker
   set told_at = now(), evidence = $3::text::jsonb, records_minute = $4::text::jsonb
 where deployment = $1 and id = $2
"""

TELL_FIRST = """
-- A worker that has not got as far as a look is here, too, and counts as none that takes leases.
insert into {schema}.worker (deployment, id, version, seen_at, told_at, evidence, records_minute)
values ($1, $2, $5, 'epoch', now(), $3::text::jsonb, $4::text::jsonb)
    on conflict (deployment, id)
    do update set told_at = now(), evidence = excluded.evidence,
                  records_minute = excluded.records_minute
"""

THROUGHPUT = """
select counted.key as source, sum(counted.value::bigint)::bigint as records
  from {schema}.worker as w, jsonb_each_text(w.records_minute) as counted
 where w.deployment = $1
   and greatest(w.seen_at, w.told_at) > now() - make_interval(secs => $2)
 group by counted.key
"""


async def tell_report(
    database: Database,
    worker_id: str,
    report: WorkerReport,
    records: Mapping[str, int],
    *,
    first_of_version: str | None = None,
) -> None:
    """Write down what a worker has to show, and how many records it handled within a minute.

    A worker that has had no look yet says its version, as such a worker may not be on record.
    """
    control = database.control
    told = (
        database.deployment,
        worker_id,
        json.dumps(report_document(report)),
        json.dumps(dict(records)),
    )
    async with database.connection("telling what was done") as connection:
        if first_of_version is None:
            await connection.execute(control.sql(TELL), *told)
        else:
            await connection.execute(control.sql(TELL_FIRST), *told, first_of_version)


async def read_throughput(
    database: Database, connection: asyncpg.Connection, *, living_seconds: float
) -> dict[str, int]:
    """The records that all living workers handled within a minute, by table."""
    text = database.control.sql(THROUGHPUT)
    rows = await connection.fetch(text, database.deployment, living_seconds)
    return {row["source"]: row["records"] for row in rows}
