"""A table that Lambda writes, in a database of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.lambda_mode.looking import Looking
from tests.lambda_mode.oracle import CONFIGURATION
from tests.support.lambda_function import LambdaTable
from tests.support.postgres import fresh_database


@pytest.fixture
def own_database(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """An empty control schema, for tests that run a loop of their own: the database's DSN."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        made = fresh_database(postgres_server, template=migrated_template)
        yield runner.run(stack.enter_async_context(made))
        runner.run(stack.aclose())


@pytest.fixture
def table(own_database: str, tmp_path: Path) -> LambdaTable:
    """The table `orders`, handed over to Lambda."""
    table = LambdaTable(own_database, tmp_path)
    table.configure()
    return table


@pytest.fixture
def of_all_kinds(own_database: str, tmp_path: Path) -> LambdaTable:
    """A table with rows that are deleted and softly deleted, children and a history."""
    table = LambdaTable(own_database, tmp_path, text=CONFIGURATION)
    table.configure()
    return table


@pytest.fixture
def looking(of_all_kinds: LambdaTable) -> Iterator[Looking]:
    """Beside that table."""
    looking = Looking(of_all_kinds.dsn)
    yield looking
    looking.close()
