"""A status is made of the shards that are open: of those that ended only what matters is read."""

import json
import random
from collections import Counter
from dataclasses import replace
from datetime import datetime

import pytest

from replicator.core.status.assemble_status import Knowledge, overview
from replicator.core.status.deployment_status import TableStatus
from replicator.core.status.status_json import document
from replicator.core.status.status_shard_pages import (
    SHARDS_MAX,
    PageEnd,
    open_page,
    shards_document,
)
from replicator.postgres.control.status_reads import read_knowledge
from replicator.postgres.control.status_shards import read_ended, read_status_shards
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from tests.support.control import DEPLOYMENT, Control, control_pool, control_schema, stream_arn
from tests.support.many_shards import fill
from tests.support.wide import every

LINES, ENDED_OF_EACH = 1500, 12
ENDED = LINES * ENDED_OF_EACH
TOUCHED = """
select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables
 where schemaname = 'replicator' and relname = 'shard'
"""
LISTED = """
insert into replicator.listing (deployment, source, begun_at, heard_at, listed_at)
values ($1, $2, now(), now(), now() - make_interval(secs => $3))
    on conflict (deployment, source) do update set listed_at = excluded.listed_at
"""
ADD = """
insert into replicator.shard
       (deployment, source, stream_arn, shard_id, parent_id, adjacent_parent_id, state, listed,
        owner, safe_at, head_at, polled_at, found_at, last_record_at, gap_accepted_at, done_at)
select $1, $2, $3, $4, $5, $6, $7::text, true,
       case when $7 = 'active' then $8::text end,
       now() - make_interval(secs => $9),
       case when $10 then now() - make_interval(secs => $9) end,
       case when $7 <> 'waiting' then now() - make_interval(secs => $9) end,
       now() - interval '5 hours',
       now() - make_interval(secs => $9 + 1),
       case when $11 then now() - interval '1 hour' end,
       case when $7 = 'done' or $11 then now() - make_interval(secs => $9) end
"""


async def test_of_two_days_of_ended_shards_none_is_read(migrated_database: str):
    async with control_schema(migrated_database) as control:
        await control.register("orders")
        await fill(control, "orders", lines=LINES, ended_of_each=ENDED_OF_EACH)
        async with control_pool(migrated_database) as pool:
            async with pool.transaction("looking at the work") as connection:
                await read_status_shards(pool, connection)
                touched = await connection.fetchval(TOUCHED)
            knowledge, now = await read_knowledge(pool)

        [table] = overview(knowledge, now=now).tables
        assert table.shards == {"active": LINES, "done": ENDED}
        assert len(knowledge.shards) == len(table.lineage) == LINES
        assert touched < 4 * LINES


async def test_the_documents_do_not_grow_with_the_shards(migrated_database: str):
    async with control_schema(migrated_database) as control:
        await control.register("orders")
        await fill(control, "orders", lines=LINES, ended_of_each=ENDED_OF_EACH)
        async with control_pool(migrated_database) as pool:
            knowledge, now = await read_knowledge(pool)
            status = overview(knowledge, now=now)
            [table] = status.tables
            unfinished = open_page(table.lineage, None)
            page = shards_document(table, unfinished, [], more=True)
            ended = await read_ended(pool, "orders", None, shards_max=SHARDS_MAX)
            last = shards_document(table, [], ended, more=True)

    assert document(status)["verdict"] == "well"
    assert len(json.dumps(document(status))) < 10_000
    assert [len(json.dumps(each)) < 500_000 for each in (page, last)] == [True, True]


async def test_pages_of_ended_shards_have_each_once_the_newest_end_first(migrated_database: str):
    async with control_schema(migrated_database) as control:
        await control.register("orders")
        arn = await fill(control, "orders", lines=10, ended_of_each=3)
        await control.connection.execute(
            "update replicator.shard set done_at = date_trunc('hour', done_at)"
        )
        pages = []
        async with control_pool(migrated_database) as pool:
            after = PageEnd("active", None, arn, "the last of the open ones")
            while page := await read_ended(pool, "orders", after, shards_max=7):
                pages += page
                last = page[-1]
                after = PageEnd.of(PageEnd("done", last.done_at, arn, last.shard_id).text)

    instants = [each.done_at for each in pages]
    assert instants == sorted(instants, reverse=True)
    assert len({each.shard_id for each in pages}) == len(pages) == 30


async def test_the_newest_applied_change_is_found_among_ended_shards_too(migrated_database: str):
    async with control_schema(migrated_database) as control:
        await control.register("orders", "carts", "idle")
        for table in ("orders", "carts", "idle"):
            await control.generation(table)
        newest = await control.connection.fetchval("select now() - interval '2 minutes'")
        older = await control.connection.fetchval("select now() - interval '3 hours'")
        await control.shard("orders", "ended", state="done", last_record_at=newest, done_at=newest)
        await control.shard("orders", "open", last_record_at=older)
        await control.shard("carts", "ended", state="done", last_record_at=older, done_at=older)
        await control.shard("carts", "open", last_record_at=newest)
        await control.shard("idle", "ended", state="done", last_record_at=older, done_at=newest)
        await control.shard("idle", "open")
        async with control_pool(migrated_database) as pool:
            knowledge, _ = await read_knowledge(pool)

    assert knowledge.applied == {"orders": newest, "carts": newest, "idle": older}


@pytest.mark.parametrize("parents", [("left", "right"), ("right", "left")])
async def test_both_parents_of_a_merge_count(migrated_database: str, parents: tuple[str, str]):
    """Each ended later than the other in one of the two cases."""
    async with control_schema(migrated_database) as control:
        await control.register("orders", "carts")
        for table in ("orders", "carts"):
            arn = await control.generation(table)
            await control.connection.execute(LISTED, DEPLOYMENT, table, 0.0)
            for name, ago in zip(parents, (50.0, 500.0), strict=True):
                await _add(control, arn, name, state="done", ago=ago, table=table)
            state = "waiting" if table == "orders" else "done"
            both = ("left", "right")
            await _add(control, arn, "child", *both, state=state, ago=40.0, table=table)
        await _add(control, arn, "grandchild", "child", state="active", ago=1.0, table="carts")
        await control.worker("one")
        async with control_pool(migrated_database) as pool:
            knowledge, now = await read_knowledge(pool)

    waiting, ended = sorted(
        overview(knowledge, now=now).tables, key=lambda table: -len(table.source)
    )
    assert waiting.proof.unowned is not None
    assert 50 <= waiting.proof.unowned.seconds < 500
    assert ended.proof.ends is None


@pytest.mark.parametrize("seed", every(3, of=range(3)))
async def test_a_status_of_few_shards_says_what_one_of_all_of_them_says(
    migrated_database: str, seed: int
):
    """Random families of shards, each read in part and whole."""
    chance = random.Random(seed)
    async with control_schema(migrated_database) as control:
        await control.register("orders")
        current, older = await control.generation("orders"), stream_arn("orders", "2026-01-01")
        for _ in range(60):
            await control.connection.execute("delete from replicator.shard")
            await control.connection.execute("delete from replicator.worker")
            for arn in (current, older):
                await _family(control, arn, chance)
            listed = chance.choice([0.0, 30.0, 100.0])
            await control.connection.execute(LISTED, DEPLOYMENT, "orders", listed)
            await control.worker("one", listed_seconds=listed)
            async with control_pool(migrated_database) as pool:
                knowledge, now = await read_knowledge(pool)
                every = tuple(await ShardStore(pool).shards(["orders"]))

            done = Counter(shard.source for shard in every if shard.state == "done")
            whole = replace(knowledge, shards=every, ended=done, followed=frozenset())
            assert _status(knowledge, now) == _status(whole, now)


async def _family(control: Control, arn: str, chance: random.Random) -> None:
    """One to eight shards, parents first, of which a child may have two; none is older than the
    end of a parent.
    """
    states: dict[str, str] = {}
    ages: dict[str, float] = {}
    stream_over = chance.random() < 0.3
    for number in range(chance.randrange(1, 9)):
        name = f"shard-{number}"
        parents = chance.sample(sorted(states), min(len(states), chance.choice([0, 1, 1, 1, 2])))
        finished = stream_over or all(states[each] == "done" for each in parents)
        state = chance.choice(["done", "done", "done", "gap"] if stream_over else _STATES)
        if not finished and state in ("done", "active"):
            state = "waiting"
        age = chance.choice([5.0, 50.0, 100.0, 550.0, 5000.0])
        states[name] = state
        ages[name] = min(age, *(ages[each] for each in parents), age)
        await _add(
            *(control, arn, name),
            *parents,
            state=state,
            owner=chance.choice(["one", "dead"]),
            ago=ages[name],
            at_head=chance.random() < 0.5,
            accepted=state == "gap" and (stream_over or chance.random() < 0.5),
        )


async def _add(
    control: Control,
    arn: str,
    name: str,
    *parents: str,
    state: str,
    ago: float,
    owner: str = "one",
    at_head: bool = False,
    accepted: bool = False,
    table: str = "orders",
) -> None:
    await control.connection.execute(
        ADD,
        *(DEPLOYMENT, table, arn, name),
        *(*parents, None, None)[:2],
        *(state, owner, ago, at_head, accepted),
    )


_STATES = ["done", "done", "done", "active", "waiting", "gap"]


def _status(knowledge: Knowledge, now: datetime) -> TableStatus:
    in_order = sorted(knowledge.shards, key=lambda shard: (shard.stream_arn, shard.shard_id))
    [table] = overview(replace(knowledge, shards=in_order), now=now).tables
    return table
