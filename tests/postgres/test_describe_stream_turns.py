"""Workers take turns in calling DescribeStream, ten or five in any second."""

import pytest

from replicator.core.stream.describe_stream_quota import (
    CHILDREN,
    FIRST_LISTING,
    LISTING,
    OTHERS_SECONDS,
    TURNS_KEPT,
    Purpose,
)
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.describe_stream_turns import DescribeStreamTurns
from tests.support.control import DEPLOYMENT, Control

AHEAD_SECONDS = 50.0
"""More than a test takes, so that what was taken lies ahead, and less than the minute beyond which
it was taken by another clock."""


@pytest.fixture
def turns(pool: Database) -> DescribeStreamTurns:
    """The turns of one worker."""
    return DescribeStreamTurns(pool)


async def taken(control: Control, *ahead_seconds: float) -> None:
    """Turns of another worker that lie so far ahead."""
    await control.connection.execute(
        "insert into replicator.describe_turn (deployment, taken)"
        " select $1, array_agg(now() + make_interval(secs => s) order by s)"
        "   from unnest($2::float8[]) as s",
        DEPLOYMENT,
        list(ahead_seconds),
    )


async def turns_on_record(control: Control) -> int:
    found: int = await control.connection.fetchval(
        "select cardinality(taken) from replicator.describe_turn"
    )
    return found


async def seconds_from_the_first_turn(control: Control) -> float:
    """From the first turn on record to the last one."""
    found: float = await control.connection.fetchval(
        "select extract(epoch from taken[cardinality(taken)] - taken[1])::float8"
        " from replicator.describe_turn"
    )
    return found


async def test_the_first_turn_is_free(turns: DescribeStreamTurns):
    assert await turns.take(LISTING) == 0


@pytest.mark.parametrize("purpose", [CHILDREN, FIRST_LISTING])
async def test_of_as_many_as_are_allowed_the_last_comes_with_the_others_and_one_more_a_while_later(
    pool: Database, control: Control, purpose: Purpose
):
    await taken(control, AHEAD_SECONDS)

    for _ in range(purpose.calls_max - 1):
        await DescribeStreamTurns(pool).take(purpose)
    assert await seconds_from_the_first_turn(control) < 1
    seconds = await DescribeStreamTurns(pool).take(purpose)

    assert await seconds_from_the_first_turn(control) == OTHERS_SECONDS
    assert seconds is not None
    assert OTHERS_SECONDS < seconds <= AHEAD_SECONDS + OTHERS_SECONDS


async def test_a_worker_counts_its_own_calls_by_what_it_knows_of_them(turns: DescribeStreamTurns):
    """It has the answers of some, and waits for others."""
    for _ in range(2 * 5):
        assert await turns.take(LISTING) == 0

    seconds = await turns.take(CHILDREN, [AHEAD_SECONDS, *[2 * AHEAD_SECONDS] * 4])

    assert seconds is not None
    assert AHEAD_SECONDS / 2 < seconds <= AHEAD_SECONDS


async def test_what_is_allowed_is_shared_by_own_calls_and_those_of_others(
    turns: DescribeStreamTurns, control: Control
):
    await taken(control, *[AHEAD_SECONDS] * 3)

    await turns.take(CHILDREN, [2 * AHEAD_SECONDS])
    assert await seconds_from_the_first_turn(control) < 1
    await turns.take(CHILDREN, [2 * AHEAD_SECONDS] * 2)

    assert await seconds_from_the_first_turn(control) == OTHERS_SECONDS


async def test_no_two_turns_are_of_the_same_time(turns: DescribeStreamTurns, control: Control):
    """So that each worker tells its own apart."""
    await taken(control, AHEAD_SECONDS)
    for _ in range(2 * TURNS_KEPT):
        await turns.take(FIRST_LISTING)

    times = await control.connection.fetchval("select taken from replicator.describe_turn")
    assert len(set(times)) == len(times) == TURNS_KEPT


async def test_who_gives_way_takes_no_turn_that_is_not_free_now(
    turns: DescribeStreamTurns, control: Control
):
    await taken(control, AHEAD_SECONDS)

    assert await turns.take(LISTING) is None

    assert await turns_on_record(control) == 1


async def test_turns_that_another_clock_took_hours_ahead_are_forgotten(
    turns: DescribeStreamTurns, control: Control
):
    """A server that took over may have another time."""
    await taken(control, 3600.0)

    assert await turns.take(LISTING) == 0

    assert await turns_on_record(control) == 1
