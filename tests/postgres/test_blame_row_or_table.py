"""Rows that keys, unique indexes and triggers refuse: their records are set aside, they alone.

A worker writes no table with foreign keys or further unique indexes, from the next survey on.
"""

import asyncio
from collections.abc import Mapping

import pytest

from replicator.clock import SystemClock
from replicator.core.table_spec import TargetSpec
from replicator.engine.stream.plan_and_apply_batch import Batch, BatchPipeline
from replicator.errors import SchemaMismatch
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.write.plan_writer import PostgresSink
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import NOON, STREAM, record, table_mapping
from tests.support.specs import column_spec

COLUMNS = (column_spec("n", "n", "bigint"), column_spec("name", "name", "text"))
MAPPING = table_mapping(TargetSpec("public.t", columns=COLUMNS))
ROWS = {"a": ("1", "yes"), "b": ("2", "no"), "c": ("1", "yes"), "d": ("3", "yes")}


async def test_refusals_by_foreign_keys_and_unique_indexes_set_aside_their_records_only(
    migrated_database: str,
):
    it = await registered(migrated_database, MAPPING)
    for statement in (
        "create table public.parents (name text primary key)",
        "insert into public.parents values ('yes')",
        "alter table public.t add foreign key (name) references public.parents",
        "create unique index on public.t (n)",
    ):
        await it.sql(statement)

    await process(it, ROWS)

    assert await it.sql("select pk from public.t order by 1") == [("a",), ("d",)]
    letters = await it.sql("select sqlstate from replicator.dead_letter order by item_key")
    assert letters == [("23503",), ("23505",)]
    await it.database.close()


RAISES = {
    "XX000": "raise exception 'no %', new.n using errcode = 'XX000'",
    "53400": "raise exception 'no %', new.n using errcode = '53400'",
    "57014": "raise exception 'no %', new.n using errcode = '57014'",
    "P0002": "select new.n into strict found where false",
    "P0004": "assert new.n is null, 'no'",
}
"""By SQLSTATE, what a trigger says."""
PICKY = """
create function public.picky() returns trigger language plpgsql as $$
declare found bigint;
begin
    if {when} then {says}; end if;
    return null;
end $$
"""


@pytest.mark.parametrize("sqlstate", RAISES)
async def test_what_a_trigger_raises_against_one_row_sets_that_one_aside(
    migrated_database: str, sqlstate: str
):
    it = await registered(migrated_database, MAPPING)
    await picky(it, RAISES[sqlstate], when="new.name = 'no'")

    await process(it, ROWS)

    assert await it.sql("select pk from public.t order by 1") == [("a",), ("c",), ("d",)]
    [[found, reason]] = await it.sql("select sqlstate, reason from replicator.dead_letter")
    assert found == sqlstate
    assert "no 2" not in str(reason)
    await it.database.close()


@pytest.mark.parametrize("sqlstate", RAISES)
async def test_what_a_trigger_raises_against_every_row_halts_the_table(
    migrated_database: str, sqlstate: str
):
    it = await registered(migrated_database, MAPPING)
    await picky(it, RAISES[sqlstate], when="true")

    with pytest.raises(SchemaMismatch, match="refuses every row") as halted:
        await process(it, ROWS)

    assert sqlstate in str(halted.value)
    assert await it.sql("select from replicator.dead_letter") == []
    await it.database.close()


async def picky(it: Loaded, says: str, *, when: str) -> None:
    await it.sql(PICKY.format(says=says, when=when))
    await it.sql(
        "create trigger picky after insert or update on public.t"
        " for each row execute function public.picky()"
    )


async def process(it: Loaded, rows: Mapping[str, tuple[str, str]]) -> None:
    """One batch of a shard."""
    records = [
        record(number, key, n={"N": n}, name={"S": name})
        for number, (key, (n, name)) in enumerate(rows.items(), 1)
    ]
    claim = await Claims(it.database, "worker").claim(
        it.name, STREAM, SHARD, mapping_fingerprint=MAPPING.fingerprint
    )
    pipeline = BatchPipeline(
        it.name, MAPPING, PostgresSink(it.database, MAPPING), lambda _: None, SystemClock()
    )

    await pipeline.process(Batch(records, records[-1].position, NOON), claim, asyncio.Event())
