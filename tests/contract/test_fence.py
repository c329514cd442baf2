"""Who may write a shard, in which order, and what a batch does: PostgreSQL, and its double."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream.shard_load import ShardLoad
from replicator.core.stream.table_and_shard_facts import Belief, ListedShard, ShardFacts, StreamOver
from replicator.core.stream_record import Position, StreamRecord
from replicator.engine.ports import Claims, GapsAndHalts, Heartbeats, ShardStore, Sink
from replicator.errors import BatchRejected, Fenced, NotClaimable, SinkBusy
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts as PostgresIncidents
from replicator.postgres.control.stream.shard_claims import Claims as PostgresClaims
from replicator.postgres.control.stream.table_and_shard_store import ShardStore as PostgresPositions
from replicator.postgres.control.worker_heartbeats import WorkerHeartbeats
from replicator.postgres.schema.migrate import migrate
from replicator.postgres.write.plan_writer import PostgresSink
from tests.support.bounds import scaled
from tests.support.builders import NOON, STREAM, record, shard_name, table_mapping, target
from tests.support.fake_postgres import FakePostgres
from tests.support.fakes import FakeClaims, FakeHeartbeats, FakeIncidents, FakePositions, FakeSink
from tests.support.faults import at_once

SOURCE, TARGET = "orders", "public.t"
OLD = STREAM.replace("2026-03-01", "2026-02-01")
NEW = STREAM.replace("2026-03-01", "2026-04-01")
DEPLOYMENT = "test"
MAPPING = table_mapping(initial_load="stream")
CHANGED = table_mapping(target(rest="extra"), initial_load="stream")


class At:
    """A clock that stands still."""

    def now(self) -> Any:
        return NOON


@dataclass(frozen=True)
class End:
    """One worker's ports, and a look behind them."""

    positions: ShardStore
    gaps_and_halts: GapsAndHalts
    heartbeats: Heartbeats
    claims: Claims
    other_claims: Claims
    sink: Sink
    rows: Callable[[], Any]
    letters: Callable[[], Any]
    register: Callable[[TableMapping], Any]
    refuse: Callable[[int], Any]
    """From now on the target takes no row with this number."""
    dsn: str = ""

    async def shard(self, number: int = 0, *, stream: str = STREAM) -> ShardFacts:
        [found] = [
            shard
            for shard in await self.positions.shards([SOURCE])
            if (shard.stream_arn, shard.shard_id) == (stream, shard_name(number))
        ]
        return found

    async def list_shards(self, *listed: tuple[int, int | None], stream: str = STREAM) -> None:
        await self.positions.add_shards(
            SOURCE,
            stream,
            [
                ListedShard(shard_name(n), None if p is None else shard_name(p), closed=False)
                for n, p in listed
            ],
            beside=set(),
        )

    async def claim(
        self, number: int = 0, *, stream: str = STREAM, by: Claims | None = None
    ) -> Claim:
        return await (by or self.claims).claim(
            SOURCE, stream, shard_name(number), mapping_fingerprint=MAPPING.fingerprint
        )

    async def apply(self, claim: Claim, *records: StreamRecord, expected: int | None) -> None:
        """Commit records behind `expected`, whatever the shard's position is."""
        last = records[-1].position
        await self.sink.apply(
            plan_batch(records, MAPPING, read_at=NOON.timestamp()),
            claim=claim,
            advance=Advance(
                None if expected is None else Position(expected), last, last, NOON, NOON
            ),
        )


async def fake_end() -> End:
    server = FakePostgres(At())

    async def register(mapping: TableMapping) -> None:
        server.register(mapping)

    async def rows() -> dict[str, str]:
        return {row[0]: row[1] for row in server.data.rows[TARGET].values()}

    async def letters() -> dict[int, str]:
        return {name[2]: letter.state for name, letter in server.data.letters.items()}

    async def refuse(number: int) -> None:
        server.refuses = lambda _, row: "refused" if row[1] == str(number) else None

    return End(
        FakePositions(server, at_once),
        FakeIncidents(server, at_once),
        FakeHeartbeats(server, at_once),
        FakeClaims(server, at_once, "one"),
        FakeClaims(server, at_once, "other"),
        FakeSink(server, at_once, MAPPING),
        rows,
        letters,
        register,
        refuse,
    )


async def real_end(dsn: str, stack: AsyncExitStack) -> End:
    databases = []
    for worker in ("one", "other"):
        database = Database(
            ConnectionSettings(dsn=dsn, lock_timeout_seconds=scaled(3.0)),
            deployment=DEPLOYMENT,
            control_schema="replicator",
            pool_size=2,
            worker_id=worker,
        )
        stack.push_async_callback(database.close)
        databases.append(database)

    async def register(mapping: TableMapping) -> None:
        done = await migrate(ConnectionSettings(dsn=dsn), "replicator", DEPLOYMENT, [mapping])
        assert not [finding for finding in done.findings if finding.severity == "error"]

    async def fetch(statement: str) -> list[asyncpg.Record]:
        async with databases[0].connection("a test") as connection:
            return await connection.fetch(statement)

    async def rows() -> dict[str, str]:
        return {row["pk"]: str(row["n"]) for row in await fetch(f"select * from {TARGET}")}

    async def letters() -> dict[int, str]:
        found = await fetch("select sequence_number, state from replicator.dead_letter")
        return {int(row["sequence_number"]): row["state"] for row in found}

    async def refuse(number: int) -> None:
        async with databases[0].connection("a test") as connection:
            await connection.execute(f"alter table {TARGET} add check (n <> {number})")

    return End(
        PostgresPositions(databases[0]),
        PostgresIncidents(databases[0]),
        WorkerHeartbeats(databases[0]),
        PostgresClaims(databases[0], "one"),
        PostgresClaims(databases[1], "other"),
        PostgresSink(databases[0], MAPPING),
        rows,
        letters,
        register,
        refuse,
        dsn,
    )


@pytest.fixture(params=["fake", "postgresql"])
def real_database(request: pytest.FixtureRequest) -> str | None:
    """The DSN of one with a control schema; None stands for the fake."""
    return None if request.param == "fake" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def end(real_database: str | None) -> AsyncIterator[End]:
    """A registered table with a stream and one shard."""
    async with AsyncExitStack() as stack:
        if real_database is None:
            made = await fake_end()
        else:
            made = await real_end(real_database, stack)
        await made.register(MAPPING)
        await made.gaps_and_halts.start_stream(SOURCE, STREAM, label_at=NOON, detail="")
        await made.list_shards((0, None))
        yield made


def n(number: int, key: str = "a", value: str = "1") -> StreamRecord:
    return record(number, key, n={"N": value})


def unfit(number: int, key: str = "a") -> StreamRecord:
    return record(number, key, n={"S": "no number"})


async def test_a_claim_fences_off_the_one_before(end: End):
    old = await end.claim()
    new = await end.claim(by=end.other_claims)

    with pytest.raises(Fenced):
        await end.apply(old, n(5), expected=None)

    assert await end.rows() == {}
    assert new.epoch > old.epoch
    await end.apply(new, n(5), expected=None)
    assert await end.rows() == {"a": "1"}


async def test_a_batch_that_is_sent_again_writes_nothing(end: End):
    claim = await end.claim()
    await end.apply(claim, n(5, value="1"), expected=None)
    await end.apply(claim, n(6, value="2"), expected=5)

    with pytest.raises(Fenced):
        await end.apply(claim, n(5, value="1"), expected=None)

    assert await end.rows() == {"a": "2"}
    assert (await end.shard()).position == 6


async def test_a_position_of_56_digits_is_kept_whole(end: End):
    first, second = 10**55 + 1, 10**55 + 2
    await end.apply(await end.claim(), n(first, value="1"), expected=None)

    again = await end.claim(by=end.other_claims)
    await end.apply(again, n(second, value="2"), expected=first)

    assert (again.position, (await end.shard()).position) == (first, second)


async def test_a_batch_that_is_refused_leaves_the_position_where_it_was(end: End):
    claim = await end.claim()
    await end.apply(claim, n(5), expected=None)
    await end.refuse(7)

    with pytest.raises(BatchRejected):
        await end.apply(claim, n(6, "b"), n(7, "c", "7"), unfit(8, "d"), expected=5)

    assert (await end.shard()).position == 5
    assert await end.rows() == {"a": "1"}
    assert await end.letters() == {}


async def test_a_fenced_batch_neither_deletes_nor_supersedes(end: End):
    claim = await end.claim()
    await end.apply(claim, n(5), unfit(6, "b"), expected=None)
    old = await end.claim()
    await end.claim(by=end.other_claims)

    with pytest.raises(Fenced):
        await end.apply(old, record(7, "a"), record(8, "b"), expected=6)

    assert await end.rows() == {"a": "1"}
    assert await end.letters() == {6: "open"}


async def test_the_fence_compares_positions_as_numbers(end: End):
    """As texts, 900 would come after 1000."""
    claim = await end.claim()
    await end.apply(claim, n(900), expected=None)
    await end.apply(claim, n(1000), expected=900)

    facts = await end.shard()
    assert (facts.position, facts.known) == (1000, 1000)


async def test_rejected_records_move_the_position_in_their_own_transaction(end: End):
    old = await end.claim()
    new = await end.claim(by=end.other_claims)

    with pytest.raises(Fenced):
        await end.apply(old, unfit(5), n(6, "b"), expected=None)
    assert await end.letters() == {}

    await end.apply(new, unfit(5), n(6, "b"), expected=None)
    assert await end.letters() == {5: "open"}
    assert await end.rows() == {"b": "1"}
    assert (await end.shard()).position == 6


async def test_a_newer_change_supersedes_the_dead_letters_of_its_item_and_no_others(end: End):
    claim = await end.claim()
    await end.apply(claim, unfit(5, "a"), unfit(6, "b"), expected=None)

    await end.apply(await end.claim(), record(7, "a"), expected=6)

    assert await end.letters() == {5: "superseded", 6: "open"}


async def test_a_child_that_is_listed_before_its_parent_waits_for_it(end: End):
    """Claimed as a root, it would be overwritten when the parent appears."""
    await end.list_shards((2, 1))
    with pytest.raises(NotClaimable):
        await end.claim(2)

    parent = await end.claim(1)
    assert not parent.owed
    await end.list_shards((1, None))
    parent = await end.claim(1)
    assert parent.owed
    await end.apply(parent, n(5), expected=None)
    with pytest.raises(NotClaimable):
        await end.claim(2)

    await end.claims.finish(parent, position=Position(5))
    assert (await end.claim(2)).safe_at == NOON


async def test_a_shard_of_a_merge_waits_for_both_parents_and_is_as_far_as_the_one_behind(end: End):
    merged = ListedShard(
        shard_name(3), shard_name(1), closed=False, adjacent_parent_id=shard_name(2)
    )
    await end.list_shards((1, None), (2, None))
    await end.positions.add_shards(SOURCE, STREAM, [merged], beside=set())
    assert (await end.shard(3)).parents == (shard_name(1), shard_name(2))
    first, second = await end.claim(1), await end.claim(2)
    await end.apply(first, n(5), expected=None)
    await end.claims.finish(first, position=Position(5))
    with pytest.raises(NotClaimable):
        await end.claim(3)

    await end.claims.looked(second, at=NOON - timedelta(minutes=9), head=True)
    await end.claims.finish(second, position=None)
    assert (await end.claim(3)).safe_at == NOON - timedelta(minutes=9)


async def test_a_parent_that_was_on_record_is_not_named_anew(end: End):
    """A failover lost it; named alone, it would have no parent and be read at once."""
    child = ListedShard(shard_name(2), shard_name(1), closed=False)

    with pytest.raises(Fenced):
        await end.positions.add_shards(SOURCE, STREAM, [child], beside={shard_name(1)})
    assert len(await end.positions.shards([SOURCE])) == 1

    await end.list_shards((1, 0))
    await end.positions.add_shards(SOURCE, STREAM, [child], beside={shard_name(1)})
    assert (await end.shard(1)).parent_id == shard_name(0)
    assert (await end.shard(2)).parent_id == shard_name(1)


async def test_a_parent_that_was_listed_since_it_was_claimed_is_owed_after_all(end: End):
    """Whoever slept in between cannot say that it never was."""
    await end.list_shards((2, 1))
    claim = await end.claim(1)
    await end.list_shards((1, None))

    with pytest.raises(Fenced):
        await end.gaps_and_halts.close_never_owed(claim)

    assert (await end.claim(1)).owed


async def test_a_parent_that_nobody_lists_is_not_owed(end: End):
    await end.list_shards((2, 1))

    await end.gaps_and_halts.close_never_owed(await end.claim(1))

    assert (await end.shard(1)).state == "done"
    await end.claim(2)


async def test_a_child_is_owed_from_when_its_parent_was_found(end: End):
    """What the parent owes at its end may be the child's first record."""
    await end.list_shards((1, 0))
    parent = await end.claim()
    await end.claims.finish(parent, position=None)

    assert (await end.claim(1)).found_at == (await end.shard()).found_at


async def test_the_end_of_a_shard_is_not_before_its_records(end: End):
    claim = await end.claim()
    await end.apply(claim, n(5), expected=None)

    with pytest.raises(Fenced):
        await end.claims.finish(claim, position=None)
    await end.claims.finish(claim, position=Position(5))

    with pytest.raises(Fenced):
        await end.apply(claim, n(6), expected=5)
    with pytest.raises(NotClaimable):
        await end.claim()


async def test_a_look_behind_another_position_than_ours_says_nothing(end: End):
    claim = await end.claim()
    await end.apply(claim, n(5), expected=None)

    with pytest.raises(Fenced):
        await end.claims.looked(claim, at=NOON + timedelta(hours=1), head=True)

    assert (await end.shard()).safe_at == NOON
    claim = await end.claim()
    await end.claims.looked(claim, at=NOON + timedelta(hours=1), head=True)
    assert (await end.shard()).safe_at == NOON + timedelta(hours=1)


async def test_a_worker_of_an_older_stream_cannot_write_once_a_newer_one_is_known(end: End):
    """Its position still matches: only the epoch keeps it from overwriting a newer row."""
    old = await end.claim()
    await end.apply(old, n(5), expected=None)

    await end.gaps_and_halts.start_stream(
        SOURCE, NEW, label_at=NOON + timedelta(days=31), detail="created again"
    )
    await end.gaps_and_halts.accept_gaps(SOURCE, who="a test", why="a test")
    await end.list_shards((0, None), stream=NEW)
    new = await end.claim(stream=NEW)
    await end.apply(new, n(1, value="7"), expected=None)

    with pytest.raises(Fenced):
        await end.apply(old, n(6), expected=5)
    with pytest.raises(NotClaimable):
        await end.claim()
    assert await end.rows() == {"a": "7"}


async def test_streams_are_ordered_by_their_labels_not_by_who_saw_them_first(end: End):
    await end.gaps_and_halts.start_stream(
        SOURCE, OLD, label_at=NOON - timedelta(days=31), detail="seen late"
    )

    assert (await end.positions.tables())[SOURCE].stream_arn == STREAM
    await end.claim()


async def test_a_new_stream_is_a_gap_that_stops_the_table_until_it_is_accepted(end: End):
    started = await end.gaps_and_halts.start_stream(
        SOURCE, NEW, label_at=NOON + timedelta(days=31), detail="created again"
    )

    assert started
    assert [gap.stream_arn for gap in (await end.positions.tables())[SOURCE].gaps] == [NEW]
    await end.list_shards((0, None), stream=NEW)
    with pytest.raises(NotClaimable):
        await end.claim(stream=NEW)
    assert await end.gaps_and_halts.accept_gaps(SOURCE, who="a test", why="a test") == 1
    await end.claim(stream=NEW)


async def test_a_stream_is_not_left_that_was_seen_read_and_is_not(end: End):
    """Whoever slept saw another one end; after a failover shards are unread, or unknown, again."""

    async def start(after: StreamOver) -> str | None:
        return await end.gaps_and_halts.start_stream(
            SOURCE, NEW, label_at=NOON + timedelta(days=31), detail="created again", after=after
        )

    claim = await end.claim()
    read = StreamOver(STREAM, frozenset({claim.shard_id}))
    more = StreamOver(STREAM, frozenset({claim.shard_id, "of another timeline"}))

    for seen in (StreamOver(None), StreamOver(OLD), read):
        with pytest.raises(Fenced):
            await start(seen)
    await end.claims.finish(claim, position=None)
    with pytest.raises(Fenced):
        await start(more)

    assert (await end.positions.tables())[SOURCE].stream_arn == STREAM
    assert await start(read)
    assert not await start(read)  # somebody else was quicker
    assert (await end.positions.tables())[SOURCE].stream_arn == NEW


async def test_an_older_stream_that_follows_one_that_is_over_is_a_gap_and_current_once_accepted(
    end: End,
):
    """A failover to a replica region, whose stream has the older label, and later back again."""

    async def follow(arn: str, label_at: datetime, before: str) -> str | None:
        return await end.gaps_and_halts.start_stream(
            SOURCE, arn, label_at=label_at, detail="newer", after=StreamOver(before)
        )

    claim = await end.claim()
    await end.apply(claim, n(5), expected=None)

    told = await follow(OLD, NOON - timedelta(days=31), STREAM)

    assert told is not None
    assert OLD in told
    assert STREAM in told
    assert await follow(OLD, NOON - timedelta(days=31), STREAM) is None  # it is on record
    [gap] = (await end.positions.tables())[SOURCE].gaps
    assert (gap.stream_arn, gap.shard_id, gap.kind) == (OLD, None, "possible")
    assert (await end.positions.tables())[SOURCE].stream_arn == STREAM
    await end.list_shards((0, None), stream=OLD)
    with pytest.raises(NotClaimable):
        await end.claim(stream=OLD)

    assert await end.gaps_and_halts.accept_gaps(SOURCE, who="a test", why="a failover") == 1

    assert (await end.positions.tables())[SOURCE].stream_arn == OLD
    with pytest.raises(Fenced):
        await end.apply(claim, n(6), expected=5)
    with pytest.raises(NotClaimable):
        await end.claim()
    await end.list_shards((0, None), stream=OLD)
    replica = await end.claim(stream=OLD)
    await end.apply(replica, n(1, value="7"), expected=None)
    assert await end.rows() == {"a": "7"}

    assert await follow(STREAM, NOON, OLD) is not None
    await end.gaps_and_halts.accept_gaps(SOURCE, who="a test", why="back again")
    with pytest.raises(Fenced):
        await end.apply(replica, n(2), expected=1)
    back = await end.claim()
    assert back.position == 5  # what it has read stays read
    await end.apply(back, n(6, value="8"), expected=5)
    assert await end.rows() == {"a": "8"}


async def test_a_stream_that_the_source_has_dropped_is_left_with_what_is_unread(end: End):
    await end.claim()

    started = await end.gaps_and_halts.start_stream(
        SOURCE,
        NEW,
        label_at=NOON + timedelta(days=31),
        detail="created again",
        after=StreamOver(STREAM),
    )

    assert started
    with pytest.raises(NotClaimable):
        await end.claim()


async def test_only_who_holds_a_shard_says_that_some_of_it_is_lost(end: End):
    old = await end.claim()
    new = await end.claim(by=end.other_claims)

    for verb in (
        end.gaps_and_halts.add_gap(old, kind="possible", detail="slept for a day"),
        end.gaps_and_halts.close_gone_shard(old),
        end.gaps_and_halts.close_never_owed(old),
    ):
        with pytest.raises(Fenced):
            await verb

    assert (await end.positions.tables())[SOURCE].gaps == ()
    await end.apply(new, n(5), expected=None)


async def test_only_a_shard_that_is_finished_is_forgotten(end: End):
    claim = await end.claim()
    await end.positions.forget_shard(STREAM, claim.shard_id)
    await end.apply(claim, n(5), expected=None)

    await end.claims.finish(await end.claim(), position=Position(5))
    await end.positions.forget_shard(STREAM, claim.shard_id)

    assert await end.positions.shards([SOURCE]) == []


async def test_whoever_slept_does_not_close_a_shard_whose_gap_was_accepted(end: End):
    await end.gaps_and_halts.add_gap(await end.claim(), kind="possible", detail="a test")
    await end.gaps_and_halts.accept_gaps(SOURCE, who="a test", why="a test")
    old = await end.claim()
    new = await end.claim(by=end.other_claims)

    with pytest.raises(Fenced):
        await end.gaps_and_halts.close_gone_shard(old)

    await end.apply(new, n(5), expected=None)
    await end.gaps_and_halts.close_gone_shard(new)
    assert (await end.shard()).finished


async def test_the_load_of_a_shard_is_kept_by_batches_and_looks_and_inherited_by_a_child(end: End):
    await end.list_shards((0, None), (1, 0))
    assert (await end.shard()).load is None
    claim = await end.claim()
    assert claim.load.records_a_minute == 0

    moved = Advance(None, Position(1), Position(1), NOON, NOON, load=600.0)
    await end.sink.apply(
        plan_batch([n(1)], MAPPING, read_at=NOON.timestamp()), claim=claim, advance=moved
    )
    assert (await end.shard()).load == 600
    claim = await end.claim()
    assert claim.load.records_a_minute == 600
    looked = replace(claim, load=ShardLoad(450.0))
    await end.claims.looked(looked, at=NOON, head=True)
    assert (await end.shard()).load == 450
    await end.claims.finish(claim, position=Position(1))

    assert (await end.shard(1)).load is None
    assert (await end.claim(1)).load.records_a_minute == 450


async def test_a_worker_says_the_load_of_its_shards_and_one_that_does_not_is_of_an_older_version(
    end: End,
):
    await end.heartbeats.seen("one", version="1", leases=2, beat=1, looking=True, load=450.0)

    assert [(sign.worker_id, sign.load) for sign in await end.heartbeats.workers()] == [
        ("one", 450.0)
    ]


async def test_a_second_gap_of_a_shard_is_not_covered_by_the_acceptance_of_the_first(end: End):
    await end.gaps_and_halts.add_gap(await end.claim(), kind="possible", detail="first")
    await end.gaps_and_halts.accept_gaps(SOURCE, who="a test", why="a test")
    claim = await end.claim()
    assert claim.gap_accepted_at is not None

    await end.gaps_and_halts.add_gap(claim, kind="certain", detail="second")

    shard = await end.shard()
    assert (shard.state, shard.gap_accepted_at, shard.finished) == ("gap", None, False)


async def test_a_changed_mapping_fences_off_who_writes_with_the_old_one(end: End):
    claim = await end.claim()

    await end.register(CHANGED)

    with pytest.raises(Fenced):
        await end.apply(claim, n(5), expected=None)
    with pytest.raises(NotClaimable):
        await end.claim()


async def test_halting_and_pausing_fence_off_whoever_writes(end: End):
    claim = await end.claim()
    await end.gaps_and_halts.halt(SOURCE, reason="a test", remedy="resume", seen=None)
    with pytest.raises(Fenced):
        await end.apply(claim, n(5), expected=None)
    with pytest.raises(NotClaimable):
        await end.claim()


@pytest.mark.parametrize(
    "stale", [Belief("an-older-stream", MAPPING.fingerprint), Belief(STREAM, "older")]
)
async def test_who_believes_what_was_so_once_stops_no_table(end: End, stale: Belief):
    claim = await end.claim()

    halt = end.gaps_and_halts.halt
    assert await halt(SOURCE, reason="a", remedy="b", seen=stale) == "stale"

    await end.apply(claim, n(5), expected=None)
    [table] = (await end.positions.tables()).values()
    assert not table.halted
    now = Belief(STREAM, MAPPING.fingerprint)
    assert await halt(SOURCE, reason="c", remedy="d", seen=now) == "halted"
    assert await halt(SOURCE, reason="e", remedy="f", seen=None) == "already"
    [table] = (await end.positions.tables()).values()
    assert (table.halted, table.reason) == (True, "c")
    with pytest.raises(Fenced):
        await end.apply(claim, n(6), expected=5)


async def test_a_claim_that_a_switch_ended_is_told_from_one_that_another_worker_ended(end: End):
    claim = await end.claim()
    assert not await end.claims.switched(claim)
    await end.register(CHANGED)
    assert await end.claims.switched(claim)
    await end.register(MAPPING)  # before anybody was refused
    assert await end.claims.switched(claim)

    claim = await end.claim()
    await end.claim(by=end.other_claims)
    assert not await end.claims.switched(claim)
    await end.gaps_and_halts.halt(SOURCE, reason="a test", remedy="resume", seen=None)
    assert not await end.claims.switched(claim)


@pytest.mark.parametrize("real_database", ["postgresql"], indirect=True)
async def test_a_foreign_session_in_the_way_of_a_claim_is_waited_for_and_not_ended(
    end: End,
):
    """A healthy migration, say: only a session of the recorded owner is ended."""
    await end.claim()
    foreign = await asyncpg.connect(end.dsn, server_settings={"application_name": "psql"})
    try:
        await foreign.execute("begin; update replicator.shard set polled_at = now()")
        with pytest.raises(SinkBusy):
            await end.claim(by=end.other_claims)
        await foreign.execute("commit")
    finally:
        await foreign.close()

    assert (await end.claim(by=end.other_claims)).epoch > 1
