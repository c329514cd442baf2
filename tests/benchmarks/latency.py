"""From served to committed: how long a change takes once the source has answered with it."""

import asyncio
import time
from dataclasses import dataclass
from random import Random

import asyncpg

from tests.benchmarks.forms import Form, settings_for
from tests.benchmarks.load import Changed, wire
from tests.benchmarks.machine import Machine
from tests.benchmarks.orders import new_order
from tests.benchmarks.rows import KEY
from tests.support.daemon import Deployment, plain_start
from tests.support.scripted_streams import AsyncRemoteStreams
from tests.support.waiting import eventually

TICK_SECONDS = 0.01
FIRST_NUMBER = 10_000_000

COMMITTED = """
select extract(epoch from pg_xact_commit_timestamp(xmin))::float8 as at
  from orders
 where sk >= $1
 order by sk
"""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds for each change."""

    a_second: int
    served_to_committed: list[float]
    written_to_committed: list[float]


async def run_latency(
    machine: Machine, template: str, form: Form, *, a_second: int, seconds: float
) -> Latencies:
    """Changes of new keys at a steady pace, written one by one to one shard."""
    name = machine.new_name("latency")
    table = machine.source.table(name, key=KEY)
    directory = machine.directory / name
    directory.mkdir()
    async with machine.database(template, table=name) as dsn:
        settings = settings_for(machine, form, dsn=dsn, table=name, leases=f"leases_{name}")
        async with Deployment(directory, settings, plain_start) as deployment:
            await deployment.start_ready()
            written = await _write(machine, name, a_second=a_second, seconds=seconds)
            committed = await _committed(dsn, len(written))
    calls = machine.source.calls("GetRecords", table=name)
    served = [call.at for call in calls for _ in range(call.records)]
    assert len(served) == len(committed), "a change was served twice"
    assert table.name == name
    return Latencies(
        a_second,
        [after - at for at, after in zip(served, committed, strict=True)],
        [after - at for at, after in zip(written, committed, strict=True)],
    )


async def _write(machine: Machine, name: str, *, a_second: int, seconds: float) -> list[float]:
    """When each change was written."""
    chance, written = Random(0), list[float]()
    async with AsyncRemoteStreams(machine.source.endpoint_url) as streams:
        started = time.monotonic()
        while (elapsed := time.monotonic() - started) < seconds:
            due = int(elapsed * a_second) - len(written)
            numbers = range(len(written), len(written) + due)
            records = [
                wire(Changed(FIRST_NUMBER + n, None, new_order(FIRST_NUMBER + n, chance)), 0, n + 2)
                for n in numbers
            ]
            if records:
                written += [time.time()] * due
                await streams.load_records(name, 0, b"[" + b",".join(records) + b"]")
            await asyncio.sleep(TICK_SECONDS)
    return written


async def _committed(dsn: str, changes: int) -> list[float]:
    """When each row was committed, once all are there."""
    connection = await asyncpg.connect(dsn)
    first = f"ORDER#{FIRST_NUMBER:09d}"
    try:

        async def all_there() -> bool:
            there = await connection.fetchval("select count(*) from orders where sk >= $1", first)
            return bool(there == changes)

        await eventually(all_there, what="every change is applied", seconds=60)
        return [row["at"] for row in await connection.fetch(COMMITTED, first)]
    finally:
        await connection.close()
