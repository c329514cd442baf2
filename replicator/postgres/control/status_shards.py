"""Reads the shards that a status is made of, and counts and pages those that ended.

What is read whole are the shards that are not done; of the others, of which there may be thirteen
times as many, only those that can matter for a status: they may have children that nobody knows,
or are the parents of shards that were never read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from replicator.core.status.status_shard_pages import EndedShard, PageEnd
from replicator.core.stream.shard_lineage import ShardName, by_name
from replicator.core.stream.table_and_shard_facts import ShardFacts
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.table_and_shard_store import (
    ENDED_SECONDS,
    SHARD_COLUMNS,
    shard_of,
)

STATUS_SHARDS = """
-- `offset 0`, `limit`: shards of one table are asked for by an index, never all that ended.
with ends_after as (
    select t.source, t.stream_arn,
           case when (select count(*) from (select from {schema}.shard as s
                                             where s.deployment = $1 and s.source = t.source
                                               and s.state <> 'done'
                                               and s.stream_arn = t.stream_arn
                                               and not (s.state = 'gap'
                                                        and s.gap_accepted_at is not null)
                                             limit 1) as one) = 0
                -- Where every shard of the stream has ended, each may have children.
                then '-infinity'
                else coalesce(l.listed_at - make_interval(secs => $2), '-infinity') end as instant
      from {schema}.table_state as t
      left join {schema}.listing as l using (deployment, source)
     where t.deployment = $1
    offset 0
), candidates as (
    select s.*, true as wanted
      from {schema}.shard as s
     where s.deployment = $1 and s.state <> 'done'
     union all
    -- Since when a shard may be read that never was, its parents say.
    select p.*, true
      from {schema}.shard as s
     cross join unnest(array[s.parent_id, s.adjacent_parent_id]) as parent (id)
      join {schema}.shard as p
        on (p.deployment, p.stream_arn, p.shard_id) = (s.deployment, s.stream_arn, parent.id)
     where s.deployment = $1 and s.state <> 'done' and s.polled_at is null and p.state = 'done'
     union all
    -- Ended since the last listing, or a while before it: that listing may not show the children.
    select d.*, false
      from ends_after as t
     cross join lateral (select * from {schema}.shard as s
                          where s.deployment = $1 and s.source = t.source and s.state = 'done'
                            and s.done_at > t.instant
                         offset 0) as d
     where d.stream_arn = t.stream_arn
), told as (
    select c.*, c.state in ('done', 'gap') and (
               exists (select from {schema}.shard as s
                        where (s.deployment, s.stream_arn, s.parent_id)
                              = (c.deployment, c.stream_arn, c.shard_id))
               or exists (select from {schema}.shard as s
                           where (s.deployment, s.stream_arn, s.adjacent_parent_id)
                                 = (c.deployment, c.stream_arn, c.shard_id))) as followed
      from candidates as c
)
select followed, {columns}
  from told
 where wanted or not followed
"""

COUNTS = """
-- From an index alone, where vacuum has been.
select t.source, (select count(*) from {schema}.shard as s
                   where s.deployment = $1 and s.source = t.source and s.state = 'done') as shards
  from {schema}.table_state as t
 where t.deployment = $1
"""

APPLIED = """
-- A shard that ended before the newest change of the open ones was created holds no newer one; the
-- clocks of source and server may differ by a while.
select o.source, greatest(o.at, (
           select max(s.last_record_at) from {schema}.shard as s
            where s.deployment = $1 and s.source = o.source and s.state = 'done'
              and s.done_at >= coalesce(o.at - make_interval(secs => $2), '-infinity'))) as at
  from (select t.source, (select max(s.last_record_at) from {schema}.shard as s
                           where s.deployment = $1 and s.source = t.source
                             and s.state <> 'done') as at
          from {schema}.table_state as t
         where t.deployment = $1
        offset 0) as o
"""

ENDED = """
select stream_arn, shard_id, parent_id, done_at
  from {schema}.shard
 where deployment = $1 and source = $2 and state = 'done'
   and ($3::timestamptz is null
        or done_at <= $3 and (done_at, shard_id, stream_arn) < ($3, $4::text, $5::text))
 order by done_at desc, shard_id desc, stream_arn desc
 limit $6
"""


@dataclass(frozen=True, slots=True)
class StatusShards:
    """The shards of all tables as a status needs them: see `Knowledge`."""

    shards: tuple[ShardFacts, ...]
    followed: frozenset[ShardName]
    ended: Mapping[str, int]


async def read_status_shards(database: Database, connection: asyncpg.Connection) -> StatusShards:
    """Everything that is not done, the ends that matter, and how many shards are done."""
    statement = database.control.sql(STATUS_SHARDS, columns=SHARD_COLUMNS)
    rows = await connection.fetch(statement, database.deployment, ENDED_SECONDS)
    shards: list[ShardFacts] = []
    followed: set[ShardName] = set()
    for is_followed, *columns in rows:
        shard = shard_of(columns)
        shards.append(shard)
        if is_followed:
            followed.add((shard.stream_arn, shard.shard_id))
    counts = await connection.fetch(database.control.sql(COUNTS), database.deployment)
    return StatusShards(
        tuple(by_name(shards).values()),
        frozenset(followed),
        {row["source"]: row["shards"] for row in counts},
    )


async def read_applied(database: Database, connection: asyncpg.Connection) -> dict[str, datetime]:
    """The creation time of the newest applied change, of the tables that have one."""
    statement = database.control.sql(APPLIED)
    rows = await connection.fetch(statement, database.deployment, ENDED_SECONDS)
    return {row["source"]: row["at"] for row in rows if row["at"] is not None}


async def read_ended(
    database: Database, source: str, after: PageEnd | None, *, shards_max: int
) -> list[EndedShard]:
    """The shards of a table that are done, the newest end first, from behind a place on."""
    place = (
        (None, None, None)
        if after is None or after.ended_at is None
        else (after.ended_at, after.shard_id, after.stream_arn)
    )
    statement = database.control.sql(ENDED)
    async with database.connection("reading the shards that ended") as connection:
        rows = await connection.fetch(statement, database.deployment, source, *place, shards_max)
    return [EndedShard(**row) for row in rows]
