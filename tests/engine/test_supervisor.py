"""A failure that no retry can mend stops the table, also where the stop itself fails at first."""

import asyncio
from types import SimpleNamespace

import pytest

from replicator.app.daemon import deliver_notices as notifications
from replicator.config.settings import NotificationSettings
from replicator.core.status.notices import Due, Notice
from replicator.core.telemetry_events import TaskFailed, TaskRecovered, TelemetryEvent
from replicator.engine.worker.supervisor import HALT_ATTEMPTS_MAX, Halt, Job, supervise
from replicator.errors import BatchTooSlow, NoticeUndelivered, RecordTooSlow, ReplicatorError
from tests.support.virtual_time import START, in_virtual_time, running_clock


class Table:
    """Fails each attempt, and cannot be halted at first."""

    def __init__(self, *, refusals: int) -> None:
        self.said: list[str] = []
        self.refusals = refusals
        self.stopping = asyncio.Event()

    async def run(self) -> bool:
        self.said.append("run")
        message = "a single record is too slow"
        raise RecordTooSlow(message)

    def halting(self) -> Halt:
        return self.halt

    async def halt(self, error: ReplicatorError) -> bool:
        self.said.append("halt")
        assert isinstance(error, RecordTooSlow)
        if self.refusals:
            self.refusals -= 1
            message = "what was cut off holds the rows"
            raise BatchTooSlow(message)
        self.stopping.set()
        return True

    def observe(self, event: TelemetryEvent) -> None:
        if isinstance(event, TaskFailed):
            self.said.append(type(event.error).__name__)

    async def supervised(self) -> list[str]:
        job = Job("shard", "t", self.run, self.halting)
        await supervise(
            job,
            self.stopping,
            observe=self.observe,
            clock=running_clock(),
            beat=lambda _: None,
        )
        return self.said


@in_virtual_time
async def test_a_halt_that_waits_for_what_was_cut_off_is_tried_before_the_job_is():
    said = await Table(refusals=2).supervised()

    assert said == ["run", "halt", "BatchTooSlow", "halt", "BatchTooSlow", "halt"]


@in_virtual_time
async def test_a_halt_that_never_comes_through_lets_the_job_tell_what_is_so_now():
    said = await Table(refusals=HALT_ATTEMPTS_MAX).supervised()

    told = ["halt", "BatchTooSlow"] * HALT_ATTEMPTS_MAX
    assert said == ["run", *told, "RecordTooSlow", "run", "halt"]


@in_virtual_time
async def test_who_is_asked_to_stop_gives_up_a_halt_that_does_not_come_through():
    table = Table(refusals=HALT_ATTEMPTS_MAX)
    supervised = asyncio.create_task(table.supervised())
    await asyncio.sleep(0)
    table.stopping.set()

    assert await supervised == ["run", "halt", "BatchTooSlow", "RecordTooSlow"]


class Outbox:
    """A notice that is due each minute."""

    def __init__(self) -> None:
        self.away = True
        self.posted = 0
        self._due_at = 0.0

    async def record(self, current: object, *, seconds_old: float) -> None: ...

    async def take(self) -> list[Due]:
        now = asyncio.get_running_loop().time()
        if now < self._due_at:
            return []
        self._due_at = now + 60
        return [Due(Notice("orders", "halted", "critical", "it stands", ""), "opened", 1, START)]

    async def delivered(self, due: Due) -> None: ...

    async def post(self, *_: object, **__: object) -> None:
        self.posted += 1
        if self.away:
            message = "a notice was not delivered"
            raise NoticeUndelivered(message)


@in_virtual_time
async def test_a_receiver_that_stays_away_is_back_once_and_not_whenever_nothing_is_due(
    monkeypatch: pytest.MonkeyPatch,
):
    outbox, stopping, said = Outbox(), asyncio.Event(), list[str]()
    monkeypatch.setattr(notifications, "Notices", lambda _: outbox)
    monkeypatch.setattr(notifications, "post", outbox.post)
    settings = NotificationSettings(webhook_url="http://127.0.0.1/hook")
    telling = notifications.Notifications(
        settings,
        SimpleNamespace(deployment="test"),  # type: ignore[arg-type]
        lambda: None,
        running_clock(),
    )

    def observe(fact: TelemetryEvent) -> None:
        if isinstance(fact, TaskFailed | TaskRecovered):
            said.append(type(fact).__name__)

    job = Job("notify", None, lambda: telling.tell(stopping))
    supervised = asyncio.create_task(
        supervise(job, stopping, observe=observe, clock=running_clock(), beat=lambda _: None)
    )
    await asyncio.sleep(200)
    assert outbox.posted > 2
    assert said == ["TaskFailed"] * outbox.posted

    outbox.away = False
    await asyncio.sleep(200)
    assert said.count("TaskRecovered") == 1
    stopping.set()
    await supervised
