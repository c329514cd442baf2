"""Durations and instants, as a person reads and writes them."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.IGNORECASE)
SECONDS_MAX = 10 * 365 * 86400


def in_utc(instant: datetime) -> str:
    """An instant to the minute: `2026-03-01 12:00 UTC`."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def parse_duration(text: str) -> timedelta:
    """`90s`, `15m`, `2h`, `3d` or several units, as `1h30m`; ValueError for anything else."""
    compact = text.replace(" ", "")
    if not _DURATION.fullmatch(compact):
        message = f"{text!r} is no duration: write 90s, 15m, 2h, 3d or 1h30m"
        raise ValueError(message)
    seconds = sum(float(number) * _UNITS[unit.lower()] for number, unit in _PART.findall(compact))
    if seconds > SECONDS_MAX:
        message = f"{text!r} is more than ten years"
        raise ValueError(message)
    return timedelta(seconds=seconds)
