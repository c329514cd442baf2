"""Monitors a running worker: hands telemetry events on, publishes the status, judges readiness."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial

from replicator import __version__
from replicator.clock import Clock
from replicator.config.settings import HttpSettings
from replicator.core.status.assemble_status import overview
from replicator.core.status.attribute_drift import Drift
from replicator.core.status.deployment_problems import with_configured
from replicator.core.status.status_shard_pages import EndedShard, PageEnd
from replicator.core.telemetry_events import (
    BatchApplied,
    RecordRejected,
    TaskFailed,
    TelemetryEvent,
)
from replicator.engine.backoff import stopped_within
from replicator.engine.worker.worker import Worker
from replicator.engine.worker.worker_report_collector import WorkerReportCollector
from replicator.errors import CoordinationUnavailable, ReplicatorError
from replicator.monitoring.health_log import VerdictLog
from replicator.monitoring.http_server import Pages, serve
from replicator.monitoring.lag_history import History
from replicator.monitoring.latest_status import LatestStatus
from replicator.monitoring.liveness_and_readiness import Health
from replicator.monitoring.metrics import Metrics
from replicator.monitoring.telemetry_log import TelemetryLog
from replicator.postgres.connection.database import Database
from replicator.postgres.control.attribute_drift import write_drift
from replicator.postgres.control.status_reads import read_knowledge
from replicator.postgres.control.status_shards import read_ended
from replicator.postgres.control.worker_report_store import tell_report

TURN_SECONDS = 1.0
PUBLISH_SECONDS = 2.0
"""A dozen small statements of every worker: the answers are aged until the next ones."""
TELL_SECONDS = 4.0
"""Pause between two writes of a worker's report; a change for the worse is written at once."""
AGAIN_SECONDS = 1.0
"""While PostgreSQL does not answer, and the process is not ready."""
WATCHED_SECONDS_MAX = 300.0
"""Longer than the longest wait of a job between two attempts."""
SHARDS_A_SECOND = 1250
"""A status of so many shards more is read a second less often: it takes a worker 15 ms more."""
PUBLISH_SECONDS_MAX = 10.0
"""Less than the age from which a status proves no head any more."""
ANSWER_SECONDS_MAX = 2.0
"""Bound on the reading of shards for a request, and on the wait for one that is under way."""


def publish_seconds(shards: int) -> float:
    """Seconds between two readings of a status that is made of so many shards."""
    return min(PUBLISH_SECONDS_MAX, PUBLISH_SECONDS + shards // SHARDS_A_SECOND)


class WorkerMonitoring:
    """One process's numbers, lines and pages."""

    def __init__(self, clock: Clock, worker_id: str, configured: Collection[str]) -> None:
        self._clock = clock
        self._worker_id = worker_id
        self._configured = configured
        self._told_at = -TELL_SECONDS
        self._told_late: frozenset[tuple[str, str]] = frozenset()
        self.report_collector = WorkerReportCollector(clock)
        self.worker: Worker | None = None
        self.dead_letters = 0
        self.status = LatestStatus(clock)
        self.health = Health(clock.monotonic())
        self.history = History(clock)
        self.metrics = Metrics(self.status, leases_held=self._leases_held)
        self._drift = Drift()
        self._log = TelemetryLog(clock)
        self._verdicts = VerdictLog(clock)
        self._asking = asyncio.Lock()

    def observe(self, event: TelemetryEvent) -> None:
        """Hand a telemetry event on to all that show or count it."""
        self.metrics.observe(event)
        self.history.observe(event)
        self.health.observe(event)
        self._log.observe(event)
        self.report_collector.observe(event)
        if isinstance(event, BatchApplied):
            self._drift.add(event.table, event.unmapped, event.unmapped_types)
        if isinstance(event, RecordRejected):
            self.dead_letters += 1
        if isinstance(event, TaskFailed) and isinstance(event.error, CoordinationUnavailable):
            self.health.set_ready("coordination", ok=False, why=str(event.error))

    def pages(self, http: HttpSettings, database: Database) -> AbstractAsyncContextManager[int]:
        """The HTTP server; yields the port."""
        pages = Pages(
            self.metrics,
            self.health,
            self.history,
            self.status,
            self._clock,
            partial(self._ended_shards, database),
        )
        return serve(
            pages,
            host=http.host,
            port=http.port,
            allowed_hosts=http.allowed_hosts,
            runbook_url=http.runbook_url,
        )

    def beat(self, task: str) -> None:
        """A job of the worker turned."""
        self.health.progress(task, self._clock.monotonic())
        if task == "look":
            self.health.set_ready("coordination", ok=True)

    def watch(self, tasks: list[str]) -> None:
        """Jobs that must turn, or the process is not alive."""
        for task in tasks:
            self.health.watch(task, limit_seconds=WATCHED_SECONDS_MAX, now=self._clock.monotonic())

    async def turn(self, stopping: asyncio.Event) -> None:
        """Show that the loop turns, whatever PostgreSQL and AWS do."""
        while not await stopped_within(stopping, TURN_SECONDS):
            self.health.beat(self._clock.monotonic())
            self._log.tick()

    async def _ended_shards(
        self, database: Database, source: str, after: PageEnd | None, shards_max: int
    ) -> Sequence[EndedShard]:
        """Shards for one request, which holds one connection: work needs the others."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX), self._asking:
            return await read_ended(database, source, after, shards_max=shards_max)

    async def publish(self, database: Database, stopping: asyncio.Event) -> None:
        """Read the control schema every other second and show the result with facts of the
        process; less often where that is much to read."""
        due_at = self._clock.monotonic()
        while not stopping.is_set():
            pause = PUBLISH_SECONDS
            await self._tell(database)
            if self._clock.monotonic() >= due_at:
                try:
                    shards = await self._publish(database)
                except ReplicatorError as error:
                    self.health.set_ready("target", ok=False, why=str(error))
                    self.status.failed(str(error), error.remedy)
                    pause = AGAIN_SECONDS
                else:
                    self.health.set_ready("target", ok=True)
                    due_at = self._clock.monotonic() + publish_seconds(shards)
                    await self.write_drift(database)
            await stopped_within(stopping, pause)

    async def _publish(self, database: Database) -> int:
        """Show what the control schema says now; returns the number of shards that were read."""
        knowledge, now = await read_knowledge(database)
        status = with_configured(overview(knowledge, now=now), self._configured)
        self.status.publish(status)
        self.history.record(status)
        self._verdicts.tell(status)
        return len(knowledge.shards)

    async def write_drift(self, database: Database) -> None:
        """Write down which attributes nothing takes, or keep the names for the next attempt."""
        met = self._drift.take()
        if not met:
            return
        written = False
        try:
            await write_drift(database, met)
            written = True
        except ReplicatorError:
            pass  # whatever keeps PostgreSQL from it is told by whoever needs it more
        finally:
            if not written:
                self._drift.put_back(met)

    async def _tell(self, database: Database) -> None:
        """Write down what the worker has to show, when that is due or something came to stand."""
        if self.worker is not None and self.worker.left:
            return
        now, report = self._clock.monotonic(), self.report_collector.report(self.worker)
        late = frozenset(
            (shard.stream_arn, shard.shard_id)
            for table in report.tables.values()
            for shard in table.late
        )
        if late <= self._told_late and now - self._told_at < TELL_SECONDS:
            return
        first = self.worker is None or self.worker.looked_at is None
        with suppress(ReplicatorError):
            await tell_report(
                database,
                self._worker_id,
                report,
                self.history.last_minute(),
                first_of_version=__version__ if first else None,
            )
            self._told_at, self._told_late = now, late

    def close(self) -> None:
        """Write what was counted and not yet said."""
        self._log.close()

    def _leases_held(self) -> int:
        return 0 if self.worker is None else len(self.worker.holding.held)
