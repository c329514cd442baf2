"""The row guard as a model: no schedule ends wrong, and none of its parts can be left out."""

import pytest

from tests.model.guard import run, run_slow

SCHEDULES = 1500
OFTEN_NEEDED = (
    "tombstones",
    "locked versions",
    "fresh rows",
    "rejected leave versions",
    "seen by the snapshot",
    "versions begin anew",
)


def test_every_schedule_of_writers_scans_and_switches_ends_at_the_newest_changes():
    assert [seed for seed in range(SCHEDULES) if not run(seed)] == []


@pytest.mark.parametrize("part", OFTEN_NEEDED)
def test_without_one_of_its_parts_some_schedule_ends_wrong(part: str):
    assert any(not run(seed, without=part) for seed in range(SCHEDULES))


def test_a_slow_lambda_transaction_takes_no_row_back_after_the_table_changed_hands():
    assert [seed for seed in range(SCHEDULES) if not run_slow(seed)] == []


def test_unless_lambda_shares_the_row_of_the_mode_a_slow_transaction_takes_a_row_back():
    assert any(not run_slow(seed, without="shared mode") for seed in range(SCHEDULES))
