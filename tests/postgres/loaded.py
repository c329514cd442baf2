"""A registered table with one shard on a real server: parts of its snapshots, and its stream."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.plan_row_deletions import plan_sweep
from replicator.core.planning.plan_snapshot_page import plan_page, records_of_page
from replicator.core.snapshot.snapshot_state import SegmentAdvance, SegmentClaim, SnapshotFacts
from replicator.core.stream.claims import Advance
from replicator.core.stream.table_and_shard_facts import ListedShard
from replicator.core.stream_record import StreamRecord
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.control.snapshot.segment_claims import Segments
from replicator.postgres.control.snapshot.snapshots import Snapshots
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.read.find_stale_rows import StaleRows
from replicator.postgres.schema.migrate import migrate
from replicator.postgres.write.plan_writer import PostgresSink, SegmentSink
from tests.support.bounds import USUAL_SECONDS
from tests.support.builders import NOON, STREAM, record
from tests.support.waiting import eventually

SHARD = "shard-0"


@dataclass
class Loaded:
    """A registered table with one shard, in a database of its own."""

    database: Database
    mapping: TableMapping

    def __post_init__(self) -> None:
        self.name = self.mapping.spec.name
        self.snapshots = Snapshots(self.database)
        self.segments = Segments(self.database, "worker")

    async def begin(self, *, segments: int = 1) -> SnapshotFacts:
        """A snapshot that runs."""
        await self.snapshots.ask(self.name, "asked", who="test", why=None)
        [asked] = [each for each in await self.known() if each.state == "asked"]
        await self.snapshots.begin(
            asked, self.mapping.targets, segments=segments, items_estimated=None
        )
        [running] = [each for each in await self.known() if each.state == "running"]
        return running

    async def known(self) -> list[SnapshotFacts]:
        return (await self.snapshots.facts()).get(self.name, [])

    async def claim(self, snapshot: SnapshotFacts, number: int = 0) -> SegmentClaim:
        return await self.segments.claim(
            self.name, snapshot.id, number, mapping_fingerprint=self.mapping.fingerprint
        )

    async def load(self, claim: SegmentClaim, *keys: str, ended: bool = True) -> None:
        items = [record(0, key, event="insert", n={"N": "1"}) for key in keys]
        plan = plan_page(items, self.mapping, read_at=0.0)
        advance = SegmentAdvance(keys[-1] if keys else None, len(keys), plan.rows, 1.0, ended)
        await SegmentSink(self.database, self.mapping).apply(plan, claim=claim, advance=advance)

    async def load_images(self, claim: SegmentClaim, *images: str) -> None:
        """The last page of a part, of items as DynamoDB JSON."""
        raw = [memoryview(image.encode()) for image in images]
        page = records_of_page(raw, self.mapping.source_key)
        plan = plan_page(page, self.mapping, read_at=0.0)
        advance = SegmentAdvance("x", len(page), plan.rows, 1.0, ended=True)
        await SegmentSink(self.database, self.mapping).apply(plan, claim=claim, advance=advance)

    async def apply(self, change: StreamRecord) -> None:
        claim = await Claims(self.database, "worker").claim(
            self.name, STREAM, SHARD, mapping_fingerprint=self.mapping.fingerprint
        )
        position = change.position
        await PostgresSink(self.database, self.mapping).apply(
            plan_batch([change], self.mapping, read_at=0.0),
            claim=claim,
            advance=Advance(claim.position, position, position, NOON, NOON),
        )

    async def stale_rows(self, snapshot: SnapshotFacts, after: str | None = None) -> list[object]:
        [target] = self.mapping.targets
        found = await StaleRows(self.database, self.mapping).find(
            target.name, snapshot.id, after, rows_max=100
        )
        return list(found.stale_rows)

    async def sweep(self, claim: SegmentClaim, *keys: str) -> None:
        [target] = self.mapping.targets
        plan = plan_sweep(self.mapping, target.name, [(key,) for key in keys], at=datetime.now(UTC))
        advance = SegmentAdvance(None, len(keys), len(keys), 0.0, ended=True)
        await SegmentSink(self.database, self.mapping).apply(plan, claim=claim, advance=advance)

    async def sql(self, text: str) -> list[tuple[object, ...]]:
        async with self.database.connection("looking") as connection:
            return [tuple(row) for row in await connection.fetch(text)]

    async def waiting(self, sessions: int) -> None:
        """Until so many sessions wait for a lock."""
        query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"

        async def wait() -> bool:
            [(found,)] = await self.sql(f"{query} and datname = current_database()")
            return found == sessions

        await eventually(wait, what=f"{sessions} sessions wait for a lock")


async def registered(dsn: str, mapping: TableMapping) -> Loaded:
    settings = ConnectionSettings(dsn=dsn)
    await migrate(settings, "replicator", "test", [mapping])
    patient = replace(settings, lock_timeout_seconds=USUAL_SECONDS)  # a test says when a lock ends
    database = Database(patient, deployment="test", control_schema="replicator", pool_size=4)
    loaded = Loaded(database, mapping)
    await loaded.sql(f"update replicator.table_state set stream_arn = '{STREAM}'")
    await ShardStore(database).add_shards(loaded.name, STREAM, [ListedShard(SHARD, None, False)])
    return loaded
