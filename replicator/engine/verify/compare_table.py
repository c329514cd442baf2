"""Compares a source table with the targets, segment by segment, while changes go on."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from replicator.core.mapping.compile_mapping import TableMapping, TargetMapping
from replicator.core.snapshot.scan_responses import Segment
from replicator.core.telemetry_events import unobserved
from replicator.core.values.dynamodb_json import decode_image
from replicator.core.values.row_builder import Row
from replicator.core.verify.key_sketch import KeyBuckets, KeySketch
from replicator.core.verify.results import TargetResult, after_repair
from replicator.core.verify.row_diff import MustNotBe, shows_extra
from replicator.engine.backoff import with_retries
from replicator.engine.ports import Rows
from replicator.engine.snapshot.read_rate_limit import PacedItems
from replicator.engine.task_groups import one_failure
from replicator.engine.verify.confirm_differences import (
    Candidate,
    CurrentItem,
    DifferenceConfirmation,
    RowComparison,
    Tally,
    compare,
    item_of,
)
from replicator.engine.verify.repair_rows import Faulty

SEGMENTS = 16
SEGMENTS_AT_ONCE = 4
SEGMENTS_SAMPLED_FROM_MAX = 1000
ITEMS_PER_SAMPLED_SEGMENT = 100
KEYS_PER_LOOK = 100
"""Items that are read by the keys at a time: as many as one request may ask for."""

Progress = Callable[[int], None]
"""Called with the number of items, or rows without a known item, that were checked more."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Extent of a comparison. `sample`: a share of the table, None for all.

    `items_expected`: about how many there are; it decides how much memory is used.
    """

    items_expected: int
    sample: float | None = None


class TableComparison:
    """One comparison of one table with all of the targets.

    Its memory does not grow with the table: differences are settled when there are many, and
    rows without an item are found by a sketch of keys.
    """

    def __init__(
        self,
        mapping: TableMapping,
        extent: Extent,
        *,
        items: PacedItems,
        rows: Rows,
        settling: DifferenceConfirmation,
        random: Random,
        progress: Progress = unobserved,
    ) -> None:
        self._mapping = mapping
        self._extent = extent
        self._items = items
        self._rows = rows
        self._settling = settling
        self._random = random
        self._progress = progress
        self._tallies = {target.name: Tally() for target in mapping.targets}
        self._sketches = {
            target.name: KeySketch(extent.items_expected)
            for target in mapping.targets
            if shows_extra(target) and extent.sample is None
        }

    async def run(self) -> list[TargetResult]:
        """Compare everything, or the sample; SourceUnavailable, SinkUnavailable."""
        waiting = asyncio.Semaphore(SEGMENTS_AT_ONCE)

        async def scan(segment: Segment) -> None:
            async with waiting:
                await self._scan(segment)

        async with one_failure() as tasks:
            for segment in self._segments():
                tasks.create_task(scan(segment), name=f"segment {segment.number}")
        for target in self._mapping.targets:
            await self._look_for_extra(target)
            await self._look_for_orphans(target)
        await self._settling.settle()
        return [self._result(target) for target in self._mapping.targets]

    @property
    def proved(self) -> list[Faulty]:
        """Keys that a repair has to read, by target; at most PROVED_MAX keys of each."""
        targets = [(target, self._tallies[target.name].proved) for target in self._mapping.targets]
        return [Faulty(target, keys) for target, keys in targets if keys]

    async def look_again(self, faulty: Sequence[Faulty]) -> list[TargetResult]:
        """The results as they are after the given keys were repaired."""
        before = {target.name: self._result(target) for target in self._mapping.targets}
        tallies = {target.name: Tally() for target in self._mapping.targets}
        for each in faulty:
            tally = tallies[each.target.name]
            for start in range(0, len(each.keys), KEYS_PER_LOOK):
                items = await self._settling.read(each.keys[start : start + KEYS_PER_LOOK])
                looks = await compare(self._rows, each.target, items)
                await self._settling.add(
                    Candidate(each.target, tally, look.item)
                    for look in looks
                    if look.difference is not None
                )
        await self._settling.settle()
        return [
            after_repair(before[name], tally.result(self._mapping.spec.name, name))
            for name, tally in tallies.items()
        ]

    def _segments(self) -> Iterable[Segment]:
        share = self._extent.sample
        if share is None:
            return [Segment(number, SEGMENTS) for number in range(SEGMENTS)]
        wanted = self._extent.items_expected // ITEMS_PER_SAMPLED_SEGMENT
        of = max(SEGMENTS, min(SEGMENTS_SAMPLED_FROM_MAX, wanted))
        chosen = self._random.sample(range(of), max(1, round(of * min(share, 1.0))))
        return [Segment(number, of) for number in chosen]

    async def _scan(self, segment: Segment) -> None:
        after: str | None = None
        while True:
            page = await self._items.scan(segment, after=after)
            images = [decode_image(raw) for raw in page.images]
            await self._compare([item_of(image, self._mapping) for image in images])
            self._progress(len(images))
            after = page.last_key
            if after is None:
                return

    async def _compare(self, items: list[CurrentItem]) -> None:
        if not items:
            return
        for target in self._mapping.targets:
            looks = await compare(self._rows, target, items)
            tally, sketch = self._tallies[target.name], self._sketches.get(target.name)
            for look in looks:
                tally.count(look)
                if sketch is not None and (key_hash := look.key_hash) is not None:
                    sketch.add(key_hash)
            await self._doubt(target, looks)

    async def _look_for_extra(self, target: TargetMapping) -> None:
        """Rows that no item of the scan stands for: they are extra, or came since."""
        if not shows_extra(target):
            return
        if self._extent.sample is not None:
            buckets: KeyBuckets | None = KeyBuckets.sampled(self._extent.sample, self._random)
        else:
            buckets = await self._buckets_that_differ(target)
        after: Row | None = None
        while buckets is not None:
            page = await with_retries(partial(self._rows.keys_in, target, buckets, after=after))
            for start in range(0, len(page.keys), KEYS_PER_LOOK):
                await self._look_by_key(target, page.keys[start : start + KEYS_PER_LOOK])
            after = page.last
            if after is None:
                return

    async def _buckets_that_differ(self, target: TargetMapping) -> KeyBuckets | None:
        sketch = self._sketches.pop(target.name)
        after: Row | None = None
        while True:
            page = await with_retries(partial(self._rows.key_hashes, target, after=after))
            for key_hash in page.hashes:
                sketch.add(key_hash)
            after = page.last
            if after is None:
                return sketch.dirty()

    async def _look_by_key(self, target: TargetMapping, keys: list[Row]) -> None:
        """The source is asked by key whether it has the items of the given rows."""
        asked = [target.item_keys(key) for key in keys]
        items = await self._settling.read(asked)
        looks = await compare(self._rows, target, items)
        await self._doubt(target, looks)
        self._progress(len(keys))

    async def _look_for_orphans(self, target: TargetMapping) -> None:
        """Child rows whose parent has no row. An item that must have one is missing already."""
        for child in target.children if shows_extra(target) else ():
            after: Row | None = None
            while True:
                page = await with_retries(partial(self._rows.orphans, target, child, after=after))
                for start in range(0, len(page.keys), KEYS_PER_LOOK):
                    keys = page.keys[start : start + KEYS_PER_LOOK]
                    items = await self._settling.read([target.item_keys(key) for key in keys])
                    looks = await compare(self._rows, target, items)
                    await self._doubt(
                        target, (each for each in looks if isinstance(each.expected, MustNotBe))
                    )
                after = page.last
                if after is None:
                    break

    async def _doubt(self, target: TargetMapping, looks: Iterable[RowComparison]) -> None:
        """Whatever differs is checked again later."""
        tally = self._tallies[target.name]
        await self._settling.add(
            Candidate(target, tally, look.item) for look in looks if look.difference is not None
        )

    def _result(self, target: TargetMapping) -> TargetResult:
        return self._tallies[target.name].result(self._mapping.spec.name, target.name)
