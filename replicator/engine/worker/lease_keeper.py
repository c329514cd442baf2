"""The leases that the worker holds: renewed, checkpointed behind every COMMIT, given back."""

from dataclasses import dataclass

from replicator.clock import Clock
from replicator.core.observations import LeaseLapsed, LeaseReleased, LeaseTaken, Observe
from replicator.core.records import Position
from replicator.core.stream.leases import SHARD_END, TRIM_HORIZON, Lease
from replicator.engine.ports import Leases
from replicator.engine.tasks import for_each
from replicator.errors import CoordinationUnavailable, LeaseLost

CALLS_AT_ONCE = 32
"""Calls of the lease table that one worker makes at a time: a thousand leases take a second."""


@dataclass(slots=True)
class Held:
    """A lease of ours. `position` may be ahead of `saved` by what was committed since."""

    key: str
    table: str
    stream_arn: str
    shard_id: str
    checkpoint: str
    renewed_at: float
    position: Position | None = None
    saved: Position | None = None
    saved_at: float = 0.0


class Holding:
    """Keeps leases alive and the checkpoints near the truth in PostgreSQL."""

    def __init__(
        self,
        leases: Leases,
        observe: Observe,
        clock: Clock,
        *,
        lease_seconds: float,
        save_seconds: float = 1.0,
    ) -> None:
        self._leases = leases
        self._observe = observe
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._save_seconds = save_seconds
        self.held: dict[str, Held] = {}

    async def take(
        self, lease: Lease, *, table: str, stream_arn: str, shard_id: str
    ) -> Held | None:
        """Take a lease; None when another worker was quicker."""
        now = self._clock.monotonic()
        try:
            taken = await self._leases.take(lease)
        except LeaseLost:
            return None
        held = self.held[lease.key] = Held(
            lease.key, table, stream_arn, shard_id, taken.checkpoint, renewed_at=now
        )
        self._observe(LeaseTaken(table, shard_id, lease.owner))
        return held

    def moved(self, key: str, position: Position) -> None:
        """Note a committed position; it is saved soon."""
        held = self.held.get(key)
        if held is not None:
            held.position = position

    def too_old(self) -> list[str]:
        """Leases that we could not renew for so long that they may be another worker's."""
        now = self._clock.monotonic()
        return [
            held.key for held in self.held.values() if now - held.renewed_at > self._lease_seconds
        ]

    async def renew_all(self) -> None:
        """Renew what is due, with the checkpoint where it moved; drop what is lost."""
        now = self._clock.monotonic()
        due = [
            held
            for held in self.held.values()
            if self._is_unsaved(held, now) or now - held.renewed_at >= self._lease_seconds / 4
        ]
        await for_each(due, self._renew, at_once=CALLS_AT_ONCE)

    async def release(self, key: str, *, ended: bool = False) -> None:
        """Save the last position and give a lease back; an ended shard's keeps SHARD_END."""
        held = self.held.pop(key, None)
        if held is None:
            return
        moved = held.position != held.saved
        checkpoint = SHARD_END if ended else checkpoint_text(held.position) if moved else None
        try:
            await self._leases.release(key, checkpoint=checkpoint)
        except LeaseLost:
            self._observe(LeaseLapsed(held.table, held.shard_id))
        except CoordinationUnavailable:
            return  # it expires by itself
        else:
            self._observe(LeaseReleased(held.table, held.shard_id))

    def drop(self, key: str) -> None:
        """Believe that a lease is lost."""
        held = self.held.pop(key, None)
        if held is not None:
            self._observe(LeaseLapsed(held.table, held.shard_id))

    def _is_unsaved(self, held: Held, now: float) -> bool:
        return held.position != held.saved and now - held.saved_at >= self._save_seconds

    async def _renew(self, held: Held) -> None:
        if self.held.get(held.key) is not held:
            return  # it was given back since it fell due
        now = self._clock.monotonic()
        position, save = held.position, self._is_unsaved(held, now)
        try:
            if save:
                await self._leases.save(held.key, checkpoint_text(position))
                held.saved, held.saved_at = position, now
            else:
                await self._leases.renew(held.key)
        except LeaseLost:
            if self.held.get(held.key) is held:
                self.drop(held.key)
        except CoordinationUnavailable:
            return  # `too_old` ends it in time
        else:
            held.renewed_at = now


def checkpoint_text(position: Position | None) -> str:
    """A position as the lease row holds it."""
    return TRIM_HORIZON if position is None else str(position).zfill(21)


def checkpointed_position(checkpoint: str) -> Position | None:
    """The position of a checkpoint, None for KCL's special ones."""
    return Position(int(checkpoint)) if checkpoint.isdigit() else None
