"""Removes row versions and control rows that nothing refers to any more, a few pages at a time."""

import asyncio
from dataclasses import dataclass

from replicator.core.stream.ordering_mode import OrderingMode
from replicator.engine.backoff import stopped_within
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.ordering_mode_switch import leave_guard

TARGETS = """
-- A switch of a mode, and the start of a snapshot, wait for us or are seen here. While a snapshot
-- runs nothing of its table is pruned.
select t.mode, c.id
  from {schema}.table_state as t
  join {schema}.target_claim as c on (c.deployment, c.source) = (t.deployment, t.source)
 where t.snapshot_id is null
   for share of t
"""

PRUNE = """
-- By place in the file, so that no index on a time is needed; rows that are being written are left.
delete from {schema}.row_version
 where ctid = any(array(
       select v.ctid
         from {schema}.row_version as v
        where v.ctid >= $1::tid and v.ctid < $2::tid
          and (v.target_id = any($3::integer[])
               or v.target_id = any($4::integer[]) and v.at < now() - make_interval(secs => $5)
               or not exists (select from {schema}.target_claim as c where c.id = v.target_id))
          for update skip locked))
returning 1
"""

PAGES = """
select pg_relation_size('{schema}.row_version') / current_setting('block_size')::integer
"""

PAGES_AT_A_TIME = 64
"""About five thousand versions: a writer that wants one of them waits for milliseconds."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Result of one step; `next_page` 0: the last one of the table."""

    versions: int
    next_page: int


class Pruning:
    """Prunes the versions of one control schema."""

    def __init__(self, database: Database, *, retention_hours: float) -> None:
        self._database = database
        self._control = database.control
        self._retention_seconds = retention_hours * 3600

    async def pages(self) -> int:
        """Number of pages of the table of versions."""
        async with self._database.connection("reading the versions") as connection:
            return int(await connection.fetchval(self._control.sql(PAGES)))

    async def step(self, page: int) -> Pruned:
        """Prune some pages, beginning with the given one.

        Deleted are versions that are older than the retention, and all of a table that the fence
        alone guards.
        """
        async with self._database.transaction("pruning versions") as connection:
            rows = await connection.fetch(self._control.sql(TARGETS))
            fenced, guarded = (
                [
                    row["id"]
                    for row in rows
                    if OrderingMode.of(row["mode"]).by_versions is by_versions
                ]
                for by_versions in (False, True)
            )
            end = page + PAGES_AT_A_TIME
            removed = await connection.fetch(
                self._control.sql(PRUNE),
                (page, 0),
                (end, 0),
                fenced,
                guarded,
                self._retention_seconds,
            )
            pages = int(await connection.fetchval(self._control.sql(PAGES)))
        return Pruned(len(removed), end if end < pages else 0)


LEAVE_SECONDS = 10.0
PRUNE_SECONDS = 300.0
"""Seconds between two walks through the table of versions."""


class Housekeeping:
    """The versions of one control schema, as one worker looks after them."""

    def __init__(self, database: Database, *, retention_hours: float) -> None:
        self._database = database
        self._pruning = Pruning(database, retention_hours=retention_hours)
        self._page = 0

    async def leave(self, stopping: asyncio.Event) -> bool | None:
        """In a moment, see which tables need no versions any more; None when asked to stop."""
        if await stopped_within(stopping, LEAVE_SECONDS):
            return None
        await leave_guard(self._database)
        return False

    async def prune(self, stopping: asyncio.Event) -> bool | None:
        """In a moment, look at a few more pages of the versions, after the last ones at the first
        again; None when asked to stop.
        """
        page, self._page = self._page, 0
        if await stopped_within(stopping, 0.1 if page else PRUNE_SECONDS):
            return None
        self._page = (await self._pruning.step(page)).next_page
        return False
