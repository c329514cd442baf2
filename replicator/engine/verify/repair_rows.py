"""Writes the truth for some keys through the row guard, within a snapshot of its own."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from replicator.clock import Clock
from replicator.core.mapping.compile_mapping import TableMapping, TargetMapping
from replicator.core.planning.plan_row_deletions import plan_sweep
from replicator.core.snapshot.scan_responses import ScanPage, item_identity, may_exist
from replicator.core.snapshot.snapshot_state import SegmentAdvance, SegmentClaim
from replicator.core.stream_record import Image
from replicator.core.telemetry_events import unobserved
from replicator.core.values.dynamodb_json import decode_image
from replicator.core.values.row_builder import Row
from replicator.core.verify.row_diff import MustNotBe, expectation
from replicator.engine.ports import SegmentClaims
from replicator.engine.snapshot.plan_and_apply_page import PagePipeline
from replicator.engine.snapshot.read_rate_limit import PacedItems
from replicator.engine.stream.read_and_commit_progress import ReadAndCommitProgress

KEYS_PER_STEP = 100


@dataclass(frozen=True, slots=True)
class Faulty:
    """Items with a differing row in a target."""

    target: TargetMapping
    keys: Sequence[Image]


class Repair:
    """The segments of one repair: number 0 writes rows, each further one removes rows of a target.

    Everything is read after the snapshot began, so whatever the stream has written or deleted since
    then is newer, and the guard keeps it.
    """

    def __init__(
        self,
        mapping: TableMapping,
        snapshot_id: int,
        *,
        items: PacedItems,
        claims: SegmentClaims,
        pages: PagePipeline,
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._snapshot_id = snapshot_id
        self._items = items
        self._claims = claims
        self._pages = pages
        self._clock = clock
        self._never = asyncio.Event()
        self._read_progress = ReadAndCommitProgress(clock.monotonic())

    async def run(self, faulty: Sequence[Faulty]) -> None:
        """Write what is there, then remove what is not; Fenced when the snapshot is over."""
        gone = {each.target.name: list[Row]() for each in faulty}
        claim = await self._claim(0)
        wanted = self._unique(key for each in faulty for key in each.keys)
        steps = [wanted[n : n + KEYS_PER_STEP] for n in range(0, len(wanted), KEYS_PER_STEP)]
        for number, keys in enumerate(steps, 1):
            claim = await self._write(claim, keys, faulty, gone, last=number == len(steps))
        for number, each in enumerate(faulty, 1):
            await self._remove(await self._claim(number), each.target, gone[each.target.name])

    async def _write(
        self,
        claim: SegmentClaim,
        keys: Sequence[Image],
        faulty: Sequence[Faulty],
        gone: dict[str, list[Row]],
        *,
        last: bool,
    ) -> SegmentClaim:
        source_key = self._mapping.source_key
        raw = await self._items.get([key for key in keys if may_exist(key, source_key)])
        images = {item_identity(image, source_key): image for image in map(decode_image, raw)}
        asked = {item_identity(key, source_key): key for key in keys}
        for each in faulty:
            of_target = {item_identity(key, source_key) for key in each.keys}
            for identity in asked.keys() & of_target:
                image = images.get(identity)
                if image is not None and self._mapping.protection is not None:
                    image = self._mapping.protection.image(image)
                must = expectation(each.target, asked[identity], image)
                if isinstance(must, MustNotBe):
                    gone[each.target.name].append(must.key)
        page = ScanPage(raw, None if last else f'"{len(asked)}"', 0.0)
        return await self._pages.process(
            page, claim, self._never, attempting=unobserved, read_progress=self._read_progress
        )

    async def _remove(self, claim: SegmentClaim, target: TargetMapping, keys: list[Row]) -> None:
        """Rows without an item, as `on_delete` says."""
        steps = [keys[n : n + KEYS_PER_STEP] for n in range(0, len(keys), KEYS_PER_STEP)] or [[]]
        for number, some in enumerate(steps, 1):
            plan = plan_sweep(self._mapping, target.name, some, at=self._clock.now())
            advance = SegmentAdvance(
                position=None,
                items=len(some),
                rows=len(some),
                read_units=0.0,
                ended=number == len(steps),
            )
            claim = await self._pages.sweep(
                plan,
                claim,
                advance,
                self._never,
                attempting=unobserved,
                read_progress=self._read_progress,
            )

    async def _claim(self, number: int) -> SegmentClaim:
        return await self._claims.claim(
            self._mapping.spec.name,
            self._snapshot_id,
            number,
            mapping_fingerprint=self._mapping.fingerprint,
        )

    def _unique(self, keys: Iterable[Image]) -> list[Image]:
        source_key = self._mapping.source_key
        return list({item_identity(key, source_key): key for key in keys}.values())
