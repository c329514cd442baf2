"""Lines for people and machines: bounded in number, without data of items."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import asyncpg
import pytest
import structlog

from replicator.core.stream_record import LetterId, Position
from replicator.core.telemetry_events import (
    ClaimSwitched,
    GapFound,
    LeaseLapsed,
    LeaseReleased,
    LeaseTaken,
    ReadFailed,
    ReadRecovered,
    RecordRejected,
    ShardClaimed,
    ShardEnded,
    SourceAnswered,
    TableHalted,
    TaskFailed,
    TaskRecovered,
    TaskStuck,
    TelemetryEvent,
    WriteBlocked,
    WriteFenced,
)
from replicator.errors import (
    SchemaMismatch,
    SinkUnavailable,
    SourceDenied,
    SourceUnavailable,
    TargetLocked,
)
from replicator.monitoring.log_output import configure_logs, logger
from replicator.monitoring.telemetry_log import TelemetryLog
from tests.monitoring.conftest import TurnedClock
from tests.monitoring.facts import batch

SECRET = "anna@example.org"


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("replicator")
    before = (root.handlers, root.level, ours.level)
    logging.captureWarnings(capture=False)  # what is captured already is not captured again
    yield
    root.handlers, root.level, ours.level = before
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logs(level="info", format="json", stream=stream)
    return stream


@pytest.fixture
def log(stream: io.StringIO, clock: TurnedClock) -> TelemetryLog:  # noqa: ARG001 (configured first)
    return TelemetryLog(clock)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def leaky(text: str = f"duplicate key {SECRET}") -> asyncpg.PostgresError:
    error = asyncpg.UniqueViolationError(text)
    error.detail = f"Key (email)=({SECRET}) already exists."
    error.constraint_name = "orders_email_key"
    return error


def fail(error: Exception, *, because: Exception) -> NoReturn:
    raise error from because


def outage(shard: int) -> TaskFailed:
    error = SinkUnavailable(f"connection to 10.0.0.{shard} was lost after {shard} s")
    return TaskFailed(f"shard {shard}", "orders", error, 2.0)


def test_a_line_is_one_json_object_with_time_and_level(stream: io.StringIO):
    logger(table="orders").info("hello\nthere", number=38 * 10**40)

    (line,) = lines(stream)
    assert (line["level"], line["event"], line["table"]) == ("info", "hello\nthere", "orders")
    assert line["timestamp"].endswith("Z")


def test_the_console_format_is_for_reading(clock: TurnedClock):
    stream = io.StringIO()
    configure_logs(level="info", format="console", stream=stream)

    TelemetryLog(clock).observe(WriteFenced("orders", "shardId-1"))

    assert "another worker claimed the shard" in stream.getvalue()
    assert "table=orders" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def test_unset_the_format_is_for_reading_on_a_terminal_and_json_elsewhere(clock: TurnedClock):
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        configure_logs(level="info", stream=stream)
        TelemetryLog(clock).observe(LeaseTaken("orders", "shard-1", None))

    assert "lease taken" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert json.loads(file.getvalue())["event"] == "lease taken"


def test_libraries_speak_from_warning_on(stream: io.StringIO):
    for name in ("botocore", "asyncpg", "aiohttp.server", "alembic"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("look at %s", name)

    assert [(line["logger"], line["level"]) for line in lines(stream)] == [
        ("botocore", "warning"),
        ("asyncpg", "warning"),
        ("aiohttp.server", "warning"),
        ("alembic", "warning"),
    ]


def test_warnings_of_python_become_lines():
    stream = io.StringIO()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logs(level="info", format="json", stream=stream)
        warnings.warn("old", stacklevel=1)

    # others may come from objects of earlier tests that are collected now
    assert [line for line in lines(stream) if "old" in line["event"]]


def test_nothing_goes_to_stdout(capsys: pytest.CaptureFixture[str], clock: TurnedClock):
    configure_logs(level="debug", format="json")

    TelemetryLog(clock).observe(batch())

    said = capsys.readouterr()
    assert said.out == ""
    assert "batch applied" in said.err


def test_an_exception_shows_where_and_which_but_quotes_no_row(stream: io.StringIO):
    try:
        fail(KeyError(SECRET), because=leaky())
    except KeyError:
        logging.getLogger("asyncio").exception("task failed")

    (line,) = lines(stream)
    assert "test_log_output.py" in line["exception"]
    assert "sqlstate=23505 constraint_name=orders_email_key" in line["exception"]
    assert line["exception"].endswith("KeyError")
    assert SECRET not in stream.getvalue()


def test_debug_shows_messages_of_exceptions(clock: TurnedClock):
    stream = io.StringIO()
    configure_logs(level="debug", format="json", stream=stream)

    TelemetryLog(clock).observe(TaskFailed("scan", None, ValueError("bad value"), 1.0))

    assert "ValueError: bad value" in stream.getvalue()


def test_every_member_of_an_exception_group_is_shown(stream: io.StringIO, log: TelemetryLog):
    group = ExceptionGroup("several", [ValueError(SECRET), SinkUnavailable("the server went")])

    log.observe(TaskFailed("worker", None, group, 1.0))

    (line,) = lines(stream)
    assert "member 1:\nValueError" in line["exception"]
    assert "member 2:\nSinkUnavailable: the server went" in line["exception"]
    assert SECRET not in stream.getvalue()


@pytest.mark.parametrize(
    ("fact", "level"),
    [
        (batch(), None),
        (SourceAnswered("GetRecords", "ThrottlingException"), None),
        (ShardClaimed("orders", "s", 2, Position(7)), "info"),
        (ShardClaimed("orders", "s", 2, None, rewound=True), "warning"),
        (ShardEnded("orders", "s", ("t",)), "info"),
        (LeaseTaken("orders", "s", None), "info"),
        (LeaseLapsed("orders", "s"), "info"),
        (LeaseReleased("orders", "s"), "info"),
        (WriteFenced("orders", "s"), "warning"),
        (ClaimSwitched("orders", "s"), "info"),
        (
            RecordRejected("orders", "public.orders", "s", LetterId(5), "attribute 'a': no number"),
            "warning",
        ),
        (TaskStuck("shard s", "orders", 40.0, cancelled=True), "warning"),
        (TaskStuck("shard s", "orders", 40.0, cancelled=False), "error"),
        (GapFound("orders", None, "certain", "trimmed", "replicator gaps list"), "error"),
        (TableHalted("orders", "no column", "replicator migrate"), "error"),
        (TaskFailed("shard s", "orders", SinkUnavailable("gone"), 1.0), "warning"),
        (TaskFailed("shard s", "orders", SchemaMismatch("no column"), 1.0), "error"),
        (TaskFailed("shard s", "orders", ZeroDivisionError(), 1.0), "error"),
    ],
)
def test_a_fact_has_its_level(
    stream: io.StringIO, log: TelemetryLog, fact: TelemetryEvent, level: str | None
):
    log.observe(fact)

    assert [line["level"] for line in lines(stream)] == ([level] if level else [])


def test_what_a_person_must_do_is_in_the_line(stream: io.StringIO, log: TelemetryLog):
    log.observe(GapFound("orders", "s", "certain", "trimmed", "replicator gaps list"))
    log.observe(TableHalted("orders", "no column", "replicator migrate"))
    error = SchemaMismatch("no column", remedy="replicator plan")
    log.observe(TaskFailed("shard s", "orders", error, 1.0))

    remedies = [line["remedy"] for line in lines(stream)]
    assert remedies == ["replicator gaps list", "replicator migrate", "replicator plan"]


def test_a_foreseen_failure_is_one_line_without_a_traceback(stream: io.StringIO, log: TelemetryLog):
    try:
        fail(SinkUnavailable("the connection\nwas lost"), because=leaky())
    except SinkUnavailable as error:
        log.observe(TaskFailed("shard 1", "orders", error, 2.0))

    (line,) = lines(stream)
    assert line["error"] == "SinkUnavailable: the connection was lost"
    assert "exception" not in line
    assert SECRET not in stream.getvalue()


def test_an_unforeseen_failure_shows_its_traceback_without_values(
    stream: io.StringIO, log: TelemetryLog
):
    try:
        int(SECRET)
    except ValueError as error:
        log.observe(TaskFailed("shard 1", "orders", error, 2.0))

    (line,) = lines(stream)
    assert line["error"] == "ValueError"
    assert "int(SECRET)" in line["exception"]
    assert SECRET not in stream.getvalue()


def test_an_outage_of_ten_minutes_is_ten_lines(
    stream: io.StringIO, log: TelemetryLog, clock: TurnedClock
):
    for _ in range(600):
        for shard in range(10):
            log.observe(outage(shard))
        clock.seconds += 1
    log.close()

    said = lines(stream)
    assert 10 <= len(said) <= 12
    assert sum(line.get("repeated", 1) for line in said) == 6000


def test_different_failures_are_all_said(stream: io.StringIO, log: TelemetryLog):
    for name in ("a", "b", "c"):
        log.observe(TaskFailed("s", "orders", SinkUnavailable(f"no database {name}"), 1.0))
    log.observe(TaskFailed("s", "carts", SinkUnavailable("no database a"), 1.0))

    assert len(lines(stream)) == 4


def test_rejects_are_counted_and_the_last_ones_are_said_later(
    stream: io.StringIO, log: TelemetryLog, clock: TurnedClock
):
    for number in range(500):
        log.observe(
            RecordRejected("orders", "public.orders", "s", LetterId(number), "attribute 'a'")
        )
    at_once = len(lines(stream))
    clock.seconds += 61
    log.observe(batch())

    assert at_once == 1
    assert [line.get("repeated") for line in lines(stream)] == [None, 499]
    assert lines(stream)[1]["sequence_number"] == "499"


def test_a_trouble_that_comes_back_later_is_said_at_once(
    stream: io.StringIO, log: TelemetryLog, clock: TurnedClock
):
    log.observe(outage(1))
    clock.seconds += 61
    log.observe(outage(1))

    assert ["repeated" in line for line in lines(stream)] == [False, False]


def test_the_memory_for_troubles_is_bounded_and_nothing_goes_uncounted(
    stream: io.StringIO, clock: TurnedClock
):
    log = TelemetryLog(clock, troubles_max=3)

    for reason in "abcdefgh":
        for number in range(2):
            log.observe(RecordRejected("orders", "public.orders", "s", LetterId(number), reason))
    log.close()

    assert len(lines(stream)) == 16


DENIED = SourceDenied(
    "GetRecords: AccessDeniedException: user 1 is not authorized", remedy="grant the action"
)


def test_a_refused_read_is_a_warning_with_its_remedy_then_by_rate_and_says_when_it_is_over(
    stream: io.StringIO, log: TelemetryLog, clock: TurnedClock
):
    for attempt in range(1, 61):
        for shard in ("shard-1", "shard-2"):
            log.observe(ReadFailed("orders", shard, DENIED, attempt))
        clock.seconds += 2
        log.tick()
    log.observe(ReadRecovered("orders", "shard-1"))
    log.observe(ReadRecovered("orders", "shard-2"))
    log.observe(ReadRecovered("orders", "shard-2"))

    *said, over = lines(stream)
    assert [line["event"] for line in said] == ["the source cannot be read"] * 3
    assert {line["level"] for line in said} == {"warning"}
    assert {line["remedy"] for line in said} == {"grant the action"}
    assert sum(line.get("repeated", 1) for line in said) == 120
    assert (over["event"], over["level"], over["table"]) == ("recovered", "info", "orders")
    assert over["after_seconds"] == 120.0


def test_a_locked_target_is_said_once_and_over_with_the_next_batch_of_the_shard(
    stream: io.StringIO, log: TelemetryLog, clock: TurnedClock
):
    locked = TargetLocked("public.orders is locked by nightly (pid 7)", remedy="end it")
    for _ in range(30):
        log.observe(WriteBlocked("orders", "shard-1", locked))
    clock.seconds += 5
    log.observe(batch(shard_id="shard-1"))

    said, again, over = lines(stream)
    assert (said["event"], said["level"]) == ("the target is locked", "warning")
    assert (said["error"], said["remedy"]) == (f"TargetLocked: {locked}", "end it")
    assert (again["event"], again["repeated"]) == ("the target is locked", 29)
    assert (over["event"], over["table"]) == ("recovered", "orders")


def test_a_fault_that_the_next_read_does_not_meet_is_no_warning(
    stream: io.StringIO, log: TelemetryLog
):
    error = SourceUnavailable("GetRecords: InternalServerError")
    log.observe(ReadFailed("orders", "shard-1", error, 1))
    log.observe(ReadRecovered("orders", "shard-1"))
    assert lines(stream) == []

    for attempt in (1, 2, 3):
        log.observe(ReadFailed("orders", "shard-1", error, attempt))
    [said] = lines(stream)
    assert (said["level"], said["table"]) == ("warning", "orders")
    assert "docs/runbook.md#dynamodb-does-not-answer" in said["remedy"]


def test_what_was_counted_is_said_within_a_minute_though_nothing_else_happens(
    stream: io.StringIO, log: TelemetryLog, clock: TurnedClock
):
    for _ in range(5):
        log.observe(TaskFailed("discover orders", "orders", DENIED, 1.0))
    clock.seconds += 59
    log.tick()
    assert len(lines(stream)) == 1

    clock.seconds += 2
    log.tick()

    assert lines(stream)[-1]["repeated"] == 4


def test_a_task_that_works_again_says_so_once(stream: io.StringIO, log: TelemetryLog):
    log.observe(TaskFailed("discover orders", "orders", DENIED, 1.0))
    log.observe(TaskRecovered("discover parts", "parts"))
    log.observe(TaskRecovered("discover orders", "orders"))
    log.observe(TaskRecovered("discover orders", "orders"))

    assert [line["event"] for line in lines(stream)] == ["task failed", "recovered"]
