"""How far a table is behind."""

from datetime import timedelta

from replicator.core.stream.lag import ShardProgress, table_lag
from replicator.core.stream.source_kind import DYNAMODB_STREAMS
from tests.support.builders import NOON

DAY = DYNAMODB_STREAMS.retention


def shard(behind: float | None, *, at_head: bool = False, polled: float = 0.0) -> ShardProgress:
    safe_at = None if behind is None else NOON - timedelta(seconds=behind)
    return ShardProgress(safe_at, at_head, NOON - timedelta(seconds=polled))


def test_an_idle_table_at_its_head_is_not_behind_however_old_its_last_change():
    assert table_lag([shard(80_000, at_head=True)], now=NOON, retention=DAY).lag_seconds == 0


def test_one_stuck_shard_of_many_is_the_lag_of_the_table():
    shards = [shard(0, at_head=True) for _ in range(99)]

    assert table_lag([*shards, shard(600)], now=NOON, retention=DAY).lag_seconds == 600


def test_a_clock_that_is_behind_the_sources_makes_no_negative_lag():
    assert table_lag([shard(-30)], now=NOON, retention=DAY).lag_seconds == 0


def test_nothing_is_known_before_the_first_answer():
    assert (
        table_lag(
            [ShardProgress(None, at_head=False, polled_at=None)], now=NOON, retention=DAY
        ).lag_seconds
        is None
    )


def test_a_table_without_unfinished_shards_is_not_behind():
    assert table_lag([], now=NOON, retention=DAY).lag_seconds == 0


def test_headroom_is_that_of_the_shard_furthest_behind():
    lag = table_lag([shard(3600), shard(0, at_head=True)], now=NOON, retention=DAY)

    assert lag.headroom_seconds == 23 * 3600


def test_the_poll_age_is_that_of_the_shard_not_read_for_longest():
    assert (
        table_lag(
            [shard(0, polled=1), shard(0, polled=90)], now=NOON, retention=DAY
        ).poll_age_seconds
        == 90
    )
