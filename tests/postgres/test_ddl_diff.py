"""The statements that make target tables, and what PostgreSQL makes of them."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.postgres.connection.connect import ConnectionSettings, connect
from replicator.postgres.schema.catalog import read_catalog
from replicator.postgres.schema.database_survey import survey
from replicator.postgres.schema.ddl_diff import statements
from replicator.postgres.schema.table_fitness import fitness, history_fitness
from tests.support.mappings import mapping, target
from tests.support.specs import key_column_spec

EVERY_TYPE = {
    f"c{number}": name
    for number, name in enumerate(
        (
            *("text", "varchar(7)", "numeric", "numeric(12,2)", "bigint", "integer", "smallint"),
            *("double precision", "boolean", "bytea", "jsonb", "timestamptz", "timestamp", "date"),
            *("uuid", "text[]", "numeric[]", "bigint[]", "bytea[]", "numeric(9,3)[]", "varchar"),
        )
    )
}


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(ConnectionSettings(dsn=database))
    await connection.execute("set search_path = public")  # for the test's own tables
    yield connection
    await connection.close()


async def create(connection: asyncpg.Connection, wanted: TableMapping) -> list[str]:
    found = await survey(connection, "replicator", "test", [wanted])
    for statement in found.statements:
        await connection.execute(statement.sql)
    return [statement.sql for statement in found.statements]


async def test_a_created_table_fits_whatever_its_types(connection: asyncpg.Connection):
    wanted = mapping(target('shop."Ord""ers"', columns=EVERY_TYPE, on_delete="soft"))

    await create(connection, wanted)
    again = await survey(connection, "replicator", "test", [wanted])

    assert again.statements == ()
    assert again.findings == ()


async def test_keys_sort_by_code_point_and_nothing_else_must_be_there(
    connection: asyncpg.Connection,
):
    await create(connection, mapping())

    columns = await connection.fetch(
        "select a.attname, a.attnotnull, l.collname from pg_attribute a"
        " left join pg_collation l on l.oid = a.attcollation"
        " where a.attrelid = 'orders'::regclass and a.attnum > 0 order by a.attnum"
    )

    assert [tuple(column) for column in columns] == [
        ("order_id", True, "C"),
        ("total", False, None),
        ("extra", False, None),
    ]


async def test_a_new_column_is_added_without_rewriting_the_table(connection: asyncpg.Connection):
    await create(connection, mapping())
    file = "select pg_relation_filenode('orders')"
    before = await connection.fetchval(file)

    executed = await create(
        connection, mapping(target(columns={"total": "numeric(12,2)", "a": "date"}))
    )

    assert executed == ['alter table "public"."orders"\n    add column "a" date']
    assert await connection.fetchval(file) == before


async def test_a_missing_key_column_is_not_added(connection: asyncpg.Connection):
    await connection.execute("create table orders (total numeric, extra jsonb)")
    wanted = mapping(target(columns={"total": "numeric"}))

    found = await survey(connection, "replicator", "test", [wanted])

    assert found.statements == ()
    assert [finding.message for finding in found.lasting] == [
        "the column 'order_id' (text) is missing",
        "neither the primary key nor a unique index is exactly the key (order_id)",
    ]


async def test_a_history_takes_every_change_once_however_long_its_key(
    connection: asyncpg.Connection,
):
    await create(connection, mapping(target(history="log.orders_history")))
    append = (
        "insert into log.orders_history (stream_arn, sequence_number, operation, keys)"
        " values ($3, $1, 'insert', jsonb_build_object('pk', $2::text)) on conflict do nothing"
    )

    long_key = "k" * 2048 + "é" * 500
    for number, key in ((1, "a"), (1, "a"), (2, "a"), (1, "b"), (1, long_key), (1, long_key)):
        await connection.execute(append, number, key, "arn")
    for _ in range(2):
        await connection.execute(append, 1, "a", "arn of the next stream")

    assert await connection.fetchval("select count(*) from log.orders_history") == 5


async def test_the_index_of_a_history_that_grows_is_as_small_as_a_new_one(
    connection: asyncpg.Connection,
):
    """Each entry is added behind the one before; at places by chance pages would be two thirds
    full, and every change would write a page of its own after a checkpoint."""
    await create(connection, mapping(target(history="log.orders_history")))
    await connection.execute(
        "insert into log.orders_history (stream_arn, sequence_number, operation, keys)"
        " select 'arn', n, 'modify', jsonb_build_object('pk', n % 1000)"
        " from generate_series(1, 20000) as n"
    )
    size = "select pg_indexes_size('log.orders_history')"

    grown = await connection.fetchval(size)
    await connection.execute("reindex table log.orders_history")

    assert grown <= 1.1 * await connection.fetchval(size)


async def test_a_history_made_by_migrate_fits_and_one_without_its_index_does_not(
    connection: asyncpg.Connection,
):
    await create(connection, mapping(target(history="log.orders_history")))
    name = ("log", "orders_history")
    catalog = await read_catalog(connection, [name])
    assert history_fitness(name, catalog.tables[name]) == []

    await connection.execute("create table log.bare as table log.orders_history with no data")
    bare = ("log", "bare")
    [finding] = history_fitness(bare, (await read_catalog(connection, [bare])).tables[bare])

    assert "no unique index" in finding.message


async def test_a_partitioned_table_fits(connection: asyncpg.Connection):
    await connection.execute(
        "create table orders (order_id text, total numeric(12,2), extra jsonb,"
        " primary key (order_id)) partition by hash (order_id)"
    )
    wanted = mapping()
    catalog = await read_catalog(connection, [("public", "orders")])

    assert fitness(wanted.targets[0].table, catalog.tables["public", "orders"]) == []
    assert statements(wanted.targets, catalog) == ()


async def test_names_are_taken_as_they_are_written(connection: asyncpg.Connection):
    odd = 'sel"ect Ünï; drop table x --'
    wanted = mapping(target('Mixed."Case.d"', key=(key_column_spec(odd, "pk"),)))

    await create(connection, wanted)

    found = await connection.fetchval(
        "select a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid"
        " where c.relname = 'Case.d' and a.attnum = 1"
    )
    assert found == odd
