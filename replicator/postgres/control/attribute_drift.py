"""Attributes that nothing takes, written down by all workers and read by whoever asks."""

from collections.abc import Mapping

import asyncpg

from replicator.core.status.attribute_drift import Drifted, Met, Seen
from replicator.postgres.connection.database import Database

ATTRIBUTES_MAX = 100
"""Attributes kept of one target, so that invented names do not fill the database."""

WRITE = """
-- In the order of the key, so that two workers never wait for each other in a circle.
insert into {schema}.drift as d (deployment, source, target, attribute, met, types)
select $1, source, target, attribute, met, array[type]
  from (select *, row_number() over (partition by source, target order by attribute) as place
          from unnest($2::text[], $3::text[], $4::text[], $5::bigint[],
                      $6::text[]) as u (source, target, attribute, met, type)) as m
 where exists (select from {schema}.drift k
                where (k.deployment, k.source, k.target, k.attribute)
                    = ($1, m.source, m.target, m.attribute))
    or m.place + (select count(*) from {schema}.drift k
                   where (k.deployment, k.source, k.target) = ($1, m.source, m.target)) <= $7
 order by source, target, attribute
    on conflict (deployment, source, target, attribute)
    do update set met = d.met + excluded.met, last_seen = now(),
                  types = d.types || array(select unnest(excluded.types)
                                           except select unnest(d.types))
"""

READ = """
-- What was not met for a day is mapped by now, or gone.
select source, target, attribute, met, types, first_seen
  from {schema}.drift
 where deployment = $1 and last_seen > now() - interval '1 day'
 order by source, target, attribute
"""

CLEAN = """
delete from {schema}.drift
 where deployment = $1 and last_seen < now() - interval '2 days'
"""


async def write_drift(database: Database, met: Mapping[Met, Seen]) -> None:
    """Add what was met to what is known."""
    control = database.control
    columns = [list(column) for column in zip(*met, strict=True)]
    async with database.connection("writing down what nothing takes") as connection:
        await connection.execute(control.sql(CLEAN), database.deployment)
        await connection.execute(
            control.sql(WRITE),
            database.deployment,
            *columns,
            [seen.met for seen in met.values()],
            [seen.type for seen in met.values()],
            ATTRIBUTES_MAX,
        )


async def read_drift(
    database: Database, connection: asyncpg.Connection
) -> dict[str, dict[str, Drifted]]:
    """Attributes met within a day: by source, then by target and attribute."""
    control = database.control
    found: dict[str, dict[str, Drifted]] = {}
    for row in await connection.fetch(control.sql(READ), database.deployment):
        name = f"{row['target']}.{row['attribute']}"
        found.setdefault(row["source"], {})[name] = Drifted(
            row["met"], tuple(row["types"]), row["first_seen"]
        )
    return found
