"""A stage for every test: one DynamoDB, one database, and configurations that join them."""

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import endpoints
from tests.support.daemon import Deployment, configuration

one_emulator = pytest.mark.parametrize("dynamodb_endpoint", endpoints.NAMES[:1], indirect=True)
"""For tests of what DynamoDB has no part in: the first emulator will do."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Servers and a directory. Names of tables begin with `prefix`, which nobody else has."""

    url: str
    dsn: str
    client: Any
    directory: Path
    prefix: str

    async def create_table(
        self, name: str, key: Mapping[str, str], *, view: str | None = "NEW_AND_OLD_IMAGES"
    ) -> str:
        """A DynamoDB table with a stream (`view` None: without one); its full name."""
        stream: dict[str, Any] = (
            {"StreamEnabled": False}
            if view is None
            else {"StreamEnabled": True, "StreamViewType": view}
        )
        await self.client.create_table(
            TableName=f"{self.prefix}-{name}",
            KeySchema=[
                {"AttributeName": part, "KeyType": kind}
                for part, kind in zip(key, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[
                {"AttributeName": part, "AttributeType": kind} for part, kind in key.items()
            ],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification=stream,
        )
        return f"{self.prefix}-{name}"

    async def enable_stream(self, table: str, *, on: bool) -> None:
        """Turn a table's stream off, or on anew."""
        specification: dict[str, Any] = {"StreamEnabled": on}
        if on:
            specification["StreamViewType"] = "NEW_AND_OLD_IMAGES"
        await self.client.update_table(TableName=table, StreamSpecification=specification)

    def deployment(
        self,
        tables: Mapping[str, Any],
        *,
        name: str = "main",
        dsn: str | None = None,
        endpoint_url: str | None = None,
        **options: Any,
    ) -> Deployment:
        """A deployment of its own directory; `tables` as in a configuration file."""
        directory = self.directory / name
        directory.mkdir()
        settings = configuration(
            endpoint_url=endpoint_url or self.url,
            dsn=dsn or self.dsn,
            tables=tables,
            deployment=f"{self.prefix}-{name}",
            **options,
        )
        return Deployment(directory, settings)


@pytest.fixture
def database(migrated_database: str) -> str:
    """The database that all fixtures of a test share; its control schema is empty."""
    return migrated_database


@pytest.fixture
async def stage(dynamodb_endpoint: str, database: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """Every emulator in turn, and a database with nothing but a control schema."""
    async with endpoints.dynamodb_client(dynamodb_endpoint) as client:
        yield Stage(dynamodb_endpoint, database, client, tmp_path, f"t{secrets.token_hex(4)}")
