"""Switches a table's ordering mode, and hands tables over between daemon and Lambda."""

from collections.abc import Collection

import asyncpg

from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.source_kind import kind_of
from replicator.core.table_spec import Poller
from replicator.errors import ConfigurationError
from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.control.stream.generations import BEGIN_ANEW
from replicator.postgres.control.stream.raise_epochs import raise_epochs

SWITCH = """
-- Every Lambda transaction holds this row shared, so that a switch waits for those in flight; every
-- claim reads it, and is fenced off below.
with before as (
    select mode from {schema}.table_state
     where deployment = $1 and source = $2 and mode = any($5::text[])
       for update)
update {schema}.table_state as t
   set mode = $3, snapshot_id = $4, changed_at = now()
  from before
 where t.deployment = $1 and t.source = $2
returning before.mode
"""


async def switch_ordering_mode(
    connection: Session,
    control: ControlSchema,
    deployment: str,
    source: str,
    *,
    ordering: OrderingMode,
    snapshot_id: int | None = None,
    when: Collection[OrderingMode],
) -> bool:
    """Switch a table's mode within the caller's transaction; False when the mode is none of `when`.

    `snapshot_id` is the snapshot that runs from now on, or None. After the COMMIT nothing that
    believes in the former mode or snapshot can write: the epochs of all shards are raised.
    """
    switched = await connection.fetchval(
        control.sql(SWITCH), deployment, source, ordering, snapshot_id, list(when)
    )
    if switched is None:
        return False
    if switched == OrderingMode.FENCE:
        await connection.execute(control.sql(BEGIN_ANEW), deployment, source)
    await raise_epochs(connection, control, deployment, source)
    return True


SNAPSHOT_RUNS = """
select snapshot_id is not null from {schema}.table_state where deployment = $1 and source = $2
   for update
"""

APPLIED_THROUGH = """
-- What was created before is applied, whatever Lambda delivers of it: without a version, an older
-- change would take a row back for a while. Null where that is not known of some shard.
update {schema}.table_state as t
   set skip_before = case when $3 then (
           select case when count(*) = count(s.safe_at) then min(s.safe_at) end
             from {schema}.shard as s
            where (s.deployment, s.source) = (t.deployment, t.source)
              and s.state in ('waiting', 'active')) end
 where t.deployment = $1 and t.source = $2
"""

RESTART_SHARDS = """
-- Nobody knows which shards Lambda has read to their ends: all that the stream still holds is read
-- again; what is applied is superseded at the row guard. Only what is listed then is owed.
update {schema}.shard
   set state = 'waiting', listed = false, epoch = epoch + 1, owner = null,
       last_sequence_number = null, known_sequence_number = null, last_record_at = null,
       safe_at = null, head_at = null, polled_at = null, gap_accepted_at = null, found_at = now()
 where deployment = $1 and source = $2
   and (state in ('waiting', 'active') or state = 'gap' and gap_accepted_at is null)
"""

CAUGHT_UP = """
-- Every shard has passed the moment of the hand-over: what Lambda applied is behind.
select t.source, t.stream_arn from {schema}.table_state as t
 where t.deployment = $1
   and t.mode = 'guard'
   and t.snapshot_id is null
   and exists (select from {schema}.shard as s
                where (s.deployment, s.source) = (t.deployment, t.source) and s.listed)
   and not exists (select from {schema}.shard as s
                    where (s.deployment, s.source) = (t.deployment, t.source)
                      and s.state in ('waiting', 'active')
                      and (s.safe_at is null or s.safe_at <= t.changed_at))
 order by t.source  -- two workers lock tables in one order
   for update of t
"""


async def hand_over(
    connection: asyncpg.Connection, control: ControlSchema, deployment: str, source: str, to: Poller
) -> None:
    """Let another poller alone write the table from the COMMIT on.

    Waits for Lambda's transactions in flight. Lambda's versions stay, so that the daemon, which
    begins again, works in the mode `guard` until it has caught up. ConfigurationError while a
    snapshot runs.
    """
    name = (deployment, source)
    if await connection.fetchval(control.sql(SNAPSHOT_RUNS), *name):
        message = f"table {source!r} cannot change hands while a snapshot runs"
        raise ConfigurationError(
            message, remedy=f"wait for it, or run `replicator snapshot --table {source} --cancel`"
        )
    takes_over = to == "lambda"
    ordering = OrderingMode.LAMBDA if takes_over else OrderingMode.GUARD
    await switch_ordering_mode(
        connection, control, *name, ordering=ordering, when=OrderingMode.others_than(to)
    )
    await connection.execute(control.sql(APPLIED_THROUGH), *name, takes_over)
    if not takes_over:
        await connection.execute(control.sql(RESTART_SHARDS), *name)


async def leave_guard(database: Database) -> list[str]:
    """Let the fence alone guard the tables that the daemon took over and has caught up with."""
    control = database.control
    async with database.transaction("leaving the row guard") as connection:
        found = await connection.fetch(control.sql(CAUGHT_UP), database.deployment)
        rows = [
            row
            for row in found
            if kind_of(row["stream_arn"]).resting_ordering is OrderingMode.FENCE
        ]
        for row in rows:
            await switch_ordering_mode(
                connection,
                control,
                database.deployment,
                row["source"],
                ordering=OrderingMode.FENCE,
                when=(OrderingMode.GUARD,),
            )
    return [row["source"] for row in rows]
