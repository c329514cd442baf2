"""Workers poll the shards that are not done, whatever lies behind them."""

from datetime import UTC, datetime

from replicator.core.stream.shard_lineage import FINISHED_SHARDS_KEPT, forgettable_shards
from replicator.core.stream.table_and_shard_facts import PolledShard
from replicator.postgres.control.stream.table_and_shard_store import ENDED_SECONDS, ShardStore
from tests.support.control import DEPLOYMENT, Control, control_pool, control_schema

CURRENT, OLDER = "arn-2", "arn-1"
ADD = """
insert into replicator.shard
       (deployment, source, stream_arn, shard_id, state, listed, parent_id, adjacent_parent_id,
        done_at, gap_accepted_at)
values ($1, 'orders', $2, $3, $4, true, 'one parent', 'another',
        case when $4 = 'done' then now() - make_interval(secs => $5) end,
        case when $6 then now() - interval '1 day' end)
"""
BEFORE, AFTER = ENDED_SECONDS - 60, ENDED_SECONDS + 60


async def add(
    control: Control,
    shard_id: str,
    state: str,
    *,
    arn: str = CURRENT,
    ended: float = 0.0,
    accepted: bool = False,
) -> None:
    await control.connection.execute(ADD, DEPLOYMENT, arn, shard_id, state, ended, accepted)


async def polled(control: Control, dsn: str) -> set[str]:
    await control.connection.execute("update replicator.table_state set stream_arn = $1", CURRENT)
    async with control_pool(dsn) as pool:
        shards = await ShardStore(pool).open_shards(["orders"])
        same = await ShardStore(pool).polled_shards(["orders"])
        assert {shard.shard_id for shard in same} == {shard.shard_id for shard in shards}
        every = await ShardStore(pool).shards(["orders"])
        assert [shard for shard in shards if shard not in every] == []
        assert await ShardStore(pool).open_shards(["others"]) == []
    names = [shard.shard_id for shard in shards]
    assert len(names) == len(set(names))
    return set(names)


async def test_what_is_not_done_is_polled_and_what_ended_a_moment_ago(migrated_database: str):
    async with control_schema(migrated_database) as control:
        await control.register("orders")
        for state in ("waiting", "active", "gap"):
            await add(control, state, state)
            await add(control, f"{state} of an older stream", state, arn=OLDER)
        await add(control, "accepted", "gap", accepted=True)
        await add(control, "ended", "done", ended=BEFORE)
        await add(control, "of long ago", "done", ended=AFTER, arn=OLDER)

        found = await polled(control, migrated_database)

        assert found == {
            *("waiting", "active", "gap", "accepted", "ended"),
            *(f"{state} of an older stream" for state in ("waiting", "active", "gap")),
        }


async def test_a_stream_whose_shards_all_ended_long_ago_was_listed_all_the_same(
    migrated_database: str,
):
    async with control_schema(migrated_database) as control:
        await control.register("orders")
        for number in range(3):
            await add(control, f"shard-{number}", "done", ended=AFTER)

        assert len(await polled(control, migrated_database)) == 1


LINES = """
-- Each shard of a line follows the one before; every third one is a merge with the line beside it.
insert into replicator.shard
       (deployment, source, stream_arn, shard_id, parent_id, adjacent_parent_id, state, listed,
        done_at, gap_accepted_at, last_sequence_number)
select $1, 'orders', $2, format('%s-%s', line, age),
       case when age < 6 then format('%s-%s', line, age + 1) end,
       case when age < 6 and (line + age) % 3 = 0 then format('%s-%s', line % 5 + 1, age + 1) end,
       case when age = 0 then 'active' when line = 4 then 'gap' else 'done' end,
       true,
       case when age > 0 then now() - make_interval(hours => age * 14) end,
       case when line = 4 and age > 0 then now() end,
       case when line % 2 = 0 then 7 end
  from generate_series(1, 5) as line cross join generate_series(0, 6) as age
"""


async def test_what_is_to_be_forgotten_is_found_among_what_ended_long_ago(migrated_database: str):
    """Whatever lies between, and whoever asks for all shards finds the same."""
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        await control.connection.execute(LINES, DEPLOYMENT, CURRENT)
        positions, now = ShardStore(pool), datetime.now(UTC)
        forgotten = list[str]()

        while True:
            every = await positions.shards(["orders"])
            ended = await positions.ended_before("orders", now - FINISHED_SHARDS_KEPT)
            found = {shard.shard_id for shard in forgettable_shards(ended, now, ())}
            assert found == {shard.shard_id for shard in forgettable_shards(every, now, ())}
            if not found:
                break
            assert len(ended) < len(every)
            forgotten += found
            for shard_id in found:
                await positions.forget_shard(CURRENT, shard_id)

        assert len(forgotten) >= 5


async def test_shards_are_asked_for_by_name(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        for name in ("one", "two", "three"):
            await add(control, name, "active")
        await add(control, "one", "active", arn=OLDER)
        positions = ShardStore(pool)

        found = await positions.shards_named(CURRENT, ["one", "three", "missing"])

        assert sorted(shard.shard_id for shard in found) == ["one", "three"]
        assert {shard.stream_arn for shard in found} == {CURRENT}
        assert await positions.are_on_record([(CURRENT, "one"), (OLDER, "one")])
        assert await positions.are_on_record([])
        assert not await positions.are_on_record([(CURRENT, "one"), (OLDER, "two")])


async def test_tables_are_asked_for_by_name(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        await control.register("others")
        positions = ShardStore(pool)

        assert set(await positions.tables()) == {"orders", "others"}
        assert set(await positions.tables(["others", "missing"])) == {"others"}


async def test_a_polled_shard_stays_the_same_object_while_its_row_is_the_same(database: str):
    """Its load is told in two digits."""
    async with control_schema(database) as control, control_pool(database) as pool:
        await control.register("orders")
        for name in ("one", "two"):
            await add(control, name, "active")
        positions = ShardStore(pool)

        async def polled(load: float) -> dict[str, PolledShard]:
            await control.connection.execute(
                "update replicator.shard set load = $1, polled_at = now() where shard_id = 'one'",
                load,
            )
            return {s.shard_id: s for s in await positions.polled_shards(["orders"])}

        first, second, third = await polled(123_400.0), await polled(121_000.0), await polled(1e6)

        assert first["two"] is second["two"] is third["two"]
        assert first["one"] is second["one"]
        assert (first["one"].load, third["one"].load) == (120_000.0, 1_000_000.0)
        assert (await polled(0.0))["one"].load == 0.0
        assert first["two"].load is None
