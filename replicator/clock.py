"""The only place that asks the time."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for comparing with creation times; monotonic time for durations."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class SourceClock:
    """The source's wall clock, as far as the answers tell it; our own before the first one.

    Creation times are the source's, so ages and the proof that nothing was trimmed must not depend
    on a machine with a wrong clock. Answers are dated to the second and take a while to arrive, so
    a difference of a few seconds counts as none.
    """

    NEGLIGIBLE = timedelta(seconds=3)

    def __init__(self, own: Clock) -> None:
        self._own = own
        self._offset = timedelta(0)

    def heard(self, date: datetime) -> None:
        """Learn the source's time from an answer that is dated `date`."""
        offset = date - self._own.now()
        self._offset = offset if abs(offset) > self.NEGLIGIBLE else timedelta(0)

    def now(self) -> datetime:
        """The source's time, UTC."""
        return self._own.now() + self._offset

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._own.monotonic()
