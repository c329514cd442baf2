"""A fresh database for every test, on a server of our own or a given one."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from replicator.postgres.schema.control_revisions import upgrade_sql
from tests.support.bounds import USUAL_SECONDS


@asynccontextmanager
async def fresh_database(server_dsn: str, *, template: str) -> AsyncIterator[str]:
    """The DSN of a new database like `template`; dropped at the end, whoever is still connected."""
    name = f"test_{secrets.token_hex(6)}"
    await _create(server_dsn, f"create database {name} template {template}")
    try:
        yield urlunsplit(urlsplit(server_dsn)._replace(path=f"/{name}"))
    finally:
        await _execute(server_dsn, f"drop database if exists {name} with (force)")


@asynccontextmanager
async def migrated_database_to_copy(server_dsn: str) -> AsyncIterator[str]:
    """The name of a database that nobody is connected to, with an empty control schema."""
    async with fresh_database(server_dsn, template="template0") as dsn:
        await _execute(dsn, f"create schema replicator; {upgrade_sql('replicator', None)}")
        yield urlsplit(dsn).path.removeprefix("/")


async def _create(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=USUAL_SECONDS)
    try:
        # cheap for a template this small, and it writes next to no WAL; before 15 there is no other
        copied = " strategy file_copy" if connection.get_server_version().major >= 15 else ""
        await connection.execute(statement + copied)
    finally:
        await connection.close()


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=USUAL_SECONDS)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
