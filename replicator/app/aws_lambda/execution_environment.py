"""One execution environment of AWS Lambda: a loop, a small pool, and the tables to apply."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import timedelta

from replicator.app.aws_lambda.apply_batches import BatchApplier
from replicator.app.aws_lambda.table_of_stream import entry_of, mapping_of, published_of
from replicator.app.refuse_unfit_targets import require_fit
from replicator.clock import Clock
from replicator.config.settings import Settings
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.telemetry_events import TelemetryEvent
from replicator.errors import ReplicatorError
from replicator.monitoring.cloudwatch_emf import EmbeddedMetrics
from replicator.monitoring.telemetry_log import TelemetryLog
from replicator.postgres.connection.database import Database
from replicator.postgres.control.pruning import Pruning
from replicator.postgres.write.lambda_writer import RegisteredTable, source_tables
from replicator.sources.lambda_events.event import StreamBatch, batches_of

ANSWER_SECONDS = 0.5
"""Time kept back of what Lambda gives, so that the answer leaves before the environment is
killed."""
SHARE_OF_ONE_ATTEMPT = 0.4
"""Share of the remaining time that one statement may take; beyond that, half of the batch is
tried."""
IDLE_MAX = timedelta(minutes=4)
"""Idle time after which connections are replaced: network devices drop idle connections
silently.
"""
PRUNE_SECONDS = 60.0
PRUNE_SECONDS_LEFT_MIN = 5.0

BatchResponse = dict[str, list[dict[str, str]]]


class ExecutionEnvironment:
    """Applies the events of one configuration; made once, used until the environment ends."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        clock: Clock,
        write: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._write = write
        self._metrics = EmbeddedMetrics(settings.deployment, clock)
        self._log = TelemetryLog(clock)
        self._loop = asyncio.new_event_loop()
        self._tables: dict[str, BatchApplier] = {}
        self._entries: dict[str, str] = {}
        self._published = published_of(settings)
        self._pruning = Pruning(database, retention_hours=settings.guard.retention_hours)
        self._page = 0
        self._pruned_at = clock.monotonic()
        self._deadline = 0.0
        self._used_at = clock.now()
        database.bound(self._seconds_for_a_statement)

    def handle(self, event: object, *, seconds_left: float) -> BatchResponse:
        """Apply an event and say which records are to be delivered again, if any.

        Raises when nothing was applied of a table: Lambda delivers the whole event again then,
        after the other tables of a shared stream were applied.
        """
        self._deadline = self._clock.monotonic() + max(0.1, seconds_left - ANSWER_SECONDS)
        try:
            return self._loop.run_until_complete(self._handle(batches_of(event, self._published)))
        finally:
            for line in self._metrics.lines():
                self._write(line)

    def close(self) -> None:
        """Close what is open, for tests; an environment is just ended."""
        self._log.close()
        self._loop.run_until_complete(self._database.close())
        self._loop.close()

    async def _handle(self, batches: Sequence[StreamBatch]) -> BatchResponse:
        now = self._clock.now()
        if now - self._used_at > IDLE_MAX:
            await self._database.discard()
        self._used_at = now
        failures: list[dict[str, str]] = []
        failure: ReplicatorError | None = None
        for batch in batches:
            started = self._clock.monotonic()
            try:
                left = await self._delivered(batch)
            except ReplicatorError as error:
                failure = failure or error
                if self._seconds_left() <= 0:
                    break
                continue  # tables that share a stream do not wait for each other
            if left:
                failures.append({"itemIdentifier": left[0]})
            name = await self._entry_of(batch)
            self._metrics.invocation(name, self._clock.monotonic() - started)
        if failure is not None:
            raise failure
        # numbers of two streams cannot be compared; of one stream the lowest counts
        if failures and len({each.event_source_arn for each in batches}) > 1:
            message = "a part of an event of several streams could not be applied"
            raise ReplicatorError(message)
        await self._prune_at_times()
        return {"batchItemFailures": failures}

    async def _delivered(self, batch: StreamBatch) -> Sequence[str]:
        """Apply a batch; the identifiers of the records that are left."""
        delivering = await self._delivering(batch)
        return await delivering.deliver(batch, seconds_left=self._seconds_left)

    async def _delivering(self, batch: StreamBatch) -> BatchApplier:
        name = await self._entry_of(batch)
        if name not in self._tables:
            self._tables[name] = BatchApplier(
                await self._mapping(name),
                self._database,
                observe=self._observe,
                count_dead_letters=self._metrics.dead_letters,
                clock=self._clock,
            )
        return self._tables[name]

    async def _mapping(self, name: str) -> TableMapping:
        mapping = mapping_of(self._settings, await self._registered(), name)
        await require_fit(self._database, [mapping])
        return mapping

    async def _registered(self) -> dict[str, RegisteredTable]:
        try:
            return await source_tables(self._database)
        except ReplicatorError:
            await self._database.discard()
            return await source_tables(self._database)

    async def _entry_of(self, batch: StreamBatch) -> str:
        arn = batch.table_arn
        if arn not in self._entries:
            tables = await self._registered()
            self._entries[arn] = entry_of(self._settings, tables, batch.stream_arn)
        return self._entries[arn]

    async def _prune_at_times(self) -> None:
        """A few pages of old versions, when there is time; a failure is ignored."""
        now = self._clock.monotonic()
        due = now - self._pruned_at > PRUNE_SECONDS
        if not due or self._seconds_left() < PRUNE_SECONDS_LEFT_MIN:
            return
        self._pruned_at = now
        try:
            if self._page == 0:  # many environments prune one table: each begins somewhere
                self._page = random.randrange(await self._pruning.pages() + 1)  # noqa: S311
            self._page = (await self._pruning.step(self._page)).next_page
        except ReplicatorError:
            await self._database.discard()

    def _observe(self, event: TelemetryEvent) -> None:
        self._metrics.observe(event)
        self._log.observe(event)

    def _seconds_for_a_statement(self) -> float:
        return max(0.05, self._seconds_left() * SHARE_OF_ONE_ATTEMPT)

    def _seconds_left(self) -> float:
        return self._deadline - self._clock.monotonic()
