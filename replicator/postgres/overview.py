"""Reads from the control schema what a status is made of."""

from datetime import datetime

from replicator.core.overview import Knowledge
from replicator.core.status import WorkerStatus
from replicator.postgres.database import Database
from replicator.postgres.positions import Positions
from replicator.postgres.quoting import quote_identifier

DEAD_LETTERS = """
select source, target, count(*) as open
  from {schema}.dead_letter
 where deployment = $1 and state = 'open'
 group by source, target
"""

WORKERS = """
select id, leases, extract(epoch from now() - seen_at)::float8 as seen_seconds_ago
  from {schema}.worker
 where deployment = $1
 order by id
"""

NOW = "select now()"
LIVING_SECONDS = 60.0


async def read_knowledge(
    database: Database, *, living_seconds: float = LIVING_SECONDS
) -> tuple[Knowledge, datetime]:
    """What the control schema knows, and PostgreSQL's own time of the reading."""
    positions = Positions(database)
    schema = quote_identifier(database.control_schema)
    tables = await positions.tables()
    shards = await positions.shards(list(tables))
    async with database.connection("reading the status") as connection:
        letters = await connection.fetch(DEAD_LETTERS.format(schema=schema), database.deployment)
        rows = await connection.fetch(WORKERS.format(schema=schema), database.deployment)
        now: datetime = await connection.fetchval(NOW)
    dead_letters: dict[str, dict[str, int]] = {}
    for row in letters:
        dead_letters.setdefault(row["source"], {})[row["target"]] = row["open"]
    workers = tuple(WorkerStatus(row["id"], row["leases"], row["seen_seconds_ago"]) for row in rows)
    living = frozenset(worker.id for worker in workers if worker.seen_seconds_ago < living_seconds)
    return (
        Knowledge(database.deployment, tables, shards, dead_letters, workers, living),
        now,
    )
