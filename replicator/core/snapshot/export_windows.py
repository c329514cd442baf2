"""Times of exports: when one is new enough, and the windows that cover a gap. Pure.

An incremental export has the last state of each item that changed in its window, but no line for
an item that was put and deleted within it. Where the put was applied and the deletion is lost in a
gap, the row would stay for ever. So a window must begin between the two: the first window begins
early enough to hold every lost change, and some more, short ones, begin around each cut, the time
through which a shard was applied. Windows that overlap end together, so that of two lines of one
item none is older than the other. A put and a deletion in the same second of a cut are not told
apart, as windows begin at whole seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

WINDOW_MIN = timedelta(minutes=15)
WINDOW_MAX = timedelta(hours=24)
"""Limits of one incremental export (API_IncrementalExportSpecification)."""
BACK_MAX = timedelta(days=35)
"""Nothing older can be restored, whatever the table's recovery period is."""
MARGIN = timedelta(minutes=2)
"""An export may lack changes of the last minute, and hold some of the next."""
SINCE_MARGIN = timedelta(minutes=15)
"""Time by which a gap's window begins earlier: creation times are rounded down, and go back."""
ASKING_ROOM = timedelta(minutes=30)
"""Time that is left for requests before a gap's beginning can be exported no more: the newest
window is asked for first, up to 20 minutes later, as it may end a window's least length ahead, and
a table's latest time is behind."""
_SECOND = timedelta(seconds=1)
CUT_SECONDS = range(-1, 3)
"""Beginnings of windows around a cut: creation times are rounded to the nearest second."""
CUT_EDGES_MAX = 40
"""DynamoDB makes 300 exports of an account at once; of more cuts than that some are left out."""
_STRETCH_MAX = WINDOW_MAX - WINDOW_MIN
"""Longest stretch of one window, which may begin a little before the stretch, and reaches to its
end."""


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


def windows(cuts: Sequence[datetime], guarded_at: datetime) -> list[Window]:
    """Windows for incremental exports that together hold every change from a gap to the guard.

    The last to end first, since the first line of an item that is written wins. `cuts`: for each
    shard that lost changes, the time before which every change is applied.
    """
    edges = _edges(cuts)
    until = max(export_time(guarded_at), edges[-1] + WINDOW_MIN)
    bounds = list(_stretched([_floor(min(cuts) - SINCE_MARGIN), *_ends(edges, until)]))
    found = [Window(*stretch) for stretch in pairwise(bounds)]
    found += [
        Window(edge, next(end for end in bounds if end >= edge + WINDOW_MIN)) for edge in edges
    ]
    return sorted(found, key=lambda window: (window.until, window.since), reverse=True)


def _edges(cuts: Sequence[datetime]) -> list[datetime]:
    """Beginnings of windows around the cuts, in order."""
    around = {_floor(cut) + second * _SECOND for cut in cuts for second in CUT_SECONDS}
    found, number = sorted(around), min(len(around), CUT_EDGES_MAX)
    return [found[(len(found) - 1) * place // (number - 1)] for place in range(number)]


def _ends(edges: Sequence[datetime], until: datetime) -> Iterator[datetime]:
    """Ends of windows: soon behind edges that lie close together, and at last `until`."""
    for edge, following in pairwise([*edges, until]):
        if following - edge >= 2 * WINDOW_MIN:
            yield edge + WINDOW_MIN
    yield until


def _stretched(bounds: Sequence[datetime]) -> Iterator[datetime]:
    """The bounds, and more between those that are too far from each other, evenly."""
    for begin, end in pairwise(bounds):
        span = (end - begin) // _SECOND
        number = -(-span // (_STRETCH_MAX // _SECOND))
        yield from (begin + _SECOND * (span * place // number) for place in range(number))
    yield bounds[-1]


def why_not(
    since: datetime | None, recovery: Recovery | None, *, room: timedelta = ASKING_ROOM
) -> str | None:
    """Why a gap cannot be healed by incremental exports; None where possible.

    `room`: for so long the gap's beginning must remain one that can be exported.
    """
    if recovery is None:
        return "point-in-time recovery is off, which exports need"
    if since is None:
        return "nobody knows when the gap began"
    begin = since - SINCE_MARGIN
    earliest = max(recovery.earliest, recovery.asked_at - BACK_MAX)
    if begin < earliest + room:
        return (
            f"the gap begins at {begin:%Y-%m-%d %H:%M} UTC, and the table can be exported from "
            f"{earliest:%Y-%m-%d %H:%M} UTC on; asking for the exports takes up to "
            f"{room // timedelta(minutes=1)} minutes"
        )
    return None


def in_utc(at: datetime) -> str:
    """The time for the command line of AWS."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _floor(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _ceil(at: datetime) -> datetime:
    return _floor(at) if at.microsecond == 0 else _floor(at) + _SECOND
