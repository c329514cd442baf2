"""A table that moves between DynamoDB Streams and Kinesis: modes, versions, shards, loads."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations

import asyncpg
import pytest

from replicator.core.stream.claims import Claim
from replicator.core.stream.source_kind import (
    DYNAMODB_STREAMS,
    KINESIS,
    SeenShare,
    is_created_again,
    kind_of,
    share_of,
    share_of_creation,
)
from replicator.core.stream.table_and_shard_facts import ListedShard, StreamOver
from replicator.errors import Fenced
from replicator.postgres.control.source_switch import SourceSwitch
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.stream.generations import Shares
from replicator.postgres.control.stream.ordering_mode_switch import leave_guard
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.control.stream.stream_retention import StreamRetention
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from tests.postgres.loaded import Loaded, registered
from tests.support.builders import NOON, STREAM, table_mapping, target

SHARE = share_of("arn:aws:kinesis:us-east-1:000000000000:stream/changes", "orders")
DAY = timedelta(days=1)
OTHER = share_of("arn:aws:kinesis:us-east-1:000000000000:stream/others", "orders")


@pytest.fixture
async def table(migrated_database: str) -> AsyncIterator[Loaded]:
    loaded = await registered(migrated_database, table_mapping(target("public.t")))
    yield loaded
    await loaded.database.close()


async def move(table: Loaded, before: str, to: str) -> str | None:
    moves = SourceSwitch(table.database)
    return await moves.move(table.name, before=before, stream_arn=to, at=NOON)


async def facts(table: Loaded) -> tuple[str | None, str]:
    known = (await ShardStore(table.database).tables())[table.name]
    return known.stream_arn, known.ordering


async def finish(table: Loaded) -> None:
    """Load nothing, and end the snapshot that was asked for."""
    [asked] = await table.known()
    await table.snapshots.begin(asked, table.mapping.targets, segments=1, items_estimated=None)
    [running] = await table.known()
    await table.load(await table.claim(running))
    assert await table.snapshots.finish(running)


def test_both_kinds_keep_records_for_a_day_at_least():
    assert DYNAMODB_STREAMS.retention == KINESIS.retention == timedelta(hours=24)
    assert (kind_of(STREAM), kind_of(SHARE)) == (DYNAMODB_STREAMS, KINESIS)


async def test_the_first_stream_of_a_table_decides_who_keeps_the_order(table: Loaded):
    await table.sql("update replicator.table_state set stream_arn = null")
    await GapsAndHalts(table.database).start_stream(
        table.name, SHARE, label_at=NOON, detail="new", after=StreamOver(None)
    )

    assert await facts(table) == (SHARE, "guard")
    assert await leave_guard(table.database) == []


async def test_a_table_of_kinesis_stays_guarded_when_its_load_is_done(table: Loaded):
    assert await move(table, STREAM, SHARE)
    assert await facts(table) == (SHARE, "guard")

    await finish(table)

    assert await facts(table) == (SHARE, "guard")


async def test_a_table_that_comes_back_is_loaded_and_left_to_the_fence(table: Loaded):
    await move(table, STREAM, SHARE)
    await finish(table)
    assert await move(table, SHARE, STREAM)

    assert await facts(table) == (STREAM, "fence")
    assert [each.reason for each in await table.known() if each.state == "asked"] == ["mapping"]
    [(state,)] = await table.sql("select state from replicator.shard")
    assert state == "waiting"
    assert await table.sql("select 1 from replicator.gap") == []


async def test_who_claimed_a_shard_before_the_move_writes_nothing_more(table: Loaded):
    claims = Claims(table.database, "worker")
    fingerprint = table.mapping.fingerprint
    claim = await claims.claim(table.name, STREAM, "shard-0", mapping_fingerprint=fingerprint)
    await move(table, STREAM, SHARE)

    with pytest.raises(Fenced):
        await claims.looked(claim, at=NOON, head=True)


async def test_versions_begin_anew_as_times_and_numbers_do_not_compare(table: Loaded):
    before = await table.sql("select id from replicator.target_claim")
    await move(table, STREAM, SHARE)

    assert await table.sql("select id from replicator.target_claim") != before


async def test_a_move_is_made_once_and_from_the_stream_that_was_seen(table: Loaded):
    assert await move(table, STREAM, SHARE)
    assert await move(table, STREAM, SHARE) is None
    assert await move(table, OTHER, STREAM) is None

    assert (await facts(table))[0] == SHARE
    assert len(await table.known()) == 1


async def test_a_new_shard_is_read_from_the_time_of_the_move(table: Loaded):
    await move(table, STREAM, SHARE)
    await ShardStore(table.database).add_shards(
        table.name, SHARE, [ListedShard("shard-1", None, closed=False)]
    )
    claim = await Claims(table.database, "worker").claim(
        table.name, SHARE, "shard-1", mapping_fingerprint=table.mapping.fingerprint
    )

    [(label_at,)] = await table.sql(
        f"select label_at from replicator.generation where stream_arn = '{SHARE}'"
    )
    assert claim.read_from == label_at


async def test_a_table_that_is_not_loaded_as_a_whole_has_a_gap_instead(table: Loaded):
    await table.sql("update replicator.table_state set initial_load = 'none'")
    await move(table, STREAM, SHARE)

    assert await table.known() == []
    [(kind, detail)] = await table.sql("select kind, detail from replicator.gap")
    assert kind == "possible"
    assert "changes made between the two are in neither" in str(detail)


@pytest.mark.parametrize("read_on", [False, True])
async def test_where_a_stream_was_created_again_what_was_read_of_it_tells_nothing_of_the_one_before(
    table: Loaded, read_on: bool
):
    """Both have the ids of their shards in common: who has no position reads on in the next one."""
    await move(table, STREAM, SHARE)
    created_at = datetime.now(UTC) + DAY
    read_at = created_at + DAY * (1 if read_on else -1)
    await ShardStore(table.database).add_shards(
        table.name, SHARE, [ListedShard("shard-1", None, closed=False)]
    )
    await table.sql(
        f"update replicator.shard set safe_at = '{read_at.isoformat()}' "
        f"where stream_arn = '{SHARE}'"
    )

    await GapsAndHalts(table.database).start_stream(
        table.name,
        share_of_creation(SHARE, created_at),
        label_at=created_at,
        detail="created again",
        after=StreamOver(SHARE),
    )

    [gap] = await GapsAndHalts(table.database).gaps()
    assert (gap.since, gap.cuts) == ((None, []) if read_on else (read_at, [read_at]))


async def test_the_creation_of_a_stream_on_record_is_noted_once(table: Loaded):
    await move(table, STREAM, SHARE)
    shares, now = Shares(table.database), datetime.now(UTC)
    assert await shares.seen(table.name, "another") is None
    found = await shares.seen(table.name, SHARE)
    assert found is not None
    assert (found.name, found.created_at) == (SHARE, None)

    await shares.note_creation(table.name, SHARE, now)
    await shares.note_creation(table.name, SHARE, now + DAY)

    found = await shares.seen(table.name, SHARE)
    assert found is not None
    assert found.created_at == now


@pytest.mark.parametrize(
    ("noted", "later", "same"),
    [
        (NOON, timedelta(0), True),
        (NOON, timedelta(seconds=5), True),
        (NOON, timedelta(seconds=30), False),
        (None, timedelta(seconds=30), True),
        (None, timedelta(minutes=2), False),
    ],
)
def test_a_stream_is_another_one_where_it_was_created_later(
    noted: datetime | None, later: timedelta, same: bool
):
    """Where nobody noted the creation, the first sight of the stream stands for it."""
    assert SeenShare(SHARE, NOON, noted).is_of(NOON + later) is same


def test_the_streams_of_one_arn_are_told_apart_by_their_creation():
    again, once_more = (share_of_creation(SHARE, NOON + DAY * days) for days in (1, 2))

    assert share_of_creation(again, NOON + DAY * 2) == once_more
    assert all(is_created_again(*pair) for pair in permutations((SHARE, again, once_more), 2))
    for same in (SHARE, again):
        assert not is_created_again(same, same)
    assert not is_created_again(again, OTHER)
    assert not is_created_again(SHARE, STREAM)


async def test_a_streams_own_retention_counts_in_claims_and_in_the_status(table: Loaded):
    await move(table, STREAM, SHARE)
    known = (await ShardStore(table.database).tables())[table.name]
    assert known.kept_for == timedelta(hours=24)
    await ShardStore(table.database).add_shards(
        table.name, SHARE, [ListedShard("shard-1", None, closed=False)]
    )

    await StreamRetention(table.database).keep(table.name, SHARE, timedelta(days=7))

    known = (await ShardStore(table.database).tables())[table.name]
    assert (known.kept_for, (await claimed(table)).kept_for) == (timedelta(days=7),) * 2


async def test_who_believes_in_a_longer_retention_writes_nothing_more(table: Loaded):
    """A stream may drop at once what it is not to keep any more."""
    await move(table, STREAM, SHARE)
    await ShardStore(table.database).add_shards(
        table.name, SHARE, [ListedShard("shard-1", None, closed=False)]
    )
    retention, claims = StreamRetention(table.database), Claims(table.database, "worker")
    await retention.keep(table.name, SHARE, timedelta(days=7))
    claim = await claimed(table)
    await retention.keep(table.name, SHARE, timedelta(days=7))
    await claims.looked(claim, at=NOON, head=False)

    await retention.keep(table.name, SHARE, timedelta(hours=24))

    with pytest.raises(Fenced):
        await claims.looked(claim, at=NOON, head=False)
    assert (await claimed(table)).kept_for == timedelta(hours=24)


async def claimed(table: Loaded) -> Claim:
    return await Claims(table.database, "worker").claim(
        table.name, SHARE, "shard-1", mapping_fingerprint=table.mapping.fingerprint
    )


async def test_a_table_that_was_created_after_its_stream_was_seen_is_a_gap_once(table: Loaded):
    await move(table, STREAM, SHARE)  # the stream begins now
    [(began_at,)] = await table.sql(
        f"select label_at from replicator.generation where stream_arn = '{SHARE}'"
    )
    assert isinstance(began_at, datetime)
    gaps_and_halts = GapsAndHalts(table.database)

    async def created(at: datetime) -> bool:
        return await gaps_and_halts.add_break(table.name, SHARE, detail=f"{at}", created_at=at)

    assert not await created(began_at - timedelta(days=1))
    assert not await created(began_at)
    assert await created(began_at + timedelta(days=1))
    assert not await created(began_at + timedelta(days=1))
    await gaps_and_halts.accept_gaps(table.name, who="me", why="seen")
    assert not await created(began_at + timedelta(days=1))
    assert await created(began_at + timedelta(days=2))


async def test_a_break_that_lasts_is_one_gap_and_the_next_one_is_another(table: Loaded):
    await move(table, STREAM, SHARE)
    claims, gaps_and_halts = Claims(table.database, "worker"), GapsAndHalts(table.database)
    await ShardStore(table.database).add_shards(
        table.name, SHARE, [ListedShard("k-0", None, closed=False)]
    )
    fingerprint = table.mapping.fingerprint
    claim = await claims.claim(table.name, SHARE, "k-0", mapping_fingerprint=fingerprint)

    assert await gaps_and_halts.add_break(table.name, SHARE, detail="off")
    with pytest.raises(Fenced):
        await claims.looked(claim, at=NOON, head=True)
    assert not await gaps_and_halts.add_break(table.name, SHARE, detail="off")
    await gaps_and_halts.accept_gaps(table.name, who="me", why="seen")
    assert not await gaps_and_halts.add_break(table.name, SHARE, detail="off")

    assert await gaps_and_halts.end_break(table.name, SHARE)
    assert not await gaps_and_halts.end_break(table.name, SHARE)
    assert await gaps_and_halts.add_break(table.name, SHARE, detail="off again")
    gaps = await table.sql("select state, detail, lasts from replicator.gap order by id")
    [(state, detail, lasts), other] = gaps
    assert (state, lasts) == ("accepted", False)
    assert str(detail).startswith("off; seen to end at 2")
    assert other == ("open", "off again", True)


async def test_a_break_that_comes_back_before_anybody_decided_is_the_same_gap(table: Loaded):
    await move(table, STREAM, SHARE)
    gaps_and_halts = GapsAndHalts(table.database)
    await gaps_and_halts.add_break(table.name, SHARE, detail="off")
    await gaps_and_halts.end_break(table.name, SHARE)

    assert not await gaps_and_halts.add_break(table.name, SHARE, detail="off again")
    await gaps_and_halts.accept_gaps(table.name, who="me", why="seen")
    assert not await gaps_and_halts.add_break(table.name, SHARE, detail="off again")
    assert await table.sql("select state, lasts from replicator.gap") == [("accepted", True)]


async def test_who_accepts_a_gap_waits_for_its_table_before_it_locks_the_gap(
    table: Loaded, migrated_database: str
):
    """A listing may note a stream at that moment, which locks the table and then its gaps."""
    older = STREAM.replace("2026-", "2020-")
    await table.sql(
        "insert into replicator.generation (deployment, source, stream_arn, label_at)"
        f" select deployment, source, stream_arn, '{NOON}' from replicator.table_state"
    )
    gaps_and_halts = GapsAndHalts(table.database)
    assert await gaps_and_halts.start_stream(
        table.name, older, label_at=NOON - 9 * DAY, detail="new", after=StreamOver(STREAM)
    )
    listing = await asyncpg.connect(migrated_database)
    try:
        await listing.execute("begin; select from replicator.table_state for update")
        accepting = asyncio.create_task(
            gaps_and_halts.accept_gaps(table.name, who="me", why="a failover")
        )
        await table.waiting(1)
        await listing.execute("select from replicator.gap for update nowait")
    finally:
        await listing.close()

    assert await accepting == 1
    assert (await facts(table))[0] == older
