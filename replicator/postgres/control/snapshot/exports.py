"""The exports that a snapshot loads, in the control schema: asked for once, whoever resumes."""

from collections.abc import Sequence
from datetime import datetime

from replicator.core.snapshot.export_manifest import ExportSummary
from replicator.core.snapshot.export_windows import Window
from replicator.core.snapshot.snapshot_state import ExportRecord, SegmentClaim, WantedExports
from replicator.errors import Fenced
from replicator.postgres.connection.database import Database, Session

LOCK = """
-- In the order in which whoever begins or ends it locks.
select 1 from {schema}.snapshot where id = $1 for update
"""

HELD = """
-- Only who holds a segment, the one that has the exports made or one that loads files, says
-- anything of them.
select 1 from {schema}.segment
 where snapshot_id = $1 and number = $2 and (epoch, claim_id) = ($3, $4) and state = 'active'
   for update
"""

WANTED = """
select s.guarded_at, s.given_export, s.origin,
       (select case when count(*) = count(cut) then array_agg(distinct cut) end
          from {schema}.gap as g
         cross join unnest(coalesce(g.cuts, array[g.since])) as cut
         where g.snapshot_id = s.id) as cuts
  from {schema}.snapshot as s
 where s.id = $1
"""

EXPORTS = """
select phase, since, until, client_token, arn, bucket, summary_key, items
  from {schema}.export
 where snapshot_id = $1
 order by phase
"""

GUARDED = """
-- Asked again later the time would only be later: the first one is as good.
update {schema}.snapshot set guarded_at = coalesce(guarded_at, $2) where id = $1
"""

ADD_EXPORT = """
insert into {schema}.export (snapshot_id, phase, since, until, arn)
values ($1, $2, $3, $4, $5)
    on conflict do nothing
"""

ASKED = "update {schema}.export set arn = $3 where (snapshot_id, phase) = ($1, $2)"

COMPLETE = """
update {schema}.export
   set bucket = $3, summary_key = $4, items = $5, billed_bytes = $6
 where (snapshot_id, phase) = ($1, $2)
"""

TELL = "update {schema}.snapshot set detail = $2 where id = $1 and state = 'running'"

LAY_OUT = """
-- The files of each export are a phase, divided among as many segments as a scan would have.
insert into {schema}.segment
       (deployment, source, snapshot_id, number, target, parts, phase, share)
select s.deployment, s.source, s.id,
       (select max(number) from {schema}.segment where snapshot_id = s.id)
       + row_number() over (order by e.phase, n.share),
       null, $2, e.phase, n.share
  from {schema}.snapshot as s
  join {schema}.export as e on e.snapshot_id = s.id
 cross join generate_series(0, $2 - 1) as n(share)
 where s.id = $1
"""

COUNT = """
update {schema}.snapshot
   set detail = null,
       items_estimated = (select sum(items) from {schema}.export where snapshot_id = $1)
 where id = $1
"""

MADE = """
update {schema}.segment set state = 'done', owner = null, moved_at = now(), steps = steps + 1
 where snapshot_id = $1 and number = $2
"""

REFUSE = """
update {schema}.snapshot set state = 'refused', detail = $2 where id = $1 and state = 'running'
"""


class ExportRecords:
    """Records of the exports of snapshots; Fenced where another worker holds the segment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._control = database.control

    async def wanted(self, snapshot_id: int) -> WantedExports:
        """Everything on record of a snapshot's exports."""
        async with self._database.connection("reading the exports of a snapshot") as connection:
            row = await connection.fetchrow(self._control.sql(WANTED), snapshot_id)
            found = await connection.fetch(self._control.sql(EXPORTS), snapshot_id)
        if row is None:
            message = f"snapshot {snapshot_id} is not on record any more"
            raise Fenced(message)
        return WantedExports(
            guarded_at=row["guarded_at"],
            given_export=row["given_export"],
            origin=row["origin"],
            cuts=tuple(row["cuts"] or ()),
            exports=tuple(ExportRecord(**each) for each in found),
        )

    async def guarded(self, claim: SegmentClaim, at: datetime) -> None:
        """Keep the source's time of a moment after the COMMIT of the guard."""
        async with self._database.transaction("noting when the guard began") as connection:
            await self._require_held(connection, claim)
            await connection.execute(self._control.sql(GUARDED), claim.snapshot_id, at)

    async def want(
        self, claim: SegmentClaim, windows: Sequence[Window | datetime | None], arn: str | None
    ) -> None:
        """Put the exports on record before any is asked for, each with the token of its request.

        A time: an export of the whole table as of then. None: the export `arn`, made by somebody
        else.
        """
        async with self._database.transaction("planning the exports") as connection:
            await self._require_held(connection, claim)
            for phase, wanted in enumerate(windows, 1):
                since, until = (
                    (wanted.since, wanted.until) if isinstance(wanted, Window) else (None, wanted)
                )
                await connection.execute(
                    self._control.sql(ADD_EXPORT), claim.snapshot_id, phase, since, until, arn
                )

    async def asked(self, claim: SegmentClaim, phase: int, arn: str) -> None:
        """Keep the ARN of an export that was asked for."""
        async with self._database.transaction("noting an export") as connection:
            await self._require_held(connection, claim)
            await connection.execute(self._control.sql(ASKED), claim.snapshot_id, phase, arn)

    async def complete(
        self, claim: SegmentClaim, phase: int, summary: ExportSummary, key: str
    ) -> None:
        """Keep where the manifest of an export is that was verified."""
        async with self._database.transaction("noting a complete export") as connection:
            await self._require_held(connection, claim)
            await connection.execute(
                self._control.sql(COMPLETE),
                claim.snapshot_id,
                phase,
                summary.bucket,
                key,
                summary.items,
                summary.billed_bytes,
            )

    async def tell(self, claim: SegmentClaim, detail: str) -> None:
        """Say what the snapshot waits for."""
        async with self._database.transaction("telling of an export") as connection:
            await self._require_held(connection, claim)
            await connection.execute(self._control.sql(TELL), claim.snapshot_id, detail)

    async def lay_out(self, claim: SegmentClaim) -> None:
        """End the segment that had the exports made, and add those that load the files."""
        async with self._database.transaction("laying out the files of exports") as connection:
            await self._require_held(connection, claim)
            await connection.execute(self._control.sql(LAY_OUT), claim.snapshot_id, claim.parts)
            await connection.execute(self._control.sql(COUNT), claim.snapshot_id)
            await connection.execute(self._control.sql(MADE), claim.snapshot_id, claim.number)

    async def refuse(self, claim: SegmentClaim, detail: str) -> None:
        """Wait for a person: the export cannot be loaded."""
        async with self._database.transaction("refusing an export") as connection:
            await self._require_held(connection, claim)
            await connection.execute(self._control.sql(REFUSE), claim.snapshot_id, detail)

    async def _require_held(self, connection: Session, claim: SegmentClaim) -> None:
        await connection.execute(self._control.sql(LOCK), claim.snapshot_id)
        held = await connection.fetchval(
            self._control.sql(HELD), claim.snapshot_id, claim.number, claim.epoch, claim.claim_id
        )
        if held is None:
            message = f"{claim.name} was claimed by another worker, or its snapshot is over"
            raise Fenced(message)
