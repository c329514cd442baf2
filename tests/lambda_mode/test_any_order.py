"""V14: any repetition and order of batches with each record at least once ends in the same rows."""

import asyncio
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.app.function import Function
from tests.lambda_mode.oracle import CONFIGURATION, Expected, Gone, Put, record_of
from tests.support.lambda_events import event
from tests.support.lambda_function import LambdaTable

puts = st.builds(
    Put,
    st.one_of(st.none(), st.integers(0, 9)),
    here=st.sampled_from([True, True, False]),
    parts=st.lists(st.sampled_from("xyz"), max_size=2).map(tuple),
)
changes = st.lists(
    st.tuples(st.sampled_from("abc"), st.one_of(puts, st.sampled_from(["removed", "expired"]))),
    min_size=1,
    max_size=14,
)

FOUND = """
select (select array_agg(row(pk, n) order by pk) from public.t where pk like $1) as rows,
       (select array_agg(row(pk, n, _deleted_at,
                             array(select part from public.parts as p where p.pk = s.pk
                                    order by place)) order by pk)
          from public.soft as s where pk like $1) as soft,
       (select array_agg(row(keys ->> 'pk', sequence_number::bigint)) from public.t_history
         where keys ->> 'pk' like $1) as history,
       (select array_agg(row(item_key::jsonb #>> '{pk,S}', target, sequence_number::bigint))
          from replicator.dead_letter
         where state = 'open' and item_key::jsonb #>> '{pk,S}' like $1) as open_letters
"""


class Looking:
    """Looks at all that a table ended in, over one connection."""

    def __init__(self, dsn: str) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(dsn))

    def found(self, prefix: str) -> Expected:
        row = self._runner.run(self._connection.fetchrow(FOUND, f"{prefix}%"))
        assert row is not None
        return Expected(
            dict(row["rows"] or ()),
            {pk: (n, at, tuple(parts)) for pk, n, at, parts in row["soft"] or ()},
            {tuple(each) for each in row["history"] or ()},
            {tuple(each) for each in row["open_letters"] or ()},
        )

    def clear_dead_letters(self) -> None:
        """A thousand open ones would halt the table."""
        self._runner.run(self._connection.execute("delete from replicator.dead_letter"))

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()


@pytest.fixture
def of_all_kinds(own_database: str, tmp_path: Path) -> LambdaTable:
    """A table with rows that are deleted and softly deleted, children and a history."""
    table = LambdaTable(own_database, tmp_path, text=CONFIGURATION)
    table.configure()
    return table


@pytest.fixture
def function(of_all_kinds: LambdaTable) -> Iterator[Function]:
    with of_all_kinds.function() as function:
        yield function


@pytest.fixture
def looking(of_all_kinds: LambdaTable) -> Iterator[Looking]:
    looking = Looking(of_all_kinds.dsn)
    yield looking
    looking.close()


def check(function: Function, looking: Looking, examples: int) -> None:
    numbers = count()

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=True,
    )
    @given(changes, st.integers(1, 14), st.integers(min_value=0))
    def any_order(made: list[tuple[str, Put | Gone]], size: int, seed: int) -> None:
        chance = random.Random(seed)  # orders that Hypothesis draws are too near to the right one
        prefix = f"{next(numbers)}-"
        expected = Expected()
        records = []
        for number, (name, each) in enumerate(made, 1):
            expected.apply(number, prefix + name, each)
            records.append(record_of(number, prefix + name, each))
        starts = [*range(0, len(records), size)]
        starts += chance.choices(range(len(records)), k=chance.randrange(5))
        for start in chance.sample(starts, len(starts)):
            batch = records[start : start + size]
            assert function.handle(event(*batch), seconds_left=30) == {"batchItemFailures": []}
        assert looking.found(prefix) == expected
        looking.clear_dead_letters()

    any_order()


def test_any_order_and_repetition_of_batches_ends_in_the_rows_of_the_oracle(
    function: Function, looking: Looking
):
    check(function, looking, examples=60)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_ten_thousand_orders_of_batches_end_in_the_rows_of_the_oracle(
    function: Function, looking: Looking
):
    check(function, looking, examples=10_000)
