"""Snapshot, stream and sweep in any order on a real server: rows end as the source says."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import TypeVar

import pytest

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.plan_row_deletions import plan_sweep
from replicator.core.planning.plan_snapshot_page import plan_page
from replicator.core.planning.write_plan import WritePlan
from replicator.core.snapshot.snapshot_state import (
    SegmentAdvance,
    SegmentClaim,
    SnapshotFacts,
    SnapshotReason,
)
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.table_and_shard_facts import ListedShard
from replicator.core.stream_record import StreamRecord
from replicator.core.table_spec import TargetSpec
from replicator.errors import Fenced, NotClaimable
from replicator.postgres.connection.database import Database
from replicator.postgres.control.pruning import Pruning
from replicator.postgres.control.snapshot.segment_claims import Segments
from replicator.postgres.control.snapshot.snapshots import Snapshots
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.read.find_stale_rows import StaleRows
from replicator.postgres.write.dead_letter_replay import Replay
from replicator.postgres.write.plan_writer import PostgresSink, SegmentSink
from tests.support.builders import NOON, STREAM, record, table_mapping
from tests.support.specs import column_spec

MENDED = table_mapping(TargetSpec("public.t", columns=(column_spec("n", "n", "numeric"),)))
REGISTER = "update replicator.table_state set mapping_fingerprint = '{}'"
KEYS = "abcdef"
SHARD = "shard-0"
PARTS = 2
SCHEDULES = [10, pytest.param(25, marks=pytest.mark.wide)]
STEPS = 70


@dataclass
class World:
    """A source in memory, a real control schema and target, and what is in the air between."""

    database: Database
    random: Random
    items: dict[str, str] = field(default_factory=dict)
    stream: list[StreamRecord] = field(default_factory=list)
    batches: list[tuple[Claim, list[StreamRecord]]] = field(default_factory=list)
    pages: list[tuple[SegmentClaim, list[StreamRecord], SegmentAdvance]] = field(
        default_factory=list
    )
    held: Claim | None = None
    """What the worker believes, right or wrong."""
    lost: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Of replayed dead letters."""
    kept: set[str] = field(default_factory=set)
    """Keys with a row that the source never lacked since: they must not be swept."""

    def __post_init__(self) -> None:
        self.mapping = table_mapping()
        self.name = self.mapping.spec.name
        self.snapshots = Snapshots(self.database)
        self.segments = Segments(self.database, "worker")
        self.claims = Claims(self.database, "worker")
        self.sink = PostgresSink(self.database, self.mapping)
        self.pages_sink = SegmentSink(self.database, self.mapping)
        self.stale_rows = StaleRows(self.database, self.mapping)

    def change(self, back: str | None = None) -> None:
        key = back or self.random.choice(KEYS)
        number = len(self.stream) + 1
        if back is None and key in self.items and self.random.random() < 0.4:
            del self.items[key]
            self.kept.discard(key)
            self.stream.append(record(number, key, event="remove", at=NOON))
            return
        bad = back is None and self.random.random() < 0.15
        value = f"{number}.5" if bad else str(number)
        self.items[key] = value
        self.stream.append(record(number, key, event="modify", at=NOON, n={"N": value}))

    async def read_stream(self) -> None:
        claim = self.held
        if claim is None or self.random.random() < 0.4:  # else it goes on as it believes
            claim = await self.claims.claim(
                self.name, STREAM, SHARD, mapping_fingerprint=self.mapping.fingerprint
            )
        self.held = claim
        position = max(claim.position or 0, self.lost)
        size = self.random.randint(1, 3)
        if records := self.stream[position : position + size]:
            self.batches.append((claim, records))

    async def apply_batch(self) -> None:
        claim, records = self.batches.pop(self.random.randrange(len(self.batches)))
        plan = plan_batch(records, self.mapping, read_at=0.0)
        last = records[-1].position
        advance = Advance(claim.position, last, last, NOON, NOON)
        await self.sink.apply(plan, claim=claim, advance=advance)
        letters = claim.open_letters or bool(plan.dead_letters)
        self.held = replace(claim, position=last, open_letters=letters)

    async def known(self) -> list[SnapshotFacts]:
        return (await self.snapshots.facts()).get(self.name, [])

    async def step_snapshot(self) -> None:
        for snapshot in await self.known():
            if snapshot.state == "asked":
                rows = await self.rows()
                self.kept = {key for key in rows if key in self.items} - {
                    each.keys["pk"]["S"] for each in self.stream if each.event == "remove"
                }
                await self.snapshots.begin(
                    snapshot, self.mapping.targets, segments=PARTS, items_estimated=None
                )
            elif snapshot.complete:
                await self.snapshots.finish(snapshot)

    async def read_page(self) -> None:
        ready = [part for snapshot in await self.known() for part in snapshot.ready()]
        if not ready:
            return
        part = self.random.choice(ready)
        claim = await self.segments.claim(
            self.name,
            part.snapshot_id,
            part.number,
            mapping_fingerprint=self.mapping.fingerprint,
        )
        if claim.target is not None:
            await self.sweep(claim, claim.target)
        else:
            await self.take(claim)

    async def take(self, claim: SegmentClaim) -> None:
        own = sorted(key for key in self.items if KEYS.index(key) % PARTS == claim.number)
        left = [key for key in own if key > (claim.position or "")]
        keys = left[: self.random.randint(1, 2)]
        items = [record(0, key, event="insert", n={"N": self.items[key]}) for key in keys]
        ended = len(keys) == len(left)
        position = keys[-1] if keys else None
        self.pages.append((claim, items, SegmentAdvance(position, len(items), 0, 1.0, ended)))

    async def apply_page(self) -> None:
        claim, items, advance = self.pages.pop(self.random.randrange(len(self.pages)))
        plan = self.plan(claim, items)
        await self.pages_sink.apply(plan, claim=claim, advance=advance)

    def plan(self, claim: SegmentClaim, items: list[StreamRecord]) -> WritePlan:
        assert claim.origin == "scan"
        return plan_page(items, self.mapping, read_at=0.0)

    async def sweep(self, claim: SegmentClaim, target: str) -> None:
        found = await self.stale_rows.find(target, claim.snapshot_id, claim.position, rows_max=2)
        if found.stale_rows and self.random.random() < 0.5:
            await self.put_back(str(found.stale_rows[0][0]))
        plan = plan_sweep(self.mapping, target, found.stale_rows, at=datetime.now(UTC))
        advance = SegmentAdvance(found.last, found.rows, 0, 0.0, ended=found.last is None)
        await self.maybe(lambda: self.pages_sink.apply(plan, claim=claim, advance=advance))

    async def put_back(self, key: str) -> None:
        """An item comes back, and the stream says so, between the look and the deletion."""
        self.change(key)
        self.held = None
        while (self.held.position or 0 if self.held else 0) < len(self.stream):
            await self.read_stream()
            while self.batches:
                await self.maybe(self.apply_batch)

    async def prune(self) -> None:
        await Pruning(self.database, retention_hours=48).step(0)

    async def replay(self) -> None:
        """Somebody tries all that is open again, with a mapping that takes it."""
        open_ones = await self.fetch("select id from replicator.dead_letter where state = 'open'")
        numbers = [int(str(number)) for (number,) in open_ones]
        await self.fetch(REGISTER.format(MENDED.fingerprint))
        tried = await Replay(self.database).replay(MENDED, numbers, who="test", why=None)
        await self.fetch(REGISTER.format(self.mapping.fingerprint))
        self.outcomes.update(each.outcome for each in tried)

    async def lose(self) -> None:
        """Records leave the stream unread; a snapshot is asked for when that is accepted."""
        claim = await self.claims.claim(
            self.name, STREAM, SHARD, mapping_fingerprint=self.mapping.fingerprint
        )
        self.lost = self.random.randint(max(claim.position or 0, self.lost), len(self.stream))
        await GapsAndHalts(self.database).add_gap(claim, kind="certain", detail="lost")
        await self.ask("gap")

    async def ask(self, reason: SnapshotReason) -> None:
        await self.snapshots.ask(self.name, reason, who="test", why=None)

    async def maybe(self, step: Callable[[], Awaitable[object]]) -> None:
        try:
            await step()
        except (Fenced, NotClaimable):
            self.held = None

    async def run(self) -> None:
        for _ in range(STEPS):
            steps = [self.read_stream, self.read_page, self.step_snapshot, self.prune]
            steps += [self.apply_batch] * 2 if self.batches else []
            steps += [self.apply_page] * 2 if self.pages else []
            steps += [self.lose] if self.random.random() < 0.1 else []
            steps += [self.replay] if self.random.random() < 0.3 else []
            if self.random.random() < 0.4:
                self.change()
            await self.maybe(self.random.choice(steps))
        await self.settle()

    async def settle(self) -> None:
        """Everything in the air lands, the stream is read to its end, the snapshot too."""
        for _ in range(200):
            for step in (self.read_stream, self.step_snapshot, self.prune):
                await self.maybe(step)
            if self.pages and self.random.random() < 0.7:  # some come when all is over
                await self.maybe(self.apply_page)
            elif len(self.pages) < 3:
                await self.maybe(self.read_page)
            while self.batches:
                await self.maybe(self.apply_batch)
            facts = (await ShardStore(self.database).tables())[self.name]
            known = await self.known()
            idle = not (self.pages or self.batches or any(each.unfinished for each in known))
            position = (self.held.position if self.held else None) or 0
            read = max(position, self.lost) == len(self.stream)
            if idle and read and facts.ordering is OrderingMode.FENCE:
                return
        message = "the schedule does not come to rest"
        raise AssertionError(message)

    async def rows(self) -> dict[str, str]:
        async with self.database.connection("looking") as connection:
            found = await connection.fetch("select pk, n::text as n from public.t")
        return {row["pk"]: row["n"] for row in found}

    async def fetch(self, text: str) -> list[tuple[object, ...]]:
        async with self.database.connection("looking") as connection:
            return [tuple(row) for row in await connection.fetch(text)]


W = TypeVar("W", bound=World)


async def begun(world: W) -> W:
    """A world of its own: rows of long ago, a stream that holds some changes, a snapshot due."""
    database = world.database
    async with database.connection("beginning") as connection:
        await connection.execute(
            "truncate public.t, replicator.table_state, replicator.shard, replicator.gap,"
            " replicator.generation, replicator.snapshot, replicator.segment,"
            " replicator.row_version, replicator.dead_letter cascade"
        )
        # a table of one's own may hold more than the mapping says
        await connection.execute("alter table public.t alter n type numeric")
        await connection.execute(
            "insert into replicator.table_state (deployment, source, source_table, stream_arn,"
            " mapping_fingerprint) values ('test', $1, $1, $2, $3)",
            world.name,
            STREAM,
            world.mapping.fingerprint,
        )
        for key in KEYS:
            if world.random.random() < 0.4:
                await connection.execute("insert into public.t (pk, n) values ($1, 0)", key)
    await ShardStore(database).add_shards(world.name, STREAM, [ListedShard(SHARD, None, False)])
    for key in KEYS:
        if world.random.random() < 0.6:
            world.items[key] = "1"
    await world.ask("initial")
    return world


async def ends_equal(world: World, seed: str) -> None:
    """What fits is there, what does not is a dead letter and fits the mended mapping."""
    rows = await world.rows()
    good = {key: value for key, value in world.items.items() if value.isdigit()}
    bad = world.items.keys() - good.keys()
    assert {key: n for key, n in rows.items() if key not in bad} == good, seed
    assert world.kept & bad <= rows.keys(), seed
    gaps = await world.fetch("select distinct state from replicator.gap")
    assert gaps in ([], [("healed",)]), seed
    await world.replay()
    assert await world.rows() == world.items, seed
    assert not await world.fetch("select from replicator.dead_letter where state = 'open'"), seed


@pytest.mark.parametrize("schedules", SCHEDULES)
async def test_every_order_of_pages_batches_and_sweeps_ends_with_the_rows_of_the_source(
    opened: Database, schedules: int
):
    outcomes = Counter[str]()
    for seed in range(schedules):
        world = await begun(World(opened, Random(seed)))
        await world.run()
        await ends_equal(world, f"seed {seed}")
        outcomes += world.outcomes
    assert outcomes.keys() == {"replayed", "refused"}  # what is open was never overtaken


async def test_a_change_closes_the_dead_letter_that_a_scan_wrote_after_its_shard_was_claimed(
    opened: Database,
):
    world = await begun(World(opened, Random(0)))
    world.items = {"a": "1.5"}
    await world.step_snapshot()
    claim = await world.claims.claim(
        world.name, STREAM, SHARD, mapping_fingerprint=world.mapping.fingerprint
    )
    while not world.pages or not world.pages[-1][1]:  # the part that "a" is in
        await world.read_page()
    while world.pages:
        await world.apply_page()
    letters = "select state from replicator.dead_letter"
    assert await world.fetch(letters) == [("open",)]

    world.batches.append((claim, [record(1, "a", event="modify", n={"N": "1"})]))
    await world.apply_batch()

    assert await world.fetch(letters) == [("superseded",)]
