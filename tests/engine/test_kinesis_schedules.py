"""Schedules of a table that is read from Kinesis, told one by one: merges, and what is dropped."""

from collections.abc import Iterator
from random import Random

import pytest

from tests.engine.kinesis_simulation import KINESIS, KinesisSimulation
from tests.engine.ledger import Value
from tests.engine.simulation import SOURCE
from tests.engine.test_schedules import HOUR, gaps, position, settled, until, waiting
from tests.support.virtual_time import VirtualLoop


@pytest.fixture
def sim() -> Iterator[KinesisSimulation]:
    simulation = KinesisSimulation(VirtualLoop(), page_records_max=1)
    yield simulation
    simulation.end()


def change(sim: KinesisSimulation, key: str, value: Value, **how: bool) -> None:
    tie, late = how.get("tie", False), how.get("late", False)
    sim.change(key, value, big=False, tie=tie, late=late, precision="MICROSECOND")


def state_of(sim: KinesisSimulation, shard_id: str) -> str | None:
    rows = sim.postgres.data.shards.values()
    return next((row.state for row in rows if row.shard_id == shard_id), None)


@pytest.mark.parametrize("unread", [0, 1])
def test_a_shard_of_a_merge_waits_until_both_of_its_parents_are_read(
    sim: KinesisSimulation, unread: int
):
    sim.start()
    settled(sim)
    parents = [shard.shard_id for shard in sim.kinesis.open_shards()]
    slow, quick = parents[unread], parents[1 - unread]
    [key] = [each for each in "ac" if sim.shard_of(each) == slow][:1]
    for value in range(1, 30):
        change(sim, key, value)
    sim.kinesis.merge(0)
    [child] = [shard.shard_id for shard in sim.kinesis.open_shards()]
    change(sim, key, 99)
    until(sim, lambda: position(sim, slow) is not None)

    until(sim, lambda: state_of(sim, quick) == "done")
    for _ in range(100):
        if sim.parked:
            sim.deliver(sim.parked[0])
        sim.invariants.check()
        assert sim.invariants.violations == []
        if state_of(sim, slow) != "done":
            assert state_of(sim, child) in (None, "waiting")
    assert state_of(sim, child) is not None

    settled(sim)
    assert sim.postgres.data.rows["public.all"][key,] == (key, "99")


def test_what_the_stream_has_dropped_before_it_was_read_is_a_gap(sim: KinesisSimulation):
    """Reading from a place that is gone goes on with what is left, and nothing says so."""
    sim.start()
    settled(sim)
    [worker] = sim.processes
    until(sim, lambda: waiting(sim, "read", worker) is not None)
    change(sim, "a", 1)
    sim.jump(25 * HOUR)
    change(sim, "a", 2)

    settled(sim)

    assert sim.ledger.lost
    assert gaps(sim) != []


def test_of_one_time_what_comes_first_is_not_what_was_done_last(sim: KinesisSimulation):
    """The later of two changes of one moment arrives an hour before the earlier one."""
    sim.start()
    settled(sim)
    change(sim, "a", 1, late=True)
    change(sim, "a", 2, tie=True)
    settled(sim)

    assert sim.postgres.data.rows["public.all"]["a",] == ("a", "2")


def test_a_deletion_that_comes_late_takes_no_newer_row_away(sim: KinesisSimulation):
    sim.start()
    change(sim, "a", 1)
    change(sim, "a", None, late=True)
    change(sim, "a", 2)
    settled(sim)
    sim.repeat(Random(0))
    settled(sim)

    assert sim.postgres.data.rows["public.all"]["a",] == ("a", "2")
    assert sim.postgres.data.tables[SOURCE].stream_arn == f"{KINESIS}/{SOURCE}"
