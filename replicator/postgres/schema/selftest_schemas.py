"""Scratch schemas of a self-test: listed, read, dropped."""

from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.sql_quoting import quote_identifier
from replicator.postgres.schema.migrate import looking, opened, reading

SCHEMAS = "select nspname from pg_catalog.pg_namespace where starts_with(nspname, $1) order by 1"


async def schemas_with_prefix(settings: ConnectionSettings, prefix: str) -> list[str]:
    """The names of schemas that begin so; SinkUnavailable, ConfigurationError."""
    async with opened(settings) as connection, reading(connection, "listing schemas"):
        return [row["nspname"] for row in await connection.fetch(SCHEMAS, prefix)]


async def drop_schemas(settings: ConnectionSettings, names: list[str]) -> None:
    """Drop schemas with all that is in them; nothing happens for one that is not there."""
    async with opened(settings) as connection, looking("dropping scratch schemas"):
        for name in names:
            await connection.execute(f"drop schema if exists {quote_identifier(name)} cascade")
