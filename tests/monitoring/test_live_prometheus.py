"""A real Prometheus scrapes a real worker: an alert lives and ends, the dashboard has its data."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.replica import Replica, replica
from tests.monitoring.dashboard import expressions
from tests.support.daemon import Worker
from tests.support.ports import kept_port
from tests.support.prometheus import RULES, Prometheus, complaints, prometheus
from tests.support.waiting import eventually

pytestmark = pytest.mark.long
NEVER_HERE = ("_snapshot_", "_unmatched_", "_verify_", 'outcome!="ok"')
"""What this worker has no reason to count."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A replica with a worker, and the Prometheus that scrapes it."""

    replica: Replica
    worker: Worker
    prometheus: Prometheus


def hurried(directory: Path) -> list[Path]:
    """Our rules, with seconds where they have minutes."""
    files = []
    for name in ("recording.yml", "alerts.yml"):
        text = (RULES / name).read_text("utf-8")
        text = re.sub(r"\bfor: \d+[mh]", "for: 2s", text)
        text = re.sub(r"lag_seconds:max > \d+", "lag_seconds:max > 8", text)
        text = text.replace("interval: 30s", "interval: 1s").replace("[5m]", "[8s]")
        files.append(directory / name)
        files[-1].write_text(text)
    return files


@pytest.fixture
async def watched(database: str, lease_endpoint: str, tmp_path: Path) -> AsyncIterator[Watched]:
    async with replica(
        lease_endpoint=lease_endpoint, dsn=database, directory=tmp_path, name="watched", shards=2
    ) as it:
        worker = await it.deployment.start_ready()
        target = (await worker.url()).removeprefix("http://")
        async with prometheus(
            tmp_path, target, rule_files=hurried(tmp_path), port=kept_port()
        ) as server:
            yield Watched(it, worker, server)


async def test_every_expression_of_the_dashboard_is_answered(watched: Watched):
    it, worker, server = watched.replica, watched.worker, watched.prometheus
    empty: list[str] = []

    async def filled() -> bool:
        empty[:] = [
            f"{expression.asker}: {expression.text}"
            for expression in expressions()
            if not await server.query(expression.filled_in(interval="30s"))
            and not any(name in expression.text for name in NEVER_HERE)
        ]
        return not empty

    async with it.load.going_on(a_second=50):
        await eventually(filled, what="every panel has data", show=lambda: str(empty))
        assert complaints((await worker.get("/metrics"))[1]) == (0, "")
    assert await worker.stop() == 0


async def test_a_blocked_stream_raises_alerts_that_clear_when_it_flows_again(watched: Watched):
    it, worker, server = watched.replica, watched.worker, watched.prometheus

    async def quiet() -> bool:
        return not await server.firing()

    async with it.load.going_on(a_second=20):
        await worker.until(quiet, what="no alert fires while it keeps up")

        it.streams.fail("GetRecords", times=None)

        async def fire() -> bool:
            return {"ReplicatorLagHigh", "ReplicatorNoProgress"} <= await server.firing()

        await worker.until(fire, what="the alerts fire")
        others = {"ReplicatorDown", "ReplicatorGap", "ReplicatorTableHalted"}
        assert not others & await server.firing()
        it.streams.heal()
        await worker.until(quiet, what="the alerts clear")
    await it.equal(worker)
