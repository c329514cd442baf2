"""What a worker does beside its shards: old versions go, and tables leave the row guard."""

import asyncio

from replicator.engine.waiting import stopped_within
from replicator.postgres.database import Database
from replicator.postgres.pollers import leave_guard
from replicator.postgres.pruning import Pruning

LEAVE_SECONDS = 10.0
PRUNE_SECONDS = 300.0
"""Between two walks through the table of versions."""


class Housekeeping:
    """The versions of one control schema, as one worker looks after them."""

    def __init__(self, database: Database, *, retention_hours: float) -> None:
        self._database = database
        self._pruning = Pruning(database, retention_hours=retention_hours)

    async def leave(self, stopping: asyncio.Event) -> bool:
        """Every moment, see which tables need no versions any more."""
        while not await stopped_within(stopping, LEAVE_SECONDS):
            await leave_guard(self._database)
        return True

    async def prune(self, stopping: asyncio.Event) -> bool:
        """Walk through the versions again and again, a few pages at a time."""
        page = 0
        while not await stopped_within(stopping, 0.1 if page else PRUNE_SECONDS):
            page = (await self._pruning.step(page)).next_page
        return True
