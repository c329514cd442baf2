"""What a status says is wrong, and in which order."""

from dataclasses import replace

from replicator.core.status.document import Status, TableStatus, WorkerStatus
from replicator.core.status.drift import Drifted
from replicator.core.status.problems import troubles, with_configured
from tests.support.builders import NOON

ONE = WorkerStatus("one", 1, 2.0)
GOOD = TableStatus(
    source="orders",
    stream_arn="arn",
    state="streaming",
    lag_seconds=0.0,
    retention_headroom_seconds=86400.0,
    poll_age_seconds=0.2,
    shards={"active": 1},
    dead_letters={},
)


def told(*tables: TableStatus, workers: tuple[WorkerStatus, ...] = (ONE,)) -> list[tuple[str, str]]:
    return [(trouble.where, trouble.what) for trouble in troubles(Status("d", tables, workers))]


def test_a_quiet_deployment_has_no_troubles():
    assert told(GOOD) == []


def test_what_stopped_comes_before_what_is_late_and_what_was_set_aside():
    late = replace(GOOD, source="late", retention_headroom_seconds=3600.0)
    aside = replace(GOOD, source="aside", dead_letters={"public.a": 2, "public.b": 1})
    halted = replace(GOOD, source="zone", state="halted", reason="no column n", remedy="add it")
    drifting = replace(GOOD, source="able", drift={"color": Drifted(3, ("S", "N"), NOON)})

    assert told(drifting, aside, late, halted, workers=()) == [
        ("zone", "no column n"),
        ("late", "the oldest change that may be unread leaves the stream in 1.0 h"),
        ("workers", "none was seen within the last 60 s"),
        ("aside", "3 dead letters"),
        ("able", "attributes that no column and no `rest` takes: color (S, N, since 2026-03-01)"),
    ]


def test_a_worker_that_was_not_seen_for_a_minute_is_none():
    assert told(GOOD, workers=(replace(ONE, seen_seconds_ago=61.0),)) != []


def test_a_worker_is_missed_before_anything_was_read_and_not_where_lambda_reads():
    fresh = replace(GOOD, stream_arn=None)

    assert told(fresh, workers=()) == [("workers", "none was seen within the last 60 s")]
    assert told(replace(fresh, needs_workers=False), workers=()) == []


def test_with_no_headroom_left_data_may_leave_now():
    [(_, what)] = told(replace(GOOD, retention_headroom_seconds=0.0))

    assert what.endswith("leaves the stream now")


def test_of_many_drifting_attributes_some_are_named():
    [(_, what)] = told(replace(GOOD, drift=dict.fromkeys("abcdefgh", Drifted(1, (), NOON))))

    assert ": a (of no known type, since" in what
    assert what.endswith(" and 3 more")


def test_a_configured_table_that_is_not_registered_is_stopped():
    [table] = with_configured(Status("d", (), ()), ["orders"]).tables

    assert (table.state, table.remedy) == ("halted", "replicator migrate")


def test_a_table_that_left_the_configuration_keeps_its_own_reason_too():
    halted = replace(GOOD, state="halted", reason="no column n", remedy="add it")

    [table] = with_configured(Status("d", (halted,), ()), []).tables

    assert (table.reason or "").startswith("no column n; not in the configuration any more")
    assert table.remedy == "add it"
