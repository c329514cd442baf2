"""V14: any repetition and order of batches with each record at least once ends in the same rows."""

import random
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.app.aws_lambda.execution_environment import ExecutionEnvironment
from tests.lambda_mode.looking import Looking
from tests.lambda_mode.oracle import Expected, Gone, Put, record_of
from tests.support.lambda_events import event
from tests.support.lambda_function import LambdaTable
from tests.support.lambda_runtime import EVENT_SECONDS

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


@pytest.fixture
def function(of_all_kinds: LambdaTable) -> Iterator[ExecutionEnvironment]:
    with of_all_kinds.function() as function:
        yield function


def check(function: ExecutionEnvironment, looking: Looking, examples: int) -> None:
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
            assert function.handle(event(*batch), seconds_left=EVENT_SECONDS) == {
                "batchItemFailures": []
            }
        assert looking.found(prefix) == expected
        looking.clear_dead_letters()

    any_order()


def test_any_order_and_repetition_of_batches_ends_in_the_rows_of_the_oracle(
    function: ExecutionEnvironment, looking: Looking
):
    check(function, looking, examples=60)


@pytest.mark.long
def test_ten_thousand_orders_of_batches_end_in_the_rows_of_the_oracle(
    function: ExecutionEnvironment, looking: Looking
):
    check(function, looking, examples=10_000)
