"""Files of exports, stream and sweep in any order on a real server: rows end as the source says.

A time is a number of changes in the stream; the files of an export are lists in this process.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from replicator.core.planning.plan_snapshot_page import plan_changes, plan_page
from replicator.core.planning.write_plan import WritePlan
from replicator.core.snapshot.export_lines import changes_of_lines
from replicator.core.snapshot.export_manifest import ExportSummary
from replicator.core.snapshot.export_windows import Window
from replicator.core.snapshot.snapshot_state import (
    SegmentAdvance,
    SegmentClaim,
    SnapshotOrigin,
    SnapshotReason,
)
from replicator.core.stream_record import StreamRecord
from replicator.postgres.connection.database import Database
from replicator.postgres.control.snapshot.exports import ExportRecords
from tests.postgres.test_snapshot_schedules import SCHEDULES, SHARD, World, begun, ends_equal
from tests.support.builders import NOON, STREAM, record

Items = dict[str, str]
Line = tuple[str, str | None]


def line_of(key: str, n: str | None) -> bytes:
    """The line of an incremental export."""
    line: dict[str, Any] = {
        "Metadata": {"WriteTimestampMicros": {"N": "1764417600000001"}},
        "Keys": {"pk": {"S": key}},
    }
    if n is not None:
        line["NewImage"] = {"pk": {"S": key}, "n": {"N": n}}
    return json.dumps(line).encode()


def number_of(put: StreamRecord) -> str:
    image: dict[str, Any] = json.loads(bytes(put.new_image or b""))
    return str(image["n"]["N"])


@dataclass
class ExportWorld(World):
    """A world whose snapshots have the given origin; of "changes" the first is a scan."""

    origin: SnapshotOrigin = "export"
    at_first: Items = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    """Where the gaps begin that are not healed."""
    files: dict[tuple[int, int], list[Line]] = field(default_factory=dict)
    """The lines of each export, by snapshot and phase."""
    heals: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.exports = ExportRecords(self.database)

    async def ask(self, reason: SnapshotReason) -> None:
        if reason == "initial":
            self.at_first = dict(self.items)
        origin: SnapshotOrigin = self.origin
        if reason == "initial" and origin == "changes":
            origin = "scan"
        await self.snapshots.ask(self.name, reason, who="test", why=None, origin=origin)

    async def lose(self) -> None:
        before = self.lost
        claim = await self.claims.claim(
            self.name, STREAM, SHARD, mapping_fingerprint=self.mapping.fingerprint
        )
        self.cuts.append(max(claim.position or 0, before))
        await super().lose()

    async def cancel(self) -> None:
        """A person ends a heal, and asks for another: what it was to heal is as lost as before."""
        if any(each.origin == "changes" for each in await self.known() if each.unfinished):
            await self.snapshots.cancel(self.name, who="test", why=None)
            assert await self.fetch("select from replicator.gap where state = 'open'")
            await self.ask("gap")

    async def read_page(self) -> None:
        if self.random.random() < 0.03:
            await self.cancel()
        await super().read_page()

    async def step_snapshot(self) -> None:
        await super().step_snapshot()
        if not await self.fetch("select from replicator.gap where state <> 'healed'"):
            self.cuts.clear()

    async def take(self, claim: SegmentClaim) -> None:
        if claim.origin == "scan":
            await super().take(claim)
        elif claim.phase == 0:
            await self.lay_out(claim)
        else:
            lines = self.files[claim.snapshot_id, claim.phase][claim.share :: claim.parts]
            at = int(claim.position or 0)
            some = lines[at : at + self.random.randint(1, 2)]
            ended = at + len(some) == len(lines)
            advance = SegmentAdvance(
                None if ended else str(at + len(some)), len(some), 0, 0.0, ended=ended
            )
            self.pages.append((claim, self.records(claim, some), advance))

    def records(self, claim: SegmentClaim, lines: list[Line]) -> list[StreamRecord]:
        if claim.origin == "export":
            return [record(0, key, event="insert", n={"N": str(n)}) for key, n in lines]
        return changes_of_lines([line_of(*line) for line in lines])

    def plan(self, claim: SegmentClaim, items: list[StreamRecord]) -> WritePlan:
        if claim.origin == "changes":
            return plan_changes(items, self.mapping, read_at=0.0)
        return plan_page(items, self.mapping, read_at=0.0)

    async def lay_out(self, claim: SegmentClaim) -> None:
        """The exports are complete: the parts that load their files are there."""
        end = len(self.stream)
        wanted: list[Window | datetime] = [NOON]
        files: list[list[Line]] = [[*self.state(end).items()]]
        if claim.origin == "changes":
            self.heals += 1
            windows = self.windows(end)
            day = timedelta(days=1)
            wanted = [Window(NOON + day * begin, NOON + day * end) for begin, end in windows]
            files = [self.lines(*window) for window in windows]
        await self.exports.guarded(claim, NOON)
        await self.exports.want(claim, wanted, None)
        for phase, lines in enumerate(files, 1):
            self.files[claim.snapshot_id, phase] = lines
            await self.exports.asked(claim, phase, "arn")
            summary = ExportSummary("arn", "t", NOON, None, "bucket", "files", len(lines), 1)
            await self.exports.complete(claim, phase, summary, "summary")
        await self.exports.lay_out(claim)

    def windows(self, end: int) -> list[tuple[int, int]]:
        begin = max(0, min(self.cuts) - self.random.randint(0, 2))
        inside = range(begin + 1, end)
        between = self.random.sample(inside, min(len(inside), self.random.randint(0, 2)))
        bounds = [begin, *sorted(between), end]
        found = [*pairwise(bounds)] + [
            (cut, next(bound for bound in bounds if bound > cut)) for cut in self.cuts if cut < end
        ]
        return sorted(found, key=lambda window: (window[1], window[0]), reverse=True)

    def state(self, time: int) -> Items:
        """The items of the table at a time."""
        found = dict(self.at_first)
        for each in self.stream[:time]:
            key = each.keys["pk"]["S"]
            found.pop(key, None)
            if each.event != "remove":
                found[key] = number_of(each)
        return found

    def lines(self, begin: int, end: int) -> list[Line]:
        """The last change of each item in a window; none where it was put and deleted there."""
        old, new = self.state(begin), self.state(end)
        changed = dict.fromkeys(each.keys["pk"]["S"] for each in self.stream[begin:end])
        return [(key, new.get(key)) for key in changed if key in old or key in new]


@pytest.mark.parametrize("schedules", SCHEDULES)
@pytest.mark.parametrize("origin", ["export", pytest.param("changes", marks=pytest.mark.wide)])
async def test_every_order_of_files_batches_and_sweeps_ends_with_the_rows_of_the_source(
    opened: Database, origin: SnapshotOrigin, schedules: int
):
    heals = 0
    for seed in range(schedules):
        world = await begun(ExportWorld(opened, Random(seed), origin=origin))
        await world.run()
        await ends_equal(world, f"seed {seed}")
        heals += world.heals
    assert bool(heals) == (origin == "changes")
