"""`run`: prepares, works until asked to stop or caught up, drains, and returns the end."""

import asyncio
import signal
import socket
import uuid
from collections.abc import Callable, Coroutine, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from replicator import __version__
from replicator.app.aws_client_cache import Clients
from replicator.app.daemon.auto_column_watch import AutoColumns
from replicator.app.daemon.compose_table import TableParts
from replicator.app.daemon.deliver_notices import Notifications
from replicator.app.daemon.gc_tuning import settle
from replicator.app.daemon.long_failing_tables import LongFailingTables
from replicator.app.daemon.recheck_unfit_tables import RECHECK_SECONDS as LEFT_OUT_SECONDS
from replicator.app.daemon.recheck_unfit_tables import UnfitTables
from replicator.app.daemon.target_fitness_watch import TargetWatch
from replicator.app.daemon.worker_monitoring import WorkerMonitoring
from replicator.app.prepare_tables import Prepared, describe_all, fit_ones, require_some
from replicator.clock import SourceClock, SystemClock
from replicator.config.connection_parameters import source_connection, target_connection
from replicator.config.settings import Settings
from replicator.coordination.dynamodb_leases import DynamoDBLeases
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.telemetry_events import TaskFailed, TelemetryEvent
from replicator.engine.backoff import Backoff, stopped_within
from replicator.engine.ports import ControlPorts
from replicator.engine.snapshot.read_rate_limit import ReadPacing
from replicator.engine.task_groups import one_failure, unless_stopped
from replicator.engine.worker.refresh_and_advance_tables import TableAdvancer
from replicator.engine.worker.supervisor import Job, Reporting, supervise
from replicator.engine.worker.table_runtime_state import Table, WorkerSettings
from replicator.engine.worker.worker import Worker
from replicator.errors import Disposition, MigrationDue, ReplicatorError
from replicator.monitoring.log_output import logger
from replicator.monitoring.tracing import tracing
from replicator.postgres.connection.database import Database
from replicator.postgres.control.pruning import Housekeeping
from replicator.postgres.control.snapshot.snapshots import Snapshots
from replicator.postgres.control.stream.describe_stream_turns import DescribeStreamTurns
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.control.stream.shard_listing_turns import ListingTurns
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.control.worker_heartbeats import WorkerHeartbeats

LAST_LOOK_SECONDS_MAX = 1.0
CAUGHT_UP_LOOK_SECONDS = 0.2
BATCH_MODE_IDLE_SECONDS = 0.2
GIVEN_UP_SECONDS = 20.0
"""A run that is to end waits so long for a table that nothing but failures is heard of."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a run. `stopped`: tables that are stopped or have a source that does not
    answer."""

    stopped: tuple[str, ...]
    new_dead_letters: int


async def run(settings: Settings, *, until_caught_up: bool = False) -> Ended:
    """Replicate until SIGTERM or SIGINT, or until everything in the streams now is applied.

    ConfigurationError before anything was started; an unreachable server is waited for.
    """
    stopping = asyncio.Event()
    _stop_on_signals(stopping)
    daemon = Daemon(settings, until_caught_up=until_caught_up)
    return await daemon.run(stopping)


class Daemon:
    """One process: the monitoring, the clients, the worker."""

    def __init__(self, settings: Settings, *, until_caught_up: bool) -> None:
        self._settings = settings
        self._until_caught_up = until_caught_up
        self._clock = SourceClock(SystemClock())
        self._worker_id = f"{socket.gethostname()[:20]}-{uuid.uuid4().hex[:12]}"
        self._monitoring = WorkerMonitoring(self._clock, self._worker_id, settings.tables)
        self._tracing = tracing(
            settings.tracing.endpoint,
            sample_ratio=settings.tracing.sample_ratio,
            deployment=settings.deployment,
            worker_id=self._worker_id,
        )
        self._log = logger(worker=self._worker_id, deployment=settings.deployment)
        self._database = Database(
            target_connection(settings.target),
            deployment=settings.deployment,
            control_schema=settings.target.control_schema,
            pool_size=settings.target.pool_size,
            worker_id=self._worker_id,
        )
        self._auto_columns = AutoColumns(settings, self._database)
        self._failures = LongFailingTables(self._clock)
        self._begun = False
        """True after the first round of work, also while work restarts with another mapping."""
        self._given_up: Set[str] = frozenset()
        """Tables that were not waited for any longer when everything else was applied."""

    async def run(self, stopping: asyncio.Event) -> Ended:
        """Serve pages from the first moment, work when everything is there."""
        http = self._settings.http
        try:
            async with (
                AsyncExitStack() as stack,
                self._monitoring.pages(http, self._database) as port,
            ):
                self._log.info("started", version=__version__, http=f"{http.host}:{port}")
                clients = Clients(
                    stack,
                    self._observe,
                    heard=self._clock.heard,
                    take_turn=DescribeStreamTurns(self._database).take,
                )
                return await self._watched(clients, stopping)
        finally:
            self._monitoring.close()
            await self._database.close()
            await self._tracing.close()
            self._log.info("ended")

    def _observe(self, event: TelemetryEvent) -> None:
        self._failures.observe(event)
        self._monitoring.observe(event)
        self._auto_columns.observe(event)

    async def _watched(self, clients: Clients, stopping: asyncio.Event) -> Ended:
        started_at = self._clock.now()
        finished = asyncio.Event()
        ended = Ended((), 0)
        async with one_failure() as tasks:
            tasks.create_task(self._monitoring.turn(finished), name="turn")
            publishing = tasks.create_task(
                self._monitoring.publish(self._database, finished), name="publish"
            )
            while (turn := await self._turn(clients, stopping, started_at)) is not None:
                ended, anew = turn
                if not anew:
                    break
            finished.set()
            publishing.cancel()  # it may be waiting for a server that does not answer
        return ended

    async def _turn(
        self, clients: Clients, stopping: asyncio.Event, started_at: datetime
    ) -> tuple[Ended, bool] | None:
        """Work with the current mappings; True: the mappings have changed. None: asked to stop."""
        left_out = UnfitTables(self._settings, clients, self._database, self._observe)
        prepared = await unless_stopped(stopping, self._prepare(clients, left_out, stopping))
        if prepared is None:
            return None
        self._begun = True
        over, anew = asyncio.Event(), asyncio.Event()
        async with one_failure() as tasks:
            watching = tasks.create_task(_set_after(stopping.wait(), over), name="stop")
            ended = await self._work(
                prepared, left_out, clients, stopping=over, anew=anew, started_at=started_at
            )
            watching.cancel()
        if self._until_caught_up:
            await self._auto_columns.settle(prepared.mappings)
        return ended, anew.is_set() and not stopping.is_set()

    async def _prepare(
        self, clients: Clients, left_out: UnfitTables, stopping: asyncio.Event
    ) -> Prepared | None:
        """Prepare for work, waiting for servers that are away; None when asked to stop."""
        backoff = Backoff(base=0.5, cap=10.0)
        while not stopping.is_set():
            try:
                return await self._prepare_once(clients, left_out)
            except ReplicatorError as error:
                racing = self._begun and isinstance(error, MigrationDue)  # columns are being added
                if error.disposition is Disposition.REFUSE and not racing:
                    raise
                seconds = backoff.next_seconds()
                self._monitoring.health.set_ready("target", ok=False, why=str(error))
                self._observe(TaskFailed("prepare", None, error, seconds))
                await stopped_within(stopping, seconds)
        return None

    async def _prepare_once(self, clients: Clients, left_out: UnfitTables) -> Prepared:
        described = require_some(await describe_all(self._settings, clients, self._database))
        prepared = require_some(await fit_ones(self._database, self._settings, described))
        await left_out.begin(prepared)
        self._monitoring.health.set_ready("configuration", ok=True)
        return prepared

    async def _fit(self, mapping: TableMapping) -> bool | None:
        """True where the targets fit the mapping; None while another is being registered."""
        try:
            found = await fit_ones(self._database, self._settings, Prepared((mapping,), {}))
        except MigrationDue:
            return None
        return bool(found.mappings)

    async def _work(
        self,
        prepared: Prepared,
        left_out: UnfitTables,
        clients: Clients,
        *,
        stopping: asyncio.Event,
        anew: asyncio.Event,
        started_at: datetime,
    ) -> Ended:
        leases = await self._leases(clients)
        pacing = ReadPacing(self._settings.snapshot.read_units_per_second, self._clock)
        parts = TableParts(
            self._settings,
            self._database,
            clients,
            leases,
            pacing,
            worker_id=self._worker_id,
            observe=self._observe,
            clock=self._clock,
            tracing=self._tracing,
        )
        tables = [await parts.table(mapping) for mapping in prepared.mappings]
        worker = self._worker(tables, leases, pacing)
        self._monitoring.worker = worker
        self._monitoring.watch(["look", "renew", "tell"])
        settle()
        async with one_failure() as tasks:
            if self._until_caught_up:
                tasks.create_task(
                    self._stop_when_caught_up(worker, left_out, started_at, stopping),
                    name="catch up",
                )

            async def take_up() -> bool:
                for mapping in await left_out.recheck():
                    worker.take_up(await parts.table(mapping))
                return await stopped_within(stopping, LEFT_OUT_SECONDS) or not left_out.reasons

            async def replace(mapping: TableMapping) -> None:
                """Work on the table with the mapping that has the columns; all begins again where
                the run is to end, or the target does not fit any more."""
                fit = await self._fit(mapping)
                if self._until_caught_up or fit is False:
                    anew.set()
                    stopping.set()
                elif fit:
                    worker.take_up(await parts.table(mapping))

            following = tasks.create_task(
                self._auto_columns.follow(
                    lambda: [table.mapping for table in worker.tables.values()], replace, stopping
                ),
                name="auto columns",
            )
            self._keep_house(worker, tasks, stopping, take_up if left_out.reasons else None)
            await unless_stopped(stopping, self._ensure_lease_table(leases, stopping))
            await worker.run(stopping)
            following.cancel()
        return await self._ended(worker, left_out)

    def _keep_house(
        self,
        worker: Worker,
        tasks: asyncio.TaskGroup,
        stopping: asyncio.Event,
        take_up: Callable[[], Coroutine[Any, Any, bool]] | None,
    ) -> None:
        hours = self._settings.guard.retention_hours
        house = Housekeeping(self._database, retention_hours=hours)
        jobs = [
            Job("leave guard", None, partial(house.leave, stopping)),
            Job("prune versions", None, partial(house.prune, stopping)),
            Job("survey", None, partial(self._target_watch(worker).survey, stopping)),
        ]
        if self._settings.notifications.wanted:
            jobs.append(Job("notify", None, partial(self._notifications().tell, stopping)))
        if take_up is not None:
            jobs.append(Job("take up", None, take_up))
        for job in jobs:
            supervised = supervise(
                job,
                stopping,
                observe=self._observe,
                clock=self._clock,
                beat=self._monitoring.beat,
            )
            tasks.create_task(unless_stopped(stopping, supervised), name=job.name)

    def _target_watch(self, worker: Worker) -> TargetWatch:
        every = self._settings.poll.discover_seconds
        return TargetWatch(worker, self._database, self._clock, every_seconds=every)

    def _notifications(self) -> Notifications:
        return Notifications(
            self._settings.notifications, self._database, self._monitoring.status, self._clock
        )

    async def _leases(self, clients: Clients) -> DynamoDBLeases:
        coordination = self._settings.coordination
        place = source_connection(self._settings.coordination_source())
        leases = DynamoDBLeases(
            await clients.tables(place),
            self._observe,
            table=coordination.table,
            deployment=self._settings.deployment,
            worker_id=self._worker_id,
        )
        return self._tracing.leases(leases)

    async def _ensure_lease_table(self, leases: DynamoDBLeases, stopping: asyncio.Event) -> None:
        backoff = Backoff(base=0.5, cap=10.0)
        while not stopping.is_set():
            try:
                await leases.ensure_table()
            except ReplicatorError as error:
                if error.disposition is Disposition.REFUSE:
                    raise
                seconds = backoff.next_seconds()
                self._observe(TaskFailed("lease table", None, error, seconds))
                await stopped_within(stopping, seconds)
            else:
                return

    def _worker(self, tables: list[Table], leases: DynamoDBLeases, pacing: ReadPacing) -> Worker:
        settings = self._settings
        idle = settings.poll.idle_seconds_max
        return Worker(
            WorkerSettings(
                worker_id=self._worker_id,
                version=__version__,
                lease_seconds=settings.coordination.lease_seconds,
                idle_seconds_max=min(idle, BATCH_MODE_IDLE_SECONDS)
                if self._until_caught_up
                else idle,
                discover_seconds=settings.poll.discover_seconds,
            ),
            tables,
            control=ControlPorts(
                Claims(self._database, self._worker_id),
                ShardStore(self._database),
                ListingTurns(self._database, self._worker_id),
                GapsAndHalts(self._database),
                WorkerHeartbeats(self._database),
            ),
            table_advancer=self._table_advancer(),
            pacing=pacing,
            leases=leases,
            reporting=Reporting(
                self._observe, self._monitoring.beat, self._monitoring.health.unrecoverable
            ),
            clock=self._clock,
        )

    def _table_advancer(self) -> TableAdvancer:
        return TableAdvancer(
            ShardStore(self._database),
            GapsAndHalts(self._database),
            Snapshots(self._database),
            self._clock,
        )

    async def _stop_when_caught_up(
        self, worker: Worker, left_out: UnfitTables, started_at: datetime, stopping: asyncio.Event
    ) -> None:
        """Stop when nothing more is to come of any table: each is applied, stopped, or given up."""
        while not await stopped_within(stopping, CAUGHT_UP_LOOK_SECONDS):
            awaited = await worker.behind(started_at) | left_out.reasons.keys()
            if not awaited - left_out.stopped - self._failures.longer_than(GIVEN_UP_SECONDS):
                self._given_up = awaited
                stopping.set()

    async def _ended(self, worker: Worker, left_out: UnfitTables) -> Ended:
        """The tables that are stopped at the end, as far as PostgreSQL still answers."""
        try:
            async with asyncio.timeout(LAST_LOOK_SECONDS_MAX):
                facts = await ShardStore(self._database).tables()
                snapshots = await Snapshots(self._database).facts()
                await self._monitoring.write_drift(self._database)
        except (ReplicatorError, TimeoutError):
            return Ended(tuple(sorted(left_out.stopped | self._given_up)), 0)
        waiting = {
            name for name, known in snapshots.items() if any(s.state == "refused" for s in known)
        }
        stopped = {
            name
            for name, table in worker.tables.items()
            if (known := facts.get(name)) is None
            or known.halted
            or known.gaps
            or (known.paused and self._until_caught_up)
            or (
                known.mapping_fingerprint != table.mapping.fingerprint
                and not _follows_columns(table.mapping)
            )
            or name in waiting
        }
        stopped |= left_out.stopped | self._given_up
        return Ended(tuple(sorted(stopped)), self._monitoring.dead_letters)


def _follows_columns(mapping: TableMapping) -> bool:
    """True where another worker may have added a column a moment ago: no person must act."""
    return any(target.spec.auto for target in mapping.targets)


async def _set_after(waiting: Coroutine[Any, Any, Any], event: asyncio.Event) -> None:
    await waiting
    event.set()


def _stop_on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
