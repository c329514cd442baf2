"""Liveness asks whether a restart would help, readiness whether it can work."""

import pytest

from replicator.core.status.deployment_problems import diagnose
from replicator.core.status.deployment_status import TableStatus
from replicator.core.status.table_progress import TableProgress
from replicator.core.telemetry_events import TaskFailed, TaskStuck
from replicator.errors import SinkUnavailable
from replicator.monitoring.liveness_and_readiness import Health, table_readiness
from tests.monitoring.facts import status, table


def dead(health: Health, now: float) -> dict[str, str | None]:
    return {check.name: check.reason for check in health.liveness(now) if not check.ok}


def test_a_loop_that_turns_lives():
    health = Health(100.0, loop_seconds_max=30)

    health.beat(125.0)

    assert dead(health, 150.0) == {}


def test_a_loop_that_stopped_turning_is_named():
    health = Health(100.0, loop_seconds_max=30)

    assert dead(health, 131.0) == {"loop": "no progress for 31 s, limit 30 s"}


def test_a_task_without_progress_is_named_until_it_moves():
    health = Health(100.0)
    health.watch("leases", limit_seconds=20, now=100.0)

    health.beat(121.0)
    hanging = dead(health, 121.0)
    health.progress("leases", 121.0)

    assert hanging == {"leases": "no progress for 21 s, limit 20 s"}
    assert dead(health, 121.0) == {}


def test_a_task_that_ended_is_not_missed():
    health = Health(100.0)
    health.watch("shard", limit_seconds=20, now=100.0)

    health.forget("shard")
    health.progress("shard", 110.0)
    health.beat(200.0)

    assert dead(health, 200.0) == {}


def test_a_task_that_cannot_be_ended_is_dead_until_forgotten():
    health = Health(100.0)

    health.observe(TaskStuck("shard 7", "orders", 90.4, cancelled=False))
    stuck = dead(health, 100.0)
    health.forget("shard 7")

    assert stuck == {"shard 7": "no progress for 90 s, and cannot be ended"}
    assert dead(health, 100.0) == {}


def test_a_task_is_named_once_with_the_graver_reason():
    health = Health(100.0)
    health.watch("leases", limit_seconds=20, now=100.0)

    health.unrecoverable("leases", "cannot be ended")
    health.beat(200.0)

    reasons = [check.reason for check in health.liveness(200.0) if check.name == "leases"]
    assert reasons == ["cannot be ended"]


def test_a_task_that_is_restarted_lives_however_often_it_fails():
    health = Health(100.0)

    for _ in range(100):
        health.observe(TaskStuck("shard 7", "orders", 90.0, cancelled=True))
        health.observe(TaskFailed("shard 7", "orders", SinkUnavailable("gone"), 1.0))

    assert dead(health, 100.0) == {}


def test_nothing_is_ready_before_it_is_known():
    assert [check.ok for check in Health(0.0).readiness()] == [False, False, False]


def test_a_condition_that_fails_says_why():
    health = Health(0.0)
    health.set_ready("configuration", ok=True)
    health.set_ready("coordination", ok=True)

    health.set_ready("target", ok=False, why="PostgreSQL cannot be reached")

    reasons = {check.name: check.reason for check in health.readiness()}
    assert reasons == {
        "configuration": None,
        "target": "PostgreSQL cannot be reached",
        "coordination": None,
    }


@pytest.mark.parametrize(
    ("case", "unready"),
    [
        (table(), {}),
        (table(lag_seconds=60.0), {}),
        (
            table(lag_seconds=61.0),
            {"caught_up": "lag: changes of 61 s ago are not applied, or may not be"},
        ),
        (
            table(lag_seconds=None),
            {"caught_up": "listing: no shard of its stream is known yet"},
        ),
        (
            table(state="snapshot"),
            {"caught_up": "snapshot: a snapshot is due and has not begun"},
        ),
        (
            table(proof=TableProgress()),
            {"caught_up": "silent: nothing was heard of its workers at all"},
        ),
        (table(state="paused", reason="paused by hand"), {"running": "paused: paused by hand"}),
        (table(state="gap", reason="trimmed"), {"running": "gap: trimmed"}),
        (table(state="halted", reason="no column"), {"running": "halted: no column"}),
        (
            table(retention_headroom_seconds=0.0),
            {"retention": "the oldest unread record may have left the stream"},
        ),
        (table(retention_headroom_seconds=None), {}),
    ],
)
def test_a_table_is_ready_when_an_application_may_rely_on_it(
    case: TableStatus, unready: dict[str, str]
):
    checks = table_readiness(case, diagnose(status(case)))

    assert {check.name: check.reason for check in checks if not check.ok} == unready
