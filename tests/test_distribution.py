"""The order in which tests begin: groups are whole, and what takes milliseconds comes last."""

from itertools import groupby

import pytest

from tests.support import distribution


def test_every_test_is_in_the_order_once_and_each_group_in_one_piece(
    request: pytest.FixtureRequest,
):
    items = request.session.items

    ordered = distribution.in_order(items)

    assert sorted(item.nodeid for item in ordered) == sorted(item.nodeid for item in items)
    pieces = [group for group, _ in groupby(map(distribution.group_of, ordered)) if group]
    assert len(pieces) == len({*pieces})
    ranks = [distribution.rank_of(item) for item in ordered]
    assert ranks == sorted(ranks)


def test_directories_that_the_order_names_are_there():
    named = distribution.OF_MODULES | distribution.LAST

    assert [name for name in named if not (distribution.ROOT / name).is_dir()] == []
