"""The order of changes that have only creation times."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.restore_change_order import arranged
from replicator.core.stream.decoding.kinesis_records import decode_kinesis_record
from replicator.core.stream.order_by_time import (
    TIME,
    history_number,
    in_order,
    later,
    micros_of,
    version_of,
)
from replicator.core.stream_record import Version
from tests.support.builders import table_mapping
from tests.support.kinesis_tables import kinesis_data
from tests.support.undecided import is_undecided

NOW = 1_789_000_000_000_000
STATES = (None, "a", "b", "c")
Step = tuple[str | None, str | None]


def version(old: str | None, new: str | None, *, micros: int = NOW) -> Version:
    return version_of(micros, *[None if each is None else image(each) for each in (old, new)])


def image(text: str) -> memoryview:
    return memoryview(b'{"pk":{"S":"k"},"v":{"S":"%s"}}' % text.encode())


def test_the_later_time_is_the_later_change_whatever_the_images_are():
    assert later(version("b", "a", micros=NOW + 1), version("a", "b"))
    assert later(version("a", "b"), version("b", "a", micros=NOW + 1)) is False


@pytest.mark.parametrize(
    ("earlier", "follower"),
    [
        (("a", "b"), ("b", "c")),  # one begins with what the other ends with
        ((None, "a"), ("a", "b")),
        (("a", "b"), ("b", None)),
        (("a", None), (None, "b")),  # deleted and put anew
        ((None, "a"), ("a", None)),  # both follow each other: an insertion is first
        ((None, "a"), ("b", "c")),  # neither follows the other: an insertion is first
        (("a", "b"), ("c", None)),  # and a removal last
    ],
)
def test_of_one_time_the_images_tell_which_is_later(
    earlier: tuple[str | None, str | None], follower: tuple[str | None, str | None]
):
    one, other = version(*follower), version(*earlier)

    assert later(one, other) is True
    assert later(other, one) is False


@pytest.mark.parametrize("other", [("b", "a"), ("c", "d")])
def test_of_one_time_nothing_may_tell_which_is_later(other: tuple[str, str]):
    assert later(version("a", "b"), version(*other)) is None


def test_what_came_twice_is_not_later_than_itself():
    assert later(version("a", "b"), version("a", "b")) is False


def test_an_image_has_one_digest_however_its_members_are_ordered():
    one = memoryview(b'{"a":{"SS":["x","y"]},"b":{"M":{"c":{"N":"1"},"d":{"S":"\\u00e9"}}}}')
    same = memoryview('{"b": {"M":{"d":{"S":"é"},"c":{"N":"1"}}},"a":{"SS":["y","x"]}}'.encode())
    other = memoryview(b'{"a":{"L":["y","x"]},"b":{"M":{"c":{"N":"1"},"d":{"S":"\\u00e9"}}}}')

    assert version_of(NOW, one, None) == version_of(NOW, same, None)
    assert version_of(NOW, one, None) != version_of(NOW, other, None)


def test_an_image_with_a_lone_surrogate_has_a_digest():
    broken = memoryview(b'{"a":{"S":"\\ud800"}}')

    assert version_of(NOW, broken, None) % TIME > 0


@given(st.permutations(range(4)))
def test_changes_of_one_time_are_put_into_the_order_of_their_chain(order: list[int]):
    chain = [version(None, "a"), version("a", "b"), version("b", "c"), version("c", "d")]

    found, undecided = in_order([(chain[place], place) for place in order])

    assert (found, undecided) == ([0, 1, 2, 3], 0)


@given(st.permutations(range(4)))
def test_an_insertion_begins_a_circle_of_one_time_which_is_counted(order: list[int]):
    """It may also be an item that was there, was deleted and put again."""
    circle = [version(None, "a"), version("a", "b"), version("b", "c"), version("c", None)]

    found, undecided = in_order([(circle[place], place) for place in order])

    assert (found, undecided) == ([0, 1, 2, 3], 1)


def test_what_came_twice_stays_beside_itself():
    first, second = version("a", "b"), version("b", "c")
    for arrived in permutations([(first, 1), (second, 2), (first, 3), (second, 4)]):
        found, undecided = in_order(arrived)
        assert [n in (1, 3) for n in found] == [True, True, False, False]
        assert undecided == 0


def test_what_nothing_decides_stays_in_the_order_of_arrival_and_is_counted():
    found, undecided = in_order([(version("c", "d"), 1), (version("a", "b"), 2)])

    assert (found, undecided) == ([1, 2], 1)


def chains(lengths: Sequence[int]) -> Iterator[list[Step]]:
    """All that may happen to an item, of so many changes over a few states."""
    for length in lengths:
        for path in product(STATES, repeat=length + 1):
            steps = list(pairwise(path))
            if all(old != new for old, new in steps):
                yield steps


def ends_of(steps: Sequence[Step]) -> set[str | None]:
    """The states in which the steps may end, each taken once, by trying every order."""
    found: set[str | None] = set()
    left: list[tuple[tuple[int, ...], str | None]] = [((), step[0]) for step in steps]
    while left:
        taken, state = left.pop()
        if len(taken) == len(steps):
            found.add(state)
        left += [
            ((*taken, place), new)
            for place, (old, new) in enumerate(steps)
            if old == state and place not in taken
        ]
    return found


def guarded(arrived: Sequence[Version]) -> tuple[Version, int]:
    """The version that the row guard leaves of changes that come one by one, and how many were
    counted.
    """
    known, undecided = arrived[0], 0
    for version in arrived[1:]:
        undecided += is_undecided(version, known)
        if later(version, known) is not False:
            known = version
    return known, undecided


@pytest.mark.parametrize("length", [2, 3, 4])
def test_where_changes_of_one_time_come_one_by_one_a_wrong_end_is_counted_unless_a_state_returns(
    length: int,
):
    """Each alone in a batch, in any order, and one of them perhaps once more."""
    versions = {step: version(*step) for step in product(STATES, STATES)}
    for steps in chains([length]):
        states = [steps[0][0], *[new for _, new in steps]]
        changes = [versions[step] for step in steps]
        for order in permutations(changes):
            for arrived in [order, *[(*order, again) for again in changes]]:
                known, undecided = guarded(arrived)
                right = known == changes[-1]
                assert right or undecided or len(set(states)) < len(states), (steps, arrived)
                assert right or undecided or length > 2, (steps, arrived)


def is_way(steps: Sequence[Step]) -> bool:
    return all(one[1] == other[0] for one, other in pairwise(steps))


@pytest.mark.parametrize("length", [1, 2, 3, 4, pytest.param(5, marks=pytest.mark.wide)])
def test_the_end_of_all_that_may_happen_at_one_time_is_right_or_counted(length: int):
    versions = {step: version(*step) for step in product(STATES, STATES)}
    earlier = {state: version("before", state, micros=NOW - 1) for state in STATES}
    ends: dict[frozenset[Step], set[str | None]] = {}
    for steps in chains([length]):
        once = frozenset(steps) if len(set(steps)) == length else None
        if once is not None and once not in ends:
            ends[once] = ends_of(steps)
        for arrived in permutations(steps) if length < 5 or once else [steps, steps[::-1]]:
            found, undecided = in_order([(versions[step], step) for step in arrived])
            assert sorted(map(str, found)) == sorted(map(str, steps))
            assert undecided or found[-1][1] == steps[-1][1], (arrived, found)
            if once is not None:
                assert is_way(found), (arrived, found)
                assert bool(undecided) is (len(ends[once]) > 1), (arrived, found)

                known = [(versions[step], step) for step in arrived]
                known.append((earlier[steps[0][0]], ("before", steps[0][0])))
                found, undecided = in_order(known)
                assert (is_way(found), undecided) == (True, 0), (arrived, found)
                assert found[-1][1] == steps[-1][1], (arrived, found)


@pytest.mark.parametrize(
    ("happened", "end"),
    [
        ([("x", None), (None, "y"), ("y", "z")], "z"),
        ([(None, "x"), ("x", "y"), ("y", "x")], "x"),
        ([("x", "y"), ("y", None), (None, "z"), ("z", "x"), ("x", None)], None),
    ],
)
def test_a_deletion_or_a_state_amid_the_changes_of_one_time_does_not_change_the_end(
    happened: list[Step], end: str | None
):
    for arrived in permutations(happened):
        found, undecided = in_order([(version(*step), step) for step in arrived])
        assert (found[-1][1], undecided) == (end, 0), arrived


def test_the_change_before_tells_where_a_circle_begins():
    put = (version(None, "x", micros=NOW - 1), "put before")
    removed, again = (version("x", None), "removed"), (version(None, "x"), "put again")

    for arrived in permutations([put, removed, again]):
        assert in_order(arrived) == (["put before", "removed", "put again"], 0)
    assert in_order([removed, again]) == (["put again", "removed"], 1)


def test_nothing_tells_a_change_that_was_made_again_from_one_that_came_twice():
    put, removed = version(None, "x"), version("x", None)

    assert in_order([(put, 1), (removed, 2), (put, 3)])[1] == 1


def test_where_a_change_is_missing_the_others_are_counted():
    arrived = [version("c", None), version("a", "b"), version(None, "a")]

    found, undecided = in_order([(each, place) for place, each in enumerate(arrived)])
    assert (found, undecided) == ([0, 2, 1], 0)  # they may be all: removed, put, and changed
    assert in_order([(arrived[0], 0), (arrived[1], 1)]) == ([1, 0], 1)
    assert in_order([(arrived[2], 2), (version("b", "c"), 1)]) == ([2, 1], 1)


def test_two_changes_of_one_state_are_counted_and_neither_is_before_what_led_there():
    to, one, other = version("w", "x"), version("x", "y"), version("x", "z")

    for arrived in permutations([(to, "to"), (one, "one"), (other, "other")]):
        found, undecided = in_order(arrived)
        assert (sorted(found), undecided) == (["one", "other", "to"], 1)
        assert found[-1] != "to"


def test_a_long_chain_of_one_time_is_ordered_with_each_change_looked_at_a_few_times():
    """A search that compares all pairs again for each change takes hours for so many."""
    chain = [(version(f"v{n}", f"v{n + 1}"), n) for n in range(10_000)]
    broken = chain[:5_000] + chain[5_001:]

    assert in_order(chain[::-1]) == (list(range(10_000)), 0)
    assert in_order(broken[::-1])[1] == 1


def test_a_row_has_image_and_version_of_the_last_change_in_the_trail():
    happened: list[Step] = [("x", None), (None, "y"), ("y", "z")]
    item = {state: {"pk": {"S": "k"}, "v": {"S": state}} for state in "xyz"}
    records = [
        decode_kinesis_record(
            kinesis_data("orders", *[item.get(str(state)) for state in step], micros=NOW),
            str(number),
            table="orders",
            base64="twice",
        )
        for number, step in enumerate(happened, 1)
    ]
    mapping = table_mapping()

    for arrived in permutations(records):
        in_place = arranged(arrived, mapping.source_key)
        plan = plan_batch(in_place.records, mapping, read_at=NOW / 1_000_000)
        [writes] = plan.writes
        assert [*in_place.records] == records
        assert [record.version for record in writes.upserted.records] == [version("y", "z")]
        assert (len(writes.deleted), plan.item_versions) == (0, (version("y", "z"),))


def test_a_version_has_room_in_the_control_schema_and_its_number_in_a_history():
    last = version("a", "b", micros=9_999_999_999_999_999)

    assert len(str(last)) <= 60
    assert len(str(history_number(last))) <= 40
    assert micros_of(last) == 9_999_999_999_999_999


def test_a_number_in_a_history_orders_by_time_and_tells_changes_apart():
    numbers = [
        history_number(each)
        for each in (version("a", "b"), version("b", "a"), version("a", "b", micros=NOW + 1))
    ]

    assert len(set(numbers)) == 3
    assert max(numbers) == numbers[2]
    assert history_number(Version(10**39)) == 10**39
