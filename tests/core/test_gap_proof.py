"""Whether records may have left the stream before we read them."""

from datetime import timedelta

import pytest

from replicator.core.stream.gap_proof import headroom_seconds, is_proved_complete, kind_of_gap
from replicator.core.stream.source_kind import DYNAMODB_STREAMS
from tests.support.builders import NOON

HOUR = timedelta(hours=1)
DAY = DYNAMODB_STREAMS.retention


def test_a_source_that_keeps_its_records_longer_proves_more():
    week = timedelta(days=7)
    days_ago = NOON - timedelta(days=3)

    def proved(retention: timedelta) -> bool:
        return is_proved_complete(
            answered_at=NOON, safe_at=days_ago, found_at=days_ago, retention=retention
        )

    assert (proved(DAY), proved(week)) == (False, True)
    assert headroom_seconds(now=NOON, safe_at=days_ago, retention=week) == 4 * 24 * 3600


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

    assert proved == is_proved_complete(
        answered_at=NOON, safe_at=NOON - behind, found_at=found_at, retention=DAY
    )


def test_a_shard_just_found_may_be_read_from_its_oldest_record():
    assert is_proved_complete(answered_at=NOON, safe_at=None, found_at=NOON, retention=DAY)


def test_the_oldest_hour_of_a_shard_just_found_is_not_owed():
    old = NOON - timedelta(hours=23, minutes=55)

    assert is_proved_complete(answered_at=NOON, safe_at=old, found_at=NOON, retention=DAY)
    assert not is_proved_complete(
        answered_at=NOON + HOUR, safe_at=old, found_at=NOON, retention=DAY
    )


def test_an_accepted_gap_is_not_found_again():
    old = NOON - timedelta(days=3)

    assert not is_proved_complete(answered_at=NOON, safe_at=old, found_at=old, retention=DAY)
    assert is_proved_complete(
        answered_at=NOON, safe_at=old, found_at=old, accepted_at=NOON, retention=DAY
    )


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
    assert headroom_seconds(now=NOON, safe_at=NOON, retention=DAY) == 24 * 3600
    assert headroom_seconds(now=NOON, safe_at=NOON - timedelta(days=2), retention=DAY) == 0
