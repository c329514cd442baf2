"""Owners of leases: from heartbeats and claims at every poll, from leases in case of doubt."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from replicator.clock import Clock
from replicator.core.leases.lease_owners import (
    BeatSighting,
    balances_by_load,
    beating,
    beats_seen,
    doubtful,
    has_older_version,
    signs_of_life,
    stirred,
)
from replicator.core.leases.lease_plan import Lease, Sighting, Sightings, observed
from replicator.engine.ports import Heartbeats, Leases
from replicator.engine.worker.lease_keeper import LeaseKeeper

SWEEP_SECONDS = 3600.0
"""Seconds between two reads of all leases, after the one at the first look: such a read finds
leases that are over, whichever worker has left them."""
READ_ONE_BY_ONE_MAX = 10
"""Number of leases above which, if they are more than a tenth of all, a Scan costs less than single
reads."""
ANSWER_LOOKS = 3
"""Looks after which an owner has not heard that one of its leases was asked for."""


@dataclass(frozen=True, slots=True)
class KnownLeases:
    """Leases that one look has found."""

    settled: Mapping[str, str]
    """Owners of leases that claims and heartbeats vouch for, so that the leases were not read."""
    asked: Collection[str]
    """Leases that this worker has asked for, and that are to be handed over any moment."""
    sightings: Sightings
    living: frozenset[str]
    """Workers whose looks make progress."""
    taking: frozenset[str]
    """Those of them that reach the lease table, for all that is known: others take no lease."""
    read: frozenset[str]
    """Keys of leases that were read, existing or not."""
    by_load: bool
    """True when all living workers balance by load."""
    believed: frozenset[str]
    """Keys that are this worker's by the claims, and are not held."""
    seen: tuple[Lease, ...]
    """Leases that were read, of whatever key."""
    at: float
    """Monotonic time of the look."""

    def lost(self, held: Collection[str], worker_id: str) -> list[str]:
        """Leases that are believed to be held, and are gone or another worker's."""
        owners = {row.key: row.owner for row in self.seen}
        return [key for key in held if key in self.read and owners.get(key) != worker_id]


class LeaseOwnerLookup:
    """One worker's knowledge of the others and of the leases."""

    def __init__(
        self,
        leases: Leases,
        heartbeats: Heartbeats,
        holding: LeaseKeeper,
        clock: Clock,
        *,
        worker_id: str,
        lease_seconds: float,
        plan_seconds: float,
    ) -> None:
        self._leases = leases
        self._heartbeats = heartbeats
        self._holding = holding
        self._clock = clock
        self._worker_id = worker_id
        self._lease_seconds = lease_seconds
        self._plan_seconds = plan_seconds
        self._beats: dict[str, BeatSighting] = {}
        self._sightings: dict[str, Sighting] = {}
        self._looked_at: float | None = None
        self._swept_at: float | None = None
        self._asked_of_us = 0
        self._asked: dict[str, tuple[str | None, float]] = {}
        """Leases that this worker has asked for: the owners, and when."""

    async def look(self, owners: Mapping[str, str | None]) -> KnownLeases:
        """Read the doubtful ones of the given leases. `owners`: the claimer of each."""
        signs = await self._heartbeats.workers()
        now = self._clock.monotonic()
        since = now if self._looked_at is None else self._looked_at
        unseen = max(0.0, now - since - self._lease_seconds / 2)
        self._beats = beats_seen(self._beats, signs, now=now, unseen_seconds=unseen)
        self._looked_at = now
        self._holding.renews_each(since=now if has_older_version(signs) else None)
        alive = beating(self._beats, now=now, lease_seconds=self._lease_seconds / 2)
        held = frozenset(self._holding.held)
        doubts = doubtful(owners, held=held, worker_id=self._worker_id, beating=alive)
        doubts |= held & self._holding.wanted
        ours = next((sign for sign in signs if sign.worker_id == self._worker_id), None)
        asked = 0 if ours is None else ours.asked
        if asked != self._asked_of_us:
            doubts |= held
        rows, read = await self._read(doubts, owners.keys() | held, now)
        self._asked_of_us = asked
        self._holding.wanted.clear()
        seen = observed(self._sightings, rows, now=now)
        self._beats = stirred(self._beats, self._sightings, seen, now=now)
        self._sightings = seen
        settled = {
            key: self._worker_id if key in held or owner is None else owner
            for key, owner in owners.items()
            if key not in read and (key in held or owner is not None)
        }
        living = frozenset(
            sign.worker_id for sign in signs if sign.seen_seconds < self._lease_seconds
        )
        believed = frozenset(
            key for key, owner in owners.items() if owner == self._worker_id and key not in held
        )
        return KnownLeases(
            settled=settled,
            asked=self._due(settled, now),
            sightings=signs_of_life(rows, seen, self._beats, now=now, believed=believed),
            living=living,
            taking=living - (self._beats.keys() - alive),
            by_load=balances_by_load(signs, living - {self._worker_id}),
            read=read,
            believed=believed,
            seen=tuple(rows),
            at=now,
        )

    async def ask(self, lease: Lease) -> None:
        """Ask the owner of a lease to hand it over, and tell the owner so."""
        if await self._leases.ask(lease):
            self._asked[lease.key] = lease.owner, self._clock.monotonic()

    async def tell_asked(self, leases: Collection[Lease]) -> None:
        """Tell the owners of leases that were asked for."""
        owners = {lease.owner for lease in leases if lease.owner and lease.key in self._asked}
        if owners:
            await self._heartbeats.asked(owners)

    async def _read(
        self, doubts: frozenset[str], keys: Collection[str], now: float
    ) -> tuple[list[Lease], frozenset[str]]:
        due = self._swept_at is None or now - self._swept_at > SWEEP_SECONDS
        whole = due or len(doubts) > max(READ_ONE_BY_ONE_MAX, len(keys) / 10)
        if not (whole or doubts):
            return [], doubts
        self._holding.reached = False
        rows = await (self._leases.all() if whole else self._leases.some(sorted(doubts)))
        self._holding.reached = True
        if whole:
            self._swept_at = now
        return rows, frozenset(keys) if whole else doubts

    def _due(self, owners: Mapping[str, str], now: float) -> Collection[str]:
        """Leases that are to be handed over any moment."""
        self._asked = {
            key: (owner, at)
            for key, (owner, at) in self._asked.items()
            if owners.get(key) == owner and now - at < ANSWER_LOOKS * self._plan_seconds
        }
        return self._asked.keys()
