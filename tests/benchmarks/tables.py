"""Many tables or shards that fill in the same second: speed and peak memory of one worker."""

from functools import partial
from typing import Any

from tests.benchmarks.forms import TYPED, settings_for
from tests.benchmarks.load import make_load
from tests.benchmarks.machine import Machine, Served
from tests.benchmarks.samples import Sample
from tests.benchmarks.throughput import Contender, Stand
from tests.benchmarks.worker import measured
from tests.support.daemon import Deployment, plain_start

TABLES = (30, 80)
PAGES = {30: 3, 80: 2}
"""Pages of 1,000 records that wait in each table, by the number of tables."""
BOUNDS = {"24 pages at once": None, "as many pages as come": 10_000}
"""Values of `poll.pages_max`; None is the default."""
SHARDS, SHARD_PAGES = 64, 4
"""Of one table, all of whose shards fill in the same second."""


async def by_tables(stand: Stand) -> dict[str, Contender]:
    """Equal changes in many tables, with and without a budget of pages, and in many shards."""
    found: dict[str, Contender] = {}
    for count in TABLES:
        machine, pages = stand.machine, PAGES[count]
        load = make_load("mixed", pages * 1000, stand.base)
        served = [machine.serve(load) for _ in range(count)]
        template = await _template(machine, served)
        for name, pages_max in BOUNDS.items():
            found[f"{count} tables, {pages} pages each, {name}"] = partial(
                _run, machine, template, served, pages_max
            )
    load = make_load("mixed", SHARDS * SHARD_PAGES * 1000, stand.base)
    served = [stand.machine.serve(load, shards=SHARDS)]
    found[f"1 table, {SHARDS} shards, {SHARD_PAGES} pages each"] = partial(
        _run, stand.machine, await _template(stand.machine, served), served, None
    )
    return found


async def _template(machine: Machine, served: list[Served]) -> str:
    """A database with a target for each of the tables."""
    name = machine.new_name("many")
    await machine.execute(f"create database {name} template template0", machine.postgres.dsn)
    directory = machine.directory / name
    directory.mkdir()
    settings = _settings(machine, machine.dsn(name), served, leases="none", pages_max=None)
    async with Deployment(directory, settings) as deployment:
        await deployment.migrate()
    return name


async def _run(
    machine: Machine, template: str, served: list[Served], pages_max: int | None
) -> Sample:
    name = machine.new_name("run")
    directory = machine.directory / name
    directory.mkdir()
    async with machine.database(template) as dsn:
        settings = _settings(machine, dsn, served, leases=f"leases_{name}", pages_max=pages_max)
        machine.source.empty_pages(times=None)
        try:
            async with Deployment(directory, settings, plain_start) as deployment:
                worker = deployment.start()
                sample = await measured(machine, dsn, _together(served), [worker])
                await worker.stop()
        finally:
            machine.source.heal()
    return sample


def _together(served: list[Served]) -> Served:
    lasts = {f"{each.name}/{shard}": at for each in served for shard, at in each.lasts.items()}
    return Served("all", lasts, sum(each.records for each in served))


def _settings(
    machine: Machine, dsn: str, served: list[Served], *, leases: str, pages_max: int | None
) -> dict[str, Any]:
    settings = settings_for(machine, TYPED, dsn=dsn, table="none", leases=leases)
    settings["tables"] = {
        each.name: {
            "table": each.name,
            "initial_load": "stream",
            "into": {f"public.{each.name}": TYPED.configured()},
        }
        for each in served
    }
    if pages_max is not None:
        settings["poll"]["pages_max"] = pages_max
    return settings
