"""Any order of records, repetitions, ties, splits, merges, crashes and delays ends at the newest.

The rules about processes, calls, leases and time are those of every source.
"""

from itertools import count
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.engine.kinesis_simulation import KinesisSimulation
from tests.engine.ledger import Value
from tests.engine.test_state_machine import INDEXES, KEYS, SEEDS, SHARDS_MAX, Replication, run
from tests.support.virtual_time import VirtualLoop


class KinesisReplication(Replication):
    """A table that is read from Kinesis: what comes, comes in any order."""

    sim: KinesisSimulation
    write: ClassVar[None] = None  # type: ignore[assignment]
    close: ClassVar[None] = None  # type: ignore[assignment]
    listing: ClassVar[None] = None  # type: ignore[assignment]
    another_stream: ClassVar[None] = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.sim.end()
        self.loop = VirtualLoop()
        self.sim = KinesisSimulation(self.loop)
        self.values = count(1)

    @initialize(page=st.sampled_from([1, 2, 3, 1000]))
    def begin(self, page: int) -> None:
        self.sim.page_records_max = page
        self.sim.start()

    @rule(
        changes=st.lists(
            st.tuples(KEYS, st.booleans(), st.booleans(), st.booleans(), st.booleans()),
            min_size=1,
            max_size=8,
        ),
        precision=st.sampled_from(["MILLISECOND", "MICROSECOND"]),
    )
    def change(self, changes: list[tuple[str, bool, bool, bool, bool]], precision: Any) -> None:
        """Puts and deletions, each in time or late, of a time of its own or of the one before."""
        for key, is_put, big, tie, late in changes:
            value: Value = next(self.values) if is_put else None
            self.sim.change(key, value, big=big, tie=tie, late=late, precision=precision)

    @rule(key=KEYS, big=st.booleans(), late=st.booleans(), seed=SEEDS)
    def tie(self, key: str, big: bool, late: bool, seed: int) -> None:
        """Two changes of an item at one time; a removal is one of them, or none is."""
        chance = Random(seed)
        for tied in (False, True):
            value: Value = None if chance.random() < 0.3 else next(self.values)
            late_now = late and chance.random() < 0.6
            self.sim.change(key, value, big=big, tie=tied, late=late_now, precision="MICROSECOND")

    @rule(seed=SEEDS)
    def deliver_held(self, seed: int) -> None:
        self.sim.deliver_held(Random(seed))

    @rule(seed=SEEDS, times=st.integers(1, 5))
    def repeat(self, seed: int, times: int) -> None:
        chance = Random(seed)
        for _ in range(times):
            self.sim.repeat(chance)

    @precondition(lambda self: len(self.sim.kinesis.shards) < SHARDS_MAX)
    @rule(index=INDEXES)
    def split(self, index: int) -> None:
        self.sim.kinesis.split(index)

    @precondition(lambda self: len(self.sim.kinesis.shards) < SHARDS_MAX)
    @rule(index=INDEXES)
    def merge(self, index: int) -> None:
        self.sim.kinesis.merge(index)


def test_every_schedule_with_kinesis_ends_at_the_newest_changes():
    run(examples=60, steps=30, machine=KinesisReplication)


@pytest.mark.long
def test_every_long_schedule_with_kinesis_ends_at_the_newest_changes():
    run(examples=2000, steps=60, machine=KinesisReplication)
