"""The streams of a table, one after the other: the newest is current, older ones are closed.

Their order is that of the labels' times, so that a worker that slept cannot bring an old one
back. A source can move to a stream with an older label all the same: after a failover to a
replica, say. Then nothing is done by itself; a gap tells it, and whoever accepts that gap makes
the stream the newest, from then on, whatever the label says.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.source_kind import SeenShare, kind_of
from replicator.core.stream.table_and_shard_facts import StreamOver
from replicator.errors import Fenced, PositionLost
from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.connection.database import Database, Session

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


MAKE_NEWEST = """
-- It is the newest from now on, because a person said so, or the configuration.
update {schema}.generation as g
   set label_at = greatest(now(), newest.label_at + interval '1 microsecond')
  from (select max(label_at) as label_at from {schema}.generation
         where deployment = $1 and source = $2) as newest
 where g.deployment = $1 and g.source = $2 and g.stream_arn = $3
returning 1
"""

REOPEN_STREAM = """
-- The table had this stream before: its shards were closed when another followed, and grew since.
update {schema}.shard
   set state = 'waiting', gap_accepted_at = now(), done_at = null, epoch = epoch + 1, owner = null
 where deployment = $1 and source = $2 and stream_arn = $3 and state = 'gap'
"""

UNDER_WAY = """
select s.id, s.reason,
       (select a.id from {schema}.snapshot a
         where (a.deployment, a.source, a.state) = ($1, $2, 'asked')) as asked
  from {schema}.table_state t
  join {schema}.snapshot s on s.id = t.snapshot_id
 where t.deployment = $1 and t.source = $2
"""

ASK_AGAIN = """
update {schema}.snapshot
   set state = 'asked', started_at = null, items_estimated = null, detail = null
 where id = $1
"""

GIVE_UP = """
update {schema}.snapshot
   set state = 'cancelled', ended_at = now(), detail = 'the table moved to another stream'
 where id = $1
"""

MOVE_GAPS = """
-- What a snapshot was to heal, the one that takes its place heals.
update {schema}.gap set snapshot_id = $2 where snapshot_id = $1 and state = 'accepted'
"""

DROP_SEGMENTS = """
-- No page that was read for it can be written any more.
delete from {schema}.segment where snapshot_id = $1
"""

LEAVE_SNAPSHOT = """
update {schema}.table_state
   set mode = case mode when 'guard' then $3 else mode end, snapshot_id = null
 where deployment = $1 and source = $2
"""

REST_IN_GUARD = """
-- No shard of this kind of stream vouches for the order of its changes.
update {schema}.table_state set mode = 'guard', changed_at = now()
 where deployment = $1 and source = $2 and mode = 'fence'
returning 1
"""

BEGIN_ANEW = """
-- Behind the fence alone, rows are written without versions: those of before say nothing of them.
-- Under new numbers the targets have none, and the old ones are pruned as nobody's.
update {schema}.target_claim set id = default where deployment = $1 and source = $2
"""


SHARE = """
-- Of the Kinesis streams that had the ARN one after the other, the one that was seen last.
select stream_arn as name, label_at as since, created_at
  from {schema}.generation
 where deployment = $1 and source = $2 and split_part(stream_arn, '@', 1) = $3
 order by label_at desc
 limit 1
"""

NOTE_CREATION = """
-- Once: a stream that has another time later is another one.
update {schema}.generation
   set created_at = $4
 where deployment = $1 and source = $2 and stream_arn = $3 and created_at is null
"""


class Shares:
    """Shares of Kinesis streams that tables of one deployment have, or had."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seen(self, source: str, share: str) -> SeenShare | None:
        """The newest share of that name on record; None for a share that never was.

        The name is the given one or, of a stream that was created again, the given one and a time.
        """
        async with self._database.connection("looking for a stream") as connection:
            row = await connection.fetchrow(
                self._database.control.sql(SHARE), self._database.deployment, source, share
            )
        return None if row is None else SeenShare(**row)

    async def note_creation(self, source: str, share: str, created_at: datetime) -> None:
        """Note when the stream of a share on record was created, where that is not known yet."""
        async with self._database.connection("noting when a stream was created") as connection:
            await connection.execute(
                self._database.control.sql(NOTE_CREATION),
                *(self._database.deployment, source, share, created_at),
            )


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of a table, as its ARN and label say."""

    deployment: str
    source: str
    arn: str
    label_at: datetime


async def start_stream(
    connection: Session, control: ControlSchema, stream: Stream, *, after: StreamOver | None
) -> tuple[Literal["newer", "older"], str] | None:
    """Note a stream; the newest by label becomes the current one, and older ones are closed.

    "newer": the stream is new, and follows the returned one. "older": the source shows the stream
    now, and the returned one, which is current and over, is newer by label. None otherwise. Fenced
    when the current stream is not over, or not the one that `after` is about.
    """
    name = (stream.deployment, stream.source)
    table = await connection.fetchrow(control.sql(LOCK_TABLE), *name)
    if table is None:
        message = f"table {stream.source!r} is not registered in the control schema"
        raise PositionLost(message, remedy="run `replicator migrate`")
    current = table["stream_arn"]
    if after is not None and current != stream.arn:
        await _check_over(connection, control, stream.deployment, current, after)
    new = await connection.fetchval(control.sql(ADD_GENERATION), *name, stream.arn, stream.label_at)
    newest = await connection.fetchrow(control.sql(NEWEST_GENERATION), *name)
    arn, streams = (None, 0) if newest is None else (newest["stream_arn"], newest["streams"])
    await connection.execute(control.sql(CLOSE_OLDER_STREAMS), *name, arn)
    unordered = kind_of(arn).resting_ordering is OrderingMode.GUARD
    if unordered and await connection.fetchval(control.sql(REST_IN_GUARD), *name):
        await connection.execute(control.sql(BEGIN_ANEW), *name)
    if arn != stream.arn:
        return None if after is None or current is None else ("older", current)
    return ("newer", current or "") if new is not None and streams > 1 else None


async def make_current(
    connection: Session, control: ControlSchema, deployment: str, source: str, arn: str
) -> bool:
    """Make a stream the newest of the table, whatever the labels say; False for the current one.

    The versions of rows are ordered by labels, and say nothing of this stream: the versions begin
    again, and so does a snapshot under way, as its marks are among the versions. The caller raises
    the table's epochs.
    """
    name = (deployment, source)
    table = await connection.fetchrow(control.sql(LOCK_TABLE), *name)
    if table is None or table["stream_arn"] == arn:
        return False
    if await connection.fetchval(control.sql(MAKE_NEWEST), *name, arn) is None:
        return False
    await connection.execute(control.sql(REOPEN_STREAM), *name, arn)
    await connection.fetchrow(control.sql(NEWEST_GENERATION), *name)
    await connection.execute(control.sql(CLOSE_OLDER_STREAMS), *name, arn)
    await _begin_snapshot_anew(connection, control, deployment, source, arn)
    await connection.execute(control.sql(BEGIN_ANEW), *name)
    return True


async def _begin_snapshot_anew(
    connection: Session, control: ControlSchema, deployment: str, source: str, arn: str
) -> None:
    """Ask again for the snapshot under way; a repair, and one that has a successor, is given up."""
    row = await connection.fetchrow(control.sql(UNDER_WAY), deployment, source)
    if row is None:
        return
    if row["asked"] is not None:
        await connection.execute(control.sql(MOVE_GAPS), row["id"], row["asked"])
    replaced = row["asked"] is not None or row["reason"] == "repair"
    await connection.execute(control.sql(GIVE_UP if replaced else ASK_AGAIN), row["id"])
    await connection.execute(control.sql(DROP_SEGMENTS), row["id"])
    await connection.execute(
        control.sql(LEAVE_SNAPSHOT), deployment, source, kind_of(arn).resting_ordering
    )


async def _check_over(
    connection: Session,
    control: ControlSchema,
    deployment: str,
    current: str | None,
    after: StreamOver,
) -> None:
    """Refuse the end of a stream that is not the current one: a worker that slept may bring it."""
    if current != after.stream_arn:
        message = f"the current stream is {current}, not {after.stream_arn}"
        raise Fenced(message)
    if after.read is None:
        return
    seen = (deployment, current, list(after.read))
    if not await connection.fetchval(control.sql(STILL_READ), *seen):
        message = f"{current} is not read to its end any more: a failover?"
        raise Fenced(message)
