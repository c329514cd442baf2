"""Rows of a target as Python values, compared with expected ones by type and value."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import asyncpg

Key = tuple[Any, ...]
Row = Mapping[str, Any]
Rows = Mapping[Key, Row]

DIFFERENCES_SHOWN = 5
TEXT_SHOWN = 300


async def read_rows(dsn: str, table: str, *, key: tuple[str, ...]) -> dict[Key, dict[str, Any]]:
    """All rows of a table by their key; numbers in jsonb are Decimal with every digit."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=exact_json
        )
        found = await connection.fetch(f"select * from {table}")
    finally:
        await connection.close()
    rows = {tuple(row[name] for name in key): dict(row) for row in found}
    assert len(rows) == len(found), f"{table} holds a key twice"
    return rows


def exact_json(text: str) -> Any:
    """JSON with its numbers as Decimal."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


def differences(expected: Rows, actual: Rows) -> list[str]:
    """What is missing, extra or different, in words; [] when both are equal."""
    found = [f"missing: {_short(key)}" for key in expected.keys() - actual.keys()]
    found += [f"extra: {_short(key)}" for key in actual.keys() - expected.keys()]
    for key in expected.keys() & actual.keys():
        wanted, got = expected[key], actual[key]
        for column in sorted(wanted.keys() | got.keys()):
            if column not in wanted or column not in got:
                found.append(f"different columns: {_short(key)}: {column!r} is on one side only")
            elif not same(wanted[column], got[column]):
                found.append(
                    f"different: {_short(key)}: {column!r} should be {_short(wanted[column])}, "
                    f"is {_short(got[column])}"
                )
    return found


def assert_equal(expected: Rows, actual: Rows) -> None:
    """Fail with the first differences."""
    found = differences(expected, actual)
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:DIFFERENCES_SHOWN])


def same(one: Any, other: Any) -> bool:
    """Equal in type and value: 1, True and Decimal(1) are three."""
    if type(one) is not type(other):
        return False
    match one:
        case dict():
            return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
        case list():
            return len(one) == len(other) and all(map(same, one, other))
        case _:
            return bool(one == other)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}… ({len(text)} characters)"
