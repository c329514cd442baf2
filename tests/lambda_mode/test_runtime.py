"""The real runtime client against Lambda's Runtime API and what an event source mapping does."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.lambda_mode.looking import Looking
from tests.lambda_mode.oracle import Expected, Gone, Put, record_of
from tests.support.bounds import USUAL_SECONDS, scaled
from tests.support.lambda_events import Record, change, event, put
from tests.support.lambda_function import LambdaTable
from tests.support.lambda_mapping import EventSourceMapping
from tests.support.lambda_runtime import Environment

SLOW = """
create function slow() returns trigger language plpgsql as
$$ begin if new.n = 5 then perform pg_sleep(60); end if; return new; end $$
"""
AWAY = """
create function away() returns trigger language plpgsql as
$$ begin if new.n = 14 then raise exception using errcode = '08006'; end if; return new; end $$
"""

AWAY_AT_TIMES = """
create sequence changes;
create function away_at_times() returns trigger language plpgsql as
$$ begin
  if nextval('changes') % 60 < 8 then raise exception using errcode = '08006'; end if;
  return null;
end $$
"""


@pytest.fixture
def environment(table: LambdaTable, tmp_path: Path) -> Iterator[Environment]:
    with Environment(table.environ, tmp_path / "function.log") as environment:
        yield environment


def history(seed: int, count: int) -> tuple[list[Record], dict[str, int]]:
    """Changes of a few items, and the rows that they end in."""
    chance = random.Random(seed)
    records: list[Record] = []
    rows: dict[str, int] = {}
    for number in range(1, count + 1):
        key = chance.choice("abcdefgh")
        if chance.random() < 0.25:
            records.append(change(number, key, removed=True))
            rows.pop(key, None)
        elif chance.random() < 0.1:
            records.append(change(number, key, n={"S": "no number"}))
        else:
            records.append(put(number, key))
            rows[key] = number
    return records, rows


def test_the_real_runtime_client_applies_what_is_delivered(
    table: LambdaTable, environment: Environment
):
    invocation = environment.invoke(event(put(1), put(2, "b")))

    assert invocation.answer == {"batchItemFailures": []}
    assert table.rows() == {"a": 1, "b": 2}


def test_a_shard_is_delivered_again_from_the_lowest_failure_until_all_is_applied(
    table: LambdaTable, environment: Environment
):
    table.fetch(AWAY)
    table.fetch("alter table public.t add check (n <> 13)")
    table.fetch("create trigger t after insert on public.t for each row execute function away()")
    failed = environment.invoke(event(*[put(n, f"k{n}") for n in range(10, 18)]))
    assert failed.answer == {"batchItemFailures": [{"itemIdentifier": f"{14:021d}"}]}

    table.fetch("drop trigger t on public.t")
    records = [put(n, f"k{n}") for n in range(10, 18)]
    EventSourceMapping([environment], random.Random(1), batch_size=3).deliver(records)
    assert sorted(table.rows().values()) == [10, 11, 12, 14, 15, 16, 17]


def test_an_environment_that_is_killed_after_the_commit_changes_nothing_by_the_repetition(
    table: LambdaTable, environment: Environment
):
    records, rows = history(3, 40)
    environment.invoke(event(*records))
    assert table.rows() == rows

    environment.restart()  # the answer was lost: all of it is delivered again
    answers = [environment.invoke(event(*records[start:])).answer for start in (0, 20)]

    assert answers == [{"batchItemFailures": []}] * 2
    assert table.rows() == rows


def test_an_invocation_ends_before_its_environment_is_killed(
    table: LambdaTable, environment: Environment
):
    environment.invoke(event(put(1)))
    table.fetch(SLOW)
    table.fetch("create trigger t after insert on public.t for each row execute function slow()")

    slow = environment.invoke(event(put(5, "b")), seconds=scaled(4))

    assert slow.error["errorType"] in ("BatchTooSlow", "SinkUnavailable")
    table.fetch("drop trigger t on public.t")
    assert environment.invoke(event(put(5, "b"))).answer == {"batchItemFailures": []}
    assert table.rows() == {"a": 1, "b": 5}


def test_an_environment_that_is_killed_within_its_transaction_leaves_nothing_of_it(
    of_all_kinds: LambdaTable, looking: Looking, tmp_path: Path
):
    table = of_all_kinds
    records = [put(2), put(3, "b")]
    with Environment(table.environ, tmp_path / "function.log") as environment:
        environment.invoke(event(put(1)))
        looking.execute("begin; select 1 from public.t for update")
        environment.invoke_and_kill(event(*records), lambda _: waits(table))
        looking.execute("commit")
        assert table.rows() == {"a": 1}

        environment.invoke(event(*records))
    assert table.rows() == {"a": 2, "b": 3}


def test_the_last_request_of_a_killed_environment_takes_no_event_of_the_next_one(
    table: LambdaTable, environment: Environment
):
    connection = HTTPConnection(*environment.address)
    connection.request("POST", "/2018-06-01/runtime/init/error")
    connection.getresponse().read()

    environment.restart()
    connection.request("GET", "/2018-06-01/runtime/invocation/next")  # as if it were read late
    answer = environment.invoke(event(put(1))).answer
    connection.close()

    assert answer == {"batchItemFailures": []}
    assert table.rows() == {"a": 1}


def waits(table: LambdaTable) -> None:
    """Return when a transaction waits for a lock."""
    query = (
        "select 1 from pg_stat_activity"
        " where wait_event_type = 'Lock' and datname = current_database()"
    )
    deadline = time.monotonic() + USUAL_SECONDS
    while not table.fetch(query):
        assert time.monotonic() < deadline, "nobody waits"


def random_record(chance: random.Random, number: int, prefix: str, expected: Expected) -> Record:
    key = prefix + chance.choice("abcdefgh")
    kinds: list[Put | Gone] = [
        Put(number, here=chance.random() < 0.7, parts=tuple(chance.choices("xyz", k=2))),
        Put(None),
        "removed",
        "expired",
    ]
    [made] = chance.choices(kinds, weights=(6, 1, 3, 1))
    expected.apply(number, key, made)
    return record_of(number, key, made)


def run_schedule(seed: int, looking: Looking, environments: list[Environment]) -> tuple[int, int]:
    """Kills and failures of one schedule, which must end as the oracle says."""
    chance, prefix, expected = random.Random(seed), f"{seed}-", Expected()
    records = [random_record(chance, number, prefix, expected) for number in range(1, 41)]
    mapping = EventSourceMapping(
        environments[: chance.randint(1, len(environments))],
        chance,
        batch_size=chance.randint(1, 12),
        kill_rate=0.05,
    )
    mapping.deliver(records)
    mapping.deliver_again(records, copies=chance.randrange(12))
    assert looking.found(prefix) == expected, f"seed {seed}"
    looking.clear_dead_letters()
    return mapping.kills, mapping.failures


def run_schedules(
    count: int, table: LambdaTable, looking: Looking, folder: Path, *, factor_max: int
) -> None:
    """At any moment PostgreSQL may be away for a while, or an environment be killed."""
    looking.execute(AWAY_AT_TIMES)
    for target in ("t", "soft", "parts"):
        looking.execute(
            f"create trigger away after insert or update or delete on public.{target}"
            " for each row execute function away_at_times()"
        )
    with ExitStack() as stack:
        environments = [
            stack.enter_context(Environment(table.environ, folder / f"function-{number}.log"))
            for number in range(factor_max)
        ]
        ended = [run_schedule(seed, looking, environments) for seed in range(count)]
    kills, failures = (sum(each) for each in zip(*ended, strict=True))
    assert kills > count / 4
    assert failures > count / 4


def test_schedules_of_lanes_halves_kills_and_late_copies_end_in_the_rows_of_the_oracle(
    of_all_kinds: LambdaTable, looking: Looking, tmp_path: Path
):
    run_schedules(2, of_all_kinds, looking, tmp_path, factor_max=3)


@pytest.mark.long
def test_two_hundred_schedules_of_repetitions_and_kills_end_in_the_rows_of_the_oracle(
    of_all_kinds: LambdaTable, looking: Looking, tmp_path: Path
):
    run_schedules(200, of_all_kinds, looking, tmp_path, factor_max=10)
