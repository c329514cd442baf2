"""Changes that come through Kinesis twice and in disorder, while shards move and workers die."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_kinesis import Published, Ticking, published_by
from tests.end_to_end.test_snapshot import item, rows, sql
from tests.support.bounds import scaled
from tests.support.daemon import Deployment, Worker, brought_about
from tests.support.exports import Item
from tests.support.kinesis_tables import Precision, kinesis_data, partition_key

pytestmark = one_emulator

SIZES = [
    (10, 400),
    pytest.param(20, 1_000, marks=pytest.mark.wide),
    pytest.param(20, 50_000, marks=pytest.mark.long),
]
"""Parts of the load, after each of which something moves or dies, and its changes."""
KEYS_MAX = 400
MIXED = 12
"""Of one item the records of a few changes are mixed, as Kinesis may deliver them."""


@dataclass
class Script:
    """A table whose changes become records of Kinesis in AWS's form; it exists here alone."""

    table: str
    chance: Random
    keys: int = KEYS_MAX
    clock: Ticking = field(default_factory=Ticking)
    precision: Precision = "MICROSECOND"
    items: dict[str, Item] = field(default_factory=dict)
    made: Counter[tuple[str, str, str | None]] = field(default_factory=Counter)
    """Every change: key, operation, and what the item's `total` was after it."""
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    def changes(self, count: int) -> list[tuple[str, bytes]]:
        """Records of so many changes in the order of their making; pairs of one time among them."""
        records: list[tuple[str, bytes]] = []
        while len(records) < count:
            self.clock.tick(self.chance)
            number = self.chance.randrange(self.keys)
            for _ in range(self.chance.choice([1, 1, 1, 2])):
                new = item(number, self.chance.randint(1, 10**12))
                record = self._change(f"k{number:05}", None if self.chance.random() < 0.3 else new)
                records += [] if record is None else [record]
        return records

    def _change(self, pk: str, new: Item | None) -> tuple[str, bytes] | None:
        old = self.items.pop(pk, None)
        if new is not None:
            self.items[pk] = new
        elif old is None:
            return None
        operation = "insert" if old is None else "modify" if new else "remove"
        self.made[pk, operation, new["total"]["N"] if new else None] += 1
        data = kinesis_data(self.table, old, new, micros=self.clock(), precision=self.precision)
        return partition_key(pk), data

    def disordered(self, records: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """The records mixed with what was sent before: a third comes twice at once, and some much
        later, under another key, so that it may lie in another shard.
        """
        found: list[tuple[str, bytes]] = []
        for start in range(0, len(records), MIXED):
            some = records[start : start + MIXED]
            late = self.chance.sample(self.sent, min(2, len(self.sent)))
            self.sent += some
            again = self.chance.sample(some, len(some) // 3)
            mixed = some + again + [(partition_key(f"elsewhere {k}"), data) for k, data in late]
            self.chance.shuffle(mixed)
            found += mixed
        return found

    @property
    def rows(self) -> dict[str, int]:
        return {pk: int(item["total"]["N"]) for pk, item in self.items.items()}


async def history(stage: Stage) -> Counter[tuple[Any, ...]]:
    return Counter(
        await sql(
            stage,
            "select keys->>'pk', operation, new_image->>'total' from public.orders_history",
        )
    )


@dataclass
class Run:
    """Workers of one deployment, some of which die."""

    published: Published
    deployment: Deployment
    workers: list[Worker]
    kills: int = 0

    async def applied(self) -> int:
        [(count,)] = await sql(self.published.stage, "select count(*) from public.orders_history")
        return int(str(count))

    async def until_applied(self, count: int) -> None:
        """Wait until so many changes are applied."""

        async def applied() -> bool:
            return await self.applied() >= count

        await brought_about(
            applied, what=f"{count} changes are applied", by=self.workers, seconds=scaled(900)
        )

    async def kill_one_at_work(self, chance: Random, *, made: int) -> None:
        """Kill a worker while there is something to do; another one takes its place."""
        await self.until_applied(min(await self.applied() + 1, made))
        place = chance.randrange(len(self.workers))
        self.workers[place].kill()
        self.workers[place] = self.deployment.start()
        self.kills += 1


@pytest.mark.parametrize(("parts", "changes"), SIZES)
async def test_duplicates_disorder_ties_split_merge_and_a_kill(
    stage: Stage, kinesis_url: str, parts: int, changes: int
):
    """Every record comes up to three times, and what it ends in is what was written, one by one."""
    chance = Random(19)
    async with published_by(stage, kinesis_url, shards=2) as published:
        keys = min(KEYS_MAX, changes * 2 // 5)
        script, stream = Script(published.table.name, chance, keys), published.stream
        target = {"history": "public.orders_history"}
        async with published.deployment(target=target, initial_load="stream") as deployment:
            # who polls an idle shard often takes the time of the emulator, which has one thread
            deployment.settings["poll"]["idle_seconds_max"] = 2
            await deployment.migrate()
            run = Run(published, deployment, [deployment.start() for _ in range(3)])
            merges = splits = 0
            for part in range(parts):
                await stream.put_all(script.disordered(script.changes(changes // parts)))
                match part % 5:
                    case 0 | 2:
                        await stream.split()
                        splits += 1
                    case 1:
                        await run.kill_one_at_work(chance, made=script.made.total())
                    case 3:
                        await stream.merge()
                        merges += 1
                    case _:
                        script.precision = chance.choice(["MILLISECOND", "MICROSECOND"])
            await run.until_applied(script.made.total())

            async def equal() -> bool:
                return await rows(stage) == script.rows

            async def followed() -> bool:
                [ended] = await sql(
                    stage,
                    "select count(adjacent_parent_id), count(*) filter (where state = 'done') "
                    "from replicator.shard",
                )
                return ended == (merges, splits + 2 * merges)

            await brought_about(equal, what="the rows are as written", by=run.workers)
            await brought_about(followed, what="no shard was left out", by=run.workers)
            assert await history(stage) == script.made
            assert await asyncio.gather(*[worker.stop() for worker in run.workers]) == [0, 0, 0]
        assert run.kills == parts // 5
        assert await sql(stage, "select 1 from replicator.gap") == []
        assert await sql(stage, "select 1 from replicator.dead_letter") == []
