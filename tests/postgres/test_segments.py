"""Parts of snapshots on a real server: who may write them, and what is a ghost."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from replicator.core.mapping import TableMapping
from replicator.core.mapping_spec import ColumnSpec, KeyColumnSpec, TargetSpec
from replicator.core.plan import plan_batch
from replicator.core.records import StreamRecord
from replicator.core.scan import plan_page, plan_sweep, records_of_page
from replicator.core.shards import Advance, ListedShard
from replicator.core.snapshots import SegmentAdvance, SegmentClaim, SnapshotFacts
from replicator.errors import Fenced, NotClaimable
from replicator.postgres.claims import Claims
from replicator.postgres.connect import ConnectionSettings
from replicator.postgres.database import Database
from replicator.postgres.ghosts import Ghosts
from replicator.postgres.incidents import Incidents
from replicator.postgres.migrate import migrate
from replicator.postgres.positions import Positions
from replicator.postgres.segment_sink import SegmentSink
from replicator.postgres.segments import Segments
from replicator.postgres.sink import PostgresSink
from replicator.postgres.snapshots import Snapshots
from tests.support.builders import NOON, STREAM, record, table_mapping

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

    async def begin(self, *, parts: int = 1) -> SnapshotFacts:
        """A snapshot that runs."""
        await self.snapshots.ask(self.name, "asked", who="test", why=None)
        [asked] = [each for each in await self.known() if each.state == "asked"]
        await self.snapshots.begin(asked, self.mapping.targets, parts=parts, items_estimated=None)
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

    async def apply(self, change: StreamRecord) -> None:
        claim = await Claims(self.database, "worker").claim(
            self.name, STREAM, SHARD, mapping_fingerprint=self.mapping.fingerprint
        )
        number = change.sequence_number
        await PostgresSink(self.database, self.mapping).apply(
            plan_batch([change], self.mapping, read_at=0.0),
            claim=claim,
            advance=Advance(claim.position, number, number, NOON, NOON),
        )

    async def ghosts(self, snapshot: SnapshotFacts, after: str | None = None) -> list[object]:
        [target] = self.mapping.targets
        found = await Ghosts(self.database, self.mapping).look(
            target.name, snapshot.id, after, rows_max=100
        )
        return list(found.ghosts)

    async def sweep(self, claim: SegmentClaim, *keys: str) -> None:
        [target] = self.mapping.targets
        plan = plan_sweep(self.mapping, target.name, [(key,) for key in keys], at=datetime.now(UTC))
        advance = SegmentAdvance(None, len(keys), len(keys), 0.0, ended=True)
        await SegmentSink(self.database, self.mapping).apply(plan, claim=claim, advance=advance)

    async def sql(self, text: str) -> list[tuple[object, ...]]:
        async with self.database.connection("looking") as connection:
            return [tuple(row) for row in await connection.fetch(text)]


async def registered(dsn: str, mapping: TableMapping) -> Loaded:
    settings = ConnectionSettings(dsn=dsn)
    await migrate(settings, "replicator", "test", [mapping])
    database = Database(settings, deployment="test", control_schema="replicator", pool_size=4)
    loaded = Loaded(database, mapping)
    await loaded.sql(f"update replicator.table_state set stream_arn = '{STREAM}'")
    await Positions(database).add_shards(loaded.name, STREAM, [ListedShard(SHARD, None, False)])
    return loaded


@pytest.fixture
async def table(database: str) -> AsyncIterator[Loaded]:
    loaded = await registered(database, table_mapping())
    yield loaded
    await loaded.database.close()


async def test_a_page_of_a_snapshot_that_is_over_writes_nothing(table: Loaded):
    snapshot = await table.begin()
    late = await table.claim(snapshot)
    await table.load(await table.claim(snapshot), "a")
    [complete] = await table.known()
    assert await table.snapshots.finish(complete)
    await table.sql("delete from replicator.row_version")

    with pytest.raises(Fenced):
        await table.load(late, "a", "b")

    assert await table.sql("select pk from public.t") == [("a",)]
    assert await table.sql("select mode, snapshot_id from replicator.table_state") == [
        ("fence", None)
    ]


async def test_a_page_that_was_read_under_an_older_claim_writes_nothing(table: Loaded):
    snapshot = await table.begin()
    first = await table.claim(snapshot)
    await table.claim(snapshot)

    with pytest.raises(Fenced):
        await table.load(first, "a")


async def test_pausing_a_table_fences_its_pages_off(table: Loaded):
    snapshot = await table.begin()
    claim = await table.claim(snapshot)
    await Incidents(table.database).set_paused(table.name, paused=True, who="test", why=None)

    with pytest.raises(Fenced):
        await table.load(claim, "a")
    with pytest.raises(NotClaimable):
        await table.claim(snapshot)


async def test_a_snapshot_that_is_begun_anew_ends_the_one_before(table: Loaded):
    first = await table.begin()
    page = await table.claim(first)
    second = await table.begin()

    with pytest.raises(Fenced):
        await table.load(page, "a")
    states = await table.sql("select id, state, detail from replicator.snapshot order by id")
    assert states == [
        (first.id, "cancelled", f"snapshot {second.id} took its place"),
        (second.id, "running", None),
    ]


async def test_a_table_stays_guarded_until_the_last_part_is_done(table: Loaded):
    snapshot = await table.begin(parts=2)
    await table.load(await table.claim(snapshot, 0), "a")

    assert not await table.snapshots.finish(snapshot)
    assert await table.sql("select mode from replicator.table_state") == [("guard",)]


async def test_a_sweep_waits_for_the_whole_scan(table: Loaded):
    await table.sql("insert into public.t values ('ghost', 0)")
    snapshot = await table.begin(parts=2)
    await table.load(await table.claim(snapshot, 0), "a")

    with pytest.raises(NotClaimable):
        await table.claim(snapshot, 2)
    await table.load(await table.claim(snapshot, 1), "b")
    assert (await table.claim(snapshot, 2)).target == "public.t"


async def test_only_what_nobody_has_seen_is_a_ghost(table: Loaded):
    await table.sql("insert into public.t values ('ghost', 0), ('old', 0), ('bad', 0)")
    snapshot = await table.begin()
    await table.apply(record(5, "new", event="insert", n={"N": "1"}))
    await table.apply(record(6, "bad", event="modify", n={"N": "x"}))
    await table.load(await table.claim(snapshot), "old")

    assert await table.ghosts(snapshot) == [("ghost",)]


async def test_an_item_that_comes_back_while_the_sweep_looks_keeps_its_row(table: Loaded):
    await table.sql("insert into public.t values ('back', 0), ('gone', 0)")
    snapshot = await table.begin()
    await table.load(await table.claim(snapshot))
    claim = await table.claim(snapshot, 1)
    assert await table.ghosts(snapshot) == [("back",), ("gone",)]
    await table.apply(record(5, "back", event="insert", n={"N": "5"}))

    await table.sweep(claim, "back", "gone")

    assert await table.sql("select pk, n from public.t") == [("back", 5)]


async def test_a_soft_delete_sweeps_by_marking_and_an_ignored_one_not_at_all(database: str):
    soft = TargetSpec("public.t", columns=(ColumnSpec("n", "n", "bigint"),), on_delete="soft")
    loaded = await registered(database, table_mapping(soft))
    await loaded.sql("insert into public.t (pk, n) values ('ghost', 0)")
    await loaded.sql("insert into public.t values ('marked', 0, '2020-01-01Z')")
    snapshot = await loaded.begin()
    await loaded.load(await loaded.claim(snapshot))
    assert await loaded.ghosts(snapshot) == [("ghost",)]

    await loaded.sweep(await loaded.claim(snapshot, 1), "ghost")

    marked = await loaded.sql("select pk, _deleted_at > '2021-01-01' from public.t order by pk")
    assert marked == [("ghost", True), ("marked", False)]
    kept = TargetSpec("public.u", on_delete="ignore", columns=())
    other = await registered(database, table_mapping(kept))
    await other.sql("insert into public.u (pk) values ('kept')")
    assert [part.target for part in (await other.begin()).segments] == [None]
    await loaded.database.close()
    await other.database.close()


async def test_ghosts_are_found_behind_any_key(database: str):
    target = TargetSpec(
        "public.t",
        key=(KeyColumnSpec("b", "b"), KeyColumnSpec("n", "n")),
        columns=(),
    )
    mapping = table_mapping(target, key=(("b", "B"), ("n", "N")))
    loaded = await registered(database, mapping)
    await loaded.sql(
        r"insert into public.t (b, n) values ('\x00', 1), ('\x00', 2.50), ('\xff', -1)"
    )
    snapshot = await loaded.begin()
    finder = Ghosts(loaded.database, mapping)
    found: list[object] = []
    position: str | None = None
    while (looked := await finder.look("public.t", snapshot.id, position, rows_max=1)).last:
        found += looked.ghosts
        position = looked.last

    assert found == [(b"\x00", "1"), (b"\x00", "2.50"), (b"\xff", "-1")]
    await loaded.database.close()


async def test_an_item_that_does_not_fit_is_set_aside_unless_the_stream_knows_better(table: Loaded):
    images = [
        b'{"pk":{"S":"bad"},"n":{"N":"1.5"}}',
        b'{"pk":{"S":"mended"},"n":{"N":"2.5"}}',
        b'{"pk":{"S":"good"},"n":{"N":"3"}}',
    ]
    page = records_of_page([memoryview(image) for image in images], table.mapping.source_key)

    async def load(snapshot: SnapshotFacts) -> None:
        plan = plan_page(page, table.mapping, read_at=0.0)
        advance = SegmentAdvance("x", 3, plan.rows, 1.0, ended=True)
        sink = SegmentSink(table.database, table.mapping)
        await sink.apply(plan, claim=await table.claim(snapshot), advance=advance)

    letters = "select item_key, sequence_number, state from replicator.dead_letter order by 1"
    first = await table.begin()
    await table.apply(record(5, "mended", event="modify", n={"N": "7"}))
    await load(first)

    bad, mended = '{"pk":{"S":"bad"}}', '{"pk":{"S":"mended"}}'
    assert await table.sql(letters) == [(bad, None, "open"), (mended, None, "superseded")]
    assert await table.sql("select pk, n from public.t order by 1") == [("good", 3), ("mended", 7)]
    await table.sql("update replicator.dead_letter set state = 'discarded'")
    await load(await table.begin())
    assert (await table.sql(letters))[0] == (bad, None, "open")
