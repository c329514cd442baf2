"""`make soak MINUTES=n`: three workers, load, and everything that can go wrong, for as long."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.faults.replica import Replica, replica
from tests.faults.test_lease_table import SKEWED
from tests.faults.test_lineage import obeys
from tests.support import endpoints
from tests.support.bounds import lease, scaled
from tests.support.daemon import Worker, plain_start
from tests.support.proxy import Proxy, proxy
from tests.support.stream_builders import item

MINUTES = float(os.environ.get("SOAK_MINUTES", "0"))
GROWTH_MAX = 1.3
"""What a worker that lived through the second half may have grown by, at the end."""

LIE_SECONDS = 150.0
"""What was written and is not there for so long stands: nobody may call its table well."""
CALM_LOOKS = 20
HARMS = ("kill", "freeze", "restart", "cut", "throttle", "sessions", "pause", "leases")
AHEAD, AHEAD_MINUTES = 2, 300
"""The worker whose clock is ahead, and by how much."""

pytestmark = [
    pytest.mark.faults,
    pytest.mark.long,
    pytest.mark.crowd,
    pytest.mark.timeout(scaled(MINUTES * 60 + 600)),
]


class Nemesis:
    """Does one random harm after another; the first worker is spared, so that its growth shows."""

    def __init__(
        self, it: Replica, between: Proxy, workers: list[Worker], seed: int, clock: Path
    ) -> None:
        self._it = it
        self._clock = clock
        self._between = between
        self._workers = workers
        self._chance = Random(seed)
        self.done: dict[str, int] = {}

    async def harm(self) -> None:
        name = self._chance.choice(HARMS)
        self.done[name] = self.done.get(name, 0) + 1
        number = self._chance.randrange(1, len(self._workers))
        victim = self._workers[number]
        match name:
            case "kill":
                victim.kill()
                self._workers[number] = self._start(number)
            case "pause":
                await self._does("pause", "--table", "orders")
                await self._it.load.grows(self._chance.uniform(75, 450))
                await self._does("resume", "--table", "orders")
            case "leases":
                async with endpoints.dynamodb_client(self._it.lease_endpoint) as client:
                    with suppress(ClientError):  # nobody has made it again yet
                        await client.delete_table(TableName=self._it.lease_table)
            case "freeze":
                victim.signal(signal.SIGSTOP)
                await self._it.load.grows(self._chance.uniform(75, scaled(600)))
                victim.signal(signal.SIGCONT)
            case "restart":
                await victim.url()
                assert await victim.stop() == 0
                self._workers[number] = self._start(number)
            case "cut":
                kind = self._chance.choice("BES")
                self._between.plan("cut", kind=kind, statement="replicator")
            case "throttle":
                for operation in ("GetRecords", "UpdateItem", "BatchGetItem", "Scan"):
                    self._it.streams.fail(operation, "ThrottlingException", times=5)
            case "sessions":
                await self._it.sql(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name like 'replicator %'"
                    " and datname = current_database()"
                )

    def _start(self, number: int) -> Worker:
        with clock_of(number, self._clock):
            return self._it.deployment.start()

    async def _does(self, *words: str) -> None:
        done = await self._it.deployment.command(*words)
        assert done.code == 0, done.text


@contextmanager
def clock_of(number: int, ahead: Path) -> Iterator[None]:
    """What is started meanwhile has the clock of this worker: the last one's is hours ahead."""
    before = os.environ.get("PYTHONPATH")
    if number == AHEAD:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ahead), before]))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = before


class Witness:
    """Compares what the spared worker says of the table with what is not in it, all the while."""

    def __init__(self, it: Replica, worker: Worker) -> None:
        self._it = it
        self._worker = worker
        self._written: dict[str, float] = {}
        self.looks = 0
        self.named: dict[str, int] = {}
        """How often each kind of problem was told."""
        self.longest_seconds = 0.0
        """For how long a change was seen to be missing."""

    async def look(self) -> list[dict[str, Any]]:
        """One look: no table is called well that has stood beyond the bound; its problems."""
        self.looks += 1
        key = f"witness {self.looks}"
        self._it.table.put(item(key, n=self.looks))
        self._written[key] = time.monotonic()
        asked = time.monotonic()
        status = await self._worker.status()
        there = {row for (row,) in await self._it.rows()}
        for key in there & self._written.keys():
            del self._written[key]
        standing = max((asked - at for at in self._written.values()), default=0.0)
        self.longest_seconds = max(self.longest_seconds, standing)
        assert status.get("verdict") != "well" or standing <= LIE_SECONDS, (standing, status)
        problems: list[dict[str, Any]] = status.get("problems", [])
        for problem in problems:
            assert problem["what"], problem
            self.named[problem["kind"]] = self.named.get(problem["kind"], 0) + 1
        return problems

    async def watch(self, stopping: asyncio.Event) -> None:
        """Look again and again, until told to stop."""
        while not stopping.is_set():
            await self.look()
            await self._it.load.grows(150)  # about a second: more looks would show no more

    async def sees_all_well(self) -> None:
        """When no harm is done any more, nothing is named, and that stays so."""

        async def well() -> bool:
            return not await self.look()

        await self._worker.until(well, what="nothing is named any more", seconds=scaled(300))
        for _ in range(CALM_LOOKS):
            assert await self.look() == []


def resident_bytes(worker: Worker) -> int:
    pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(worker: Worker) -> int:
    return len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def roll_over(it: Replica, stopping: asyncio.Event, seed: int) -> None:
    chance = Random(seed)
    while not stopping.is_set():
        await it.load.grows(chance.uniform(150, 600))
        shard = chance.choice(it.table.open_shards())
        if len(it.table.open_shards()) < 6:
            it.table.split(shard)
        else:
            it.table.roll_over(shard)
            await let_two_days_pass(it)


async def let_two_days_pass(it: Replica) -> None:
    """Finished shards leave the stream and then the control schema, or both would only grow."""
    finished = "state = 'done' and done_at < now() - interval '30 s'"
    rows = await it.sql(f"select shard_id from replicator.shard where {finished}")
    ids = {row["shard_id"] for row in rows}
    for number, shard_id in it.table.shard_ids().items():
        if shard_id in ids:
            it.table.forget(number)
    await it.execute(
        "update replicator.shard set done_at = done_at - interval '49 hours'"
        f" where {finished} and shard_id = any('{{{','.join(ids)}}}')"
    )


@pytest.mark.skipif(not MINUTES, reason="make soak MINUTES=n")
async def test_after_hours_of_harm_both_sides_are_equal_and_nothing_has_grown(
    lease_endpoint: str, database: str, tmp_path: Path
):
    seed = int(time.time())
    say(f"seed {seed}")
    async with (
        proxy(database) as between,
        replica(
            lease_endpoint=lease_endpoint,
            dsn=database,
            directory=tmp_path,
            name=f"soak{seed}",
            shards=4,
            worker_dsn=between.dsn,
            lease_seconds=lease(3.0),
        ) as it,
    ):
        it.deployment.launch = plain_start
        clock = tmp_path / "clock"
        clock.mkdir()
        (clock / "sitecustomize.py").write_text(SKEWED.format(minutes=AHEAD_MINUTES))
        workers: list[Worker] = []
        for number in range(3):
            with clock_of(number, clock):
                workers.append(await it.deployment.start_ready())
        nemesis = Nemesis(it, between, workers, seed, clock)
        witness = Witness(it, workers[0])
        stopping = asyncio.Event()
        ending = time.monotonic() + MINUTES * 60
        middle: tuple[int, int] | None = None
        async with it.load.going_on(a_second=150), asyncio.TaskGroup() as tasks:
            tasks.create_task(roll_over(it, stopping, seed))
            tasks.create_task(witness.watch(stopping))
            while (now := time.monotonic()) < ending:
                await nemesis.harm()
                await it.load.grows(Random(now).uniform(75, 450))
                assert all(worker.code is None for worker in workers)
                if middle is None and ending - now < MINUTES * 30:
                    middle = (resident_bytes(workers[0]), descriptors(workers[0]))
            stopping.set()
        middle = middle or (resident_bytes(workers[0]), descriptors(workers[0]))
        between.heal()
        it.streams.heal()
        await it.equal(*workers, seconds=scaled(300))
        await witness.sees_all_well()

        last = (resident_bytes(workers[0]), descriptors(workers[0]))
        say(f"{MINUTES:g} min: {it.load.written} changes in {len(it.table.shard_ids())} shards")
        say("harm: " + ", ".join(f"{name} {times}" for name, times in sorted(nemesis.done.items())))
        say(
            f"witness: {witness.looks} looks, longest wait {witness.longest_seconds:.0f} s; named: "
            + ", ".join(f"{kind} {times}" for kind, times in sorted(witness.named.items()))
        )
        say("memory {:.0f} -> {:.0f} MB".format(*(size[0] / 1e6 for size in (middle, last))))
        say(f"descriptors {middle[1]} -> {last[1]}")
        assert last[0] < middle[0] * GROWTH_MAX
        assert last[1] < middle[1] + 20
        assert len(await it.shards()) < 100
        assert await it.gaps() == []
        for worker in workers:  # a process that is only starting ends as the signal says
            await worker.url()
        assert [await worker.stop() for worker in workers] == [0, 0, 0]
        await obeys(it)
        say("verdict: equal, nothing twice, nothing unfenced, parents first, no gap")
