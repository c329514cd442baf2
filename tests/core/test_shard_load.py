"""The moving average of a shard's records."""

import pytest

from replicator.core.stream.shard_load import AVERAGED_SECONDS, UNMEASURED, ShardLoad


def test_a_steady_rate_is_the_average_after_a_while():
    load = UNMEASURED
    for second in range(0, 3600, 2):
        load = load.after(40, now=float(second))

    assert load.records_a_minute == pytest.approx(1200, rel=0.01)


def test_the_average_of_a_shard_at_rest_goes_to_nothing():
    busy = ShardLoad(1000.0, at=0.0)

    assert busy.after(0, now=AVERAGED_SECONDS).records_a_minute == pytest.approx(368, abs=1)
    assert busy.after(0, now=1e9).records_a_minute == 0.0


def test_a_load_that_was_just_read_is_of_now_and_time_does_not_go_back():
    assert ShardLoad(1000.0).after(0, now=5000.0).records_a_minute == 1000.0
    assert ShardLoad(1000.0, at=9.0).after(0, now=3.0).records_a_minute == 1000.0


def test_one_burst_is_a_fifth_of_its_records():
    assert UNMEASURED.after(1000, now=0.0).records_a_minute == 200.0
