"""A control schema as it is after two days of a large table: open shards, and the many that ended.

Each open shard is the last of a line of shards that rolled over every four hours.
"""

from functools import partial

from tests.support.control import DEPLOYMENT, Control
from tests.support.waiting import eventually

FILL = """
insert into replicator.shard
       (deployment, source, stream_arn, shard_id, parent_id, state, listed, owner, epoch,
        last_sequence_number, known_sequence_number, last_record_at, safe_at, head_at, polled_at,
        found_at, done_at)
select $1, $2, $3,
       format('shardId-%s-%s', lpad(((21 - age) * 1000000000::bigint)::text, 20, '0'),
              lpad(line::text, 8, '0')),
       case when age < $5 then
            format('shardId-%s-%s', lpad(((20 - age) * 1000000000::bigint)::text, 20, '0'),
                   lpad(line::text, 8, '0')) end,
       case when age = 0 then 'active' else 'done' end,
       true,
       case when age = 0 then format('%s-%s', $6::text, line % $7) end,
       1,
       at.sequence, at.sequence, at.ended,
       case when age = 0 then now() else at.ended end,
       case when age = 0 then now() end,
       case when age = 0 then now() else at.ended end,
       at.ended - interval '4 hours',
       case when age > 0 then at.ended end
  from generate_series(1, $4::integer) as line
 cross join generate_series(0, $5::integer) as age
 cross join lateral (select now() - make_interval(secs => age * 14400 + line % 14400) as ended,
                            (100000000000000000000 + line)::numeric as sequence) as at
"""


async def fill(
    control: Control, table: str, *, lines: int, ended_of_each: int, workers: int = 10
) -> str:
    """Shards of a registered table, and the workers that own the open ones; the stream's ARN."""
    arn = await control.generation(table)
    await control.connection.execute(
        FILL, DEPLOYMENT, table, arn, lines, ended_of_each, "worker", workers
    )
    await control.connection.execute(
        "insert into replicator.listing (deployment, source, begun_at, heard_at, listed_at)"
        " values ($1, $2, now(), now(), now())",
        *(DEPLOYMENT, table),
    )
    for number in range(workers):
        await control.worker(f"worker-{number}", leases=lines // workers)
    await control.connection.execute("analyze replicator.shard")
    await eventually(partial(_vacuumed, control), what="vacuum has marked all pages as visible")
    return arn


async def _vacuumed(control: Control) -> bool:
    """False while another session of the database, such as autovacuum's analysis, has a snapshot
    from before the rows: counts from an index alone would read each of them.
    """
    await control.connection.execute("vacuum replicator.shard")
    marked = (
        "select relallvisible = relpages from pg_class where oid = 'replicator.shard'::regclass"
    )
    return bool(await control.connection.fetchval(marked))
