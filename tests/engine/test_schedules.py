"""Schedules that once ended wrong, or that a simpler engine gets wrong, told one by one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from tests.engine.simulation import SOURCE, Call, Simulation, mapping
from tests.support.virtual_time import VirtualLoop

HOUR = 3600.0


@pytest.fixture
def sim() -> Iterator[Simulation]:
    simulation = Simulation(VirtualLoop(), page_records_max=1)
    yield simulation
    simulation.end()


def until(
    sim: Simulation,
    condition: Callable[[], bool],
    *,
    without: str = "",
    held: Call | None = None,
) -> None:
    """Let calls through, in order, until the condition holds; one, or those of a worker, wait."""
    for _ in range(2_000):
        if condition():
            return
        ready = [call for call in sim.parked if call.worker != without and call is not held]
        if ready:
            sim.deliver(ready[0])
        else:
            sim.pass_time()
    raise AssertionError("it does not come to this")


def waiting(sim: Simulation, name: str, worker: str) -> Call | None:
    return next((c for c in sim.parked if (c.name, c.worker) == (name, worker)), None)


def settled(sim: Simulation) -> None:
    sim.settle(Random(0))
    assert sim.invariants.violations == []
    sim.invariants.check()
    assert sim.invariants.violations == []


def gaps(sim: Simulation) -> list[str | None]:
    return [gap.facts.shard_id for gap in sim.postgres.data.gaps]


def test_what_a_failover_lost_of_a_shard_at_rest_is_read_again(sim: Simulation):
    """Nothing is ever written to the shard again: only its looks can see that it was set back."""
    sim.start()
    settled(sim)
    sim.standby = sim.postgres.copy()
    sim.write("a", 1)
    settled(sim)

    sim.fail_over()

    settled(sim)
    assert sim.ledger.differences(sim.postgres.data) == []


def test_a_shard_whose_lease_was_taken_and_whose_claim_failed_is_read_on(sim: Simulation):
    """The lease is the second worker's, which stops believing in it before it claims again, and the
    claim is still the first one's: each takes the shard for the other's, and both live."""
    sim.start()
    settled(sim)
    sim.standby = sim.postgres.copy()
    sim.start()
    second = list(sim.processes)[-1]
    until(sim, lambda: waiting(sim, "claim", second) is not None)
    for key in "abcdefgh":
        sim.write(key, 1)

    sim.fail_over()
    sim.jump(12.0)

    settled(sim)
    assert sim.ledger.differences(sim.postgres.data) == []


def test_a_gap_that_was_accepted_long_ago_does_not_cover_another_one(sim: Simulation):
    """A shard that can still be read is never closed for what was accepted once."""
    sim.start()
    [worker] = sim.processes
    until(sim, lambda: waiting(sim, "read", worker) is not None)
    sim.jump(25 * HOUR)
    until(sim, lambda: len(gaps(sim)) == 1)
    sim.accept_gaps()
    sim.jump(25 * HOUR)
    sim.write("a", 1)
    sim.write("b", 1)

    settled(sim)

    assert len(gaps(sim)) > 1
    assert {row.state for row in sim.postgres.data.shards.values()} == {"active"}


def test_a_gap_waits_for_somebody_to_accept_it(sim: Simulation):
    sim.start()
    [worker] = sim.processes
    until(sim, lambda: waiting(sim, "read", worker) is not None)
    sim.jump(25 * HOUR)
    until(sim, lambda: any(gap.state == "open" for gap in sim.postgres.data.gaps))

    for _ in range(2):
        until(sim, lambda: waiting(sim, "seen", worker) is not None)
        until(sim, lambda: waiting(sim, "seen", worker) is None)

    assert "open" in {gap.state for gap in sim.postgres.data.gaps}
    assert "gap" in {row.state for row in sim.postgres.data.shards.values()}
    settled(sim)


def test_a_gap_is_accepted_at_once_where_the_configuration_says_so(sim: Simulation):
    sim.on_gap = "continue"
    sim.start()
    [worker] = sim.processes
    until(sim, lambda: waiting(sim, "read", worker) is not None)
    sim.jump(25 * HOUR)

    until(sim, lambda: any(gap.state == "accepted" for gap in sim.postgres.data.gaps))

    settled(sim)


def test_a_worker_that_slept_cannot_declare_a_gap_in_what_another_reads(sim: Simulation):
    sim.start()
    [sleeper] = sim.processes
    settled(sim)
    until(sim, lambda: waiting(sim, "looked", sleeper) is not None)
    until(sim, lambda: waiting(sim, "looked", sleeper) is None)
    until(sim, lambda: waiting(sim, "read", sleeper) is not None)
    sim.processes[sleeper].frozen = True
    sim.start()
    for _ in range(26):
        sim.jump(HOUR)
        until(sim, lambda: shards_are_at_head_since(sim, HOUR), without=sleeper)
    assert gaps(sim) == []

    sim.processes[sleeper].frozen = False
    sim.go(200, Random(0))
    settled(sim)

    assert gaps(sim) == []


def shards_are_at_head_since(sim: Simulation, seconds: float) -> bool:
    now = sim.clock.now()
    rows = sim.postgres.data.shards.values()
    return all(r.head_at is not None and (now - r.head_at).total_seconds() < seconds for r in rows)


def test_a_request_that_slept_for_a_day_is_judged_by_its_answer(sim: Simulation):
    """What was written behind the head is trimmed when the request arrives, and is not skipped."""
    sim.start()
    [worker] = sim.processes
    settled(sim)
    sim.write("a", 1)
    sim.jump(23 * HOUR)
    sim.write("a", 2)
    sim.jump(8 * HOUR)
    for name in ("iterator", "read", "apply"):
        while (call := waiting(sim, name, worker)) is not None:
            sim.deliver(call)

    settled(sim)

    assert gaps(sim) != []


def test_a_parent_that_nobody_lists_is_owed_from_its_first_batch_on(sim: Simulation):
    """It takes writes still; what is trimmed while its reader sleeps is not skipped."""
    sim.streams.after_trimmed = "skip"
    table = sim.ledger.table
    parent = table.owner({"pk": {"S": "a"}})
    table.split(parent, close=False)
    table.listing(unlisted=[parent])
    sim.start()
    sim.write("a", 1)
    [worker] = sim.processes
    until(sim, lambda: position(sim, table.shard_id(parent)) is not None)
    until(sim, lambda: waiting(sim, "read", worker) is not None)
    sim.write("a", 2)

    # a machine that is put to sleep, whose monotonic clock stands meanwhile
    sim.clock.skew += timedelta(hours=25)
    sim.jump(0)
    sim.write("a", 3)
    for name in ("read", "iterator", "read", "apply"):
        while (call := waiting(sim, name, worker)) is not None:
            sim.deliver(call)
    settled(sim)

    assert table.shard_id(parent) in gaps(sim)


def position(sim: Simulation, shard_id: str) -> int | None:
    rows = sim.postgres.data.shards.values()
    return next((row.position for row in rows if row.shard_id == shard_id), None)


def test_a_checkpoint_is_never_a_position(sim: Simulation):
    """Whatever the lease says, reading goes on where PostgreSQL stands."""
    sim.start()
    sim.write("a", 1)
    settled(sim)
    [worker] = sim.processes
    sim.crash(worker)
    for number in range(2, 6):
        sim.write("a", number)
    newest = max(entry.number for entries in sim.ledger.entries.values() for entry in entries)
    for key, lease in sim.leases.rows.items():
        if lease.checkpoint.isdigit():
            sim.leases.rows[key] = replace(lease, checkpoint=str(newest))
    sim.invariants.rewound = True  # its checkpoints are ahead

    settled(sim)

    assert sim.ledger.unread(sim.postgres.data) == []


def test_a_checkpoint_waits_for_its_commit(sim: Simulation):
    sim.start()
    [worker] = sim.processes
    settled(sim)
    sim.write("a", 1)
    until(sim, lambda: waiting(sim, "apply", worker) is not None)

    started = sim.clock.monotonic()
    while sim.clock.monotonic() < started + 5:
        ready = [call for call in sim.parked if call.name != "apply"]
        if ready:
            sim.deliver(ready[0])
        else:
            sim.pass_time()
        sim.invariants.check()
        assert sim.invariants.violations == []
    settled(sim)


def test_who_was_fenced_asks_for_its_lease_before_it_claims_again(sim: Simulation):
    """Or two would fence each other until one of them looks at the leases."""
    sim.start()
    sim.write("a", 1)
    settled(sim)
    [process] = sim.processes.values()
    until(sim, lambda: waiting(sim, "polled_shards", process.name) is not None)
    for key in sim.leases.rows:
        sim.leases.steal(key, "thief")
    for name in list(sim.postgres.data.shards):
        sim.postgres.claim(SOURCE, name, mapping().fingerprint, "thief")
    epochs = {name: row.epoch for name, row in sim.postgres.data.shards.items()}
    look = waiting(sim, "polled_shards", process.name)
    sim.write("a", 2)

    until(sim, lambda: not process.worker.holding.held, held=look)

    assert {name: row.epoch for name, row in sim.postgres.data.shards.items()} == epochs


def test_a_stream_whose_end_a_failover_has_lost_is_read_again_before_the_next_one(sim: Simulation):
    """All of it was seen read, and before the next one is begun PostgreSQL knows less."""
    sim.start()
    settled(sim)
    sim.standby = sim.postgres.copy()
    [worker] = sim.processes
    sim.write("a", 1)
    another_stream(sim)
    until(sim, lambda: all(row.finished for row in sim.postgres.data.shards.values()))
    until(sim, lambda: waiting(sim, "describe", worker) is not None)
    until(sim, lambda: waiting(sim, "listing", worker) is not None)

    sim.fail_over()

    settled(sim)
    assert len(sim.ledger.streams) == len(sim.postgres.data.generations) == 2


def test_a_worker_that_slept_skips_no_stream_that_began_meanwhile(sim: Simulation):
    """It has seen the end of the first one; the second one is current, and unread."""
    sim.start()
    [sleeper] = sim.processes
    settled(sim)
    until(sim, lambda: waiting(sim, "describe", sleeper) is not None)
    sim.processes[sleeper].frozen = True
    sim.start()
    another_stream(sim)
    second = sim.ledger.table.stream_arn
    until(sim, lambda: knows_shards_of(sim, second), without=sleeper)
    sim.write("a", 1)
    another_stream(sim)

    sim.processes[sleeper].frozen = False
    until(sim, lambda: waiting(sim, "describe", sleeper) is None)
    while (call := next((c for c in sim.parked if c.worker == sleeper), None)) is not None:
        sim.deliver(call)

    settled(sim)
    assert len(sim.ledger.streams) == len(sim.postgres.data.generations) == 3


def knows_shards_of(sim: Simulation, stream_arn: str) -> bool:
    return any(row.stream_arn == stream_arn for row in sim.postgres.data.shards.values())


def another_stream(sim: Simulation) -> None:
    sim.ledger.table.recreate()
    sim.ledger.note_stream()


def test_a_child_whose_parent_a_failover_has_lost_waits_for_its_grandparent(sim: Simulation):
    """Only the child is new to who listed both; the parent would be named without its own."""
    oldest, parent = a_parent_that_is_not_backed_up(sim)
    [worker] = sim.processes
    until(sim, lambda: waiting(sim, "listing", worker) is None)
    child = sim.ledger.table.roll_over(parent, close=False)
    until(sim, lambda: waiting(sim, "listing", worker) is not None)

    sim.fail_over()

    is_read_behind(sim, oldest, parent, child)


def test_a_parent_of_an_earlier_page_that_a_failover_has_lost_is_not_named_alone(sim: Simulation):
    sim.ledger.table.listing(tail=True)
    oldest, parent = a_parent_that_is_not_backed_up(sim)
    [worker] = sim.processes
    until(sim, lambda: waiting(sim, "listing", worker) is not None)  # the page behind it
    child = sim.ledger.table.roll_over(parent, close=False)

    sim.fail_over()

    is_read_behind(sim, oldest, parent, child)


def a_parent_that_is_not_backed_up(sim: Simulation) -> tuple[int, int]:
    table = sim.ledger.table
    sim.start()
    settled(sim)
    sim.standby = sim.postgres.copy()
    oldest = table.owner({"pk": {"S": "a"}})
    parent = table.roll_over(oldest, close=False)
    until(sim, lambda: is_known(sim, table.shard_id(parent)))
    return oldest, parent


def is_read_behind(sim: Simulation, oldest: int, parent: int, child: int) -> None:
    table = sim.ledger.table
    until(sim, lambda: is_known(sim, table.shard_id(child)))
    rows = {row.shard_id: row for row in sim.postgres.data.shards.values()}
    assert rows[table.shard_id(parent)].parent_id == table.shard_id(oldest)
    sim.write("a", 1)
    table.close(oldest)
    sim.write("a", 2)
    settled(sim)


def is_known(sim: Simulation, shard_id: str) -> bool:
    return any(row.shard_id == shard_id for row in sim.postgres.data.shards.values())


def test_a_worker_that_slept_stops_no_table_for_a_stream_that_another_follows(sim: Simulation):
    """It has seen the first stream end, disabled; meanwhile the table has another, and is read."""
    sim.start()
    [sleeper] = sim.processes
    settled(sim)
    sim.ledger.table.disable_stream()
    until(sim, lambda: waiting(sim, "halt", sleeper) is not None)
    sim.processes[sleeper].frozen = True
    sim.ledger.table.enable_stream()
    sim.ledger.note_stream()
    second = sim.ledger.table.stream_arn
    sim.start()
    until(sim, lambda: knows_shards_of(sim, second), without=sleeper)

    sim.processes[sleeper].frozen = False
    until(sim, lambda: waiting(sim, "halt", sleeper) is None)

    assert not any(table.halted for table in sim.postgres.data.tables.values())
    sim.write("a", 1)
    settled(sim)


def test_a_failure_is_about_the_table_as_it_was_when_the_attempt_began(sim: Simulation):
    """The last answer of a look at a disabled stream is late; the worker knows the next one."""
    sim.start()
    [name] = sim.processes
    settled(sim)
    sim.ledger.table.disable_stream()
    until(sim, lambda: all(row.finished for row in sim.postgres.data.shards.values()))
    until(sim, lambda: waiting(sim, "describe", name) is not None)
    until(sim, lambda: waiting(sim, "listing", name) is not None)
    late = waiting(sim, "listing", name)
    assert late is not None
    sim.ledger.table.enable_stream()
    sim.ledger.note_stream()
    second = sim.ledger.table.stream_arn
    sim.start()
    [table] = sim.processes[name].worker.tables.values()
    until(sim, lambda: table.stream_arn == second, held=late)

    sim.deliver(late)

    until(sim, lambda: waiting(sim, "halt", name) is not None)
    settled(sim)
    assert not any(row.halted for row in sim.postgres.data.tables.values())


def owners(sim: Simulation) -> dict[str, str | None]:
    return {lease.key: lease.owner for lease in sim.leases.rows.values()}


def claims(sim: Simulation) -> dict[str, int]:
    return {row.shard_id: row.epoch for row in sim.postgres.data.shards.values()}


def rests(sim: Simulation, seconds: float) -> None:
    """Everything that is sent gets through at once, but what is held back."""
    until_then = sim.loop.time() + seconds
    while sim.loop.time() < until_then:
        ready = [call for call in sim.parked if not sim.is_held_up(call)]
        if ready:
            sim.deliver(ready[0])
        else:
            sim.pass_time()
        assert sim.invariants.violations == []


def test_of_two_that_list_a_stream_neither_proves_what_the_other_has_to_add(sim: Simulation):
    """The first has read the listing before a shard divided, and ends it while another lists."""
    sim.start()
    settled(sim)
    [first] = sim.processes
    until(sim, lambda: waiting(sim, "end_listing", first) is not None)
    late = waiting(sim, "end_listing", first)
    assert late is not None
    sim.start()
    second = next(name for name in sim.processes if name != first)
    sim.ledger.table.split(0, into=2, close=True)
    sim.write("a", 1)
    sim.let_another_list()
    until(sim, lambda: waiting(sim, "listing", second) is not None, held=late)
    listing = sim.postgres.data.listings[SOURCE]
    listed_at = listing.listed_at

    sim.deliver(late)

    assert (listing.by, listing.listed_at) == (second, listed_at)
    settled(sim)


def test_an_owner_whose_heartbeat_stands_while_it_works_keeps_its_shards(sim: Simulation):
    """It writes its leases all the same, and who sees that takes nothing."""
    sim.start()
    settled(sim)
    [worker] = sim.processes
    sim.start()
    rests(sim, 60)
    sim.processes[worker].held_back.add("seen")
    held, claimed = owners(sim), claims(sim)
    assert worker in held.values()

    rests(sim, 120)
    sim.write("a", 1)

    assert (owners(sim), claims(sim)) == (held, claimed)
    sim.crash(worker)
    rests(sim, 60)
    assert worker not in owners(sim).values()
    settled(sim)


@pytest.mark.parametrize("older_first", [True, False])
def test_workers_of_the_older_and_the_newer_kind_take_nothing_from_each_other(
    sim: Simulation, older_first: bool
):
    """One judges leases by their counters, the other by heartbeats."""
    sim.start(older=older_first)
    settled(sim)
    sim.start(older=not older_first)
    rests(sim, 60)
    held, claimed = owners(sim), claims(sim)
    assert len(set(held.values())) == 2

    rests(sim, 120)
    sim.write("a", 1)

    assert (owners(sim), claims(sim)) == (held, claimed)
    sim.crash(next(iter(sim.processes)))
    rests(sim, 60)
    assert set(owners(sim).values()) == set(sim.processes)
    settled(sim)


def test_a_finished_shard_that_is_still_listed_is_not_forgotten_and_found_anew(sim: Simulation):
    table = sim.ledger.table
    sim.start()
    [name] = sim.processes
    sim.write("a", 1)
    settled(sim)
    parent = table.owner({"pk": {"S": "a"}})
    table.roll_over(parent)
    sim.write("a", 2)
    settled(sim)
    shard_id = table.shard_id(parent)
    [row] = [row for row in sim.postgres.data.shards.values() if row.shard_id == shard_id]
    assert row.done_at is not None
    row.done_at -= timedelta(hours=49)

    for _ in range(2):
        until(sim, lambda: waiting(sim, "describe", name) is not None)
        until(sim, lambda: waiting(sim, "describe", name) is None)

    settled(sim)
    assert row in sim.postgres.data.shards.values()
    assert row.done_at is not None
