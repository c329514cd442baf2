"""Attributes that batches meet under `columns: auto`: how many are remembered, and until when."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import asyncpg
from structlog.testing import capture_logs

from replicator.app.daemon.auto_column_watch import NAME_LENGTH_MAX, NAMES_MAX, AutoColumns
from replicator.config.load_settings import load
from replicator.core.mapping.auto_columns import with_auto_columns
from replicator.core.mapping.compile_mapping import compile_table
from replicator.core.table_spec import SourceKey, TableSpec, TargetSpec
from replicator.core.telemetry_events import BatchApplied
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.add_auto_columns import known_columns
from replicator.postgres.schema.migrate import migrate
from tests.support.control import DEPLOYMENT, control_schema, write_configuration
from tests.support.waiting import eventually

SPEC = TableSpec(
    "orders", "orders", (TargetSpec("public.orders", columns=(), rest="x", auto=True),)
)
MAPPING = compile_table(with_auto_columns(SPEC, []), SourceKey((("pk", "S"),)))
WAITING = "select exists (select from pg_locks where relation = 'orders'::regclass and not granted)"


def batch(attributes: Mapping[str, str]) -> BatchApplied:
    return BatchApplied(
        "orders", "shard-0", {}, {}, {}, 0.0, (), None, candidates={"public.orders": attributes}
    )


def columns_of(dsn: str, directory: Path) -> tuple[AutoColumns, Database]:
    pool = Database(
        ConnectionSettings(dsn=dsn),
        deployment=DEPLOYMENT,
        control_schema="replicator",
        pool_size=1,
    )
    return AutoColumns(load(write_configuration(directory, "orders", dsn=dsn), {}), pool), pool


async def test_an_addition_that_is_cancelled_is_made_by_the_next(
    migrated_database: str, tmp_path: Path
):
    columns, pool = columns_of(migrated_database, tmp_path)
    async with control_schema(migrated_database) as control:
        await migrate(
            ConnectionSettings(dsn=migrated_database), "replicator", DEPLOYMENT, [MAPPING]
        )
        columns.observe(batch({"n": "N"}))
        other = await asyncpg.connect(migrated_database)
        async with other.transaction():
            await other.execute("lock table public.orders in access share mode")
            adding = asyncio.create_task(columns.settle([MAPPING]))

            async def waits() -> bool:
                return adding.done() or await control.connection.fetchval(WAITING)

            await eventually(waits, what="the addition waits for the lock")
            columns.observe(batch({"m": "S"}))
            adding.cancel()
            await asyncio.wait([adding])
        await other.close()

        await columns.settle([MAPPING])

        known = await known_columns(control.connection, "replicator", DEPLOYMENT, "orders")
        assert {column.name for column in known} == {"n", "m"}
    await pool.close()


async def test_names_are_remembered_and_told_with_a_bound(migrated_database: str, tmp_path: Path):
    columns, pool = columns_of(migrated_database, tmp_path)
    await migrate(ConnectionSettings(dsn=migrated_database), "replicator", DEPLOYMENT, [MAPPING])
    long, said = "é" * 60_000, list[str]()

    for turn in range(3):
        for part in range(3):
            names = [f"{turn}.{part}.{number}.{long}" for number in range(NAMES_MAX // 2)]
            columns.observe(batch(dict.fromkeys(names, "S")))
        met = columns._met["orders"]["public.orders"]
        assert len(met) == NAMES_MAX
        assert max(map(len, met)) == NAME_LENGTH_MAX
        with capture_logs() as lines:
            await columns.settle([MAPPING])
        said += [line["event"] for line in lines]

    assert len(columns._told["orders", "public.orders"]) == NAMES_MAX
    assert said.count("no columns for attributes") == 1
    await pool.close()
