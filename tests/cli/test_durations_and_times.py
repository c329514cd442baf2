"""Durations and instants as people read and write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from replicator.cli.terminal.durations_and_times import in_utc, parse_duration
from replicator.core.status.duration_words import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (-3, "0 s"),
        (0, "0 s"),
        (0.2, "<1 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (48 * 3600, "2 d"),
        (76 * 3600, "3 d 4 h"),
    ],
)
def test_a_duration_in_words(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("15M", timedelta(minutes=15)),
        ("1h30m", timedelta(minutes=90)),
        ("0.5 d", timedelta(hours=12)),
    ],
)
def test_a_duration_as_people_write_it(text, duration):
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "2", "h", "2x", "-1h", "1h-", "٣h3", "11y", "99999d"])
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError, match=r"duration|ten years"):
        parse_duration(text)


def test_an_instant_is_shown_in_utc():
    tokyo = timezone(timedelta(hours=9))

    assert in_utc(datetime(2026, 3, 1, 21, 0, 59, tzinfo=tokyo)) == "2026-03-01 12:00 UTC"
    assert in_utc(datetime(2026, 3, 1, 12, 0, tzinfo=UTC)) == "2026-03-01 12:00 UTC"
