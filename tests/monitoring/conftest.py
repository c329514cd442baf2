"""A clock to turn, a status to change, and a real server that shows them."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession

from replicator.core.status.deployment_status import Status
from replicator.core.status.status_shard_pages import EndedShard, PageEnd
from replicator.core.telemetry_events import TelemetryEvent
from replicator.monitoring.http_server import Pages, serve
from replicator.monitoring.lag_history import History
from replicator.monitoring.latest_status import LatestStatus
from replicator.monitoring.liveness_and_readiness import Health
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
    ended: list[EndedShard] = field(default_factory=list)
    """Shards of every table that ended, the newest end first, as PostgreSQL would give them."""

    def __post_init__(self) -> None:
        self.latest = LatestStatus(self.clock)
        self.health = Health(self.clock.monotonic())
        self.history = History(self.clock)
        self.metrics = Metrics(self.latest, leases_held=lambda: 3)

    @property
    def pages(self) -> Pages:
        return Pages(
            self.metrics, self.health, self.history, self.latest, self.clock, self.read_ended
        )

    async def read_ended(
        self, source: str, after: PageEnd | None, shards_max: int
    ) -> Sequence[EndedShard]:
        """Those behind a place."""
        del source
        first = 0
        if after is not None and after.ended_at is not None:
            names = [each.shard_id for each in self.ended]
            first = names.index(after.shard_id) + 1
        return self.ended[first : first + shards_max]

    def publish(self, status: Status) -> None:
        self.latest.publish(status)
        self.history.record(status)

    def observe(self, event: TelemetryEvent) -> None:
        self.metrics.observe(event)
        self.history.observe(event)

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
