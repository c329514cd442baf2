"""One worker at a time lists a stream, and what it found counts for all."""

from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.shard_listing_turns import ListingTurns
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from tests.support.control import Control


async def listed_seconds(pool: Database) -> float | None:
    return (await ShardStore(pool).tables())["orders"].listed_seconds


async def test_two_workers_never_list_at_the_same_time(pool: Database):
    one, two = ListingTurns(pool, "one"), ListingTurns(pool, "two")

    assert await one.begin("orders", every_seconds=0)
    assert not await two.begin("orders", every_seconds=0)
    await two.end("orders", proved=True)
    assert not await two.begin("orders", every_seconds=0)
    await one.end("orders", proved=False)
    assert await two.begin("orders", every_seconds=0)


async def test_a_stream_is_listed_again_only_when_it_is_due(pool: Database, control: Control):
    one, two = ListingTurns(pool, "one"), ListingTurns(pool, "two")
    assert await one.begin("orders", every_seconds=3600)
    await one.end("orders", proved=True)

    assert not await two.begin("orders", every_seconds=3600)
    await control.connection.execute(
        "update replicator.listing set begun_at = now() - interval '2 hours'"
    )
    assert await two.begin("orders", every_seconds=3600)


async def test_a_listing_of_a_worker_that_died_is_begun_anew(pool: Database, control: Control):
    one, two = ListingTurns(pool, "one"), ListingTurns(pool, "two")
    assert await one.begin("orders", every_seconds=0)
    old = "update replicator.listing set heard_at = now() - interval '31 seconds'"
    await control.connection.execute(old)
    await one.keep("orders")
    assert not await two.begin("orders", every_seconds=0)
    await control.connection.execute(old)

    assert await two.begin("orders", every_seconds=0)
    await one.end("orders", proved=True)

    assert await listed_seconds(pool) is None


async def test_a_listing_counts_from_its_beginning_and_only_when_it_is_proved(
    pool: Database, control: Control
):
    one = ListingTurns(pool, "one")
    assert await one.begin("orders", every_seconds=0)
    await control.connection.execute(
        "update replicator.listing set begun_at = now() - interval '1 hour'"
    )
    await one.end("orders", proved=True)
    seconds = await listed_seconds(pool)
    assert seconds is not None
    assert seconds >= 3600

    assert await one.begin("orders", every_seconds=0)
    await one.end("orders", proved=False)

    again = await listed_seconds(pool)
    assert again is not None
    assert again >= seconds
