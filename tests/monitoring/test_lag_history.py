"""An hour of lag and throughput, and never more."""

from typing import Any

import pytest

from replicator.monitoring.lag_history import POINTS_MAX, SECONDS_PER_POINT, History
from tests.monitoring.conftest import TurnedClock
from tests.monitoring.facts import batch, status, table


@pytest.fixture
def history(clock: TurnedClock) -> History:
    return History(clock)


def series(history: History) -> dict[str, dict[str, Any]]:
    return {one["source"]: one for one in history.document()["tables"]}


def test_a_point_keeps_the_highest_lag_and_all_records(history: History):
    history.record(status(table(lag_seconds=3.0)))
    history.record(status(table(lag_seconds=8.04)))
    history.record(status(table(lag_seconds=0.0)))
    history.observe(batch())
    history.observe(batch())

    assert series(history)["orders"]["lag_seconds"][-1] == 8.0
    assert series(history)["orders"]["records"][-1] == 4


def test_the_last_minute_is_of_complete_points(history: History, clock: TurnedClock):
    counts = []
    for _ in range(6):
        counts.append(history.last_minute())
        history.observe(batch())
        clock.seconds += SECONDS_PER_POINT

    assert counts == [{}, *({"orders": n} for n in (2, 4, 6, 8, 8))]
    clock.seconds += 4 * SECONDS_PER_POINT
    assert history.last_minute() == {}


def test_a_time_without_status_is_a_hole(history: History, clock: TurnedClock):
    history.record(status(table(lag_seconds=1.0)))
    clock.seconds += 3 * SECONDS_PER_POINT
    history.record(status(table(lag_seconds=2.0)))

    assert series(history)["orders"]["lag_seconds"][-4:] == [1.0, None, None, 2.0]
    assert series(history)["orders"]["records"][-4:] == [0, 0, 0, 0]


def test_only_the_last_hour_is_kept(history: History, clock: TurnedClock):
    for second in range(3 * POINTS_MAX):
        history.record(status(table(lag_seconds=float(second))))
        clock.seconds += SECONDS_PER_POINT

    lags = series(history)["orders"]["lag_seconds"]
    assert len(lags) == POINTS_MAX
    assert lags[0] == 2 * POINTS_MAX + 1
    assert len(history._points["orders"]) == POINTS_MAX


def test_a_removed_table_is_gone_after_an_hour(history: History, clock: TurnedClock):
    history.record(status(table("orders"), table("carts")))

    clock.seconds += SECONDS_PER_POINT * POINTS_MAX
    history.record(status(table("orders")))

    assert set(series(history)) == {"orders"}


def test_a_lag_that_is_not_known_leaves_no_point(history: History):
    history.record(status(table(lag_seconds=None)))

    assert history.document()["tables"] == []
