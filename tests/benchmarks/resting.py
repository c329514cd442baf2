"""What a worker needs that has little to do: idle shards, looked at again and again, and a trickle.

Figures are CPU times over many looks or changes, which a busy machine changes little.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import asyncpg

from replicator.config.settings import CoordinationSettings
from tests.benchmarks.forms import Form, settings_for
from tests.benchmarks.load import Changed, wire
from tests.benchmarks.machine import Machine
from tests.benchmarks.orders import new_order
from tests.benchmarks.processes import cpu_seconds, resident_megabytes, tree_cpu_seconds
from tests.benchmarks.rows import KEY
from tests.benchmarks.worker import OWNERS
from tests.support.daemon import Deployment, Worker, plain_start
from tests.support.scripted_streams import AsyncRemoteStreams
from tests.support.waiting import eventually

SETTLING_SECONDS = 8.0
FIRST_NUMBER = 10_000_000
TICK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Rest:
    """What a worker does in a second of rest."""

    shards: int
    requests: float
    core: float
    """The part of one core."""
    postgres_core: float
    megabytes: float


@dataclass(frozen=True, slots=True)
class Trickle:
    """CPU milliseconds of one change that comes alone, beyond what rest costs."""

    shards: int
    a_second: int
    worker_ms: float
    postgres_ms: float


@dataclass(frozen=True, slots=True)
class _Used:
    """CPU seconds of the worker and of PostgreSQL, calls of GetRecords, and the time they took."""

    worker: float
    postgres: float
    requests: int
    seconds: float


async def run_idle(
    machine: Machine, template: str, form: Form, *, shards: int, seconds: float
) -> Rest:
    """One worker that owns all shards of an idle table."""
    async with _at_rest(machine, template, form, shards=shards) as (worker, _, _):
        rest = await _used_while(machine, worker, asyncio.sleep(seconds))
        return Rest(
            shards,
            rest.requests / rest.seconds,
            rest.worker / rest.seconds,
            rest.postgres / rest.seconds,
            resident_megabytes(worker.pid),
        )


async def run_trickle(
    machine: Machine, template: str, form: Form, *, shards: int, a_second: int, seconds: float
) -> Trickle:
    """One worker that owns idle shards, each of which gets a single change now and then."""
    async with _at_rest(machine, template, form, shards=shards) as (worker, name, dsn):
        rests = [await _used_while(machine, worker, asyncio.sleep(seconds))]
        changes = int(a_second * seconds)
        written = _write(machine, name, dsn, shards=shards, changes=changes, a_second=a_second)
        busy = await _used_while(machine, worker, written)
        rests.append(await _used_while(machine, worker, asyncio.sleep(seconds)))
        idle = busy.seconds / sum(rest.seconds for rest in rests)
        return Trickle(
            shards,
            a_second,
            (busy.worker - sum(rest.worker for rest in rests) * idle) / changes * 1000,
            (busy.postgres - sum(rest.postgres for rest in rests) * idle) / changes * 1000,
        )


@asynccontextmanager
async def _at_rest(
    machine: Machine, template: str, form: Form, *, shards: int
) -> AsyncIterator[tuple[Worker, str, str]]:
    """A worker with shards that have nothing to read, the table's name, and the database."""
    name = machine.new_name("idle")
    machine.source.table(name, key=KEY, shards=shards)
    directory = machine.directory / name
    directory.mkdir()
    async with machine.database(template, table=name) as dsn:
        settings = settings_for(
            *(machine, form),
            dsn=dsn,
            table=name,
            leases=f"leases_{name}",
            lease_seconds=CoordinationSettings().lease_seconds,
        )
        async with Deployment(directory, settings, plain_start) as deployment:
            worker = await deployment.start_ready()
            connection = await asyncpg.connect(dsn)

            async def owned() -> bool:
                return bool(await connection.fetchval(OWNERS) == shards)

            await eventually(owned, what="every shard has an owner", seconds=120)
            await connection.close()
            await asyncio.sleep(SETTLING_SECONDS)
            yield worker, name, dsn


async def _used_while(machine: Machine, worker: Worker, doing: Awaitable[None]) -> _Used:
    before = (
        cpu_seconds(worker.pid),
        tree_cpu_seconds(machine.postmaster),
        machine.source.count("GetRecords"),
        time.monotonic(),
    )
    await doing
    return _Used(
        cpu_seconds(worker.pid) - before[0],
        tree_cpu_seconds(machine.postmaster) - before[1],
        machine.source.count("GetRecords") - before[2],
        time.monotonic() - before[3],
    )


async def _write(
    machine: Machine, name: str, dsn: str, *, shards: int, changes: int, a_second: int
) -> None:
    """Changes of new keys at a steady pace, each in the next shard, until all are applied."""
    chance, written = Random(0), 0
    async with AsyncRemoteStreams(machine.source.endpoint_url) as streams:
        started = time.monotonic()
        while written < changes:
            due = min(changes, int((time.monotonic() - started) * a_second) + 1)
            for number in range(written, due):
                order = new_order(FIRST_NUMBER + number, chance)
                changed = Changed(FIRST_NUMBER + number, None, order)
                shard, counter = number % shards, number // shards + 2
                page = b"[" + wire(changed, shard, counter) + b"]"
                await streams.load_records(name, shard, page)
            written = due
            await asyncio.sleep(TICK_SECONDS)
    connection = await asyncpg.connect(dsn)
    first = f"ORDER#{FIRST_NUMBER:09d}"

    async def all_there() -> bool:
        there = await connection.fetchval("select count(*) from orders where sk >= $1", first)
        return bool(there == changes)

    await eventually(all_there, what="every change is applied", seconds=60)
    await connection.close()
