"""Claims of the segments of a snapshot: the right to write, and the position."""

from replicator.core.snapshot.snapshot_state import SegmentClaim
from replicator.errors import NotClaimable, PositionLost
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.connection.end_former_owner import ClaimTransactions

LOCK_TABLE_STATE = """
-- A changed mapping, mode or snapshot waits for this lock and then raises the epoch, or is seen.
select stream_arn, mapping_fingerprint, snapshot_id,
       paused or halted or exists (
           select from {schema}.gap g
            where (g.deployment, g.source) = ($1, $2) and g.state = 'open') as stopped,
       exists (select from {schema}.dead_letter l
                where (l.deployment, l.source) = ($1, $2) and l.state = 'open') as open_letters
  from {schema}.table_state
 where deployment = $1 and source = $2
   for share
"""

CLAIM = """
-- From here on no older claim can write. A sweep begins when the whole scan is committed, and each
-- phase when the ones before it are.
update {schema}.segment as g
   set epoch = g.epoch + 1, claimed_epoch = g.epoch + 1, claim_id = gen_random_uuid(),
       owner = $3, state = 'active'
  from {schema}.snapshot as s
 where s.id = g.snapshot_id
   and s.state = 'running'
   and g.snapshot_id = $1
   and g.number = $2
   and g.state in ('waiting', 'active')
   and (g.target is null
        or not exists (select from {schema}.segment o
                        where o.snapshot_id = $1 and o.target is null and o.state <> 'done'))
   and not exists (select from {schema}.segment o
                    where o.snapshot_id = $1 and o.phase < g.phase and o.state <> 'done')
returning g.epoch, g.claim_id, g.steps, g.position, g.parts, g.target, s.forced, s.origin, g.phase,
          g.share
"""

OWNER = "select owner from {schema}.segment where snapshot_id = $1 and number = $2"

LEAVE = """
update {schema}.segment set owner = null
 where snapshot_id = $1 and number = $2 and (epoch, claim_id) = ($3, $4)
"""

SWITCHED = """
select claimed_epoch = $3 and epoch > $3 and claim_id = $4 from {schema}.segment
 where snapshot_id = $1 and number = $2
"""


class Segments:
    """Claims segments of snapshots for one worker."""

    def __init__(self, database: Database, worker_id: str) -> None:
        self._database = database
        self._deployment = database.deployment
        self._control = database.control
        self._worker_id = worker_id
        self._claiming = ClaimTransactions(database)

    async def claim(
        self, source: str, snapshot_id: int, number: int, *, mapping_fingerprint: str
    ) -> SegmentClaim:
        """Fence off every other worker and learn where the segment stands.

        NotClaimable when it is done or the snapshot is over, the table is stopped, or another
        mapping writes the table now.
        """

        async def claim(connection: Session) -> SegmentClaim:
            return await self._claim(connection, source, snapshot_id, number, mapping_fingerprint)

        async def owner(connection: Session) -> str | None:
            found: str | None = await connection.fetchval(
                self._control.sql(OWNER), snapshot_id, number
            )
            return found

        return await self._claiming.patiently(claim, owner)

    async def leave(self, claim: SegmentClaim) -> None:
        """Say that nobody works on the segment; no harm when the claim is over."""
        async with self._database.connection("leaving a segment of a snapshot") as connection:
            await connection.execute(self._control.sql(LEAVE), *_held(claim))

    async def switched(self, claim: SegmentClaim) -> bool:
        """True when the table was stopped or the snapshot is over, which alone ended the claim."""
        async with self._database.connection("looking why a claim is over") as connection:
            found = await connection.fetchval(self._control.sql(SWITCHED), *_held(claim))
        return found is True

    async def _claim(
        self, connection: Session, source: str, snapshot_id: int, number: int, fingerprint: str
    ) -> SegmentClaim:
        table = await connection.fetchrow(
            self._control.sql(LOCK_TABLE_STATE), self._deployment, source
        )
        if table is None:
            message = f"table {source!r} is not registered in the control schema"
            raise PositionLost(message, remedy="run `replicator migrate`")
        if table["stopped"] or table["snapshot_id"] != snapshot_id:
            message = f"table {source!r} is stopped, or its snapshot {snapshot_id} is over"
            raise NotClaimable(message)
        if table["mapping_fingerprint"] != fingerprint:
            message = f"table {source!r} is written with another mapping than this worker's"
            raise NotClaimable(message, remedy="run `replicator plan`, then `replicator migrate`")
        row = await connection.fetchrow(
            self._control.sql(CLAIM), snapshot_id, number, self._worker_id
        )
        if row is None:
            message = f"part {number} of snapshot {snapshot_id} is done or waits for the scan"
            raise NotClaimable(message)
        return SegmentClaim(
            source=source,
            stream_arn=table["stream_arn"] or "",
            snapshot_id=snapshot_id,
            number=number,
            parts=row["parts"],
            target=row["target"],
            epoch=row["epoch"],
            claim_id=row["claim_id"],
            steps=row["steps"],
            position=row["position"],
            forced=row["forced"],
            open_letters=table["open_letters"],
            origin=row["origin"],
            phase=row["phase"],
            share=row["share"],
        )


def _held(claim: SegmentClaim) -> tuple[object, ...]:
    """A segment and the claim, as parameters of the statements."""
    return claim.snapshot_id, claim.number, claim.epoch, claim.claim_id
