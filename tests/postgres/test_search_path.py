"""Names in the statements mean PostgreSQL's own, whatever lies in `public`; triggers see theirs."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from replicator.core.planning.plan_batch import plan_batch
from replicator.postgres.connection.connect import SEARCH_PATH, ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.control.pruning import Pruning
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.stream.ordering_mode_switch import leave_guard
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.write.dead_letter_replay import Replay
from replicator.postgres.write.plan_writer import PostgresSink
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import STREAM, record, table_mapping, target
from tests.support.specs import child_spec, column_spec
from tests.support.traps import HOSTILE_PATH, lay_traps, own_session, sprung


@pytest.fixture
async def trapped(migrated_database: str) -> str:
    """A database whose `public` is full of traps."""
    await lay_traps(migrated_database)
    return migrated_database


async def test_a_name_that_is_looked_up_in_public_is_found_out(trapped: str):
    """The test of the test."""
    connection = await asyncpg.connect(trapped)
    try:
        for text in (
            "select count(*) from pg_catalog.pg_class",
            "select pg_catalog.unnest(array['a']) = 'b'",
            "select now()",
            "select 'a'::text",
        ):
            with pytest.raises(asyncpg.RaiseError, match="was looked up in public"):
                await connection.fetch(text)
    finally:
        await connection.close()
    assert await sprung(trapped)


SEEING = """
create table public.seen (kind pg_catalog.text, path pg_catalog.text);
create function public.see() returns trigger language plpgsql as
$$ begin insert into seen values (tg_name, pg_catalog.current_setting('search_path')); return null;
end $$;
create trigger "before the statement" before insert or update or delete on public.t
    for each statement execute function public.see();
create trigger "after the row" after insert or update or delete on public.t
    for each row execute function public.see();
create trigger "after the statement" after insert or update or delete on public.t
    for each statement execute function public.see();
create constraint trigger "at the commit" after insert or update or delete on public.t
    deferrable initially deferred for each row execute function public.see();
"""
KINDS = {"before the statement", "after the row", "after the statement", "at the commit"}


@pytest.fixture
async def table(trapped: str) -> AsyncIterator[Loaded]:
    """A table with children and a history among the traps, whose triggers tell their path."""
    lines = child_spec("public.t_lines", "lines", value=column_spec("line", "line", "text"))
    wanted = table_mapping(target(history="public.t_history", children=(lines,), rest="extra"))
    loaded = await registered(trapped, wanted)
    connection = await own_session(trapped)
    await connection.execute(SEEING)
    await connection.close()
    yield loaded
    await loaded.database.close()


async def seen(table: Loaded) -> set[tuple[object, ...]]:
    found = await table.sql("select kind, path from public.seen")
    await table.sql("delete from public.seen")
    return set(found)


SEES_ITS_OWN = {(kind, HOSTILE_PATH) for kind in KINDS}


async def test_triggers_see_the_path_of_the_role_and_nothing_else_does(table: Loaded, trapped: str):
    lines = {"L": [{"S": "one"}]}
    for number, change in enumerate(
        (
            record(1, "a", n={"N": "1"}, lines=lines, other={"S": "x"}),
            record(2, "a", n={"N": "2"}, lines=lines),
            record(3, "a", n={"S": "no number"}),
            record(4, "a"),
        )
    ):
        await table.apply(change)
        assert await seen(table) == (set() if number == 2 else SEES_ITS_OWN), number
    connection = await own_session(trapped)
    await connection.execute(
        "set search_path = pg_catalog, public; insert into t (pk, n) values ('ghost', 1)"
    )
    await connection.close()
    await seen(table)
    snapshot = await table.begin()
    await table.apply(record(5, "b", n={"N": "2"}))
    assert await seen(table) == SEES_ITS_OWN
    await table.load(await table.claim(snapshot), "a")
    assert await seen(table) == SEES_ITS_OWN
    assert await table.stale_rows(snapshot) == [("ghost",)]
    await table.sweep(await table.claim(snapshot, 1), "ghost")
    assert await seen(table) == SEES_ITS_OWN
    assert await table.sql("select pk from public.t order by pk") == [("a",), ("b",)]
    assert not await sprung(trapped)


async def test_what_tries_rows_and_replays_them_steps_into_no_trap(table: Loaded, trapped: str):
    await table.apply(record(1, "a", n={"N": "1"}))
    await seen(table)
    sink = PostgresSink(table.database, table.mapping)
    plan = plan_batch([record(2, "b", n={"N": "7"})], table.mapping, read_at=0.0)
    assert await sink.refusals(plan) == {}
    await table.sql("alter table public.t add constraint few check (n operator(pg_catalog.<) 5)")
    assert set(await sink.refusals(plan)) == {"public.t"}
    await table.apply(record(3, "c", n={"S": "no number"}))
    await table.apply(record(4, "d", n={"S": "no number"}))
    await table.sql(
        'update replicator.dead_letter set new_image = replace(new_image, \'"S": "no number"\','
        ' \'"N": "1"\')'
    )
    assert await seen(table) == set()

    tried = await Replay(table.database).replay(table.mapping, [1, 2], who="Ada", why=None)

    assert [each.outcome for each in tried] == ["replayed", "replayed"]
    assert await seen(table) == SEES_ITS_OWN
    assert not await sprung(trapped)


async def test_what_prunes_versions_leaves_the_guard_and_accepts_gaps_steps_into_no_trap(
    table: Loaded, trapped: str
):
    snapshot = await table.begin()
    await table.apply(record(1, "a", n={"N": "1"}))
    await table.load(await table.claim(snapshot), "b")
    [complete] = await table.known()
    assert await table.snapshots.finish(complete)
    claims, gaps_and_halts = Claims(table.database, "worker"), GapsAndHalts(table.database)
    claim = await claims.claim(
        table.name, STREAM, SHARD, mapping_fingerprint=table.mapping.fingerprint
    )
    await gaps_and_halts.add_gap(claim, kind="certain", detail="lost")

    assert await gaps_and_halts.accept_gaps(table.name, who="Ada", why="seen") == 1
    await leave_guard(table.database)
    assert (await Pruning(table.database, retention_hours=1).step(0)).versions == 2

    assert await table.sql("select from replicator.row_version") == []
    assert not await sprung(trapped)


async def test_a_session_looks_into_nothing_but_the_catalog(migrated_database: str):
    for pooler in ("none", "transaction"):
        settings = ConnectionSettings(dsn=migrated_database, pooler=pooler)
        own = Database(settings, deployment="d", control_schema="c", pool_size=1)
        async with own.connection("looking") as connection:
            assert await connection.fetchval("show search_path") == SEARCH_PATH
        async with own.transaction("looking") as connection:
            assert await connection.fetchval("show search_path") == SEARCH_PATH
        await own.close()
