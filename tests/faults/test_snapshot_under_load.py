"""A big table is loaded while it changes, its workers are killed and frozen, and its gap heals."""

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from tests.benchmarks.processes import peak_megabytes
from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.support.bounds import lease, scaled
from tests.support.checker import expected_rows
from tests.support.daemon import Worker
from tests.support.scripted_streams.items import canonical, hash_of
from tests.support.stream_builders import item
from tests.support.waiting import pace

pytestmark = [pytest.mark.faults, pytest.mark.long]

ITEMS = int(os.environ.get("SNAPSHOT_ITEMS", "200000"))
UNITS_PER_SECOND = max(1, ITEMS * 80 // 4096 // 60)
"""So that the scan takes a minute, if the machine keeps up."""
KILLS = 5


def fill(it: Replica, count: int) -> None:
    """Items of long ago: no record of the stream tells of them."""
    names = sorted(it_names(count), key=lambda name: hash_of((name,)))
    for name in names:
        old = canonical(item(name, n=0, payload="x" * 60))
        it.table.items.fold(item(name), old)


def it_names(count: int) -> list[str]:
    return [f"key-{number:06d}" for number in range(count)]


async def snapshot_of(worker: Worker) -> dict[str, Any]:
    return (await worker.table("orders")).get("snapshot") or {}


async def change(it: Replica, names: list[str], stopping: asyncio.Event) -> None:
    """200 changes a second: updates, deletions, insertions of new items and of deleted ones."""
    chance = Random(1)
    number = 0
    while not stopping.is_set():
        for _ in range(10):
            number += 1
            name = chance.choice(names)
            if chance.random() < 0.3:
                it.table.delete(item(name))
            else:
                it.table.put(item(name, n=number, payload=f"{name} {number}"))
        await pace(0.05)


async def pairs(it: Replica) -> dict[str, int]:
    return {row["pk"]: row["n"] for row in await it.sql("select pk, n from public.orders")}


def told(text: str) -> None:
    sys.stderr.write(f"\n{text}\n")


async def test_a_big_table_is_loaded_while_it_changes_and_its_workers_die(
    new_replica: NewReplica,
):
    options = {"initial_load": "snapshot"}
    async with new_replica(options=options, lease_seconds=lease(2.0)) as it:
        it.deployment.settings["snapshot"] = {"read_units_per_second": UNITS_PER_SECOND}
        await it.execute("drop trigger watch on public.orders")
        fill(it, ITEMS)
        names = it_names(ITEMS + 20_000)
        loaded = await load_under_harm(it, names, items=ITEMS, kills=KILLS)
        worker, snapshot, seconds = loaded.worker, loaded.snapshot, loaded.seconds
        await equal(it, worker)
        told(
            f"{snapshot['items']} items in {seconds:.0f} s, {snapshot['read_units']:.0f} read "
            f"units: {snapshot['read_units'] / seconds:.0f} a second of {UNITS_PER_SECOND}; "
            f"peak memory of the worker that ended it {peak_megabytes(worker.pid):.0f} MB"
        )
        assert snapshot["read_units"] / seconds <= UNITS_PER_SECOND * 1.05
        assert await loaded.frozen.stop() == 0
        assert await worker.stop() == 0


@dataclass(frozen=True)
class Load:
    """A load that has ended: the worker that ended it, and the one that was frozen meanwhile."""

    worker: Worker
    frozen: Worker
    snapshot: dict[str, Any]
    seconds: float


async def load_under_harm(it: Replica, names: list[str], *, items: int, kills: int) -> Load:
    """Load a table of so many items while items change, one worker is frozen and others die."""
    stopping = asyncio.Event()
    started = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(change(it, names, stopping))
        try:
            worker, frozen = it.deployment.start(), it.deployment.start()
            await read_more(frozen, items // 20)
            with frozen.frozen():
                for kill in range(kills):
                    await read_more(worker, items * (kill + 2) // 10)
                    worker.kill()
                    worker = it.deployment.start()
                await ended(worker)
        finally:
            stopping.set()
    seconds = time.monotonic() - started
    return Load(worker, frozen, await snapshot_of(worker), seconds)


async def read_more(worker: Worker, items_min: int) -> None:
    async def enough() -> bool:
        return (await snapshot_of(worker)).get("items", 0) >= items_min

    await worker.until(enough, what=f"{items_min} items are read", seconds=scaled(400))


async def ended(worker: Worker) -> None:
    async def done() -> bool:
        return (await worker.table("orders")).get("state") == "streaming"

    await worker.until(done, what="the snapshot is over", seconds=scaled(600))


async def equal(it: Replica, worker: Worker) -> None:
    """Sums first: all rows on each look would leave the source, which lives in this process, no
    time to answer."""
    expected = {key[0]: row["n"] for key, row in expected_rows(it.table.all_items()).items()}
    sums = len(expected), sum(expected.values())

    async def same() -> bool:
        [row] = await it.sql("select count(*) as rows, sum(n) as n from public.orders")
        return (row["rows"], row["n"]) == sums and await pairs(it) == expected

    await worker.until(same, what="source and target are equal")
