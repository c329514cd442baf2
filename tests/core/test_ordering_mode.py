"""Ordering modes: which one a load, the end of a load and a hand-over lead to."""

import pytest

from replicator.core.stream.ordering_mode import OrderingMode

FENCE, GUARD, LAMBDA = OrderingMode


@pytest.mark.parametrize(
    ("before", "beside_a_load", "after"),
    [(FENCE, GUARD, FENCE), (GUARD, GUARD, FENCE), (LAMBDA, LAMBDA, LAMBDA)],
)
def test_beside_a_load_versions_decide_and_a_load_takes_no_table_from_lambda(
    before: OrderingMode, beside_a_load: OrderingMode, after: OrderingMode
):
    assert before.while_loading() is beside_a_load
    assert before.while_loading().by_versions
    assert before.while_loading().after_loading(FENCE) is after


def test_a_table_is_handed_over_from_the_modes_of_the_other_poller_alone():
    assert OrderingMode.others_than("lambda") == (FENCE, GUARD)
    assert OrderingMode.others_than("daemon") == (LAMBDA,)


def test_a_mode_is_the_word_in_the_control_schema():
    assert [OrderingMode.of(word) for word in ("fence", "guard", "lambda")] == list(OrderingMode)
    assert [f"{mode}" for mode in OrderingMode] == ["fence", "guard", "lambda"]
