"""One table under random writes, its target watched by triggers: what most faults are tried on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.end_to_end import witness
from tests.end_to_end.conftest import Stage
from tests.end_to_end.traffic import COLUMNS, CONFIGURED, Traffic
from tests.support.bounds import USUAL_SECONDS
from tests.support.comparison import Rows, assert_equal, differences, read_rows
from tests.support.daemon import Deployment, Worker
from tests.support.oracle import Target

KEY = {"pk": "S", "sk": "N"}
TARGET = "public.orders"


@dataclass(frozen=True, slots=True)
class Watched:
    """A deployment of one table, `orders`, and the writes that go there."""

    deployment: Deployment
    traffic: Traffic
    dsn: str
    table: str

    async def rows(self) -> Rows:
        return await read_rows(self.dsn, TARGET, key=tuple(KEY))

    async def equal(self, worker: Worker, *, seconds: float = USUAL_SECONDS) -> None:
        """Wait until the target is as the oracle says; fail with what differs."""
        [target] = self.traffic.targets

        async def same() -> bool:
            return not differences(target.rows, await self.rows())

        try:
            await worker.until(same, what="source and target are equal", seconds=seconds)
        except AssertionError:
            assert_equal(target.rows, await self.rows())
            raise

    async def writes_more(
        self, worker: Worker, *, writes: int = 1, seconds: float = USUAL_SECONDS
    ) -> None:
        """Wait until so many rows more are written to the target."""
        goal = await witness.count(self.dsn) + writes

        async def more() -> bool:
            return await witness.count(self.dsn) >= goal

        await worker.until(more, what="the worker writes", seconds=seconds)

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[None]:
        """Writes go on for as long as the block runs."""
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.traffic.write_until(stopping))
            try:
                yield
            finally:
                stopping.set()


@asynccontextmanager
async def watched(
    stage: Stage, *, seed: int, dsn: str | None = None, through: str | None = None, **options: Any
) -> AsyncIterator[Watched]:
    """Table, target and witnesses, ready for `deployment.start()`; processes end with the block.

    `through` is another way to the database of `dsn`, which only the deployment goes.
    """
    table = await stage.create_table("orders", KEY)
    traffic = Traffic(
        stage.client, table, key=KEY, targets=[Target(KEY, COLUMNS, rest="extra")], seed=seed
    )
    entry = {
        "table": table,
        "initial_load": "stream",
        "max_dead_letters": 100_000,
        "into": {TARGET: {"columns": CONFIGURED, "rest": "extra"}},
    }
    async with stage.deployment({"orders": entry}, dsn=through or dsn, **options) as deployment:
        await deployment.migrate()
        await witness.install(dsn or stage.dsn, TARGET, key=tuple(KEY))
        yield Watched(deployment, traffic, dsn or stage.dsn, table)
