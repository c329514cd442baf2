"""A minute of a deployment in trouble, scraped by a real Prometheus: what a dashboard is for."""

import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.replica import Replica, replica
from tests.support import endpoints
from tests.support.daemon import Worker
from tests.support.ports import kept_port
from tests.support.prometheus import Prometheus, prometheus
from tests.support.scripted_streams.items import canonical
from tests.support.stream_builders import item
from tests.support.waiting import pace

LOADS = {"orders": 90, "customers": 25, "payments": 10, "archive": 2}
"""The tables, and how many changes a second each of them gets."""
OLD_ITEMS = 6000
"""What the snapshot of `archive` reads, in half a minute."""


@dataclass(frozen=True, slots=True)
class Minute:
    """What was scraped, and from when to when."""

    prometheus: Prometheus
    began: float
    ended: float


@asynccontextmanager
async def troubled(database: str, directory: Path) -> AsyncIterator[Minute]:
    """Two workers and four tables; everything has happened to them when this yields."""
    async with AsyncExitStack() as stack:
        leases = stack.enter_context(endpoints.endpoint(endpoints.NAMES[0]))
        it = await stack.enter_async_context(
            replica(
                lease_endpoint=leases,
                dsn=database,
                directory=directory,
                name="shop",
                tables=tuple(LOADS),
                options={"initial_load": "snapshot"},
            )
        )
        it.deployment.settings["snapshot"] = {"read_units_per_second": 4}
        for number in range(OLD_ITEMS):
            old = item(f"old-{number:05d}", n=0, payload="of long ago")
            it.tables["archive"].items.fold(old, canonical(old))
        workers = [await it.deployment.start_ready() for _ in range(2)]
        targets = [(await worker.url()).removeprefix("http://") for worker in workers]
        server = await stack.enter_async_context(prometheus(directory, *targets, port=kept_port()))
        began = time.time()
        async with AsyncExitStack() as loads:
            for name, a_second in LOADS.items():
                await loads.enter_async_context(it.loads[name].going_on(a_second=a_second))
            await _everything(it, workers, server)
        yield Minute(server, began, time.time())


async def _everything(it: Replica, workers: list[Worker], server: Prometheus) -> None:
    steady, unlucky = workers
    await _passes(10)
    it.streams.fail("GetRecords", "ThrottlingException", table="orders", times=6)
    for number in range(3):
        it.tables["orders"].put(item(f"too much {number}", n=10**30))
    it.tables["orders"].put(item("drifts", n=1, colour="no column is configured for it"))
    await _passes(5)
    unlucky.signal(signal.SIGSTOP)
    await _passes(5)
    unlucky.signal(signal.SIGCONT)
    await _done(it, "pause", "--table", "customers", "--why", "a picture is taken")
    await _passes(5)
    await _loses_records(it, steady)
    await _done(it, "resume", "--table", "customers", "--why", "the picture has it")
    await _done(it, "verify", "--table", "customers")

    async def scraped() -> bool:
        shown = ("replicator_dead_letters == 3", "replicator_verify_unequal == 0")
        return all([await server.query(expression) for expression in shown])

    await steady.until(scraped, what="the last of it is scraped")
    await _passes(10)


async def _loses_records(it: Replica, worker: Worker) -> None:
    """A shard of `payments` leaves the stream before it was read."""
    it.streams.fail("GetRecords", table="payments", times=None)
    it.loads["payments"].put("lost")
    it.tables["payments"].roll_over(0)
    it.tables["payments"].forget(0)
    it.streams.heal()

    async def found() -> bool:
        return bool(await it.gaps())

    await worker.until(found, what="the gap is found")


async def _done(it: Replica, *words: str) -> None:
    done = await it.deployment.command(*words)
    assert done.code == 0, done.text


async def _passes(seconds: float) -> None:
    """A stretch of the picture is filled; nothing is waited for."""
    await pace(seconds)
