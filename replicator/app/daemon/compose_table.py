"""Composes the parts that a worker needs for one source table."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from replicator.app.aws_client_cache import Clients
from replicator.aws.source_connection import SourceConnection, kinesis_place
from replicator.clock import Clock
from replicator.config.connection_parameters import (
    export_connection,
    export_destination,
    table_connection,
)
from replicator.config.settings import Settings
from replicator.coordination.dynamodb_leases import DynamoDBLeases
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.mapping.item_keys import require_key
from replicator.core.snapshot.export_windows import Recovery
from replicator.core.stream.batch_size import BatchSize
from replicator.core.stream.source_kind import share_of, share_of_creation
from replicator.core.stream.stream_generations import label_time
from replicator.core.stream.table_and_shard_facts import ToldByStream
from replicator.core.table_spec import TableSpec
from replicator.core.telemetry_events import Observe
from replicator.engine.ports import Source
from replicator.engine.snapshot.plan_and_apply_page import PagePipeline
from replicator.engine.snapshot.read_rate_limit import ReadPacing
from replicator.engine.snapshot.segment_load import SnapshotParts
from replicator.engine.snapshot.snapshot_lifecycle import SnapshotLifecycle
from replicator.engine.stream.page_budget import PageBudget
from replicator.engine.stream.plan_and_apply_batch import BatchPipeline
from replicator.engine.stream.shard_discovery import NewestStream, ShardDiscovery
from replicator.engine.worker.table_runtime_state import Table
from replicator.errors import NotPublished, ReplicatorError, SourceUnavailable, StreamVanished
from replicator.monitoring.tracing import Tracing
from replicator.postgres.connection.database import Database
from replicator.postgres.control.snapshot.exports import ExportRecords
from replicator.postgres.control.snapshot.segment_claims import Segments
from replicator.postgres.control.snapshot.snapshots import Snapshots
from replicator.postgres.control.source_switch import SourceSwitch
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.stream.generations import Shares
from replicator.postgres.control.stream.stream_retention import StreamRetention
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.read.find_stale_rows import StaleRows
from replicator.postgres.write.plan_writer import PostgresSink, SegmentSink
from replicator.sources.dynamodb.describe_table import (
    TableDescription,
    describe_table,
    require_fit_stream,
)
from replicator.sources.dynamodb.s3_exports import TableExports
from replicator.sources.kinesis.destination import require_active_destination
from replicator.sources.kinesis.streams import KinesisShare

PAGES_OF_A_CONNECTION = 2
"""The batch that is written, and the next one, planned meanwhile."""


class TableParts:
    """Makes the tables of one worker."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clients: Clients,
        leases: DynamoDBLeases,
        pacing: ReadPacing,
        *,
        worker_id: str,
        observe: Observe,
        clock: Clock,
        tracing: Tracing,
    ) -> None:
        self._settings = settings
        self._database = database
        self._clients = clients
        self._leases = leases
        self._pacing = pacing
        self._worker_id = worker_id
        self._observe = observe
        self._clock = clock
        self._tracing = tracing
        self._pages = PageBudget(settings.poll.pages_max)

    async def table(self, mapping: TableMapping) -> Table:
        """Compose all parts of one table."""
        spec = mapping.spec
        place = table_connection(self._settings, spec.name)
        own = await self._source(spec, place)
        source = self._tracing.source(own, table=spec.name)
        sink = self._tracing.sink(PostgresSink(self._database, mapping), table=spec.name)
        observe, clock = self._observe, self._clock
        return Table(
            spec.name,
            mapping,
            source,
            ShardDiscovery(
                spec,
                describe_stream=partial(
                    _describe_share,
                    partial(_published, self._clients, place, mapping, own),
                    mapping,
                    Shares(self._database),
                    clock,
                )
                if isinstance(own, KinesisShare)
                else partial(_describe_stream, self._clients, place, mapping),
                source=source,
                positions=ShardStore(self._database),
                gaps_and_halts=GapsAndHalts(self._database),
                moves=SourceSwitch(self._database),
                leases=self._leases,
                observe=observe,
                clock=clock,
                note_stream=partial(_note_stream, own, self._database, spec.name)
                if isinstance(own, KinesisShare)
                else None,
            ),
            BatchPipeline(spec.name, mapping, sink, observe, clock, size=self._batch_size()),
            SnapshotLifecycle(
                mapping,
                Snapshots(self._database),
                segments=self._settings.snapshot.segments,
                count_items=partial(_count_items, self._clients, place, spec.table),
                recovery=partial(_recovery, self._exports(spec)),
                observe=observe,
                clock=clock,
            ),
            await self._snapshot_parts(mapping, place, own),
            self._pages.room(PAGES_OF_A_CONNECTION * self._settings.target.pool_size),
        )

    async def _source(self, spec: TableSpec, place: SourceConnection) -> Source:
        """Source of the table's changes."""
        if spec.kinesis is None:
            return await self._clients.streams(place)
        streams = await self._clients.kinesis(kinesis_place(spec.kinesis, place))
        table = spec.table.rpartition("/")[2]
        return KinesisShare(streams, table=table, base64=spec.kinesis_base64)

    def _exports(self, spec: TableSpec) -> Callable[[], Awaitable[TableExports]]:
        place = export_connection(self._settings, spec.name)
        return partial(self._clients.exports, place, export_destination(self._settings), spec.table)

    def _batch_size(self) -> BatchSize:
        batch = self._settings.batch
        return BatchSize(
            batch.records_max,
            records_max=batch.records_max,
            target_seconds=batch.transaction_seconds,
        )

    async def _snapshot_parts(
        self, mapping: TableMapping, place: SourceConnection, source: Source
    ) -> SnapshotParts:
        spec = mapping.spec
        items = await self._clients.items(place, spec.table)
        sink = SegmentSink(self._database, mapping)
        return SnapshotParts(
            spec.name,
            mapping,
            claims=Segments(self._database, self._worker_id),
            snapshots=Snapshots(self._database),
            gaps_and_halts=GapsAndHalts(self._database),
            items=self._pacing.reader(items),
            pages=PagePipeline(spec.name, mapping, sink, self._observe, self._clock),
            exports=self._exports(spec),
            export_records=ExportRecords(self._database),
            stale_rows=StaleRows(self._database, mapping),
            look_at_table=partial(
                _fit_to_load,
                self._database,
                partial(_published, self._clients, place, mapping, source),
                mapping,
            )
            if isinstance(source, KinesisShare)
            else partial(_described, self._clients, place, mapping),
            observe=self._observe,
            clock=self._clock,
        )


async def _described(
    clients: Clients, place: SourceConnection, mapping: TableMapping
) -> TableDescription:
    """The table as described now, with the mapping's key; KeyChanged."""
    description = await describe_table(await clients.tables(place), mapping.spec.table)
    require_key(mapping.spec.name, description.key, mapping.source_key)
    return description


@dataclass(frozen=True, slots=True)
class _Published:
    """A table all of whose changes reach its Kinesis stream now. `share`: as a stream has it that
    was never created again. `told`: by the stream.
    """

    description: TableDescription
    share: str
    told: ToldByStream


LookAtPublished = Callable[[], Awaitable[_Published]]
"""Describes the table, its destination and its stream; KeyChanged, NotPublished."""


async def _published(
    clients: Clients, place: SourceConnection, mapping: TableMapping, source: KinesisShare
) -> _Published:
    description = await _described(clients, place, mapping)
    kinesis_arn = mapping.spec.kinesis or ""
    client = await clients.tables(place)
    await require_active_destination(client, description.name, kinesis_arn)
    share = share_of(kinesis_arn, description.name)
    try:
        told = await source.described(share)
    except StreamVanished as error:  # the destination does not tell
        message = f"the Kinesis stream {kinesis_arn} does not exist"
        remedy = "create it, then enable the table's destination once more"
        raise NotPublished(message, remedy=remedy) from error
    return _Published(description, share, told)


async def _fit_to_load(database: Database, look: LookAtPublished, mapping: TableMapping) -> None:
    """Note that the table publishes its changes before anything is loaded: if it stops again, that
    is another gap. KeyChanged, NotPublished.
    """
    share = (await look()).share
    seen = await Shares(database).seen(mapping.spec.name, share)
    await GapsAndHalts(database).end_break(mapping.spec.name, share if seen is None else seen.name)


async def _describe_share(
    look: LookAtPublished,
    mapping: TableMapping,
    shares: Shares,
    clock: Clock,
) -> NewestStream:
    """The table's share of its Kinesis stream. It has no label that tells a time: it begins now, or
    with a stream that was created since the one of that name was first seen. NotPublished.
    """
    published = await look()
    share, told, created_at = published.share, published.told, published.description.created_at
    seen = await shares.seen(mapping.spec.name, share)
    if seen is not None and not seen.is_of(told.created_at):
        again = share_of_creation(share, told.created_at)
        return NewestStream(again, told.created_at, created_at, told)
    began_at = clock.now() if created_at is None else max(clock.now(), created_at)
    return NewestStream(share if seen is None else seen.name, began_at, created_at, told)


async def _note_stream(
    source: KinesisShare,
    database: Database,
    table: str,
    stream_arn: str,
    told: ToldByStream | None,
) -> None:
    """Note for how long a Kinesis stream keeps its records now, and when it was created."""
    if told is not None:
        await Shares(database).note_creation(table, stream_arn, told.created_at)
    now = told or await source.described(stream_arn)
    await StreamRetention(database).keep(table, stream_arn, now.retention)


async def _describe_stream(
    clients: Clients, place: SourceConnection, mapping: TableMapping
) -> NewestStream:
    arn = require_fit_stream(await _described(clients, place, mapping))
    try:
        return NewestStream(arn, label_time(arn))
    except ValueError as error:
        message = f"the label of the stream {arn} is not a time, which orders a table's streams"
        raise SourceUnavailable(message, remedy="check endpoint_url") from error


async def _recovery(exports: Callable[[], Awaitable[TableExports]]) -> Recovery | None:
    """Times that the table can be exported of; None: point-in-time recovery is off."""
    return await (await exports()).recovery()


async def _count_items(clients: Clients, place: SourceConnection, table: str) -> int | None:
    """The item count that DynamoDB reports, an estimate of up to six hours ago; None while the
    call fails.
    """
    try:
        return (await describe_table(await clients.tables(place), table)).item_count
    except ReplicatorError:
        return None
