"""Killed again and again under load, the target still ends equal and nothing is applied twice."""

from random import Random

import pytest

from tests.end_to_end import witness
from tests.end_to_end.conftest import Stage
from tests.end_to_end.watched import watched
from tests.support.bounds import USUAL_SECONDS, lease, scaled

pytestmark = [pytest.mark.faults, pytest.mark.crowd]

CASES = [
    (3, 0),
    pytest.param(20, 20_000, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("kills", "changes"), CASES)
async def test_killed_at_any_moment_it_applies_every_change_once(
    stage: Stage, kills: int, changes: int
):
    chance = Random(kills)
    async with watched(stage, seed=kills, lease_seconds=lease(1.0)) as it:
        async with it.under_load():
            worker = it.deployment.start()
            for _ in range(kills):
                await it.writes_more(worker)
                heir = it.deployment.start()
                await heir.url()
                await it.writes_more(heir, writes=chance.randint(1, 30))
                worker.kill()
                worker = heir
            await it.writes_more(worker)
        await it.traffic.write(max(0, changes - it.traffic.written))
        await it.equal(worker, seconds=USUAL_SECONDS + scaled(changes / 50))
        assert await worker.stop() == 0
    await witness.assert_nothing_twice(it.dsn)
