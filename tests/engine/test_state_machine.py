"""Any order of writes, splits, crashes, thefts, delays and failovers ends at the fold."""

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.engine.ledger import REFUSED
from tests.engine.simulation import Simulation
from tests.support.virtual_time import VirtualLoop

KEYS = st.sampled_from("abcdef")
VALUES = st.sampled_from([0, 1, 2, 3, None, None, REFUSED, "x"])
SEEDS = st.integers(0, 2**16)
INDEXES = st.integers(0, 50)
SHARDS_MAX = 14
PROCESSES_MAX = 4
ONE_DAY = 24 * 3600.0


class Replication(RuleBasedStateMachine):
    """The rules are what happens to the world; every one ends with a look at the invariants."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.sim = Simulation(self.loop)

    @initialize(
        page=st.sampled_from([1, 2, 3, 1000]),
        after=st.sampled_from(["skip", "refuse"]),
        trimmed=st.sampled_from(["vanish", "not_found", "trimmed"]),
    )
    def begin(self, page: int, after: Any, trimmed: Any) -> None:
        self.sim.page_records_max = page
        self.sim.streams.after_trimmed = after
        self.sim.trimmed_shards = trimmed
        self.sim.start()

    @rule(
        changes=st.lists(st.tuples(KEYS, VALUES, st.booleans()), min_size=1, max_size=6),
    )
    def write(self, changes: list[tuple[str, Any, bool]]) -> None:
        for key, value, big in changes:
            self.sim.write(key, value, big=big)

    @rule(steps=st.integers(1, 60), seed=SEEDS, faults=st.sampled_from([0.0, 0.0, 0.1, 0.4]))
    def go(self, steps: int, seed: int, faults: float) -> None:
        self.sim.go(steps, Random(seed), faults=faults)
        self.look()

    @rule(steps=st.integers(40, 200), seed=SEEDS)
    def go_far(self, steps: int, seed: int) -> None:
        self.sim.go(steps, Random(seed))
        self.look()

    @precondition(lambda self: self.sim.parked)
    @rule(
        index=INDEXES,
        fate=st.sampled_from(["answered", "answer lost", "refused", "late"]),
    )
    def deliver(self, index: int, fate: Any) -> None:
        self.sim.deliver(self.sim.parked[index % len(self.sim.parked)], fate)
        self.look()

    @precondition(lambda self: self.sim.in_flight)
    @rule(index=INDEXES)
    def deliver_late(self, index: int) -> None:
        self.sim.deliver_late(self.sim.in_flight[index % len(self.sim.in_flight)])
        self.look()

    @precondition(lambda self: len(self.sim.ledger.table.stream.shards) < SHARDS_MAX)
    @rule(index=INDEXES, into=st.sampled_from([1, 1, 2]), close=st.booleans())
    def split(self, index: int, into: int, close: bool) -> None:
        table = self.sim.ledger.table
        shards = table.open_shards()
        number = shards[index % len(shards)] if shards else None
        if number is None or table.stream.children_of(table.shard(number)):
            return
        table.end_with(number, "empty page" if index % 2 else "records")
        table.split(number, into=into, close=close and self._may_close(number))

    @rule(index=INDEXES)
    def close(self, index: int) -> None:
        """A shard that has children already takes no more writes."""
        table = self.sim.ledger.table
        parents = [
            number
            for number in table.open_shards()
            if table.stream.children_of(table.shard(number)) and self._may_close(number)
        ]
        if parents:
            table.close(parents[index % len(parents)])

    @rule(
        children=st.sampled_from(["right", "nothing", "everything", "itself"]),
        tail=st.booleans(),
        hide=st.booleans(),
    )
    def listing(self, children: Any, tail: bool, hide: bool) -> None:
        """How the source lists its shards; a root that has children may be missing."""
        table = self.sim.ledger.table
        stream = table.stream
        roots = [
            shard.number
            for shard in stream.shards.values()
            if shard.parent is None and stream.children_of(shard)
        ]
        table.listing(children=children, tail=tail, unlisted=roots[:1] if hide else [])

    @precondition(lambda self: len(self.sim.processes) < PROCESSES_MAX)
    @rule(older=st.sampled_from([False, False, True]))
    def start(self, older: bool) -> None:
        self.sim.start(older=older)

    @precondition(lambda self: self.sim.processes)
    @rule(index=INDEXES)
    def crash(self, index: int) -> None:
        self.sim.crash(self._process(index))
        self.look()

    @precondition(lambda self: self.sim.processes)
    @rule(index=INDEXES)
    def stop(self, index: int) -> None:
        self.sim.stop(self._process(index))

    @precondition(lambda self: self.sim.processes)
    @rule(index=INDEXES)
    def freeze_or_thaw(self, index: int) -> None:
        """Nothing that the process sends gets through until it is thawed."""
        process = self.sim.processes[self._process(index)]
        process.frozen = not process.frozen

    @precondition(lambda self: self.sim.processes)
    @rule(index=INDEXES)
    def hold_back_or_let_beat(self, index: int) -> None:
        """The heartbeat of the process stands while it works, until it may beat again."""
        self.sim.processes[self._process(index)].held_back ^= {"seen"}

    @rule()
    def let_another_list(self) -> None:
        """Two workers list the stream, each in the belief to be the only one."""
        self.sim.let_another_list()

    @precondition(lambda self: self.sim.processes and self.sim.leases.rows)
    @rule(index=INDEXES, lease=INDEXES)
    def steal(self, index: int, lease: int) -> None:
        """A lease changes hands at any moment: it gives no safety."""
        keys = sorted(self.sim.leases.rows)
        self.sim.leases.steal(keys[lease % len(keys)], self._process(index))

    @rule()
    def back_up(self) -> None:
        self.sim.standby = self.sim.postgres.copy()

    @precondition(lambda self: self.sim.standby is not None)
    @rule()
    def fail_over(self) -> None:
        self.sim.fail_over()
        self.look()

    @rule(seconds=st.sampled_from([0.5, 3.0, 12.0, 40.0, 200.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.sim.jump(seconds)
        self.look()

    @rule(hours=st.sampled_from([1, 8, 16, 23, 25, 50]))
    def long_outage(self, hours: int) -> None:
        self.sim.jump(hours * 3600.0)
        self.look()

    @rule()
    def accept(self) -> None:
        self.sim.accept_gaps()

    @precondition(lambda self: len(self.sim.ledger.table.streams) < 3)
    @rule(again=st.sampled_from(["re-created", "stream re-enabled"]))
    def another_stream(self, again: str) -> None:
        table = self.sim.ledger.table
        if again == "re-created":
            table.recreate(shards=2)
        else:
            table.disable_stream()
            table.enable_stream()
        self.sim.ledger.note_stream()

    @rule(seed=SEEDS)
    def settle(self, seed: int) -> None:
        self.sim.settle(Random(seed))
        self.look()

    def look(self) -> None:
        invariants = self.sim.invariants
        invariants.check()
        assert not invariants.violations, "\n".join(invariants.violations)

    def teardown(self) -> None:
        try:
            if not self.sim.invariants.violations:
                self.sim.settle(Random(0))
                self.look()
        finally:
            self.sim.end()

    def _may_close(self, number: int) -> bool:
        """Parents close before their children."""
        parent = self.sim.ledger.table.shard(number).parent
        return parent is None or not parent.is_open

    def _process(self, index: int) -> str:
        names = list(self.sim.processes)
        return names[index % len(names)]


def run(
    *,
    examples: int,
    steps: int,
    shrink: bool = True,
    fixed: bool = True,
    machine: type[RuleBasedStateMachine] = Replication,
) -> None:
    """The machine, with the same examples every time if `fixed`.

    `shrink`: find the shortest failing example.
    """
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=fixed,
            database=None,
            print_blob=True,
            phases=phases,
            verbosity=Verbosity.normal,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_schedule_ends_with_source_and_target_equal():
    run(examples=60, steps=30)


@pytest.mark.long
def test_every_long_schedule_ends_with_source_and_target_equal():
    run(examples=3000, steps=60)
