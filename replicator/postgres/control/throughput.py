"""Throughput of every worker, stored by each, so that any of them can tell the sum."""

import json
from collections.abc import Mapping

import asyncpg

from replicator.postgres.connection.database import Database
from replicator.postgres.connection.quoting import quote_identifier

WRITE = """
update {schema}.worker set records_minute = $3::text::jsonb where deployment = $1 and id = $2
"""

READ = """
select counted.key as source, sum(counted.value::bigint)::bigint as records
  from {schema}.worker as w, jsonb_each_text(w.records_minute) as counted
 where w.deployment = $1 and w.seen_at > now() - make_interval(secs => $2)
 group by counted.key
"""


async def write_throughput(database: Database, worker_id: str, records: Mapping[str, int]) -> None:
    """The records that a worker handled within the last minute, by table."""
    text = WRITE.format(schema=quote_identifier(database.control_schema))
    async with database.connection("writing down how much is handled") as connection:
        await connection.execute(text, database.deployment, worker_id, json.dumps(dict(records)))


async def read_throughput(
    database: Database, connection: asyncpg.Connection, *, living_seconds: float
) -> dict[str, int]:
    """The records that all living workers handled within a minute, by table."""
    text = READ.format(schema=quote_identifier(database.control_schema))
    rows = await connection.fetch(text, database.deployment, living_seconds)
    return {row["source"]: row["records"] for row in rows}
