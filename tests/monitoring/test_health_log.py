"""The log draws the diagnosis: a line for each change of a table's verdict, and no other."""

import io
from dataclasses import replace

import pytest

from replicator.core.status.deployment_status import Status
from replicator.core.status.table_progress import Standing, TableProgress
from replicator.monitoring.health_log import VerdictLog
from replicator.monitoring.log_output import configure_logs
from tests.monitoring.conftest import TurnedClock
from tests.monitoring.facts import status, table
from tests.monitoring.test_log_output import lines, logs_as_before  # noqa: F401 (a fixture)

PROOF = table().proof
HELD = replace(PROOF, uncommitted=Standing(1, 30.0, "shard-1", failure="locked", remedy="end it"))


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logs(level="info", format="json", stream=stream)
    return stream


def at(clock: TurnedClock, log: VerdictLog, told: Status) -> None:
    clock.seconds += 2
    log.tell(told)


def of(proof: TableProgress, *names: str) -> Status:
    return status(*(table(source=name, proof=proof) for name in names or ("orders",)))


def test_a_table_that_is_not_well_is_one_line_and_one_more_when_it_is_again(
    stream: io.StringIO, clock: TurnedClock
):
    log = VerdictLog(clock)
    at(clock, log, of(PROOF))
    for _ in range(30):
        at(clock, log, of(HELD))
    at(clock, log, of(PROOF))
    at(clock, log, of(PROOF))

    said, over = lines(stream)
    assert (said["event"], said["level"], said["table"]) == ("not well", "warning", "orders")
    assert (said["verdict"], said["problem"], said["remedy"]) == ("behind", "uncommitted", "end it")
    assert "shard-1" in said["what"]
    assert (over["event"], over["table"], over["from"]) == ("recovered", "orders", "uncommitted")
    assert over["after_seconds"] == 60.0


def test_what_is_over_within_seconds_and_what_is_meant_to_be_says_nothing(
    stream: io.StringIO, clock: TurnedClock
):
    log = VerdictLog(clock)
    for _ in range(10):
        at(clock, log, of(HELD))
        at(clock, log, of(HELD))
        at(clock, log, of(PROOF))
    for _ in range(30):
        at(clock, log, status(table(state="paused")))

    assert lines(stream) == []


def test_one_problem_that_holds_up_many_tables_is_one_line(stream: io.StringIO, clock: TurnedClock):
    log = VerdictLog(clock)
    blind = replace(PROOF, looked_seconds=300.0)
    for _ in range(30):
        at(clock, log, of(blind, "orders", "others"))

    [said] = lines(stream)
    assert (said["tables"], said["problem"]) == (["orders", "others"], "look")
