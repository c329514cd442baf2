"""A migrated table that Lambda may write, and the function that writes it, in this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from replicator.app.aws_lambda.compose_function import function_of
from replicator.app.aws_lambda.execution_environment import BatchResponse, ExecutionEnvironment
from replicator.config.load_settings import load
from replicator.config.settings import Settings
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.schema.migrate import migrate
from tests.support.builders import KEY
from tests.support.lambda_runtime import EVENT_SECONDS

CONFIGURATION = """
version: 1
deployment: test
target: {{dsn: "{dsn}", pooler: {pooler}}}
tables:
  orders:
    poller: {poller}
    initial_load: stream
    into:
      public.t: {{columns: {{n: bigint}}}}
"""


class LambdaTable:
    """The table `orders`, whose column `n` goes to `public.t`."""

    def __init__(self, dsn: str, folder: Path, *, text: str = CONFIGURATION) -> None:
        self.dsn = dsn
        self.file = folder / "replicator.yaml"
        self._text = text
        self.lines: list[str] = []

    def configure(self, *, poller: str = "lambda", pooler: str = "none", dsn: str = "") -> None:
        """Write the file and migrate as it says."""
        self.file.write_text(self._text.format(dsn=dsn or self.dsn, poller=poller, pooler=pooler))
        mappings = [self.mapping()]
        asyncio.run(migrate(ConnectionSettings(dsn=self.dsn), "replicator", "test", mappings))

    @property
    def environ(self) -> dict[str, str]:
        """What the function's environment says."""
        return {"REPLICATOR_CONFIG": str(self.file), "AWS_REGION": "eu-west-1"}

    def settings(self) -> Settings:
        return load(None, self.environ)

    def mapping(self) -> TableMapping:
        return compile_table(self.settings().table_specs()["orders"], KEY)

    @contextmanager
    def function(self) -> Iterator[ExecutionEnvironment]:
        """An execution environment."""
        function = function_of(self.environ, self.lines.append)
        try:
            yield function
        finally:
            function.close()

    def apply(self, event: object, *, seconds_left: float = EVENT_SECONDS) -> BatchResponse:
        """One event in an environment of its own."""
        with self.function() as function:
            return function.handle(event, seconds_left=seconds_left)

    def fetch(self, text: str, *values: object) -> list[dict[str, Any]]:
        async def fetch() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.dsn)
            try:
                return [dict(row) for row in await connection.fetch(text, *values)]
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def rows(self) -> dict[str, Any]:
        """The column `n` by key."""
        return {row["pk"]: row["n"] for row in self.fetch("select pk, n from public.t")}
