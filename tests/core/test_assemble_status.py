"""What a worker says of a deployment: its own shards, those of others, those of nobody."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from replicator.core.status.assemble_status import Knowledge, overview
from replicator.core.status.deployment_status import TableStatus, WorkerStatus
from replicator.core.status.table_progress import HEAD_PROOF, Standing, TableProgress
from replicator.core.status.worker_report import (
    Failure,
    LateShard,
    TableReport,
    WorkerReport,
)
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.table_and_shard_facts import GapFacts, ShardFacts, TableFacts
from tests.support.builders import NOON, STREAM, shard_facts, shard_name

ORDERS = TableFacts(
    "orders", STREAM, OrderingMode.FENCE, None, "f", "stream", NOON, False, False, None, None, ()
)

ACCEPT = 'replicator gaps accept --table orders --why "..."'
HEAL_OR_ACCEPT = (
    '`replicator snapshot --table orders --why "..."` loads it again, '
    f"`{ACCEPT}` leaves what is lost as it is"
)


def tells(
    name: str,
    *late: LateShard,
    ago: float = 1.0,
    fingerprint: str = "f",
    listed: float | None = 5.0,
    **facts: Any,
) -> WorkerStatus:
    """A worker that lives and told a second ago that all it works on is read."""
    table = TableReport(fingerprint, 1, listed, read_seconds=0.5, late=late, **facts)
    report = WorkerReport(NOON, looked_seconds=1.0, tables={"orders": table})
    return WorkerStatus(name, 1, ago, report=report, told_seconds_ago=ago)


def known(*shards: ShardFacts, **facts: Any) -> Knowledge:
    workers = facts.pop("workers", (tells("other"),))
    living = frozenset(worker.id for worker in workers if worker.seen_seconds_ago < 60)
    return replace(Knowledge("shop", {"orders": ORDERS}, shards, {}, workers, living), **facts)


def seen(knowledge: Knowledge, *, at: datetime = NOON) -> TableStatus:
    [table] = overview(knowledge, now=at).tables
    return table


def late(number: int = 1, *, read: float = 0.5, **facts: Any) -> LateShard:
    return LateShard(STREAM, shard_name(number), read, **facts)


def idle(owner: str | None, **facts: Any) -> ShardFacts:
    """A shard that was seen at its head ten seconds ago."""
    then = NOON - timedelta(seconds=10)
    return shard_facts(
        1, state="active", owner=owner, safe_at=then, head_at=then, polled_at=then, **facts
    )


def test_a_shard_that_nobody_owns_is_behind_by_the_age_of_its_position():
    hour = NOON - timedelta(hours=1)
    shard = shard_facts(1, safe_at=hour, head_at=hour)

    table = seen(known(shard))

    assert (table.lag_seconds, table.retention_headroom_seconds) == (3600, 23 * 3600)
    assert table.shards == {"unowned": 1}


def test_a_shard_whose_owner_died_is_behind_though_it_was_at_its_head():
    assert seen(known(idle("other"))).lag_seconds == 0
    assert seen(known(idle("dead"))).lag_seconds == 10
    assert seen(known(idle(None))).lag_seconds == 10


def test_a_shard_of_another_worker_counts_as_at_its_head_for_a_while_only():
    later = NOON + HEAD_PROOF

    assert seen(known(idle("other")), at=later).lag_seconds == HEAD_PROOF.total_seconds() + 10


def test_an_idle_table_is_not_behind_however_old_its_last_change():
    table = seen(known(idle("other")))

    assert (table.lag_seconds, table.retention_headroom_seconds) == (0, 24 * 3600)
    assert table.poll_age_seconds == 1.5


def test_a_source_that_does_not_answer_makes_lag_grow_at_once_though_the_shard_was_at_its_head():
    table = seen(known(idle("other"), workers=(tells("other", late(read=8.0)),)))

    assert (table.lag_seconds, table.poll_age_seconds) == (10, 9.0)


def test_what_was_read_and_is_not_committed_is_behind_by_its_own_age():
    then = NOON - timedelta(seconds=4)
    waits = late(pending_seconds=3.0, pending_at=then)

    assert seen(known(idle("other"), workers=(tells("other", waits),))).lag_seconds == 4
    undated = late(pending_seconds=3.0)
    assert seen(known(idle("other"), workers=(tells("other", undated),))).lag_seconds == 10


def test_a_worker_that_tells_no_more_or_has_another_mapping_proves_no_head():
    assert seen(known(idle("other"), workers=(tells("other", ago=16.0),))).lag_seconds == 10
    stranger = tells("other", fingerprint="older")
    assert seen(known(idle("other"), workers=(stranger,))).lag_seconds == 10
    assert seen(known(idle("other"), workers=(WorkerStatus("other", 1, 1.0),))).lag_seconds == 10


def test_a_shard_that_ended_and_has_no_child_yet_may_hide_changes():
    ended = idle("other", done_at=NOON - timedelta(seconds=5))
    ended = replace(ended, state="done", owner=None)

    table = seen(known(ended))

    assert table.lag_seconds == 10
    assert table.proof.ends is not None


def test_a_shard_that_ended_stands_for_the_failure_of_the_listing_that_would_show_its_child():
    then = NOON - timedelta(seconds=25)
    ended = replace(idle("other", done_at=then), state="done", owner=None)

    def ends(failed: float, *, listed: float) -> Standing | None:
        failures = {"discover orders": Failure("denied", failed, "grant it")}
        one = tells("one", listed=listed, failures=failures)
        return seen(known(ended, workers=(one, tells("other", listed=None)))).proof.ends

    failing, listed_since = ends(3.0, listed=40.0), ends(40.0, listed=3.0)

    assert failing is not None
    assert listed_since is not None
    assert (failing.seconds, failing.failure, failing.remedy) == (25.0, "denied", "grant it")
    assert (listed_since.seconds, listed_since.failure) == (25.0, None)


def test_a_failure_before_the_newest_success_explains_nothing():
    failures = {"leases": Failure("throttled", 30.0, "raise it")}

    def proof(*, looked: float) -> TableProgress:
        one = tells("one")
        assert one.report is not None
        said = replace(one.report, looked_seconds=looked, failures=failures)
        return seen(known(idle("one"), workers=(replace(one, report=said),))).proof

    assert (proof(looked=40.0).look_failure, proof(looked=40.0).look_remedy) == (
        "throttled",
        "raise it",
    )
    assert proof(looked=3.0).look_failure is None


def test_a_failure_before_the_last_look_of_a_worker_without_the_table_explains_nothing():
    failures = {"look": Failure("connection refused", 80.0)}

    def failure(*, looked: float | None) -> str | None:
        report = WorkerReport(NOON, looked, failures=failures)
        worker = WorkerStatus("one", 1, 1.0, report=report, told_seconds_ago=1.0)
        return seen(known(idle(None), workers=(worker,))).proof.look_failure

    assert failure(looked=3.0) is None
    assert failure(looked=90.0) == "connection refused"
    assert failure(looked=None) == "connection refused"


def test_what_a_worker_tells_of_its_shards_has_the_age_of_its_word():
    waits = late(read=1.0, pending_seconds=4.0)
    workers = (tells("other", waits, ago=34.0),)

    proof = seen(known(idle("other"), workers=workers)).proof
    told = seen(known(idle("other"), workers=(tells("other", ago=34.0),))).proof.unread

    assert proof.uncommitted is not None
    assert (proof.uncommitted.seconds, proof.uncommitted.told_seconds) == (38.0, 34.0)
    assert told is not None
    assert (told.seconds, told.told_seconds) == (34.5, 34.0)


def test_a_row_that_is_as_old_as_the_word_of_a_dead_worker_does_not_say_that_it_forgot_the_shard():
    then, hour = NOON - timedelta(seconds=63), NOON - timedelta(hours=1)
    shard = replace(idle("other"), polled_at=then, found_at=hour)

    unread = seen(known(shard, workers=(tells("other", ago=34.0),))).proof.unread

    assert unread is not None
    assert unread.seconds == 34.5


def test_a_listing_a_minute_after_the_end_proves_that_a_shard_has_no_child_beside_others():
    hour = NOON - timedelta(hours=1)
    ended = shard_facts(2, state="done", done_at=hour, safe_at=hour)

    assert seen(known(idle("other"), ended)).lag_seconds == 0
    silent = (tells("other", listed=None),)
    assert seen(known(idle("other"), ended, workers=silent)).lag_seconds == 3600


def test_where_every_shard_has_ended_the_stream_has_one_that_is_not_known():
    hour = NOON - timedelta(hours=1)
    ended = shard_facts(1, state="done", done_at=hour, safe_at=hour)

    assert seen(known(ended)).lag_seconds == 3600


def test_a_shard_whose_owner_has_forgotten_it_is_not_read():
    then = NOON - timedelta(minutes=5)
    hour = NOON - timedelta(hours=1)
    forgotten = replace(idle("other"), polled_at=then, found_at=hour)

    unread = seen(known(forgotten)).proof.unread
    assert unread is not None
    assert unread.seconds == 300


def test_a_poll_on_record_counts_where_the_shard_has_an_owner_however_silent():
    assert seen(known(idle("one"))).proof.polled_seconds == 10.0
    assert seen(known(idle(None))).proof.polled_seconds is None


def test_a_table_that_was_never_listed_has_no_known_lag():
    assert seen(known()).lag_seconds is None


def test_a_clock_that_is_behind_makes_nothing_negative():
    assert seen(known(idle(None)), at=NOON - timedelta(hours=1)).lag_seconds == 0


def test_workers_hold_the_shards_they_have_claimed():
    workers = (tells("other"), WorkerStatus("dead", 0, 900.0))
    shards = (idle("other"), shard_facts(2, state="active", owner="dead", safe_at=NOON))

    status = overview(known(*shards, workers=workers), now=NOON)

    assert [worker.holds for worker in status.workers] == [{"orders": 1}, {}]


def test_every_gap_has_the_command_that_heals_it():
    gaps = tuple(
        GapFacts(number, "orders", STREAM, f"shard-{number}", "certain", "trimmed", NOON)
        for number in (1, 2)
    )

    table = seen(known(idle("other"), tables={"orders": replace(ORDERS, gaps=gaps)}))

    assert [gap.shard_id for gap in table.gaps] == ["shard-1", "shard-2"]
    assert {gap.remedy for gap in table.gaps} == {HEAL_OR_ACCEPT}


def test_a_gap_of_a_table_that_lambda_writes_can_only_be_accepted():
    gap = GapFacts(1, "orders", STREAM, "shard-1", "certain", "trimmed", NOON)

    facts = replace(ORDERS, gaps=(gap,), ordering=OrderingMode.LAMBDA)
    table = seen(known(idle("other"), tables={"orders": facts}))

    assert table.remedy == table.gaps[0].remedy == ACCEPT


def test_no_lag_is_known_of_a_table_that_lambda_writes():
    stale = shard_facts(1, state="active", safe_at=NOON - timedelta(days=3))
    facts = replace(ORDERS, ordering=OrderingMode.LAMBDA)

    table = seen(known(stale, tables={"orders": facts}))

    assert (table.lag_seconds, table.retention_headroom_seconds) == (None, None)
