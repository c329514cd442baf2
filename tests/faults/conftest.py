"""A replica for every test: scripted streams, real PostgreSQL, leases in a real emulator."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.replica import Replica, replica

NewReplica = Callable[..., AbstractAsyncContextManager[Replica]]


@pytest.fixture
def database(migrated_database: str) -> str:
    """The database that all fixtures of a test share; its control schema is empty."""
    return migrated_database


@pytest.fixture
def new_replica(lease_endpoint: str, database: str, tmp_path: Path) -> NewReplica:
    """Opens a replica; see replica.replica for what can be asked for."""

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[Replica]:
        given: dict[str, Any] = {
            "dsn": database,
            "directory": tmp_path,
            "name": f"t{secrets.token_hex(4)}",
        }
        async with partial(replica, lease_endpoint=lease_endpoint)(**given | options) as it:
            yield it

    return opened
