"""The source's time, heard from its answers."""

from datetime import datetime, timedelta

from replicator.clock import SourceClock
from tests.support.builders import NOON


class StoppedClock:
    """Stands at noon."""

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 0.0


def test_our_own_time_counts_until_the_source_is_heard():
    assert SourceClock(StoppedClock()).now() == NOON


def test_a_machine_whose_clock_is_off_takes_the_time_of_the_source():
    clock = SourceClock(StoppedClock())

    clock.heard(NOON + timedelta(minutes=10))

    assert clock.now() == NOON + timedelta(minutes=10)


def test_the_time_that_an_answer_takes_is_no_difference():
    clock = SourceClock(StoppedClock())

    clock.heard(NOON - timedelta(seconds=2))

    assert clock.now() == NOON


def test_a_clock_that_was_set_right_is_believed_again():
    clock = SourceClock(StoppedClock())
    clock.heard(NOON + timedelta(hours=1))

    clock.heard(NOON)

    assert clock.now() == NOON
