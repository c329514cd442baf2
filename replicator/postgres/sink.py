"""Applies a plan of a shard: fence, rows, dead letters and position in one transaction."""

from typing import Any

from replicator.core.generations import generation
from replicator.core.guard import Applied, Versioning
from replicator.core.mapping import TableMapping
from replicator.core.plan import Refused, WritePlan
from replicator.core.shards import Advance, Claim
from replicator.errors import Fenced
from replicator.postgres.database import Database
from replicator.postgres.fences import SHARD_FENCE
from replicator.postgres.plan_writer import PlanWriter


class PostgresSink:
    """Writes the plans of one table mapping for the shards that are claimed."""

    def __init__(self, database: Database, mapping: TableMapping) -> None:
        self._deployment = database.deployment
        self._writer = PlanWriter(database, mapping, SHARD_FENCE)

    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        """Commit all of a plan and the new position, or nothing; returns what was written.

        Where the claim says that the table is guarded, versions are written first. Fenced when
        another worker claimed the shard or the position is not where we believe it; RowRejected,
        SchemaMismatch, SinkBusy, BatchTooSlow; SinkUnavailable when the outcome is not known,
        after which the shard must be claimed anew.
        """
        values = self._fence_values(claim, advance)
        if claim.mode == "fence":
            applied = await self._writer.write(plan, values, supersede=claim.open_letters)
        else:
            versioning = Versioning("stream", generation(claim.stream_arn), claim.snapshot_id)
            applied = await self._writer.write_guarded(  # a scan may write letters meanwhile
                plan, values, supersede=True, versioning=versioning
            )
        if applied is None:
            message = f"shard {claim.shard_id} was claimed by another worker"
            raise Fenced(message)
        return applied

    async def refusals(self, plan: WritePlan) -> Refused:
        """Which targets and histories refuse the rows of a plan of one record, and why."""
        return await self._writer.refusals(plan)

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
        ]
