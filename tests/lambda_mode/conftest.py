"""A table that Lambda writes, in a database of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.lambda_function import LambdaTable
from tests.support.postgres import fresh_database


@pytest.fixture
def own_database(postgres_server: str) -> Iterator[str]:
    """The DSN of an empty database, for tests that run a loop of their own."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        made = fresh_database(postgres_server, template="template0")
        yield runner.run(stack.enter_async_context(made))
        runner.run(stack.aclose())


@pytest.fixture
def table(own_database: str, tmp_path: Path) -> LambdaTable:
    """The table `orders`, handed over to Lambda."""
    table = LambdaTable(own_database, tmp_path)
    table.configure()
    return table
