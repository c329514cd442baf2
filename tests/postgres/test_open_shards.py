"""Workers poll the shards that are not done, whatever lies behind them."""

from replicator.postgres.control.stream.shard_store import ENDED_SECONDS, Positions
from tests.postgres.test_evidence import a_pool
from tests.support.control import DEPLOYMENT, Control, control_schema

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


async def polled(control: Control, database: str) -> set[str]:
    await control.connection.execute("update replicator.table_state set stream_arn = $1", CURRENT)
    async with a_pool(database) as pool:
        shards = await Positions(pool).open_shards(["orders"])
        every = await Positions(pool).shards(["orders"])
        assert [shard for shard in shards if shard not in every] == []
        assert await Positions(pool).open_shards(["others"]) == []
    names = [shard.shard_id for shard in shards]
    assert len(names) == len(set(names))
    return set(names)


async def test_what_is_not_done_is_polled_and_what_ended_a_moment_ago(database: str):
    async with control_schema(database) as control:
        await control.register("orders")
        for state in ("waiting", "active", "gap"):
            await add(control, state, state)
            await add(control, f"{state} of an older stream", state, arn=OLDER)
        await add(control, "accepted", "gap", accepted=True)
        await add(control, "ended", "done", ended=BEFORE)
        await add(control, "of long ago", "done", ended=AFTER, arn=OLDER)

        found = await polled(control, database)

        assert found == {
            *("waiting", "active", "gap", "accepted", "ended"),
            *(f"{state} of an older stream" for state in ("waiting", "active", "gap")),
        }


async def test_a_stream_whose_shards_all_ended_long_ago_was_listed_all_the_same(database: str):
    async with control_schema(database) as control:
        await control.register("orders")
        for number in range(3):
            await add(control, f"shard-{number}", "done", ended=AFTER)

        assert len(await polled(control, database)) == 1
