"""A column that appears fences off whoever does not know it."""

from datetime import UTC, datetime

import asyncpg
import pytest

from replicator.core.mapping.auto_columns import COLUMNS_MAX, AutoColumn, with_auto_columns
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.claims import Advance
from replicator.core.stream_record import Position
from replicator.core.table_spec import SourceKey, TableSpec, TargetSpec
from replicator.errors import Fenced, NotClaimable, SinkBusy
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.schema.add_auto_columns import add_columns, known_columns
from replicator.postgres.schema.migrate import migrate
from replicator.postgres.write.plan_writer import PostgresSink
from tests.support.builders import record
from tests.support.control import DEPLOYMENT, control_pool, control_schema, stream_arn

SPEC = TableSpec("orders", "orders", (TargetSpec("public.o", columns=(), rest="x", auto=True),))
NEW = AutoColumn("public.o", "n", "numeric")
NOTED_ALTERS = """
create table public.alters (tag text);
create function public.note() returns event_trigger language plpgsql as
    $$ begin insert into public.alters values (tg_tag); end $$;
create event trigger noted on ddl_command_end when tag in ('ALTER TABLE')
    execute function public.note()
"""


def compiled(known) -> TableMapping:
    return compile_table(with_auto_columns(SPEC, known), SourceKey((("pk", "S"),)))


async def add(connection, mapping: TableMapping, new=(NEW,)) -> list[AutoColumn]:
    return await add_columns(
        connection, "replicator", DEPLOYMENT, mapping, new=new, compiled=compiled
    )


def texts(*names: str) -> list[AutoColumn]:
    return [AutoColumn("public.o", name, "text") for name in names]


async def test_who_does_not_know_a_column_writes_no_more(migrated_database: str):
    before = compiled([])
    async with (
        control_pool(migrated_database) as pool,
        control_schema(migrated_database) as control,
    ):
        await migrate(ConnectionSettings(dsn=migrated_database), "replicator", DEPLOYMENT, [before])
        await control.generation("orders")
        await control.shard("orders")
        claims = Claims(pool, "worker")
        place = ("orders", stream_arn("orders"), "shard-0")
        claim = await claims.claim(*place, mapping_fingerprint=before.fingerprint)

        assert await add(control.connection, before) == [NEW]
        assert await add(control.connection, before) == []
        known = await known_columns(control.connection, "replicator", DEPLOYMENT, "orders")
        assert known == [NEW]

        now = datetime.now(UTC)
        plan = plan_batch([record(1, n={"N": "1"})], before, read_at=0)
        advance = Advance(None, Position(1), Position(1), now, now)
        with pytest.raises(Fenced):
            await PostgresSink(pool, before).apply(plan, claim=claim, advance=advance)
        with pytest.raises(NotClaimable):
            await claims.claim(*place, mapping_fingerprint=before.fingerprint)

        after = compiled(known)
        claim = await claims.claim(*place, mapping_fingerprint=after.fingerprint)
        plan = plan_batch([record(1, n={"N": "1"})], after, read_at=0)
        await PostgresSink(pool, after).apply(plan, claim=claim, advance=advance)
        [(key, rest, number)] = await control.rows("select pk, x, n from public.o")
        assert (key, rest, str(number)) == ("a", "{}", "1")


async def test_a_lock_that_does_not_come_is_given_up_and_nothing_is_changed(migrated_database: str):
    before = compiled([])
    async with control_schema(migrated_database) as control:
        await migrate(ConnectionSettings(dsn=migrated_database), "replicator", DEPLOYMENT, [before])
        other = await asyncpg.connect(migrated_database)
        try:
            async with other.transaction():
                await other.execute("lock table public.o in access share mode")
                with pytest.raises(SinkBusy):
                    await add(control.connection, before)
        finally:
            await other.close()

        assert await known_columns(control.connection, "replicator", DEPLOYMENT, "orders") == []
        assert await add(control.connection, before) == [NEW]


async def test_a_column_of_somebody_else_is_left_alone(migrated_database: str):
    before = compiled([])
    async with control_schema(migrated_database) as control:
        await migrate(ConnectionSettings(dsn=migrated_database), "replicator", DEPLOYMENT, [before])
        await control.connection.execute("alter table public.o add column n boolean")

        assert await add(control.connection, before) == []


async def test_what_another_worker_added_meanwhile_takes_names_and_places(migrated_database: str):
    before = compiled([])
    first = texts("Color", *(f"a{number}" for number in range(150)))
    second = texts("color", *(f"b{number}" for number in range(150)))
    async with control_schema(migrated_database) as control:
        await migrate(ConnectionSettings(dsn=migrated_database), "replicator", DEPLOYMENT, [before])

        assert await add(control.connection, before, first) == first
        added = await add(control.connection, before, second)

        room = COLUMNS_MAX - len(compiled(first).targets[0].table.columns)
        assert added == second[1 : 1 + room]


async def test_one_statement_adds_all_columns_of_a_target(migrated_database: str):
    before = compiled([])
    async with control_schema(migrated_database) as control:
        await migrate(ConnectionSettings(dsn=migrated_database), "replicator", DEPLOYMENT, [before])
        await control.connection.execute(NOTED_ALTERS)

        await add(control.connection, before, texts(*(f"a{number}" for number in range(150))))

        assert await control.rows("select count(*) from public.alters") == [(1,)]
