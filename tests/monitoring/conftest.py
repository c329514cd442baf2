"""A clock to turn, a status to change, and a real server that shows them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession

from replicator.core.observations import Observation
from replicator.core.status.deployment_status import Status
from replicator.monitoring.health import Health
from replicator.monitoring.http import Pages, serve
from replicator.monitoring.lag_history import History
from replicator.monitoring.latest_status import LatestStatus
from replicator.monitoring.metrics import Metrics

START = datetime(2026, 1, 1, tzinfo=UTC)


class TurnedClock:
    """Moves only when it is turned."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Monitored:
    """All that app.py would wire, and the address where it is shown."""

    clock: TurnedClock
    latest: LatestStatus = field(init=False)
    health: Health = field(init=False)
    history: History = field(init=False)
    metrics: Metrics = field(init=False)
    url: str = ""

    def __post_init__(self) -> None:
        self.latest = LatestStatus(self.clock)
        self.health = Health(self.clock.monotonic())
        self.history = History(self.clock)
        self.metrics = Metrics(self.latest, leases_held=lambda: 3)

    @property
    def pages(self) -> Pages:
        return Pages(self.metrics, self.health, self.history, self.latest, self.clock)

    def publish(self, status: Status) -> None:
        self.latest.publish(status)
        self.history.record(status)

    def observe(self, observation: Observation) -> None:
        self.metrics.observe(observation)
        self.history.observe(observation)

    def everything_ready(self) -> None:
        for condition in ("configuration", "target", "coordination"):
            self.health.set_ready(condition, ok=True)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def monitored(clock: TurnedClock) -> AsyncIterator[Monitored]:
    shown = Monitored(clock)
    async with serve(shown.pages, host="127.0.0.1", port=0) as port:
        shown.url = f"http://127.0.0.1:{port}"
        yield shown


@pytest.fixture
async def client(monitored: Monitored) -> AsyncIterator[ClientSession]:
    async with ClientSession(monitored.url) as session:
        yield session
