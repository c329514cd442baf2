"""Runs the peer, what everyone writes with boto3, on the same pages."""

import asyncio
import json
import sys
from pathlib import Path

from tests.benchmarks.forms import require_equal
from tests.benchmarks.load import Load
from tests.benchmarks.machine import Machine, Served
from tests.benchmarks.processes import tree_cpu_seconds
from tests.benchmarks.samples import Sample
from tests.support.warm_start import ROOT


def write_pages(directory: Path, load: Load) -> list[str]:
    """One file for each page."""
    paths = []
    for number, page in enumerate(load.pages()[0]):
        path = directory / f"event-{load.kind.name}-{len(load.changes)}-{number:05d}.json"
        path.write_bytes(page)
        paths.append(str(path))
    return paths


def poll_words(machine: Machine, served: Served) -> list[str]:
    """How the loop around GetRecords is told what to read."""
    arn = machine.source.existing_table(served.name).stream_arn
    return ["poll", machine.source.endpoint_url, arn, *served.lasts, str(served.records)]


async def run_usual(
    machine: Machine, template: str, table: str, words: list[str], *, records: int, expected: str
) -> Sample:
    """One of the TABLES of `usual`; the clock leaves out the start of the process."""
    async with machine.database(template) as dsn:
        before = tree_cpu_seconds(machine.postmaster)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.benchmarks.usual", dsn, table, *words),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        printed = (await process.communicate())[0]
        if process.returncode:
            raise RuntimeError("the peer failed")
        used = tree_cpu_seconds(machine.postmaster) - before
        await require_equal(dsn, expected)
    seconds, client_seconds = json.loads(printed)
    return Sample(records, seconds, client_seconds=client_seconds, postgres_seconds=used)
