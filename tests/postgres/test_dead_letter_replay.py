"""A dead letter that is tried again never overtakes a newer change of its item."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream_record import Position, StreamRecord
from replicator.errors import ConfigurationError, Fenced
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.schema.migrate import migrate
from replicator.postgres.write.dead_letter_replay import Replay
from replicator.postgres.write.plan_writer import PostgresSink
from tests.support.builders import record
from tests.support.control import DEPLOYMENT, Control, control_pool, control_schema, stream_arn
from tests.support.mappings import mapping, target
from tests.support.waiting import eventually

HISTORY = "public.orders_history"
STREAM = stream_arn("orders")
STRICT = mapping(target(columns={"n": "integer"}, history=HISTORY))
MENDED = mapping(target(columns={"n": "numeric"}, history=HISTORY))


class Stage:
    """One table, one shard, and a worker that holds it."""

    def __init__(self, control: Control, database: Database) -> None:
        self.control = control
        self.database = database
        self.mapping = STRICT
        self.position: Position | None = None
        self.claims = Claims(database, "worker")

    async def use(self, mapped: TableMapping) -> None:
        await migrate(ConnectionSettings(dsn=self.control.dsn), "replicator", DEPLOYMENT, [mapped])
        self.mapping = mapped

    async def claim(self) -> Claim:
        return await self.claims.claim(
            "orders", STREAM, "shard-0", mapping_fingerprint=self.mapping.fingerprint
        )

    async def apply(self, claim: Claim, *records: StreamRecord) -> None:
        last = records[-1].position
        plan = plan_batch(records, self.mapping, read_at=0)
        now = datetime.now(UTC)
        advance = Advance(self.position, last, last, now, now)
        await PostgresSink(self.database, self.mapping).apply(plan, claim=claim, advance=advance)
        self.position = last

    async def batch(self, *records: StreamRecord) -> None:
        await self.apply(await self.claim(), *records)

    async def rows(self) -> list[tuple[Any, ...]]:
        return await self.control.rows("select order_id, n from public.orders order by 1")

    async def letters(self) -> list[tuple[Any, ...]]:
        return await self.control.rows(
            "select sequence_number::int, target, state from replicator.dead_letter order by 1"
        )

    async def replay(self) -> list[tuple[str, str | None]]:
        async with self.database.connection("looking") as connection:
            letters = await connection.fetch(
                "select id from replicator.dead_letter order by sequence_number"
            )
        tried = await Replay(self.database).replay(
            self.mapping, [letter["id"] for letter in letters], who="ada", why="mended"
        )
        return [(each.outcome, each.reason) for each in tried]


@pytest.fixture
async def stage(migrated_database: str) -> AsyncIterator[Stage]:
    async with (
        control_pool(migrated_database, pool_size=4) as pool,
        control_schema(migrated_database) as control,
    ):
        stage = Stage(control, pool)
        await stage.use(STRICT)
        await control.generation("orders")
        await control.shard("orders")
        # a table of one's own may hold more than the mapping says
        await control.connection.execute("alter table public.orders alter n type numeric")
        yield stage


async def test_a_mended_mapping_applies_what_was_set_aside(stage: Stage):
    await stage.batch(record(1, n={"N": "1"}), record(2, "b", n={"N": "2.5"}))
    assert await stage.replay() == [("refused", "attribute 'n', column 'n': is not an integer")]

    await stage.use(MENDED)
    assert await stage.replay() == [("replayed", None)]

    assert [(key, str(n)) for key, n in await stage.rows()] == [("a", "1"), ("b", "2.5")]
    assert await stage.letters() == [(2, "public.orders", "replayed")]
    assert await stage.replay() == [("closed", None)]
    assert await stage.control.actions() == [("orders", "replay dead letters", "ada", "mended")]
    [(history,)] = await stage.control.rows(f"select count(*) from {HISTORY}")
    assert history == 2


async def test_a_newer_change_leaves_nothing_to_replay(stage: Stage):
    await stage.batch(record(1, n={"N": "1.5"}))
    await stage.batch(record(2))
    await stage.use(MENDED)

    assert await stage.replay() == [("closed", None)]
    assert await stage.rows() == []


@pytest.mark.parametrize("newer", ["removal", "change"])
async def test_a_batch_that_began_before_the_replay_does_not_miss_what_it_wrote(
    stage: Stage, newer: str
):
    """The batch waits for the letter's row, and would not see the row that the replay inserted."""
    await stage.batch(record(1, n={"N": "1.5"}))
    await stage.use(MENDED)
    change = record(2) if newer == "removal" else record(2, n={"N": "2"})
    claim = await stage.claim()
    assert claim.open_letters
    blocker = await asyncpg.connect(stage.control.dsn)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("insert into public.orders (order_id) values ('a')")
    try:
        replaying = asyncio.create_task(stage.replay())
        await waiting(stage, 1)
        applying = asyncio.create_task(stage.apply(claim, change))
        await waiting(stage, 2)
    finally:
        await transaction.rollback()
        await blocker.close()

    assert await replaying == [("replayed", None)]
    with pytest.raises(Fenced):
        await applying
    await stage.batch(change)

    rows = [(key, str(n)) for key, n in await stage.rows()]
    assert rows == ([] if newer == "removal" else [("a", "2")])


async def test_a_replay_that_waited_for_a_batch_finds_its_letter_superseded(stage: Stage):
    await stage.batch(record(1, n={"N": "1.5"}))
    await stage.use(MENDED)
    claim = await stage.claim()
    blocker = await asyncpg.connect(stage.control.dsn)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("insert into public.orders (order_id) values ('a')")
    try:
        applying = asyncio.create_task(stage.apply(claim, record(2, n={"N": "3"})))
        await waiting(stage, 1)
        replaying = asyncio.create_task(stage.replay())
        await waiting(stage, 2)
    finally:
        await transaction.rollback()
        await blocker.close()
    await applying

    assert await replaying == [("closed", None)]
    assert [(key, str(n)) for key, n in await stage.rows()] == [("a", "3")]


async def waiting(stage: Stage, sessions: int) -> None:
    """Until so many sessions wait for a lock."""
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"

    async def wait() -> bool:
        [(found,)] = await stage.control.rows(f"{query} and datname = current_database()")
        return found >= sessions

    await eventually(wait, what=f"{sessions} sessions wait for a lock")


async def test_what_postgresql_refuses_again_stays_open_and_the_others_are_replayed(stage: Stage):
    await stage.control.connection.execute("alter table public.orders add check (n <> 13)")
    await stage.batch(record(1, "a", n={"N": "1.5"}), record(2, "b", n={"N": "13.0001"}))
    await stage.control.connection.execute("alter table public.orders add check (n < 13)")
    await stage.use(MENDED)

    [one, other] = await stage.replay()

    assert one == ("replayed", None)
    assert other[0] == "refused"
    assert "orders_n_check1" in str(other[1])
    assert await stage.letters() == [
        (1, "public.orders", "replayed"),
        (2, "public.orders", "open"),
    ]


async def test_a_letter_of_a_history_is_appended_once_though_newer_changes_are_there(stage: Stage):
    check = f"alter table {HISTORY} add constraint picky check (operation <> 'modify')"
    await stage.control.connection.execute(check)
    claim = await stage.claim()
    plan = plan_batch(
        [record(1, n={"N": "1"})], STRICT, read_at=0, refused={HISTORY: ("refused", "23514")}
    )
    now = datetime.now(UTC)
    sink = PostgresSink(stage.database, STRICT)
    await sink.apply(plan, claim=claim, advance=Advance(None, Position(1), Position(1), now, now))
    stage.position = Position(1)
    await stage.batch(record(2))
    await stage.control.connection.execute(f"alter table {HISTORY} drop constraint picky")

    assert await stage.replay() == [("replayed", None)]

    found = await stage.control.rows(
        f"select stream_arn, sequence_number::int from {HISTORY} order by 2"
    )
    assert found == [(STREAM, 1), (STREAM, 2)]
    assert await stage.rows() == []


async def test_a_replay_waits_for_migrate(stage: Stage):
    await stage.batch(record(1, n={"N": "1.5"}))
    stage.mapping = MENDED

    with pytest.raises(ConfigurationError, match="another one than what is registered"):
        await stage.replay()


async def test_while_rows_are_guarded_their_versions_decide(stage: Stage):
    await stage.use(MENDED)
    await stage.batch(record(1, n={"N": "1"}))
    await stage.use(STRICT)
    await stage.control.connection.execute("update replicator.table_state set mode = 'guard'")
    await stage.batch(record(2, n={"N": "2.5"}), record(3, "b", n={"N": "3.5"}))
    await stage.use(MENDED)
    newer = await stage.claim()
    await stage.apply(newer, record(4, "b", n={"N": "4"}))
    await stage.control.connection.execute("update replicator.dead_letter set state = 'open'")

    assert await stage.replay() == [("replayed", None), ("closed", None)]

    assert [(key, str(n)) for key, n in await stage.rows()] == [("a", "2.5"), ("b", "4")]


async def test_discarded_letters_are_closed_with_who_and_why(stage: Stage):
    await stage.batch(record(1, n={"N": "1.5"}))
    [(number,)] = await stage.control.rows("select id from replicator.dead_letter")
    replay = Replay(stage.database)

    assert await replay.discard([number], who="ada", why="test data") == [number]
    assert await replay.discard([number], who="ada", why="test data") == []

    found = await stage.control.rows(
        "select state, closed_by, closed_why from replicator.dead_letter"
    )
    assert found == [("discarded", "ada", "test data")]
    assert await stage.control.actions() == [("orders", "discard dead letters", "ada", "test data")]


async def test_an_expired_removal_is_replayed_as_one(stage: Stage):
    stage_mapping = mapping(
        replace(STRICT.spec.targets[0], on_expire="soft", columns=STRICT.spec.targets[0].columns)
    )
    await stage.use(stage_mapping)
    await stage.batch(record(1, n={"N": "1"}))
    claim = await stage.claim()
    plan = plan_batch(
        [record(2, expired=True)],
        stage_mapping,
        read_at=0,
        refused={"public.orders": ("refused", "P0001")},
    )
    now = datetime.now(UTC)
    sink = PostgresSink(stage.database, stage_mapping)
    await sink.apply(
        plan, claim=claim, advance=Advance(Position(1), Position(2), Position(2), now, now)
    )

    assert await stage.replay() == [("replayed", None)]

    [(deleted_at,)] = await stage.control.rows("select _deleted_at from public.orders")
    assert deleted_at is not None


async def test_a_letter_of_a_table_with_another_key_is_not_replayed(stage: Stage):
    await stage.batch(record(1, n={"N": "2.5"}))
    await stage.use(MENDED)
    await stage.control.connection.execute(
        """update replicator.dead_letter set item_key = '{"pk":{"S":"a"},"sk":{"S":"1"}}'"""
    )

    [(outcome, reason)] = await stage.replay()

    assert outcome == "refused"
    assert "has the key (pk, sk) now" in str(reason)
    assert await stage.rows() == []
