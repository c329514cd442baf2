"""The real runtime client against Lambda's Runtime API and what an event source mapping does."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lambda_events import Record, change, event, put
from tests.support.lambda_function import LambdaTable
from tests.support.lambda_runtime import Environment, deliver_all

SLOW = """
create function slow() returns trigger language plpgsql as
$$ begin if new.n = 5 then perform pg_sleep(60); end if; return new; end $$
"""
AWAY = """
create function away() returns trigger language plpgsql as
$$ begin if new.n = 14 then raise exception using errcode = '08006'; end if; return new; end $$
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
    failed = environment.invoke(event(*[put(n, f"k{n}") for n in range(10, 18)]), seconds=8)
    assert failed.answer == {"batchItemFailures": [{"itemIdentifier": f"{14:021d}"}]}

    table.fetch("drop trigger t on public.t")
    records = [put(n, f"k{n}") for n in range(10, 18)]
    deliver_all(environment, records, batch_size=3)
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

    slow = environment.invoke(event(put(5, "b")), seconds=4)

    assert slow.error["errorType"] in ("BatchTooSlow", "SinkUnavailable")
    table.fetch("drop trigger t on public.t")
    assert environment.invoke(event(put(5, "b"))).answer == {"batchItemFailures": []}
    assert table.rows() == {"a": 1, "b": 5}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_hundred_schedules_of_repetitions_and_kills_end_in_the_rows_of_the_oracle(
    table: LambdaTable, environment: Environment
):
    for seed in range(200):
        chance = random.Random(seed)
        table.fetch("delete from public.t")
        table.fetch("delete from replicator.row_version")
        records, rows = history(seed, 30)
        batches = [records[start : start + 5] for start in range(0, len(records), 5)]
        repeated = [batch for batch in batches for _ in range(chance.randint(1, 3))]
        chance.shuffle(repeated)
        for batch in repeated:
            if seed % 20 == 0 and chance.random() < 0.2:
                environment.restart()
            assert environment.invoke(event(*batch)).answer == {"batchItemFailures": []}
        assert table.rows() == rows, f"seed {seed}"
