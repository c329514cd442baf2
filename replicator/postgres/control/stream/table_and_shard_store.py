"""Facts of tables, generations and shards in the control schema, read and added to."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.shard_lineage import ShardName, by_name
from replicator.core.stream.table_and_shard_facts import (
    GapFacts,
    ListedShard,
    PolledShard,
    ShardFacts,
    TableFacts,
)
from replicator.core.stream_record import Position
from replicator.core.table_spec import InitialLoad
from replicator.errors import Fenced
from replicator.postgres.connection.database import Database

TABLES = """
select source, stream_arn, mode as ordering, snapshot_id, mapping_fingerprint, initial_load,
       start_at, paused, halted, reason, remedy, mapping_revision, stopped_at,
       extract(epoch from now() - l.listed_at)::float8 as listed_seconds,
       coalesce(l.calls, 1) as listing_calls, g.retention
  from {schema}.table_state
  left join {schema}.listing as l using (deployment, source)
  left join {schema}.generation as g using (deployment, source, stream_arn)
 where deployment = $1 and ($2::text[] is null or source = any($2))
 order by source
"""

OPEN_GAPS = """
select id, source, stream_arn, shard_id, kind, detail, found_at, since,
       coalesce(cuts, array_remove(array[since], null)) as cuts
  from {schema}.gap
 where deployment = $1 and state = 'open' and ($2::text[] is null or source = any($2))
 order by id
"""

SHARD_COLUMNS = """
       source, stream_arn, shard_id, parent_id, adjacent_parent_id, state, owner, gap_accepted_at,
       done_at, load, listed, last_sequence_number::text as position,
       known_sequence_number::text as known, safe_at, head_at, polled_at, found_at"""
"""The columns that `shard_of` makes a shard of, in the order of the shard's fields."""

POLLED_COLUMNS = """
       source, stream_arn, shard_id, parent_id, adjacent_parent_id, state, owner, gap_accepted_at,
       done_at,
       case when load > 0 then round(load::float8 / digit.place) * digit.place
            else load::float8 end as load"""
"""The columns of `PolledShard`, in the order of its fields: the load in two digits."""
DIGIT = """
 cross join lateral (select power(10::float8, floor(log(greatest(load, 1e-9)::float8)) - 1))
       as digit (place)"""

SHARDS = """
select {columns}
  from {schema}.shard
 where deployment = $1 and source = any($2::text[])
"""

OPEN_SHARDS = """
-- Those that are not done, those that ended a moment ago, and one of each current stream, which
-- says that it was listed.
with polled as (
    select * from {schema}.shard
     where deployment = $1 and source = any($2::text[]) and state <> 'done'
     union all
    select * from {schema}.shard
     where deployment = $1 and source = any($2::text[]) and state = 'done'
       and done_at > now() - make_interval(secs => $3)
     union all
    select one.*
      from {schema}.table_state as t
     cross join lateral (select * from {schema}.shard as s
                          where s.deployment = t.deployment and s.stream_arn = t.stream_arn
                            and s.source = t.source
                          limit 1) as one
     where t.deployment = $1 and t.source = any($2::text[])
)
select {columns}
  from polled {beside}
"""
ENDED_SECONDS = 600.0
"""Seconds for which an ended shard is polled still: its children appear, and its lease is
deleted."""

SHARDS_NAMED = """
select {columns}
  from {schema}.shard
 where deployment = $1 and stream_arn = $2 and shard_id = any($3::text[])
"""

ARE_ON_RECORD = """
select count(*)
  from unnest($2::text[], $3::text[]) as named (stream_arn, shard_id)
  join {schema}.shard as s using (stream_arn, shard_id)
 where s.deployment = $1
"""

ENDED_BEFORE = """
with ended as (
    select stream_arn, shard_id, parent_id, adjacent_parent_id from {schema}.shard
     where deployment = $1 and source = $2 and state = 'done' and done_at < $3
     union all
    select stream_arn, shard_id, parent_id, adjacent_parent_id from {schema}.shard
     where deployment = $1 and source = $2 and state = 'gap' and gap_accepted_at is not null
       and done_at < $3
),
related as (
    select stream_arn, shard_id from ended
     union
    select stream_arn, parent_id from ended
     union
    select stream_arn, adjacent_parent_id from ended
     union
    select child.stream_arn, child.shard_id
      from ended
      join {schema}.shard as child
        on child.deployment = $1 and child.stream_arn = ended.stream_arn
       and child.parent_id = ended.shard_id
     union
    select child.stream_arn, child.shard_id
      from ended
      join {schema}.shard as child
        on child.deployment = $1 and child.stream_arn = ended.stream_arn
       and child.adjacent_parent_id = ended.shard_id
)
select {columns}
  from related
  join {schema}.shard using (stream_arn, shard_id)
 where deployment = $1
"""

START = """
-- The start instant is set once, before the first read.
update {schema}.table_state
   set initial_load = $3, start_at = $4
 where deployment = $1 and source = $2 and start_at is null
"""

CURRENT = """
-- Shards of a stream that is not the current one any more are not added: what they hold is older
-- than rows that the current one may have written. The lock makes a change of streams wait.
select 1 from {schema}.table_state
 where deployment = $1 and source = $2 and stream_arn = $3
   for share
"""

ON_RECORD = """
select count(*) from {schema}.shard
 where deployment = $1 and stream_arn = $2 and shard_id = any($3::text[])
"""

ADD_SHARD = """
-- What is known is never forgotten: only that a shard is listed after all may be added.
insert into {schema}.shard
       (deployment, source, stream_arn, shard_id, parent_id, adjacent_parent_id, listed)
values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (deployment, stream_arn, shard_id)
    do update set listed = true, parent_id = coalesce(shard.parent_id, excluded.parent_id),
       adjacent_parent_id = coalesce(shard.adjacent_parent_id, excluded.adjacent_parent_id)
 where excluded.listed and not shard.listed
"""

FORGET_SHARD = """
delete from {schema}.shard
 where deployment = $1 and stream_arn = $2 and shard_id = $3
   and (state = 'done' or state = 'gap' and gap_accepted_at is not null)
"""


class ShardStore:
    """Reads and adds to one deployment's rows; never takes a position back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deployment = database.deployment
        self._control = database.control
        self._polled: dict[ShardName, tuple[asyncpg.Record, PolledShard]] = {}

    async def tables(self, sources: Collection[str] | None = None) -> dict[str, TableFacts]:
        """The given registered tables, or all, by their names, with their open gaps."""
        asked = self._deployment, None if sources is None else list(sources)
        async with self._database.connection("reading the tables") as connection:
            gaps = await connection.fetch(self._control.sql(OPEN_GAPS), *asked)
            rows = await connection.fetch(self._control.sql(TABLES), *asked)
        by_source: dict[str, list[GapFacts]] = {}
        for gap in gaps:
            by_source.setdefault(gap["source"], []).append(GapFacts(**gap))
        return {row["source"]: _table(row, by_source.get(row["source"], ())) for row in rows}

    async def shards(self, sources: Sequence[str]) -> list[ShardFacts]:
        """Every shard known of the given tables, of all generations."""
        async with self._database.connection("reading the shards") as connection:
            rows = await connection.fetch(
                self._control.sql(SHARDS, columns=SHARD_COLUMNS), self._deployment, list(sources)
            )
        return [shard_of(row) for row in rows]

    async def open_shards(self, sources: Sequence[str]) -> list[ShardFacts]:
        """The shards of the tables that are not done, and a few that are."""
        statement = self._control.sql(OPEN_SHARDS, columns=SHARD_COLUMNS, beside="")
        async with self._database.connection("reading the shards") as connection:
            rows = await connection.fetch(statement, self._deployment, list(sources), ENDED_SECONDS)
        return list(by_name(shard_of(row) for row in rows).values())

    async def shards_named(self, stream_arn: str, names: Collection[str]) -> list[ShardFacts]:
        """The shards of a stream, of the given ids, that are on record."""
        statement = self._control.sql(SHARDS_NAMED, columns=SHARD_COLUMNS)
        async with self._database.connection("reading the shards") as connection:
            rows = await connection.fetch(statement, self._deployment, stream_arn, list(names))
        return [shard_of(row) for row in rows]

    async def are_on_record(self, names: Collection[ShardName]) -> bool:
        """True when each of the shards is on record."""
        arns, ids = [arn for arn, _ in names], [shard_id for _, shard_id in names]
        async with self._database.connection("reading the shards") as connection:
            found: int = await connection.fetchval(
                self._control.sql(ARE_ON_RECORD), self._deployment, arns, ids
            )
        return found == len(names)

    async def ended_before(self, source: str, at: datetime) -> list[ShardFacts]:
        """The finished shards of a table that ended before a time, with parents and children."""
        statement = self._control.sql(ENDED_BEFORE, columns=SHARD_COLUMNS)
        async with self._database.connection("reading the shards") as connection:
            rows = await connection.fetch(statement, self._deployment, source, at)
        return [shard_of(row) for row in rows]

    async def polled_shards(self, sources: Sequence[str]) -> list[PolledShard]:
        """The shards of `open_shards`, each with the facts alone that workers poll.

        A shard whose row has not changed is the object of the call before.
        """
        statement = self._control.sql(OPEN_SHARDS, columns=POLLED_COLUMNS, beside=DIGIT)
        async with self._database.connection("reading the shards") as connection:
            rows = await connection.fetch(statement, self._deployment, list(sources), ENDED_SECONDS)
        before, polled = self._polled, dict[ShardName, tuple[asyncpg.Record, PolledShard]]()
        for row in rows:
            name = row[1], row[2]
            known = before.get(name)
            polled[name] = (row, PolledShard(*row)) if known is None or known[0] != row else known
        if 2 * len(polled) > len(before):
            self._polled = polled  # of a look at all tables, rather than at one of them
        return [shard for _, shard in polled.values()]

    async def start(self, source: str, *, initial_load: InitialLoad, at: datetime) -> None:
        """Keep the start instant of a table that has none yet."""
        async with self._database.connection("starting a table") as connection:
            await connection.execute(
                self._control.sql(START), self._deployment, source, initial_load, at
            )

    async def add_shards(
        self,
        source: str,
        stream_arn: str,
        listed: Sequence[ListedShard],
        *,
        beside: Collection[str] = (),
    ) -> None:
        """Add what a listing shows, parents first; a parent that is only named waits unlisted.

        Nothing is added to a stream that is not the table's current one. Fenced when a shard of
        `beside` is not on record: a failover lost it, and as a parent that is only named it would
        be read before its own parent.
        """
        names = {shard.shard_id for shard in listed}
        rows: list[tuple[str, str | None, str | None, bool]] = [
            (parent, None, None, False)
            for shard in listed
            for parent in shard.parents
            if parent not in names
        ]
        rows += [
            (shard.shard_id, shard.parent_id, shard.adjacent_parent_id, True) for shard in listed
        ]
        async with self._database.transaction("adding shards") as connection:
            current = (self._deployment, source, stream_arn)
            if await connection.fetchrow(self._control.sql(CURRENT), *current) is None:
                return
            known = (self._deployment, stream_arn, list(beside))
            if await connection.fetchval(self._control.sql(ON_RECORD), *known) < len(beside):
                message = f"a parent in {stream_arn} is not on record any more: a failover?"
                raise Fenced(message)
            await connection.executemany(
                self._control.sql(ADD_SHARD), [(*current, *row) for row in rows]
            )

    async def forget_shard(self, stream_arn: str, shard_id: str) -> None:
        """Drop the row of a shard that finished long ago; an unfinished one stays."""
        async with self._database.connection("cleaning up a shard") as connection:
            await connection.execute(
                self._control.sql(FORGET_SHARD), self._deployment, stream_arn, shard_id
            )


def _table(row: asyncpg.Record, gaps: Iterable[GapFacts]) -> TableFacts:
    return TableFacts(**{**row, "ordering": OrderingMode.of(row["ordering"]), "gaps": tuple(gaps)})


def shard_of(row: Iterable[Any]) -> ShardFacts:
    """A shard from a row that has `SHARD_COLUMNS`."""
    *polled, listed, position, known, safe_at, head_at, polled_at, found_at = row
    positions = position_of(position), position_of(known)
    return ShardFacts(*[*polled, listed, *positions, safe_at, head_at, polled_at, found_at])


def position_of(text: str | None) -> Position | None:
    """A position from a row: a numeric's text, since there may be 60 digits."""
    return None if text is None else Position(int(text))


def position_text(position: Position | None) -> str | None:
    """A position as a statement's parameter."""
    return None if position is None else str(position)
