"""The worker end to end: real processes read a loaded table until the last record is committed."""

import asyncio
import sys
import time
from functools import partial
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tests.benchmarks.forms import IDLE_SECONDS_MAX, Form, require_equal, settings_for
from tests.benchmarks.machine import Machine, Served
from tests.benchmarks.processes import (
    cpu_seconds,
    peak_megabytes,
    tree_cpu_seconds,
)
from tests.benchmarks.samples import Sample
from tests.support.daemon import Deployment, Worker, brought_about, plain_start

LOOK_SECONDS = 0.05
RUN_SECONDS_MAX = 300.0

OWNERS = "select count(*) from replicator.shard where state = 'active' and owner is not null"
FEWEST = """
select coalesce(min(count), 0)
  from (select count(*) from replicator.shard where state = 'active' group by owner) as o
having count(*) = $1
"""
POSITIONS = "select coalesce(sum(last_sequence_number), 0) from replicator.shard"


async def run_workers(
    machine: Machine,
    template: str,
    served: Served,
    form: Form,
    *,
    expected: str | None,
    workers: int = 1,
    port: int | None = None,
    python: str = sys.executable,
) -> Sample:
    """All workers are up, share the shards and ask; then the source answers and the clock starts.

    It stops when PostgreSQL shows the last position of every shard.
    """
    name = machine.new_name("run")
    directory = machine.directory / name
    directory.mkdir()
    async with machine.database(template, table=served.name) as dsn:
        settings = settings_for(
            machine, form, dsn=_through(dsn, port), table=served.name, leases=f"leases_{name}"
        )
        machine.source.empty_pages(times=None, table=served.name)
        try:
            async with Deployment(directory, settings, partial(plain_start, python=python)) as (
                deployment
            ):
                running = [deployment.start() for _ in range(workers)]
                sample = await measured(machine, dsn, served, running)
                for worker in running:
                    await worker.stop()
        finally:
            machine.source.heal()
        if expected is not None:
            await require_equal(dsn, expected)
    return sample


def _through(dsn: str, port: int | None) -> str:
    """The same database, on another port if there is one."""
    address = urlsplit(dsn)
    place = f"{address.username}@{address.hostname}:{port or address.port}"
    return urlunsplit(address._replace(netloc=place))


async def measured(machine: Machine, dsn: str, served: Served, workers: list[Worker]) -> Sample:
    """Figures from the moment at which the source answers until all is applied."""
    connection = await asyncpg.connect(dsn)
    try:
        await _shared_out(connection, served, workers)
        machine.source.heal("GetRecords")
        machine.source.hold("GetRecords", times=None)
        await asyncio.sleep(IDLE_SECONDS_MAX * 1.5)  # every shard's next request waits now
        pids = [worker.pid for worker in workers]
        before = cpu_seconds(*pids), tree_cpu_seconds(machine.postmaster)
        started = time.perf_counter()
        machine.source.heal()
        await _applied(connection, served, workers, started)
        seconds = time.perf_counter() - started
        after = cpu_seconds(*pids), tree_cpu_seconds(machine.postmaster)
    finally:
        await connection.close()
    return Sample(
        served.records,
        seconds,
        client_seconds=after[0] - before[0],
        postgres_seconds=after[1] - before[1],
        peak_megabytes=sum(map(peak_megabytes, pids)),
    )


async def _shared_out(
    connection: asyncpg.Connection, served: Served, workers: list[Worker]
) -> None:
    """Wait until every shard has an owner and every worker its share."""
    share = len(served.lasts) // len(workers)

    async def shared() -> bool:
        owned = await connection.fetchval(OWNERS)
        fewest = await connection.fetchval(FEWEST, len(workers))
        return owned == len(served.lasts) and (fewest or 0) >= share

    await brought_about(shared, what="every worker has its shards", by=workers, seconds=90)


async def _applied(
    connection: asyncpg.Connection, served: Served, workers: list[Worker], started: float
) -> None:
    while await connection.fetchval(POSITIONS) != served.sum:
        if any(worker.code is not None for worker in workers):
            raise AssertionError(workers[0].tail())
        if time.perf_counter() - started > RUN_SECONDS_MAX:
            raise AssertionError(f"not applied in time\n{workers[0].tail()}")
        await asyncio.sleep(LOOK_SECONDS)
