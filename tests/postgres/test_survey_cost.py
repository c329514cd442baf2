"""The survey of the targets reads rows of PostgreSQL's catalog in proportion to the tables.

Workers survey their targets at the start and every half a minute. A part of the statement that
reads all constraints, or all types, for each table takes a second for 200 tables, and sixteen
times as much for 800.
"""

import json
from collections.abc import Iterator
from typing import Any

import asyncpg

from replicator.postgres.schema.catalog import TABLES

FEW, MANY = 20, 160
GROWTH_MAX = 1.25


async def test_the_survey_reads_as_much_of_the_catalog_for_each_of_many_tables_as_of_few(
    database: str,
):
    connection = await asyncpg.connect(database)
    try:
        await make_tables(connection, range(FEW))
        few = await rows_a_table(connection, FEW)
        await make_tables(connection, range(FEW, MANY))
        many = await rows_a_table(connection, MANY)
    finally:
        await connection.close()

    assert many < few * GROWTH_MAX


async def make_tables(connection: asyncpg.Connection, numbers: range) -> None:
    for number in numbers:
        await connection.execute(
            f"create table t{number} (pk text primary key, n numeric check (n > 0), j jsonb)"
        )


async def rows_a_table(connection: asyncpg.Connection, tables: int) -> float:
    """Rows that all steps of the survey of so many tables take up, for each of the tables."""
    names = [f"t{number}" for number in range(tables)]
    asked = (["public"] * tables, names, None)
    [[text]] = await connection.fetch(f"explain (analyze, format json) {TABLES}", *asked)
    [explained] = json.loads(text)
    return sum(rows_of(step) for step in steps_of(explained["Plan"])) / tables


def steps_of(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A step of a plan and all steps below it."""
    yield step
    for below in step.get("Plans", ()):
        yield from steps_of(below)


def rows_of(step: dict[str, Any]) -> float:
    """Rows that a step returns, and those that it throws away, in all its loops."""
    thrown_away = sum(count for name, count in step.items() if name.startswith("Rows Removed"))
    return float((step["Actual Rows"] + thrown_away) * step["Actual Loops"])
