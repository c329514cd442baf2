"""Decides which worker reads which shard, from one look at the lease table. Pure.

Theory of operation
-------------------
The problem: some workers, many shards, no leader. Each shard should be read by one worker at a
time, the load should be even, the shards of a dead worker should be taken over soon, and no two
workers may pass a shard back and forth.

The idea: every worker polls the lease table every few seconds, decides by itself with
`plan_leases`, and acts by conditional writes that at most one worker can win. Leases save work;
they do not protect data. If two workers read one shard, the fence in PostgreSQL lets one of them
write.

Expiry: a lease has expired when an observer has seen the owner's heartbeat stand still for
`lease_seconds` by the observer's own monotonic clock (`Sighting`); clocks of two machines are never
compared. `lease_owners` says where heartbeats come from, and which leases are read at all. An owner
stops by itself when its own sign of life is older than that.

Shares: `fair_shares` says what a lease weighs, who takes which of the free and expired leases, and
what a worker asks for that has less than its share. Whatever is still expired one look later is
taken whatever the share, since the owner is dead and a worker that has just begun cannot know yet
what is expired. Who is to take a free lease depends on who has the least, and workers look at
different moments: it may be another's at every look, and so nobody's. What is still free one look
later is therefore taken by any worker that has less than a share and a quarter, and one has that at
every moment. What all others believe to be the worker's is taken whatever the share, as nobody else
would take it; so is what follows a shard that the worker has just read to its end, so that nobody
has to notice it first. A lease that is asked for (`wanted_by`) is given back as soon as the batch
is finished, and is kept for the asker, for two looks: by who has the least now, its former owner
might take it again, for ever. By halves, several that have just begun do not ask one owner for more
than it has to give, and a share of a thousand is there after ten rounds.

The invariants: a plan never takes a lease whose owner lives; every hand-over makes the balance
better, so that hand-overs end (`tests/core/test_lease_plan.py` simulates workers that come, go and
ask until nothing moves); and one that waits for an answer asks for nothing more.

Broken without it: a worker that takes what makes it as rich as the former owner lets two workers
exchange a lease for ever.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import fsum
from zlib import crc32

from replicator.core.leases.fair_shares import Fairness, assigned, take_left_over, weights_of
from replicator.core.leases.fair_shares import wanted as wanted_leases

UNKNOWN = -1
"""Counter of a lease that was not read: no lease can be taken by this counter."""
TRIM_HORIZON = "TRIM_HORIZON"
SHARD_END = "SHARD_END"


@dataclass(frozen=True, slots=True)
class Lease:
    """A row of the lease table, in KCL's words. `owner` None: free."""

    key: str
    owner: str | None
    counter: int
    checkpoint: str
    parents: tuple[str, ...] = ()
    switches: int = 0
    wanted_by: str | None = None
    """A worker with less than its share that asks the owner to hand the lease over. The request
    stays while the lease is free, which is then that worker's."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The last change of a lease that the worker saw, by the own monotonic clock."""

    owner: str | None
    counter: int
    at: float


Sightings = Mapping[str, Sighting]


@dataclass(frozen=True, slots=True)
class LeasePlan:
    """Leases to take, to ask for and to release."""

    take: tuple[Lease, ...] = ()
    ask: tuple[Lease, ...] = ()
    release: tuple[str, ...] = ()
    awaits: bool = False
    """A lease was asked for that is to be handed over any moment."""


def observed(sightings: Sightings, leases: Iterable[Lease], *, now: float) -> dict[str, Sighting]:
    """The sightings after another look: a lease first seen, or seen to move, is fresh."""
    seen = {}
    for lease in leases:
        before = sightings.get(lease.key)
        moved = before is None or (before.owner, before.counter) != (lease.owner, lease.counter)
        seen[lease.key] = Sighting(lease.owner, lease.counter, now) if moved else before
    return {key: sighting for key, sighting in seen.items() if sighting is not None}


def is_expired(lease: Lease, sightings: Sightings, *, now: float, lease_seconds: float) -> bool:
    """True when the counter stood still for `lease_seconds`; clocks of two machines never meet."""
    sighting = sightings.get(lease.key)
    return sighting is not None and now - sighting.at > lease_seconds


def plan_leases(
    leases: Iterable[Lease],
    sightings: Sightings,
    *,
    wanted: Collection[str],
    held: Collection[str],
    worker_id: str,
    workers: Collection[str],
    now: float,
    lease_seconds: float,
    plan_seconds: float,
    believed: Collection[str] = (),
    following: Collection[str] = (),
    loads: Mapping[str, float] | None = None,
    settled: Mapping[str, str] | None = None,
    asked: Collection[str] = (),
) -> LeasePlan:
    """Decide what the worker takes, asks for and gives back.

    `leases`: those that were read; `settled`: the owners of those that need not be, and `asked`
    those of them that the worker waits for. `wanted`: keys of the shards that may be read now.
    `workers`: all that live and can take leases, whether or not they hold one. `believed`: keys
    that all others believe to be the worker's, which takes them whatever the share; `following`:
    those whose parents it has just read to the ends, likewise. Free and expired leases are taken up
    to a fair share, and whatever the share at the next look, `plan_seconds` later: a worker that
    has just begun cannot know yet what is expired. Free ones that are another worker's by their
    shares, and are free still at the next look, are taken up to a share and a quarter.
    `loads`: records a minute by key; without, a share is a number of leases.
    """
    rows = {lease.key: lease for lease in leases}
    given_up = {key for key in held if key not in wanted or _is_asked(rows.get(key))}
    mine = [key for key in held if key not in given_up]
    others = [rows[key] for key in wanted if key in rows and key not in held]
    settled = settled or {}

    def stands_still(lease: Lease, seconds: float) -> bool:
        return is_expired(lease, sightings, now=now, lease_seconds=seconds)

    expired = {lease.key for lease in others if lease.owner and stands_still(lease, lease_seconds)}
    # their last signs of life are not old enough yet to be missed among the workers
    dead = {rows[key].owner for key in expired if key not in believed}
    free = [lease for lease in others if lease.owner in (None, worker_id) or lease.key in expired]
    certain = {
        lease.key
        for lease in free
        if worker_id in (lease.owner, lease.wanted_by)
        or lease.key in believed
        or lease.key in following
        or stands_still(lease, lease_seconds + plan_seconds)
    }
    owned: dict[str, list[str]] = {
        worker: [] for worker in workers if worker not in (worker_id, *dead)
    }
    for lease in others:
        if lease.owner not in (None, worker_id) and lease.key not in expired:
            owned.setdefault(str(lease.owner), []).append(lease.key)
    for key, owner in settled.items():
        if owner != worker_id and key not in held and key in wanted:
            owned.setdefault(owner, []).append(key)
    weights = weights_of(wanted, loads or {})
    fairness = Fairness.of(weights.values(), len(owned) + 1)
    takers = {
        lease.key: lease.wanted_by
        for lease in free
        if lease.key not in certain and lease.owner is None and lease.wanted_by in owned
    }  # handed over, and not yet taken
    totals = {owner: fsum(map(weights.__getitem__, keys)) for owner, keys in owned.items()}
    totals[worker_id] = fsum(weights[key] for key in (*mine, *certain))
    for key, taker in sorted(takers.items()):
        totals[str(taker)] += weights[key]
    shared = {lease.key: weights[lease.key] for lease in free}
    for key in (*certain, *takers):
        del shared[key]
    able = {name: totals[name] for name in totals if name == worker_id or name in workers}
    for key, taker in assigned(shared, able, share=fairness.share).items():
        takers[key] = taker
        totals[taker] += weights[key]
    left = [
        lease.key
        for lease in free
        if _is_left(lease, sightings, now=now, plan_seconds=plan_seconds)
        and takers.get(lease.key, worker_id) != worker_id
    ]
    take_left_over(left, takers, totals, weights, worker_id=worker_id, share=fairness.share)
    take = [lease for lease in free if lease.key in certain or takers[lease.key] == worker_id]
    asked_for = {lease.key for lease in rows.values() if _is_asked(lease)}
    due = any(key in settled and key in wanted for key in asked) or any(
        lease.wanted_by == worker_id and lease.key not in expired
        for lease in others
        if lease.owner not in (None, worker_id)
    )
    ask: list[str] = []
    if not (due or given_up):
        ask = wanted_leases(
            {owner: [key for key in keys if key not in asked_for] for owner, keys in owned.items()},
            weights,
            totals,
            mine=[*mine, *(lease.key for lease in take)],
            worker_id=worker_id,
            fairness=fairness,
        )
    return LeasePlan(
        tuple(take),
        tuple(rows.get(key) or Lease(key, settled[key], UNKNOWN, "") for key in ask),
        tuple(sorted(given_up)),
        awaits=due or bool(ask),
    )


def _is_asked(lease: Lease | None) -> bool:
    return lease is not None and lease.wanted_by is not None


def _is_left(lease: Lease, sightings: Sightings, *, now: float, plan_seconds: float) -> bool:
    """True when a lease is free still one look later; two looks, where it is kept for an asker."""
    looks = 1 if lease.wanted_by is None else 2
    return lease.owner is None and is_expired(
        lease, sightings, now=now, lease_seconds=looks * plan_seconds
    )


def home_share(keys: Iterable[str], *, worker_id: str, workers: Collection[str]) -> frozenset[str]:
    """The keys that this worker reaches for first: each worker with the same view has others."""
    everyone = sorted({*workers, worker_id})
    mine = everyone.index(worker_id)
    return frozenset(key for key in keys if crc32(key.encode()) % len(everyone) == mine)
