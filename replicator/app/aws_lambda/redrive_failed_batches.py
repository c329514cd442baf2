"""Applies batches that AWS Lambda gave up, from the failure destination.

A batch may come late, again, and in any order: it is written through the row guard, as Lambda's
own, so that nothing older goes over a newer row. Three things the guard cannot know are refused or
left out here. Versions are pruned after `guard.retention_hours`, so older records are refused.
Records that a finished snapshot has read are left out: the scan has no sequence numbers, so that
the guard would write them over newer values. While a snapshot runs nothing is given back.

Of a batch that is only a place in the shard every record is read before one is written. What
cannot be given back any more is a gap of the table and is put on record as one: `certain` where
the stream has dropped records, `possible` where nobody knows whether the rows are newer.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from replicator.app.administration.open_control_schema import control_database
from replicator.app.aws_client_cache import Clients
from replicator.app.aws_lambda.apply_batches import BatchApplier
from replicator.app.aws_lambda.table_of_stream import entry_of, mapping_of
from replicator.app.refuse_unfit_targets import require_fit
from replicator.clock import Clock, SystemClock
from replicator.config.connection_parameters import source_connection
from replicator.config.settings import Settings
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.stream.stream_generations import generation
from replicator.core.stream_record import StreamRecord
from replicator.core.telemetry_events import BatchApplied, GapKind, TelemetryEvent, unobserved
from replicator.engine.backoff import with_retries
from replicator.engine.stream.plan_and_apply_batch import START_MARGIN
from replicator.errors import (
    ConfigurationError,
    Disposition,
    NotClaimable,
    PositionTrimmed,
    ReplicatorError,
    ShardVanished,
    StreamVanished,
)
from replicator.postgres.connection.database import Database
from replicator.postgres.control.snapshot.snapshot_reads import loaded_since
from replicator.postgres.control.stream.gaps_and_halts import GapPlace, GapsAndHalts
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.write.lambda_writer import Deliveries, RegisteredTable, source_tables
from replicator.sources.dynamodb.streams import DynamoDBStreams, sequence_text
from replicator.sources.lambda_events.event import StreamBatch
from replicator.sources.lambda_events.failed_batches import BatchPlace, FailedBatch

DELIVERY_SECONDS = 600.0
EMPTY_PAGES_MAX = 50
"""Pages without a record in a row, after which the record is held to be gone."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """Outcome of one batch. `loaded`: records that a snapshot had read before; `pending`: records
    that a dry run left.
    """

    where: str
    table: str
    records: int
    applied: int
    superseded: int
    filtered: int
    dead_letters: int
    loaded: int
    pending: int


async def redrive(
    settings: Settings,
    batches: Sequence[FailedBatch],
    *,
    who: str,
    why: str | None,
    done: Callable[[Redriven], None],
    dry_run: bool = False,
) -> None:
    """Apply batches in order; `done` hears of each committed batch.

    `dry_run`: all is read and refused as in earnest, and nothing is written.
    ConfigurationError before anything is done for a table that Lambda does not write;
    NotClaimable for a stopped table; PositionTrimmed for records that have left the stream.
    """
    clock = SystemClock()
    async with control_database(settings) as database, AsyncExitStack() as stack:
        clients = Clients(stack, unobserved)
        tables = await source_tables(database)
        entries = [_entry(settings, tables, batch) for batch in batches]
        works: dict[str, _Work] = {}
        for name in dict.fromkeys(entries):
            mapping = mapping_of(settings, tables, name)
            await require_fit(database, [mapping])
            works[name] = _Work(settings, database, clients, mapping, clock, dry_run=dry_run)
        gaps_and_halts = GapsAndHalts(database)
        for name, batch in zip(entries, batches, strict=True):
            try:
                redriven = await works[name].redrive(batch)
            except _Gap as gap:
                if not dry_run:
                    await gaps_and_halts.note_gap(name, gap.place, kind=gap.kind, detail=str(gap))
                raise
            if not dry_run:
                detail = f"{redriven.records} records of {batch.where}"
                await gaps_and_halts.note(name, "redrive", who=who, why=why, detail=detail)
            done(redriven)


class _Gap(PositionTrimmed):
    """A batch that cannot be given back: changes of the table may be lost."""

    def __init__(self, message: str, remedy: str, place: GapPlace, kind: GapKind) -> None:
        super().__init__(message, remedy=remedy)
        self.place = place
        self.kind = kind


class _Work:
    """Gives batches of one table back."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clients: Clients,
        mapping: TableMapping,
        clock: Clock,
        *,
        dry_run: bool,
    ) -> None:
        self._dry_run = dry_run
        self._name = mapping.spec.name
        self._place = source_connection(settings.source_of(self._name))
        self._retention = timedelta(hours=settings.guard.retention_hours)
        self._database = database
        self._clients = clients
        self._deliveries = Deliveries(database, mapping)
        self._outcomes: Counter[str] = Counter()
        self._delivering = BatchApplier(
            mapping,
            database,
            observe=self._observe,
            count_dead_letters=lambda _name, _count: None,
            clock=clock,
        )

    async def redrive(self, failed: FailedBatch) -> Redriven:
        """Apply a whole batch, or raise an error with the batch's place."""
        content, where = failed.content, failed.where
        now = await self._require_open(content.stream_arn, where)
        since = await loaded_since(self._database, self._name)
        loaded_before = None if since is None else since - START_MARGIN
        if isinstance(content, BatchPlace):
            if loaded_before is not None and content.newest_at < loaded_before:
                return self._result(where, content.records, loaded=content.records)
            await self._require_current(failed)
            streams = await self._clients.streams(self._place)
            records = await self._read(streams, content, failed)
            batch = StreamBatch(
                content.stream_arn, records, [sequence_text(r.position) for r in records]
            )
        else:
            batch = content
        left = _younger(batch, loaded_before)
        if left.records:
            await self._require_current(failed)
        self._require_versions(left, now, failed)
        self._outcomes.clear()
        if not self._dry_run:
            await self._deliver(left, where)
        pending = len(left.records) if self._dry_run else 0
        loaded = len(batch.records) - len(left.records)
        return self._result(where, len(batch.records), loaded=loaded, pending=pending)

    def _result(self, where: str, records: int, *, loaded: int, pending: int = 0) -> Redriven:
        found = self._outcomes if loaded + pending < records else Counter[str]()
        return Redriven(
            where,
            self._name,
            records,
            applied=found["applied"],
            superseded=found["superseded"] + found["duplicate"],
            filtered=found["filtered"],
            dead_letters=found["dead_letter"],
            loaded=loaded,
            pending=pending,
        )

    async def _require_open(self, stream_arn: str, where: str) -> datetime:
        """The database's time, where the table may be written; an error otherwise."""
        delivery = await self._deliveries.read(stream_arn)
        if delivery.claim.snapshot_id is not None:
            message = f"{where}: a snapshot of table {self._name!r} is under way"
            raise ConfigurationError(
                message, remedy="try again when `replicator status` shows none"
            )
        return delivery.claim.found_at

    async def _require_current(self, failed: FailedBatch) -> None:
        """A batch of an older stream than the table has now is a gap."""
        stream_arn = failed.content.stream_arn
        current = (await ShardStore(self._database).tables())[self._name].stream_arn
        try:
            older = current is not None and generation(stream_arn) < generation(current)
        except ValueError as error:
            message = f"{failed.where}: the label of the stream {stream_arn} is not a time"
            raise ConfigurationError(message) from error
        if older:
            what = f"the batch is of the stream {stream_arn}, and the table has {current} now"
            raise self._gap(failed, what, kind="possible")

    def _require_versions(self, batch: StreamBatch, now: datetime, failed: FailedBatch) -> None:
        oldest = (now - self._retention + START_MARGIN).timestamp()
        if any(r.created_at is None or r.created_at < oldest for r in batch.records):
            hours = self._retention / timedelta(hours=1)
            what = f"a record is older than guard.retention_hours ({hours:g}), or has no time"
            what += ": nobody knows any more whether its row is newer"
            raise self._gap(failed, what, kind="possible")

    async def _read(
        self, streams: DynamoDBStreams, place: BatchPlace, failed: FailedBatch
    ) -> list[StreamRecord]:
        """The records of a place, all or none; PositionTrimmed when some are gone."""
        try:
            records = await self._read_between(streams, place)
        except (PositionTrimmed, ShardVanished, StreamVanished) as error:
            what = f"the stream does not hold the batch any more: {error}"
            raise self._gap(failed, what, kind="certain") from error
        whole = (
            len(records) >= max(1, place.records)
            and records[0].position == place.first
            and records[-1].position == place.last
        )
        if not whole:
            what = f"the stream holds {len(records)} of the {place.records} records"
            raise self._gap(failed, what, kind="certain")
        return records

    async def _read_between(
        self, streams: DynamoDBStreams, place: BatchPlace
    ) -> list[StreamRecord]:
        at: str | None = await with_retries(
            partial(streams.iterator_at, place.stream_arn, place.shard_id, place.start)
        )
        records: list[StreamRecord] = []
        empty = 0
        while at is not None and empty < EMPTY_PAGES_MAX:
            page = await with_retries(partial(streams.read, at))
            at, empty = page.next_iterator, 0 if page.records else empty + 1
            records += [r for r in page.records if r.position <= place.last]
            if page.records and page.records[-1].position >= place.last:
                break
        return records

    async def _deliver(self, batch: StreamBatch, where: str) -> None:
        """Apply all of a batch; a halt is NotClaimable, as the table is stopped then."""
        while batch.records:
            try:
                left = await self._delivering.deliver(batch, seconds_left=lambda: DELIVERY_SECONDS)
            except ReplicatorError as error:
                if error.disposition is not Disposition.HALT:
                    raise
                message = f"{where}: table {self._name!r} is halted: {error}"
                remedy = f"fix it, then `replicator resume --table {self._name}`"
                raise NotClaimable(message, remedy=error.remedy or remedy) from error
            place = len(batch.records) - len(left)
            batch = replace(batch, records=batch.records[place:], identifiers=left)

    def _gap(self, failed: FailedBatch, what: str, *, kind: GapKind) -> _Gap:
        content, name = failed.content, self._name
        shard_id = content.shard_id if isinstance(content, BatchPlace) else None
        message = f"{failed.where}: this is a gap of table {name!r}: {what}; nothing was applied"
        remedy = (
            f"`replicator snapshot --table {name}` loads what was lost; "
            f"`replicator gaps accept --table {name}` closes the gap on record"
        )
        return _Gap(message, remedy, GapPlace(content.stream_arn, shard_id), kind)

    def _observe(self, event: TelemetryEvent) -> None:
        if isinstance(event, BatchApplied):
            for (_, outcome), count in event.records.items():
                self._outcomes[outcome] += count


def _entry(settings: Settings, tables: dict[str, RegisteredTable], failed: FailedBatch) -> str:
    try:
        return entry_of(settings, tables, failed.content.stream_arn)
    except ConfigurationError as error:
        raise ConfigurationError(f"{failed.where}: {error}", remedy=error.remedy) from error


def _younger(batch: StreamBatch, than: datetime | None) -> StreamBatch:
    """The batch without the records that were created before."""
    if than is None:
        return batch
    at = than.timestamp()
    kept = [
        (record, identifier)
        for record, identifier in zip(batch.records, batch.identifiers, strict=True)
        if record.created_at is None or record.created_at >= at
    ]
    return replace(batch, records=[r for r, _ in kept], identifiers=[i for _, i in kept])
