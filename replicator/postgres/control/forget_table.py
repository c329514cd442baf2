"""Drops all that the control schema knows of one table; the target tables are not touched."""

from collections.abc import Mapping
from dataclasses import dataclass

from replicator.errors import ConfigurationError
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.control.stream.gaps_and_halts import ACTION

LIVING_SECONDS = 60.0

COUNTED = """
select (select count(*) from {schema}.shard
         where (deployment, source) = ($1, $2)) as positions,
       (select count(*) from {schema}.gap
         where (deployment, source) = ($1, $2)) as gaps,
       (select count(*) from {schema}.dead_letter
         where (deployment, source) = ($1, $2)) as dead_letters,
       array(select target_schema || '.' || target_table from {schema}.target_claim
              where (deployment, source) = ($1, $2) order by 1) as targets
"""

STREAMS = """
-- all that ever were on record, so that no lease of an older one stays
select source, source_table,
       array(select stream_arn from {schema}.shard s
              where (s.deployment, s.source) = (t.deployment, t.source)
              union
             select stream_arn from {schema}.generation g
              where (g.deployment, g.source) = (t.deployment, t.source)) as stream_arns
  from {schema}.table_state t
 where deployment = $1
"""

LOCKED = """
-- until the end nobody claims a shard of it, resumes it or registers it again
select paused or halted as stopped
  from {schema}.table_state
 where deployment = $1 and source = $2
   for update
"""

OWNERS = """
select distinct w.id
  from {schema}.shard s
  join {schema}.worker w on (w.deployment, w.id) = (s.deployment, s.owner)
 where s.deployment = $1 and s.source = $2
   and w.seen_at > now() - make_interval(secs => $3)
 order by w.id
"""

BELONGING = (
    "shard",
    "segment",
    "snapshot",
    "gap",
    "generation",
    "listing",
    "target_claim",
    "dead_letter",
    "verification",
    "drift",
    "auto_column",
    "notice",
    "table_state",
)
"""Tables whose rows belong to a table of a deployment, in the order in which they are dropped."""

DROP = tuple(
    f"delete from {{schema}}.{table} where deployment = $1 and source = $2"  # noqa: S608 (ours)
    for table in BELONGING
)


@dataclass(frozen=True, slots=True)
class Record:
    """Amounts that the control schema holds of a table."""

    positions: int
    gaps: int
    dead_letters: int
    targets: tuple[str, ...]
    """Target tables that the table claims."""


@dataclass(frozen=True, slots=True)
class Streams:
    """The DynamoDB table (name or ARN) of a registered table, and the streams on record."""

    source_table: str
    stream_arns: frozenset[str]


class Forgetting:
    """Forgets tables of one deployment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deployment = database.deployment
        self._control = database.control

    async def record_of(self, source: str) -> Record:
        """Amounts that would be dropped."""
        async with self._database.connection("counting what is known") as connection:
            return await self._count(connection, source)

    async def streams(self) -> Mapping[str, Streams]:
        """The streams of every registered table."""
        async with self._database.connection("reading the streams") as connection:
            rows = await connection.fetch(self._control.sql(STREAMS), self._deployment)
        return {
            row["source"]: Streams(row["source_table"], frozenset(row["stream_arns"]))
            for row in rows
        }

    async def refuse_in_use(self, source: str) -> None:
        """ConfigurationError while a living worker holds shards of a table that is not stopped."""
        async with self._database.transaction("looking who works") as connection:
            await self._refuse_in_use(connection, source)

    async def forget(self, source: str, *, who: str, why: str | None) -> Record:
        """Drop every position, gap, dead letter and claim of a table, or nothing.

        ConfigurationError while it is in use. A batch in flight commits before or is fenced off.
        """
        async with self._database.transaction("forgetting a table") as connection:
            await self._refuse_in_use(connection, source)
            record = await self._count(connection, source)
            for text in DROP:
                await connection.execute(self._control.sql(text), self._deployment, source)
            await connection.execute(
                self._control.sql(ACTION), self._deployment, source, "forget", who, why, None
            )
        return record

    async def _refuse_in_use(self, connection: Session, source: str) -> None:
        stopped = await connection.fetchval(self._control.sql(LOCKED), self._deployment, source)
        if stopped:
            return
        rows = await connection.fetch(
            self._control.sql(OWNERS), self._deployment, source, LIVING_SECONDS
        )
        if rows:
            workers = ", ".join(row["id"] for row in rows)
            message = f"table {source!r} is being worked on by {workers}; nothing was dropped"
            remedy = f"run `replicator pause --table {source}` first, then forget it"
            raise ConfigurationError(message, remedy=remedy)

    async def _count(self, connection: Session, source: str) -> Record:
        [row] = await connection.fetch(self._control.sql(COUNTED), self._deployment, source)
        return Record(row["positions"], row["gaps"], row["dead_letters"], tuple(row["targets"]))
