"""Applies plans of shards and snapshot segments, each in one fenced transaction."""

from collections.abc import Iterable
from typing import Any

from replicator.core.mapping.compile import TableMapping
from replicator.core.planning.guard_outcomes import Applied, Guard, Versioning, stream_versioning
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.snapshot.snapshot_facts import SegmentAdvance, SegmentClaim
from replicator.core.stream.generations import SCAN
from replicator.core.stream.stream_facts import Advance, Claim
from replicator.errors import Fenced
from replicator.postgres.connection.database import Database
from replicator.postgres.write.fence import SHARD_FENCE, Fence
from replicator.postgres.write.plan_writer import PlanWriter


class PostgresSink:
    """Writes the plans of one table mapping for the shards that are claimed."""

    def __init__(self, database: Database, mapping: TableMapping) -> None:
        self._deployment = database.deployment
        self._writer = PlanWriter(database, mapping, SHARD_FENCE)

    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        """Commit all of a plan and the new position, or nothing; returns what was written.

        Where the claim says that the table is guarded, versions are written first. Fenced when
        another worker claimed the shard or the position is not where we believe it; BatchRejected,
        SchemaMismatch, SinkBusy, BatchTooSlow; SinkUnavailable when the outcome is not known,
        after which the shard must be claimed again.
        """
        values = self._fence_values(claim, advance)
        if claim.keeper.by_versions:
            versioning = stream_versioning(claim.stream_arn, claim.snapshot_id)
            applied = await self._writer.write_guarded(  # a scan may write letters meanwhile
                plan, values, supersede=True, versioning=versioning
            )
        else:
            applied = await self._writer.write(plan, values, supersede=claim.open_letters)
        if applied is None:
            message = f"shard {claim.shard_id} was claimed by another worker"
            raise Fenced(message)
        return applied

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = (), /) -> Refusals:
        """Targets and histories that refuse the rows of a plan of one record, with their
        reasons.
        """
        return await self._writer.refusals(plan, others)

    def _fence_values(self, claim: Claim, advance: Advance) -> list[Any]:
        return [
            self._deployment,
            claim.source,
            claim.stream_arn,
            claim.shard_id,
            claim.epoch,
            str(advance.position),
            str(advance.known),
            advance.created_at,
            advance.polled_at,
            None if advance.expected is None else str(advance.expected),
            claim.claim_id,
            advance.load,
        ]


SEGMENT_FENCE = Fence(
    """
-- The compare-and-set of a segment of a snapshot: a page of a worker that was superseded, or of a
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
       and (epoch, claim_id) = ($7, $14::uuid)
       and steps = $8
       and state = 'active'{unless}
 returning 1)""",
    parameters=14,
)


class SegmentSink:
    """Writes pages of a scan or an export, and sweeps, for the segments that are claimed."""

    def __init__(self, database: Database, mapping: TableMapping) -> None:
        self._deployment = database.deployment
        self._writer = PlanWriter(database, mapping, SEGMENT_FENCE)

    async def apply(
        self, plan: WritePlan, *, claim: SegmentClaim, advance: SegmentAdvance
    ) -> Applied:
        """Commit what is still wanted of a plan and move the segment, or nothing.

        Fenced when another worker claimed the segment, or the snapshot is over.
        """
        loads: Guard = "heal" if claim.origin == "changes" else "scan"
        guard: Guard = loads if claim.target is None else "sweep"
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

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = (), /) -> Refusals:
        """Targets that refuse the row of a plan of one item, with the reasons."""
        return await self._writer.refusals(plan, others)

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
            claim.claim_id,
        ]
