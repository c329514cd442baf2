"""The leases that the worker holds: renewed, checkpointed behind every COMMIT, given back."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from replicator.clock import Clock
from replicator.core.leases.lease_plan import SHARD_END, TRIM_HORIZON, Lease
from replicator.core.snapshot.snapshot_state import is_segment_name
from replicator.core.stream_record import Position
from replicator.core.telemetry_events import LeaseLapsed, LeaseReleased, LeaseTaken, Observe
from replicator.engine.ports import Leases
from replicator.engine.task_groups import for_each
from replicator.errors import CoordinationUnavailable, LeaseLost

WRITES_A_SECOND = 1.0
"""Writes of the leases that one worker holds, checkpoints and signs of life together: the bill of
the lease table grows with workers."""
WRITES_OF_A_LEASE = 8.0
"""Writes of the leases that one worker holds, in the time of one lease at least: a short one must
not run out while the worker waits for its next write."""
WRITES_SAVED_UP = 10.0
"""Writes that may come at once after a quiet while."""
CALLS_AT_ONCE = 32
"""Calls of the lease table that one worker makes at a time: a thousand leases take a second."""


@dataclass(slots=True)
class HeldLease:
    """A lease of ours. `position` may be ahead of `saved` by what was committed since."""

    key: str
    table: str
    stream_arn: str
    shard_id: str
    checkpoint: str
    renewed_at: float
    """Time of the last write of the lease."""
    position: Position | None = None
    saved: Position | None = None
    saved_at: float = 0.0


class LeaseKeeper:
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
        self.held: dict[str, HeldLease] = {}
        self.ended: set[str] = set()
        """Leases that were given back for good, and are deleted once no worker asks for one."""
        self.released: set[str] = set()
        """Leases that were being given back when the current look began, or since: what the look
        finds of them may be from before, and a call to take one may overtake the one that gives it
        back."""
        self._releasing: set[str] = set()
        self._perhaps_ours: set[str] = set()
        """Leases that are not held and may name this worker as the owner, whose beat vouches for
        it: a call to take or to give back one was not answered, or it was believed to be lost."""
        self.wanted: set[str] = set()
        """Leases of ours that were found to be asked for as they were written: by a worker of an
        older version, or by one whose word of it was lost."""
        self.reached = True
        """True when the last call of the lease table was answered."""
        self._written_at = clock.monotonic()
        """Time of the last write of a lease of this worker."""
        self._beat = 0
        self._beat_told: int | None = None
        self._beat_told_at = self._written_at
        """Time at which the newest beat was told of: others count from a moment behind that."""
        self._beat_stands = False
        """True when others were told of a beat that stands."""
        self._each_since: float | None = None
        """Time since when every lease is renewed for itself: a worker of an older version judges by
        the counters."""
        self._writes_a_second = max(WRITES_A_SECOND, WRITES_OF_A_LEASE / lease_seconds)
        self._writes, self._counted_at = WRITES_SAVED_UP, clock.monotonic()

    def beat(self) -> int:
        """The worker's heartbeat: it moves while the lease table is reached, and vouches for all
        leases held."""
        fresh = self._clock.monotonic() - self._written_at <= self._lease_seconds / 2
        if self.reached and (fresh or not self.held):
            self._beat += 1
        return self._beat

    def beat_told(self, beat: int, *, at: float) -> None:
        """Note that others can see a beat; `at`: when the call that tells of it was made."""
        self._beat_stands = beat == self._beat_told
        if not self._beat_stands:
            self._beat_told, self._beat_told_at = beat, at

    def silent_seconds(self) -> float:
        """Seconds since others were last told of a beat that moved."""
        return self._clock.monotonic() - self._beat_told_at

    def seconds_left(self) -> float:
        """Seconds for which nobody else may take what this worker holds, by its own clock.

        Others take it `lease_seconds` after the last sign of life that they saw. While they are
        told that the beat stands, that is the last beat, whatever was written of leases since.
        """
        since = self._written_at
        if self._beat_stands:
            since = min(since, self._beat_told_at)
        return since + self._lease_seconds - self._clock.monotonic()

    def renews_each(self, *, since: float | None) -> None:
        """Renew every lease from now on, or again as few as the heartbeat allows."""
        self._each_since = None if since is None else (self._each_since or since)

    async def take(
        self, lease: Lease, *, table: str, stream_arn: str, shard_id: str
    ) -> HeldLease | None:
        """Take a lease; None when another worker was quicker."""
        now = self._clock.monotonic()
        self._perhaps_ours.add(lease.key)
        try:
            taken = await self._leases.take(lease)
        except LeaseLost:
            self._perhaps_ours.discard(lease.key)
            return None
        self._perhaps_ours.discard(lease.key)
        self._written(now)
        held = self.held[lease.key] = HeldLease(
            lease.key, table, stream_arn, shard_id, taken.checkpoint, renewed_at=now
        )
        self._observe(LeaseTaken(table, shard_id, lease.owner))
        return held

    def moved(self, key: str, position: Position) -> None:
        """Note a committed position; saved soon."""
        held = self.held.get(key)
        if held is not None:
            held.position = position

    def too_old(self) -> list[str]:
        """Leases without a renewal for so long that another worker may have taken one."""
        if self.seconds_left() <= 0:
            return list(self.held)
        now, each = self._clock.monotonic(), self._each_since
        return [
            held.key
            for held in self.held.values()
            if each is not None and now - max(held.renewed_at, each) > self._lease_seconds
        ]

    async def renew_all(self) -> bool:
        """Renew what is due, with the checkpoint where it moved; drop what is lost. True where a
        lease was renewed.

        Of more than may be written now, the longest unwritten first.
        """
        now = self._clock.monotonic()
        due = [
            held
            for held in self.held.values()
            if self._is_unsaved(held, now) or now - held.renewed_at >= self._lease_seconds / 4
        ]
        allowed = self._writes + (now - self._counted_at) * self._writes_a_second
        self._writes, self._counted_at = min(WRITES_SAVED_UP, allowed), now
        if self._each_since is None:
            due = sorted(due, key=lambda held: held.renewed_at)[: int(self._writes)]
            self._writes -= len(due)
        await for_each(due, self._renew, at_once=CALLS_AT_ONCE)
        return any(held.renewed_at >= now for held in due)

    async def confirm(self, key: str) -> bool:
        """True unless the lease is another worker's by now, as the lease table says."""
        held = self.held.get(key)
        if held is not None:
            await self._renew(held)
        return key in self.held

    async def release(self, key: str, *, ended: bool = False) -> None:
        """Save the last position and give a lease back; an ended shard's keeps SHARD_END."""
        held = self.held.pop(key, None)
        if held is None:
            return
        self._releasing.add(key)
        self.released.add(key)
        self._perhaps_ours.add(key)
        try:
            await self._release(held, ended=ended)
        finally:
            self._releasing.discard(key)

    def look_begins(self) -> None:
        """Forget what was given back before the look that begins now."""
        self.released = set(self._releasing)

    async def release_again(self, wanted: Collection[str]) -> None:
        """Give back what may be ours still and is not `wanted`, which a plan takes again: nobody
        else may take it while this worker lives.
        """
        due = self._perhaps_ours - {*wanted, *self.held, *self._releasing}
        await for_each(sorted(due), self._release_unheld, at_once=CALLS_AT_ONCE)

    async def _release_unheld(self, key: str) -> None:
        with suppress(LeaseLost):
            await self._leases.release(key)
        self._perhaps_ours.discard(key)

    async def _release(self, held: HeldLease, *, ended: bool) -> None:
        key = held.key
        if ended or is_segment_name(held.shard_id):
            self.ended.add(key)
        moved = held.position != held.saved
        checkpoint = SHARD_END if ended else checkpoint_text(held.position) if moved else None
        try:
            await self._leases.release(key, checkpoint=checkpoint)
        except LeaseLost:
            self._observe(LeaseLapsed(held.table, held.shard_id))
        except CoordinationUnavailable:
            return  # it is taken or given back at a look, or expires once the worker has gone
        else:
            self._observe(LeaseReleased(held.table, held.shard_id))
        self._perhaps_ours.discard(key)

    def drop(self, key: str) -> None:
        """Note that a lease is believed to be lost."""
        held = self.held.pop(key, None)
        if held is not None:
            self._perhaps_ours.add(key)
            self._observe(LeaseLapsed(held.table, held.shard_id))

    def _is_unsaved(self, held: HeldLease, now: float) -> bool:
        return held.position != held.saved and now - held.saved_at >= self._save_seconds

    async def _renew(self, held: HeldLease) -> None:
        if self.held.get(held.key) is not held:
            return  # it was given back since it fell due
        if self.seconds_left() <= 0:
            self.drop(held.key)  # perhaps it slept, and what it held is being shared out
            return
        now = self._clock.monotonic()
        position, save = held.position, self._is_unsaved(held, now)
        try:
            if save:
                lease = await self._leases.save(held.key, checkpoint_text(position))
                held.saved, held.saved_at = position, now
            else:
                lease = await self._leases.renew(held.key)
            if lease.wanted_by is not None:
                self.wanted.add(held.key)
        except LeaseLost:
            if self.held.get(held.key) is held:
                self.drop(held.key)
        except CoordinationUnavailable:
            self.reached = False  # `too_old` ends it in time
        else:
            held.renewed_at = now
            self._written(now)

    def _written(self, at: float) -> None:
        self._written_at, self.reached = max(self._written_at, at), True
        self._beat_stands = False  # the next one that is told moves


def checkpoint_text(position: Position | None) -> str:
    """A position in the form of the lease row."""
    return TRIM_HORIZON if position is None else str(position).zfill(21)


def checkpointed_position(checkpoint: str) -> Position | None:
    """The position of a checkpoint, None for KCL's special ones."""
    return Position(int(checkpoint)) if checkpoint.isdigit() else None
