"""What a worker is told, and what it keeps of each shard and part it works on."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from replicator.core.lag import ShardProgress
from replicator.engine.shard import Ending


class Runner(Protocol):
    """Works on one thing that is leased: a shard, or a part of a snapshot."""

    alive_at: float
    """When it last did something, by the monotonic clock."""

    @property
    def progress(self) -> ShardProgress | None:
        """How far it is in time; None where time does not measure it."""
        ...

    async def run(self, stopping: asyncio.Event) -> Ending:
        """Work until it ends or we are asked to stop."""
        ...


@dataclass(frozen=True, slots=True)
class Unit:
    """Something that is leased to one worker at a time: a shard, or a part of a snapshot."""

    table: str
    stream_arn: str
    name: str
    checkpoint: str
    parent_id: str | None


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The limits of one worker."""

    worker_id: str
    version: str
    lease_seconds: float
    idle_seconds_max: float
    discover_seconds: float = 30.0

    @property
    def plan_seconds(self) -> float:
        """How often leases are looked at."""
        return min(5.0, self.lease_seconds / 4)


@dataclass(slots=True)
class Running:
    """A task of this worker."""

    runner: Runner
    task: asyncio.Task[None]
    stopping: asyncio.Event
