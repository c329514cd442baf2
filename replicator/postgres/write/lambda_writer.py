"""Applies what AWS Lambda delivers of one table: any order, any repetition, no shard."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.row_guard import Applied, stream_versioning
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.table_spec import SourceKey
from replicator.errors import Fenced, MigrationDue, NotClaimable
from replicator.postgres.connection.database import Database
from replicator.postgres.write.fence import Fence
from replicator.postgres.write.plan_writer import PlanWriter

NOT_CLAIMED = UUID(int=0)
"""Lambda claims no shard: another fence decides."""

TABLE = """
select t.mode, t.mapping_fingerprint, t.paused, t.halted, t.snapshot_id, t.skip_before,
       t.initial_load, t.start_at, t.stream_arn,
       exists (select from {schema}.generation as g
                where (g.deployment, g.source, g.stream_arn) = ($1, $2, $3)) as known,
       clock_timestamp() as now
  from {schema}.table_state as t
 where t.deployment = $1 and t.source = $2
"""

SOURCE_KEYS = """
select source, source_key::text as source_key, table_arn
  from {schema}.table_state where deployment = $1
"""

DELIVERY_FENCE = Fence(
    """
-- Held shared to the COMMIT: whoever switches the mode, the mapping or the snapshot waits for us,
-- and whoever did so before is seen here.
fence as (
    select 1 from {schema}.table_state
     where deployment = $1
       and source = $2
       and $3::text is not null
       and $4::text is not null
       and mode = 'lambda'
       and not paused
       and not halted
       and mapping_fingerprint = $5
       and snapshot_id is not distinct from $6::bigint{unless}
       for share)""",
    parameters=6,
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Conditions for applying a stream's changes now. `known`: the stream was seen before."""

    claim: Claim
    known: bool
    current: str | None
    """The stream that the table is read from, as far as anybody has noted."""


@dataclass(frozen=True, slots=True)
class RegisteredTable:
    """A registered DynamoDB table; `arn` None: not noted yet."""

    key: SourceKey
    arn: str | None


async def source_tables(database: Database) -> dict[str, RegisteredTable]:
    """The DynamoDB tables that are registered, by the names of the entries."""
    control = database.control
    async with database.connection("reading the tables") as connection:
        rows = await connection.fetch(control.sql(SOURCE_KEYS), database.deployment)
    return {
        row["source"]: RegisteredTable(
            SourceKey(tuple((name, kind) for name, kind in json.loads(row["source_key"]))),
            row["table_arn"],
        )
        for row in rows
        if row["source_key"] is not None
    }


class Deliveries:
    """Writes the plans of one table mapping behind the row guard alone."""

    def __init__(self, database: Database, mapping: TableMapping) -> None:
        self._database = database
        self._mapping = mapping
        self._table = database.control.sql(TABLE)
        self._writer = PlanWriter(database, mapping, DELIVERY_FENCE)

    async def read(self, stream_arn: str) -> Delivery:
        """Conditions under which Lambda may write the table; raises where it may not.

        MigrationDue or NotClaimable, after which the batch is to be delivered again.
        """
        source = self._mapping.spec.name
        async with self._database.connection("reading the table") as connection:
            row = await connection.fetchrow(
                self._table, self._database.deployment, source, stream_arn
            )
        if row is None or row["mapping_fingerprint"] != self._mapping.fingerprint:
            message = f"table {source!r} is registered with another mapping than this function's"
            raise MigrationDue(message, remedy="deploy the same configuration, `migrate` first")
        if OrderingMode.of(row["mode"]).poller != "lambda":
            message = f"table {source!r} is polled by the daemon"
            raise NotClaimable(message, remedy="say `poller: lambda`, then `replicator migrate`")
        if row["paused"] or row["halted"]:
            message = f"table {source!r} is stopped"
            raise NotClaimable(message, remedy=f"`replicator resume --table {source}`")
        return Delivery(_claim(row, source, stream_arn), row["known"], row["stream_arn"])

    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        """Commit what of a plan is newer than the rows; Fenced when the table changed hands.

        Errors as those of a shard's sink; the same plan may always be tried again.
        """
        del advance  # the event source mapping keeps the position
        values: tuple[Any, ...] = (
            self._database.deployment,
            claim.source,
            claim.stream_arn,
            claim.shard_id,
            self._mapping.fingerprint,
            claim.snapshot_id,
        )
        applied = await self._writer.write_guarded(
            plan,
            values,
            supersede=claim.open_letters,
            versioning=stream_versioning(claim.stream_arn, claim.snapshot_id),
        )
        if applied is None:
            message = f"table {claim.source!r} changed hands, mapping or snapshot meanwhile"
            raise Fenced(message)
        return applied

    async def refusals(self, plan: WritePlan, others: Iterable[WritePlan] = (), /) -> Refusals:
        """Targets and histories that refuse the rows of a plan of one record, with their
        reasons.
        """
        return await self._writer.refused_rows.refusals(plan, others)


def _claim(row: Any, source: str, stream_arn: str) -> Claim:  # noqa: ANN401 (a row as asyncpg gives it)
    at_first: datetime | None = row["start_at"] if row["initial_load"] == "none" else None
    return Claim(
        source=source,
        stream_arn=stream_arn,
        shard_id="",
        epoch=0,
        claim_id=NOT_CLAIMED,
        position=None,
        known=None,
        safe_at=None,
        found_at=row["now"],
        gap_accepted_at=None,
        owed=True,
        ordering=OrderingMode.LAMBDA,
        skip_before=row["skip_before"] or at_first,
        snapshot_id=row["snapshot_id"],
        open_letters=True,  # another invocation may write some meanwhile
    )
