"""Times of exports: when one is new enough, and the windows that cover a gap. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

WINDOW_MIN = timedelta(minutes=15)
WINDOW_MAX = timedelta(hours=24)
"""Limits of one incremental export (API_IncrementalExportSpecification)."""
BACK_MAX = timedelta(days=35)
"""Nothing older can be restored, whatever the table's recovery period is."""
MARGIN = timedelta(minutes=2)
"""An export may lack changes of the last minute, and hold some of the next."""
SINCE_MARGIN = timedelta(minutes=15)
"""For creation times that are rounded down or go back: so much earlier a gap's window begins."""
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """Changes of the time from `since`, inclusive, to `until`, exclusive."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Recovery:
    """Times between which a table with point-in-time recovery can be exported.

    `asked_at` is the time of the answer by the source's clock.
    """

    earliest: datetime
    latest: datetime
    asked_at: datetime


def export_time(guarded_at: datetime) -> datetime:
    """The earliest whole second of which an export holds all that is older than the guard.

    What is younger carries a version by then, and is left alone.
    """
    return _ceil(guarded_at + MARGIN)


def windows(since: datetime, guarded_at: datetime) -> list[Window]:
    """Windows for incremental exports that together hold every change from a gap to the guard.

    Newest first, since the first line of an item that is written wins. `since`: every change that
    was created before is applied. The span is divided evenly, so that no window is too short.
    """
    until = export_time(guarded_at)
    begin = min(_floor(since - SINCE_MARGIN), until - WINDOW_MIN)
    span = (until - begin) // _SECOND
    number = -(-span // (WINDOW_MAX // _SECOND))
    edges = [begin + _SECOND * (span * place // number) for place in range(number + 1)]
    return [Window(*edges[place : place + 2]) for place in reversed(range(number))]


def why_not(since: datetime | None, recovery: Recovery | None) -> str | None:
    """Why a gap cannot be healed by incremental exports; None where possible."""
    if recovery is None:
        return "point-in-time recovery is off, which exports need"
    if since is None:
        return "nobody knows when the gap began"
    begin = since - SINCE_MARGIN
    if begin < max(recovery.earliest, recovery.asked_at - BACK_MAX):
        return (
            f"the gap begins at {begin:%Y-%m-%d %H:%M} UTC, and the table can be exported from "
            f"{recovery.earliest:%Y-%m-%d %H:%M} UTC on"
        )
    return None


def in_utc(at: datetime) -> str:
    """The time for the command line of AWS."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _floor(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _ceil(at: datetime) -> datetime:
    return _floor(at) if at.microsecond == 0 else _floor(at) + _SECOND
