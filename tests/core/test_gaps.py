"""Whether records may have left the stream before we read them."""

from datetime import timedelta

import pytest

from replicator.core.stream.gaps import headroom_seconds, is_proved_complete, kind_of_gap
from tests.support.builders import NOON

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("behind", "proved"),
    [
        (timedelta(0), True),
        (23 * HOUR, True),
        (timedelta(hours=23, minutes=30), True),
        (timedelta(hours=23, minutes=46), False),
        (30 * HOUR, False),
    ],
)
def test_unread_records_are_younger_than_the_last_applied_one(behind, proved):
    found_at = NOON - timedelta(days=7)

    assert proved == is_proved_complete(answered_at=NOON, safe_at=NOON - behind, found_at=found_at)


def test_a_shard_just_found_may_be_read_from_its_oldest_record():
    assert is_proved_complete(answered_at=NOON, safe_at=None, found_at=NOON)


def test_the_oldest_hour_of_a_shard_just_found_is_not_owed():
    old = NOON - timedelta(hours=23, minutes=55)

    assert is_proved_complete(answered_at=NOON, safe_at=old, found_at=NOON)
    assert not is_proved_complete(answered_at=NOON + HOUR, safe_at=old, found_at=NOON)


def test_an_accepted_gap_is_not_found_again():
    old = NOON - timedelta(days=3)

    assert not is_proved_complete(answered_at=NOON, safe_at=old, found_at=old)
    assert is_proved_complete(answered_at=NOON, safe_at=old, found_at=old, accepted_at=NOON)


@pytest.mark.parametrize(
    ("position", "known", "kind"),
    [
        (None, None, "possible"),
        (5, 5, "possible"),
        (5, None, "possible"),
        (5, 6, "certain"),
        (None, 6, "certain"),
    ],
)
def test_a_gap_is_certain_only_when_unread_records_were_seen(position, known, kind):
    assert kind_of_gap(position=position, known=known) == kind


def test_headroom_ends_at_nothing():
    assert headroom_seconds(now=NOON, safe_at=NOON) == 24 * 3600
    assert headroom_seconds(now=NOON, safe_at=NOON - timedelta(days=2)) == 0
