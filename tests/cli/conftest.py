"""A control schema to fill, and a configuration to name tables in."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.control import Control, control_schema, write_configuration

Configure = Callable[..., Path]


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The database that all fixtures of a test share; without `control` it is empty."""
    is_filled = "control" in request.fixturenames
    found: str = request.getfixturevalue("migrated_database" if is_filled else "empty_database")
    return found


@pytest.fixture
async def control(database: str) -> AsyncIterator[Control]:
    """The control schema's database; `register` adds tables to it."""
    async with control_schema(database) as control:
        yield control


@pytest.fixture
def configure(database: str, tmp_path: Path) -> Configure:
    """Writes a configuration of some tables; DynamoDB is away unless `endpoint_url` says where."""

    def write(*tables: str, dsn: str = database, **options: str) -> Path:
        return write_configuration(tmp_path, *tables, dsn=dsn, **options)

    return write
