"""Surveys the targets of a running worker again and again, and halts tables that became unfit.

What changes or drops rows without a word is seen by the statement of each batch
(`postgres/write/trigger_interference`), and most of the rest by PostgreSQL's refusal. The survey
finds what neither tells, such as a column that was narrowed or a table that is not logged any more,
and what happens to a target that nobody writes at the moment.
"""

import asyncio

from replicator.clock import Clock
from replicator.engine.backoff import stopped_within
from replicator.engine.worker.worker import Worker
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.database_survey import unfit_targets

SHARE_MAX = 0.05
"""Part of the time that surveys may take: those of very many tables come less often."""


class TargetWatch:
    """Surveys the targets of all tables that a worker works on."""

    def __init__(
        self, worker: Worker, database: Database, clock: Clock, *, every_seconds: float
    ) -> None:
        self._worker = worker
        self._database = database
        self._clock = clock
        self._every_seconds = every_seconds

    async def survey(self, stopping: asyncio.Event) -> bool:
        """One survey, and the wait for the next; True once asked to stop."""
        began = self._clock.monotonic()
        halts = {
            table.name: self._worker.halting(table)
            for table in self._worker.tables.values()
            if table.working
        }
        if halts:
            mappings = [self._worker.tables[name].mapping for name in halts]
            async with self._database.transaction("surveying the targets") as connection:
                unfit = await unfit_targets(connection, mappings)
            for name, error in unfit.items():
                await halts[name](error)
        took = self._clock.monotonic() - began
        return await stopped_within(stopping, max(self._every_seconds, took / SHARE_MAX))
