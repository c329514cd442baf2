"""A batch is as large as its transaction's time allows."""

from hypothesis import given
from hypothesis import strategies as st

from replicator.core.stream.batch_size import BatchSize

SIZE = BatchSize(1000, records_max=1000, target_seconds=1.0)


def test_a_slow_transaction_makes_the_next_ones_smaller_by_half_at_most():
    assert SIZE.after(1000, 1.25).records == 800
    assert SIZE.after(1000, 60.0).records == 500


def test_a_quick_one_lets_them_grow_again_up_to_the_most():
    small = BatchSize(100, records_max=1000, target_seconds=1.0)

    assert small.after(100, 0.8).records == 125
    assert small.after(100, 0.01).records == 200
    assert SIZE.after(1000, 0.01).records == 1000


def test_a_quick_one_that_was_smaller_than_allowed_proves_nothing():
    assert BatchSize(100, records_max=1000, target_seconds=1.0).after(5, 0.001).records == 100


def test_a_timeout_halves_what_was_tried_as_often_as_it_happens():
    assert SIZE.refused(1000).records == 500
    assert SIZE.refused(1000).refused(1000).records == 500
    assert SIZE.refused(1000).refused(500).records == 250


@given(
    steps=st.lists(
        st.tuples(st.integers(1, 2000), st.none() | st.floats(0, 100, allow_nan=False)),
        max_size=30,
    )
)
def test_it_stays_between_one_record_and_the_most(steps):
    size = SIZE
    for records, seconds in steps:
        size = size.refused(records) if seconds is None else size.after(records, seconds)

        assert 1 <= size.records <= size.records_max
