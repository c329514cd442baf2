"""Servers and databases that cannot keep every value are refused, and no setting changes one."""

import asyncpg
import pytest

from replicator.errors import ConfigurationError
from replicator.postgres.connection.connect import (
    VALUE_SETTINGS,
    ConnectionSettings,
    connect,
    session_parameters,
)
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.catalog import Catalog, read_catalog
from replicator.postgres.schema.server_fitness import require_fit_server
from tests.support.pgbouncer import pgbouncer

HOSTILE = {
    "client_encoding": "LATIN1",
    "timezone": "Asia/Kathmandu",
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "xmlbinary": "hex",
    "xmloption": "document",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "default_transaction_isolation": "serializable",
}
SHOW = "select name, setting from pg_settings where lower(name) = any($1::text[])"


async def catalog_of(dsn: str) -> Catalog:
    connection = await connect(ConnectionSettings(dsn=dsn))
    try:
        return await read_catalog(connection, [])
    finally:
        await connection.close()


@pytest.mark.parametrize("pooler", ["none", "transaction"])
async def test_no_setting_of_a_role_or_database_changes_a_value(database: str, pooler: str):
    assert HOSTILE.keys() == VALUE_SETTINGS.keys()
    name = database.rpartition("/")[2]
    admin = await asyncpg.connect(database)
    for setting, value in HOSTILE.items():
        await admin.execute(f"alter database {name} set {setting} = '{value}'")
    await admin.close()
    ours = Database(
        ConnectionSettings(dsn=database, pooler="none" if pooler == "none" else "transaction"),
        deployment="test",
        control_schema="replicator",
        pool_size=1,
    )

    async with ours.transaction("looking") as connection:
        shown = {
            row["name"].lower(): row["setting"]
            for row in await connection.fetch(SHOW, list(VALUE_SETTINGS))
        }
        isolation = await connection.fetchval("show transaction_isolation")
    await ours.close()

    assert shown == VALUE_SETTINGS
    assert (shown["array_nulls"], shown["standard_conforming_strings"]) == ("on", "on")
    assert isolation == "read committed"


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_is_not_utf8_is_refused(database: str, encoding: str):
    name = f"{database.rpartition('/')[2]}_{encoding.lower()}"
    admin = await asyncpg.connect(database)
    await admin.execute(
        f"create database {name} encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
        " template template0"
    )
    try:
        with pytest.raises(ConfigurationError, match=f"has the encoding {encoding}"):
            require_fit_server(await catalog_of(f"{database.rpartition('/')[0]}/{name}"))
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


async def test_a_pooler_that_leaves_out_what_a_session_begins_with_is_seen(database: str):
    asked = ConnectionSettings(dsn=database)
    parameters = ",".join(name.lower() for name in session_parameters(asked))
    with pgbouncer(database, sessions=2, ignored=parameters) as pooled:
        behind = await catalog_of(pooled)

    assert not behind.limited
    assert (await catalog_of(database)).limited
