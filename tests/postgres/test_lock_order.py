"""Whoever changes more than one shard, gap or snapshot of a table locks the table first.

In one order nobody waits for somebody who waits for them: a command beside a worker, or two
workers, never end with "deadlock detected". What only the holder of one shard's or one segment's
claim does needs no lock of the table.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import timedelta

import asyncpg
import pytest

from replicator.core.stream.table_and_shard_facts import ListedShard, StreamOver
from replicator.postgres.control.forget_table import Forgetting
from replicator.postgres.control.snapshot.verify_repair_snapshots import begin_repair
from replicator.postgres.control.source_switch import SourceSwitch
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.stream.ordering_mode_switch import leave_guard
from replicator.postgres.control.stream.stream_retention import StreamRetention
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import NOON, STREAM, table_mapping, target
from tests.support.waiting import eventually

OLDER = STREAM.replace("2026-", "2020-")
NEWER = STREAM.replace("2026-", "2027-")
DAY = timedelta(days=1)

Verb = Callable[[Loaded], Coroutine[None, None, object]]


async def halt(table: Loaded) -> object:
    return await GapsAndHalts(table.database).halt(table.name, reason="it fails", remedy="resume")


async def pause(table: Loaded) -> object:
    await GapsAndHalts(table.database).set_paused(table.name, paused=True, who="me", why="seen")
    return True


async def resume(table: Loaded) -> object:
    await GapsAndHalts(table.database).set_paused(table.name, paused=False, who="me", why="seen")
    return True


async def add_break(table: Loaded) -> object:
    return await GapsAndHalts(table.database).add_break(table.name, SHARD, detail="it is off")


async def follow_an_older_stream(table: Loaded) -> object:
    return await GapsAndHalts(table.database).start_stream(
        table.name, OLDER, label_at=NOON - 9 * DAY, detail="new", after=StreamOver(STREAM)
    )


async def follow_a_newer_stream(table: Loaded) -> object:
    return await GapsAndHalts(table.database).start_stream(
        table.name, NEWER, label_at=NOON + 9 * DAY, detail="new", after=StreamOver(STREAM)
    )


async def accept_gaps(table: Loaded) -> object:
    return await GapsAndHalts(table.database).accept_gaps(table.name, who="me", why="seen")


async def move_to_another_source(table: Loaded) -> object:
    switch = SourceSwitch(table.database)
    return await switch.move(table.name, before=STREAM, stream_arn=NEWER, at=NOON + 9 * DAY)


async def keep_another_retention(table: Loaded) -> object:
    await StreamRetention(table.database).keep(table.name, STREAM, 7 * DAY)
    return True


async def ask_for_a_snapshot(table: Loaded) -> object:
    return await table.snapshots.ask(table.name, "asked", who="me", why="seen")


async def begin_a_snapshot(table: Loaded) -> object:
    [asked] = [each for each in await table.known() if each.state == "asked"]
    return await table.snapshots.begin(
        asked, table.mapping.targets, segments=2, items_estimated=None
    )


async def finish_a_snapshot(table: Loaded) -> object:
    [running] = [each for each in await table.known() if each.state == "running"]
    return await table.snapshots.finish(running)


async def abandon_a_snapshot(table: Loaded) -> object:
    [running] = [each for each in await table.known() if each.state == "running"]
    return await table.snapshots.abandon(running)


async def cancel_a_snapshot(table: Loaded) -> object:
    return await table.snapshots.cancel(table.name, who="me", why="seen")


async def give_an_export(table: Loaded) -> object:
    return await table.snapshots.give_export(table.name, "arn", who="me", why="seen")


async def repair(table: Loaded) -> object:
    return await begin_repair(
        table.database, table.name, ["public.t"], keys=1, who="me", why="seen"
    )


async def leave_the_guard(table: Loaded) -> object:
    return await leave_guard(table.database)


async def forget(table: Loaded) -> object:
    return await Forgetting(table.database).forget(table.name, who="me", why="seen")


async def nothing(_table: Loaded) -> None: ...


async def older_stream_in_view(table: Loaded) -> None:
    assert await follow_an_older_stream(table)


async def snapshot_runs(table: Loaded) -> None:
    await table.begin()


async def snapshot_is_loaded(table: Loaded) -> None:
    snapshot = await table.begin()
    await table.load(await table.claim(snapshot))


async def export_is_awaited(table: Loaded) -> None:
    await table.snapshots.ask(table.name, "asked", who="me", why="seen", origin="export")
    await begin_a_snapshot(table)


async def lambda_handed_over(table: Loaded) -> None:
    await table.sql(
        f"update replicator.table_state set mode = 'guard', changed_at = '{NOON - DAY}'"
    )
    await table.sql(f"update replicator.shard set safe_at = '{NOON}', listed = true")


VERBS: dict[Verb, Verb] = {
    halt: nothing,
    pause: nothing,
    resume: pause,
    add_break: nothing,
    follow_an_older_stream: nothing,
    follow_a_newer_stream: nothing,
    accept_gaps: older_stream_in_view,
    move_to_another_source: nothing,
    keep_another_retention: nothing,
    ask_for_a_snapshot: older_stream_in_view,
    begin_a_snapshot: ask_for_a_snapshot,
    finish_a_snapshot: snapshot_is_loaded,
    abandon_a_snapshot: snapshot_runs,
    cancel_a_snapshot: snapshot_runs,
    give_an_export: export_is_awaited,
    repair: nothing,
    leave_the_guard: lambda_handed_over,
    forget: pause,
}
"""Each with what must be so before."""


@pytest.fixture
async def table(migrated_database: str) -> AsyncIterator[Loaded]:
    loaded = await registered(migrated_database, table_mapping(target("public.t")))
    await loaded.sql(
        "insert into replicator.generation (deployment, source, stream_arn, label_at)"
        f" values ('test', '{loaded.name}', '{STREAM}', '{NOON}')"
    )
    other = [ListedShard("shard-1", None, closed=False)]
    await ShardStore(loaded.database).add_shards(loaded.name, STREAM, other)
    yield loaded
    await loaded.database.close()


@pytest.mark.parametrize(
    "held", ["table_state", "shard", "snapshot", pytest.param("gap", marks=pytest.mark.wide)]
)
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
async def test_a_table_is_locked_before_its_shards_gaps_and_snapshots(
    table: Loaded, migrated_database: str, verb: Verb, held: str
):
    await VERBS[verb](table)
    other = await asyncpg.connect(migrated_database)
    try:
        await other.execute(f"begin; select from replicator.{held} for update")
        running = asyncio.create_task(verb(table))
        locks = await locks_while_waiting(table, running)
    finally:
        await other.close()

    assert await running
    if held == "table_state":
        assert [name for name, mode in locks if mode == "RowExclusiveLock"] in ([], [held])
    elif locks:
        assert "table_state" in {name for name, _mode in locks}


async def locks_while_waiting(table: Loaded, running: asyncio.Task[object]) -> Sequence[list[str]]:
    """Tables of the control schema that the one who waits has locked; none where nobody waits."""
    found: list[list[str]] = []

    async def waits_or_is_done() -> bool:
        if running.done():
            return True
        rows = await table.sql(
            "select c.relname, l.mode from pg_locks l join pg_class c on c.oid = l.relation"
            " join pg_stat_activity a using (pid)"
            " where a.datname = current_database() and a.wait_event_type = 'Lock'"
            " and c.relnamespace = 'replicator'::regnamespace and c.relkind = 'r'"
            " and l.mode in ('RowShareLock', 'RowExclusiveLock') order by 1, 2"
        )
        found[:] = [[str(name), str(mode)] for name, mode in rows]
        return bool(rows)

    await eventually(waits_or_is_done, what="the command waits for a lock or is done")
    return found
