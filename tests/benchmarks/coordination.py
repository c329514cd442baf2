"""What coordination takes of real processes: `python -m tests.benchmarks.coordination [PART]`.

Records are not part of it: the tables are at rest, so that what is used is used to find shards, to
own them, to read empty pages and to show a status.
"""

import argparse
import asyncio
import signal
import sys
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.benchmarks.forms import TYPED
from tests.benchmarks.machine import Machine, started
from tests.benchmarks.processes import (
    cpu_seconds,
    peak_megabytes,
    resident_megabytes,
    tree_cpu_seconds,
)
from tests.benchmarks.report import table
from tests.benchmarks.rows import KEY
from tests.support.daemon import Deployment, Worker, brought_about, configuration, plain_start

LEASE_SECONDS = 20.0
"""As workers have it by default."""
READ = """
select count(*) from replicator.shard
 where state = 'active' and owner is not null and polled_at > claimed_at
"""
FEWEST = """
select coalesce(min(count), 0)
  from (select count(*) from replicator.shard where owner is not null group by owner) as o
having count(*) = $1
"""
SETTLING_SECONDS = 15.0
REST_SECONDS = 30.0
LOOK_SECONDS = 0.05
WAIT_SECONDS_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Beginning:
    """How long workers took until everything was read, and what they used for that, each."""

    seconds: float
    cpu_seconds: float
    describes_a_second: int
    """DescribeStream, at most in any second."""
    peak_megabytes: float


@dataclass(frozen=True, slots=True)
class Resting:
    """What a worker uses of a core in a second of rest. `reads`: GetRecords in that second."""

    core: float
    postgres_core: float
    """Of PostgreSQL, for all workers."""
    reads: float
    megabytes: float


@dataclass(frozen=True, slots=True)
class Seen:
    """A fleet from its beginning to the end of one worker, by SIGTERM."""

    beginning: Beginning
    rest: Resting
    stopped_seconds: float
    stopped_cpu_seconds: float


@dataclass(slots=True)
class Fleet:
    """A deployment whose tables are at rest."""

    machine: Machine
    deployment: Deployment
    connection: asyncpg.Connection
    shards: int
    workers: list[Worker]

    async def begin(self, workers: int) -> Beginning:
        """Start so many workers together, and wait until every shard was read."""
        self.machine.source.clear_journal()
        began = self.machine.source.now()
        self.workers += [self.deployment.start() for _ in range(workers)]

        async def read() -> bool:
            return bool(await self.connection.fetchval(READ) == self.shards)

        await brought_about(read, what="all read", by=self.workers, seconds=WAIT_SECONDS_MAX)
        used = cpu_seconds(*self.pids)
        return Beginning(
            self._last_first_read() - began,
            used / len(self.workers),
            _most_in_a_second([c.at for c in self.machine.source.calls("DescribeStream")]),
            max(map(peak_megabytes, self.pids)),
        )

    def _last_first_read(self) -> float:
        """When the last shard was asked for records for the first time; rows tell of it later."""
        first: dict[tuple[str | None, int | None], float] = {}
        for call in self.machine.source.calls("GetRecords"):
            first.setdefault((call.table, call.shard), call.at)
        assert len(first) == self.shards
        return max(first.values())

    async def shared(self) -> None:
        """Wait until every worker has its share."""

        async def even() -> bool:
            fewest = await self.connection.fetchval(FEWEST, len(self.workers)) or 0
            return fewest >= self.shards // len(self.workers) - 1

        await brought_about(even, what="even shares", by=self.workers, seconds=WAIT_SECONDS_MAX)

    async def rest(self, *, seconds: float) -> Resting:
        """Let them do nothing for so long."""
        await asyncio.sleep(SETTLING_SECONDS)
        source, postmaster = self.machine.source, self.machine.postmaster
        before = cpu_seconds(*self.pids), tree_cpu_seconds(postmaster), source.count("GetRecords")
        began = time.monotonic()
        await asyncio.sleep(seconds)
        after = cpu_seconds(*self.pids), tree_cpu_seconds(postmaster), source.count("GetRecords")
        elapsed, workers = time.monotonic() - began, len(self.workers)
        return Resting(
            (after[0] - before[0]) / elapsed / workers,
            (after[1] - before[1]) / elapsed,
            (after[2] - before[2]) / elapsed / workers,
            max(map(resident_megabytes, self.pids)),
        )

    async def stop_one(self) -> tuple[float, float]:
        """SIGTERM to one worker: seconds until it has ended, and CPU seconds that it took."""
        worker = self.workers.pop()
        before, began = cpu_seconds(worker.pid), time.monotonic()
        used = before
        worker.signal(signal.SIGTERM)
        while worker.code is None:
            used = max(used, cpu_seconds(worker.pid))
            await asyncio.sleep(LOOK_SECONDS)
        assert worker.code == 0, worker.tail()
        return time.monotonic() - began, used - before

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self.workers]


FLEETS = {
    "1 worker, 200 tables of 1 shard": (1, 200, 1, 1.0),
    "4 workers, 1,000 shards": (4, 1, 1000, 1.0),
    "1 worker, 1,000 shards": (1, 1, 1000, 1.0),
    "1 worker, 100 shards, hardly read": (1, 1, 100, 60.0),
}
"""Workers, tables, shards of each table, and `poll.idle_seconds_max`, whose highest value leaves
little but coordination of what a worker does at rest."""


async def run_fleets(machine: Machine, only: str) -> dict[str, Seen]:
    """The fleets whose names hold a text, one after the other."""
    found = {}
    for name, (workers, tables, shards, idle_seconds_max) in FLEETS.items():
        if only not in name:
            continue
        async with fleet(
            machine, tables=tables, shards_of_each=shards, idle_seconds_max=idle_seconds_max
        ) as here:
            beginning = await here.begin(workers)
            if workers > 1:
                await here.shared()
            rest = await here.rest(seconds=REST_SECONDS)
            found[name] = Seen(beginning, rest, *await here.stop_one())
    return found


@asynccontextmanager
async def fleet(
    machine: Machine, *, tables: int, shards_of_each: int, idle_seconds_max: float = 1.0
) -> AsyncIterator[Fleet]:
    """So many registered tables, each with so many open shards and nothing to read."""
    name = machine.new_name("fleet")
    directory = machine.directory / name
    directory.mkdir()
    await machine.execute(f"create database {name} template template0", machine.postgres.dsn)
    sources = [machine.new_name("resting") for _ in range(tables)]
    for each in sources:
        machine.source.table(each, key=KEY, shards=shards_of_each)
    async with Deployment(
        directory, _settings(machine, name, sources, idle_seconds_max), plain_start
    ) as deployment:
        await deployment.migrate()
        connection = await asyncpg.connect(machine.dsn(name))
        try:
            yield Fleet(machine, deployment, connection, tables * shards_of_each, [])
        finally:
            await connection.close()


def _settings(
    machine: Machine, name: str, sources: list[str], idle_seconds_max: float
) -> dict[str, Any]:
    settings = configuration(
        endpoint_url=machine.source.endpoint_url,
        dsn=machine.dsn(name),
        tables={
            each: {
                "table": each,
                "initial_load": "stream",
                "into": {f"public.{each}": TYPED.configured()},
            }
            for each in sources
        },
        deployment=name,
        lease_seconds=LEASE_SECONDS,
    )
    settings["log"] = {"level": "info", "format": "json"}
    settings["poll"] = {"idle_seconds_max": idle_seconds_max}
    return settings


def _most_in_a_second(instants: list[float]) -> int:
    ordered = sorted(instants)
    return max(
        (bisect_right(ordered, at + 1.0) - number for number, at in enumerate(ordered)), default=0
    )


def fleet_table(found: Mapping[str, Seen]) -> list[str]:
    """One line for each fleet: its beginning, a second of its rest, and the end of one worker."""
    rows = [
        [
            *("fleet", "all read, s", "CPU s of each", "DescribeStream, most in a second"),
            *("peak MB", "core at rest", "GetRecords a second", "core of PostgreSQL"),
            *("SIGTERM: s", "CPU s"),
        ]
    ]
    for name, seen in found.items():
        begun, rest = seen.beginning, seen.rest
        rows.append(
            [
                *(name, f"{begun.seconds:.1f}", f"{begun.cpu_seconds:.1f}"),
                *(str(begun.describes_a_second), f"{begun.peak_megabytes:.0f}"),
                *(f"{rest.core:.1%}", f"{rest.reads:.0f}", f"{rest.postgres_core:.1%}"),
                *(f"{seen.stopped_seconds:.1f}", f"{seen.stopped_cpu_seconds:.1f}"),
            ]
        )
    return table(rows)


async def _measure(part: str) -> None:
    async with started() as machine:
        for line in fleet_table(await run_fleets(machine, part)):
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", default="", help=f"text in one of {', '.join(FLEETS)}")
    asyncio.run(_measure(parser.parse_args().part))
