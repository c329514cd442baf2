"""A large table with a thousand differences of every kind, compared while changes go on."""

import asyncio
import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from tests.end_to_end.conftest import one_emulator
from tests.support.bounds import lease, scaled
from tests.support.comparison import read_rows
from tests.support.daemon import Deployment, configuration
from tests.support.scripted_streams import Table, scripted_streams
from tests.support.waiting import pace
from tests.support.warm_start import environment

ITEMS = int(os.environ.get("REPLICATOR_TEST_VERIFY_ITEMS", "200000"))
QUIET = ITEMS // 2
"""Keys below are left alone by the writer; the differences are planted there."""
STEP = QUIET // 1000
CHANGES_PER_SECOND = 200
MEASURED = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(done.returncode)
"""
"""Between the test and the command: a child's peak counts what its parent held when it began."""
PLANTED = {
    "delete from big where n % {step} = 0 and n < {quiet} and n / {step} % 4 = 0": "missing",
    "update big set n = n + 0.5 where n % {step} = 0 and n < {quiet} and n / {step} % 4 = 1": "n",
    "update big set extra = extra || '{{\"m\": 1}}'"
    " where n % {step} = 0 and n < {quiet} and n / {step} % 4 = 2": "extra column",
    "insert into big select 'never ' || n, n, 's', '{{}}' from big"
    " where n % {step} = 0 and n < {quiet} and n / {step} % 4 = 3": "extra",
}


def item(number: int, value: int | None = None) -> dict[str, Any]:
    return {
        "pk": {"S": f"k{number:08}"},
        "n": {"N": str(number if value is None else value)},
        "s": {"S": f"some text of item {number}"},
        "m": {"M": {"x": {"N": str(number)}}},
    }


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def change(table: Table, done: asyncio.Event) -> int:
    """Change, insert and delete items of the busy half until it is enough; how many changes."""
    random, changes = Random(11), 0
    while not done.is_set():
        number = random.randrange(QUIET, ITEMS)
        if random.random() < 0.1:
            table.delete({"pk": item(number)["pk"]})
        else:
            table.put(item(number, random.randrange(10**9)))
        changes += 1
        await pace(1 / CHANGES_PER_SECOND)
    return changes


async def verify(deployment: Deployment, *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the only target of the document, and what it cost."""
    began = time.monotonic()
    command = ["-m", "replicator", "--config", str(deployment.path), "verify", "--json"]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", MEASURED, *command, "--read-units", "1000000", *words],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(1500),
    )
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    megabytes = int(done.stderr.split()[-1]) / 1024
    cost = (
        f"{time.monotonic() - began:.0f} s, {megabytes:.0f} MB at most, "
        f"{document['read_units']:.0f} read units"
    )
    [target] = document["tables"]
    return done.returncode, target, cost


def planted() -> dict[tuple[str, tuple[str, ...]], int]:
    """How many of each kind and columns there must be."""
    return {
        ("missing", ()): 250,
        ("different", ("n",)): 250,
        ("different", ("extra",)): 250,
        ("extra", ()): 250,
    }


@one_emulator
@pytest.mark.long
async def test_a_thousand_differences_are_found_and_repaired_while_changes_go_on(
    dynamodb_endpoint: str, database: str, tmp_path: Path
):
    async with await scripted_streams(forward=dynamodb_endpoint) as streams:
        table = streams.table("big", shards=2)
        table.items.load(map(item, range(ITEMS)))
        into = {"public.big": {"columns": {"n": "numeric", "s": "text"}, "rest": "extra"}}
        settings = configuration(
            endpoint_url=streams.endpoint_url,
            dsn=database,
            tables={"big": {"table": "big", "initial_load": "stream", "into": into}},
            deployment=f"large-{tmp_path.name[-6:]}",
            lease_seconds=lease(20.0),
        )
        async with Deployment(tmp_path, settings) as deployment:
            await deployment.migrate()
            load = (
                "insert into big select 'k' || lpad(i::text, 8, '0'), i, "
                "'some text of item ' || i, "
                "jsonb_build_object('m', jsonb_build_object('x', i)) "
                f"from generate_series(0, {ITEMS - 1}) as i"
            )
            plant = [statement.format(step=STEP, quiet=QUIET) for statement in PLANTED]
            await execute(database, load, "analyze big", *plant)
            worker = await deployment.start_ready()
            done = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                changing = tasks.create_task(change(table, done))
                try:
                    code, found, cost = await verify(deployment)
                    sys.stdout.write(f"verify of {ITEMS} items: {cost}\n")
                    repaired = await verify(deployment, "--repair")
                    sys.stdout.write(f"verify --repair: {repaired[2]}\n")
                finally:
                    done.set()
            sys.stdout.write(f"{changing.result()} changes meanwhile\n")
            kinds: dict[tuple[str, tuple[str, ...]], int] = {}
            for example in found["examples"]:
                kind = (example["kind"], tuple(example["columns"]))
                kinds[kind] = kinds.get(kind, 0) + 1
            assert kinds == planted()
            assert (code, found["in_flight"]) == (1, 0)
            assert (repaired[0], repaired[1]["repaired"]) == (0, 1000)
            await equal(table, database, deployment)
            assert await worker.stop() == 0


async def equal(table: Table, dsn: str, deployment: Deployment) -> None:
    """Everything is applied, and compared without anything of ours."""
    await deployment.run_until_caught_up(seconds=scaled(300))
    rows = await read_rows(dsn, "public.big", key=("pk",))
    items = {each["pk"]["S"]: Decimal(each["n"]["N"]) for each in table.all_items()}
    assert {key: row["n"] for (key,), row in rows.items()} == items
