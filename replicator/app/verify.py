"""`verify`: compares tables with the targets, one after the other, and keeps the results."""

from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import SystemRandom
from typing import Protocol

from replicator.app.aws_client_cache import Clients
from replicator.app.compile_mappings import RequiredTable, require_tables
from replicator.app.prepare_tables import refuse_if_due
from replicator.app.refuse_unfit_targets import refuse_unfit
from replicator.app.verify_repair import Asked, repair
from replicator.clock import Clock, SourceClock, SystemClock
from replicator.config.connection_parameters import source_connection, target_connection
from replicator.config.settings import Settings
from replicator.core.telemetry_events import unobserved
from replicator.core.verify.results import TargetResult
from replicator.engine.snapshot.read_rate_limit import PacedItems, ReadPacing
from replicator.engine.verify.compare_table import Extent, TableComparison
from replicator.engine.verify.confirm_differences import DifferenceConfirmation
from replicator.engine.verify.pending_changes import PendingChanges
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.control.verification_results import keep_results
from replicator.postgres.read.compare_target_rows import TargetRows


class Watcher(Protocol):
    """Shows the progress of a comparison."""

    def begins(self, table: str, items_expected: int) -> None:
        """A table is next; the source counts the items every few hours only."""
        ...

    def moved(self, items: int) -> None:
        """Note that so many items more were checked."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """Scope of a comparison. `tables` None: all tables. `sample`: a share, None for everything.

    `repair`: the person who asks for the repair.
    """

    tables: Collection[str] | None = None
    sample: float | None = None
    read_units_per_second: float | None = None
    repair: Asked | None = None


@dataclass(frozen=True, slots=True)
class VerifyResults:
    """Results of a comparison, and the read units used."""

    results: tuple[TargetResult, ...]
    read_units: float


async def verify(settings: Settings, wanted: Request, watcher: Watcher) -> VerifyResults:
    """Compare tables with the targets.

    SourceUnavailable or SinkUnavailable when a server is away; ConfigurationError when `migrate` is
    due, or a table cannot be read.
    """
    tables = await require_tables(settings, wanted.tables)
    database = Database(
        target_connection(settings.target),
        deployment=settings.deployment,
        control_schema=settings.target.control_schema,
        pool_size=settings.target.pool_size,
    )
    clock = SourceClock(SystemClock())
    rate = wanted.read_units_per_second or settings.snapshot.read_units_per_second
    pacing = ReadPacing(rate, clock)
    try:
        found = await refuse_if_due(database, settings, [table.mapping for table in tables])
        if wanted.repair is not None:
            refuse_unfit(found)
        async with AsyncExitStack() as stack:
            clients = Clients(stack, unobserved, heard=clock.heard)
            verifier = _Verifier(settings, wanted, database, clients, clock, pacing)
            results: list[TargetResult] = []
            for table in tables:
                results += await verifier.verify(table, watcher)
    finally:
        await database.close()
    return VerifyResults(tuple(results), pacing.read_units)


@dataclass(frozen=True, slots=True)
class _Verifier:
    settings: Settings
    wanted: Request
    database: Database
    clients: Clients
    clock: Clock
    pacing: ReadPacing

    async def verify(self, table: RequiredTable, watcher: Watcher) -> list[TargetResult]:
        name, count = table.mapping.spec.name, table.description.item_count
        watcher.begins(name, round(count * (self.wanted.sample or 1.0)))
        started_at, units = self.clock.now(), self.pacing.read_units
        items = self.pacing.reader(
            await self.clients.items(
                source_connection(self.settings.source_of(name)), table.mapping.spec.table
            )
        )
        comparison = await self._comparison(table, items, watcher.moved)
        results = await comparison.run()
        faulty = comparison.proved
        if self.wanted.repair is not None and faulty:
            await repair(
                self.database,
                table.mapping,
                items,
                faulty,
                self.wanted.repair,
                observe=unobserved,
                clock=self.clock,
            )
            results = await comparison.look_again(faulty)
        await keep_results(
            self.database,
            name,
            results,
            started_at=started_at,
            sample=self.wanted.sample,
            read_units=self.pacing.read_units - units,
        )
        return results

    async def _comparison(
        self, table: RequiredTable, items: PacedItems, progress: Callable[[int], None]
    ) -> TableComparison:
        mapping, description = table.mapping, table.description
        place = source_connection(self.settings.source_of(mapping.spec.name))
        rows = TargetRows(self.database, mapping.spec.name)
        unapplied = PendingChanges(
            mapping.spec.name,
            mapping.source_key,
            stream_arn=description.stream_arn,
            source=await self.clients.streams(place),
            positions=ShardStore(self.database),
            clock=self.clock,
        )
        return TableComparison(
            mapping,
            Extent(description.item_count, self.wanted.sample),
            items=items,
            rows=rows,
            settling=DifferenceConfirmation(mapping, items=items, rows=rows, unapplied=unapplied),
            random=SystemRandom(),
            progress=progress,
        )
