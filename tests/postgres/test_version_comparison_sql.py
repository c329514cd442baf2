"""The comparison of versions in SQL says what the core says."""

from itertools import product

import asyncpg
import pytest

from replicator.core.stream.order_by_time import SLOT, later
from replicator.core.stream_record import Version
from replicator.postgres.write.version_comparison_sql import ORDERS
from tests.support.undecided import is_undecided

IMAGES = (0, 1, 2, 3 * 10**21)
TIMES = (10**15, 10**15 + 1)


def versions() -> list[Version]:
    return [
        Version((micros * SLOT + old) * SLOT + new)
        for micros, old, new in product(TIMES, IMAGES, IMAGES)
    ]


def given_and_older(row: asyncpg.Record) -> tuple[Version, Version]:
    return Version(int(row["given"])), Version(int(row["older"]))


async def test_what_arrives_later_of_one_time_is_newer_as_the_tie_rule_says(database: str):
    connection = await asyncpg.connect(database)
    try:
        one, other = ("1", "a.number"), ("1", "b.number")
        rows = await connection.fetch(
            f"""
            select a.number as older, b.number as given,
                   {ORDERS["time"].older(one, other)} as is_older,
                   {ORDERS["time"].undecided(one, other)} as undecided
              from unnest($1::text[]::numeric[]) as a(number),
                   unnest($1::text[]::numeric[]) as b(number)""",
            [str(version) for version in versions()],
        )
    finally:
        await connection.close()

    assert len(rows) == len(versions()) ** 2
    for row in rows:
        decided = later(*given_and_older(row))
        assert row["is_older"] is (decided is not False), dict(row)
        assert row["undecided"] is is_undecided(*given_and_older(row)), dict(row)


@pytest.mark.parametrize("order", ["number", "time"])
async def test_another_generation_decides_before_anything_else(database: str, order: str):
    connection = await asyncpg.connect(database)
    try:
        found = await connection.fetchval(
            f"select {ORDERS[order].older(('1', '9::numeric'), ('2', '1::numeric'))}"  # type: ignore[index]
        )
    finally:
        await connection.close()

    assert found is True
