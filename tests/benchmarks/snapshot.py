"""A whole table: loaded by a snapshot, written by psql with the same versions, and compared."""

import asyncio
import json
import resource
import time
from dataclasses import dataclass, replace
from functools import partial

import aiohttp
import asyncpg
import orjson

from tests.benchmarks import limit
from tests.benchmarks.forms import TYPED, Form, expect, make_template, require_equal, settings_for
from tests.benchmarks.machine import Machine
from tests.benchmarks.processes import (
    cpu_seconds,
    peak_megabytes,
    tree_cpu_seconds,
)
from tests.benchmarks.rows import KEY
from tests.benchmarks.samples import Sample
from tests.benchmarks.throughput import LIMIT, Contender, Stand
from tests.support.daemon import Deployment, Worker, plain_start

EMPTY = replace(TYPED, name="empty")
UNITS_PER_SECOND = 1_000_000
"""No limit: a snapshot keeps to a share of the table's capacity, which is not what is measured."""
SEGMENTS = 4
LOOK_SECONDS = 0.02
RUN_SECONDS_MAX = 300.0
STATE = """
-- Files of an export are loaded from when they are laid out, and a table from the beginning.
with loading as (
    select s.ended_at, case when s.origin = 'scan' then s.started_at else g.moved_at end as since
      from replicator.snapshot as s
      left join replicator.segment as g
        on (g.snapshot_id, g.number, g.state) = (s.id, 0, 'done'))
select since is not null as loading, extract(epoch from ended_at - since)::float8 as seconds
  from loading
"""


@dataclass(frozen=True, slots=True)
class ExportPlace:
    """Where exports are asked for, and the bucket that they lie in."""

    endpoint_url: str
    bucket: str


async def contenders(stand: Stand) -> dict[str, Contender]:
    """The limit, one worker, two, a comparison of what is there, and the source alone."""
    machine, orders = stand.machine, list(stand.base.values())[: stand.records]
    name = machine.new_name("loaded")
    table = machine.source.table(name, key=KEY, shards=1)
    table.load_items([order.item() for order in orders])
    template = await make_template(machine, EMPTY, [], name)
    expected = await expect(machine, EMPTY, template, orders)
    script = limit.write_snapshot_script(machine.directory, orders)
    load = partial(run_load, machine, template, name, expected=expected, items=len(orders))
    full = replace(TYPED, name="loaded")
    return {
        LIMIT: partial(
            limit.run_limit, machine, template, [script], records=len(orders), expected=expected
        ),
        "snapshot, 1 worker": partial(load, workers=1),
        "snapshot, 2 workers": partial(load, workers=2),
        "verify": partial(
            _verify,
            machine,
            await make_template(machine, full, orders, name),
            name,
            items=len(orders),
        ),
        "source alone": partial(_scan, machine, name, items=len(orders)),
    }


async def run_load(
    machine: Machine,
    template: str,
    table: str,
    *,
    expected: str,
    items: int,
    workers: int,
    export: ExportPlace | None = None,
) -> Sample:
    """From the beginning of the snapshot to its end, as PostgreSQL noted them.

    `export`: an export is loaded in place of a scan; the time until it is made is left out.
    """
    name = machine.new_name("snapshot")
    directory = machine.directory / name
    directory.mkdir()
    async with (
        machine.database(template, table=table) as dsn,
        Deployment(
            directory, _settings(machine, EMPTY, dsn, table, name, export), plain_start
        ) as deployment,
    ):
        running = [deployment.start() for _ in range(workers)]
        sample = await _measured(machine, dsn, running, items)
        for worker in running:
            await worker.stop()
        await require_equal(dsn, expected)
    return sample


async def _measured(machine: Machine, dsn: str, workers: list[Worker], items: int) -> Sample:
    pids = [worker.pid for worker in workers]
    connection = await asyncpg.connect(dsn)
    before = (0.0, 0.0)
    began = time.perf_counter()
    try:
        while (row := await connection.fetchrow(STATE)) is None or row["seconds"] is None:
            if row is None or not row["loading"]:
                before = cpu_seconds(*pids), tree_cpu_seconds(machine.postmaster)
            if time.perf_counter() - began > RUN_SECONDS_MAX or any(one.code for one in workers):
                raise AssertionError(f"not loaded\n{workers[0].tail()}")
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await connection.close()
    return Sample(
        items,
        row["seconds"],
        client_seconds=cpu_seconds(*pids) - before[0],
        postgres_seconds=tree_cpu_seconds(machine.postmaster) - before[1],
        peak_megabytes=sum(map(peak_megabytes, pids)),
    )


async def _verify(machine: Machine, template: str, table: str, *, items: int) -> Sample:
    """The whole command, its start among it."""
    name = machine.new_name("verify")
    directory = machine.directory / name
    directory.mkdir()
    async with (
        machine.database(template, table=table) as dsn,
        Deployment(
            directory, _settings(machine, TYPED, dsn, table, name), plain_start
        ) as deployment,
    ):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        postgres, started = tree_cpu_seconds(machine.postmaster), time.perf_counter()
        done = await deployment.command(
            "verify", "--json", "--read-units", str(UNITS_PER_SECOND), seconds=RUN_SECONDS_MAX
        )
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        postgres = tree_cpu_seconds(machine.postmaster) - postgres
    if not json.loads(done.stdout)["equal"]:
        raise AssertionError(f"both sides are equal, and verify says otherwise:\n{done.text}")
    client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Sample(items, seconds, client_seconds=client, postgres_seconds=postgres)


async def _scan(machine: Machine, table: str, *, items: int) -> Sample:
    """All segments at once, by a reader that does nothing with them; CPU is the source's."""
    assert machine.source.pid is not None
    target = {"X-Amz-Target": "DynamoDB_20120810.Scan"}

    async def segment(session: aiohttp.ClientSession, number: int) -> None:
        asked: dict[str, object] = {
            "TableName": table,
            "Segment": number,
            "TotalSegments": SEGMENTS,
            "ConsistentRead": True,
            "Limit": 1000,
        }
        while True:
            async with session.post("/", data=orjson.dumps(asked), headers=target) as answer:
                page = orjson.loads(await answer.read())
            if "LastEvaluatedKey" not in page:
                return
            asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    async with aiohttp.ClientSession(machine.source.endpoint_url) as session:
        before, started = cpu_seconds(machine.source.pid), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(SEGMENTS):
                tasks.create_task(segment(session, number))
        seconds = time.perf_counter() - started
    return Sample(items, seconds, client_seconds=cpu_seconds(machine.source.pid) - before)


def _settings(
    machine: Machine,
    form: Form,
    dsn: str,
    table: str,
    name: str,
    export: ExportPlace | None = None,
) -> dict[str, object]:
    settings = settings_for(machine, form, dsn=dsn, table=table, leases=f"leases_{name}")
    settings["tables"]["orders"]["initial_load"] = "snapshot" if export is None else "export"
    settings["snapshot"] = {"read_units_per_second": UNITS_PER_SECOND, "segments": SEGMENTS}
    if export is not None:
        settings["source"]["endpoint_url"] = export.endpoint_url
        settings["export"] = {"bucket": export.bucket, "endpoint_url": machine.emulator}
    return settings
