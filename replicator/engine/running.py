"""What a worker is told, and what it keeps of each shard it works on."""

import asyncio
from dataclasses import dataclass

from replicator.engine.shard import ShardReplicator


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The limits of one worker."""

    worker_id: str
    version: str
    lease_seconds: float
    idle_seconds_max: float
    batch_records_max: int = 1000
    discover_seconds: float = 30.0

    @property
    def plan_seconds(self) -> float:
        """How often leases are looked at."""
        return min(5.0, self.lease_seconds / 4)


@dataclass(slots=True)
class Running:
    """A shard task of this worker."""

    replicator: ShardReplicator
    task: asyncio.Task[None]
    stopping: asyncio.Event
