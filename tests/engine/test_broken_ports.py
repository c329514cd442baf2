"""Every call of every port is broken in every way: what stands is never called well.

The real engine runs in virtual time on servers in memory. One call is broken by an exception that
nobody has invented yet, by never answering, or by an answer that is none; then the test looks only
at the status that anybody else would see, at its lag and at the readiness of the table. It knows
from the ledger what is not applied, and no component tells it that something went wrong.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import pytest

from replicator.core.status.assemble_status import Knowledge, overview
from replicator.core.status.deployment_problems import diagnose
from replicator.core.status.deployment_status import Status, WorkerStatus
from replicator.core.status.worker_report import WorkerReport, report_document, report_of
from replicator.core.telemetry_events import TaskFailed, TaskRecovered, TelemetryEvent
from replicator.engine.stream import plan_and_apply_batch as pipeline
from replicator.engine.worker.worker_report_collector import WorkerReportCollector
from replicator.errors import SourceUnavailable
from replicator.monitoring.liveness_and_readiness import table_readiness
from tests.engine.simulation import SOURCE, Server, Simulation
from tests.support.fakes import FakePositions
from tests.support.faults import at_once
from tests.support.virtual_time import VirtualLoop

BOUND_SECONDS = 150.0
"""What stands for longer is not called well, whatever broke; most is named far sooner."""
NAMED_SECONDS = 20.0
"""A shard whose own work fails is named so soon: what was read waits for its COMMIT."""
LIVING_SECONDS = 60.0
TELL_SECONDS = 4.0
STEP_SECONDS = 5.0
ANSWER_SECONDS = 0.02
"""No server answers at once: work that is done again and again takes time."""
CALLS: tuple[tuple[Server, str], ...] = (
    ("streams", "describe"),
    ("streams", "listing"),
    ("streams", "iterator"),
    ("streams", "read"),
    ("postgres", "tables"),
    ("postgres", "shards"),
    ("postgres", "shards_named"),
    ("postgres", "are_on_record"),
    ("postgres", "ended_before"),
    ("postgres", "polled_shards"),
    ("postgres", "start"),
    ("postgres", "add_shards"),
    ("postgres", "start_stream"),
    ("postgres", "claim"),
    ("postgres", "looked"),
    ("postgres", "apply"),
    ("postgres", "finish"),
    ("postgres", "leave"),
    ("postgres", "seen"),
    ("postgres", "workers"),
    ("postgres", "begin_listing"),
    ("postgres", "end_listing"),
    ("postgres", "forget_dead_letters"),
    ("postgres", "tell"),
    ("postgres", "take_turn"),
    ("leases", "all"),
    ("leases", "some"),
    ("leases", "create"),
    ("leases", "take"),
    ("leases", "renew"),
    ("leases", "save"),
    ("leases", "release"),
    ("leases", "delete"),
)
BEGINNING: tuple[tuple[Server, str], ...] = (
    ("streams", "describe"),
    ("streams", "listing"),
    ("streams", "read"),
    ("postgres", "tables"),
    ("postgres", "claim"),
    ("postgres", "apply"),
    ("leases", "create"),
    ("leases", "take"),
)
"""Calls without which nothing is read and applied for the first time."""
Fault = Literal["exception", "hang", "wrong answer"]
FAULTS: tuple[Fault, ...] = ("exception", "hang", "wrong answer")
Result = TypeVar("Result")


class Invented(Exception):
    """Nobody has thought of it."""


@dataclass(slots=True)
class World(Simulation):
    """One worker; every call is answered at once, except for the broken one."""

    broken: tuple[Server, str] | None = None
    fault: Fault = "exception"
    seen: set[tuple[Server, str]] = field(default_factory=set)
    keepers: dict[str, WorkerReportCollector] = field(default_factory=dict)
    told: dict[str, tuple[WorkerReport, float]] = field(default_factory=dict)
    written: int = 0
    failure: Exception = field(default_factory=Invented)
    facts: list[TelemetryEvent] = field(default_factory=list)

    async def _send(
        self, worker: str, server: Server, name: str, work: Callable[[], Result]
    ) -> Result:
        await asyncio.sleep(ANSWER_SECONDS)
        self.seen.add((server, name))
        if (server, name) != self.broken:
            return work()
        match self.fault:
            case "exception":
                raise self.failure
            case "hang":
                await asyncio.Event().wait()
            case "wrong answer":
                pass
        return None  # type: ignore[return-value]

    def _observe(self, fact: TelemetryEvent) -> None:
        self.facts.append(fact)
        for keeper in self.keepers.values():
            keeper.observe(fact)

    def begin(self) -> None:
        """Start a worker that tells what it has to show."""
        self.start()
        name = list(self.processes)[-1]
        self.keepers[name] = WorkerReportCollector(self.clock)
        self.loop.create_task(self._tell(name))

    async def _tell(self, name: str) -> None:
        def work() -> None:
            whole = self.keepers[name].report(self.processes[name].worker)
            told = report_of(json.loads(json.dumps(report_document(whole))))
            assert told is not None
            self.told[name] = told, self.loop.time()

        while True:
            with suppress(Invented):
                await self._send(name, "postgres", "tell", work)
            await asyncio.sleep(TELL_SECONDS)

    def pass_by(self, seconds: float, *, look: Callable[[Status], None]) -> None:
        """Let time pass, with a change now and then, and look as somebody else would."""
        until = self.loop.time() + seconds
        while self.loop.time() < until:
            self.written += 1
            self.write("abcdef"[self.written % 6], self.written % 4)
            self.loop.advance(STEP_SECONDS)
            self.reap()
            look(self.status())

    def status(self) -> Status:
        """What anybody reads from PostgreSQL."""
        positions = FakePositions(self.postgres, at_once)
        tables = _now(positions.tables())
        seen = self.postgres.data.workers
        now = self.clock.now()
        workers = []
        for name in {*seen, *self.told}:
            report, at = self.told.get(name, (None, 0.0))
            told = None if report is None else self.loop.time() - at
            look = (now - seen[name].seen_at).total_seconds() if name in seen else 1e9
            last = look if told is None else min(look, told)
            workers.append(WorkerStatus(name, 0, last, report=report, told_seconds_ago=told))
        living = {worker.id for worker in workers if worker.seen_seconds_ago < LIVING_SECONDS}
        shards = _now(positions.shards(list(tables)))
        knowledge = Knowledge("test", tables, shards, {}, tuple(workers), living)
        return overview(knowledge, now=now)

    def standing_seconds(self) -> float:
        """How old the oldest change is that is not applied; the ledger alone knows."""
        unread = self.ledger.unread(self.postgres.data)
        return max((self.clock.timestamp() - entry.at for entry in unread), default=0.0)


def _now(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError


def called_well(status: Status) -> list[str]:
    """Which of the three ways to ask call the table well."""
    [table] = status.tables
    diagnosis = diagnose(status)
    found = []
    if diagnosis.verdict == "well" or diagnosis.verdicts[SOURCE] == "well":
        found.append("status")
    if all(check.ok for check in table_readiness(table, diagnosis)):
        found.append("readyz")
    if table.lag_seconds is not None and table.lag_seconds < BOUND_SECONDS / 10:
        found.append(f"lag {table.lag_seconds:g}")
    return found


def split(world: World) -> None:
    """A shard ends and has two children, as in every stream now and then."""
    world.ledger.table.split(0)


@pytest.fixture
def world():
    world = World(VirtualLoop())
    yield world
    world.end()


def test_nothing_is_named_while_nothing_is_broken(world: World):
    world.begin()
    found: list[str] = []

    def look(status: Status) -> None:
        if world.loop.time() > 40:
            found.extend(problem.what for problem in diagnose(status).problems)

    world.pass_by(120, look=look)
    split(world)
    world.pass_by(120, look=look)
    world.begin()
    world.pass_by(120, look=look)

    assert found == []
    assert {call for call in world.seen if not call[1].startswith("ask")} <= set(CALLS)


def moments() -> Iterator[Any]:
    """When each call breaks, and how: in `make test` those without which nothing is read raise and
    hang while it works, and every other one of the rest raises. What gets a wrong answer is left as
    what raises is.
    """
    for place, (server, name) in enumerate(CALLS):
        for when in ("while it works", "at the start"):
            for fault in FAULTS:
                begins = (server, name) in BEGINNING
                raises = fault == "exception" and (begins or place % 2 == 0)
                hangs = fault == "hang" and begins
                is_usual = when == "while it works" and (raises or hangs)
                yield pytest.param(
                    server,
                    name,
                    when,
                    fault,
                    id=f"{server} {name}-{when}-{fault}",
                    marks=() if is_usual else (pytest.mark.wide,),
                )


@pytest.mark.parametrize(("server", "name", "when", "fault"), [*moments()])
def test_what_stands_is_not_called_well_whatever_breaks(
    world: World, server: Server, name: str, when: str, fault: Fault
):
    lies: list[tuple[float, float, list[str]]] = []

    def look(status: Status) -> None:
        standing = world.standing_seconds()
        if standing > BOUND_SECONDS and (well := called_well(status)):
            lies.append((world.loop.time(), standing, well))

    world.fault = fault
    if when == "at the start":
        world.broken = server, name
    world.begin()
    world.pass_by(60, look=look)
    world.broken = server, name
    world.pass_by(30, look=look)
    split(world)
    world.pass_by(250, look=look)

    assert lies == []


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_committed_is_not_laid_to_the_source(world: World, fault: Fault):
    """Reads wait for a COMMIT that does not come; the source has not failed to answer."""
    world.begin()
    world.pass_by(60, look=lambda _: None)
    world.broken, world.fault = ("postgres", "apply"), fault
    named: set[str] = set()

    def look(status: Status) -> None:
        if world.standing_seconds() > NAMED_SECONDS:
            named.update(problem.kind for problem in diagnose(status).broken.values())

    world.pass_by(80, look=look)

    assert named == {"uncommitted"}


@pytest.mark.parametrize("error", [StopIteration(), Invented(), RecursionError()])
def test_a_shard_that_fails_again_and_again_within_is_named_with_its_failure(
    world: World, error: Exception, monkeypatch: pytest.MonkeyPatch
):
    """No call fails: the engine does, at each attempt, over what it has read."""
    world.begin()
    world.pass_by(60, look=lambda _: None)
    assert diagnose(world.status()).verdict == "well"

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "plan_batch", fails)
    named: list[str] = []

    def look(status: Status) -> None:
        standing = world.standing_seconds()
        diagnosis = diagnose(status)
        if standing > NAMED_SECONDS:
            named.append(diagnosis.broken[SOURCE].what if diagnosis.broken else "well")

    world.pass_by(300, look=look)

    assert len(named) > 50
    assert [what for what in named if not what.startswith("shard ")] == []
    kind = "RuntimeError" if isinstance(error, StopIteration) else type(error).__name__
    assert [what for what in named if kind not in what] == []


@pytest.mark.parametrize(
    "fault", ["exception", *(pytest.param(fault, marks=pytest.mark.wide) for fault in FAULTS[1:])]
)
@pytest.mark.parametrize("name", ["listing", "iterator", "read", "apply"])
def test_lag_grows_within_seconds_where_reads_or_commits_fail(
    world: World, name: str, fault: Fault
):
    world.begin()
    world.pass_by(60, look=lambda _: None)
    assert world.status().tables[0].lag_seconds is not None
    server: Server = "postgres" if name == "apply" else "streams"
    world.broken, world.fault = (server, name), fault
    split(world)
    world.pass_by(40, look=lambda _: None)

    [table] = world.status().tables
    standing = world.standing_seconds()
    assert table.lag_seconds is not None
    assert standing == 0 or table.lag_seconds >= standing - 15


PERIODIC: tuple[tuple[Server, str], ...] = (
    ("streams", "listing"),
    ("streams", "describe"),
    ("postgres", "tables"),
    ("postgres", "seen"),
    ("postgres", "begin_listing"),
    ("postgres", "end_listing"),
    ("postgres", "workers"),
)


@pytest.mark.parametrize(
    "failure", [Invented(), pytest.param(SourceUnavailable("away"), marks=pytest.mark.wide)]
)
@pytest.mark.parametrize(
    ("server", "name"), PERIODIC, ids=[f"{server} {name}" for server, name in PERIODIC]
)
def test_a_failure_that_lasts_is_over_once_and_not_at_each_look_between(
    world: World, server: Server, name: str, failure: Exception
):
    """A job that waits for its turn has not succeeded, and one that goes on has."""
    world.begin()
    world.pass_by(60, look=lambda _: None)
    assert not told(world, TaskFailed)

    world.broken, world.failure = (server, name), failure
    world.pass_by(200, look=lambda _: None)
    failed = told(world, TaskFailed)
    assert failed
    assert not told(world, TaskRecovered)

    world.broken = None
    world.pass_by(120, look=lambda _: None)
    assert told(world, TaskRecovered) == dict.fromkeys(failed, 1)


def told(world: World, kind: type[TaskFailed | TaskRecovered]) -> dict[str, int]:
    """Number of facts of a kind, by task."""
    return Counter(
        fact.task
        for fact in world.facts
        if isinstance(fact, kind) and not fact.task.startswith("shard")
    )
