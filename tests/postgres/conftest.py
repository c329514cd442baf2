"""Databases with a control schema: with the mapping of most tests, or with a registered table."""

from collections.abc import AsyncIterator

import pytest

from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.migrate import migrate
from tests.support.builders import table_mapping
from tests.support.control import Control, control_pool, control_schema


@pytest.fixture
async def opened(migrated_database: str) -> AsyncIterator[Database]:
    settings = ConnectionSettings(dsn=migrated_database)
    await migrate(settings, "replicator", "test", [table_mapping()])
    opened = Database(settings, deployment="test", control_schema="replicator", pool_size=4)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def control(migrated_database: str) -> AsyncIterator[Control]:
    """A control schema with the registered table `orders`."""
    async with control_schema(migrated_database) as control:
        await control.register("orders")
        yield control


@pytest.fixture
async def pool(control: Control) -> AsyncIterator[Database]:
    """A worker's way to that control schema."""
    async with control_pool(control.dsn) as pool:
        yield pool
