"""Tells who owns which lease without reading every lease, from heartbeats and from claims. Pure.

Theory of operation
-------------------
The problem: who renews each of ten thousand leases every few seconds, and lets a hundred workers
read all of them as often, pays for little else.

The idea: a worker has one heartbeat, `beat` in the row of the control schema, and the control
schema says which worker has claimed each shard. A lease whose shard is claimed by a worker that
beats is that worker's, and nobody reads it. What is left is doubtful, and is read (`doubtful`):
shards that nobody has claimed, shards of an owner that does not beat, and where the claim says one
thing and our own knowledge another.

Expiry: an owner is dead when an observer has seen for `lease_seconds`, by the observer's own
monotonic clock, that neither the beat nor the counter of any of its leases moves (`stirred`): a
worker that cannot reach PostgreSQL for a while still writes the leases, one in a second. From half
of that time on the leases are read. A worker that was silent beats before it takes a lease: who
sees that lease for the first time would count from the last beat, and take it at the next look.
Time in which the observer did not look counts for nothing, since nobody could tell a beat while
PostgreSQL was away. An owner without a beat is an older version, or nobody that PostgreSQL knows:
the leases are judged by their own counters.

The invariants: a worker beats only while the calls reach the lease table, and believes in its
leases only as long; it is the lease's condition that keeps two from taking one, and the fence that
keeps two from writing; a lease that everybody else believes to be ours is taken up or given away by
us, since nobody else will look.

A lease that is another worker's, of a shard that is still claimed by us, is read by us alone: the
owner does not work on it when that has lasted for `lease_seconds`, or the claim would be its own.

Broken without it: a worker that is cut off from the lease table alone would keep, by the beat,
shards that it has given up. A failover of PostgreSQL that forgets a claim, or a lease that could
not be given back, would leave a shard unread until all leases are read.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from replicator.core.leases.lease_plan import Lease, Sighting

OLDER_SECONDS = 600.0
"""Seconds after the last sign of life of a worker of an older version, for which that worker may
still judge ours by the counters of the leases."""


@dataclass(frozen=True, slots=True)
class WorkerSign:
    """A worker's row in the control schema."""

    worker_id: str
    beat: int | None
    """None: an older version, which moves the counters of the leases."""
    seen_seconds: float
    """Seconds since the looks of the worker last made progress, by PostgreSQL's clock."""
    asked: int = 0
    """Number of requests of other workers for leases."""
    load: float | None = None
    """Records a minute of its shards; None: an older version, which counts leases alone."""


@dataclass(frozen=True, slots=True)
class BeatSighting:
    """The last change of a worker's beat that this worker saw, by the own monotonic clock."""

    beat: int
    at: float


Beats = Mapping[str, BeatSighting]


def beats_seen(
    before: Beats, signs: Iterable[WorkerSign], *, now: float, unseen_seconds: float = 0.0
) -> dict[str, BeatSighting]:
    """The beats after another look. `unseen_seconds`: time without observations."""
    seen = {}
    for sign in signs:
        if sign.beat is None:
            continue
        last = before.get(sign.worker_id)
        stands = last is not None and last.beat == sign.beat
        at = last.at + unseen_seconds if last is not None and stands else now
        seen[sign.worker_id] = BeatSighting(sign.beat, at)
    return seen


def beating(beats: Beats, *, now: float, lease_seconds: float) -> frozenset[str]:
    """The workers with a beat that has not stood still for `lease_seconds`."""
    return frozenset(name for name, seen in beats.items() if now - seen.at <= lease_seconds)


def has_older_version(signs: Iterable[WorkerSign]) -> bool:
    """True while a worker may live that judges our leases by the counters."""
    return any(sign.beat is None and sign.seen_seconds < OLDER_SECONDS for sign in signs)


def balances_by_load(signs: Iterable[WorkerSign], living: Collection[str]) -> bool:
    """True when every living worker balances by load: all count leases beside one that does."""
    return all(sign.load is not None for sign in signs if sign.worker_id in living)


def doubtful(
    owners: Mapping[str, str | None],
    *,
    held: Collection[str],
    worker_id: str,
    beating: Collection[str],
) -> frozenset[str]:
    """The keys whose leases must be read. `owners`: claimers by key."""
    return frozenset(
        key
        for key, owner in owners.items()
        if (
            owner not in (None, worker_id)
            if key in held
            else owner is None or owner == worker_id or owner not in beating
        )
    )


def stirred(
    beats: Beats, before: Mapping[str, Sighting], after: Mapping[str, Sighting], *, now: float
) -> dict[str, BeatSighting]:
    """The beats, where an owner that took a lease or moved the counter lives now."""
    alive = {
        seen.owner
        for key, seen in after.items()
        if (last := before.get(key)) is not None
        if (last.owner, last.counter) != (seen.owner, seen.counter)
    }
    return {
        worker: BeatSighting(seen.beat, now) if worker in alive else seen
        for worker, seen in beats.items()
    }


def signs_of_life(
    leases: Iterable[Lease],
    sightings: Mapping[str, Sighting],
    beats: Beats,
    *,
    now: float,
    believed: Collection[str] = (),
) -> dict[str, Sighting]:
    """The sightings of leases by which leases expire: that of the owner's beat, where the owner
    beats.

    A lease that was first seen now, or has moved, keeps its own sighting: an owner that was cut off
    may have taken the lease a moment ago, and not have beaten since. So does one of the `believed`,
    which are this worker's by the claims: a worker that has taken such a lease without claiming the
    shard may have lost the lease without a word, and believes the claim like all others.
    """
    signs = dict(sightings)
    for lease in leases:
        if lease.key in believed:
            continue
        beat = None if lease.owner is None else beats.get(lease.owner)
        seen = sightings.get(lease.key)
        if beat is not None and (seen is None or seen.at < now):
            signs[lease.key] = Sighting(lease.owner, lease.counter, beat.at)
    return signs
