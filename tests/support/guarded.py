"""A table behind the row guard on a real server; the fence before it is always open."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.row_guard import Applied, Guard, Versioning
from replicator.core.stream.source_kind import kind_of
from replicator.core.stream.stream_generations import SCAN, generation
from replicator.core.stream_record import StreamRecord
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.control.stream.ordering_mode_switch import switch_ordering_mode
from replicator.postgres.schema.migrate import migrate
from replicator.postgres.write.fence import Fence
from replicator.postgres.write.plan_writer import PlanWriter
from tests.support.bounds import USUAL_SECONDS
from tests.support.builders import STREAM

OPEN = Fence("fence as (select 1 where ($1::text, $2::text, $3::text, $4::text) is not null)", 4)


class GuardedTable:
    """Writes records of one stream, or of a scan, in whatever order they are given."""

    def __init__(self, database: Database, mapping: TableMapping) -> None:
        self.database = database
        self.mapping = mapping
        self._writer = PlanWriter(database, mapping, OPEN)

    async def apply(
        self,
        *records: StreamRecord,
        stream_arn: str = STREAM,
        guard: Guard = "stream",
        snapshot_id: int | None = None,
    ) -> Applied:
        """One transaction."""
        plan = plan_batch(records, self.mapping, read_at=0.0)
        number = SCAN if guard == "scan" else generation(stream_arn)
        applied = await self._writer.write_guarded(
            plan,
            (self.database.deployment, self.mapping.spec.name, stream_arn, ""),
            supersede=True,
            versioning=Versioning(guard, number, snapshot_id, kind_of(stream_arn).order),
        )
        assert applied is not None
        return applied

    async def switch(self, **how: Any) -> bool:
        async with self.database.transaction("switching") as connection:
            return await switch_ordering_mode(
                connection, ControlSchema("replicator"), "test", self.mapping.spec.name, **how
            )

    async def fetch(self, text: str, *values: object) -> Sequence[asyncpg.Record]:
        async with self.database.connection("looking") as connection:
            return await connection.fetch(text, *values)

    async def rows(self, table: str = "public.t") -> dict[str, Any]:
        """The column `n` by key."""
        return {row["pk"]: row["n"] for row in await self.fetch(f"select pk, n from {table}")}

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Session]:
        """A transaction of somebody else's."""
        async with self.database.transaction("holding") as connection:
            yield connection


@asynccontextmanager
async def guarded_table(dsn: str, mapping: TableMapping) -> AsyncIterator[GuardedTable]:
    """A migrated table in a database of one's own."""
    settings = ConnectionSettings(dsn=dsn)
    await migrate(settings, "replicator", "test", [mapping])
    patient = replace(settings, lock_timeout_seconds=USUAL_SECONDS)  # a test says when a lock ends
    database = Database(patient, deployment="test", control_schema="replicator", pool_size=6)
    try:
        yield GuardedTable(database, mapping)
    finally:
        await database.close()
