"""Whether a table is well, or which link of its chain is the first that is not proved."""

from dataclasses import replace
from typing import Any

import pytest

from replicator.core.snapshot.snapshot_progress import SnapshotStatus
from replicator.core.status.attribute_drift import Drifted
from replicator.core.status.deployment_problems import diagnose, with_configured
from replicator.core.status.deployment_status import LetterStatus, Status, TableStatus, WorkerStatus
from replicator.core.status.table_progress import Standing, TableProgress, aged
from replicator.core.status.table_verdict import Problem, Verdict
from replicator.core.verify.results import Verified
from tests.support.builders import NOON

ONE = WorkerStatus("one", 1, 2.0)
PROVED = TableProgress(
    revision=6,
    told_seconds=1.0,
    looked_seconds=2.0,
    listed_seconds=20.0,
    open_shards=1,
    unread=Standing(1, 1.0, "shard-1", "one"),
)
GOOD = TableStatus(
    source="orders",
    stream_arn="arn",
    state="streaming",
    lag_seconds=0.0,
    retention_headroom_seconds=86400.0,
    poll_age_seconds=0.2,
    shards={"active": 1},
    dead_letters={},
    proof=PROVED,
)
LOADING = SnapshotStatus(*(1, "initial", "running", "one", 50, 200, 0, 1.0, 4, 1, 90.0, None))


def told(*tables: TableStatus, workers: tuple[WorkerStatus, ...] = (ONE,)) -> list[Problem]:
    return list(diagnose(Status("d", tables, workers)).problems)


def table(**proof: Any) -> TableStatus:
    """A table of which one link is as said, and every other proved."""
    return replace(GOOD, proof=replace(PROVED, **proof))


def standing(seconds: float, **facts: Any) -> Standing:
    return Standing(1, seconds, "shard-1", "one", **facts)


LATE_SNAPSHOT = replace(LOADING, state="asked")
BROKEN: dict[str, tuple[TableStatus, Verdict, str]] = {
    "halted": (replace(GOOD, state="halted", reason="no column"), "stopped", "halted"),
    "gap": (replace(GOOD, state="gap", reason="trimmed"), "stopped", "gap"),
    "paused": (replace(GOOD, state="paused"), "stopped", "paused"),
    "not registered": (replace(GOOD, configured="not registered"), "stopped", "unregistered"),
    "not configured": (
        replace(table(told_seconds=None), configured="not configured"),
        "stopped",
        "unconfigured",
    ),
    "configured elsewhere": (
        replace(GOOD, configured="not configured"),
        "unknown",
        "unconfigured",
    ),
    "lambda": (replace(GOOD, needs_workers=False), "unknown", "lambda"),
    "nothing told": (table(told_seconds=None), "unknown", "silent"),
    "told long ago": (table(told_seconds=61.0), "unknown", "silent"),
    "older mapping": (table(told_seconds=None, strangers=(("one", 5),)), "stopped", "mapping"),
    "not taken": (table(told_seconds=None, elsewhere=("one",)), "stopped", "left_out"),
    "just begun": (table(told_seconds=None, starting=("one",)), "unknown", "starting"),
    "cannot begin": (
        table(told_seconds=None, starting=("one",), look_failure="no route"),
        "stopped",
        "starting",
    ),
    "older version": (table(told_seconds=None, silent=("one",)), "unknown", "silent"),
    "no look yet": (table(looked_seconds=None), "unknown", "look"),
    "no look now": (table(looked_seconds=61.0), "unknown", "look"),
    "looks that fail": (table(looked_seconds=21.0, look_failure="denied"), "unknown", "look"),
    "not listed yet": (table(listed_seconds=None), "unknown", "listing"),
    "not listed now": (table(listed_seconds=121.0), "unknown", "listing"),
    "an end": (table(ends=standing(91.0)), "behind", "ends"),
    "an end, not listed": (table(ends=standing(21.0, failure="denied")), "behind", "ends"),
    "unowned": (table(unowned=standing(61.0)), "behind", "unowned"),
    "unread": (table(unread=standing(24.0)), "behind", "unread"),
    "uncommitted": (table(uncommitted=standing(11.0)), "behind", "uncommitted"),
    "refused": (
        table(uncommitted=Standing(1, 4.0, "shard-1", failure="locked")),
        "behind",
        "uncommitted",
    ),
    "no shard": (table(open_shards=0), "unknown", "listing"),
    "no lag": (replace(GOOD, lag_seconds=None), "unknown", "listing"),
    "lag": (replace(GOOD, lag_seconds=61.0), "behind", "lag"),
    "loading": (replace(GOOD, state="snapshot", snapshot=LOADING), "behind", "snapshot"),
    "to be loaded": (replace(GOOD, state="snapshot"), "behind", "snapshot"),
    "loading asked": (
        replace(GOOD, state="snapshot", snapshot=LATE_SNAPSHOT),
        "behind",
        "snapshot",
    ),
}


def test_a_table_is_well_while_every_link_is_proved():
    diagnosis = diagnose(Status("d", (GOOD,), (ONE,)))

    assert (diagnosis.verdict, diagnosis.problems, diagnosis.broken) == ("well", (), {})


@pytest.mark.parametrize("name", BROKEN)
def test_each_link_that_is_not_proved_makes_a_table_not_well(name: str):
    case, verdict, kind = BROKEN[name]

    diagnosis = diagnose(Status("d", (case, replace(GOOD, source="other")), (ONE,)))

    assert diagnosis.verdict == verdict
    assert diagnosis.verdicts == {"orders": verdict, "other": "well"}
    assert diagnosis.broken["orders"].kind == kind


@pytest.mark.parametrize(
    "case",
    [
        table(looked_seconds=59.0),
        table(looked_seconds=19.0, look_failure="throttled"),
        table(listed_seconds=119.0),
        table(ends=standing(89.0)),
        table(ends=standing(19.0, failure="throttled")),
        table(unowned=standing(59.0)),
        table(unread=standing(22.0)),
        table(unread=standing(60.0), read_seconds_max=80.0),
        table(uncommitted=standing(9.0)),
        table(uncommitted=Standing(1, 2.0, "shard-1", failure="deadlock")),
        replace(GOOD, lag_seconds=60.0),
    ],
)
def test_within_its_bound_every_link_is_proved(case: TableStatus):
    assert told(case) == []


def test_every_table_is_not_well_without_a_living_worker_and_one_problem_says_so():
    dead = replace(ONE, seen_seconds_ago=61.0)
    diagnosis = diagnose(Status("d", (GOOD, replace(GOOD, source="other")), (dead,)))

    [problem] = diagnosis.problems
    assert (problem.table, problem.what) == (None, "none was seen within the last 60 s")
    assert problem.remedy == "replicator run"
    assert set(diagnosis.verdicts.values()) == {"stopped"}


def test_a_worker_that_polls_and_cannot_write_its_row_is_not_called_stopped():
    polled = table(told_seconds=None, polled_seconds=30.0)
    gone = replace(ONE, seen_seconds_ago=61.0)

    diagnosis = diagnose(Status("d", (polled,), (gone,)))

    assert diagnosis.verdict == "unknown"
    [problem] = diagnosis.problems
    assert problem.kind == "silent"
    assert "cannot write its row" in problem.what
    assert "replicator run" not in problem.remedy
    [later] = told(table(told_seconds=None, polled_seconds=61.0), workers=(gone,))
    assert later.kind == "workers"


def test_where_lambda_reads_nobody_misses_a_worker():
    assert [problem.kind for problem in told(replace(GOOD, needs_workers=False), workers=())] == [
        "lambda"
    ]


def test_a_status_that_is_not_renewed_proves_nothing():
    stale = Status("d", (GOOD,), (ONE,), read_seconds_ago=31.0)

    assert diagnose(stale).verdict == "unknown"
    assert diagnose(stale).problems[0].kind == "target"


def test_a_failure_to_read_the_status_is_named_before_anything_that_old_facts_say():
    late = table(unowned=standing(70.0))
    failed = Status("d", (late,), (ONE,), read_seconds_ago=4.0, read_failure="connection refused")

    diagnosis = diagnose(failed)

    [problem] = diagnosis.problems
    assert (diagnosis.verdict, problem.kind, problem.table) == ("unknown", "target", None)
    assert problem.what == (
        "PostgreSQL has not answered for 4 s, and nothing newer is known of any table: "
        "connection refused"
    )
    assert problem.remedy.endswith("work goes on by itself when PostgreSQL answers")
    advised = replace(failed, read_remedy="start it")
    assert diagnose(advised).problems[0].remedy.startswith("start it; ")


OLD = {"told_seconds": 34.0}
UNHEARD: dict[str, dict[str, Any]] = {
    "unread": {"unread": standing(34.5, **OLD)},
    "uncommitted": {"uncommitted": standing(36.5, failure="locked", **OLD)},
    "a segment unread": {"unread_segment": standing(95.0, **OLD)},
    "a segment uncommitted": {"uncommitted_segment": standing(36.5, failure="locked", **OLD)},
}


@pytest.mark.parametrize("name", UNHEARD)
def test_a_worker_that_was_not_seen_lately_is_named_and_not_what_it_works_on(name: str):
    case = replace(table(**UNHEARD[name]), state="snapshot", snapshot=LOADING)
    gone, lives = replace(ONE, seen_seconds_ago=34.0), ONE

    diagnosis = diagnose(Status("d", (case,), (gone,)))

    [problem] = diagnosis.problems
    assert (diagnosis.verdict, problem.kind, problem.since_seconds) == ("unknown", "silent", 34.0)
    assert problem.what.startswith("worker one was last seen 34 s ago, and has ")
    assert "replicator run" in problem.remedy
    [silent] = told(case, workers=(lives,))
    assert silent.what.startswith("worker one has not said for 34 s how far it is with ")
    [later] = told(case, workers=(replace(gone, seen_seconds_ago=60.0),))
    assert later.kind == "workers"


def test_what_stood_already_by_the_last_word_of_a_worker_is_told_as_it_was():
    case = table(uncommitted=standing(334.0, failure="locked by pid 7", **OLD))

    [problem] = told(case, workers=(replace(ONE, seen_seconds_ago=34.0),))

    assert problem.kind == "uncommitted"
    assert "locked by pid 7" in problem.what


def test_a_table_of_a_worker_that_was_not_seen_lately_is_behind_where_its_lag_is():
    case = replace(table(unread=standing(34.5, **OLD)), lag_seconds=61.0)

    assert diagnose(Status("d", (case,), (ONE,))).verdict == "behind"


def test_looks_that_are_old_with_every_word_are_no_failure_to_look():
    case = table(told_seconds=57.0, looked_seconds=61.0)

    [problem] = told(case, workers=(replace(ONE, seen_seconds_ago=57.0),))

    assert (problem.kind, problem.what) == ("silent", "nothing was heard of its workers for 57 s")


@pytest.mark.parametrize("kind", ["unowned", "unread", "uncommitted", "ends"])
def test_a_status_that_grows_old_blames_nobody_for_its_own_age(kind: str):
    seconds = {"unowned": 45.0, "unread": 5.0, "uncommitted": 1.0, "ends": 75.0}[kind]
    case = table(**{kind: standing(seconds)})
    older = replace(case, proof=aged(case.proof, 20.0))
    old = Status("d", (older,), (ONE,), read_seconds_ago=20.0)

    [problem] = diagnose(old).problems

    assert problem.kind == "target"


PARTS = {
    "uncommitted": (
        {
            "uncommitted_segment": Standing(
                2, 4.0, "snapshot-1-0", "one", failure="locked by nightly"
            )
        },
        "snapshot-1-0 of the snapshot is read and cannot be committed, for 4 s: locked by nightly",
    ),
    "unread": (
        {"unread_segment": Standing(1, 95.0, "snapshot-1-0", "one")},
        "snapshot-1-0 of the snapshot got no answer of the source for 95 s",
    ),
}


@pytest.mark.parametrize("kind", PARTS)
def test_a_part_of_a_snapshot_that_stands_is_named_although_the_stream_is_idle(kind: str):
    proof, what = PARTS[kind]
    loading = replace(table(**proof), state="snapshot", snapshot=LOADING)

    [problem] = told(loading)

    assert (problem.severity, problem.kind, problem.what) == ("warning", kind, what)
    assert problem.remedy
    assert aged(loading.proof, 10.0) != loading.proof


def test_a_part_of_a_snapshot_that_waits_for_its_turn_is_progress():
    waits = table(unread_segment=Standing(1, 60.0, "snapshot-1-0", "one"))

    [problem] = told(replace(waits, state="snapshot", snapshot=LOADING))

    assert problem.kind == "snapshot"


def test_all_evidence_grows_old():
    whole = TableProgress(
        told_seconds=1.0,
        looked_seconds=2.0,
        listed_seconds=3.0,
        unowned=standing(4.0),
        unread=standing(5.0),
        uncommitted=standing(6.0),
        ends=standing(7.0),
    )

    old = aged(whole, 100.0)

    assert (old.told_seconds, old.looked_seconds, old.listed_seconds) == (101, 102, 103)
    ages = [s.seconds for s in (old.unowned, old.unread, old.uncommitted, old.ends) if s]
    assert ages == [104, 105, 106, 107]
    assert aged(TableProgress(), 1.0) == TableProgress()


def test_a_worker_with_another_mapping_is_named_with_both_numbers():
    [problem] = told(table(told_seconds=None, strangers=(("w7", 5),)))

    assert problem.what == "worker w7 runs mapping 5, registered is 6: restart it"
    assert problem.severity == "critical"


def test_a_worker_with_another_mapping_is_named_beside_one_that_works_and_harms_nobody():
    diagnosis = diagnose(Status("d", (table(strangers=(("w7", None),)),), (ONE,)))

    [problem] = diagnosis.problems
    assert problem.what.startswith("worker w7 runs a mapping that is not registered")
    assert (problem.severity, diagnosis.verdict) == ("warning", "well")


def test_what_stands_is_named_with_its_shard_its_time_its_failure_and_what_mends_it():
    held = Standing(3, 90.0, "shard-1", "one", "public.orders is locked by pid 7", "end it")

    [problem] = told(table(uncommitted=held))

    assert problem.what == (
        "shard shard-1 and 2 more shards read and cannot be committed, for 90 s: "
        "public.orders is locked by pid 7"
    )
    assert (problem.remedy, problem.since_seconds) == ("end it", 90.0)


def test_the_first_link_that_is_broken_is_told_and_no_other():
    [problem] = told(table(listed_seconds=None, unread=standing(900.0), uncommitted=standing(900)))

    assert problem.kind == "listing"


def test_what_stopped_comes_first_and_among_that_halted_before_gap_before_paused():
    paused = replace(GOOD, source="able", state="paused", reason="paused by hand")
    gap = replace(GOOD, source="baker", state="gap", reason="trimmed")
    halted = replace(GOOD, source="zone", state="halted", reason="no column n")
    late = replace(GOOD, source="late", retention_headroom_seconds=3600.0)
    aside = replace(GOOD, source="aside", dead_letters={"public.a": 2, "public.b": 1})
    drifting = replace(GOOD, source="dog", drift={"color": Drifted(3, ("S", "N"), NOON)})

    assert [(p.table, p.kind) for p in told(paused, drifting, aside, late, gap, halted)] == [
        ("zone", "halted"),
        ("baker", "gap"),
        ("late", "headroom"),
        ("aside", "dead_letters"),
        ("able", "paused"),
        ("dog", "drift"),
    ]


def test_a_sweep_that_waits_for_a_person_stops_a_table_with_both_ways_out():
    refused = replace(LOADING, state="refused")
    reason, remedy = "the sweep waits", "`--force` (deletes those rows), or `--cancel` (keeps them)"
    case = replace(GOOD, state="snapshot", snapshot=refused, reason=reason, remedy=remedy)

    [problem] = told(case)

    assert (problem.severity, problem.what, problem.remedy) == ("critical", reason, remedy)
    assert diagnose(Status("d", (case,), (ONE,))).verdict == "stopped"


def test_a_snapshot_says_how_far_it_is():
    [problem] = told(replace(GOOD, state="snapshot", snapshot=LOADING))

    assert problem.what == "the snapshot has read 50 of about 200 items, 25 %, about 90 s left"
    assert problem.severity == "note"


def test_with_no_headroom_left_data_may_leave_now():
    [problem] = told(replace(GOOD, retention_headroom_seconds=0.0))

    assert problem.what.endswith("leaves the stream now")
    assert problem.severity == "critical"


def test_the_newest_dead_letter_is_named():
    letter = LetterStatus(17, "public.orders", "attribute 'n': no number", NOON)

    [problem] = told(replace(GOOD, dead_letters={"public.orders": 2}, newest_dead_letter=letter))

    assert problem.what == ("2 dead letters, the newest of public.orders: attribute 'n': no number")


def test_of_many_drifting_attributes_some_are_named():
    [problem] = told(replace(GOOD, drift=dict.fromkeys("abcdefgh", Drifted(1, (), NOON))))

    assert ": a (of no known type, since" in problem.what
    assert problem.what.endswith(" and 3 more")


def test_a_comparison_that_found_rows_or_is_old_is_told():
    found = replace(GOOD, verified=Verified(NOON, 2, 0, None), verified_seconds_ago=7200.0)
    old = replace(GOOD, verified=Verified(NOON, 0, 0, None), verified_seconds_ago=9 * 86400.0)

    assert [p.what for p in told(found)] == ["the last verify found 2 rows unequal, 2 h ago"]
    assert [p.what for p in told(old)] == ["source and target were last compared 9 d ago"]


def test_names_that_a_shell_would_read_are_quoted():
    [problem] = told(replace(GOOD, source="it's", dead_letters={"public.a": 1}))

    assert problem.remedy == """replicator dead-letters list --table 'it'"'"'s'"""


def test_a_configured_table_that_is_not_registered_is_stopped():
    [only] = with_configured(Status("d", (), ()), ["orders"]).tables

    assert (only.state, only.remedy) == ("halted", "replicator migrate")
    [problem] = told(only)
    assert (problem.kind, problem.remedy) == ("unregistered", "replicator migrate")


@pytest.mark.parametrize(
    ("case", "worked_on"),
    [
        (GOOD, True),
        (table(told_seconds=59.0), True),
        (table(told_seconds=None, strangers=(("one", 5),)), True),
        (table(told_seconds=61.0), False),
        (table(told_seconds=None, elsewhere=("one",)), False),
        (table(told_seconds=None), False),
    ],
)
def test_a_table_of_another_configuration_is_not_to_be_forgotten_while_a_worker_has_it(
    case: TableStatus, worked_on: bool
):
    status = with_configured(Status("d", (case,), (ONE,)), [])

    diagnosis = diagnose(status)

    problem = diagnosis.broken["orders"]
    advice = [problem.remedy, status.tables[0].remedy or ""]
    assert problem.kind == "unconfigured"
    assert diagnosis.verdict == ("unknown" if worked_on else "stopped")
    assert ["forget" in each for each in advice] == [not worked_on] * 2
    assert ["another `deployment`" in each for each in advice] == [worked_on] * 2


def test_a_table_that_left_the_configuration_keeps_its_own_reason_too():
    halted = replace(
        table(told_seconds=None), state="halted", reason="no column n", remedy="add it"
    )

    [only] = with_configured(Status("d", (halted,), ()), []).tables

    assert (only.reason or "").startswith("no column n; not in the configuration any more")
    assert only.remedy == "add it"
