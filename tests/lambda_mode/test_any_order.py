"""V14: any repetition and order of batches with each record at least once ends in the same rows."""

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.app.function import Function
from tests.support.lambda_events import Record, change, event
from tests.support.lambda_function import LambdaTable

Value = int | str | None
"""A number that fits, a text that does not, or a removal."""
changes = st.lists(
    st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.just("no"), st.integers(0, 9))),
    min_size=1,
    max_size=14,
)


@pytest.fixture
def function(table: LambdaTable) -> Iterator[Function]:
    with table.function() as function:
        yield function


def records_of(prefix: str, found: list[tuple[str, Value]]) -> tuple[list[Record], dict[str, int]]:
    """The changes as records, and the rows they end in when applied one by one."""
    records: list[Record] = []
    rows: dict[str, int] = {}
    for number, (name, value) in enumerate(found, 1):
        key = prefix + name
        match value:
            case None:
                records.append(change(number, key, removed=True))
                rows.pop(key, None)
            case str():
                records.append(change(number, key, n={"S": value}))
            case int():
                records.append(change(number, key, n={"N": str(value)}))
                rows[key] = value
    return records, rows


def check(function: Function, table: LambdaTable, examples: int) -> None:
    numbers = count()

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=True,
    )
    @given(changes, st.data())
    def any_order(found: list[tuple[str, Value]], data: st.DataObject) -> None:
        prefix = f"{next(numbers)}-"
        records, rows = records_of(prefix, found)
        size = data.draw(st.integers(1, len(records)))
        batches = [records[start : start + size] for start in range(0, len(records), size)]
        extra = data.draw(st.lists(st.sampled_from(batches), max_size=4))
        for batch in data.draw(st.permutations([*batches, *extra])):
            assert function.handle(event(*batch), seconds_left=30) == {"batchItemFailures": []}
        found_rows = table.fetch(
            "select pk, n from public.t where pk like $1", prefix.replace("_", r"\_") + "%"
        )
        assert {row["pk"]: row["n"] for row in found_rows} == rows
        still_open = table.fetch(
            "select 1 from replicator.dead_letter where state = 'open' and item_key like $1",
            f'%"{prefix}%',
        )
        assert len(still_open) == len(newest_rejected(found))

    any_order()


def newest_rejected(found: list[tuple[str, Value]]) -> set[str]:
    """The items whose newest change does not fit."""
    newest = dict(found)
    return {name for name, value in newest.items() if isinstance(value, str)}


def test_any_order_and_repetition_of_batches_ends_in_the_rows_of_the_oracle(
    function: Function, table: LambdaTable
):
    check(function, table, examples=30)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_ten_thousand_orders_of_batches_end_in_the_rows_of_the_oracle(
    function: Function, table: LambdaTable
):
    check(function, table, examples=10_000)
