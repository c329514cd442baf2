"""Dead letters around a snapshot: the scan closes older ones, and its own can be tried again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.snapshot.snapshot_state import SnapshotFacts
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream_record import Position
from replicator.core.table_spec import TargetSpec
from replicator.postgres.control.snapshot.verify_repair_snapshots import begin_repair
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.write.dead_letter_replay import Replay, Tried
from replicator.postgres.write.plan_writer import PostgresSink
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import NOON, STREAM, record, table_mapping
from tests.support.specs import column_spec
from tests.support.waiting import eventually

HISTORY = "public.t_history"
STRICT = table_mapping(
    TargetSpec("public.t", columns=(column_spec("n", "n", "bigint"),), history=HISTORY)
)
MENDED = table_mapping(
    TargetSpec("public.t", columns=(column_spec("n", "n", "numeric"),), history=HISTORY)
)


@pytest.fixture
async def table(migrated_database: str) -> AsyncIterator[Loaded]:
    loaded = await registered(migrated_database, STRICT)
    # a table of one's own may hold more than the mapping says
    await loaded.sql("alter table public.t alter n type numeric")
    yield loaded
    await loaded.database.close()


async def change(table: Loaded, number: int, n: str, key: str = "a") -> None:
    await table.apply(record(number, key, event="modify", n={"N": n}))


def item(n: str, key: str = "a") -> str:
    return f'{{"pk":{{"S":"{key}"}},"n":{{"N":"{n}"}}}}'


async def scan(table: Loaded, snapshot: SnapshotFacts, *images: str) -> None:
    await table.load_images(await table.claim(snapshot), *images)


async def rows(table: Loaded) -> dict[object, object]:
    return {key: str(n) for key, n in await table.sql("select pk, n from public.t")}


async def letters(table: Loaded) -> list[tuple[object, ...]]:
    return await table.sql(
        "select item_key::jsonb->'pk'->>'S', sequence_number::int, state"
        " from replicator.dead_letter order by 1, 2 nulls last"
    )


async def replay(table: Loaded, *numbers: int) -> Sequence[Tried]:
    """All that is open, with a mapping that takes it."""
    found = await table.sql("select id from replicator.dead_letter order by id")
    wanted = list(numbers) or [int(str(number)) for (number,) in found]
    register = "update replicator.table_state set mapping_fingerprint = '{}'"
    await table.sql(register.format(MENDED.fingerprint))
    tried = await Replay(table.database).replay(MENDED, wanted, who="ada", why=None)
    await table.sql(register.format(STRICT.fingerprint))
    return tried


def outcomes(tried: Sequence[Tried]) -> list[str]:
    return [each.outcome for each in tried]


async def test_a_page_closes_the_older_letters_of_the_items_that_it_loads_and_no_others(
    table: Loaded,
):
    await change(table, 1, "1.5", "before")
    snapshot = await table.begin()
    await change(table, 2, "2.5", "since")

    await scan(table, snapshot, item("3", "before"), item("4", "since"))

    assert await letters(table) == [("before", 1, "superseded"), ("since", 2, "open")]
    assert outcomes(await replay(table)) == ["closed", "replayed"]
    assert await rows(table) == {"before": "3", "since": "2.5"}


async def test_a_letter_of_a_history_outlives_every_snapshot(table: Loaded):
    await aside(table, 1, HISTORY)
    snapshot = await table.begin()

    await scan(table, snapshot, item("3"))
    await table.sweep(await table.claim(snapshot, 1))
    assert await table.snapshots.finish((await table.known())[0])

    assert await letters(table) == [("a", 1, "open")]


async def test_a_letter_of_a_history_is_appended_beside_a_snapshot(table: Loaded):
    await aside(table, 1, HISTORY)
    await table.begin()

    assert outcomes(await replay(table)) == ["replayed"]

    assert await table.sql(f"select sequence_number::int from {HISTORY}") == [(1,)]


async def aside(table: Loaded, number: int, target: str) -> None:
    """A change that PostgreSQL refuses for one target."""
    plan = plan_batch(
        [record(number, event="modify", n={"N": "1"})],
        STRICT,
        read_at=0.0,
        refused={target: ("refused", "23514")},
    )
    claim = await claimed(table)
    advance = Advance(claim.position, Position(number), Position(number), NOON, NOON)
    await PostgresSink(table.database, STRICT).apply(plan, claim=claim, advance=advance)


async def claimed(table: Loaded) -> Claim:
    return await Claims(table.database, "worker").claim(
        table.name, STREAM, SHARD, mapping_fingerprint=STRICT.fingerprint
    )


async def test_when_a_snapshot_ends_older_letters_of_items_that_are_gone_are_closed(table: Loaded):
    """Else a replay would bring an item back whose removal fell into a gap."""
    await change(table, 1, "1.5", "gone")
    snapshot = await table.begin()
    await change(table, 2, "2.5", "since")
    await scan(table, snapshot)

    [gone, since] = await replay(table)
    assert (gone.outcome, since.outcome) == ("refused", "replayed")
    assert "reads its item again" in str(gone.reason)
    assert await table.snapshots.finish((await table.known())[0])

    assert await letters(table) == [("gone", 1, "superseded"), ("since", 2, "replayed")]
    assert await rows(table) == {"since": "2.5"}


async def test_a_repair_closes_letters_of_the_items_that_it_reads_alone(table: Loaded):
    await change(table, 1, "1.5", "read")
    await change(table, 2, "2.5", "other")
    number = await begin_repair(table.database, table.name, [], keys=1, who="ada", why=None)
    [repair] = [each for each in await table.known() if each.id == number]

    await scan(table, repair, item("3", "read"))
    assert await table.snapshots.finish((await table.known())[0])

    assert await letters(table) == [("other", 2, "open"), ("read", 1, "superseded")]


async def test_a_letter_of_a_snapshot_that_began_anew_is_tried_over_what_the_stream_wrote_before(
    table: Loaded,
):
    await table.begin()
    await change(table, 5, "5")
    anew = await table.begin()
    await scan(table, anew, item("7.5"))
    assert await letters(table) == [("a", None, "open")]

    assert outcomes(await replay(table)) == ["replayed"]

    assert await rows(table) == {"a": "7.5"}
    version = "select sequence_number::int, deleted from replicator.row_version where snapshot_id"
    assert await table.sql(f"{version} = {anew.id}") == [(5, False)]


async def test_a_letter_of_a_scan_is_not_tried_over_what_the_stream_wrote_since(table: Loaded):
    snapshot = await table.begin()
    await change(table, 5, "5", "before its page")
    await scan(table, snapshot, item("4.5", "before its page"), item("4.5", "after its page"))
    await change(table, 6, "6", "after its page")

    assert outcomes(await replay(table)) == ["closed", "closed"]

    assert await rows(table) == {"before its page": "5", "after its page": "6"}


async def test_an_item_that_a_scan_rejects_has_one_open_letter_whatever_was_set_aside_before(
    table: Loaded,
):
    await change(table, 1, "1.5", "before")
    await change(table, 2, "2.5", "let go")
    await table.sql("update replicator.dead_letter set state = 'discarded' where id = 2")
    snapshot = await table.begin()
    await change(table, 3, "3.5", "since")

    await scan(table, snapshot, item("4.5", "before"), item("5.5", "let go"), item("6.5", "since"))

    assert await letters(table) == [
        ("before", 1, "superseded"),
        ("before", None, "open"),
        ("let go", 2, "discarded"),
        ("let go", None, "open"),
        ("since", 3, "open"),
        ("since", None, "superseded"),
    ]


async def test_an_item_that_is_rejected_by_snapshot_after_snapshot_is_tried_as_it_was_last(
    table: Loaded,
):
    for n in ("1.5", "2.5"):
        await scan(table, await table.begin(), item(n))
    assert await letters(table) == [("a", None, "open")]

    assert outcomes(await replay(table)) == ["replayed"]

    assert await rows(table) == {"a": "2.5"}


async def test_a_replay_beside_a_snapshot_waits_for_the_batch_that_writes_its_row(table: Loaded):
    snapshot = await table.begin()
    await scan(table, snapshot, item("1.5"))
    claim = await claimed(table)
    plan = plan_batch([record(5, event="modify", n={"N": "5"})], STRICT, read_at=0.0)
    sink = PostgresSink(table.database, STRICT)
    async with table.database.transaction("holding the row") as held:
        await held.execute("insert into public.t (pk, n) values ('a', 0)")
        advance = Advance(None, Position(5), Position(5), datetime.now(UTC), datetime.now(UTC))
        applying = asyncio.create_task(sink.apply(plan, claim=claim, advance=advance))
        await waiting(table, 1)
        replaying = asyncio.create_task(replay(table))
        await waiting(table, 2)
        await held.execute("delete from public.t")
    await applying

    assert outcomes(await replaying) == ["closed"]
    assert await rows(table) == {"a": "5"}
    assert await letters(table) == [("a", None, "superseded")]


async def waiting(table: Loaded, sessions: int) -> None:
    """Until so many sessions wait for a lock."""
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"

    async def wait() -> bool:
        [(found,)] = await table.sql(f"{query} and datname = current_database()")
        return int(str(found)) >= sessions

    await eventually(wait, what=f"{sessions} sessions wait for a lock")
