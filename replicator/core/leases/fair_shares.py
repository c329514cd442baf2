"""Divides leases of different weights evenly between workers, step by step. Pure.

Theory of operation
-------------------
The problem: shards differ by orders of magnitude in what they cost, and a count of leases does not
see it. Loads are measured, so they are never twice the same, and each worker sees them at another
moment; a plan that follows every change moves shards for ever.

The idea: a lease weighs what its shard costs, in records a minute: the shard's load, and `IDLE` for
polling it. Where no load is known all leases weigh the same, and the balance is one of counts.
The fair share is the mean, without leases that are heavier than the mean of the rest: each of those
is a share of its own, and nothing can be done about it.

Free leases (`assigned`): every worker computes who takes each, the heaviest first, and takes its
own. A lease goes to its home, by the hash of its key, while that has room, and else to the
worker with the least: homes do not depend on the moment, so that two who look at different moments
reach for different leases. Who has the least does: what each leaves to another is taken by any of
them one look later (`take_left_over`).

Leases of others (`wanted`): a worker below its share asks for half of what is missing, from the
workers with the most, the heaviest lease first that fits; an owner gives only while it keeps more
than the asker has then. Two heavy leases on one worker cannot be mended like that, as neither fits
anywhere: so a worker that has none takes one of them over its share, and others relieve it of light
ones.

Hysteresis: the part of the weights that is measured is noise in part. Nobody asks while the
difference to the owner is below `UPSET` of the share in that part; who asks goes on below that, to
`REST`, so that the next bit of noise does not begin it again.

The invariants: for weights that stay, every move makes the larger of two workers smaller and never
makes the other one as large, or, of heavy leases alone, does so; so moves end. The plan is
the same for the same view, whatever the order of the leases in it.

The bound: no worker has more than the heaviest lease, or the share and what hysteresis and the
leases that do not fit leave (`tests/core/test_fair_shares.py`: 1.3 shares).

Broken without it: with `UPSET` at nothing, noise of a tenth moves shards at every look; without
the rule for heavy leases, two hot shards stay together for ever.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from math import frexp, fsum
from zlib import crc32

IDLE = 2_000.0
"""Weight of a shard without records: polling it takes as much CPU as so many records a minute."""
UPSET = 0.25
"""Fraction of a share's records: a smaller difference between two workers moves no lease."""
REST = 0.05
"""Fraction of a share's records to which a difference that moves leases is brought down."""
HEAVY = 0.5
"""Fraction of a share from which on a lease is heavy: heavy leases are kept apart."""
CROWDED = 0.2
"""Fraction by which a worker must exceed the share to give heavy leases away."""
_LESS = 1 - 1e-9
"""Factor that leaves an owner with more than the asker has after a hand-over, and not as much."""


def weights_of(keys: Iterable[str], loads: Mapping[str, float]) -> dict[str, float]:
    """Weights of leases, from the records a minute where these are known."""
    return {key: IDLE + loads.get(key, 0.0) for key in keys}


@dataclass(frozen=True, slots=True)
class Fairness:
    """A fair share of some leases, and the differences that count."""

    share: float
    upset: float
    rest: float

    @staticmethod
    def of(weights: Collection[float], workers: int) -> "Fairness":
        """The fairness of leases of the given weights, between a number of workers."""
        total = fsum(weights)
        records = max(0.0, 1.0 - IDLE * len(weights) / total) if total else 0.0
        share = _share(weights, total, workers)
        return Fairness(share, UPSET * share * records, REST * share * records)


def _share(weights: Collection[float], total: float, workers: int) -> float:
    """The mean, without the leases that are heavier than the mean of the rest; the lightest of
    these where there is nothing else.
    """
    left, share = workers, 0.0
    for weight in sorted(weights, reverse=True):
        share = total / left
        if left == 1 or weight <= share:
            return share
        total, left, share = total - weight, left - 1, weight
    return share


def assigned(
    free: Mapping[str, float], totals: Mapping[str, float], *, share: float
) -> dict[str, str]:
    """The worker that takes each free lease. `totals`: weights that the workers have already."""
    after = dict(totals)
    workers = sorted(after)
    least = [(total, worker) for worker, total in after.items()]
    heapify(least)
    takers: dict[str, str] = {}
    for key in sorted(free, key=lambda key: (-free[key], key)):
        taker = workers[crc32(key.encode()) % len(workers)]
        if after[taker] + free[key] > share:
            while least[0][0] != after[least[0][1]]:
                heappop(least)  # it has taken since
            taker = least[0][1]
        takers[key] = taker
        after[taker] += free[key]
        heappush(least, (after[taker], taker))
    return takers


def take_left_over(
    left: Collection[str],
    takers: dict[str, str],
    totals: dict[str, float],
    weights: Mapping[str, float],
    *,
    worker_id: str,
    share: float,
) -> None:
    """Make a worker the taker of leases that others have left free: the heaviest first, while the
    worker has less than a share and a quarter.
    """
    for key in sorted(left, key=lambda key: (-weights[key], key)):
        if totals[worker_id] < (1 + UPSET) * share:
            totals[takers[key]] -= weights[key]
            totals[worker_id] += weights[key]
            takers[key] = worker_id


def wanted(
    owned: Mapping[str, Collection[str]],
    weights: Mapping[str, float],
    totals: Mapping[str, float],
    *,
    mine: Collection[str],
    worker_id: str,
    fairness: Fairness,
) -> list[str]:
    """The leases that a worker asks for.

    `owned`: leases of other workers that may be asked for. `totals`: the weight that every worker,
    the asker among them, will have when all free leases are taken.
    """
    me = totals[worker_id]
    if me >= fairness.share:
        return []
    heavy = HEAVY * fairness.share
    ours = fsum(weights[key] for key in mine if weights[key] > heavy)
    givers = [
        giver
        for owner, keys in owned.items()
        if totals[owner] - me > fairness.upset
        if (giver := _Giver.of(owner, keys, weights, totals[owner], heavy=heavy, ours=ours)).may
    ]
    apart = [
        pair
        for giver in givers
        if giver.total > (1 + CROWDED) * fairness.share and len(giver.heavy) > 1
        for pair in giver.lightest_heavy(fairness.share)
    ]
    if apart:
        weight = max(apart)[0]
        same = [key for each, key in apart if each == weight]
        return [min(same, key=lambda key: _spread(key, worker_id))]
    return _half_of_what_is_missing(givers, me=me, worker_id=worker_id, fairness=fairness)


@dataclass(slots=True)
class _Giver:
    """A worker that leases are asked of: total load, and weights of the leases."""

    owner: str
    total: float
    may: list[tuple[float, str]]
    """Leases that the worker may give."""
    heavy: list[tuple[float, str]]
    """The heavy ones among them: with each the asker has less in heavy leases than the owner."""

    @staticmethod
    def of(
        owner: str,
        keys: Iterable[str],
        weights: Mapping[str, float],
        total: float,
        *,
        heavy: float,
        ours: float,
    ) -> "_Giver":
        """`heavy`: the least weight of a heavy lease; `ours`: the asker's in such leases."""
        pairs = [(weights[key], key) for key in keys]
        theirs = fsum(weight for weight, _ in pairs if weight > heavy)
        may = [pair for pair in pairs if pair[0] <= heavy or theirs - ours > pair[0]]
        return _Giver(owner, total, may, [pair for pair in may if pair[0] > heavy])

    def lightest_heavy(self, share: float) -> list[tuple[float, str]]:
        """The lightest heavy lease; of several that weigh the same, as many as the worker has over
        the share, so that not all askers reach for one.
        """
        least = min(self.heavy)[0]
        same = sorted(pair for pair in self.heavy if pair[0] == least)
        return same[: max(1, int((self.total - share) / least))]

    def heaviest_below(self, limit: float) -> tuple[float, str] | None:
        """Take the heaviest lease away that weighs no more; heavier ones will not fit later."""
        while self.may and self.may[-1][0] > limit:
            self.may.pop()
        return self.may.pop() if self.may else None


def _half_of_what_is_missing(
    givers: Sequence[_Giver], *, me: float, worker_id: str, fairness: Fairness
) -> list[str]:
    """Leases worth half of what is missing to the share, or all of it where that is little, and
    one lease at least; from the owners of most, and from each no more than leaves it more than the
    asker has then.
    """
    grain = max(IDLE, fairness.upset / 2)
    one = _smallest_step(givers, me=me, rest=fairness.rest)
    richest = [
        (-round(giver.total / grain), _spread(giver.owner, worker_id), at)
        for at, giver in enumerate(givers)
    ]
    heapify(richest)
    missing, asked, ours = fairness.share - me, list[str](), me
    enough = missing if missing <= 2 * fairness.upset else missing / 2
    in_order = set[int]()
    while richest and ours - me < enough:
        fits = min(missing - (ours - me), 2 * (enough - (ours - me)))
        _, order, at = heappop(richest)
        giver = givers[at]
        if at not in in_order:
            giver.may.sort(key=lambda pair: (_magnitude(pair[0]), _spread(pair[1], worker_id)))
            in_order.add(at)
        spare = giver.total - ours - fairness.rest
        found = giver.heaviest_below(min(spare * _LESS, fits))
        if found is None:
            continue
        asked.append(found[1])
        ours += found[0]
        giver.total -= found[0]
        heappush(richest, (-round(giver.total / grain), order, at))
    return asked or one


def _smallest_step(givers: Iterable[_Giver], *, me: float, rest: float) -> list[str]:
    """The lightest lease of the worker with the most that can give one."""
    for giver in sorted(givers, key=lambda giver: (-giver.total, giver.owner)):
        weight, key = min(giver.may)
        if weight < giver.total - me - rest:
            return [key]
    return []


def _magnitude(weight: float) -> int:
    """Weights of one magnitude are not told apart: askers of the same view reach for others."""
    return frexp(weight)[1]


def _spread(key: str, worker_id: str) -> bytes:
    """An order that differs between workers, so that not all reach for the same lease."""
    return blake2b(f"{key} {worker_id}".encode(), digest_size=8).digest()
