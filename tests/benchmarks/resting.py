"""What a worker needs that has nothing to do: shards without changes, looked at again and again."""

import asyncio
import time
from dataclasses import dataclass

import asyncpg

from replicator.config.settings import CoordinationSettings
from tests.benchmarks.forms import Form, settings_for
from tests.benchmarks.machine import Machine
from tests.benchmarks.orders import KEY
from tests.benchmarks.processes import cpu_seconds, resident_megabytes
from tests.benchmarks.worker import OWNERS
from tests.support.daemon import Deployment, plain_start
from tests.support.waiting import eventually

SETTLING_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Rest:
    """What a worker does in a second of rest."""

    shards: int
    requests: float
    core: float
    """The part of one core."""
    megabytes: float


async def run_idle(
    machine: Machine, template: str, form: Form, *, shards: int, seconds: float
) -> Rest:
    """One worker that owns all shards of an idle table."""
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
            before = cpu_seconds(worker.pid), machine.source.count("GetRecords"), time.monotonic()
            await asyncio.sleep(seconds)
            used, requests = cpu_seconds(worker.pid), machine.source.count("GetRecords")
            elapsed = time.monotonic() - before[2]
            return Rest(
                shards,
                (requests - before[1]) / elapsed,
                (used - before[0]) / elapsed,
                resident_megabytes(worker.pid),
            )
