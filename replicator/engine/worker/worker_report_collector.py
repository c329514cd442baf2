"""Evidence of the worker's work, gathered from the tables, the shards and reported facts."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from replicator.clock import Clock
from replicator.core.snapshot.snapshot_state import is_segment_name
from replicator.core.status.worker_report import (
    Failure,
    LateShard,
    TableReport,
    WorkerReport,
)
from replicator.core.telemetry_events import TaskFailed, TelemetryEvent
from replicator.engine.stream.read_and_commit_progress import FailureText
from replicator.engine.worker.table_runtime_state import Running, Table
from replicator.engine.worker.worker import Worker

FAILURE_SECONDS_MAX = 120.0
"""A failure that was longer ago explains nothing any more."""
FAILURES_MAX = 200
LATE_MAX = 50
"""Shards of one table whose lateness is told: the worst ones."""
READ_SECONDS = 5.0
"""Seconds without a read after which a shard is told as late: more than the pause between two
reads."""
PENDING_SECONDS = 2.0


class WorkerReportCollector:
    """Remembers how tasks failed, and puts that beside what a worker's parts show now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str | None, str], tuple[FailureText, float]] = (
            OrderedDict()
        )

    def observe(self, event: TelemetryEvent) -> None:
        """Take note of a task that failed."""
        if not isinstance(event, TaskFailed):
            return
        key = (event.table, event.task)
        self._failures[key] = (FailureText.of(event.error), self._clock.monotonic())
        self._failures.move_to_end(key)
        while len(self._failures) > FAILURES_MAX:
            self._failures.popitem(last=False)

    def report(self, worker: Worker | None) -> WorkerReport:
        """The report as of now; without a worker, that of a process that is not ready yet."""
        if worker is None:
            return WorkerReport(self._clock.now(), failures=self._recent(None))
        now, idle = self._clock.monotonic(), worker.settings.idle_seconds_max
        running: dict[str, list[tuple[str, str, Running]]] = {name: [] for name in worker.tables}
        for key, held in worker.holding.held.items():
            if key in worker.running:
                running[held.table].append((held.stream_arn, held.shard_id, worker.running[key]))
        return WorkerReport(
            now=self._clock.now(),
            looked_seconds=None if worker.looked_at is None else now - worker.looked_at,
            idle_seconds_max=idle,
            listing_seconds=worker.listing_seconds,
            tables={
                name: self._table(table, running[name], now, idle)
                for name, table in worker.tables.items()
            },
            failures=self._recent(None),
        )

    def _table(
        self, table: Table, running: Iterable[tuple[str, str, Running]], now: float, idle: float
    ) -> TableReport:
        failures = self._recent(table.name)
        shards: list[LateShard] = []
        parts: list[LateShard] = []
        for stream_arn, shard_id, each in running:
            shown = _shard(stream_arn, shard_id, each, failures, now)
            (parts if is_segment_name(shard_id) else shards).append(shown)
        return TableReport(
            fingerprint=table.mapping.fingerprint,
            revision=table.revision,
            listed_seconds=None if table.listed_at is None else now - table.listed_at,
            read_seconds=max((shard.read_seconds for shard in shards), default=None),
            late=_late(shards, idle),
            failures=failures,
            late_parts=_late(parts, idle),
        )

    def _recent(self, table: str | None) -> dict[str, Failure]:
        now = self._clock.monotonic()
        return {
            task: Failure(said.what, now - at, said.remedy)
            for (source, task), (said, at) in self._failures.items()
            if source == table and now - at < FAILURE_SECONDS_MAX
        }


def _shard(
    stream_arn: str,
    shard_id: str,
    running: Running,
    failures: Mapping[str, Failure],
    now: float,
) -> LateShard:
    """Evidence of a shard, in seconds, with the failure of the call, or else of the whole task."""
    read_progress = running.runner.read_progress
    pending = read_progress.pending
    read_at = read_progress.begun_at if read_progress.read_at is None else read_progress.read_at
    said = read_progress.read_failure if pending is None else read_progress.apply_failure
    why = said or failures.get(f"shard {shard_id}")
    return LateShard(
        stream_arn,
        shard_id,
        read_seconds=now - read_at,
        pending_seconds=None if pending is None else now - pending.since,
        pending_at=None if pending is None else pending.created_at,
        failure=None if why is None else why.what,
        remedy=None if why is None else why.remedy,
        read_failed=read_progress.read_failure is not None,
    )


def _late(shards: Iterable[LateShard], idle_seconds_max: float) -> tuple[LateShard, ...]:
    late = [shard for shard in shards if _is_late(shard, idle_seconds_max)]
    late.sort(key=lambda shard: (-(shard.pending_seconds or 0.0), -shard.read_seconds))
    return tuple(late[:LATE_MAX])


def _is_late(shard: LateShard, idle_seconds_max: float) -> bool:
    pending = shard.pending_seconds
    if pending is not None and pending > PENDING_SECONDS:
        return True
    return shard.read_seconds > idle_seconds_max + READ_SECONDS
