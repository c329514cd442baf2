"""Facts of snapshots and the segments in the control schema."""

from collections.abc import Collection
from datetime import datetime

from replicator.core.snapshot.snapshot_state import SegmentFacts, SnapshotFacts
from replicator.errors import ConfigurationError
from replicator.postgres.connection.database import Database

SNAPSHOTS = """
select id, source, reason, state, forced, who, why, detail, items_estimated,
       asked_at, started_at, ended_at, origin,
       (select case when count(*) = count(g.since) then min(g.since) end
          from {schema}.gap as g where g.snapshot_id = snapshot.id) as lost_since
  from {schema}.snapshot
 where deployment = $1 and ($2::text[] is null or source = any($2))
   and (state in ('asked', 'running', 'refused')
        or id in (select max(id) from {schema}.snapshot where deployment = $1 group by source))
 order by id
"""

ONE = """
select id, source, reason, state, forced, who, why, detail, items_estimated,
       asked_at, started_at, ended_at, now() as now, origin,
       (select case when count(*) = count(g.since) then min(g.since) end
          from {schema}.gap as g where g.snapshot_id = snapshot.id) as lost_since
  from {schema}.snapshot
 where deployment = $1 and source = $2 and id = $3
"""

LOADED = """
-- those that read every item and ended; a repair, a backfill or a heal replaces no change
select max(started_at) from {schema}.snapshot
 where deployment = $1 and source = $2 and state = 'done'
   and reason in ('initial', 'gap', 'asked') and origin <> 'changes'
"""

SEGMENTS = """
select g.snapshot_id, g.number, g.target, g.parts, g.state, g.owner, g.items, g.rows, g.read_units,
       g.phase
  from {schema}.segment as g
 where g.snapshot_id = any($1::bigint[])
 order by g.snapshot_id, g.number
"""


async def read_snapshots(
    database: Database, sources: Collection[str] | None = None
) -> dict[str, list[SnapshotFacts]]:
    """Snapshots that are not over, and the newest, by table and in the order of the requests.

    Of the given tables, or of all.
    """
    control = database.control
    asked = database.deployment, None if sources is None else list(sources)
    async with database.connection("reading the snapshots") as connection:
        rows = await connection.fetch(control.sql(SNAPSHOTS), *asked)
        ids = [row["id"] for row in rows]
        parts = await connection.fetch(control.sql(SEGMENTS), ids) if ids else []
    segments: dict[int, list[SegmentFacts]] = {}
    for part in parts:
        segments.setdefault(part["snapshot_id"], []).append(SegmentFacts(**part))
    found: dict[str, list[SnapshotFacts]] = {}
    for row in rows:
        facts = SnapshotFacts(**row, segments=tuple(segments.get(row["id"], ())))
        found.setdefault(row["source"], []).append(facts)
    return found


async def read_snapshot(
    database: Database, source: str, number: int
) -> tuple[SnapshotFacts, datetime]:
    """One snapshot, however old, and PostgreSQL's time of the reading."""
    control = database.control
    async with database.connection("reading a snapshot") as connection:
        row = await connection.fetchrow(control.sql(ONE), database.deployment, source, number)
        if row is None:
            message = f"snapshot {number} of table {source!r} is not on record any more"
            raise ConfigurationError(message, remedy="the table was forgotten meanwhile")
        parts = await connection.fetch(control.sql(SEGMENTS), [number])
    fields = dict(row)
    now: datetime = fields.pop("now")
    return SnapshotFacts(**fields, segments=tuple(SegmentFacts(**p) for p in parts)), now


async def loaded_since(database: Database, source: str) -> datetime | None:
    """Start of the newest finished snapshot of a whole table; None when there is none."""
    control = database.control
    async with database.connection("reading the snapshots") as connection:
        found: datetime | None = await connection.fetchval(
            control.sql(LOADED), database.deployment, source
        )
    return found
