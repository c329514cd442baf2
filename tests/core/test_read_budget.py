from hypothesis import given
from hypothesis import strategies as st

from replicator.core.snapshot.read_budget import ITEMS_MAX, RECOVERY_SECONDS, ReadBudget

FULL = ReadBudget.of(100.0, now=0.0)


def test_what_was_used_is_paid_for_by_time():
    spent = FULL.spent(50)

    assert spent.wait_seconds == 0.5
    assert spent.at_time(0.25).wait_seconds == 0.25
    assert spent.at_time(0.5).wait_seconds == 0


def test_no_more_than_a_second_is_saved_up():
    assert FULL.at_time(3600).balance_units == 100


def test_an_answer_that_cost_less_gives_back_what_it_did_not_use():
    assert FULL.spent(80).spent(-80) == FULL


def test_throttling_halves_the_rate_and_takes_what_was_saved_up():
    throttled = FULL.at_time(10).throttled()

    assert throttled.units_per_second == 50
    assert throttled.balance_units == 0


def test_requests_that_are_throttled_together_are_one_cut():
    twice = FULL.at_time(10).throttled().at_time(10.1).throttled()

    assert twice.units_per_second > 50
    assert twice.at_time(12).throttled().units_per_second < 30


def test_the_rate_recovers_and_never_exceeds_what_was_configured():
    slowest = FULL
    for second in range(0, 40, 2):
        slowest = slowest.at_time(float(second)).throttled()

    assert 1.0 <= slowest.units_per_second < 10
    assert slowest.at_time(38 + RECOVERY_SECONDS / 2).units_per_second > 50
    assert slowest.at_time(38 + RECOVERY_SECONDS).units_per_second == 100


def test_a_page_is_as_large_as_its_share_of_the_rate():
    assert FULL.items_max(1.0) == 50
    assert FULL.items_max(0.01) == ITEMS_MAX
    assert FULL.items_max(100.0) == 1


@given(
    st.floats(1, 1000),
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 300), st.booleans()), max_size=50),
)
def test_over_any_time_no_more_is_used_than_the_rate_allows_and_one_page(
    rate: float, requests: list[tuple[float, float, bool]]
):
    budget, now, used, largest = ReadBudget.of(rate, now=0.0), 0.0, 0.0, 0.0
    for pause, units, throttled in requests:
        now += pause
        budget = budget.at_time(now)
        now += budget.wait_seconds
        budget = budget.at_time(now).spent(units)
        used, largest = used + units, max(largest, units)
        if throttled:
            budget = budget.throttled()

    assert used <= rate * (now + 1) + largest + 1e-6
