"""Several real workers on servers in memory, where every single call waits to be let through."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Literal, TypeVar

from botocore.exceptions import ClientError

from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.stream.table_and_shard_facts import parents_of
from replicator.core.table_spec import OnGap, SourceKey, TableSpec, TargetSpec
from replicator.core.telemetry_events import TableHalted, TaskFailed, TelemetryEvent, unobserved
from replicator.engine.ports import ControlPorts, Source
from replicator.engine.snapshot.read_rate_limit import ReadPacing
from replicator.engine.stream.page_budget import PageBudget
from replicator.engine.stream.plan_and_apply_batch import BatchPipeline
from replicator.engine.stream.shard_discovery import NewestStream, ShardDiscovery
from replicator.engine.worker.refresh_and_advance_tables import TableAdvancer
from replicator.engine.worker.supervisor import Reporting
from replicator.engine.worker.table_runtime_state import Table, WorkerSettings
from replicator.engine.worker.worker import Worker
from replicator.errors import (
    CoordinationUnavailable,
    ReplicatorError,
    SinkUnavailable,
    SourceUnavailable,
)
from replicator.sources.dynamodb.describe_stream_pace import DescribeStreamPace
from tests.engine.invariants import Invariants
from tests.engine.ledger import ALL, BIG, REFUSED, Ledger, Value
from tests.support.fake_leases import FakeLeases, LeaseTable
from tests.support.fake_postgres import Data, FakePostgres, Row, ShardRow
from tests.support.fake_source import describe_stream, fake_source
from tests.support.fakes import (
    FakeClaims,
    FakeHeartbeats,
    FakeIncidents,
    FakeListings,
    FakePositions,
    FakeSink,
    FakeTurns,
    NoMoves,
    OlderHeartbeats,
)
from tests.support.faults import Send, at_once
from tests.support.no_snapshots import NoSnapshots, without_snapshots
from tests.support.scripted_streams.model import TrimmedShards, World
from tests.support.specs import column_spec
from tests.support.virtual_time import VirtualClock, VirtualLoop

SOURCE = "orders"
LEASE_SECONDS = 8.0
PAGES_MAX = 2
"""Of all shards together: fewer than there are, so that they wait for each other."""
SETTLE_SECONDS_MAX = 600.0
"""Of virtual time; the longest way to rest is a shard that answers Trimmed until it is believed."""
SETTLE_STEPS_MAX = 50_000

Server = Literal["postgres", "leases", "streams"]
Fate = Literal["answered", "answer lost", "refused", "late"]
Result = TypeVar("Result")


def mapping(on_gap: OnGap = "stop", *, kinesis: str | None = None) -> TableMapping:
    """Everything into one target, and what is big into another."""
    column = (column_spec("n", "n", "bigint"),)
    targets = (
        TargetSpec(ALL, columns=column),
        TargetSpec(BIG, columns=column, when={"kind": {"equals": "big"}}),
    )
    spec = TableSpec(SOURCE, SOURCE, targets, initial_load="stream", on_gap=on_gap, kinesis=kinesis)
    return compile_table(spec, SourceKey((("pk", "S"),)))


def refuses(target: str, row: Row) -> str | None:
    """A constraint that only PostgreSQL knows of."""
    return "unlucky" if target == ALL and row[1] == str(REFUSED) else None


@dataclass(slots=True, eq=False)
class Call:
    """A call of a worker that is on its way to a server."""

    number: int
    worker: str
    server: Server
    name: str
    work: Callable[[], object]
    answer: "asyncio.Future[object]"

    def lost(self) -> Exception:
        """What the caller sees when no answer comes."""
        match self.server:
            case "postgres":
                return SinkUnavailable("the connection was lost")
            case "leases":
                return CoordinationUnavailable("the lease table did not answer")
            case _ if self.name == "describe":
                return SourceUnavailable("throttled")
            case _:
                return ClientError({"Error": {"Code": "ThrottlingException"}}, self.name)


@dataclass(slots=True)
class Process:
    """A worker process."""

    name: str
    worker: Worker
    task: "asyncio.Task[None]"
    stopping: asyncio.Event
    frozen: bool = False
    held_back: set[str] = field(default_factory=set)
    """Names of calls that do not get through."""


@dataclass(slots=True)
class Simulation:
    """The world: a source, a database, a lease table, processes, and what is between them."""

    loop: VirtualLoop
    page_records_max: int = 3
    trimmed_shards: TrimmedShards = "vanish"
    on_gap: OnGap = "stop"
    processes: dict[str, Process] = field(default_factory=dict)
    parked: list[Call] = field(default_factory=list)
    in_flight: list[Call] = field(default_factory=list)
    """Statements whose sender does not wait any more: done later, or never."""
    observed: list[TelemetryEvent] = field(default_factory=list)
    standby: Data | None = None
    failovers: int = 0
    jumped_seconds: float = 0.0
    calls: int = 0
    clock: VirtualClock = field(init=False)
    streams: World = field(init=False)
    postgres: FakePostgres = field(init=False)
    leases: LeaseTable = field(init=False)
    ledger: Ledger = field(init=False)
    invariants: Invariants = field(init=False)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.loop)
        self.streams = World(clock=self.clock.timestamp)
        table = self.streams.add_table(
            SOURCE, key={"pk": "S"}, view="NEW_AND_OLD_IMAGES", shards=2, counter=1
        )
        self.postgres = FakePostgres(self.clock)
        self.postgres.register(mapping())
        self.postgres.refuses = refuses
        self.leases = LeaseTable()
        self.ledger = Ledger(table, streams=[table.stream])
        self.invariants = Invariants(self.postgres, self.leases, self.ledger)

    # processes

    def start(self, *, older: bool = False) -> None:
        """Start another worker; an `older` one renews each of its leases, and has no beat."""
        name = f"w{self.calls}"
        self.calls += 1
        worker = self._worker(name, OlderHeartbeats if older else FakeHeartbeats)
        stopping = asyncio.Event()
        task = self.loop.create_task(worker.run(stopping))
        self.processes[name] = Process(name, worker, task, stopping)
        self.loop.advance(0)

    def crash(self, name: str) -> None:
        """kill -9: what it sent may still be done, or not."""
        process = self.processes.pop(name)
        process.task.cancel()
        self.loop.advance(0)
        self._drop_parked(name)

    def stop(self, name: str) -> None:
        """SIGTERM."""
        self.processes[name].stopping.set()
        self.loop.advance(0)

    def end(self) -> None:
        """Leave nothing behind."""
        for name in list(self.processes):
            self.crash(name)
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.advance(0)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def reap(self) -> None:
        """Note processes that ended; none may end by itself with an error."""
        for process in list(self.processes.values()):
            if not process.task.done():
                continue
            del self.processes[process.name]
            error = None if process.task.cancelled() else process.task.exception()
            if error is not None:
                self.invariants.violations.append(f"{process.name} died of {error!r}")

    def _worker(self, name: str, heartbeats_of: type[FakeHeartbeats]) -> Worker:
        postgres, leases, streams = (
            partial(self._send, name, server) for server in ("postgres", "leases", "streams")
        )
        compiled = mapping(self.on_gap, kinesis=self.kinesis_arn)
        pace = DescribeStreamPace(FakeTurns(self.postgres, postgres).take)
        source = self.source(streams, pace)
        lease_rows = FakeLeases(self.leases, leases, name)
        positions = FakePositions(self.postgres, postgres)
        listings = FakeListings(self.postgres, postgres, name)
        gaps_and_halts = FakeIncidents(self.postgres, postgres)
        discovery = ShardDiscovery(
            compiled.spec,
            describe_stream=partial(self.describe, streams),
            source=source,
            positions=positions,
            gaps_and_halts=gaps_and_halts,
            moves=NoMoves(),
            leases=lease_rows,
            observe=self._observe,
            clock=self.clock,
        )
        sink = FakeSink(self.postgres, postgres, compiled)
        pipeline = BatchPipeline(SOURCE, compiled, sink, self._observe, self.clock)
        return Worker(
            WorkerSettings(name, "1", LEASE_SECONDS, idle_seconds_max=4.0, discover_seconds=10.0),
            [
                Table(
                    SOURCE,
                    compiled,
                    source,
                    discovery,
                    pipeline,
                    *without_snapshots(compiled, self._observe, self.clock),
                    PageBudget(PAGES_MAX).room(PAGES_MAX),
                )
            ],
            control=ControlPorts(
                FakeClaims(self.postgres, postgres, name),
                positions,
                listings,
                gaps_and_halts,
                heartbeats_of(self.postgres, postgres),
            ),
            table_advancer=TableAdvancer(positions, gaps_and_halts, NoSnapshots(), self.clock),
            pacing=ReadPacing(1.0, self.clock),
            leases=lease_rows,
            reporting=Reporting(self._observe, unobserved, unobserved),
            clock=self.clock,
        )

    def _observe(self, fact: TelemetryEvent) -> None:
        self.observed.append(fact)
        match fact:
            case TaskFailed(task, _, error, _) if not isinstance(error, ReplicatorError):
                self.invariants.violations.append(f"{task} failed with {error!r}")
            case TableHalted(_, reason, _) if not self.failovers:
                self.invariants.violations.append(f"halted without need: {reason}")

    # calls

    async def _send(
        self, worker: str, server: Server, name: str, work: Callable[[], Result]
    ) -> Result:
        if worker not in self.processes and server != "streams":
            raise asyncio.CancelledError
        self.calls += 1
        answer: asyncio.Future[object] = self.loop.create_future()
        call = Call(self.calls, worker, server, name, work, answer)
        self.parked.append(call)
        try:
            return await answer  # type: ignore[return-value]
        except asyncio.CancelledError:
            if call in self.parked:
                self.parked.remove(call)
                self._leave_in_flight(call)
            raise

    def deliver(self, call: Call, fate: Fate = "answered") -> None:
        """Let a call through, or let it meet its fate."""
        self.parked.remove(call)
        if fate == "late":
            self._leave_in_flight(call)
        if fate in ("refused", "late"):
            call.answer.set_exception(call.lost())
        else:
            self._answer(call, lost=fate == "answer lost")
        self.loop.advance(0)
        self.reap()

    def deliver_late(self, call: Call) -> None:
        """A statement is done that nobody waits for any more."""
        self.in_flight.remove(call)
        try:
            call.work()
        except ReplicatorError:
            return  # nobody hears it

    def _answer(self, call: Call, *, lost: bool) -> None:
        try:
            result = call.work()
        except (ReplicatorError, ClientError) as error:
            call.answer.set_exception(call.lost() if lost else error)
        else:
            if lost:
                call.answer.set_exception(call.lost())
            else:
                call.answer.set_result(result)

    def _leave_in_flight(self, call: Call) -> None:
        if call.server != "streams":
            self.in_flight.append(call)
            self.in_flight.sort(key=lambda each: each.number)

    def _drop_parked(self, worker: str) -> None:
        for call in [call for call in self.parked if call.worker == worker]:
            self.parked.remove(call)
            self._leave_in_flight(call)
            call.answer.cancel()

    # schedules

    def go(self, steps: int, chance: Random, *, faults: float = 0.0) -> None:
        """Let that many calls through in any order, time passing when there is none."""
        for _ in range(steps):
            if self.in_flight and chance.random() < 0.1:
                self.deliver_late(chance.choice(self.in_flight))
            ready = [call for call in self.parked if not self.is_held_up(call)]
            if not ready or chance.random() < 0.05:
                self.pass_time()
                continue
            call = ready[0] if chance.random() < 0.5 else chance.choice(ready)
            fate: Fate = "answered"
            if chance.random() < faults:
                fate = chance.choice(("answer lost", "refused", "late"))
            self.deliver(call, fate)
            if self.invariants.violations:
                return

    def pass_time(self) -> None:
        """Let the next timer fire, if it is near."""
        seconds = self.loop.next_timer_in()
        self.loop.advance(min(seconds, 5.0) if seconds is not None else 1.0)
        self.reap()

    def jump(self, seconds: float) -> None:
        """Time passes and nothing gets through; the source forgets what is old."""
        self.jumped_seconds += seconds
        self.loop.suspend(seconds)
        self.reap()
        self.streams.move(0.0, trimmed_shards=self.trimmed_shards)
        long_ago = self.clock.timestamp() - 40 * 3600
        for stream in self.ledger.streams:
            for shard in stream.shards.values():
                if shard.closed_at is not None and shard.closed_at < long_ago:
                    shard.gone = True
        self.ledger.note_trimmed(self.postgres.data)

    def fail_over(self) -> None:
        """The standby becomes the primary; sessions of the old one are gone."""
        assert self.standby is not None
        self.failovers += 1
        self.postgres.fail_over(self.standby)
        self.in_flight = [call for call in self.in_flight if call.server != "postgres"]
        for call in [call for call in self.parked if call.server == "postgres"]:
            self.parked.remove(call)
            call.answer.set_exception(call.lost())
        self.invariants.failed_over()
        self.ledger.note_trimmed(self.postgres.data)
        self.loop.advance(0)
        self.reap()

    def is_held_up(self, call: Call) -> bool:
        """True while nothing, or not this, gets through from the worker."""
        process = self.processes.get(call.worker)
        return process is not None and (process.frozen or call.name in process.held_back)

    def let_another_list(self) -> None:
        """Whoever lists the stream goes on, and the next who asks lists it, too."""
        row = self.postgres.data.listings.get(SOURCE)
        if row is not None:
            row.begun_at = row.heard_at = self.clock.now() - timedelta(days=1)

    # the source

    @property
    def kinesis_arn(self) -> str | None:
        """The Kinesis stream that the table is read from, if it is."""
        return None

    def source(self, send: Send, pace: DescribeStreamPace) -> Source:
        """The source as one worker has it, which takes turns to list."""
        return fake_source(
            self.streams, send, page_records_max=lambda: self.page_records_max, pace=pace
        )

    async def describe(self, send: Send) -> NewestStream:
        """The table's newest stream, as one worker asks for it."""
        return await describe_stream(self.streams, send, SOURCE)

    def write(self, key: str, value: Value, *, big: bool = False) -> None:
        self.ledger.write(key, value, big=big, at=self.clock.timestamp())

    def settle(self, chance: Random) -> None:
        """No more faults, a worker lives, a person helps: everything must be applied."""
        for process in self.processes.values():
            process.frozen = False
            process.held_back.clear()
        for call in list(self.in_flight):
            if chance.random() < 0.5:
                self.deliver_late(call)
        self.in_flight.clear()
        if all(process.stopping.is_set() for process in self.processes.values()):
            self.start()
        until = self.loop.time() + SETTLE_SECONDS_MAX
        for step in range(SETTLE_STEPS_MAX):
            if self.loop.time() > until:
                self._say_where_it_hangs()
                break
            if step % 8 == 0 and (self.invariants.violations or self.is_settled()):
                break
            if self._has_lost_positions():
                return  # refused, loudly: a person must look
            self._help()
            if self.parked:
                self.deliver(self.parked[0])
            else:
                self.pass_time()
        else:
            self._say_where_it_hangs()
        self.invariants.check_settled()

    def _say_where_it_hangs(self) -> None:
        rows = [
            (row.shard_id[-8:], row.state, row.epoch, row.position, str(row.head_at))
            for row in self.postgres.data.shards.values()
        ]
        self.invariants.violations.append(f"the workers did not get to the end: {rows}")

    def is_settled(self) -> bool:
        """Every change of the newest stream is applied, and every shard known."""
        data = self.postgres.data
        table = data.tables[SOURCE]
        if table.stream_arn != self.ledger.table.stream_arn or self.postgres.open_gaps(SOURCE):
            return False
        if self.ledger.unread(data):
            return False
        return self._leaves_are_known() and all(
            row.finished or self._waits(row) or (row.head_at is not None and row.state == "active")
            for row in data.shards.values()
        )

    def _waits(self, row: ShardRow) -> bool:
        known = self.postgres.data.shards
        found = [known.get((row.stream_arn, parent)) for parent in parents_of(row)]
        unfinished = [parent for parent in found if parent is not None and not parent.finished]
        return row.state == "waiting" and unfinished != []

    def _leaves_are_known(self) -> bool:
        stream = self.ledger.table.stream
        known = self.postgres.data.shards
        return all(
            (stream.arn, shard.shard_id) in known or shard.gone or shard.unlisted
            for shard in stream.shards.values()
            if (stream.arn, shard.shard_id) not in self.postgres.data.forgotten
        )

    def _has_lost_positions(self) -> bool:
        """A failover took back shards that leases remember: the table is stopped for good."""
        table = self.postgres.data.tables[SOURCE]
        lost = table.reason is not None and "the control schema" in table.reason
        return table.halted and lost and self.failovers > 0

    def _help(self) -> None:
        """What a person does: resumes, and accepts what is lost."""
        table = self.postgres.data.tables[SOURCE]
        if table.halted or table.paused:
            table.halted = table.paused = False
            self.postgres.raise_epochs(SOURCE)
        if self.postgres.open_gaps(SOURCE):
            self.accept_gaps()

    def accept_gaps(self) -> None:
        """`replicator gaps accept`."""
        gaps_and_halts = FakeIncidents(self.postgres, at_once)
        coroutine = gaps_and_halts.accept_gaps(SOURCE, who="test", why="test")
        try:
            coroutine.send(None)
        except StopIteration:
            return
