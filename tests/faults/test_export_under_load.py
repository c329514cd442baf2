"""A big table is loaded from an export while it changes, and its workers are killed and frozen."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.benchmarks.processes import peak_megabytes
from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.faults.test_snapshot_under_load import (
    ended,
    equal,
    fill,
    it_names,
    load_under_harm,
    told,
)
from tests.support.bounds import lease, scaled
from tests.support.daemon import Worker
from tests.support.exports import BUCKET, ExportService, bucket_client, export_service
from tests.support.scripted_streams import Table

pytestmark = pytest.mark.faults

READS = {"Scan", "Query", "GetItem", "BatchGetItem"}
MEGABYTES_MORE_MAX = 25
"""What a file of four times the size may take more: the allocator's mood, not lines or files."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of everything."""

    items: int
    kills: int
    files: int


SMALL = Amounts(items=8_000, kills=1, files=4)
FULL = Amounts(items=int(os.environ.get("SNAPSHOT_ITEMS", "200000")), kills=5, files=8)
IN_ONE_FILE = (50_000, 200_000)


@dataclass(slots=True)
class TableNow:
    """Exports of a scripted table hold its items of the moment: more than of a time before."""

    table: Table

    def lines(self, since: datetime | None, until: datetime) -> Sequence[dict[str, Any]]:
        assert since is None, f"not the changes before {until}"
        return [{"Item": item} for item in self.table.all_items()]


@asynccontextmanager
async def exported(
    new_replica: NewReplica, lease_endpoint: str, *, files: int
) -> AsyncIterator[tuple[Replica, ExportService]]:
    """A replica of a table that is loaded from exports, and the service that makes them."""
    made: list[ExportService] = []
    async with (
        bucket_client(lease_endpoint) as s3,
        export_service(lease_endpoint, lambda: made[0]) as endpoint,
        new_replica(lease_seconds=lease(2.0), lease_endpoint=endpoint) as it,
    ):
        made.append(ExportService(s3, TableNow(it.table), it.table.arn, files=files))
        it.settings["initial_load"] = "export"
        it.deployment.settings["export"] = {"bucket": BUCKET, "endpoint_url": lease_endpoint}
        await it.execute("drop trigger watch on public.orders")
        yield it, made[0]


@pytest.mark.parametrize(
    "amounts",
    [pytest.param(SMALL, id="small"), pytest.param(FULL, id="full", marks=pytest.mark.long)],
)
async def test_a_table_is_loaded_from_an_export_while_it_changes_and_its_workers_die(
    new_replica: NewReplica, lease_endpoint: str, amounts: Amounts
):
    items, files = amounts.items, amounts.files
    async with exported(new_replica, lease_endpoint, files=files) as (it, service):
        fill(it, items)
        names = it_names(items + items // 10)
        loaded = await load_under_harm(it, names, items=items, kills=amounts.kills)
        worker, snapshot, seconds = loaded.worker, loaded.snapshot, loaded.seconds
        await equal(it, worker)
        told(
            f"{snapshot['items']} items in {seconds:.0f} s; peak memory of the worker that ended "
            f"it {peak_megabytes(worker.pid):.0f} MB"
        )
        assert len(service.asked) == 1
        assert reads(it) == []
        assert snapshot["read_units"] == 0
        assert await loaded.frozen.stop() == 0
        assert await worker.stop() == 0


def reads(it: Replica) -> list[str]:
    """Calls that read items of the scripted table; leases are the emulator's."""
    made = it.streams.calls()
    return [each.operation for each in made if each.operation in READS and not each.forwarded]


@pytest.mark.long
async def test_memory_does_not_grow_with_the_size_of_a_file(
    new_replica: NewReplica, lease_endpoint: str
):
    peaks = []
    async with exported(new_replica, lease_endpoint, files=1) as (it, _):
        fill(it, IN_ONE_FILE[0])
        worker = it.deployment.start()
        peaks.append(await peak_of_a_load(it, worker))
        fill(it, IN_ONE_FILE[1])
        worker = it.deployment.start()
        asked = await it.deployment.command(
            *("snapshot", "--table", "orders", "--from-export"), seconds=scaled(300)
        )
        assert asked.code == 0, asked.text
        peaks.append(await peak_of_a_load(it, worker))
    told(f"peak memory with files of {IN_ONE_FILE} items: {peaks} MB")
    assert peaks[1] - peaks[0] <= MEGABYTES_MORE_MAX


async def peak_of_a_load(it: Replica, worker: Worker) -> float:
    await ended(worker)
    await equal(it, worker)
    peak = peak_megabytes(worker.pid)
    assert await worker.stop() == 0
    return peak
