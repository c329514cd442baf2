"""PostgreSQL keeps the plans of statements that have one best plan, and of no other ones."""

import asyncio
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from replicator.clock import SystemClock
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.stream.claims import Claim
from replicator.core.stream_record import StreamRecord
from replicator.core.telemetry_events import unobserved
from replicator.engine.stream.plan_and_apply_batch import Batch, BatchPipeline
from replicator.errors import Fenced, SchemaMismatch
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.connection.plan_cache_mode import STEADY_IN_A_ROW
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.write.batch_statement import BatchShape
from replicator.postgres.write.plan_writer import PostgresSink
from replicator.postgres.write.target_sql import TargetShape
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import NOON, STREAM, record, table_mapping, target
from tests.support.specs import child_spec, column_spec

ENOUGH = STEADY_IN_A_ROW + 6
"""Batches of one kind after which a plan is kept: PostgreSQL makes five for the values first."""
KEPT = "select statement from pg_prepared_statements where generic_plans > 0"
PLANNED = "select statement from pg_prepared_statements where generic_plans = 0"
DEPENDENT = ("delete from", 'update "public"', '"replicator".dead_letter')
"""Parts whose best plan depends on the number of rows."""
PRICES = child_spec("public.prices", "prices", value=column_spec("price", "price", "numeric"))
MAPPINGS = {
    "history": table_mapping(target(history="public.past")),
    "soft": table_mapping(target(on_delete="soft")),
    "children": table_mapping(target(children=(PRICES,))),
}
PLAIN = table_mapping()
UNFIT = "no number"


class Shard:
    """One shard of a table, whose batches go through one session."""

    def __init__(self, it: Loaded) -> None:
        self.it = it
        sink = PostgresSink(it.database, it.mapping)
        self.pipeline = BatchPipeline(it.name, it.mapping, sink, unobserved, SystemClock())
        self.number = 0
        self.held: Claim | None = None

    async def claim(self) -> Claim:
        return await Claims(self.it.database, "worker").claim(
            self.it.name, STREAM, SHARD, mapping_fingerprint=self.it.mapping.fingerprint
        )

    async def write(self, *changes: tuple[str, str | None]) -> None:
        """A batch: for each key its new `n`, None for a deletion."""
        self.held = self.held or await self.claim()
        records = [self._record(*change) for change in changes]
        batch = Batch(records, records[-1].position, NOON)
        self.held = await self.pipeline.process(batch, self.held, asyncio.Event())

    def _record(self, key: str, value: str | None) -> StreamRecord:
        self.number += 1
        if value is None:
            return record(self.number, key)
        return record(self.number, key, n={"S" if value == UNFIT else "N": value})

    async def kept(self) -> list[str]:
        """The statements that a session has kept a plan of."""
        return [str(text) for (text,) in await self.it.sql(KEPT)]


async def mode(database: Database, *, steady: bool) -> str:
    async with database.connection("looking", steady=steady) as connection:
        return str(await connection.fetchval("show plan_cache_mode"))


UPSERTS = TargetShape(upserts=True, deletes=False, soft_deletes=False, appends=True)
BATCH = BatchShape((UPSERTS, UPSERTS), dead_letters=False, supersede=False)
OTHERS = {
    "deletions": replace(BATCH, targets=(UPSERTS, replace(UPSERTS, deletes=True))),
    "soft deletions": replace(BATCH, targets=(replace(UPSERTS, soft_deletes=True), UPSERTS)),
    "child rows": replace(BATCH, targets=(replace(UPSERTS, children=True),)),
    "orphans": replace(BATCH, targets=(replace(UPSERTS, orphans=True),)),
    "dead letters": replace(BATCH, dead_letters=True),
    "older dead letters": replace(BATCH, supersede=True),
    "behind versions": replace(BATCH, guard="stream"),
}


@pytest.mark.parametrize("shape", OTHERS.values(), ids=OTHERS)
def test_a_batch_is_steady_if_it_puts_rows_in_place_and_does_nothing_else(shape: BatchShape):
    assert BATCH.steady
    assert not shape.steady


async def test_a_session_keeps_plans_while_it_is_used_for_steady_statements_alone(database: str):
    it = Database(
        ConnectionSettings(dsn=database), deployment="d", control_schema="replicator", pool_size=1
    )
    uses = [True, True, True, False, True, False, True, True, False]

    modes = [await mode(it, steady=steady) for steady in uses]
    await mode(it, steady=True)
    await mode(it, steady=True)
    async with it.transaction("looking") as connection:
        within = await connection.fetchval("show plan_cache_mode")
    await it.close()

    planned, kept = "force_custom_plan", "auto"
    assert modes == [planned, kept, kept, planned, planned, planned, planned, kept, planned]
    assert within == planned


async def test_behind_a_pooler_every_statement_is_planned(database: str):
    it = Database(
        ConnectionSettings(dsn=database, pooler="transaction"),
        deployment="d",
        control_schema="replicator",
        pool_size=1,
    )

    modes = {await mode(it, steady=True) for _ in range(ENOUGH)}
    await it.close()

    assert modes == {"force_custom_plan"}


@pytest.mark.parametrize("mapping", MAPPINGS.values(), ids=MAPPINGS)
async def test_no_plan_is_kept_of_what_looks_for_rows_that_go(database: str, mapping: TableMapping):
    shard, chance = Shard(await registered(database, mapping)), Random(7)
    rows: dict[str, str] = {}
    batches: list[list[tuple[str, str | None]]] = [[("a", str(n))] for n in range(ENOUGH)]
    batches += [[("a", None)] for _ in range(ENOUGH)]
    batches += [[("b", "1"), ("a", None)] for _ in range(ENOUGH)]
    batches += [[("c", UNFIT)] for _ in range(ENOUGH)]
    batches += [[("c", "2")] for _ in range(ENOUGH)]
    for _ in range(60):
        changes = [
            (chance.choice("abcdefgh"), chance.choice([str(chance.randrange(9)), None]))
            for _ in range(chance.choice([1, 1, 1, 5]))
        ]
        batches += [changes] * chance.choice([1, 4, 8])

    for batch in batches:
        await shard.write(*batch)
        for key, value in batch:
            if value is None:
                rows.pop(key, None)
            elif value != UNFIT:
                rows[key] = value

    kept = await shard.kept()
    planned = [str(text) for (text,) in await shard.it.sql(PLANNED)]
    there = "where _deleted_at is null" if mapping is MAPPINGS["soft"] else ""
    found: Any = await shard.it.sql(f"select pk, n::text from public.t {there}")
    await shard.it.database.close()

    assert dict(found) == rows
    assert any('insert into "public"."t"' in text for text in kept) or mapping.targets[0].children
    assert [text for text in kept if any(part in text for part in DEPENDENT)] == []
    assert any("dead_letter" in text and "fence" in text for text in planned)


async def test_a_plan_that_is_kept_is_fenced_and_looks_for_triggers(database: str):
    shard = Shard(await registered(database, PLAIN))
    for number in range(ENOUGH):
        await shard.write(("a", str(number)))
    assert await shard.kept()
    await shard.write(("a", "100"))

    former, shard.held = shard.held, await shard.claim()
    current, shard.held = shard.held, former
    for _ in range(STEADY_IN_A_ROW):
        assert await mode(shard.it.database, steady=True)
    with pytest.raises(Fenced):
        await shard.write(("a", "101"))
    shard.held = current
    for _ in range(ENOUGH):
        await shard.write(("a", "200"))
    for statement in (
        "create function drops() returns trigger language plpgsql as $$ begin return null; end $$",
        "create trigger drops before insert or update on public.t for each row "
        "execute function drops()",
    ):
        await shard.it.sql(statement)
    for _ in range(STEADY_IN_A_ROW):
        assert await mode(shard.it.database, steady=True)
    with pytest.raises(SchemaMismatch):
        await shard.write(("a", "300"))
    rows = await shard.it.sql("select pk, n from public.t")
    await shard.it.database.close()

    assert rows == [("a", 200)]


ALTERED = {
    "a column more": ["alter table public.t add column more text default 'x'"],
    "another type": ["alter table public.t alter column n type numeric"],
    "a table of that name": [
        "alter table public.t rename to former",
        "create table public.t (like public.former including all)",
    ],
    "partitions": [
        "alter table public.t rename to former",
        "create table public.t (pk text primary key, n bigint) partition by hash (pk)",
        "create table public.t0 partition of public.t for values with (modulus 2, remainder 0)",
        "create table public.t1 partition of public.t for values with (modulus 2, remainder 1)",
    ],
}


@pytest.mark.parametrize("statements", ALTERED.values(), ids=ALTERED)
async def test_a_table_that_is_altered_behind_a_kept_plan_gets_the_next_rows(
    database: str, statements: list[str]
):
    shard = Shard(await registered(database, PLAIN))
    for number in range(ENOUGH):
        await shard.write(("a", str(number)))
    assert await shard.kept()
    for statement in statements:
        await shard.it.sql(statement)

    for number in range(ENOUGH):
        await shard.write(("b", str(number)))
    rows = await shard.it.sql("select pk, n::int from public.t where pk = 'b'")
    await shard.it.database.close()

    assert rows == [("b", ENOUGH - 1)]


async def test_triggers_are_planned_as_postgresql_does_by_itself(database: str):
    shard = Shard(await registered(database, PLAIN))
    for statement in (
        "create table public.seen (mode text)",
        "create function sees() returns trigger language plpgsql as $$ begin "
        "insert into public.seen values (current_setting('plan_cache_mode')); return null; end $$",
        "create trigger sees after insert or update on public.t for each row "
        "execute function sees()",
    ):
        await shard.it.sql(statement)

    for number in range(ENOUGH):
        await shard.write(("a", str(number)))
    seen = await shard.it.sql("select distinct mode from public.seen order by 1")
    await shard.it.database.close()

    assert seen == [("auto",), ("force_custom_plan",)]
