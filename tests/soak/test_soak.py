"""`make soak MINUTES=n`: three workers, load, and everything that can go wrong, for as long.

Triggers watch the table `orders`, which only its stream writes: the laws of the fence hold for
each of its rows. Beside it is a table for each kind of load (`kinds`), which people also load,
repair and replay (`hands`). Every two minutes nothing of these is written for a while, and all of
them are compared. However short a soak is, it has all kinds, as a few changes a second of each cost
little; what people do is drawn like cards, so that a longer one does more of it.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.faults.replica import Beside, Replica, replica
from tests.faults.test_lease_table import SKEWED
from tests.faults.test_lineage import obeys
from tests.soak.hands import Hands
from tests.soak.kinds import KINDS, Kind
from tests.soak.loads import Loads
from tests.support import endpoints
from tests.support.bounds import lease, scaled
from tests.support.daemon import Worker, plain_start
from tests.support.proxy import Proxy, proxy
from tests.support.shop import SALT
from tests.support.stream_builders import item

MINUTES = float(os.environ.get("SOAK_MINUTES", "0"))
GROWTH_MAX = 1.3
"""What a worker that lived through the second half may have grown by, at the end."""

LIE_SECONDS = 150.0
"""What was written and is not there for so long stands: nobody may call its table well."""
CALM_LOOKS = 20
HARMS = ("kill", "freeze", "restart", "cut", "throttle", "sessions", "leases")
QUIET_SECONDS = 120.0
"""So often nothing is written for a while, and each kind of load is compared."""
ENTRY = {"max_dead_letters": 1_000_000}
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

    async def sees_all_well(self, but: Collection[tuple[str, str | None]]) -> None:
        """When no harm is done any more, nothing is named, and that stays so.

        `but`: kinds of problems and tables that have them.
        """

        async def named() -> list[dict[str, Any]]:
            problems = await self.look()
            return [each for each in problems if (each["kind"], each["table"]) not in but]

        async def well() -> bool:
            return not await named()

        await self._worker.until(well, what="nothing is named any more", seconds=scaled(300))
        for _ in range(CALM_LOOKS):
            assert await named() == []


def resident_bytes(worker: Worker) -> int:
    pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(worker: Worker) -> int:
    return len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))


def size(worker: Worker) -> tuple[int, int]:
    """Bytes in memory, and open descriptors."""
    return resident_bytes(worker), descriptors(worker)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def roll_over(it: Replica, stopping: asyncio.Event, seed: int) -> None:
    chance = Random(seed)
    while not stopping.is_set():
        await it.load.grows(chance.uniform(150, 600))
        name = chance.choice(["orders", *it.tables])
        table, shards_max = it.tables[name], 6 if name == "orders" else 3
        shard = chance.choice(table.open_shards())
        if len(table.open_shards()) < shards_max:
            table.split(shard)
        else:
            table.roll_over(shard)
            await let_two_days_pass(it)


async def let_two_days_pass(it: Replica) -> None:
    """Finished shards leave the stream and then the control schema, or both would only grow."""
    finished = "state = 'done' and done_at < now() - interval '30 s'"
    rows = await it.sql(f"select shard_id from replicator.shard where {finished}")
    ids = {row["shard_id"] for row in rows}
    for table in it.tables.values():
        for number, shard_id in table.shard_ids().items():
            if shard_id in ids:
                table.forget(number)
    await it.execute(
        "update replicator.shard set done_at = done_at - interval '49 hours'"
        f" where {finished} and shard_id = any('{{{','.join(ids)}}}')"
    )


@dataclass(slots=True)
class Soak:
    """All that takes part in it."""

    it: Replica
    between: Proxy
    kinds: Sequence[Kind]
    loads: Loads
    hands: Hands
    nemesis: Nemesis
    witness: Witness
    workers: list[Worker]

    async def go_on(self, seed: int) -> tuple[int, int]:
        """Harm until it is over; memory and descriptors of the spared worker in the middle."""
        stopping = asyncio.Event()
        compared = time.monotonic()
        ending = compared + MINUTES * 60
        middle: tuple[int, int] | None = None
        async with self.it.load.going_on(a_second=150), asyncio.TaskGroup() as tasks:
            tasks.create_task(roll_over(self.it, stopping, seed))
            tasks.create_task(self.witness.watch(stopping))
            tasks.create_task(self.loads.until(stopping))
            tasks.create_task(self.hands.until(stopping))
            while (now := time.monotonic()) < ending:
                await self.nemesis.harm()
                await self.it.load.grows(Random(now).uniform(75, 450))
                assert all(worker.code is None for worker in self.workers)
                if now - compared > QUIET_SECONDS and now + QUIET_SECONDS < ending:
                    async with self.hands.idle(), self.loads.quiet():
                        self.heal()
                        await self.hands.prove(self.workers)
                    compared = time.monotonic()
                if middle is None and ending - now < MINUTES * 30:
                    middle = size(self.workers[0])
            stopping.set()
        return middle or size(self.workers[0])

    def heal(self) -> None:
        """Nothing strikes that was planned."""
        self.between.heal()
        self.it.streams.heal()

    async def calm(self) -> None:
        """All is equal, and nothing is named but what waits for a person."""
        self.heal()
        await self.it.equal(*self.workers, seconds=scaled(300))
        await self.hands.prove(self.workers)
        letters = [("dead_letters", kind.name) for kind in self.kinds if kind.letters()]
        await self.witness.sees_all_well(but=[*letters, ("drift", "routes")])

    def tell(self) -> None:
        """Say how much of everything there was."""
        shards = sum(len(table.shard_ids()) for table in self.it.tables.values())
        say(f"{MINUTES:g} min: {self.it.load.written} changes, {shards} shards")
        say(f"{self.loads.written} changes of {len(self.kinds)} kinds in tables of their own")
        say("harm: " + told(self.nemesis.done))
        say("hands: " + told(self.hands.done))
        longest = f"longest wait {self.witness.longest_seconds:.0f} s"
        say(f"witness: {self.witness.looks} looks, {longest}; named: {told(self.witness.named)}")


def told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {times}" for name, times in sorted(counts.items()))


@pytest.mark.skipif(not MINUTES, reason="make soak MINUTES=n")
async def test_after_hours_of_harm_both_sides_are_equal_and_nothing_has_grown(
    lease_endpoint: str, database: str, tmp_path: Path
):
    seed = int(time.time())
    say(f"seed {seed}")
    salt = tmp_path / "salt"
    salt.write_text(SALT)
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
            beside={kind.name: Beside(kind.key, ENTRY | kind.entry()) for kind in KINDS},
            settings={"hashing": {"salt_file": str(salt)}},
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
        kinds = [kind(it.tables[kind.name], seed) for kind in KINDS]
        nemesis = Nemesis(it, between, workers, seed, clock)
        witness, hands = Witness(it, workers[0]), Hands(it, kinds, seed)
        soak = Soak(it, between, kinds, Loads(kinds), hands, nemesis, witness, workers)
        await hands.begin()

        middle = await soak.go_on(seed)
        await soak.calm()

        last = size(workers[0])
        soak.tell()
        say("memory {:.0f} -> {:.0f} MB".format(*(each[0] / 1e6 for each in (middle, last))))
        say(f"descriptors {middle[1]} -> {last[1]}")
        assert last[0] < middle[0] * GROWTH_MAX
        assert last[1] < middle[1] + 20
        for name in it.tables:
            assert len(await it.shards(name)) < 100
        assert await it.gaps() == []
        for worker in workers:  # a process that is only starting ends as the signal says
            await worker.url()
        assert [await worker.stop() for worker in workers] == [0, 0, 0]
        await obeys(it)
        await hands.fix(workers)
        say("verdict: equal, nothing twice, nothing unfenced, parents first, no gap")
