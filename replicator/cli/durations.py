"""Durations and instants, as a person reads and writes them."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.IGNORECASE)
SECONDS_MAX = 10 * 365 * 86400


def in_words(seconds: float | None) -> str:
    """The largest units of a duration: `45 s`, `3 min`, `2 h 5 min`, `3 d 4 h`; `-`: unknown."""
    if seconds is None:
        return "-"
    if 0 < seconds < 1:
        return "<1 s"
    whole = int(max(0.0, seconds))
    if whole < 120:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"


def in_utc(instant: datetime) -> str:
    """An instant to the minute: `2026-03-01 12:00 UTC`."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def parse_duration(text: str) -> timedelta:
    """`90s`, `15m`, `2h`, `3d` or several of them, as `1h30m`; ValueError for anything else."""
    compact = text.replace(" ", "")
    if not _DURATION.fullmatch(compact):
        message = f"{text!r} is no duration: write 90s, 15m, 2h, 3d or 1h30m"
        raise ValueError(message)
    seconds = sum(float(number) * _UNITS[unit.lower()] for number, unit in _PART.findall(compact))
    if seconds > SECONDS_MAX:
        message = f"{text!r} is more than ten years"
        raise ValueError(message)
    return timedelta(seconds=seconds)
