"""Leases of different weights, shared evenly by workers that each plan for themselves."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.core.leases.fair_shares import IDLE, UPSET, Fairness, wanted, weights_of
from replicator.core.leases.lease_plan import Lease, LeasePlan, Sighting, plan_leases
from tests.support.wide import every, examples
from tests.support.zipf import zipf

LEASE_SECONDS, LOOK_SECONDS = 20.0, 5.0
EVEN = 1.3
"""Most of a share that a worker may have, where no shard alone is more."""


def lease(number: int, owner: str | None = None) -> Lease:
    return Lease(f"shard-{number:05}", owner, 0, "TRIM_HORIZON")


@dataclass(slots=True)
class Group:
    """Workers that look one after the other, and leases that change hands as they plan."""

    rows: dict[str, Lease]
    workers: list[str]
    loads: dict[str, float]
    older: Collection[str] = ()
    """Workers that know nothing of loads, so that nobody balances by them."""
    moves: int = 0
    now: float = 0.0
    sightings: dict[str, Sighting] = field(default_factory=dict)

    @staticmethod
    def of(loads: Collection[float], workers: int) -> "Group":
        names = [f"worker-{number:03}" for number in range(workers)]
        rows = {row.key: row for row in map(lease, range(len(loads)))}
        return Group(rows, names, dict(zip(rows, loads, strict=True)))

    def plan(self, worker: str, loads: Mapping[str, float]) -> LeasePlan:
        return plan_leases(
            self.rows.values(),
            self.sightings,
            wanted=self.rows.keys(),
            held={key for key, row in self.rows.items() if row.owner == worker},
            worker_id=worker,
            workers=self.workers,
            now=self.now,
            lease_seconds=LEASE_SECONDS,
            plan_seconds=LOOK_SECONDS,
            loads=None if self.older else loads,
        )

    def look(self, loads: Mapping[str, float]) -> None:
        """Each worker looks, and acts, in its turn."""
        self.now += LOOK_SECONDS
        for worker in self.workers:
            decided = self.plan(worker, loads)
            for key in decided.release:
                self.rows[key] = replace(self.rows[key], owner=None)
            for row in decided.take:
                assert self.rows[row.key].owner not in self.workers
                self.rows[row.key] = replace(row, owner=worker, wanted_by=None)
                self.sightings.pop(row.key, None)
                self.moves += 1
            for row in decided.ask:
                if self.rows[row.key].wanted_by is None:
                    self.rows[row.key] = replace(row, wanted_by=worker)

    def looks(self, times: int, *, noise: float = 0.0, random: Random | None = None) -> int:
        """So many looks, with loads that are measured so wrongly; the number of moves."""
        before, chance = self.moves, random or Random(0)
        for _ in range(times):
            factors = ((key, chance.uniform(1 - noise, 1 + noise)) for key in self.loads)
            self.look({key: factor * self.loads[key] for key, factor in factors})
        return self.moves - before

    def totals(self) -> dict[str, float]:
        weights = weights_of(self.rows, self.loads)
        totals = dict.fromkeys(self.workers, 0.0)
        for key, row in self.rows.items():
            if row.owner is not None:
                totals[row.owner] += weights[key]
        return totals

    def unevenness(self) -> float:
        """The most loaded worker, in the most that a worker cannot help having."""
        weights = weights_of(self.rows, self.loads).values()
        share = Fairness.of(weights, len(self.workers)).share
        return max(self.totals().values()) / max(share, *weights)

    @property
    def owned(self) -> bool:
        return all(row.owner in self.workers for row in self.rows.values())


BUSY = 3_000_000.0
"""Records a minute of a deployment: polling of a few hundred shards is little beside it."""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("shards", "workers"), [(40, 4), (300, 10), (1000, 25)])
def test_loads_of_a_zipf_distribution_are_shared_evenly(shards: int, workers: int, seed: int):
    """Loads are known of no shard at first: shares are counts, and get even when they are."""
    group = Group.of(zipf(shards, a_minute=BUSY, seed=seed), workers)
    group.look({})
    assert group.owned

    group.looks(12)

    assert group.unevenness() <= EVEN
    assert group.moves <= 2 * shards


def test_a_start_with_known_loads_is_even_at_once():
    group = Group.of(zipf(300, a_minute=BUSY), 10)

    group.look(group.loads)

    assert group.owned
    assert group.unevenness() <= EVEN
    assert group.looks(20) <= 300 / 20


def test_a_shard_that_is_more_than_a_share_has_a_worker_of_its_own():
    group = Group.of([900_000.0, *([10_000.0] * 60)], 4)

    group.look({})
    group.looks(12)

    hot = group.rows["shard-00000"].owner
    assert [key for key, row in group.rows.items() if row.owner == hot] == ["shard-00000"]
    others = [total for worker, total in group.totals().items() if worker != hot]
    assert max(others) / min(others) <= EVEN


def test_hot_shards_are_kept_apart():
    """Two of them on one worker, and no other has room for one before light ones have left it."""
    group = Group.of([200_000.0] * 2 + [5_000.0] * (7 * 28), 8)
    for number, key in enumerate(group.rows):
        owner = "worker-000" if number < 2 else f"worker-{number % 7 + 1:03}"
        group.rows[key] = replace(group.rows[key], owner=owner)

    group.looks(20)

    assert len({group.rows[f"shard-{number:05}"].owner for number in range(2)}) == 2
    assert group.unevenness() <= EVEN


def test_an_owner_keeps_more_than_the_asker_has_then():
    """It is below its share itself, while what the others have is asked for already."""
    weights = {"one": 4.0, **dict.fromkeys(map(str, range(21)), 1.0), "mine": 1.0}
    fairness = Fairness(share=10.0, upset=1.0, rest=0.1)
    totals = {"a": 4.0, "b": 21.0, "me": 1.0}

    def asked(owned: dict[str, list[str]]) -> list[str]:
        return wanted(owned, weights, totals, mine=["mine"], worker_id="me", fairness=fairness)

    assert asked({"a": ["one"], "b": []}) == []
    assert len(asked({"a": ["one"], "b": list(map(str, range(21)))})) in (4, 5)


@pytest.mark.parametrize("seed", every(3, of=range(3)))
@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_noise_moves_nothing_to_and_fro(noise: float, seed: int):
    """Half an hour of looks. What settles in the first minutes is not counted."""
    group = Group.of(zipf(200, a_minute=BUSY, seed=seed), 8)
    random = Random(seed)
    group.look({})
    group.looks(60, noise=noise, random=random)

    assert group.looks(360, noise=noise, random=random) <= 200 / 20
    assert group.unevenness() <= EVEN


def test_nothing_moves_while_the_difference_is_within_the_hysteresis():
    loads = [60_000.0 * (1 + 0.4 * UPSET), *([60_000.0] * 10), 60_000.0 * (1 - 0.4 * UPSET)]
    group = Group.of(loads, 4)
    for number, key in enumerate(group.rows):
        group.rows[key] = replace(group.rows[key], owner=f"worker-{number // 3:03}")

    assert group.looks(20) == 0


@pytest.mark.parametrize("loaded", [True, False])
def test_one_more_worker_has_its_share_after_a_few_looks_and_little_else_moves(loaded: bool):
    group = Group.of(zipf(400, a_minute=BUSY) if loaded else [0.0] * 400, 9)
    group.look({})
    group.looks(30)
    group.workers.append("worker-new")

    moves = group.looks(12)

    share = sum(group.totals().values()) / 10
    assert group.totals()["worker-new"] >= 0.8 * share
    assert moves <= 1.2 * 400 / 10
    assert group.unevenness() <= EVEN


def test_the_shards_of_dead_workers_are_spread_by_what_they_weigh():
    group = Group.of(zipf(600, a_minute=BUSY), 12)
    group.look({})
    group.looks(20)
    dead = set(group.workers[:4])
    group.workers = group.workers[4:]
    group.sightings = {
        key: Sighting(row.owner, 0, group.now + 1 - LEASE_SECONDS)
        for key, row in group.rows.items()
        if row.owner in dead
    }

    moves = group.looks(4)

    assert group.owned
    assert moves <= 600 / 2
    assert group.unevenness() <= EVEN


def test_beside_a_worker_that_counts_leases_all_do():
    group = Group.of(zipf(100, a_minute=BUSY), 5)
    group.older = {"worker-000"}
    group.looks(20)
    counts = [sum(row.owner == worker for row in group.rows.values()) for worker in group.workers]
    assert max(counts) - min(counts) <= 1
    assert group.looks(20) == 0

    group.older = ()
    group.looks(12)

    assert group.unevenness() <= EVEN


@settings(deadline=None, max_examples=examples(30))
@given(
    loads=st.lists(st.one_of(st.just(0.0), st.floats(1.0, 1e7)), min_size=1, max_size=20),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3),
)
def test_any_loads_end_at_rest_and_no_worker_is_overloaded(loads: list[float], sizes: list[int]):
    group = Group.of(loads, 1)
    for size in sizes:
        group.workers = [f"worker-{number:03}" for number in range(size)]
        for key, row in group.rows.items():
            if row.owner not in group.workers:
                group.rows[key] = replace(row, owner=None, wanted_by=None)
        looks = 0
        while group.looks(3) and looks < 4 * len(loads) + 30:
            looks += 3

        assert group.owned
        assert group.looks(10) == 0
        heaviest = max(weights_of(group.rows, group.loads).values())
        share = sum(group.totals().values()) / size
        assert max(group.totals().values()) <= max(EVEN * share, share + heaviest)


@settings(deadline=None, max_examples=examples(60))
@given(
    loads=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=40),
    owners=st.lists(st.sampled_from([None, "a", "b", "c", "d"]), min_size=40, max_size=40),
    random=st.randoms(use_true_random=False),
)
def test_the_plan_is_the_same_for_the_same_view_in_any_order(loads, owners, random):
    rows = [lease(number, owners[number]) for number in range(len(loads))]
    shuffled = random.sample(rows, len(rows))
    by_key = {row.key: load for row, load in zip(rows, loads, strict=True)}

    def decided(rows: list[Lease], workers: tuple[str, ...]) -> LeasePlan:
        return plan_leases(
            rows,
            {},
            wanted=[row.key for row in rows],
            held={row.key for row in rows if row.owner == "a"},
            worker_id="a",
            workers=workers,
            now=0.0,
            lease_seconds=LEASE_SECONDS,
            plan_seconds=LOOK_SECONDS,
            loads={row.key: by_key[row.key] for row in rows},
        )

    one, other = decided(rows, ("a", "b", "c", "d")), decided(shuffled, ("d", "c", "b", "a"))

    assert {row.key for row in one.take} == {row.key for row in other.take}
    assert one.ask == other.ask


@settings(deadline=None, max_examples=examples(60))
@given(loads=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=60), workers=st.integers(1, 9))
def test_workers_of_one_view_take_every_free_lease_once(loads: list[float], workers: int):
    group = Group.of(loads, workers)

    taken = [row.key for each in group.workers for row in group.plan(each, group.loads).take]

    assert sorted(taken) == sorted(group.rows)


def test_a_share_leaves_out_what_is_more_than_one_alone():
    assert Fairness.of([IDLE] * 10, 4).share == 2.5 * IDLE
    assert Fairness.of([100.0, 3.0, 3.0], 3).share == 3.0
    assert Fairness.of([1.0, 1.0, 1.0], 8).share == 1.0
    assert Fairness.of([], 3).share == 0.0


def test_noise_is_nothing_where_no_load_is_known():
    assert Fairness.of([IDLE] * 10, 4).upset == 0.0
