"""`explain`: one item read on both sides, and everything that may stand between both."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from replicator.app.aws_client_cache import Clients
from replicator.app.compile_mappings import RequiredTable, require_tables
from replicator.app.prepare_tables import refuse_if_due
from replicator.app.sample_items import read_item
from replicator.clock import Clock, SourceClock, SystemClock
from replicator.config.connection_parameters import source_connection, target_connection
from replicator.config.settings import Settings
from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.mapping.item_keys import item_key_json
from replicator.core.status.table_verdict import WORKER_SECONDS
from replicator.core.stream_record import Image
from replicator.core.table_spec import SourceKey
from replicator.core.telemetry_events import unobserved
from replicator.core.verify.item_explanation import Circumstances, KnownVersion, PendingChange
from replicator.core.verify.row_diff import Difference, Expectation
from replicator.engine.snapshot.read_rate_limit import ReadPacing
from replicator.engine.verify.confirm_differences import CurrentItem, compare, item_of
from replicator.engine.verify.pending_changes import PendingChanges
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.control.worker_heartbeats import WorkerHeartbeats
from replicator.postgres.read.compare_target_rows import TargetRows
from replicator.postgres.read.facts_of_one_item import open_letters, row_of, version_of

STREAM_SECONDS_MAX = 30.0
READ_UNITS_PER_SECOND = 1000.0


@dataclass(frozen=True, slots=True)
class TargetExplanation:
    """One target: what must be there, what is there, and what the row guard knows."""

    target: TargetMapping
    expected: Expectation
    difference: Difference | None
    row: dict[str, Any] | None
    version: KnownVersion | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything known about one item, on both sides."""

    identity: str
    circumstances: Circumstances
    targets: tuple[TargetExplanation, ...]


async def explain(
    settings: Settings, name: str, keys_for: Callable[[SourceKey], Image]
) -> Explanation:
    """Read an item of the table by a key that is parsed with the table's key schema.

    SourceUnavailable, SinkUnavailable, ConfigurationError.
    """
    [table] = await require_tables(settings, [name])
    keys = keys_for(table.mapping.source_key)
    database = Database(
        target_connection(settings.target),
        deployment=settings.deployment,
        control_schema=settings.target.control_schema,
        pool_size=1,
    )
    clock = SourceClock(SystemClock())
    try:
        await refuse_if_due(database, settings, [table.mapping])
        async with AsyncExitStack() as stack:
            clients = Clients(stack, unobserved, heard=clock.heard)
            return await _Explainer(settings, database, clients, clock).explain(table, keys)
    finally:
        await database.close()


@dataclass(frozen=True, slots=True)
class _Explainer:
    settings: Settings
    database: Database
    clients: Clients
    clock: Clock

    async def explain(self, table: RequiredTable, keys: Image) -> Explanation:
        """Positions first, then the item, the rows, and the stream, so that the order tells."""
        mapping = table.mapping
        place = source_connection(self.settings.source_of(mapping.spec.name))
        unapplied = PendingChanges(
            mapping.spec.name,
            mapping.source_key,
            stream_arn=table.description.stream_arn,
            source=await self.clients.streams(place),
            positions=ShardStore(self.database),
            clock=self.clock,
        )
        marks = await unapplied.marks()
        pacing = ReadPacing(READ_UNITS_PER_SECOND, self.clock)
        identity = item_key_json(keys, mapping.source_key)
        image = await read_item(
            pacing.reader(await self.clients.items(place, mapping.spec.table)), keys
        )
        item = CurrentItem(identity, keys, None) if image is None else item_of(image, mapping)
        rows = TargetRows(self.database, mapping.spec.name)
        targets = [await self._target(rows, target, item) for target in mapping.targets]
        changes = await unapplied.changes(identity, marks, seconds_max=STREAM_SECONDS_MAX)
        positions, workers = ShardStore(self.database), WorkerHeartbeats(self.database)
        around = Circumstances(
            item.image,
            (await positions.tables()).get(mapping.spec.name),
            mapping.fingerprint,
            len(await workers.living(within_seconds=WORKER_SECONDS)),
            tuple(await open_letters(self.database, mapping.spec.name, identity)),
            None
            if changes is None
            else tuple(PendingChange(record.version, record.event) for record in changes),
        )
        return Explanation(identity, around, tuple(targets))

    async def _target(
        self, rows: TargetRows, target: TargetMapping, item: CurrentItem
    ) -> TargetExplanation:
        [look] = await compare(rows, target, [item])
        key = look.key
        row = None if key is None else await row_of(self.database, target, key)
        version = None if key is None else await version_of(self.database, target, key)
        return TargetExplanation(target, look.expected, look.difference, row, version)
