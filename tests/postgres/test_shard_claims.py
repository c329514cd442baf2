"""A claim that a failover has lost stays lost, whatever epoch the shard has by now."""

from collections.abc import AsyncIterator

import pytest

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream_record import Position
from replicator.errors import Fenced
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.write.plan_writer import PostgresSink
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import NOON, STREAM, record, table_mapping

KEEP = "create table public.standby as select * from replicator.{0}"
LOSE = "delete from replicator.{0}; insert into replicator.{0} select * from public.standby"


@pytest.fixture
async def table(migrated_database: str) -> AsyncIterator[Loaded]:
    loaded = await registered(migrated_database, table_mapping())
    yield loaded
    await loaded.database.close()


async def run(table: Loaded, text: str) -> None:
    async with table.database.connection("failing over") as connection:
        await connection.execute(text)


async def lost_claim(table: Loaded) -> Claim:
    """A claim of the shard that an asynchronous standby has not received."""
    claims = Claims(table.database, "worker")
    place = (table.name, STREAM, SHARD)
    await claims.claim(*place, mapping_fingerprint=table.mapping.fingerprint)
    await run(table, KEEP.format("shard"))
    lost = await claims.claim(*place, mapping_fingerprint=table.mapping.fingerprint)
    await run(table, LOSE.format("shard"))
    return lost


async def test_a_removal_under_a_claim_that_a_failover_lost_does_not_pass_beside_a_snapshot(
    table: Loaded,
):
    await table.sql("insert into public.t values ('a', 1)")
    lost = await lost_claim(table)
    await table.begin()
    assert await table.sql("select epoch from replicator.shard") == [(lost.epoch,)]

    with pytest.raises(Fenced):
        await PostgresSink(table.database, table.mapping).apply(
            plan_batch([record(1, "a")], table.mapping, read_at=0.0),
            claim=lost,
            advance=Advance(None, Position(1), Position(1), NOON, NOON),
        )

    assert await table.sql("select pk from public.t") == [("a",)]


async def test_a_lost_claim_says_nothing_of_its_shard(table: Loaded):
    lost = await lost_claim(table)
    await table.begin()
    claims, gaps_and_halts = Claims(table.database, "worker"), GapsAndHalts(table.database)

    for late in (
        claims.looked(lost, at=NOON, head=True),
        claims.finish(lost, position=None),
        gaps_and_halts.add_gap(lost, kind="certain", detail=""),
        gaps_and_halts.close_gone_shard(lost),
        gaps_and_halts.close_never_owed(lost),
    ):
        with pytest.raises(Fenced):
            await late

    await claims.leave(lost)
    assert not await claims.switched(lost)
    assert await table.sql("select state, head_at from replicator.shard") == [("active", None)]


async def test_a_page_under_a_claim_that_a_failover_lost_is_not_written(table: Loaded):
    snapshot = await table.begin()
    await run(table, KEEP.format("segment"))
    lost = await table.claim(snapshot)
    await run(table, LOSE.format("segment"))
    newer = await table.claim(snapshot)
    assert (newer.epoch, newer.steps) == (lost.epoch, lost.steps)

    with pytest.raises(Fenced):
        await table.load(lost, "a")
    await table.load(newer, "b")

    assert await table.sql("select pk from public.t") == [("b",)]
