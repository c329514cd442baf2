"""A difference is one only when looks in a row at rest agree: streams show changes late."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.snapshot.scan_responses import FoundItems
from replicator.core.stream.table_and_shard_facts import ShardFacts
from replicator.core.stream_record import Image, Page
from replicator.core.values.dynamodb_json import decode_image
from replicator.core.verify.row_diff import Expectation, FoundRow
from replicator.engine.snapshot.read_rate_limit import ReadPacing
from replicator.engine.verify.confirm_differences import (
    Candidate,
    DifferenceConfirmation,
    Tally,
    item_of,
)
from replicator.engine.verify.pending_changes import PendingChanges
from tests.support.builders import KEY, record, shard_facts, shard_name, table_mapping
from tests.support.virtual_time import in_virtual_time, running_clock

Round = Literal["quiet", "shown", "equal"]
"""The row differs and the stream shows no change of it; it shows one; the row is as it must be."""
MAPPING = table_mapping()
IMAGE = json.dumps({"pk": {"S": "a"}, "n": {"N": "1"}}).encode()


@dataclass
class World:
    """An item, its row, its stream and what is known of its shard, as they are in each round."""

    rounds: Sequence[Round]
    number: int = -1
    refused: bool = False
    """PostgreSQL refused the item, which is a dead letter."""

    @property
    def now(self) -> Round:
        return self.rounds[min(self.number, len(self.rounds) - 1)]

    async def shards(self, sources: Sequence[str]) -> list[ShardFacts]:
        self.number += 1
        return [shard_facts(0, state="active", position=self.number)]

    async def iterator(
        self, stream_arn: str, shard_id: str, *, after: int | None, since: object = None
    ) -> str:
        assert (shard_id, after) == (shard_name(0), self.number)
        return "iterator"

    async def read(self, iterator: str) -> Page:
        return Page([record(99, "a", n={"N": "1"})] if self.now == "shown" else [], None)

    async def get(self, keys: Sequence[Image]) -> FoundItems:
        return FoundItems([memoryview(IMAGE)], [], 1.0)

    async def compare(
        self, target: TargetMapping, expected: Sequence[Expectation]
    ) -> list[FoundRow | None]:
        return [FoundRow(1, deleted=False, differing=() if self.now == "equal" else ("n",))]

    async def dead_lettered(
        self, target: TargetMapping, item_keys: Collection[str]
    ) -> Collection[str]:
        return item_keys if self.refused else ()


@dataclass
class Busy(World):
    """The item changes before every look, and its row follows right behind it."""

    changes: int = 0
    after: int | None = None

    async def shards(self, sources: Sequence[str]) -> list[ShardFacts]:
        return [shard_facts(0, state="active", position=self.changes)]

    async def iterator(
        self, stream_arn: str, shard_id: str, *, after: int | None, since: object = None
    ) -> str:
        self.after = after
        return "iterator"

    async def read(self, iterator: str) -> Page:
        numbers = range((self.after or 0) + 1, self.changes + 1)
        return Page([record(number, "a", n={"N": "1"}) for number in numbers], None)

    async def compare(
        self, target: TargetMapping, expected: Sequence[Expectation]
    ) -> list[FoundRow | None]:
        self.changes += 1
        return await super().compare(target, expected)


async def settled(world: Any) -> tuple[int, int]:
    """How many differences were proved, and how many are in flight."""
    tally = await tallied(world)
    return tally.kinds.total(), tally.in_flight


async def tallied(world: Any) -> Tally:
    clock, tally = running_clock(), Tally()
    unapplied = PendingChanges(
        "orders", KEY, stream_arn=None, source=world, positions=world, clock=clock
    )
    items = ReadPacing(1e9, clock).reader(world)
    settling = DifferenceConfirmation(MAPPING, items=items, rows=world, unapplied=unapplied)
    item = item_of(decode_image(memoryview(IMAGE)), MAPPING)
    await settling.add([Candidate(MAPPING.targets[0], tally, item)])
    await settling.settle()
    return tally


@pytest.mark.parametrize(
    "rounds",
    [("quiet", "equal"), ("quiet", "shown", "equal"), ("quiet", "shown", "quiet", "equal")],
)
@in_virtual_time
async def test_a_change_that_the_stream_shows_late_is_no_difference(rounds: tuple[Round, ...]):
    assert await settled(World(rounds)) == (0, 0)


@in_virtual_time
async def test_what_differs_in_two_looks_at_rest_is_a_difference():
    assert await settled(World(["quiet", "quiet"])) == (1, 0)
    assert await settled(World(["shown", "quiet", "shown", "quiet", "quiet"])) == (1, 0)


@in_virtual_time
async def test_what_goes_on_changing_is_in_flight():
    assert await settled(World(["shown"])) == (0, 1)


@in_virtual_time
async def test_a_change_that_is_applied_right_after_a_look_was_in_flight():
    assert await settled(Busy(["quiet"])) == (0, 1)


@in_virtual_time
async def test_an_item_that_is_a_dead_letter_is_rejected_and_no_difference():
    tally = await tallied(World(["quiet", "quiet"], refused=True))

    assert (tally.rejected, tally.kinds.total(), tally.proved) == (1, 0, [])
