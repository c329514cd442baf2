"""Lag and throughput of the last hour, for the status page; kept in memory, bounded."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from replicator.clock import Clock
from replicator.core.status.deployment_status import Status
from replicator.core.telemetry_events import BatchApplied, TelemetryEvent

SECONDS_PER_POINT = 15
POINTS_MAX = 240


@dataclass(slots=True)
class _Point:
    number: int
    lag_seconds: float | None = None
    records: int = 0


class History:
    """One point for every 15 seconds: the highest lag seen, and the records the process handled.

    A table that has had no point for an hour is gone.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._points: dict[str, deque[_Point]] = {}

    def record(self, status: Status) -> None:
        """Take the lags of a new status."""
        number = self._number()
        for table in status.tables:
            if table.lag_seconds is not None:
                point = self._point(table.source, number)
                point.lag_seconds = max(table.lag_seconds, point.lag_seconds or 0.0)
        self._drop_older_than(number - POINTS_MAX)

    def observe(self, event: TelemetryEvent) -> None:
        """Count the records of a batch."""
        if isinstance(event, BatchApplied):
            point = self._point(event.table, self._number())
            point.records += sum(event.records.values())

    def last_minute(self) -> dict[str, int]:
        """The records of the last four complete points, of the tables that had any."""
        last = self._number()
        counts = {
            source: sum(point.records for point in points if last - 4 <= point.number < last)
            for source, points in self._points.items()
        }
        return {source: records for source, records in counts.items() if records}

    def document(self) -> dict[str, Any]:
        """Oldest point first, the last one is not complete; None where no lag was known."""
        last = self._number()
        return {
            "schema_version": 1,
            "seconds_per_point": SECONDS_PER_POINT,
            "tables": [_series(source, points, last) for source, points in self._points.items()],
        }

    def _number(self) -> int:
        return int(self._clock.monotonic() // SECONDS_PER_POINT)

    def _point(self, table: str, number: int) -> _Point:
        points = self._points.setdefault(table, deque(maxlen=POINTS_MAX))
        if not points or points[-1].number != number:
            points.append(_Point(number))
        return points[-1]

    def _drop_older_than(self, number: int) -> None:
        gone = [table for table, points in self._points.items() if points[-1].number <= number]
        for table in gone:
            del self._points[table]


def _series(source: str, points: deque[_Point], last: int) -> dict[str, Any]:
    complete = list(_without_holes(points, last))
    return {
        "source": source,
        "lag_seconds": [
            None if point.lag_seconds is None else round(point.lag_seconds, 1) for point in complete
        ],
        "records": [point.records for point in complete],
    }


def _without_holes(points: deque[_Point], last: int) -> Iterator[_Point]:
    by_number = {point.number: point for point in points}
    for number in range(last - POINTS_MAX + 1, last + 1):
        yield by_number.get(number) or _Point(number)
