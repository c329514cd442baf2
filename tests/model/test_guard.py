"""The row guard as a model: no schedule ends wrong, and none of its parts can be left out."""

import pytest

from tests.model.guard import run

SCHEDULES = 1500
OFTEN_NEEDED = ("tombstones", "locked versions", "fresh rows", "rejected leave versions")


def test_every_schedule_of_writers_scans_and_switches_ends_at_the_newest_changes():
    assert [seed for seed in range(SCHEDULES) if not run(seed)] == []


@pytest.mark.parametrize("part", OFTEN_NEEDED)
def test_without_one_of_its_parts_some_schedule_ends_wrong(part: str):
    assert any(not run(seed, without=part) for seed in range(SCHEDULES))
