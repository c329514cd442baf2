"""The streams of a table, one after the other: the newest is current, older ones are closed."""

from dataclasses import dataclass
from datetime import datetime

from replicator.core.stream.shards import StreamOver
from replicator.errors import Fenced, PositionLost
from replicator.postgres.connection.database import Session

LOCK_TABLE = """
select stream_arn from {schema}.table_state
 where deployment = $1 and source = $2
   for update
"""

STILL_READ = """
-- What was seen read to its end is not, where a failover has lost that since.
select count(*) filter (where shard_id = any($3::text[])) = cardinality($3::text[])
       and coalesce(bool_and(state = 'done' or state = 'gap' and gap_accepted_at is not null), true)
  from {schema}.shard
 where deployment = $1 and stream_arn = $2
"""

ADD_GENERATION = """
insert into {schema}.generation (deployment, source, stream_arn, label_at)
values ($1, $2, $3, $4)
    on conflict do nothing
returning 1
"""

NEWEST_GENERATION = """
-- The label's time orders streams, so that a worker that slept cannot bring an old one back.
update {schema}.table_state
   set stream_arn = (select stream_arn from {schema}.generation
                      where deployment = $1 and source = $2
                      order by label_at desc, stream_arn desc limit 1)
 where deployment = $1 and source = $2
returning stream_arn,
          (select count(*) from {schema}.generation
            where deployment = $1 and source = $2) as streams
"""

CLOSE_OLDER_STREAMS = """
-- No shard of an older stream can be claimed or written once the current one's can.
update {schema}.shard
   set state = 'gap', epoch = epoch + 1, owner = null
 where deployment = $1 and source = $2 and stream_arn <> $3 and state in ('waiting', 'active')
"""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of a table, as its ARN and label say."""

    deployment: str
    source: str
    arn: str
    label_at: datetime


async def start_stream(
    connection: Session, schema: str, stream: Stream, *, after: StreamOver | None
) -> bool:
    """Note a stream; the newest by label becomes the current one, and older ones are closed.

    True when it is a new one behind another. Fenced when the current one is not over, as far as
    `after` says what was seen of it. `schema` is quoted.
    """
    name = (stream.deployment, stream.source)
    table = await connection.fetchrow(LOCK_TABLE.format(schema=schema), *name)
    if table is None:
        message = f"table {stream.source!r} is not registered in the control schema"
        raise PositionLost(message, remedy="run `replicator migrate`")
    current = table["stream_arn"]
    if after is not None and current != stream.arn:
        await _check_over(connection, schema, stream.deployment, current, after)
    new = await connection.fetchval(
        ADD_GENERATION.format(schema=schema), *name, stream.arn, stream.label_at
    )
    newest = await connection.fetchrow(NEWEST_GENERATION.format(schema=schema), *name)
    arn, streams = (None, 0) if newest is None else (newest["stream_arn"], newest["streams"])
    await connection.execute(CLOSE_OLDER_STREAMS.format(schema=schema), *name, arn)
    return new is not None and arn == stream.arn and streams > 1


async def _check_over(
    connection: Session, schema: str, deployment: str, current: str | None, after: StreamOver
) -> None:
    """Whoever slept has seen the end of an older stream than the current one."""
    if current != after.stream_arn:
        message = f"the current stream is {current}, not {after.stream_arn}"
        raise Fenced(message)
    if after.read is None:
        return
    seen = (deployment, current, list(after.read))
    if not await connection.fetchval(STILL_READ.format(schema=schema), *seen):
        message = f"{current} is not read to its end any more: a failover?"
        raise Fenced(message)
