"""Workers take turns in calling DescribeStream, ten or five in any second."""

from collections.abc import AsyncIterator

import pytest

from replicator.core.stream.describe_stream_limit import (
    CALLS_A_SECOND,
    CHILDREN,
    FIRST_LISTING,
    LISTING,
    Purpose,
)
from replicator.postgres.control.stream.describe_stream_rate_limit import DescribeStreamTurns
from tests.support.control import DEPLOYMENT, Control, control_pool, control_schema

AHEAD_SECONDS = 20.0
"""More than a test takes, so that what was taken lies ahead."""


@pytest.fixture
async def control(migrated_database: str) -> AsyncIterator[Control]:
    async with control_schema(migrated_database) as control:
        await control.register("orders")
        yield control


@pytest.fixture
async def turns(control: Control) -> AsyncIterator[DescribeStreamTurns]:
    async with control_pool(control.dsn) as pool:
        yield DescribeStreamTurns(pool)


async def taken(control: Control, *ahead_seconds: float) -> None:
    """Turns that lie so far ahead."""
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


async def test_the_first_turn_is_free(turns: DescribeStreamTurns):
    assert await turns.take(LISTING) == 0


@pytest.mark.parametrize(("purpose", "window"), [(CHILDREN, 1.05), (FIRST_LISTING, 1.0)])
async def test_a_turn_comes_a_second_after_the_one_so_many_before(
    turns: DescribeStreamTurns, control: Control, purpose: Purpose, window: float
):
    await taken(control, *[AHEAD_SECONDS] * purpose.calls_max)

    seconds = await turns.take(purpose)

    assert seconds is not None
    assert window < seconds <= AHEAD_SECONDS + window


async def test_of_as_many_as_are_allowed_the_last_comes_with_the_others(
    turns: DescribeStreamTurns, control: Control
):
    await taken(control, *[AHEAD_SECONDS] * (CALLS_A_SECOND - 1))
    at = "select taken[cardinality(taken)] = taken[1] from replicator.describe_turn"

    await turns.take(FIRST_LISTING)
    assert await control.connection.fetchval(at)
    await turns.take(FIRST_LISTING)

    assert not await control.connection.fetchval(at)
    assert await turns_on_record(control) == CALLS_A_SECOND


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
