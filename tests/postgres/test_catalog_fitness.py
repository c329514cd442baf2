"""Existing tables as PostgreSQL has them, and every reason why one cannot be replicated into."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from replicator.core.findings import Finding
from replicator.core.mapping.target_table import TargetTable
from replicator.core.values.column_types import parse_type
from replicator.postgres.connection.connect import ConnectionSettings, connect
from replicator.postgres.schema.catalog import read_catalog
from replicator.postgres.schema.fitness import fitness
from replicator.postgres.schema.type_fit import accepts
from tests.support.mappings import mapping

WANTED: TargetTable = mapping().targets[0].table
FIT = "create table orders (order_id text primary key, total numeric(12,2), extra jsonb)"


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(ConnectionSettings(dsn=database))
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


@pytest.mark.parametrize(("change", "severity", "message"), UNFIT.values(), ids=UNFIT.keys())
async def test_what_does_not_fit_is_found(
    connection: asyncpg.Connection, change: str, severity: str, message: str
):
    await connection.execute(FIT)
    try:
        await connection.execute(change)
    except asyncpg.FeatureNotSupportedError as lacking:
        pytest.skip(str(lacking))

    matching = [finding for finding in await findings(connection) if message in finding.message]

    assert [finding.severity for finding in matching] == [severity]
    assert matching[0].where == "public.orders"
    assert matching[0].remedy


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
