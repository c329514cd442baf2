"""The newest status known, which grows older while no newer one arrives."""

from dataclasses import dataclass, replace

from replicator.clock import Clock
from replicator.core.status.deployment_status import Status, TableStatus
from replicator.core.status.table_progress import aged as aged_proof

FAILED_READS_MIN = 2
"""Reads that fail in a row before their failure is told: a single one may be a hiccup."""


@dataclass(frozen=True, slots=True)
class _FailedReads:
    count: int
    what: str
    remedy: str | None


class LatestStatus:
    """Holds one status. Calling the object gives the status as of now, None before the first one.

    A publisher may hang or be cut off from PostgreSQL: then lag and poll age grow and headroom
    shrinks all the same, so that an alarm on the metrics fires.
    """

    def __init__(self, clock: Clock, *, stale_seconds: float = 15.0) -> None:
        self._clock = clock
        self._stale_seconds = stale_seconds
        self._published: tuple[Status, float] | None = None
        self._failed: _FailedReads | None = None

    def publish(self, status: Status) -> None:
        """`status` is true now."""
        self._published = (status, self._clock.monotonic())
        self._failed = None

    def failed(self, what: str, remedy: str | None) -> None:
        """A newer status could not be read."""
        before = 0 if self._failed is None else self._failed.count
        self._failed = _FailedReads(before + 1, what, remedy)

    def __call__(self) -> Status | None:
        """The status to be assumed now."""
        if self._published is None:
            return None
        status, published_at = self._published
        seconds = self._clock.monotonic() - published_at
        status = aged(status, seconds, stale_seconds=self._stale_seconds)
        failed = self._failed
        if failed is None or failed.count < FAILED_READS_MIN:
            return status
        return replace(status, read_failure=failed.what, read_remedy=failed.remedy)


def aged(status: Status, seconds: float, *, stale_seconds: float) -> Status:
    """The status, reduced to what one that is `seconds` old still proves.

    A table that was at the head counts as there until the status is `stale_seconds` old; from then
    on it may have changes as old as the status itself.
    """
    return replace(
        status,
        tables=tuple(_aged_table(table, seconds, stale_seconds) for table in status.tables),
        workers=tuple(
            replace(worker, seen_seconds_ago=worker.seen_seconds_ago + seconds)
            for worker in status.workers
        ),
        read_seconds_ago=status.read_seconds_ago + seconds,
    )


def _aged_table(table: TableStatus, seconds: float, stale_seconds: float) -> TableStatus:
    grows = bool(table.lag_seconds) or seconds >= stale_seconds
    lag = table.lag_seconds
    headroom = table.retention_headroom_seconds
    poll_age = table.poll_age_seconds
    return replace(
        table,
        lag_seconds=lag + seconds if lag is not None and grows else lag,
        retention_headroom_seconds=headroom - seconds if headroom is not None else None,
        poll_age_seconds=poll_age + seconds if poll_age is not None else None,
        proof=aged_proof(table.proof, seconds),
    )
