"""What is counted, under which names, and how it reads while the process is stuck."""

from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from docs.generate_metrics import PAGE, markdown
from replicator.core.stream_record import LetterId, Position
from replicator.core.telemetry_events import (
    ClaimSwitched,
    GapFound,
    LeaseLapsed,
    LeaseTaken,
    RecordRejected,
    ShardClaimed,
    ShardEnded,
    SourceAnswered,
    TableHalted,
    TaskFailed,
    TaskStuck,
    WriteFenced,
)
from replicator.errors import SinkUnavailable
from replicator.monitoring.latest_status import LatestStatus
from replicator.monitoring.metric_families import FAMILIES
from replicator.monitoring.metrics import Metrics
from tests.monitoring.conftest import TurnedClock
from tests.monitoring.facts import batch, status, table
from tests.support.prometheus import complaints

CONTRACT = {
    "replicator_lag_seconds": {"table"},
    "replicator_last_applied_timestamp_seconds": {"table"},
    "replicator_retention_headroom_seconds": {"table"},
    "replicator_poll_age_seconds": {"table"},
    "replicator_records_total": {"table", "event", "outcome"},
    "replicator_rows_total": {"target", "operation"},
    "replicator_apply_seconds": {"table"},
    "replicator_replication_seconds": {"table"},
    "replicator_shards": {"table", "state"},
    "replicator_table_state": {"table", "state"},
    "replicator_guard_rejections_total": {"table", "reason"},
    "replicator_unmapped_attributes_total": {"target"},
    "replicator_verify_unequal": {"table"},
    "replicator_verify_timestamp_seconds": {"table"},
    "replicator_leases_held": set(),
    "replicator_leases_lost_total": set(),
    "replicator_fenced_total": set(),
    "replicator_dead_letters": {"target"},
    "replicator_gaps_total": {"table", "kind"},
    "replicator_source_requests_total": {"operation", "outcome"},
    "replicator_build_info": {"version", "python"},
}


def every_fact(metrics: Metrics) -> None:
    for event in (
        batch(unmapped={"public.orders": {"hue": 3}}),
        RecordRejected(
            "orders", "public.orders", "shardId-0001", LetterId(5), "attribute 'a': no number"
        ),
        ShardClaimed("orders", "shardId-0001", 2, Position(7), rewound=True),
        ShardEnded("orders", "shardId-0001", ("shardId-0002",)),
        WriteFenced("orders", "shardId-0001"),
        ClaimSwitched("orders", "shardId-0001"),
        LeaseTaken("orders", "shardId-0001", None),
        LeaseLapsed("orders", "shardId-0001"),
        GapFound("orders", "shardId-0001", "certain", "trimmed", "replicator gaps list"),
        TableHalted("orders", "no column", "replicator migrate"),
        SourceAnswered("GetRecords", "ok"),
        SourceAnswered("GetRecords", "ThrottlingException"),
        TaskFailed("shard shardId-0001", "orders", SinkUnavailable("gone"), 1.0),
        TaskStuck("leases", None, 40.0, cancelled=True),
    ):
        metrics.observe(event)


@pytest.fixture
def latest(clock: TurnedClock) -> LatestStatus:
    return LatestStatus(clock)


@pytest.fixture
def metrics(latest: LatestStatus) -> Metrics:
    return Metrics(latest, leases_held=lambda: 3)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_promised_metric_is_there_with_its_labels():
    ours = {family.name: set(family.labels) for family in FAMILIES}

    assert {name: ours.get(name) for name in CONTRACT} == CONTRACT


def test_each_record_of_a_batch_is_counted_once_with_its_outcome(metrics: Metrics):
    records = {("insert", "applied"): 5, ("modify", "superseded"): 2, ("remove", "dead_letter"): 1}

    metrics.observe(batch(records=records))
    metrics.observe(batch(records={("insert", "applied"): 1}))

    name = "replicator_records_total"
    assert value(metrics, name, table="orders", event="insert", outcome="applied") == 6
    assert value(metrics, name, table="orders", event="modify", outcome="superseded") == 2
    assert value(metrics, name, table="orders", event="remove", outcome="dead_letter") == 1


def test_rows_and_drift_are_counted_by_target(metrics: Metrics):
    rows = {("public.orders", "upsert"): 3, ("public.lines", "delete"): 1}

    metrics.observe(batch(rows=rows, unmapped={"public.orders": {"hue": 3, "size": 1}}))

    assert value(metrics, "replicator_rows_total", target="public.orders", operation="upsert") == 3
    assert value(metrics, "replicator_rows_total", target="public.lines", operation="delete") == 1
    assert value(metrics, "replicator_unmapped_attributes_total", target="public.orders") == 4


def test_ages_are_counted_for_each_record_and_none_is_below_zero(metrics: Metrics):
    metrics.observe(batch(replication_seconds=((-3.0, 10), (0.7, 400), (4000.0, 2), (1e6, 1))))

    def below(bound: str) -> float | None:
        return value(metrics, "replicator_replication_seconds_bucket", table="orders", le=bound)

    assert below("0.1") == 10
    assert below("1.0") == 410
    assert below("3600.0") == 410
    assert below("86400.0") == 412
    assert below("+Inf") == 413
    total = value(metrics, "replicator_replication_seconds_sum", table="orders")
    assert total == pytest.approx(0.7 * 400 + 8000 + 1e6)


def test_a_fact_that_is_a_fault_has_its_counter(metrics: Metrics):
    every_fact(metrics)

    assert value(metrics, "replicator_fenced_total") == 1
    assert value(metrics, "replicator_leases_lost_total") == 1
    assert value(metrics, "replicator_gaps_total", table="orders", kind="certain") == 1
    assert value(metrics, "replicator_positions_rewound_total", table="orders") == 1
    restarts = "replicator_task_restarts_total"
    assert value(metrics, restarts, table="orders", reason="failed") == 1
    assert value(metrics, restarts, table="", reason="stuck") == 1
    requests = "replicator_source_requests_total"
    assert value(metrics, requests, operation="GetRecords", outcome="ok") == 1
    refused = value(metrics, requests, operation="GetRecords", outcome="ThrottlingException")
    assert refused == 1


def test_what_may_happen_to_a_known_table_steps_up_from_zero(
    metrics: Metrics, latest: LatestStatus
):
    latest.publish(status(table(dead_letters={"public.orders": 0})))

    assert value(metrics, "replicator_gaps_total", table="orders", kind="possible") == 0
    assert value(metrics, "replicator_task_restarts_total", table="orders", reason="stuck") == 0
    assert value(metrics, "replicator_positions_rewound_total", table="orders") == 0
    assert value(metrics, "replicator_unmapped_attributes_total", target="public.orders") == 0
    assert value(metrics, "replicator_fenced_total") == 0


def test_the_state_of_a_table_is_one_of_its_states(metrics: Metrics, latest: LatestStatus):
    latest.publish(status(table(state="gap", shards={"active": 2, "gap": 1})))

    states = ("snapshot", "streaming", "paused", "gap", "halted")
    shown = {
        state: value(metrics, "replicator_table_state", table="orders", state=state)
        for state in states
    }
    assert shown == {"snapshot": 0, "streaming": 0, "paused": 0, "gap": 1, "halted": 0}
    assert value(metrics, "replicator_shards", table="orders", state="active") == 2
    assert value(metrics, "replicator_shards", table="orders", state="unowned") == 0


def test_gauges_come_from_the_status(metrics: Metrics, latest: LatestStatus):
    latest.publish(status(table(lag_seconds=7.0, dead_letters={"public.orders": 4})))

    assert value(metrics, "replicator_lag_seconds", table="orders") == 7
    assert value(metrics, "replicator_retention_headroom_seconds", table="orders") == 86_000
    assert value(metrics, "replicator_poll_age_seconds", table="orders") == 0.4
    assert value(metrics, "replicator_dead_letters", target="public.orders") == 4
    assert value(metrics, "replicator_leases_held") == 3


def test_lag_grows_while_nobody_publishes(
    metrics: Metrics, latest: LatestStatus, clock: TurnedClock
):
    latest.publish(status(table("orders"), table("carts", lag_seconds=9.0)))

    clock.seconds += 10
    at_the_head = value(metrics, "replicator_lag_seconds", table="orders")
    behind = value(metrics, "replicator_lag_seconds", table="carts")
    clock.seconds += 590

    assert (at_the_head, behind) == (0, 19)
    assert value(metrics, "replicator_lag_seconds", table="orders") == 600
    assert value(metrics, "replicator_poll_age_seconds", table="orders") == pytest.approx(600.4)
    assert value(metrics, "replicator_retention_headroom_seconds", table="orders") == 85_400


def test_what_is_not_known_is_not_shown(metrics: Metrics, latest: LatestStatus):
    unknown = table(lag_seconds=None, retention_headroom_seconds=None, poll_age_seconds=None)

    latest.publish(status(unknown))

    assert value(metrics, "replicator_lag_seconds", table="orders") is None
    assert value(metrics, "replicator_poll_age_seconds", table="orders") is None


def test_the_gauges_of_a_removed_table_vanish(metrics: Metrics, latest: LatestStatus):
    metrics.observe(batch(table="carts"))
    latest.publish(status(table("orders"), table("carts")))
    before = value(metrics, "replicator_last_applied_timestamp_seconds", table="carts")

    latest.publish(status(table("orders")))

    assert before == 1_760_000_000
    gauges = (family for family in metrics.collect() if family.type == "gauge")
    assert not [sample for family in gauges for sample in family.samples if "carts" in str(sample)]


def test_the_newest_applied_change_never_goes_back(metrics: Metrics, latest: LatestStatus):
    latest.publish(status(table()))

    metrics.observe(batch(last_created_at=2000.0))
    metrics.observe(batch(last_created_at=1500.0))
    metrics.observe(batch(last_created_at=None))

    assert value(metrics, "replicator_last_applied_timestamp_seconds", table="orders") == 2000


def test_the_newest_applied_change_is_known_though_another_worker_applied_it(
    metrics: Metrics, latest: LatestStatus
):
    latest.publish(status(table(last_applied_at=datetime.fromtimestamp(3000, UTC))))
    name = "replicator_last_applied_timestamp_seconds"
    after_a_restart = value(metrics, name, table="orders")

    metrics.observe(batch(last_created_at=4000.0))

    assert (after_a_restart, value(metrics, name, table="orders")) == (3000, 4000)


def test_no_label_carries_a_shard(metrics: Metrics, latest: LatestStatus):
    latest.publish(status(table()))
    every_fact(metrics)

    assert "shardId" not in generate_latest(metrics.registry).decode()


def test_hostile_names_stay_inside_their_label(metrics: Metrics, latest: LatestStatus):
    name = 'a"} 1\nreplicator_fenced_total 99 {\\'
    latest.publish(status(table(name, lag_seconds=3.0)))

    assert value(metrics, "replicator_lag_seconds", table=name) == 3
    lines = generate_latest(metrics.registry).decode().splitlines()
    assert [line for line in lines if line.startswith("replicator_fenced_total")] == [
        "replicator_fenced_total 0.0"
    ]


def test_the_process_is_measured(metrics: Metrics):
    memory = value(metrics, "process_resident_memory_bytes")

    assert memory is not None
    assert memory > 1_000_000


def test_openmetrics_can_be_parsed_by_its_own_parser(metrics: Metrics, latest: LatestStatus):
    latest.publish(status(table(dead_letters={"public.orders": 1})))
    every_fact(metrics)

    parsed = parse_openmetrics(generate_openmetrics(metrics.registry).decode())

    assert "replicator_lag_seconds" in {family.name for family in parsed}


def test_promtool_finds_nothing_to_say(metrics: Metrics, latest: LatestStatus):
    latest.publish(status(table(dead_letters={"public.orders": 1})))
    every_fact(metrics)

    assert complaints(generate_latest(metrics.registry).decode()) == (0, "")


def test_the_documentation_of_the_metrics_is_generated():
    assert PAGE.read_text() == markdown(), "run: python -m docs.generate_metrics"
