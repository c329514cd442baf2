"""What a worker says of a deployment: its own shards, those of others, those of nobody."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from replicator.core.status.assemble import HEAD_PROOF, Knowledge, overview
from replicator.core.status.document import TableStatus, WorkerStatus, lineage_document
from replicator.core.stream.lag import ShardProgress
from replicator.core.stream.shards import GapFacts, ShardFacts, TableFacts
from tests.support.builders import NOON, STREAM, shard_facts, shard_name

ORDERS = TableFacts(
    "orders", STREAM, "fence", None, "f", "stream", NOON, False, False, None, None, ()
)

ACCEPT = 'replicator gaps accept --table orders --why "..."'
HEAL_OR_ACCEPT = (
    '`replicator snapshot --table orders --why "..."` loads it anew, '
    f"`{ACCEPT}` leaves what is lost as it is"
)


def known(*shards: ShardFacts, **facts: Any) -> Knowledge:
    return replace(
        Knowledge("shop", {"orders": ORDERS}, shards, {}, (), frozenset({"other"})), **facts
    )


def seen(knowledge: Knowledge, *, at: datetime = NOON) -> TableStatus:
    [table] = overview(knowledge, now=at).tables
    return table


def own(*, behind: float, at_head: bool, silent: float = 0) -> dict[tuple[str, str], ShardProgress]:
    progress = ShardProgress(
        NOON - timedelta(seconds=behind), at_head, NOON - timedelta(seconds=silent)
    )
    return {(STREAM, shard_name(1)): progress}


def idle(owner: str | None) -> ShardFacts:
    """A shard that was seen at its head ten seconds ago."""
    then = NOON - timedelta(seconds=10)
    return shard_facts(1, state="active", owner=owner, safe_at=then, head_at=then, polled_at=then)


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


def test_an_idle_table_of_ours_is_not_behind():
    shard = shard_facts(1, state="active", owner="me", safe_at=NOON - timedelta(hours=9))

    table = seen(known(shard, progress=own(behind=5, at_head=True)))

    assert (table.lag_seconds, table.retention_headroom_seconds) == (0, 24 * 3600)


def test_a_source_that_does_not_answer_makes_lag_grow_though_we_were_at_the_head():
    silent = own(behind=305, at_head=True, silent=300)

    table = seen(known(shard_facts(1, state="active", owner="me"), progress=silent))

    assert (table.lag_seconds, table.poll_age_seconds) == (305, 300)


def test_a_shard_of_ours_that_is_not_claimed_yet_is_behind_as_the_control_schema_says():
    unclaimed = {(STREAM, shard_name(1)): ShardProgress(None, at_head=False, polled_at=None)}
    shard = shard_facts(1, safe_at=NOON - timedelta(minutes=7))

    assert seen(known(shard, progress=unclaimed)).lag_seconds == 420


def test_a_table_that_was_never_listed_has_no_known_lag():
    assert seen(known()).lag_seconds is None


def test_a_clock_that_is_behind_makes_nothing_negative():
    assert seen(known(idle(None)), at=NOON - timedelta(hours=1)).lag_seconds == 0


def test_workers_hold_the_shards_they_have_claimed():
    workers = (WorkerStatus("other", 2, 1.0), WorkerStatus("dead", 0, 900.0))
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

    facts = replace(ORDERS, gaps=(gap,), mode="lambda")
    table = seen(known(idle("other"), tables={"orders": facts}))

    assert table.remedy == table.gaps[0].remedy == ACCEPT


def test_the_lineage_has_the_newest_generation_first_and_each_shard_with_its_parent():
    older = STREAM.replace("2026-03", "2026-02")
    done = shard_facts(1, stream_arn=older, state="done")
    parent = shard_facts(2, state="active", owner="other", safe_at=NOON - timedelta(minutes=1))
    child = shard_facts(3, parent=2)

    document = lineage_document(seen(known(done, parent, child)))

    newest, oldest = document["generations"]
    assert (newest["stream_arn"], newest["current"]) == (STREAM, True)
    assert (oldest["stream_arn"], oldest["current"]) == (older, False)
    assert [(each["parent_id"], each["state"]) for each in newest["shards"]] == [
        (None, "active"),
        (shard_name(2), "waiting"),
    ]
    assert [each["lag_seconds"] for each in (*oldest["shards"], *newest["shards"])] == [
        None,
        60,
        60,
    ]


def test_no_lag_is_known_of_a_table_that_lambda_writes():
    stale = shard_facts(1, state="active", safe_at=NOON - timedelta(days=3))
    facts = replace(ORDERS, mode="lambda")

    table = seen(known(stale, tables={"orders": facts}))

    assert (table.lag_seconds, table.retention_headroom_seconds) == (None, None)
