"""Writes pages of a scan, and sweeps: behind the fence of their part, versions first."""

from typing import Any

from replicator.core.generations import SCAN
from replicator.core.guard import Applied, Guard, Versioning
from replicator.core.mapping import TableMapping
from replicator.core.plan import Refused, WritePlan
from replicator.core.snapshots import SegmentAdvance, SegmentClaim
from replicator.errors import Fenced
from replicator.postgres.database import Database
from replicator.postgres.fences import Fence
from replicator.postgres.plan_writer import PlanWriter

SEGMENT_FENCE = Fence(
    """
-- The compare-and-set of a part of a snapshot: a page of a worker that was superseded, or of a
-- snapshot that is over, writes nothing.
fence as (
    update {schema}.segment
       set steps = steps + 1,
           position = coalesce($9, position),
           items = items + $10,
           rows = rows + $11,
           read_units = read_units + $12,
           state = case when $13 then 'done' else state end,
           owner = case when $13 then null else owner end,
           moved_at = now()
     where deployment = $1
       and source = $2
       and ($3::text, $4::text) is not null
       and snapshot_id = $5
       and number = $6
       and epoch = $7
       and steps = $8
       and state = 'active'
 returning 1)""",
    parameters=13,
)


class SegmentSink:
    """Writes pages of a scan, and sweeps, for the parts that are claimed."""

    def __init__(self, database: Database, mapping: TableMapping) -> None:
        self._deployment = database.deployment
        self._writer = PlanWriter(database, mapping, SEGMENT_FENCE)

    async def apply(
        self, plan: WritePlan, *, claim: SegmentClaim, advance: SegmentAdvance
    ) -> Applied:
        """Commit what is still wanted of a plan and move the part, or nothing.

        Fenced when another worker claimed the part, or its snapshot is over.
        """
        guard: Guard = "scan" if claim.target is None else "sweep"
        applied = await self._writer.write_guarded(
            plan,
            self._fence_values(claim, advance),
            supersede=claim.open_letters,
            versioning=Versioning(guard, SCAN, claim.snapshot_id),
        )
        if applied is None:
            message = f"{claim.name} was claimed by another worker, or its snapshot is over"
            raise Fenced(message)
        return applied

    async def refusals(self, plan: WritePlan) -> Refused:
        """Which targets refuse the row of a plan of one item, and why."""
        return await self._writer.refusals(plan)

    def _fence_values(self, claim: SegmentClaim, advance: SegmentAdvance) -> list[Any]:
        return [
            self._deployment,
            claim.source,
            claim.stream_arn,
            claim.name,
            claim.snapshot_id,
            claim.number,
            claim.epoch,
            claim.steps,
            advance.position,
            advance.items,
            advance.rows,
            advance.read_units,
            advance.ended,
        ]
