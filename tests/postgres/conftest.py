"""A database with a control schema and the table of most tests."""

from collections.abc import AsyncIterator

import pytest

from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.migrate import migrate
from tests.support.builders import table_mapping


@pytest.fixture
async def opened(migrated_database: str) -> AsyncIterator[Database]:
    settings = ConnectionSettings(dsn=migrated_database)
    await migrate(settings, "replicator", "test", [table_mapping()])
    opened = Database(settings, deployment="test", control_schema="replicator", pool_size=4)
    try:
        yield opened
    finally:
        await opened.close()
