"""Snapshots in the control schema: asked for, begun, ended; each step in one transaction."""

from collections.abc import Collection, Sequence

import asyncpg

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.snapshot.snapshot_state import (
    SWEEP_PHASE,
    SnapshotFacts,
    SnapshotOrigin,
    SnapshotReason,
)
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.source_kind import kind_of
from replicator.errors import ConfigurationError
from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.connection.sql_quoting import quote_table
from replicator.postgres.control.snapshot.snapshot_reads import read_snapshots
from replicator.postgres.control.stream.gaps_and_halts import ACTION, accept_gaps
from replicator.postgres.control.stream.generations import MOVE_GAPS
from replicator.postgres.control.stream.ordering_mode_switch import switch_ordering_mode
from replicator.postgres.control.stream.raise_epochs import raise_epochs

LOCK_TABLE = """
select mode, snapshot_id, stream_arn, paused or halted as stopped
  from {schema}.table_state
 where deployment = $1 and source = $2
   for update
"""

ASK = """
-- One that was asked for and has not begun serves everybody who asks.
insert into {schema}.snapshot as s
       (deployment, source, reason, who, why, forced, origin, given_export)
values ($1, $2, $3, $4, $5, $6, $7, $8)
    on conflict (deployment, source) where state = 'asked'
    do update set forced = s.forced or excluded.forced,
                  -- what loads the whole table heals its gaps too
                  origin = case s.origin when 'changes' then excluded.origin else s.origin end,
                  given_export = coalesce(excluded.given_export, s.given_export)
returning id
"""

UNDER_WAY = """
select id, state from {schema}.snapshot
 where deployment = $1 and source = $2 and state in ('asked', 'running', 'refused')
 order by id
"""

END = """
update {schema}.snapshot
   set state = $3, detail = coalesce($4, detail), ended_at = now()
 where id = $1 and state = any($2::text[])
returning source
"""

FENCE_SEGMENTS_OFF = """
-- No page that was read for it can be written any more.
update {schema}.segment set state = 'done', epoch = epoch + 1, owner = null
 where snapshot_id = $1 and state <> 'done'
"""

STILL_ASKED = """
-- under the lock of its table nobody else begins or ends it
select exists (select from {schema}.snapshot where id = $1 and state = 'asked')
"""

BEGIN = """
update {schema}.snapshot
   set state = 'running', started_at = now(), items_estimated = $2, origin = $3, detail = $4,
       guarded_at = null
 where id = $1
"""

ORIGIN = """
-- Who takes the place of a load of the whole table loads the whole table.
select case when s.origin = 'changes' and p.origin in ('scan', 'export')
            then p.origin else s.origin end
  from {schema}.snapshot as s
  left join {schema}.snapshot as p on p.id = $2 and p.reason <> 'repair'
 where s.id = $1
"""

FORGET_EXPORTS = """
-- Where it began before, its exports are older than the guard that begins now.
delete from {schema}.export where snapshot_id = $1
"""

ADD_SEGMENT = """
insert into {schema}.segment (deployment, source, snapshot_id, number, target, parts, phase)
values ($1, $2, $3, $4, $5, $6, $7)
"""

GIVE_EXPORT = """
-- What was on record of another export is of no use any more.
with given as (
    update {schema}.snapshot
       set given_export = $3, state = 'running', detail = null
     where deployment = $1 and source = $2 and origin = 'export'
       and state in ('running', 'refused')
       and exists (select from {schema}.segment as g
                    where g.snapshot_id = snapshot.id and g.number = 0 and g.state <> 'done')
 returning id), forgotten as (
    delete from {schema}.export as e using given where e.snapshot_id = given.id)
select id from given
"""

CAME_BEFORE = """
-- whether one of these tables held rows when it was first claimed
select exists (select from {schema}.target_claim
                where rows_found > 0
                  and (target_schema, target_table)
                      in (select * from unnest($1::text[], $2::text[])))
"""

HAS_ROWS = "select exists (select from {table})"

REOPEN_GAPS = """
-- Accepting by loading is done when the loading is: what it was to heal is as lost as before. One
-- gap for a place is enough: where another one is open there, or newer, that one tells of it.
update {schema}.gap as g
   set state = 'open', closed_at = null, closed_by = null, closed_why = null, snapshot_id = null
 where g.snapshot_id = $1
   and g.state = 'accepted'
   and not exists (
       select from {schema}.gap as o
        where (o.deployment, o.stream_arn) = (g.deployment, g.stream_arn)
          and o.shard_id is not distinct from g.shard_id
          and (o.state = 'open' or o.snapshot_id = $1 and o.state = 'accepted' and o.id > g.id))
returning g.source
"""

HEAL_GAPS = """
update {schema}.gap
   set state = 'healed', closed_at = now()
 where snapshot_id = $1 and state = 'accepted'
returning id
"""

CLOSE_LETTERS = """
-- Every item was read after what was dead-lettered before: it was written, or it is dead-lettered
-- again, or it is gone. A repair reads some items only, and so do exports of changes.
update {schema}.dead_letter as l
   set state = 'superseded', closed_at = now()
  from {schema}.snapshot as s
 where s.id = $1
   and s.reason <> 'repair'
   and s.origin <> 'changes'
   and (l.deployment, l.source) = (s.deployment, s.source)
   and l.state = 'open'
   and not l.of_history
   and l.first_seen < s.started_at
"""

INCOMPLETE = """
select exists (select from {schema}.segment where snapshot_id = $1 and state <> 'done')
"""

REFUSE_SWEEP = """
update {schema}.snapshot set state = 'refused', detail = $2
 where id = $1 and state = 'running' and not forced
"""

FORCE = """
update {schema}.snapshot
   set forced = true, state = case state when 'refused' then 'running' else state end
 where deployment = $1 and source = $2 and state in ('asked', 'running', 'refused')
returning id
"""


class Snapshots:
    """The snapshots of one deployment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deployment = database.deployment
        self._control = database.control

    async def facts(self, sources: Collection[str] | None = None) -> dict[str, list[SnapshotFacts]]:
        """Snapshots that are not over, and the newest, by table and in the order of the requests.

        Of the given tables, or of all.
        """
        return await read_snapshots(self._database, sources)

    async def ask(
        self,
        source: str,
        reason: SnapshotReason,
        *,
        who: str,
        why: str | None,
        forced: bool = False,
        origin: SnapshotOrigin = "scan",
        given_export: str | None = None,
    ) -> int:
        """Ask the workers to load a table; open gaps of it are accepted, and healed at the end.

        A snapshot that ends without having loaded the table opens them again.
        Returns the number of the snapshot; one that was asked for and has not begun is joined.
        ConfigurationError for a table that is not registered.
        """
        async with self._database.transaction("asking for a snapshot") as connection:
            if await self._lock(connection, source) is None:
                message = f"table {source!r} is not registered in the control schema"
                raise ConfigurationError(message, remedy="run `replicator migrate` first")
            number = await ask_within(
                connection,
                self._control,
                self._deployment,
                source,
                reason,
                who=who,
                why=why,
                forced=forced,
                origin=origin,
                given_export=given_export,
            )
            await accept_gaps(
                connection, self._database, source, who=who, why=why or reason, snapshot_id=number
            )
        return number

    async def begin(
        self,
        snapshot: SnapshotFacts,
        targets: Sequence[TargetMapping],
        *,
        segments: int,
        items_estimated: int | None,
        instead: str | None = None,
    ) -> bool:
        """Enter `guard` and lay the segments out; False where another worker did, or the snapshot
        is over.

        `instead`: why a gap is healed by a scan of the whole table after all, and by no exports.
        From the COMMIT on every writer of the table knows the snapshot, so that every worker that
        sees the segments may scan. A snapshot that is still under way is ended, and this one takes
        the place.
        """
        async with self._database.transaction("beginning a snapshot") as connection:
            table = await self._lock(connection, snapshot.source)
            if table is None or table["stopped"]:
                return False
            # checked first: whoever comes second would end the very one that has just begun
            if not await connection.fetchval(self._control.sql(STILL_ASKED), snapshot.id):
                return False
            if table["snapshot_id"] is not None:
                await self._end(connection, table["snapshot_id"], "cancelled", snapshot.id)
            origin: SnapshotOrigin = await connection.fetchval(
                self._control.sql(ORIGIN), snapshot.id, table["snapshot_id"]
            )
            if origin == "changes" and instead is not None:
                origin = "scan"
            await connection.execute(
                self._control.sql(BEGIN), snapshot.id, items_estimated, origin, instead
            )
            await connection.execute(self._control.sql(FORGET_EXPORTS), snapshot.id)
            await switch_ordering_mode(
                connection,
                self._control,
                self._deployment,
                snapshot.source,
                ordering=OrderingMode.of(table["mode"]).while_loading(),
                snapshot_id=snapshot.id,
                when=tuple(OrderingMode),
            )
            loads = [None] * (segments if origin == "scan" else 1)  # those of files come later
            swept = [
                target.name
                for target in (targets if origin != "changes" else ())
                if await self._may_sweep(connection, target)
            ]
            for number, target in enumerate([*loads, *swept]):
                await connection.execute(
                    self._control.sql(ADD_SEGMENT),
                    self._deployment,
                    snapshot.source,
                    snapshot.id,
                    number,
                    target,
                    segments,
                    0 if target is None else SWEEP_PHASE,
                )
        return True

    async def finish(self, snapshot: SnapshotFacts) -> bool:
        """Leave `guard` when every segment is done: gaps are healed, older dead letters closed.

        False when it is not complete, or is over already. Versions are pruned afterwards.
        """
        async with self._database.transaction("ending a snapshot") as connection:
            table = await self._lock(connection, snapshot.source)
            if table is None or table["snapshot_id"] != snapshot.id:
                return False
            if await connection.fetchval(self._control.sql(INCOMPLETE), snapshot.id):
                return False
            await self._end(connection, snapshot.id, "done")
            await connection.fetch(self._control.sql(HEAL_GAPS), snapshot.id)
            await connection.execute(self._control.sql(CLOSE_LETTERS), snapshot.id)
            await self._leave(connection, snapshot.source, table)
        return True

    async def abandon(self, snapshot: SnapshotFacts) -> bool:
        """End one that is under way and leave `guard`; False when it is over already."""
        async with self._database.transaction("abandoning a snapshot") as connection:
            table = await self._lock(connection, snapshot.source)
            if table is None or table["snapshot_id"] != snapshot.id:
                return False
            await self._end(connection, snapshot.id, "cancelled", detail="it was not ended in time")
            await self._leave(connection, snapshot.source, table)
        return True

    async def cancel(self, source: str, *, who: str, why: str | None) -> list[int]:
        """End every snapshot of a table that is not over; rows that were written stay.

        The gaps that a snapshot was to heal are open again, so the table stops until a person
        decides.
        """
        async with self._database.transaction("cancelling a snapshot") as connection:
            table = await self._lock(connection, source)
            rows = await connection.fetch(self._control.sql(UNDER_WAY), self._deployment, source)
            for row in rows:
                await self._end(connection, row["id"], "cancelled", detail=f"by {who}")
            if table is not None and table["snapshot_id"] is not None:
                await self._leave(connection, source, table)
            if rows:
                numbers = ", ".join(str(row["id"]) for row in rows)
                await connection.execute(
                    self._control.sql(ACTION),
                    self._deployment,
                    source,
                    "cancel snapshot",
                    who,
                    why,
                    numbers,
                )
        return [row["id"] for row in rows]

    async def give_export(self, source: str, arn: str, *, who: str, why: str | None) -> int | None:
        """Let the snapshot that waits for an export load this one; None where none waits."""
        async with self._database.transaction("giving an export") as connection:
            await self._lock(connection, source)
            number = await connection.fetchval(
                self._control.sql(GIVE_EXPORT), self._deployment, source, arn
            )
            if number is not None:
                await raise_epochs(connection, self._control, self._deployment, source)
                await connection.execute(
                    self._control.sql(ACTION),
                    self._deployment,
                    source,
                    "give export",
                    who,
                    why,
                    arn,
                )
        return number if number is None else int(number)

    async def refuse_sweep(self, snapshot_id: int, detail: str) -> None:
        """Wait for a person before stale rows are deleted."""
        async with self._database.connection(
            "waiting with the deletion of stale rows"
        ) as connection:
            await connection.execute(self._control.sql(REFUSE_SWEEP), snapshot_id, detail)

    async def force(self, source: str, *, who: str, why: str | None) -> int | None:
        """Let the snapshot of a table sweep whatever the scan did not see; None without one."""
        async with self._database.transaction("forcing the deletion of stale rows") as connection:
            number = await connection.fetchval(self._control.sql(FORCE), self._deployment, source)
            if number is not None:
                await connection.execute(
                    self._control.sql(ACTION),
                    self._deployment,
                    source,
                    "force sweep",
                    who,
                    why,
                    str(number),
                )
        return number if number is None else int(number)

    async def _lock(self, connection: Session, source: str) -> asyncpg.Record | None:
        return await connection.fetchrow(self._control.sql(LOCK_TABLE), self._deployment, source)

    async def _end(
        self,
        connection: Session,
        snapshot_id: int,
        state: str,
        successor: int | None = None,
        *,
        detail: str | None = None,
    ) -> None:
        if successor is not None:
            detail = f"snapshot {successor} took its place"
            await connection.execute(self._control.sql(MOVE_GAPS), snapshot_id, successor)
        await connection.execute(
            self._control.sql(END), snapshot_id, ["asked", "running", "refused"], state, detail
        )
        await connection.execute(self._control.sql(FENCE_SEGMENTS_OFF), snapshot_id)
        if state == "cancelled":
            for row in await connection.fetch(self._control.sql(REOPEN_GAPS), snapshot_id):
                await raise_epochs(connection, self._control, self._deployment, row["source"])

    async def _leave(self, connection: Session, source: str, table: asyncpg.Record) -> None:
        resting = kind_of(table["stream_arn"]).resting_ordering
        await switch_ordering_mode(
            connection,
            self._control,
            self._deployment,
            source,
            ordering=OrderingMode.of(table["mode"]).after_loading(resting),
            when=(OrderingMode.GUARD, OrderingMode.LAMBDA),
        )

    async def _may_sweep(self, connection: Session, target: TargetMapping) -> bool:
        """True when stale rows may be deleted.

        Rows that `on_delete: ignore` keeps are never stale, nor are those that were there before
        the first claim, unless the configuration gives them away.
        """
        if target.spec.on_delete == "ignore":
            return False
        tables = target.row_tables
        names = [each.schema for each in tables], [each.name for each in tables]
        kept = target.spec.existing_rows != "delete"
        if kept and await connection.fetchval(self._control.sql(CAME_BEFORE), *names):
            return False
        table = quote_table(target.table.schema, target.table.name)
        return bool(await connection.fetchval(HAS_ROWS.format(table=table)))


async def ask_within(
    connection: asyncpg.Connection,
    control: ControlSchema,
    deployment: str,
    source: str,
    reason: SnapshotReason,
    *,
    who: str,
    why: str | None,
    forced: bool = False,
    origin: SnapshotOrigin = "scan",
    given_export: str | None = None,
) -> int:
    """Ask for a snapshot within the caller's transaction, and record who did."""
    number: int = await connection.fetchval(
        control.sql(ASK),
        deployment,
        source,
        reason,
        who,
        why,
        forced,
        origin,
        given_export,
    )
    await connection.execute(
        control.sql(ACTION),
        deployment,
        source,
        "snapshot",
        who,
        why,
        str(number),
    )
    return number
