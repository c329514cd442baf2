"""Killed again and again under load, the target still ends equal and nothing is applied twice."""

import asyncio
from random import Random

import pytest

from tests.end_to_end import witness
from tests.end_to_end.conftest import Stage
from tests.end_to_end.traffic import COLUMNS, CONFIGURED, Traffic
from tests.support.comparison import assert_equal, differences, read_rows
from tests.support.daemon import Deployment, Worker, eventually
from tests.support.oracle import Target

pytestmark = pytest.mark.faults

KEY = {"pk": "S", "sk": "N"}
KILLS = [6, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
CHANGES_WHEN_LONG = 20_000


async def rows(stage: Stage) -> dict[tuple[object, ...], dict[str, object]]:
    return await read_rows(stage.dsn, "public.orders", key=tuple(KEY))


async def equal(stage: Stage, traffic: Traffic, worker: Worker) -> None:
    [target] = traffic.targets

    async def same() -> bool:
        return not differences(target.rows, await rows(stage))

    try:
        await worker.until(same, what="source and target are equal")
    except AssertionError:
        assert_equal(target.rows, await rows(stage))
        raise


async def make(stage: Stage, *, seed: int, **options: float) -> tuple[Traffic, Deployment]:
    """A watched target and the traffic for it."""
    table = await stage.create_table("orders", KEY)
    traffic = Traffic(
        stage.client, table, key=KEY, targets=[Target(KEY, COLUMNS, rest="extra")], seed=seed
    )
    into = {"public.orders": {"columns": CONFIGURED, "rest": "extra"}}
    entry = {
        "table": table,
        "initial_load": "stream",
        "max_dead_letters": 100_000,
        "into": into,
    }
    deployment = stage.deployment({"orders": entry}, **options)
    await deployment.migrate()
    await witness.install(stage.dsn, "public.orders", key=tuple(KEY))
    return traffic, deployment


async def writes_more(stage: Stage, worker: Worker) -> None:
    """Wait until a worker that was just started has written."""
    before = await witness.count(stage.dsn)

    async def more() -> bool:
        return await witness.count(stage.dsn) > before

    await worker.until(more, what="the worker writes")


@pytest.mark.parametrize("kills", KILLS)
async def test_killed_at_any_moment_it_applies_every_change_once(stage: Stage, kills: int):
    chance = Random(kills)
    traffic, deployment = await make(stage, seed=kills, lease_seconds=1.0)
    async with deployment, asyncio.TaskGroup() as tasks:
        stopping = asyncio.Event()
        tasks.create_task(traffic.write_until(stopping))

        for _ in range(kills):
            worker = deployment.start()
            await writes_more(stage, worker)
            await asyncio.sleep(chance.uniform(0, 0.5))
            worker.kill()
        if kills > KILLS[0]:
            await eventually(
                lambda: _reached(traffic, CHANGES_WHEN_LONG), what="enough", seconds=300
            )
        stopping.set()

    async with deployment:
        worker = await deployment.start_ready()
        await equal(stage, traffic, worker)
        assert await worker.stop() == 0
    await witness.assert_nothing_twice(stage.dsn)


async def _reached(traffic: Traffic, changes: int) -> bool:
    return traffic.written >= changes
