"""Existing tables as PostgreSQL has them, and every reason why one cannot be replicated into."""

from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from replicator.core.check_findings import Finding
from replicator.core.mapping.target_table import TargetTable
from replicator.core.values.column_types import parse_type
from replicator.postgres.connection.connect import ConnectionSettings, connect
from replicator.postgres.schema.catalog import read_catalog
from replicator.postgres.schema.table_fitness import fitness
from replicator.postgres.schema.type_fitness import accepts
from tests.support.mappings import mapping, target
from tests.support.specs import column_spec

WANTED: TargetTable = mapping().targets[0].table
FIT = "create table orders (order_id text primary key, total numeric(12,2), extra jsonb)"


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(ConnectionSettings(dsn=database))
    await connection.execute("set search_path = public")  # for the test's own tables
    yield connection
    await connection.close()


async def findings(connection: asyncpg.Connection) -> list[Finding]:
    catalog = await read_catalog(connection, [("public", "orders")])
    return fitness(WANTED, catalog.tables["public", "orders"])


async def test_a_table_like_the_target_fits(connection: asyncpg.Connection):
    await connection.execute(FIT)
    await connection.execute(
        "alter table orders add note text, add at timestamptz not null default now(),"
        " add id bigint generated always as identity;"
        "create index on orders (total); create unique index on orders (total, order_id)"
    )

    assert await findings(connection) == []


UNFIT = {
    "a missing column": ("alter table orders drop total", "error", "'total' (numeric(12,2)) is mi"),
    "another type": (
        "alter table orders alter total type numeric(10,2)",
        "error",
        "'total' has the type numeric(10,2)",
    ),
    "a length that would cut": (
        "alter table orders alter order_id type varchar(10)",
        "error",
        "'order_id' has the type character varying(10)",
    ),
    "json instead of jsonb": (
        "alter table orders alter extra type json",
        "error",
        "'extra' has the type json,",
    ),
    "an unmapped column that must be filled": (
        "alter table orders add must text not null",
        "error",
        "'must' must not be null, has no default and is not mapped",
    ),
    "a mapped column that must be filled": (
        "alter table orders alter total set not null",
        "warning",
        "'total' must not be null",
    ),
    "no key": ("alter table orders drop constraint orders_pkey", "error", "exactly the key"),
    "a key that is checked too late": (
        "alter table orders drop constraint orders_pkey,"
        " add primary key (order_id) deferrable initially deferred",
        "error",
        "exactly the key",
    ),
    "another primary key": (
        "alter table orders drop constraint orders_pkey, add primary key (total),"
        " add unique (order_id)",
        "error",
        "primary key 'orders_pkey' (total) is not the key",
    ),
    "a unique index": (
        "create unique index one on orders (total)",
        "error",
        "unique index 'one' (total) is not the key",
    ),
    "a unique index that confuses letters": (
        "alter table orders drop constraint orders_pkey, alter order_id set not null;"
        "create collation loose (provider = icu, locale = 'und-u-ks-level2',"
        " deterministic = false);"
        "create unique index one on orders (order_id collate loose)",
        "error",
        "the unique index 'one' of the key takes different values for equal",
    ),
    "no key beside another primary key": (
        "alter table orders drop constraint orders_pkey, add id bigserial primary key",
        "error",
        "exactly the key",
    ),
    "a key of another application that nothing fills": (
        "alter table orders drop constraint orders_pkey, add id bigint primary key,"
        " add unique (order_id)",
        "error",
        "'id' must not be null, has no default and is not mapped",
    ),
    "a domain that must not be null": (
        "create domain filled as text not null; alter table orders add must filled",
        "error",
        "'must' must not be null, has no default and is not mapped",
    ),
    "no replica identity": (
        "alter table orders drop constraint orders_pkey; create unique index on orders (order_id);"
        "create publication everything for all tables",
        "error",
        "is published, and has no replica identity",
    ),
    "no replica identity where there is a primary key": (
        "alter table orders replica identity nothing; create publication one for table orders",
        "error",
        "is published, and has no replica identity",
    ),
    "a filter of a publication": (
        "create publication one for table orders where (total > 0 and order_id <> 'x')",
        "error",
        "a publication filters its rows by 'total', not in the replica identity",
    ),
    "a sequence that changes use up": (
        "alter table orders add id serial",
        "warning",
        "of the column 'id' loses a value with every change, also of a row that is there; 2147",
    ),
    "a sequence that is used up": (
        "alter table orders add id smallserial; select setval('orders_id_seq', 32767)",
        "error",
        "of the column 'id' has no values left",
    ),
    "a column that is narrower than its sequence": (
        "create sequence numbers; alter table orders add id integer not null"
        " default nextval('numbers')",
        "warning",
        "of the column 'id' loses a value with every change, also of a row that is there; 2147",
    ),
    "a sequence within an expression": (
        "create sequence numbers maxvalue 9; alter table orders add id text not null"
        " default 'x' || nextval('numbers')",
        "warning",
        "of the column 'id' loses a value with every change, also of a row that is there; 9 are",
    ),
    "a sequence that counts down": (
        "create sequence numbers increment -1 minvalue -9; alter table orders add id bigint"
        " not null default nextval('numbers')",
        "warning",
        "of the column 'id' loses a value with every change, also of a row that is there; 9 are",
    ),
    "tables that inherit": (
        "create table more (at date) inherits (orders)",
        "error",
        "has tables that inherit from it (more)",
    ),
    "a unique index over a part": (
        "create unique index one on orders (order_id) where total > 0",
        "error",
        "unique index 'one' (order_id, expressions or a part)",
    ),
    "a foreign key": (
        "create table other (id text primary key);"
        "alter table orders add foreign key (order_id) references other",
        "error",
        "foreign key 'orders_order_id_fkey' refers",
    ),
    "a foreign key of another table": (
        "create table other (id text references orders)",
        "error",
        "foreign key 'other_id_fkey' of another table",
    ),
    "an exclusion": (
        "alter table orders add constraint apart exclude (total with =)",
        "error",
        "exclusion constraint 'apart'",
    ),
    "a check": (
        "alter table orders add constraint positive check (total > 0)",
        "warning",
        "check constraint 'positive'",
    ),
    "a column that is generated when it is read": (
        "alter table orders drop total, add total numeric(12,2) generated always as (1) virtual",
        "error",
        "'total' is generated",
    ),
    "a generated column": (
        "alter table orders drop total, add total numeric(12,2) generated always as (1) stored",
        "error",
        "'total' is generated",
    ),
    "a trigger before each row": (
        "create function nothing() returns trigger language plpgsql as 'begin return null; end';"
        "create trigger eats before insert on orders for each row execute function nothing()",
        "error",
        "trigger 'eats' runs before each row",
    ),
    "a trigger afterwards": (
        "create function nothing() returns trigger language plpgsql as 'begin return null; end';"
        "create trigger sees after insert on orders for each row execute function nothing()",
        "warning",
        "trigger 'sees' runs in the transaction",
    ),
    "a rule": (
        "create rule no as on delete to orders do instead nothing",
        "error",
        "has rules",
    ),
    "a table that a crash empties": ("alter table orders set unlogged", "error", "is not logged"),
    "a collation in which keys can be equal": (
        "create collation loose (provider = icu, locale = 'und', deterministic = false);"
        "alter table orders alter order_id type text collate loose",
        "error",
        "'order_id' belongs to the key and has a non-deterministic collation",
    ),
}


LEAF = """
create table orders (order_id text not null, total numeric(12,2), extra jsonb,
                     primary key (order_id)) partition by hash (order_id);
create table leaf partition of orders for values with (modulus 1, remainder 0)
"""
UNFIT_LEAVES = {
    "a trigger of a leaf": (
        "create function nothing() returns trigger language plpgsql as 'begin return null; end';"
        "create trigger eats before insert on leaf for each row execute function nothing()",
        "error",
        "the trigger 'eats' of the partition public.leaf runs before each row",
    ),
    "a leaf that a crash empties": (
        "alter table leaf set unlogged",
        "error",
        "is not logged of the partition public.leaf",
    ),
    "a unique index of a leaf": (
        "create unique index one on leaf (total)",
        "error",
        "the unique index 'one' (total) of the partition public.leaf is not the key",
    ),
    "a check of a leaf": (
        "alter table leaf add constraint positive check (total > 0)",
        "warning",
        "the check constraint 'positive' of the partition public.leaf",
    ),
    "a foreign key of a leaf": (
        "create table other (id text primary key);"
        "alter table leaf add foreign key (order_id) references other",
        "error",
        "the foreign key 'leaf_order_id_fkey' of the partition public.leaf refers",
    ),
    "a column that only a leaf wants filled": (
        "alter table leaf alter total set not null",
        "warning",
        "the column 'total' of the partition public.leaf must not be null",
    ),
    "a filter of a publication that speaks for the leaves": (
        "create publication one for table orders where (total > 0)"
        " with (publish_via_partition_root = true)",
        "error",
        "filters its rows by 'total', not in the replica identity of the partition public.leaf",
    ),
    "a leaf without replica identity": (
        "alter table leaf replica identity nothing; create publication one for table orders",
        "error",
        "has no replica identity of the partition public.leaf",
    ),
}
UNFIT_ALL = {name: (FIT, *case) for name, case in UNFIT.items()} | {
    name: (LEAF, *case) for name, case in UNFIT_LEAVES.items()
}
CANNOT_BE = (asyncpg.FeatureNotSupportedError, asyncpg.PostgresSyntaxError)
"""What a version, or a build, of PostgreSQL says of what it does not know."""


@pytest.mark.parametrize(
    ("made", "change", "severity", "message"), UNFIT_ALL.values(), ids=UNFIT_ALL.keys()
)
async def test_what_does_not_fit_is_found_and_its_remedy_mends_it(
    connection: asyncpg.Connection, made: str, change: str, severity: str, message: str
):
    await connection.execute(made)
    try:
        await connection.execute(change)
    except CANNOT_BE as lacking:
        pytest.skip(str(lacking))

    matching = [finding for finding in await findings(connection) if message in finding.message]

    assert [finding.severity for finding in matching] == [severity]
    assert matching[0].where == "public.orders"
    assert matching[0].remedy.startswith(matching[0].sql)
    if matching[0].sql:
        await connection.execute(matching[0].sql)
        assert [f.message for f in await findings(connection) if message in f.message] == []


async def test_a_filter_of_the_key_and_one_of_insertions_alone_fit(
    connection: asyncpg.Connection,
):
    await connection.execute(FIT)
    try:
        await connection.execute(
            "create publication one for table orders where (order_id <> 'x');"
            "create publication two for table orders where (total > 0) with (publish = 'insert')"
        )
    except CANNOT_BE as lacking:
        pytest.skip(str(lacking))

    assert await findings(connection) == []
    await connection.execute("alter table orders replica identity full")
    await connection.execute("create publication three for table orders where (total > 0)")
    assert await findings(connection) == []


async def test_a_table_with_leaves_fits(connection: asyncpg.Connection):
    await connection.execute(
        LEAF + ";create publication one for all tables;"
        "create function nothing() returns trigger language plpgsql as 'begin return null; end'"
    )

    assert await findings(connection) == []


async def test_what_is_filled_in_every_row_may_be_a_column_that_must_be(
    connection: asyncpg.Connection,
):
    """A column with a `default:` or a `constant:`, and `rest`, are never NULL."""
    await connection.execute(FIT)
    await connection.execute(
        "alter table orders alter extra set not null, alter total set not null"
    )
    columns = (column_spec("total", "total", "numeric(12,2)", default=0),)
    wanted = mapping(replace(target(), columns=columns)).targets[0].table
    catalog = await read_catalog(connection, [("public", "orders")])

    found = fitness(wanted, catalog.tables["public", "orders"])

    assert found == []


async def test_rows_that_no_partition_takes_are_told_before(connection: asyncpg.Connection):
    await connection.execute(
        "create table orders (order_id text primary key, total numeric(12,2), extra jsonb)"
        " partition by list (order_id)"
    )

    [finding] = await findings(connection)

    assert finding.severity == "warning"
    assert "has no default partition" in finding.message
    await connection.execute(finding.sql)
    assert await findings(connection) == []


async def test_rows_that_no_partition_of_a_partition_takes_are_told_before(
    connection: asyncpg.Connection,
):
    await connection.execute(
        "create table orders (order_id text primary key, total numeric(12,2), extra jsonb)"
        " partition by list (order_id);"
        "create table rest partition of orders default partition by list (order_id)"
    )

    [finding] = await findings(connection)

    assert "has no default partition of the partition public.rest" in finding.message
    await connection.execute(finding.sql)
    assert await findings(connection) == []


async def test_a_sequence_that_counts_down_without_end_is_no_fault(connection: asyncpg.Connection):
    await connection.execute(FIT)
    await connection.execute(
        "create sequence numbers increment -1;"
        "alter table orders add id bigint not null default nextval('numbers')"
    )

    assert await findings(connection) == []


async def test_rights_and_row_security_of_a_leaf_do_not_count_where_rows_come_through_the_table(
    connection: asyncpg.Connection,
):
    await connection.execute(LEAF)
    role = await connection.fetchval("select 'r' || pg_backend_pid()")
    await connection.execute(
        f"create role {role}; grant select, insert, update, delete on orders to {role};"
        f"alter table leaf enable row level security; revoke all on leaf from {role};"
        f"set role {role}"
    )

    assert await findings(connection) == []
    await connection.execute(
        "insert into orders values ('a') on conflict (order_id) do update set total = 1"
    )
    assert await connection.fetchval("select count(*) from orders") == 1
    await connection.execute(f"reset role; drop owned by {role}; drop role {role}")


SURROGATES = (
    "id bigserial primary key",
    "id bigint generated always as identity primary key",
    "id uuid default gen_random_uuid() primary key",
)


@pytest.mark.parametrize("surrogate", SURROGATES)
async def test_a_key_of_the_tables_own_beside_ours_is_no_fault(
    connection: asyncpg.Connection, surrogate: str
):
    await connection.execute(
        f"create table orders ({surrogate}, order_id text not null unique,"
        " total numeric(12,2), extra jsonb, created_at timestamptz not null default now())"
    )

    assert await findings(connection) == []


async def test_what_is_not_enforced_is_no_fault(connection: asyncpg.Connection):
    await connection.execute(FIT)
    try:
        await connection.execute("alter table orders add check (total > 0) not enforced")
    except CANNOT_BE as lacking:
        pytest.skip(str(lacking))

    assert await findings(connection) == []


async def test_rights_on_the_sequence_of_an_unmapped_column_are_needed(
    connection: asyncpg.Connection,
):
    await connection.execute(FIT + ";alter table orders add id bigserial")
    role = await connection.fetchval("select 'r' || pg_backend_pid()")
    await connection.execute(
        f"create role {role}; grant select, insert, update, delete on orders to {role}"
    )
    wanted = ("public", "orders")

    async def found() -> list[Finding]:
        catalog = await read_catalog(connection, [wanted], role=role)
        return fitness(WANTED, catalog.tables[wanted], role=role)

    [finding] = await found()
    assert "may not take values from the sequence public.orders_id_seq" in finding.message
    await connection.execute(finding.sql)
    assert await found() == []
    await connection.execute(f"drop owned by {role}; drop role {role}")


@pytest.mark.parametrize(
    ("relation", "word"),
    [
        ("create view orders as select 1", "view"),
        ("create materialized view orders as select 1 as one", "materialized view"),
        ("create sequence orders", "sequence"),
    ],
)
async def test_what_is_no_table_is_found(connection: asyncpg.Connection, relation: str, word: str):
    await connection.execute(relation)

    [finding] = await findings(connection)

    assert finding.message == f"is a {word}, not a table"


async def test_missing_rights_and_row_security_are_found(connection: asyncpg.Connection):
    await connection.execute(FIT)
    await connection.execute("alter table orders enable row level security")
    role = await connection.fetchval("select 'r' || pg_backend_pid()")
    await connection.execute(f"create role {role}")
    await connection.execute(
        f"grant select, insert on orders to {role};"
        f"grant update (order_id, total, extra) on orders to {role}; set role {role}"
    )

    found = await findings(connection)
    await connection.execute(f"reset role; drop owned by {role}; drop role {role}")

    assert [finding.message.split(":")[0] for finding in found] == [
        "has row security that applies to the role",
        "the role lacks the right to delete",
    ]


def test_a_wider_type_holds_what_was_declared_and_a_narrower_one_does_not():
    def fits(declared: str, existing: str) -> bool:
        return accepts(existing, parse_type(declared))

    assert fits("integer", "bigint")
    assert fits("smallint", "numeric(5,0)")
    assert fits("bigint", "numeric")
    assert fits("numeric(12,2)", "numeric(13,3)")
    assert fits("numeric(12,2)", "numeric")
    assert fits("text", "character varying")
    assert fits("varchar(5)", "character varying(6)")
    assert fits("varchar(5)", "text")
    assert fits("timestamptz", "timestamp with time zone")
    assert fits("text[]", "text[]")
    assert fits("text[]", "character varying[]")
    assert fits("varchar(5)[]", "text[]")
    assert fits("integer[]", "numeric(10,0)[]")
    assert fits("timestamp", "timestamp(6) without time zone")
    assert fits("timestamp(3)", "timestamp without time zone")
    assert fits("timetz(3)", "time(4) with time zone")
    assert fits("char(3)", "character(4)")
    assert fits("interval", "interval")
    assert not fits("timestamp(3)", "timestamp(2) without time zone")
    assert not fits("interval", "interval day to second")
    assert not fits("text", "character(5)")
    assert not fits("real", "double precision")
    assert not fits("json", "jsonb")
    assert not fits("inet", "cidr")
    assert not fits("bigint", "integer")
    assert not fits("integer", "numeric(9,0)")
    assert not fits("numeric(12,2)", "numeric(12,3)")
    assert not fits("numeric(12,2)", "numeric(13,1)")
    assert not fits("numeric", "numeric(38,10)")
    assert not fits("text", "character varying(100)")
    assert not fits("varchar", "character varying(100)")
    assert not fits("varchar(5)", "character varying(4)")
    assert not fits("text", "character(5)")
    assert not fits("timestamptz", "timestamp(3) with time zone")
    assert not fits("timestamptz", "timestamp without time zone")
    assert not fits("double precision", "real")
    assert not fits("text[]", "text")
    assert not fits("text[]", "character varying(3)[]")
    assert not fits("jsonb", "json")
    assert not fits("text", "citext")
