"""The row guard on a real server: versions first, and rows only where they were newer."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

import replicator
from replicator.core.mapping.item_keys import item_key_json
from replicator.core.planning.row_guard import Applied, Guard
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream_record import StreamRecord
from replicator.core.table_spec import TargetSpec
from replicator.postgres.connection.database import Session
from replicator.postgres.control.pruning import Pruning
from replicator.postgres.write.row_guard_sql import version_key
from tests.support.builders import KEY, NOON, STREAM, record, table_mapping, target
from tests.support.guarded import GuardedTable, guarded_table
from tests.support.specs import column_spec, key_column_spec
from tests.support.waiting import eventually

WAITING = (
    "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
)
LATER = STREAM.replace("2026-03-01", "2026-03-02")


@pytest.fixture
async def table(migrated_database: str) -> AsyncIterator[GuardedTable]:
    async with guarded_table(migrated_database, table_mapping()) as table:
        yield table


def put(number: int, key: str = "a", at: datetime = NOON) -> StreamRecord:
    return record(number, key, event="modify", at=at, n={"N": str(number)})


def turned_away(applied: Applied) -> dict[int, str]:
    return {rejection.record.letter_id: rejection.reason for rejection in applied.rejections}


async def test_an_older_change_and_a_repeated_one_are_turned_away(table: GuardedTable):
    await table.apply(put(5))
    older, repeated = await table.apply(put(3)), await table.apply(put(5))

    assert await table.rows() == {"a": 5}
    assert (turned_away(older), turned_away(repeated)) == ({3: "older"}, {5: "duplicate"})
    assert older.rows == repeated.rows == {}


async def test_a_tombstone_keeps_a_late_change_from_bringing_an_item_back(table: GuardedTable):
    await table.apply(record(5))
    await table.apply(put(3))
    await table.apply(put(6, "b"), record(7, "b"))

    assert await table.rows() == {}
    versions = await table.fetch("select deleted from replicator.row_version")
    assert [version["deleted"] for version in versions] == [True, True]


async def test_only_what_is_newer_of_a_batch_is_written(table: GuardedTable):
    await table.apply(put(5, "a"), put(6, "b"))
    applied = await table.apply(put(4, "a"), put(7, "b"), put(8, "c"), record(3, "d"))

    assert await table.rows() == {"a": 5, "b": 7, "c": 8}
    assert turned_away(applied) == {4: "older"}
    assert applied.rows == {("public.t", "upsert"): 2}


async def test_sequence_numbers_are_compared_inside_one_stream_only(table: GuardedTable):
    await table.apply(put(900))
    newer = await table.apply(put(1), stream_arn=LATER)
    late = await table.apply(put(901))

    assert await table.rows() == {"a": 1}
    assert (turned_away(newer), turned_away(late)) == ({}, {901: "older_generation"})


async def test_a_change_that_looks_newer_than_what_its_row_holds_is_called_suspicious(
    table: GuardedTable,
):
    await table.apply(put(5, at=NOON))
    applied = await table.apply(put(4, at=NOON + timedelta(minutes=2)))

    assert turned_away(applied) == {4: "suspicious"}


async def test_an_older_good_change_applies_after_a_rejected_newer_one(table: GuardedTable):
    await table.apply(record(5, n={"S": "no number"}))
    await table.apply(put(4))
    await table.apply(put(3))

    [letter] = await table.fetch("select state from replicator.dead_letter")
    assert await table.rows() == {"a": 4}
    assert letter["state"] == "open"


async def test_a_dead_letter_is_superseded_by_a_newer_change_only(table: GuardedTable):
    async def states() -> list[str]:
        rows = await table.fetch("select state from replicator.dead_letter order by id")
        return [row["state"] for row in rows]

    await table.apply(record(5, n={"S": "no number"}))
    await table.apply(put(4))
    assert await states() == ["open"]

    await table.apply(put(6))
    assert await states() == ["superseded"]

    await table.apply(record(3, n={"S": "late"}))
    await table.apply(record(8, n={"S": "of an older stream"}), stream_arn=LATER)
    assert await states() == ["superseded", "superseded", "open"]


async def test_a_scan_never_overwrites_what_the_stream_wrote_since_the_snapshot_began(
    table: GuardedTable,
):
    await table.apply(put(5, "a"), record(6, "b"), snapshot_id=1)
    scanned = [put(0, key) for key in "abc"]
    applied = await table.apply(*scanned, guard="scan", snapshot_id=1)

    assert await table.rows() == {"a": 5, "c": 0}
    assert {rejection.reason for rejection in applied.rejections} == {"snapshot"}
    unseen = "select 1 from replicator.row_version where snapshot_id is distinct from 1"
    assert await table.fetch(unseen) == []


async def test_a_scan_repairs_what_was_written_before_the_snapshot_and_lets_versions_stand(
    table: GuardedTable,
):
    await table.apply(put(5), record(6, "b"))
    await table.apply(put(0, "a"), put(0, "b"), guard="scan", snapshot_id=1)
    late = await table.apply(put(4, "a"), put(5, "b"), snapshot_id=1)

    assert await table.rows() == {"a": 0, "b": 0}
    assert turned_away(late) == {4: "older", 5: "older"}


async def test_a_stream_applies_over_a_scan(table: GuardedTable):
    await table.apply(put(0), guard="scan", snapshot_id=1)
    await table.apply(put(5), snapshot_id=1)

    assert await table.rows() == {"a": 5}


@pytest.mark.parametrize(("guard", "seen_by"), [("stream", None), ("scan", 7)])
async def test_a_rejected_item_is_seen_by_the_scan_that_finds_it_and_has_no_newer_version(
    table: GuardedTable, guard: Guard, seen_by: int | None
):
    number = 0 if guard == "scan" else 5
    await table.apply(record(number, event="modify", n={"S": "no"}), guard=guard, snapshot_id=7)

    [version] = await table.fetch("select * from replicator.row_version")
    assert (version["snapshot_id"], version["sequence_number"]) == (seen_by, 0)
    [letter] = await table.fetch("select sequence_number from replicator.dead_letter")
    assert letter["sequence_number"] == (number or None)

    await table.apply(put(0), guard="scan", snapshot_id=7)
    assert await table.rows() == {"a": 0}


async def test_a_rejected_change_that_comes_again_keeps_no_page_of_a_snapshot_back(
    table: GuardedTable,
):
    unfit = record(6, event="modify", n={"S": "no"})
    await table.apply(put(5))
    await table.apply(unfit)
    await table.apply(unfit, snapshot_id=7)  # what came after it was lost, and is loaded anew

    await table.apply(put(0), guard="scan", snapshot_id=7)
    assert await table.rows() == {"a": 0}


@pytest.fixture
async def soft_table(migrated_database: str) -> AsyncIterator[GuardedTable]:
    async with guarded_table(migrated_database, table_mapping(target(on_delete="soft"))) as table:
        yield table


async def soft_rows(table: GuardedTable) -> dict[str, tuple[int, int | None]]:
    """The column `n` by key, and the minutes from noon to the deletion."""
    found = await table.fetch("select pk, n, _deleted_at from public.t")
    return {
        row["pk"]: (row["n"], None if (at := row["_deleted_at"]) is None else at.minute)
        for row in found
    }


def put_at(number: int) -> StreamRecord:
    return put(number, at=NOON + timedelta(minutes=number))


def removed_at(number: int) -> StreamRecord:
    return record(number, at=NOON + timedelta(minutes=number))


SOFTLY = {
    "insert": [[put_at(1)], [removed_at(2)]],
    "newest": [[put_at(1)], [put_at(3)], [removed_at(4)]],
    "twice": [[put_at(1)], [removed_at(2)], [put_at(3)], [removed_at(4)]],
    "together": [[put_at(1)], [put_at(3), removed_at(4)], [put_at(3)]],
    "values of another batch": [[put_at(2), removed_at(4)], [put_at(3)]],
    "back": [[put_at(1)], [removed_at(2)], [put_at(5)]],
}


@pytest.mark.parametrize("history", SOFTLY)
async def test_soft_deletions_and_the_changes_before_them_may_come_in_any_order(
    soft_table: GuardedTable, history: str
):
    batches = SOFTLY[history]
    newest = max(change.version for batch in batches for change in batch)
    expected = {
        "insert": (1, 2),
        "back": (5, None),
    }.get(history, (3, 4))

    for order in permutations(batches):
        for batch in order:
            await soft_table.apply(*batch)
        assert await soft_rows(soft_table) == {"a": expected}, order
        [version] = await soft_table.fetch("delete from replicator.row_version returning *")
        assert version["sequence_number"] == newest
        await soft_table.fetch("delete from public.t")


async def test_an_item_that_a_scan_finds_after_its_soft_deletion_is_not_taken_back(
    soft_table: GuardedTable,
):
    await soft_table.apply(put_at(1))
    await soft_table.apply(removed_at(5))
    await soft_table.apply(put(0), guard="scan", snapshot_id=7)
    late = await soft_table.apply(put_at(3), snapshot_id=7)

    assert await soft_rows(soft_table) == {"a": (0, None)}
    assert turned_away(late) == {3: "older"}


async def test_values_beneath_a_soft_deletion_keep_no_page_of_a_snapshot_back(
    soft_table: GuardedTable,
):
    await soft_table.apply(removed_at(5))
    await soft_table.apply(put_at(3), snapshot_id=7)
    repeated = await soft_table.apply(put_at(3), snapshot_id=7)
    assert await soft_rows(soft_table) == {"a": (3, 5)}
    assert turned_away(repeated) == {3: "duplicate"}

    await soft_table.apply(put(0), guard="scan", snapshot_id=7)
    assert await soft_rows(soft_table) == {"a": (0, None)}


async def test_two_writers_of_one_key_end_at_the_newer_change_whoever_comes_first(
    table: GuardedTable,
):
    keys = [f"k{number}" for number in range(40)]
    schedule = random.Random(8)
    batches = [
        [put(number * 100 + place, key) for place, key in enumerate(schedule.sample(keys, 20))]
        for number in range(24)
    ]

    async with asyncio.TaskGroup() as tasks:
        for batch in schedule.sample(batches, len(batches)):
            tasks.create_task(table.apply(*batch))

    newest = {change.keys["pk"]["S"]: change.version for b in batches for change in b}
    assert await table.rows() == newest


@asynccontextmanager
async def somebody_writes(table: GuardedTable, number: int, key: str) -> AsyncIterator[Session]:
    """A version is written, and held until the other end of it has come to wait for it."""
    await table.apply(record(1, key))
    [version] = await table.fetch("delete from replicator.row_version returning *")
    async with table.held() as other:
        await other.execute(
            "insert into replicator.row_version"
            " (target_id, key, generation, sequence_number, deleted)"
            " values ($1, $2, $3, $4, false)",
            version["target_id"],
            version["key"],
            version["generation"],
            number,
        )
        yield other
        await eventually(lambda: table.fetch(WAITING), what="the other session waits")


async def test_a_removal_that_waited_for_the_writer_of_its_key_takes_the_row_away(
    table: GuardedTable,
):
    async with asyncio.TaskGroup() as tasks, somebody_writes(table, 5, "a") as other:
        await other.execute("insert into public.t (pk, n) values ('a', 5)")
        tasks.create_task(table.apply(record(6, "a")))

    assert await table.rows() == {}


async def test_a_change_that_waited_supersedes_the_dead_letter_it_waited_for(table: GuardedTable):
    async with asyncio.TaskGroup() as tasks, somebody_writes(table, 0, "a") as other:
        await other.execute(
            "insert into replicator.dead_letter (deployment, source, stream_arn, item_key, event,"
            " sequence_number, target, reason)"
            " values ('test', 'orders', $1, $2, 'modify', 5, 'public.t', 'no number')",
            STREAM,
            item_key_json({"pk": {"S": "a"}}, KEY),
        )
        tasks.create_task(table.apply(put(6)))

    [letter] = await table.fetch("select state from replicator.dead_letter")
    assert letter["state"] == "superseded"


async def test_a_rejected_change_that_waited_for_a_newer_one_leaves_no_open_dead_letter(
    table: GuardedTable,
):
    async with asyncio.TaskGroup() as tasks, somebody_writes(table, 6, "a") as other:
        await other.execute("insert into public.t (pk, n) values ('a', 6)")
        tasks.create_task(table.apply(record(5, n={"S": "no number"})))

    [letter] = await table.fetch("select state from replicator.dead_letter")
    assert letter["state"] == "superseded"


async def test_each_target_of_an_item_has_its_own_versions(migrated_database: str):
    strict = target("public.strict")
    loose = TargetSpec("public.t", columns=(column_spec("n", "n", "text"),))
    async with guarded_table(migrated_database, table_mapping(strict, loose)) as table:
        await table.apply(record(5, n={"S": "text"}))
        applied = await table.apply(put(4))

        assert await table.rows("public.strict") == {"a": 4}
        assert await table.rows() == {"a": "text"}
        assert [rejection.target for rejection in applied.rejections] == ["public.t"]


async def test_the_key_of_a_version_is_an_expression_over_the_row(migrated_database: str):
    key = tuple(
        key_column_spec(name, "pk", kind) for name, kind in (("a", "text"), ("b", "varchar(20)"))
    )
    mapping = table_mapping(TargetSpec("public.t", key=key))
    async with guarded_table(migrated_database, mapping) as table:
        await table.apply(record(5, 'it\'s, "so"', n={"N": "1"}))

        expression = version_key(mapping.targets[0].table, "t")
        matches = await table.fetch(
            f"select 1 from public.t as t join replicator.row_version as v on v.key = {expression}"
        )
        assert len(matches) == 1


async def test_old_versions_are_pruned_but_not_while_a_snapshot_runs(table: GuardedTable):
    pruning = Pruning(table.database, retention_hours=48)
    await table.switch(ordering=OrderingMode.LAMBDA, when=[OrderingMode.FENCE])
    await table.apply(put(5, "old"), put(6, "new"))
    await table.fetch(
        "update replicator.row_version set at = now() - interval '49 hours'"
        " where sequence_number = 5"
    )

    await table.switch(ordering=OrderingMode.LAMBDA, snapshot_id=1, when=[OrderingMode.LAMBDA])
    assert (await pruning.step(0)).versions == 0
    await table.switch(ordering=OrderingMode.LAMBDA, when=[OrderingMode.LAMBDA])
    async with table.held() as other:
        await other.execute("select 1 from replicator.row_version for update")
        assert (await pruning.step(0)).versions == 0

    assert (await pruning.step(0)).versions == 1
    await table.switch(ordering=OrderingMode.FENCE, when=[OrderingMode.LAMBDA])
    assert (await pruning.step(0)).versions == 1


def test_versions_are_pruned_by_one_job_of_a_worker_and_by_the_function():
    """Two jobs with two roundings of the retention kept it at neither."""
    package = Path(replicator.__file__).parent
    made = [path.name for path in package.rglob("*.py") if " = Pruning(" in path.read_text()]

    assert sorted(made) == ["execution_environment.py", "pruning.py"]


async def test_versions_of_a_target_that_is_nobodys_are_pruned(table: GuardedTable):
    await table.switch(ordering=OrderingMode.GUARD, when=[OrderingMode.FENCE])
    await table.apply(put(5))
    await table.fetch("delete from replicator.target_claim")

    pruned = await Pruning(table.database, retention_hours=48).step(0)

    assert (pruned.versions, pruned.next_page) == (1, 0)


async def test_a_switch_of_the_mode_raises_every_epoch_and_is_made_from_a_known_one(
    table: GuardedTable,
):
    await table.fetch(
        "insert into replicator.shard (deployment, source, stream_arn, shard_id, listed, state)"
        " values ('test', 'orders', 'arn', 's', true, 'active')"
    )

    assert not await table.switch(ordering=OrderingMode.FENCE, when=[OrderingMode.GUARD])
    assert await table.switch(ordering=OrderingMode.GUARD, snapshot_id=3, when=[OrderingMode.FENCE])

    [state] = await table.fetch("select mode, snapshot_id from replicator.table_state")
    [shard] = await table.fetch("select epoch from replicator.shard")
    assert (state["mode"], state["snapshot_id"], shard["epoch"]) == ("guard", 3, 1)
