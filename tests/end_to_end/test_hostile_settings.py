"""What a role and a database set changes no value: both ways to PostgreSQL, all types at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import pytest

from replicator.core.values.column_types import ROWS
from replicator.postgres.connection.connect import VALUE_SETTINGS, ConnectionSettings, connect
from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_column_types import KEY, WRITTEN, items
from tests.support.daemon import Deployment
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import fresh_database

ROLE = "hostile"
HOSTILE = {
    # how values are written and read
    "client_encoding": "LATIN1",
    "TimeZone": "Asia/Kathmandu",
    "timezone_abbreviations": "India",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "xmlbinary": "hex",
    "xmloption": "document",
    "array_nulls": "off",
    "default_text_search_config": "simple",
    "lc_monetary": "C",
    "lc_numeric": "C",
    # what a statement means
    "standard_conforming_strings": "off",
    "backslash_quote": "on",
    "escape_string_warning": "on",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "search_path": "nowhere",
    "row_security": "off",
    "check_function_bodies": "off",
    "session_replication_role": "replica",
    "restrict_nonsystem_relation_kind": "view, foreign-table",
    # transactions and their limits
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "lock_timeout": "1",
    "idle_session_timeout": "60s",
    "synchronous_commit": "off",
    # plans and messages
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_indexscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_nestloop": "off",
    "enable_hashagg": "off",
    "from_collapse_limit": "1",
    "join_collapse_limit": "1",
    "work_mem": "64kB",
    "jit": "on",
    "jit_above_cost": "0",
    "debug_parallel_query": "on",
    "force_parallel_mode": "on",
    "parallel_setup_cost": "0",
    "client_min_messages": "debug1",
    "default_toast_compression": "pglz",
    "constraint_exclusion": "on",
    "geqo_threshold": "2",
    "cursor_tuple_fraction": "0",
}
"""Settings of every kind; those that a version of PostgreSQL does not know are left out."""
DIRECTLY = {
    "statement_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "application_name": "somebody",
}
"""What a session begins with, where no pooler stands between."""
ALL_OF = "select t::text as row from {table} t order by 1"
FOUND = {
    "rows": ALL_OF.format(table="public.orders"),
    "history": ALL_OF.format(table="public.orders_history"),
    "letters": "select distinct item_key, target, reason from replicator.dead_letter"
    " where state = 'open' order by 1, 2, 3",
}


def test_every_setting_that_is_pinned_is_tried():
    tried = {name.lower() for name in HOSTILE}

    assert {name.lower() for name in VALUE_SETTINGS} <= tried


@asynccontextmanager
async def hostile_database(dsn: str, settings: dict[str, str]) -> AsyncIterator[str]:
    """A database whose role, and which itself, has all of these settings."""
    async with fresh_database(dsn, template="template0") as own:
        name = own.rpartition("/")[2]
        role = f"{ROLE}_{name}"
        admin = await asyncpg.connect(dsn)
        known = await admin.fetch("select lower(name) as name from pg_settings")
        names = {row["name"] for row in known}
        await admin.execute(f"create role {role} login superuser")
        for setting, value in settings.items():
            if setting.lower() in names:
                for owner in (f"database {name}", f"role {role}"):
                    await admin.execute(f"alter {owner} set {setting} = '{value}'")
        try:
            yield own.replace("postgres@", f"{role}@", 1)
        finally:
            await admin.execute(f"drop database {name} with (force)")
            await admin.execute(f"drop role {role}")
            await admin.close()


async def types_there(dsn: str) -> list[str]:
    """Names of all types that the server has or can get, and takes the samples of.

    A hyphen in a label of ltree, as two samples have it, is taken by PostgreSQL 16 and later: an
    older one refuses the row (tests/postgres/test_named_types.py).
    """
    admin = await asyncpg.connect(dsn)
    rows = await admin.fetch("select name from pg_available_extensions")
    await admin.close()
    extensions = {row["name"] for row in rows}
    if admin.get_server_version() < (16,):
        extensions.discard("ltree")
    return [n for n, row in ROWS.items() if row.extension is None or row.extension in extensions]


def columns(names: list[str], *, on_invalid: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in names:
        written = WRITTEN.get(name, name)
        made[name] = {"type": written, "on_invalid": on_invalid}
        made[f"many {name}"] = {"type": f"{written}[]", "on_invalid": on_invalid}
    return made


def entry(table: str, names: list[str]) -> dict[str, Any]:
    """Values that do not fit are NULL in one target, and dead letters of the other."""
    lenient = {"columns": columns(names, on_invalid="null"), "history": "public.orders_history"}
    strict = {"columns": columns(names, on_invalid="reject")}
    return {
        "table": table,
        "initial_load": "snapshot",
        "max_dead_letters": 100_000,
        "into": {"public.orders": lenient, "public.strict": strict},
    }


async def prepared(deployment: Deployment, dsn: str, names: list[str]) -> None:
    admin = await connect(ConnectionSettings(dsn=dsn))
    for extension in sorted({e for name in names if (e := ROWS[name].extension) is not None}):
        await admin.execute(f"create extension {extension} schema public")
    await admin.close()
    await deployment.migrate()


async def found_in(dsn: str) -> dict[str, list[asyncpg.Record]]:
    """All that was written, read in one way."""
    connection = await connect(ConnectionSettings(dsn=dsn))
    try:
        strict = ALL_OF.format(table="public.strict")
        statements = {**FOUND, "strict": strict}
        return {name: await connection.fetch(text) for name, text in statements.items()}
    finally:
        await connection.close()


@one_emulator
@pytest.mark.parametrize(
    # behind a pooler, where all has to be said in each transaction
    "pooler",
    ["transaction", pytest.param("none", marks=pytest.mark.wide)],
)
async def test_all_types_are_written_as_under_defaults_whatever_role_and_database_set(
    stage: Stage, database: str, pooler: str
):
    names = await types_there(database)
    table = await stage.create_table("orders", KEY)
    tables = {"orders": entry(table, names)}

    async def put(kind: str) -> None:
        for item in items(kind, names):
            await stage.client.put_item(TableName=table, Item=item)

    settings = HOSTILE | (DIRECTLY if pooler == "none" else {})
    async with hostile_database(database, settings) as hostile:
        with pgbouncer(hostile, sessions=4) if pooler == "transaction" else direct(hostile) as way:
            usual = stage.deployment(tables, name="usual")
            strange = stage.deployment(tables, name="strange", dsn=way, pooler=pooler)
            async with usual, strange:
                await put("loaded")
                for deployment, dsn in ((usual, database), (strange, hostile)):
                    await prepared(deployment, dsn, names)
                    assert (await deployment.run_until_caught_up()).code == 0
                await put("streamed")
                for deployment in (usual, strange):
                    assert (await deployment.run_until_caught_up()).code == 0
                verified = [
                    await deployment.command("verify", "--json") for deployment in (usual, strange)
                ]
                expected, found = await asyncio.gather(found_in(database), found_in(hostile))

    assert len(expected["rows"]) == len(items("loaded", names)) + len(items("streamed", names))
    assert expected["history"] != []
    assert expected["letters"] != []
    for name, rows in expected.items():
        assert found[name] == rows, name
    assert verified[0].stdout == verified[1].stdout, verified[1].text


@contextmanager
def direct(dsn: str) -> Iterator[str]:
    yield dsn
