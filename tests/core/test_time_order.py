"""The order of changes that have only creation times."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.records import Version
from replicator.core.stream.time_order import (
    TIME,
    history_number,
    in_order,
    later,
    micros_of,
    version_of,
)

NOW = 1_789_000_000_000_000


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
    chain = [version(None, "a"), version("a", "b"), version("b", "c"), version("c", None)]

    found, undecided = in_order([(chain[place], place) for place in order])

    assert (found, undecided) == ([0, 1, 2, 3], 0)


def test_what_came_twice_stays_beside_itself():
    first, second = version("a", "b"), version("b", "c")
    for arrived in permutations([(first, 1), (second, 2), (first, 3), (second, 4)]):
        found, undecided = in_order(arrived)
        assert [n in (1, 3) for n in found] == [True, True, False, False]
        assert undecided == 0


def test_what_nothing_decides_stays_in_the_order_of_arrival_and_is_counted():
    found, undecided = in_order([(version("c", "d"), 1), (version("a", "b"), 2)])

    assert (found, undecided) == ([1, 2], 1)


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
