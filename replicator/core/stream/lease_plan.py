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
compared. `ownership` says where heartbeats come from, and which leases are read at all. An owner
stops by itself when its own sign of life is older than that.

Shares: with n wanted leases and w living workers each worker takes free and expired leases up to
n // w, and one more where no other worker needs the lease for its own share. Whatever is still
expired one look later is taken whatever the share, since the owner is dead and a worker that has
just begun cannot know yet what is expired. So is what all others believe to be the worker's, as
nobody else would take it. When nothing is left free, a worker with at least two
leases fewer than the one with the most asks for half of what is missing to the share, and for one
at least (`wanted_by`); the owner finishes the batch, gives the lease back, and the asker takes it.
By halves, several that have just begun do not ask one owner for more than it has to give, and a
share of a thousand is there after ten rounds.

The invariants: a plan never takes a lease whose owner lives; floor shares and the distance of two
make every hand-over reduce the imbalance, so that hand-overs end (`tests/core/test_leases.py`
simulates workers that come, go and ask until nothing moves); `_spread` gives every worker an
order of its own, so that they do not all reach for the same lease.

Broken without it: a distance of one lets two workers exchange a lease for ever; taking by ceiling
shares lets the first worker keep what the last one needs.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from zlib import crc32

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
    """A worker with fewer leases that asks the owner to hand the lease over."""


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
) -> LeasePlan:
    """Decide what the worker takes, asks for and gives back.

    `wanted`: keys of the shards that may be read now. `workers`: all that live, whether or not
    they hold a lease. `believed`: keys that all others believe to be the worker's, which takes
    them whatever the share. Free and expired leases are taken up to a fair share, and whatever the
    share at the next look, `plan_seconds` later: a worker that has just begun cannot know yet what
    is expired. When none is left free, half of what is missing to the share, and at least one, is
    asked for from the workers with the most, while these have at least two more.
    """
    rows = {lease.key: lease for lease in leases}
    given_up = {key for key in held if key not in wanted or _is_asked(rows.get(key))}
    release = tuple(sorted(given_up))
    mine = [key for key in held if key not in given_up]
    others = [rows[key] for key in wanted if key in rows and key not in held]
    expired = [
        lease
        for lease in others
        if lease.owner is not None
        and is_expired(lease, sightings, now=now, lease_seconds=lease_seconds)
    ]
    at_home = home_share(wanted, worker_id=worker_id, workers=workers)
    free = sorted(
        [lease for lease in others if lease.owner is None or lease.owner == worker_id] + expired,
        key=lambda lease: (lease.key not in at_home, _spread(lease.key, worker_id)),
    )
    available = {lease.key for lease in free}
    taken = [lease for lease in others if lease.key not in available]
    dead = {lease.owner for lease in expired}  # though its last sign of life is not old enough yet
    counts = Counter({worker: 0 for worker in workers if worker not in (worker_id, *dead)})
    counts.update(lease.owner for lease in taken if lease.owner)
    room = _room(len(set(wanted)), len(mine), counts.values(), free=len(free))
    forgotten = [
        lease
        for lease in free[room:]
        if lease.owner == worker_id
        or lease.key in believed
        or is_expired(lease, sightings, now=now, lease_seconds=lease_seconds + plan_seconds)
    ]
    take = (*free[:room], *forgotten)
    due = any(lease.wanted_by == worker_id for lease in taken)
    share = len(set(wanted)) // (len(counts) + 1)
    ask: tuple[Lease, ...] = ()
    if not (due or release or len(take) < len(free)):
        ours = len(mine) + len(take)
        ask = _ask(taken, counts, mine=ours, share=share, worker_id=worker_id)
    return LeasePlan(take, ask, release, awaits=due or bool(ask))


def _room(wanted: int, mine: int, others: Iterable[int], *, free: int) -> int:
    """Number of free leases for the worker: a fair share, and one more where no other worker
    needs one.
    """
    counts = list(others)
    share, remainder = divmod(wanted, len(counts) + 1)
    room = max(0, share - mine)
    left = free - room - sum(max(0, share - count) for count in counts)
    return room + 1 if remainder and left > 0 and mine + room == share else room


def _is_asked(lease: Lease | None) -> bool:
    return lease is not None and lease.wanted_by is not None


def _ask(
    taken: Iterable[Lease], counts: Mapping[str, int], *, mine: int, share: int, worker_id: str
) -> tuple[Lease, ...]:
    """Half of what is missing to the share, from the owners of most, and from each no more than
    leaves both with equal numbers.
    """
    by_owner: dict[str, list[Lease]] = {}
    for lease in taken:
        if lease.owner is not None and lease.wanted_by is None:
            by_owner.setdefault(lease.owner, []).append(lease)
    richest = [
        (-counts[owner], _spread(owner, worker_id), owner) for owner in by_owner if owner in counts
    ]
    heapify(richest)
    wanted = max(1, -(-(share - mine) // 2))
    in_order: dict[str, list[Lease]] = {}
    asked: list[Lease] = []
    while richest and len(asked) < wanted and -richest[0][0] >= mine + len(asked) + 2:
        count, order, owner = heappop(richest)
        if owner not in in_order:
            in_order[owner] = sorted(
                by_owner[owner], key=lambda lease: _spread(lease.key, worker_id), reverse=True
            )
        asked.append(in_order[owner].pop())
        if in_order[owner]:
            heappush(richest, (count + 1, order, owner))
    return tuple(asked)


def home_share(keys: Iterable[str], *, worker_id: str, workers: Collection[str]) -> frozenset[str]:
    """The keys that the worker reaches for first: others for each worker of the same view."""
    everyone = sorted({*workers, worker_id})
    mine = everyone.index(worker_id)
    return frozenset(key for key in keys if crc32(key.encode()) % len(everyone) == mine)


def _spread(key: str, worker_id: str) -> bytes:
    """An order that differs between workers, so that not all reach for the same lease."""
    return blake2b(f"{key} {worker_id}".encode(), digest_size=8).digest()
