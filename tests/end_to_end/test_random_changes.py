"""Random changes of every type arrive, equal to a scan and each record counted once."""

import asyncio
from typing import Any

import pytest

from tests.end_to_end.conftest import Stage
from tests.end_to_end.traffic import COLUMNS, CONFIGURED, Traffic
from tests.support.bounds import USUAL_SECONDS, lease, scaled
from tests.support.comparison import assert_equal, differences, read_rows
from tests.support.daemon import Deployment, Worker
from tests.support.oracle import Target

KEYS = {
    "orders": {"pk": "S", "sk": "N"},
    "blobs": {"id": "B"},
    "numbers": {"id": "N", "part": "S"},
}
SIZES = [
    600,
    pytest.param(2_000, marks=pytest.mark.wide),
    pytest.param(20_000, marks=pytest.mark.long),
]


def entry(table: str, name: str) -> dict[str, Any]:
    """A table of the configuration: one target with columns, one of documents."""
    return {
        "table": table,
        "initial_load": "stream",
        "max_dead_letters": 1_000_000,
        "into": {
            f"public.{name}": {"columns": CONFIGURED, "rest": "extra"},
            f"public.{name}_documents": {},
        },
    }


async def scan(stage: Stage, table: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    pages = stage.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    async for page in pages:
        items += page["Items"]
    return items


async def settled(worker: Worker, traffic: dict[str, Traffic], *, seconds: float) -> None:
    """Every record is counted under one outcome."""

    async def counted() -> bool:
        metrics = await worker.metrics()
        sums = dict.fromkeys(traffic, 0.0)
        for (name, labels), value in metrics.items():
            having = dict(labels)
            if name == "replicator_records_total" and having["outcome"] != "duplicate":
                sums[having["table"]] += value
        return all(sums[name] >= traffic[name].written for name in traffic)

    await worker.until(counted, what="every record is counted", seconds=seconds)


async def outcomes(worker: Worker, table: str) -> dict[tuple[str, str], int]:
    found = {}
    for (name, labels), value in (await worker.metrics()).items():
        having = dict(labels)
        if name == "replicator_records_total" and having["table"] == table and value:
            found[having["event"], having["outcome"]] = int(value)
    return found


async def assert_as_written(stage: Stage, name: str, traffic: Traffic) -> None:
    columns, documents = traffic.targets
    key = tuple(KEYS[name])
    assert_equal(columns.rows, await read_rows(stage.dsn, f"public.{name}", key=key))
    actual = await read_rows(stage.dsn, f"public.{name}_documents", key=key)
    assert_equal(documents.rows, actual)


async def make_traffic(
    stage: Stage, *, seed: int, key_count: int = 60
) -> tuple[dict[str, Traffic], Deployment]:
    traffic, tables = {}, {}
    for number, (name, key) in enumerate(KEYS.items()):
        table = await stage.create_table(name, key)
        targets = (Target(key, COLUMNS, rest="extra"), Target(key))
        traffic[name] = Traffic(
            stage.client, table, key=key, targets=targets, seed=seed + number, key_count=key_count
        )
        tables[name] = entry(table, name)
    # longer than a machine can be too busy to renew: each record is read once
    return traffic, stage.deployment(tables, lease_seconds=lease(20.0))


@pytest.mark.parametrize("changes", SIZES)
async def test_what_was_written_at_random_is_in_the_target(stage: Stage, changes: int):
    traffic, deployment = await make_traffic(stage, seed=changes)
    async with deployment:
        await deployment.migrate()
        worker = await deployment.start_ready()

        async with asyncio.TaskGroup() as writing:
            for writes in traffic.values():
                writing.create_task(writes.write(changes // len(traffic)))
        await settled(worker, traffic, seconds=USUAL_SECONDS + scaled(changes / 50))

        for name, writes in traffic.items():
            await assert_as_written(stage, name, writes)
            scanned = Target(KEYS[name])
            for item in await scan(stage, deployment.settings["tables"][name]["table"]):
                scanned.put(item)
            actual = await read_rows(stage.dsn, f"public.{name}_documents", key=tuple(KEYS[name]))
            assert differences(scanned.rows, actual) == []

            counted = await outcomes(worker, name)
            by_event = {event: 0 for event, _ in counted}
            for (event, _), count in counted.items():
                by_event[event] += count
            assert by_event == dict(writes.records)
            assert {outcome for _, outcome in counted} <= {"applied", "superseded", "dead_letter"}
            dead = sum(count for (_, outcome), count in counted.items() if outcome == "dead_letter")
            assert dead <= sum(target.rejected for target in writes.targets)
        assert await worker.stop() == 0
