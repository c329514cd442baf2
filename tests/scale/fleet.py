"""Many real workers on one large stream, in virtual time: only the work on a shard is modelled."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from replicator.core.leases.fair_shares import IDLE
from replicator.core.leases.lease_owners import WorkerSign
from replicator.core.stream.shard_load import ShardLoad
from replicator.core.stream.table_and_shard_facts import ListedShard
from replicator.core.stream_record import Position
from replicator.core.telemetry_events import TaskFailed, TelemetryEvent, unobserved
from replicator.engine.ports import ControlPorts
from replicator.engine.snapshot.read_rate_limit import ReadPacing
from replicator.engine.stream.page_budget import PageBudget
from replicator.engine.stream.read_and_commit_progress import ReadAndCommitProgress
from replicator.engine.stream.shard_discovery import ShardDiscovery
from replicator.engine.stream.shard_replicator import Ending
from replicator.engine.worker.lease_keeper import HeldLease
from replicator.engine.worker.refresh_and_advance_tables import TableAdvancer
from replicator.engine.worker.supervisor import Reporting
from replicator.engine.worker.table_runtime_state import Runner, Table, WorkerSettings
from replicator.engine.worker.worker import Worker
from replicator.sources.dynamodb.describe_stream_pace import DescribeStreamPace
from replicator.sources.dynamodb.streams import DynamoDBStreams
from tests.scale.servers import Servers, Stream
from tests.support.fake_leases import FakeLeases, LeaseTable
from tests.support.fake_postgres import FakePostgres, ShardRow
from tests.support.fakes import (
    FakeClaims,
    FakeHeartbeats,
    FakeIncidents,
    FakeListings,
    FakePositions,
    FakeTurns,
    NoMoves,
    OlderHeartbeats,
)
from tests.support.mappings import mapping
from tests.support.no_snapshots import NoSnapshots, without_snapshots
from tests.support.virtual_time import running_clock
from tests.support.zipf import zipf

LEASE_SECONDS = 20.0
MEASURED_SECONDS = 10.0
EVEN = 1.3
"""Most of the mean load that a worker may have, where no shard alone is more."""
LISTED = timedelta(hours=24)
"""After so long a closed shard is listed no more."""
BUSY = 0.2
"""Part of the shards whose position moves each second."""


@dataclass(slots=True)
class Process:
    """A worker process of the fleet."""

    worker: Worker
    task: "asyncio.Task[None]"
    stopping: asyncio.Event
    cut_off: set[str]
    """Servers and calls that it does not reach."""


@dataclass(slots=True)
class Reading:
    """Which worker reads each shard, how often that changed, and how long nobody did."""

    readers: dict[str, str] = field(default_factory=dict)
    moves: int = 0
    unread_since: dict[str, float] = field(default_factory=dict)
    unread_seconds_max: float = 0.0
    overlaps: int = 0
    """How often a worker began while another read the shard still."""

    def begins(self, shard_id: str, worker_id: str, now: float) -> None:
        self.overlaps += shard_id in self.readers
        self.readers[shard_id] = worker_id
        self.moves += 1
        since = self.unread_since.pop(shard_id, None)
        if since is not None:
            self.unread_seconds_max = max(self.unread_seconds_max, now - since)

    def ends(self, shard_id: str, worker_id: str, now: float) -> None:
        if self.readers.get(shard_id) == worker_id:
            del self.readers[shard_id]
            self.unread_since.setdefault(shard_id, now)


class SimulatedShard:
    """Claims a shard and holds it until it is asked to stop: pages would be read here."""

    def __init__(self, fleet: "Fleet", worker: "FleetWorker", held: HeldLease) -> None:
        self._fleet, self._worker, self._held = fleet, worker, held

    @property
    def read_progress(self) -> ReadAndCommitProgress:
        """It was read just now, whenever somebody asks."""
        return ReadAndCommitProgress(self.alive_at)

    @property
    def alive_at(self) -> float:
        return asyncio.get_running_loop().time()

    @alive_at.setter
    def alive_at(self, _: float) -> None:
        """It is alive whatever is said."""

    async def run(self, stopping: asyncio.Event) -> Ending:
        worker, held = self._worker, self._held
        fleet, me, shard_id = self._fleet, worker.settings.worker_id, held.shard_id
        claim = await worker.claims.claim(
            held.table,
            held.stream_arn,
            shard_id,
            mapping_fingerprint=worker.tables[held.table].mapping.fingerprint,
        )
        reading = fleet.reading
        reading.begins(shard_id, me, self.alive_at)
        fleet.stoppings[shard_id] = stopping
        try:
            if shard_id in fleet.open:
                await stopping.wait()
        finally:
            reading.ends(shard_id, me, self.alive_at)
        if shard_id in fleet.open:
            await worker.claims.leave(claim)
            return Ending.STOPPED
        await worker.tables[held.table].discovery.add_children(held.stream_arn, shard_id)
        await worker.claims.finish(claim, position=claim.position)
        reading.unread_since.pop(shard_id, None)
        return Ending.DONE


class CountingHeartbeats(FakeHeartbeats):
    """The workers' rows as a worker sees them that has a heartbeat, and knows nothing of loads."""

    async def seen(self, worker_id: str, **facts: Any) -> None:
        await super().seen(worker_id, **facts | {"load": None})

    async def workers(self) -> list[WorkerSign]:
        return [replace(sign, load=None) for sign in await super().workers()]


class FleetWorker(Worker):
    """The real worker; its shards are read by nobody."""

    fleet: "Fleet"
    claims: FakeClaims

    def _runner(self, table: Table, held: HeldLease) -> Runner | None:
        del table
        return SimulatedShard(self.fleet, self, held)


class Fleet:
    """Streams of many shards, one PostgreSQL, one lease table, and workers that come and go."""

    def __init__(self, shards: int, *, tables: int = 1, seed: int = 1) -> None:
        """So many shards in all, of so many tables."""
        self.clock = running_clock()
        self.random = Random(seed)
        names = ["orders"] if tables == 1 else [f"orders_{number}" for number in range(tables)]
        self.mappings = {name: mapping(name=name) for name in names}
        self.postgres = FakePostgres(self.clock)
        for each in self.mappings.values():
            self.postgres.register(each)
        self.leases = LeaseTable()
        self.servers = Servers(self.leases, self.random)
        self.reading = Reading()
        self.failures: Counter[str] = Counter()
        self.observed: Counter[type[TelemetryEvent]] = Counter()
        self.processes: dict[str, Process] = {}
        self.loads: dict[str, float] = {}
        """Records a minute of each shard; without, all are idle."""
        self.stoppings: dict[str, asyncio.Event] = {}
        """Of those that read each shard: they look again when it has ended."""
        self.open: dict[str, str] = {}
        """The shards that take records, the oldest first, with their streams."""
        self.begun = shards
        """Number of shards that have begun."""
        arns = [_arn(name) for name in names]
        self.servers.streams = {arn: Stream(arn) for arn in arns}
        for number in range(shards):
            arn = arns[number % tables]
            self.servers.streams[arn].add(ListedShard(_shard_id(number), None, closed=False))
            self.open[_shard_id(number)] = arn

    def start(
        self, *, older: bool = False, heartbeats_type: type[FakeHeartbeats] | None = None
    ) -> str:
        """Start one more worker; an `older` one renews each of its leases, and has no beat."""
        name = f"worker-{len(self.processes):03}-{self.random.randrange(10**9):09}"
        cut_off = set[str]()
        usual = OlderHeartbeats if older else FakeHeartbeats
        worker = self._worker(name, cut_off, heartbeats_type or usual)
        stopping = asyncio.Event()
        task = asyncio.get_running_loop().create_task(worker.run(stopping), name=name)
        self.processes[name] = Process(worker, task, stopping, cut_off)
        return name

    def kill(self, name: str) -> None:
        """kill -9."""
        self.processes.pop(name).task.cancel()

    async def stop(self, name: str) -> float:
        """SIGTERM; the seconds until it ended."""
        process = self.processes.pop(name)
        began = self.clock.monotonic()
        process.stopping.set()
        await process.task
        return self.clock.monotonic() - began

    async def end(self) -> None:
        """Leave nothing behind."""
        tasks = [process.task for process in self.processes.values()]
        for name in list(self.processes):
            self.kill(name)
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def counts(self) -> Counter[str]:
        """How many shards each living worker reads."""
        counts = Counter(dict.fromkeys(self.processes, 0))
        counts.update(self.reading.readers.values())
        return counts

    @property
    def all_read(self) -> bool:
        return len(self.reading.readers) == len(self.open)

    @property
    def balanced(self) -> bool:
        """Every worker has its share within a tenth, or within one."""
        counts = self.counts()
        share = len(self.open) / len(counts)
        return self.all_read and all(
            abs(n - share) <= max(1.0, share / 10) for n in counts.values()
        )

    def busy(self, a_minute: float, *, seed: int = 1) -> None:
        """Give the shards loads of a Zipf distribution, so many records a minute together."""
        loads = zipf(len(self.open), a_minute=a_minute, seed=seed)
        self.loads = dict(zip(self.open, loads, strict=True))

    def know_loads(self) -> None:
        """Put the loads on record, as if they had been measured for long."""
        for shard_id, arn in self.open.items():
            self.postgres.data.shards[arn, shard_id].load = self.loads[shard_id]

    def loads_of_workers(self) -> dict[str, float]:
        """Records a minute of each living worker."""
        totals = dict.fromkeys(self.processes, 0.0)
        for shard_id, name in self.reading.readers.items():
            if name in totals:
                totals[name] += self.loads.get(shard_id, 0.0)
        return totals

    def weights_of_workers(self) -> dict[str, float]:
        """What the shards of each living worker cost, in records a minute."""
        counts = self.counts()
        return {name: load + IDLE * counts[name] for name, load in self.loads_of_workers().items()}

    @property
    def unevenness(self) -> float:
        """What the shards of the most loaded worker cost, in means, or in what one shard alone
        costs if that is more."""
        weights = self.weights_of_workers().values()
        return max(weights) / max(sum(weights) / len(weights), self.heaviest)

    @property
    def heaviest(self) -> float:
        """What the busiest shard costs."""
        return IDLE + max(self.loads.values(), default=0.0)

    @property
    def even(self) -> bool:
        """No worker is overloaded."""
        return self.all_read and self.unevenness <= EVEN

    async def roll_over(self, *, every_seconds: float) -> None:
        """End each shard once in so long, one after the other, and begin a child of it."""
        while True:
            await asyncio.sleep(every_seconds / len(self.open))
            parent, arn = next(iter(self.open.items()))
            del self.open[parent]
            child = _shard_id(self.begun)
            self.begun += 1
            self.servers.streams[arn].close(parent)
            self.servers.streams[arn].add(ListedShard(child, parent, closed=False))
            self.open[child] = arn
            self.loads[child] = self.loads.pop(parent, 0.0)
            self.reading.unread_since[child] = self.clock.monotonic()
            if parent in self.stoppings:
                self.stoppings.pop(parent).set()

    def age(self, hours: float, *, every_seconds: float) -> None:
        """Lay out the closed shards of so many hours, as roll-overs leave them, all read: those of
        the last day are listed, those of two are on record."""
        now, generations = self.clock.now(), int(hours * 3600 / every_seconds)
        of_each: dict[str, list[str]] = {}
        for shard_id, arn in self.open.items():
            of_each.setdefault(arn, []).append(shard_id)
        for name in self.mappings:
            ids, closed = of_each[_arn(name)], list[ListedShard]()
            for age in range(generations, 0, -1):
                at = now - timedelta(seconds=every_seconds * (age - 0.5))
                for shard_id in ids:
                    older = f"{shard_id}-{age + 1}" if age < generations else None
                    each = f"{shard_id}-{age}"
                    row = ShardRow(name, _arn(name), each, older, True, at, "done", done_at=at)
                    self.postgres.data.shards[row.name] = row
                    if now - at < LISTED:
                        closed.append(ListedShard(each, older, closed=True))
            self.servers.streams[_arn(name)].age(closed)

    async def measure_loads(self, *, noise: float = 0.2) -> None:
        """Keep the average of each shard that is read, as its batches would."""
        since = self.clock.monotonic()
        while True:
            await asyncio.sleep(MEASURED_SECONDS)
            now = self.clock.monotonic()
            for shard_id in self.open:  # in an order, so that the noise of a seed is one
                if shard_id not in self.reading.readers:
                    continue
                row = self.postgres.data.shards[self.open[shard_id], shard_id]
                records = self.loads.get(shard_id, 0.0) * (now - since) / 60
                records *= self.random.uniform(1 - noise, 1 + noise)
                row.load = (
                    ShardLoad(row.load or 0.0, since).after(records, now=now).records_a_minute
                )
            since = now

    async def seconds_until(self, condition: Callable[[], bool], *, at_most: float) -> float:
        """Seconds until the condition holds; infinite where it does not in time."""
        began = self.clock.monotonic()
        while not condition():
            if self.clock.monotonic() - began > at_most:
                return float("inf")
            await asyncio.sleep(0.1)
        return self.clock.monotonic() - began

    async def move_positions(self, *, busy: float = BUSY) -> None:
        """Commit on that part of the shards, once a second."""
        while True:
            await asyncio.sleep(1.0)
            for process in self.processes.values():
                for number, key in enumerate(list(process.worker.holding.held)):
                    if number % round(1 / busy) == 0:
                        at = Position(int(self.clock.monotonic()) + 1)
                        process.worker.holding.moved(key, at)

    def _worker(
        self, name: str, cut_off: set[str], heartbeats_type: type[FakeHeartbeats]
    ) -> FleetWorker:
        servers, observe = self.servers.reached_by(cut_off), self._observe
        client: Any = self.servers
        turns = FakeTurns(self.postgres, servers.postgres_call)
        source = DynamoDBStreams(
            client,
            lambda _: None,
            get_records=_unread,
            get_iterator=_unread,
            pace=DescribeStreamPace(turns.take),
        )
        leases = FakeLeases(self.leases, servers.lease_call, name)
        positions = FakePositions(self.postgres, servers.postgres_call)
        heartbeats = heartbeats_type(self.postgres, servers.postgres_call)
        listings = FakeListings(self.postgres, servers.postgres_call, name)
        gaps_and_halts = FakeIncidents(self.postgres, servers.postgres_call)
        nothing: Any = None
        tables = [
            Table(
                each.spec.name,
                each,
                source,
                ShardDiscovery(
                    each.spec,
                    describe_stream=partial(servers.describe_table, _arn(each.spec.name)),
                    source=source,
                    positions=positions,
                    gaps_and_halts=gaps_and_halts,
                    moves=NoMoves(),
                    leases=leases,
                    observe=observe,
                    clock=self.clock,
                ),
                nothing,
                *without_snapshots(each, observe, self.clock),
                PageBudget(8).room(8),
            )
            for each in self.mappings.values()
        ]
        claims = FakeClaims(self.postgres, servers.postgres_call, name)
        worker = FleetWorker(
            WorkerSettings(name, "1", LEASE_SECONDS, idle_seconds_max=1.0),
            tables,
            control=ControlPorts(claims, positions, listings, gaps_and_halts, heartbeats),
            table_advancer=TableAdvancer(positions, gaps_and_halts, NoSnapshots(), self.clock),
            pacing=ReadPacing(1.0, self.clock),
            leases=leases,
            reporting=Reporting(observe, unobserved, unobserved),
            clock=self.clock,
        )
        worker.fleet, worker.claims = self, claims
        return worker

    def _observe(self, fact: TelemetryEvent) -> None:
        self.observed[type(fact)] += 1
        if isinstance(fact, TaskFailed):
            self.failures[f"{fact.task.split()[0]}: {fact.error!r}"[:160]] += 1


def _unread() -> None:
    """Nobody reads the shards."""


def _arn(table: str) -> str:
    return f"arn:aws:dynamodb:eu-west-1:111122223333:table/{table}/stream/2026-03-01T00:00:00.000"


def _shard_id(number: int) -> str:
    return f"shardId-{number:020}-{number:08x}"
