"""Rows that foreign keys and unique indexes refuse: their records are set aside, and they alone.

A worker writes no table that has either, from its start or from the next survey on.
"""

import asyncio

from replicator.clock import SystemClock
from replicator.core.spec import TargetSpec
from replicator.engine.stream.pipeline import Batch, Pipeline
from replicator.postgres.control.claims import Claims
from replicator.postgres.write.sink import PostgresSink
from tests.postgres.loaded import SHARD, registered
from tests.support.builders import NOON, STREAM, record, table_mapping
from tests.support.specs import column_spec

COLUMNS = (column_spec("n", "n", "bigint"), column_spec("name", "name", "text"))
MAPPING = table_mapping(TargetSpec("public.t", columns=COLUMNS))
ROWS = {"a": ("1", "yes"), "b": ("2", "no"), "c": ("1", "yes"), "d": ("3", "yes")}


async def test_refusals_by_foreign_keys_and_unique_indexes_set_aside_their_records_only(
    database: str,
):
    it = await registered(database, MAPPING)
    for statement in (
        "create table public.parents (name text primary key)",
        "insert into public.parents values ('yes')",
        "alter table public.t add foreign key (name) references public.parents",
        "create unique index on public.t (n)",
    ):
        await it.sql(statement)
    records = [
        record(number, key, n={"N": n}, name={"S": name})
        for number, (key, (n, name)) in enumerate(ROWS.items(), 1)
    ]
    claim = await Claims(it.database, "worker").claim(
        it.name, STREAM, SHARD, mapping_fingerprint=MAPPING.fingerprint
    )
    pipeline = Pipeline(
        it.name, MAPPING, PostgresSink(it.database, MAPPING), lambda _: None, SystemClock()
    )

    await pipeline.process(Batch(records, records[-1].position, NOON), claim, asyncio.Event())

    assert await it.sql("select pk from public.t order by 1") == [("a",), ("d",)]
    letters = await it.sql("select sqlstate from replicator.dead_letter order by item_key")
    assert letters == [("23503",), ("23505",)]
    await it.database.close()
