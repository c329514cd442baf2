"""Parts of snapshots on a real server: who may write them, and what is stale."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from replicator.core.snapshot.snapshot_state import SnapshotFacts
from replicator.core.table_spec import TargetSpec
from replicator.errors import Fenced, NotClaimable
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.read.find_stale_rows import StaleRows
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import NOON, STREAM, record, table_mapping
from tests.support.specs import child_spec, column_spec, key_column_spec


@pytest.fixture
async def table(migrated_database: str) -> AsyncIterator[Loaded]:
    loaded = await registered(migrated_database, table_mapping())
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


async def gapped(table: Loaded) -> SnapshotFacts:
    """A shard with a gap, and the snapshot that is asked for to heal it."""
    claims = Claims(table.database, "worker")
    claim = await claims.claim(
        table.name, STREAM, SHARD, mapping_fingerprint=table.mapping.fingerprint
    )
    await GapsAndHalts(table.database).add_gap(claim, kind="certain", detail="it was away")
    await table.snapshots.ask(table.name, "asked", who="Ada", why="it was away")
    assert await gaps(table) == [("accepted", "Ada")]
    [asked] = await table.known()
    return asked


async def gaps(table: Loaded) -> list[tuple[object, ...]]:
    return await table.sql("select state, closed_by from replicator.gap order by id")


async def is_stopped(table: Loaded) -> bool:
    """Whether a gap keeps everybody from writing the table."""
    [facts] = (await ShardStore(table.database).tables()).values()
    return facts.stopped


@pytest.mark.parametrize("begun", [False, True])
async def test_a_gap_is_open_again_when_what_was_to_heal_it_is_cancelled(
    table: Loaded, begun: bool
):
    snapshot = await gapped(table)
    claims = Claims(table.database, "worker")
    shard = table.name, STREAM, SHARD
    if begun:
        await table.snapshots.begin(
            snapshot, table.mapping.targets, segments=1, items_estimated=None
        )
    claim = await claims.claim(*shard, mapping_fingerprint=table.mapping.fingerprint)

    await table.snapshots.cancel(table.name, who="Bob", why=None)

    assert await gaps(table) == [("open", None)]
    assert await is_stopped(table)
    with pytest.raises(Fenced):
        await claims.looked(claim, at=NOON, head=True)
    with pytest.raises(NotClaimable):
        await claims.claim(*shard, mapping_fingerprint=table.mapping.fingerprint)

    await GapsAndHalts(table.database).accept_gaps(table.name, who="Bob", why="enough")
    assert await gaps(table) == [("accepted", "Bob")]
    await claims.claim(*shard, mapping_fingerprint=table.mapping.fingerprint)


async def test_a_gap_is_open_again_when_the_refused_load_that_was_to_heal_it_is_given_up(
    table: Loaded,
):
    asked = await gapped(table)
    await table.snapshots.begin(asked, table.mapping.targets, segments=1, items_estimated=None)
    await table.snapshots.refuse_sweep(asked.id, "all rows")
    assert await gaps(table) == [("accepted", "Ada")]

    await table.snapshots.cancel(table.name, who="Bob", why=None)

    assert await gaps(table) == [("open", None)]


async def test_a_snapshot_that_takes_anothers_place_heals_its_gaps_and_not_before_it_is_done(
    table: Loaded,
):
    first = await gapped(table)
    await table.snapshots.begin(first, table.mapping.targets, segments=1, items_estimated=None)
    second = await table.begin()
    assert await gaps(table) == [("accepted", "Ada")]

    await table.load(await table.claim(second), "a")
    [complete] = [each for each in await table.known() if each.id == second.id]
    assert await gaps(table) == [("accepted", "Ada")]
    assert await table.snapshots.finish(complete)

    assert await gaps(table) == [("healed", "Ada")]
    assert not await is_stopped(table)


async def test_one_open_gap_tells_of_a_place_however_many_loads_were_given_up(table: Loaded):
    await gapped(table)
    await table.sql(
        "insert into replicator.gap (deployment, source, stream_arn, shard_id, kind, detail)"
        " select deployment, source, stream_arn, shard_id, kind, 'again' from replicator.gap"
    )

    await table.snapshots.cancel(table.name, who="Bob", why=None)

    assert await gaps(table) == [("accepted", "Ada"), ("open", None)]


async def test_pausing_a_table_fences_its_pages_off(table: Loaded):
    snapshot = await table.begin()
    claim = await table.claim(snapshot)
    await GapsAndHalts(table.database).set_paused(table.name, paused=True, who="test", why=None)

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
    of_the_first = (
        "from replicator.segment where snapshot_id = (select min(id) from replicator.snapshot)"
    )
    assert await table.sql(f"select distinct state, owner {of_the_first}") == [("done", None)]


async def test_two_workers_that_begin_the_same_snapshot_do_not_end_it(table: Loaded):
    """Both have looked while it was asked for; it may even have a successor by now."""
    await table.snapshots.ask(table.name, "initial", who="test", why=None)
    [asked] = await table.known()

    async def begin() -> bool:
        targets = table.mapping.targets
        return await table.snapshots.begin(asked, targets, segments=2, items_estimated=None)

    assert (await begin(), await begin()) == (True, False)
    [running] = await table.known()
    assert (running.id, running.state, len(running.segments)) == (asked.id, "running", 2)

    successor = await table.begin()
    assert not await begin()
    assert [each.id for each in await table.known() if each.state == "running"] == [successor.id]


async def test_of_two_workers_that_begin_a_snapshot_at_once_one_waits(
    table: Loaded, migrated_database: str
):
    await table.snapshots.ask(table.name, "initial", who="test", why=None)
    [asked] = await table.known()

    async def begin() -> bool:
        targets = table.mapping.targets
        return await table.snapshots.begin(asked, targets, segments=2, items_estimated=None)

    other = await asyncpg.connect(migrated_database)
    try:
        await other.execute("begin; select from replicator.table_state for update")
        both = asyncio.gather(begin(), begin())
        await table.waiting(2)
        await other.execute("rollback")
    finally:
        await other.close()

    assert sorted(await both) == [False, True]
    [running] = await table.known()
    assert (running.id, running.state, len(running.segments)) == (asked.id, "running", 2)


async def test_a_table_stays_guarded_until_the_last_part_is_done(table: Loaded):
    snapshot = await table.begin(segments=2)
    await table.load(await table.claim(snapshot, 0), "a")

    assert not await table.snapshots.finish(snapshot)
    assert await table.sql("select mode from replicator.table_state") == [("guard",)]


async def test_a_sweep_waits_for_the_whole_scan(table: Loaded):
    await table.sql("insert into public.t values ('ghost', 0)")
    snapshot = await table.begin(segments=2)
    await table.load(await table.claim(snapshot, 0), "a")

    with pytest.raises(NotClaimable):
        await table.claim(snapshot, 2)
    await table.load(await table.claim(snapshot, 1), "b")
    assert (await table.claim(snapshot, 2)).target == "public.t"


async def test_only_what_nobody_has_seen_is_stale(table: Loaded):
    await table.sql("insert into public.t values ('ghost', 0), ('old', 0), ('bad', 0)")
    snapshot = await table.begin()
    await table.apply(record(5, "new", event="insert", n={"N": "1"}))
    await table.apply(record(6, "bad", event="modify", n={"N": "x"}))
    images = ['{"pk":{"S":"old"},"n":{"N":"1"}}', '{"pk":{"S":"bad"},"n":{"N":"1.5"}}']
    await table.load_images(await table.claim(snapshot), *images)

    assert await table.stale_rows(snapshot) == [("ghost",)]


async def test_what_only_an_earlier_snapshot_has_seen_is_stale(table: Loaded):
    await table.load(await table.claim(await table.begin()), "old")
    snapshot = await table.begin()
    await table.load(await table.claim(snapshot), "new")

    assert await table.stale_rows(snapshot) == [("old",)]


async def test_an_item_that_comes_back_while_the_sweep_looks_keeps_its_row(table: Loaded):
    await table.sql("insert into public.t values ('back', 0), ('gone', 0)")
    snapshot = await table.begin()
    await table.load(await table.claim(snapshot))
    claim = await table.claim(snapshot, 1)
    assert await table.stale_rows(snapshot) == [("back",), ("gone",)]
    await table.apply(record(5, "back", event="insert", n={"N": "5"}))

    await table.sweep(claim, "back", "gone")

    assert await table.sql("select pk, n from public.t") == [("back", 5)]


async def test_a_soft_delete_sweeps_by_marking_and_an_ignored_one_not_at_all(
    migrated_database: str,
):
    soft = TargetSpec("public.t", columns=(column_spec("n", "n", "bigint"),), on_delete="soft")
    loaded = await registered(migrated_database, table_mapping(soft))
    await loaded.sql("insert into public.t (pk, n) values ('ghost', 0)")
    await loaded.sql("insert into public.t values ('marked', 0, '2020-01-01Z')")
    snapshot = await loaded.begin()
    await loaded.load(await loaded.claim(snapshot))
    assert await loaded.stale_rows(snapshot) == [("ghost",)]

    await loaded.sweep(await loaded.claim(snapshot, 1), "ghost")

    marked = await loaded.sql("select pk, _deleted_at > '2021-01-01' from public.t order by pk")
    assert marked == [("ghost", True), ("marked", False)]
    kept = TargetSpec("public.u", on_delete="ignore", columns=())
    other = await registered(migrated_database, table_mapping(kept))
    await other.sql("insert into public.u (pk) values ('kept')")
    assert [part.target for part in (await other.begin()).segments] == [None]
    await loaded.database.close()
    await other.database.close()


async def test_a_soft_sweep_takes_child_rows_of_no_parent_and_leaves_those_of_a_row(
    migrated_database: str,
):
    tags = child_spec("public.tags", "tags", value=column_spec("tag", "tag", "text"))
    soft = TargetSpec("public.t", columns=(), children=(tags,), on_delete="soft")
    loaded = await registered(migrated_database, table_mapping(soft))
    await loaded.sql("insert into public.t (pk) values ('ghost')")
    await loaded.sql("insert into public.tags values ('ghost', 0, 'x'), ('nobody', 0, 'x')")
    snapshot = await loaded.begin()
    await loaded.load(await loaded.claim(snapshot))

    await loaded.sweep(await loaded.claim(snapshot, 1), "ghost", "nobody")

    assert await loaded.sql("select pk from public.tags") == [("ghost",)]
    marked = "select pk, _deleted_at is not null from public.t"
    assert await loaded.sql(marked) == [("ghost", True)]
    await loaded.database.close()


async def test_stale_rows_are_found_behind_any_key(migrated_database: str):
    target = TargetSpec(
        "public.t",
        key=(key_column_spec("b", "b"), key_column_spec("n", "n")),
        columns=(),
    )
    mapping = table_mapping(target, key=(("b", "B"), ("n", "N")))
    loaded = await registered(migrated_database, mapping)
    await loaded.sql(
        r"insert into public.t (b, n) values ('\x00', 1), ('\x00', 2.50), ('\xff', -1)"
    )
    snapshot = await loaded.begin()
    finder = StaleRows(loaded.database, mapping)
    found: list[object] = []
    position: str | None = None
    while (looked := await finder.find("public.t", snapshot.id, position, rows_max=1)).last:
        found += looked.stale_rows
        position = looked.last

    assert found == [(b"\x00", "1"), (b"\x00", "2.50"), (b"\xff", "-1")]
    await loaded.database.close()


async def test_a_sweep_that_an_earlier_version_began_waits_for_the_whole_scan(table: Loaded):
    """Parts that were made before there were phases are all of the first one."""
    await table.apply(record(1, "a", n={"N": "1"}))
    snapshot = await table.begin()
    await table.sql("update replicator.segment set phase = 0")
    with pytest.raises(NotClaimable):
        await table.claim(snapshot, 1)

    await table.load(await table.claim(snapshot), "a")

    assert (await table.claim(snapshot, 1)).target == "public.t"


async def test_a_sweep_over_an_existing_key_of_a_wider_number_type_ends_and_takes_stale_rows_alone(
    migrated_database: str,
):
    """1.00 is the row of item 1; 2.50 can be no item's."""
    key = (key_column_spec("n", "n", "integer"),)
    target = TargetSpec("public.t", key=key, columns=(), existing_rows="delete")
    mapping = table_mapping(target, key=(("n", "N"),))
    connection = await asyncpg.connect(migrated_database)
    await connection.execute("create table public.t (n numeric(12,2) primary key)")
    await connection.execute("insert into public.t values (1), (2.5), (3), (4), (9999999999), (10)")
    await connection.close()
    loaded = await registered(migrated_database, mapping)
    snapshot = await loaded.begin()
    images = ['{"n":{"N":"1"}}', '{"n":{"N":"3"}}', '{"n":{"N":"10"}}']
    await loaded.load_images(await loaded.claim(snapshot), *images)
    finder = StaleRows(loaded.database, mapping)
    found: list[object] = []
    position: str | None = None
    while (looked := await finder.find("public.t", snapshot.id, position, rows_max=1)).last:
        found += looked.stale_rows
        position = looked.last
    assert found == [("4",)]

    await loaded.sweep(await loaded.claim(snapshot, 1), "4")

    assert await loaded.stale_rows(snapshot) == []
    left = [str(n) for (n,) in await loaded.sql("select n::text from public.t order by t.n")]
    assert left == ["1.00", "2.50", "3.00", "10.00", "9999999999.00"]
    await loaded.database.close()


async def test_an_item_that_does_not_fit_is_set_aside_unless_the_stream_knows_better(table: Loaded):
    images = [
        '{"pk":{"S":"bad"},"n":{"N":"1.5"}}',
        '{"pk":{"S":"mended"},"n":{"N":"2.5"}}',
        '{"pk":{"S":"good"},"n":{"N":"3"}}',
    ]
    letters = "select item_key, sequence_number, state from replicator.dead_letter order by 1"
    first = await table.begin()
    await table.apply(record(5, "mended", event="modify", n={"N": "7"}))
    await table.load_images(await table.claim(first), *images)

    bad, mended = '{"pk":{"S":"bad"}}', '{"pk":{"S":"mended"}}'
    assert await table.sql(letters) == [(bad, None, "open"), (mended, None, "superseded")]
    assert await table.sql("select pk, n from public.t order by 1") == [("good", 3), ("mended", 7)]
    await table.sql("update replicator.dead_letter set state = 'discarded'")
    await table.load_images(await table.claim(await table.begin()), *images)
    assert (await table.sql(letters))[0] == (bad, None, "open")
