"""PostgreSQL goes away under load and comes back: the process stays, says so, and catches up."""

import asyncio

import pytest

from replicator.demo.embedded_servers import EmbeddedPostgres
from tests.end_to_end import witness
from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.watched import watched

pytestmark = pytest.mark.faults

AWAY = [
    pytest.param(False, 100, id="stopped", marks=pytest.mark.wide),  # as a crash, but politer
    pytest.param(True, 100, id="crashed"),
    pytest.param(True, 1_500, id="crashed-for-long", marks=pytest.mark.long),
]


@one_emulator
@pytest.mark.parametrize(("immediate", "changes"), AWAY)
async def test_a_server_that_comes_back_is_caught_up_with(
    stage: Stage, own_postgres: EmbeddedPostgres, immediate: bool, changes: int
):
    async with watched(stage, seed=3, dsn=own_postgres.dsn) as it:
        worker = await it.deployment.start_ready()

        async def readiness_is(code: int) -> bool:
            return (await worker.get("/readyz"))[0] == code

        async with it.under_load():
            await it.writes_more(worker)
            await asyncio.to_thread(own_postgres.stop, immediate=immediate)
            await worker.until(lambda: readiness_is(503), what="/readyz is 503")
            assert (await worker.get("/healthz"))[0] == 200
            goal = it.traffic.written + changes

            async def written() -> bool:
                return it.traffic.written >= goal

            await worker.until(written, what=f"{changes} changes are written meanwhile")
            assert (await worker.get("/healthz"))[0] == 200
            assert worker.code is None
            await asyncio.to_thread(own_postgres.start)
            await worker.until(lambda: readiness_is(200), what="/readyz is 200")
            await it.writes_more(worker)

        await it.equal(worker)
        assert "Traceback" not in worker.text()
        assert await worker.stop() == 0
        await witness.assert_nothing_twice(it.dsn)
