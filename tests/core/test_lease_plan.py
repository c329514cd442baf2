"""Who reads which shard."""

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.core.leases.lease_plan import Lease, LeasePlan, observed, plan_leases
from tests.support.wide import examples

SECONDS = 20.0
LOOKS_SECONDS = 5.0


def lease(number: int, owner: str | None = None, counter: int = 0, **facts: Any) -> Lease:
    return Lease(f"shard-{number:02}", owner, counter, "TRIM_HORIZON", **facts)


def plan(
    *leases: Lease,
    me: str = "me",
    held: tuple[int, ...] = (),
    wanted: tuple[int, ...] | None = None,
    workers: tuple[str, ...] = (),
    standing_still_for: float = 0.0,
    believed: tuple[int, ...] = (),
    following: tuple[int, ...] = (),
) -> LeasePlan:
    """Plan at a moment when no lease has moved for that long."""
    return plan_leases(
        leases,
        observed({}, leases, now=0.0),
        wanted={lease.key for lease in leases}
        if wanted is None
        else {f"shard-{number:02}" for number in wanted},
        held={f"shard-{number:02}" for number in held},
        worker_id=me,
        workers=workers,
        now=standing_still_for,
        lease_seconds=SECONDS,
        plan_seconds=LOOKS_SECONDS,
        believed={f"shard-{number:02}" for number in believed},
        following={f"shard-{number:02}" for number in following},
    )


def keys(leases: tuple[Lease, ...]) -> set[str]:
    return {lease.key for lease in leases}


def test_a_worker_alone_takes_every_free_lease():
    assert keys(plan(lease(0), lease(1)).take) == {"shard-00", "shard-01"}


def test_a_worker_takes_only_its_share_of_the_free_leases():
    assert len(plan(*map(lease, range(4)), workers=("other",)).take) == 2


def test_a_lease_first_seen_owned_is_fresh():
    assert plan(lease(0, "other")).take == ()


def test_a_lease_that_stood_still_for_its_time_is_taken():
    assert keys(plan(lease(0, "gone"), standing_still_for=SECONDS + 1).take) == {"shard-00"}


def test_a_lease_whose_counter_moved_is_not_taken():
    before = lease(0, "other", counter=1)
    after = lease(0, "other", counter=2)
    sightings = observed(observed({}, [before], now=0.0), [after], now=SECONDS)

    decided = plan_leases(
        [after],
        sightings,
        wanted={after.key},
        held=(),
        worker_id="me",
        workers=(),
        now=SECONDS + 1,
        lease_seconds=SECONDS,
        plan_seconds=LOOKS_SECONDS,
    )

    assert decided.take == ()


def test_a_lease_whose_owner_changed_is_fresh_although_its_counter_is_the_same():
    sightings = observed({}, [lease(0, "a", 7)], now=0.0)

    moved = observed(sightings, [lease(0, "b", 7)], now=50.0)

    assert moved["shard-00"].at == 50.0


def test_expired_leases_are_taken_whatever_the_share_one_look_later():
    """The other may have just begun: to it they are fresh."""
    rows = [lease(number, "gone") for number in range(4)]
    later = SECONDS + LOOKS_SECONDS + 1

    assert len(plan(*rows, workers=("other",), standing_still_for=SECONDS + 1).take) == 2
    assert len(plan(*rows, workers=("other",), standing_still_for=later).take) == 4


def test_the_owner_of_an_expired_lease_has_no_share():
    """Its last sign of life may be younger than the last change of its lease."""
    rows = [lease(number, "gone") for number in range(4)]

    assert len(plan(*rows, workers=("gone",), standing_still_for=SECONDS + 1).take) == 4


def test_a_lease_of_a_shard_that_may_not_be_read_is_not_taken():
    assert keys(plan(lease(0), lease(1), wanted=(1,)).take) == {"shard-01"}


def test_a_held_lease_that_is_not_wanted_any_more_is_given_back():
    assert plan(lease(0, "me"), held=(0,), wanted=()).release == ("shard-00",)


def test_a_lease_that_another_worker_asks_for_is_given_back():
    rows = [lease(0, "me", wanted_by="other"), lease(1, "me")]

    assert plan(*rows, held=(0, 1), workers=("other",)).release == ("shard-00",)


def test_a_lease_is_asked_from_the_worker_with_the_most():
    rows = [*(lease(n, "rich") for n in range(4)), *(lease(n, "middle") for n in range(4, 6))]

    (asked,) = plan(*rows).ask

    assert asked.owner == "rich"


def test_half_of_what_is_missing_is_asked_for_at_once_and_nobody_is_left_with_less():
    rows = [*(lease(n, "a") for n in range(20)), *(lease(n, "b") for n in range(20, 40))]

    asked = plan(*rows).ask

    assert sorted(Counter(each.owner for each in asked).items()) == [("a", 4), ("b", 3)]


def test_the_asked_and_the_asker_end_no_further_apart_than_one():
    rows = [*(lease(n, "rich") for n in range(3)), *(lease(n, "poor") for n in range(3, 5))]

    (asked,) = plan(*rows, lease(5, "me"), held=(5,)).ask

    assert asked.owner == "rich"


def test_nothing_is_asked_for_when_the_difference_is_one():
    assert plan(lease(0, "other")).ask == ()
    assert plan(lease(0, "other"), lease(1, "me"), lease(2, "other"), held=(1,)).ask == ()


def test_what_is_free_is_taken_before_anything_is_asked_for():
    """Shards end and begin at every look of a large deployment: something is always free."""
    filled = plan(*(lease(n, "rich") for n in range(3)), lease(3), lease(4))
    missing = plan(*(lease(n, "rich") for n in range(6)), lease(6))

    assert (len(filled.take), filled.ask) == (2, ())
    assert (len(missing.take), len(missing.ask)) == (1, 1)


def test_who_begins_with_many_free_leases_reaches_for_others_than_the_next():
    rows = [lease(n) for n in range(99)]
    everyone = ("a", "b", "c")

    taken = [keys(plan(*rows, me=me, workers=everyone).take) for me in everyone]

    assert len(set.union(*taken)) > 90


def test_nothing_more_is_asked_for_while_an_answer_is_due():
    rows = [lease(0, "rich", wanted_by="me"), *(lease(n, "rich") for n in range(1, 6))]

    assert plan(*rows).ask == ()


def test_what_all_others_believe_to_be_ours_is_taken_whatever_the_share():
    """Nobody else would: it is free, or in our name, and its claim is ours."""
    rows = [lease(0, "me"), lease(1), *(lease(n, "me") for n in range(2, 6))]

    decided = plan(*rows, held=(2, 3, 4, 5), workers=("a", "b"), believed=(1,))

    assert keys(decided.take) == {"shard-00", "shard-01"}


def test_what_follows_a_shard_that_we_read_to_its_end_is_taken_whatever_the_share():
    rows = [lease(0), *(lease(n, "me") for n in range(1, 5))]

    assert keys(plan(*rows, held=(1, 2, 3, 4), workers=("a",), following=(0,)).take) == {"shard-00"}
    assert plan(*rows, held=(1, 2, 3, 4), workers=("a",)).take == ()


def test_a_lease_that_is_handed_over_is_the_askers_alone():
    """Who has the least by now may be the former owner, which would take it again, for ever."""
    rows = [lease(0, wanted_by="a"), *(lease(n, "a") for n in range(1, 5))]

    assert plan(*rows, workers=("a",)).take == ()
    assert keys(plan(*rows, me="a", held=(1, 2, 3, 4), workers=("me",)).take) == {"shard-00"}
    assert keys(plan(lease(0, wanted_by="gone"), workers=("a",), me="b").take) == keys(
        plan(lease(0), workers=("a",), me="b").take
    )


def test_a_lease_that_others_leave_for_a_look_is_taken_by_who_sees_that():
    """Who has the least is another worker at every look, so that it may be nobody's."""
    rows = [lease(0), lease(1, "me"), *(lease(n, "a") for n in range(2, 4))]

    def taken(seconds: float) -> set[str]:
        workers = ("a", "b", "c")
        return keys(plan(*rows, held=(1,), workers=workers, standing_still_for=seconds).take)

    assert taken(0.0) == taken(LOOKS_SECONDS) == set()
    assert taken(LOOKS_SECONDS + 0.1) == {"shard-00"}


def test_who_has_more_than_a_share_and_a_quarter_takes_nothing_that_is_left():
    def taken(free: int) -> int:
        rows = [*map(lease, range(free)), lease(8, "me"), lease(9, "me")]
        seconds = LOOKS_SECONDS + 0.1
        return len(plan(*rows, held=(8, 9), workers=("a", "b"), standing_still_for=seconds).take)

    assert taken(8) == 3
    assert taken(1) == 0


def test_a_lease_that_the_asker_leaves_for_two_looks_is_taken_by_another():
    rows = [lease(0, wanted_by="a"), *(lease(n, "a") for n in range(1, 5))]

    assert plan(*rows, workers=("a",), standing_still_for=2 * LOOKS_SECONDS).take == ()
    taken = plan(*rows, workers=("a",), standing_still_for=2 * LOOKS_SECONDS + 0.1).take
    assert keys(taken) == {"shard-00"}


def test_our_own_lease_from_before_is_taken_up_again():
    assert keys(plan(lease(0, "me")).take) == {"shard-00"}


def simulate(
    rows: dict[str, Lease], workers: list[str], *, rounds: int
) -> tuple[dict[str, Lease], int]:
    """Workers look and act in turn; a graceful owner releases at its next turn."""
    moves = 0
    sightings: dict[str, Any] = {worker: {} for worker in workers}
    for turn in range(rounds):
        for worker in workers:
            sightings[worker] = observed(sightings[worker], rows.values(), now=turn * LOOKS_SECONDS)
            decided = plan_leases(
                list(rows.values()),
                sightings[worker],
                wanted=set(rows),
                held={key for key, row in rows.items() if row.owner == worker},
                worker_id=worker,
                workers=workers,
                now=turn * LOOKS_SECONDS,
                lease_seconds=SECONDS,
                plan_seconds=LOOKS_SECONDS,
            )
            for key in decided.release:
                rows[key] = replace(rows[key], owner=None, counter=rows[key].counter + 1)
            for row in decided.take:
                rows[row.key] = Lease(row.key, worker, row.counter + 1, row.checkpoint)
                moves += 1
            for row in decided.ask:
                rows[row.key] = Lease(
                    row.key, row.owner, row.counter, row.checkpoint, wanted_by=worker
                )
            for key, row in rows.items():
                if row.owner == worker:
                    rows[key] = Lease(
                        key, worker, row.counter + 1, row.checkpoint, wanted_by=row.wanted_by
                    )
    return rows, moves


@settings(deadline=None, max_examples=examples(40))
@given(shards=st.integers(1, 24), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_any_number_of_workers_ends_balanced_within_one_and_rests(shards, sizes):
    rows = {f"shard-{n:02}": lease(n) for n in range(shards)}
    for size in sizes:
        workers = [f"worker-{number}" for number in range(size)]
        rows, moves = simulate(rows, workers, rounds=4 * shards + 20)
        counts = [sum(row.owner == worker for row in rows.values()) for worker in workers]
        assert sum(counts) == shards
        assert max(counts) - min(counts) <= 1
        assert moves <= 2 * shards
        _, more = simulate(rows, workers, rounds=10)
        assert more == 0


class Counted(Lease):
    """A lease that counts how often leases are compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return super().__eq__(other)

    __hash__ = Lease.__hash__


def test_the_work_of_a_plan_grows_with_the_leases_and_not_with_their_square():
    Counted.compared = 0
    leases = [
        Counted(f"shard-{n}", f"worker-{n % 10}" if n % 2 else None, 0, "TRIM_HORIZON")
        for n in range(2000)
    ]

    decided = plan(*leases, workers=tuple(f"worker-{n}" for n in range(10)))

    assert decided.take
    assert Counted.compared <= 10 * len(leases)
